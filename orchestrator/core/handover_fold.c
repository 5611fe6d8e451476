/* What a log tells of its operations without an engine: a fold that decides nothing. Where the log is silent (an op that
 * was given up leaves no trace of its own) the projected phase says what may still be open. */
#include "orchestrator/core/handover_own.h"

#include <string.h>

static uint32_t *none_yet(struct handover_fold *f, uint32_t n)
{
    uint32_t *list = ARENA_ARRAY(&f->arena, uint32_t, n);

    for (uint32_t i = 0; list != NULL && i < n; i++)
        list[i] = IX_NONE;
    return list;
}

static bool make_lists(struct handover_fold *f)
{
    const struct inventory *inv = f->inv;

    f->now.n_nodes = inv->n_nodes;
    f->now.n_waves = f->plan->n_waves;
    f->now.n_settings = inv->n_clusters * CLUSTER_SETTINGS;
    f->seen = ARENA_ARRAY(&f->arena, struct node_record, inv->n_nodes);
    f->returned = ARENA_ARRAY(&f->arena, bool, inv->n_nodes);
    f->latest = none_yet(f, inv->n_nodes);
    f->setting_latest = none_yet(f, f->now.n_settings);
    f->vm_at = none_yet(f, inv->n_vms);
    f->now.nodes = ARENA_ARRAY(&f->arena, struct handover_node, inv->n_nodes);
    f->now.waves = ARENA_ARRAY(&f->arena, struct handover_wave, f->plan->n_waves);
    f->now.settings = ARENA_ARRAY(&f->arena, struct handover_setting, f->now.n_settings);
    return f->seen != NULL && f->returned != NULL && f->latest != NULL && f->setting_latest != NULL &&
           f->vm_at != NULL && f->now.nodes != NULL && f->now.waves != NULL && f->now.settings != NULL;
}

int handover_fold_new(const struct plan *plan, struct handover_fold **ret_fold, struct err *err)
{
    struct handover_fold *f = calloc(1, sizeof *f);

    if (f == NULL)
        return err_set(err, ERR_NOMEM, "fold a log");
    f->plan = plan;
    f->inv = plan->inv;
    if (!make_lists(f)) {
        handover_fold_free(f);
        return err_set(err, ERR_NOMEM, "fold a log");
    }
    f->now.log.approval_expires = TIME_NEVER;
    f->now.hold_text = f->now.end_text = "";
    for (uint32_t i = 0; i < f->now.n_nodes; i++) {
        struct handover_node *n = &f->now.nodes[i];

        n->node = i;
        n->reason = n->boot = n->boot_effect = n->boot_effect_first = "";
        n->build_before = n->build_now = f->inv->nodes[i].build;
    }
    for (uint32_t i = 0; i < f->now.n_settings; i++) {
        f->now.settings[i].cluster = i / CLUSTER_SETTINGS;
        f->now.settings[i].setting = i % CLUSTER_SETTINGS;
    }
    *ret_fold = f;
    return 0;
}

void handover_fold_free(struct handover_fold *f)
{
    if (f == NULL)
        return;
    command_list_clear(&f->commands);
    list_clear(&f->ops);
    list_clear(&f->open);
    list_clear(&f->vms);
    list_clear(&f->parks);
    arena_clear(&f->arena);
    free(f);
}

struct handover *handover_fold_now(struct handover_fold *f)
{
    return &f->now;
}

struct arena *handover_fold_arena(struct handover_fold *f)
{
    return &f->arena;
}

const char *handover_fold_keep(struct handover_fold *f, const char *text)
{
    const char *copy = text == NULL ? "" : arena_str(&f->arena, text);

    f->nomem = f->nomem || copy == NULL;
    return copy == NULL ? "" : copy;
}

/* Of a VM that the inventory does not have the place is looked for; those are few. */
static struct handover_vm *known_vm(struct handover_fold *f, const char *id, uint32_t inv_ix)
{
    if (inv_ix != IX_NONE)
        return f->vm_at[inv_ix] == IX_NONE ? NULL : &f->vms.items[f->vm_at[inv_ix]];
    for (uint32_t i = 0; i < f->vms.n; i++)
        if (strcmp(f->vms.items[i].id, id) == 0)
            return &f->vms.items[i];
    return NULL;
}

struct handover_vm *handover_fold_vm(struct handover_fold *f, const char *id, uint32_t cluster)
{
    static struct handover_vm spare; /* the fold fails; nobody reads it */
    uint32_t inv_ix = inventory_vm(f->inv, id);
    struct handover_vm *v = known_vm(f, id, inv_ix);

    if (v != NULL)
        return v;
    v = list_push(&f->vms);
    if (v == NULL) {
        f->nomem = true;
        return &spare;
    }
    if (inv_ix != IX_NONE)
        f->vm_at[inv_ix] = f->vms.n - 1;
    v->id = handover_fold_keep(f, id);
    v->cluster = cluster;
    v->at = IX_NONE;
    return v;
}

/* --- operations --- */

static enum action action_of(const char *name)
{
    int a = 0;

    while (a < ACTIONS && strcmp(action_name((enum action)a), name) != 0)
        a++;
    return (enum action)a;
}

static struct folded_op *op_of(const struct handover_fold *f, const char *id)
{
    struct op_id_parts p;
    uint32_t node = op_id_parse(id, &p, NULL) == 0 ? inventory_node(f->inv, p.node) : IX_NONE;

    for (uint32_t i = node == IX_NONE ? IX_NONE : f->latest[node]; i != IX_NONE; i = f->ops.items[i].earlier)
        if (strcmp(f->ops.items[i].op.id, id) == 0)
            return &f->ops.items[i];
    return NULL;
}

/* The latest of its node. */
static struct folded_op *add_op(struct handover_fold *f, const struct handover_op *op, uint32_t life)
{
    struct folded_op *o = list_push(&f->ops);

    if (o == NULL) {
        f->nomem = true;
        return NULL;
    }
    o->op = *op;
    o->life = life;
    o->earlier = f->latest[op->node];
    f->latest[op->node] = f->ops.n - 1;
    return o;
}

static void take_record(struct handover_fold *f, const struct op_record *rec)
{
    struct folded_op *o = op_of(f, rec->op);
    bool done = rec->state == OP_DONE ? rec->outcome == OUTCOME_OK
                                      : rec->state == OP_UNKNOWN && rec->witness == WITNESS_SAYS_DONE;
    bool ended = done || rec->state == OP_DONE;

    if (o != NULL && o->given_up && ended) {
        o->given_up = false;
        handover_op_end_heard(f, o, done, rec->state == OP_DONE && rec->outcome == OUTCOME_FAILED);
    }
    if (o == NULL || o->over)
        return;
    o->op.seen = o->op.seen || rec->state != OP_NONE;
    if (ended)
        handover_op_over(f, o, done, rec);
}

/* A person's word without a name is about what the node was at, or what was given up there last. */
static const char *decided_op(const struct handover_fold *f, const struct event *ev)
{
    uint32_t i = ev->node == IX_NONE ? IX_NONE : f->latest[ev->node];

    if (ev->u.verb.op != NULL)
        return ev->u.verb.op;
    while (i != IX_NONE &&
           (f->ops.items[i].op.action == ACT_MOVE_VM || (f->ops.items[i].over && !f->ops.items[i].given_up)))
        i = f->ops.items[i].earlier;
    return i == IX_NONE ? "" : f->ops.items[i].op.id;
}

static void take_verb(struct handover_fold *f, const struct event *ev)
{
    struct handover_log *l = &f->now.log;
    struct op_record decided = { .state = OP_UNKNOWN, .witness = ev->u.verb.decision };

    if (ev->u.verb.verb == VERB_ABORT || ev->u.verb.verb == VERB_ROLLBACK) {
        l->abort_said = ev->u.verb.verb == VERB_ABORT;
        l->rollback_said = !l->abort_said;
    }
    if (ev->u.verb.verb == VERB_RETURN && ev->node != IX_NONE)
        f->returned[ev->node] = true;
    if (ev->u.verb.verb == VERB_DECIDE) {
        decided.op = decided_op(f, ev);
        take_record(f, &decided);
    }
}

/* Node-level operations of a node come one after another: only the latest can be without its end. */
static void close_before(struct handover_fold *f, uint32_t node, enum action next)
{
    uint32_t i = f->latest[node];

    while (i != IX_NONE && f->ops.items[i].op.action == ACT_MOVE_VM)
        i = f->ops.items[i].earlier;
    if (i != IX_NONE && !f->ops.items[i].over)
        handover_op_given_up(f, &f->ops.items[i], next);
}

/* Whether it is in is asked when it has an end, or none is waited for. */
static void close_install(struct handover_fold *f, uint32_t node)
{
    uint32_t i = f->latest[node];

    while (i != IX_NONE &&
           (f->ops.items[i].op.action == ACT_MOVE_VM || f->ops.items[i].op.action == ACT_CLUSTER_SETTING))
        i = f->ops.items[i].earlier;
    if (i != IX_NONE && f->ops.items[i].op.action == ACT_INSTALL && !f->ops.items[i].over)
        handover_op_given_up(f, &f->ops.items[i], ACTIONS);
}

static void count_attempt(struct handover_fold *f, struct handover_node *n, enum action a,
                          const struct op_id_parts *p)
{
    struct handover_vm *v;

    if (a == ACT_CLUSTER_SETTING) {
        n->setting_ops = p->attempt > n->setting_ops ? p->attempt : n->setting_ops;
        n->own_settings |= node_bit(p->attempt);
        return;
    }
    if (n->attempts[a] < UINT8_MAX)
        n->attempts[a]++;
    if (p->subject[0] == '\0') {
        n->own_lives |= node_bit(p->life);
        return;
    }
    v = handover_fold_vm(f, p->subject, f->inv->nodes[n->node].cluster);
    v->ops = p->attempt > v->ops ? p->attempt : v->ops;
    v->own_ops |= node_bit(p->attempt);
}

static int with_args(struct handover_fold *f, struct folded_op *o, const struct command *c, struct err *err)
{
    struct json_doc *args = NULL, *guard = NULL;
    int rc = json_parse("args", c->args, strlen(c->args), &args, err);

    if (rc == 0 && c->precondition != NULL)
        rc = json_parse("precondition", c->precondition, strlen(c->precondition), &guard, err);
    if (rc == 0)
        handover_op_begun(f, o, json_root(args),
                          guard == NULL ? "" : json_get_str(json_root(guard), "boot_id", ""));
    json_free(args);
    json_free(guard);
    return rc;
}

static int take_intent(struct handover_fold *f, const struct command *c, time_ms at, struct err *err)
{
    struct handover_node *n = &f->now.nodes[c->node];
    struct folded_op *o = op_of(f, c->op);
    enum action a = action_of(c->action);
    struct op_id_parts p;

    if (o != NULL) { /* the same once more (C.3) */
        o->op.sent = at;
        o->op.sends++;
        return 0;
    }
    if (a == ACTIONS || op_id_parse(c->op, &p, NULL) != 0)
        return err_set(err, ERR_INVALID, "`%s` is no operation that this program knows", c->op);
    if (a != ACT_MOVE_VM)
        close_before(f, c->node, a);
    if (a != ACT_CLUSTER_SETTING && a != ACT_MOVE_VM && p.life != n->ops_life)
        handover_life_begun(f, n, p.life, a);
    if (a == ACT_UNINSTALL)
        handover_life_goes_back(f, c->node, p.life);
    o = add_op(f,
               &(struct handover_op){ .id = handover_fold_keep(f, c->op),
                                      .args = handover_fold_keep(f, c->args),
                                      .precondition = handover_fold_keep(f, c->precondition),
                                      .action = a,
                                      .node = c->node,
                                      .receiver = c->receiver,
                                      .vm = handover_fold_keep(f, p.subject),
                                      .memory_mib = c->memory_mib,
                                      .limit_ms = c->limit_ms,
                                      .sent = at,
                                      .sends = 1,
                                      .evidence = a == ACT_MOVE_VM && !n->paused },
               p.life);
    if (o == NULL)
        return 0; /* the fold fails */
    count_attempt(f, n, a, &p);
    return with_args(f, o, c, err);
}

/* --- entries --- */

static int take_handover(struct handover_fold *f, const struct event *ev, struct err *err);

static void take_facts(struct handover_fold *f, const struct event *ev)
{
    struct handover_node *n = &f->now.nodes[ev->node];
    struct node_record *seen = &f->seen[ev->node];

    record_take(seen, &ev->u.observed.facts, ev->at);
    if (n->ops_life <= 1 && !n->effect) /* nothing of ours is in */
        n->level_before = ev->u.observed.facts.hotpatch ? seen->level : (struct build){ 0, 0 };
}

static void take_observed(struct handover_fold *f, const struct event *ev)
{
    if (!ev->u.observed.ok || ev->node == IX_NONE)
        return;
    if (ev->u.observed.what == OBSERVE_FACTS)
        take_facts(f, ev);
    if (ev->u.observed.what != OBSERVE_VERIFY)
        return;
    close_install(f, ev->node);
    handover_verified(f, &f->now.nodes[ev->node], &ev->u.observed.verify);
}

static int take_event(struct handover_fold *f, const struct event *ev, struct err *err)
{
    struct handover_log *l = &f->now.log;

    switch (ev->type) {
    case EV_RUN_START:
        l->revision = ev->u.run_start.revision;
        l->epoch = ev->u.run_start.epoch;
        l->approval_expires = ev->u.run_start.approval_expires;
        break;
    case EV_CONTROLLER_START:
        l->epoch = ev->u.controller_start.epoch;
        break;
    case EV_HANDOVER:
        return take_handover(f, ev, err);
    case EV_NODE_CLAIMED:
        if (ev->node == IX_NONE)
            return err_set(err, ERR_INVALID, "a claim without its node");
        if (ev->u.claimed.boot_id != NULL)
            f->now.nodes[ev->node].boot = handover_fold_keep(f, ev->u.claimed.boot_id);
        for (uint32_t i = 0; i < ev->u.claimed.n_ops; i++)
            take_record(f, &ev->u.claimed.ops[i]);
        break;
    case EV_OBSERVED:
        take_observed(f, ev);
        break;
    case EV_OP_RESULT:
        take_record(f, &ev->u.op_result.record);
        break;
    case EV_VERB:
        take_verb(f, ev);
        break;
    case EV_CONTROLLER_STOP:
    case EV_NODE_REFUSED:
    case EV_NODE_LOST:
    case EV_STAGED:
    case EV_TIMEOUT:
    case EVENT_TYPES:
        break;
    }
    return 0;
}

int handover_fold_event(struct handover_fold *f, const struct event *ev, const char *commands,
                        struct err *err)
{
    int rc;

    command_list_reset(&f->commands);
    rc = commands_read(commands, f->inv, &f->commands, err);
    if (rc == 0)
        rc = take_event(f, ev, err);
    for (uint32_t i = 0; rc == 0 && i < f->commands.n; i++) {
        const struct command *c = &f->commands.items[i];

        if (c->type == CMD_OP_START)
            rc = take_intent(f, c, ev->at, err);
        if (c->type == CMD_OBSERVE && c->ask > f->now.log.asks)
            f->now.log.asks = c->ask;
    }
    return rc == 0 && f->nomem ? err_set(err, ERR_NOMEM, "fold a log") : rc;
}

/* Another's texts and lists end with the event: a copy by the way they are written. */
static int copy_handover(struct handover_fold *f, const struct handover *from, struct handover **ret_h,
                         struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_doc *doc = NULL;
    struct json_writer w;
    int rc;

    jw_init(&w, &text);
    handover_write(&w, NULL, from, f->inv);
    rc = text.failed ? err_set(err, ERR_NOMEM, "fold a log")
                     : json_parse("handover", buf_text(&text), text.len, &doc, err);
    if (rc == 0)
        rc = handover_read(doc, json_root(doc), f->inv, &f->arena, ret_h, err);
    json_free(doc);
    buf_clear(&text);
    return rc;
}

static void forget(struct handover_fold *f)
{
    f->ops.n = f->vms.n = f->parks.n = 0;
    memset(f->latest, 0xff, f->inv->n_nodes * sizeof *f->latest);
    memset(f->setting_latest, 0xff, f->now.n_settings * sizeof *f->setting_latest);
    memset(f->vm_at, 0xff, f->inv->n_vms * sizeof *f->vm_at);
}

static int take_open(struct handover_fold *f, const struct handover_op *op, struct err *err)
{
    struct op_id_parts p;

    if (op->node == IX_NONE || op_id_parse(op->id, &p, NULL) != 0)
        return err_set(err, ERR_INVALID, "`%s` is no operation that this program knows", op->id);
    if (add_op(f, op, p.life) != NULL && op->action == ACT_CLUSTER_SETTING)
        f->setting_latest[handover_setting_ix(f, op)] = f->ops.n - 1;
    return 0;
}

/* What an earlier takeover by another revision found is where the fold begins anew. */
static int take_handover(struct handover_fold *f, const struct event *ev, struct err *err)
{
    struct handover *h = NULL;
    int rc = copy_handover(f, ev->u.handover.state, &h, err);

    if (rc != 0)
        return rc;
    f->now = *h;
    f->now.log.revision = ev->u.handover.revision;
    f->now.log.epoch = ev->u.handover.epoch;
    forget(f);
    for (uint32_t i = 0; i < h->n_vms; i++)
        *handover_fold_vm(f, h->vms[i].id, h->vms[i].cluster) = h->vms[i];
    for (uint32_t i = 0; i < h->n_parks; i++) {
        struct handover_park *k = handover_park_of(f, h->parks[i].node, h->parks[i].vm, true);

        if (k != NULL)
            *k = h->parks[i];
    }
    for (uint32_t i = 0; i < h->n_ops && rc == 0; i++)
        rc = take_open(f, &h->ops[i], err);
    return rc;
}
