/* What a log tells of its operations without an engine: a fold that decides nothing. Where the log is silent (an op that
 * was given up leaves no trace of its own) the projected phase says what may still be open. */
#include "orchestrator/core/handover.h"
#include "orchestrator/core/rollout_names.h"

#include <string.h>

struct folded_op {
    struct handover_op op;
    uint32_t life;
    bool over, ok;
    bool back; /* of a life that removes: its moves have a budget of their own */
};

struct handover_fold {
    const struct plan *plan;
    const struct inventory *inv;
    struct arena arena;
    struct handover now;
    struct command_list commands; /* scratch */
    struct LIST_OF(struct folded_op) ops;
    struct LIST_OF(struct handover_op) open; /* at the end */
    struct LIST_OF(struct handover_vm) vms;
    struct LIST_OF(struct handover_park) parks;
    struct node_record *seen; /* per node: its facts as last told */
    bool nomem;
};

int handover_fold_new(const struct plan *plan, struct handover_fold **ret_fold, struct err *err)
{
    struct handover_fold *f = calloc(1, sizeof *f);
    const struct inventory *inv = plan->inv;

    if (f == NULL)
        return err_set(err, ERR_NOMEM, "fold a log");
    f->plan = plan;
    f->inv = inv;
    f->seen = calloc(inv->n_nodes + 1, sizeof *f->seen);
    f->now.nodes = ARENA_ARRAY(&f->arena, struct handover_node, inv->n_nodes);
    f->now.waves = ARENA_ARRAY(&f->arena, struct handover_wave, plan->n_waves);
    f->now.settings = ARENA_ARRAY(&f->arena, struct handover_setting, inv->n_clusters * CLUSTER_SETTINGS);
    if (f->seen == NULL || f->now.nodes == NULL || f->now.waves == NULL || f->now.settings == NULL) {
        handover_fold_free(f);
        return err_set(err, ERR_NOMEM, "fold a log");
    }
    f->now.n_nodes = inv->n_nodes;
    f->now.n_waves = plan->n_waves;
    f->now.n_settings = inv->n_clusters * CLUSTER_SETTINGS;
    f->now.log.approval_expires = TIME_NEVER;
    f->now.hold_text = f->now.end_text = "";
    for (uint32_t i = 0; i < inv->n_nodes; i++) {
        struct handover_node *n = &f->now.nodes[i];

        n->node = i;
        n->reason = n->boot = n->boot_effect = n->boot_effect_first = "";
        n->build_before = n->build_now = inv->nodes[i].build;
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
    free(f->seen);
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

struct handover_vm *handover_fold_vm(struct handover_fold *f, const char *id, uint32_t cluster)
{
    static struct handover_vm spare; /* the fold fails; nobody reads it */
    struct handover_vm *v;

    for (uint32_t i = 0; i < f->vms.n; i++)
        if (strcmp(f->vms.items[i].id, id) == 0)
            return &f->vms.items[i];
    v = list_push(&f->vms);
    if (v == NULL) {
        f->nomem = true;
        return &spare;
    }
    v->id = handover_fold_keep(f, id);
    v->cluster = cluster;
    v->at = IX_NONE;
    return v;
}

static struct handover_park *park_of(struct handover_fold *f, uint32_t node, const char *vm, bool make)
{
    struct handover_park *k = NULL;

    for (uint32_t i = 0; i < f->parks.n && k == NULL; i++)
        if (f->parks.items[i].node == node && strcmp(f->parks.items[i].vm, vm) == 0)
            k = &f->parks.items[i];
    if (k != NULL || !make)
        return k;
    k = list_push(&f->parks);
    if (k == NULL) {
        f->nomem = true;
        return NULL;
    }
    k->node = node;
    k->vm = handover_fold_keep(f, vm);
    return k;
}

static enum action action_of(const char *name)
{
    for (int a = 0; a < ACTIONS; a++)
        if (strcmp(action_name((enum action)a), name) == 0)
            return (enum action)a;
    return ACTIONS;
}

static struct folded_op *op_of(struct handover_fold *f, const char *id)
{
    for (uint32_t i = f->ops.n; i-- > 0;)
        if (strcmp(f->ops.items[i].op.id, id) == 0)
            return &f->ops.items[i];
    return NULL;
}

/* --- settings (O18) --- */

static struct handover_setting *setting_of(struct handover_fold *f, const struct handover_op *op)
{
    return &f->now.settings[f->inv->nodes[op->node].cluster * CLUSTER_SETTINGS + op->setting];
}

static void setting_begun(struct handover_fold *f, struct handover_op *op, const json *args)
{
    uint32_t value = (uint32_t)json_get_int(args, "value", 0);
    struct handover_setting *s;

    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++)
        if (strcmp(cluster_setting_names[i], json_get_str(args, "name", "")) == 0)
            op->setting = i;
    for (uint32_t i = 0; i < f->ops.n; i++) { /* one at a time: an earlier one without an end was given up */
        struct handover_op *o = &f->ops.items[i].op;

        if (o != op && o->action == ACT_CLUSTER_SETTING && o->setting == op->setting &&
            f->inv->nodes[o->node].cluster == f->inv->nodes[op->node].cluster)
            f->ops.items[i].over = true;
    }
    s = setting_of(f, op);
    if (value != f->plan->rollout->policy.settings[op->setting].value) {
        s->state = SETTING_RESTORING;
        return;
    }
    s->state = SETTING_SETTING;
    s->old = (uint32_t)json_get_int(args, "expected", 0);
}

static void setting_over(struct handover_fold *f, const struct handover_op *op, bool ok)
{
    struct handover_setting *s = setting_of(f, op);

    if (s->state == SETTING_SETTING)
        s->state = ok ? SETTING_SET : SETTING_UNTOUCHED;
    else if (s->state == SETTING_RESTORING)
        s->state = ok ? SETTING_RESTORED : SETTING_SET;
}

/* --- what an operation's end changes --- */

static void rebooted(struct handover_fold *f, struct handover_node *n, time_ms at)
{
    n->reboots++;
    n->reboot_before = n->reboot_last;
    n->reboot_last = at;
    n->rebooted = n->vmms = true;
    n->storage = n->storage || f->inv->clusters[f->inv->nodes[n->node].cluster].storage == STORAGE_S2D;
    n->suspended = false;
}

static void parked(struct handover_fold *f, const struct handover_op *op, const struct op_record *rec)
{
    struct handover_park *k = park_of(f, op->node, op->vm, true);

    if (k == NULL)
        return;
    k->down = true;
    if (k->down_since == 0)
        k->down_since = rec != NULL && rec->n_rows > 0 ? rec->rows[0].start : rec != NULL ? rec->ended : 0;
}

static void unparked(struct handover_fold *f, const struct handover_op *op, bool merged)
{
    struct handover_park *k = park_of(f, op->node, op->vm, false);

    if (k != NULL && merged)
        k->merged = true;
    else if (k != NULL)
        k->down = false;
}

static void op_done(struct handover_fold *f, const struct handover_op *op, const struct op_record *rec)
{
    struct handover_node *n = &f->now.nodes[op->node];

    switch (op->action) {
    case ACT_PAUSE:
        n->paused = true;
        break;
    case ACT_PARK_VM:
        parked(f, op, rec);
        break;
    case ACT_UNPARK_VM:
    case ACT_MERGE:
        unparked(f, op, op->action == ACT_MERGE);
        break;
    case ACT_BITLOCKER:
        n->suspended = true;
        break;
    case ACT_INSTALL:
    case ACT_UNINSTALL:
        n->effect = true;
        n->rebooted = false;
        n->removed = op->action == ACT_UNINSTALL;
        n->patched = n->patched || op->action == ACT_INSTALL;
        break;
    case ACT_REBOOT:
        rebooted(f, n, rec != NULL && rec->ended > 0 ? rec->ended : op->sent);
        break;
    case ACT_START_VMMS:
        n->vmms = false;
        break;
    case ACT_STORAGE_IN:
        n->storage = false;
        break;
    case ACT_RESUME:
        n->paused = false;
        break;
    case ACT_MOVE_VM: /* counted at the end */
    case ACT_MOVE_GROUPS:
    case ACT_STORAGE_OUT:
    case ACT_STOP_VMMS:
    case ACT_CLUSTER_SETTING:
    case ACTIONS:
        break;
    }
}

static void op_failed(struct handover_fold *f, const struct handover_op *op, const struct op_record *rec)
{
    struct handover_node *n = &f->now.nodes[op->node];
    bool untouched = rec == NULL || rec->outcome == OUTCOME_REFUSED || rec->outcome == OUTCOME_CANCELLED;

    if (op->action == ACT_PAUSE && !untouched)
        n->paused = true; /* it may be half done */
    if (op->action == ACT_PARK_VM && !untouched)
        parked(f, op, rec);
    if (op->action == ACT_UNINSTALL && rec != NULL && rec->error_code != NULL &&
        strcmp(rec->error_code, "not_removable") == 0) {
        f->now.log.removal_known = true;
        f->now.log.removal_possible = false;
    }
}

static void op_over(struct handover_fold *f, struct folded_op *o, bool ok, const struct op_record *rec)
{
    o->over = true;
    o->ok = ok;
    if (o->op.action == ACT_CLUSTER_SETTING)
        setting_over(f, &o->op, ok);
    else if (ok)
        op_done(f, &o->op, rec);
    else
        op_failed(f, &o->op, rec);
}

static void take_record(struct handover_fold *f, const struct op_record *rec)
{
    struct folded_op *o = op_of(f, rec->op);

    if (o == NULL || o->over)
        return;
    o->op.seen = o->op.seen || rec->state != OP_NONE;
    if (rec->state == OP_DONE)
        op_over(f, o, rec->outcome == OUTCOME_OK, rec);
    else if (rec->state == OP_UNKNOWN && rec->witness == WITNESS_SAYS_DONE)
        op_over(f, o, true, rec);
}

/* --- what an operation's intent tells --- */

static bool goes_home(enum action a)
{
    return a == ACT_START_VMMS || a == ACT_STORAGE_IN || a == ACT_RESUME;
}

/* What is down stays owed (I9). */
static void forget_parks(struct handover_fold *f, uint32_t node)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < f->parks.n; i++)
        if (f->parks.items[i].node != node || f->parks.items[i].down)
            f->parks.items[kept++] = f->parks.items[i];
    f->parks.n = kept;
}

/* The first operation of a life; of `return` when it leads home at once. */
static void new_life(struct handover_fold *f, struct handover_node *n, uint32_t life, enum action a)
{
    bool was_removed = n->effect && n->removed;

    if (was_removed) {
        f->now.log.removal_known = f->now.log.removal_possible =
            true; /* it went on to a next life: verified */
        n->patched = false;
    }
    n->ops_life = life;
    memset(n->attempts, 0, sizeof n->attempts);
    n->paused = n->vmms = n->storage = goes_home(a);
    n->effect = n->removed = n->rebooted = n->suspended = false;
    n->reboots = 0;
    forget_parks(f, n->node);
    if (!goes_home(a))
        n->before.known = false;
}

/* Node-level operations of a node come one after another: one that has no end in the log was given up, but a reboot
 * after which others came was decided by the new boot. */
static void close_before(struct handover_fold *f, uint32_t node, enum action next)
{
    for (uint32_t i = f->ops.n; i-- > 0;) {
        struct folded_op *o = &f->ops.items[i];

        if (o->over || o->op.node != node || o->op.action == ACT_MOVE_VM)
            continue;
        op_over(f, o, o->op.action == ACT_REBOOT && next != ACT_REBOOT, NULL);
    }
}

static void count_attempt(struct handover_fold *f, struct handover_node *n, enum action a,
                          const struct op_id_parts *p)
{
    struct handover_vm *v;

    if (a == ACT_CLUSTER_SETTING) {
        n->setting_ops = p->attempt > n->setting_ops ? p->attempt : n->setting_ops;
        return;
    }
    if (n->attempts[a] < UINT8_MAX)
        n->attempts[a]++;
    if (p->subject[0] == '\0')
        return;
    v = handover_fold_vm(f, p->subject, f->inv->nodes[n->node].cluster);
    v->ops = p->attempt > v->ops ? p->attempt : v->ops;
}

static void begun(struct handover_fold *f, struct handover_op *op, const json *args, const char *precondition)
{
    struct handover_node *n = &f->now.nodes[op->node];
    struct handover_park *k = NULL;

    if (op->action == ACT_PAUSE && !n->paused)
        n->before = f->seen[op->node];
    if (op->action == ACT_STORAGE_OUT)
        n->storage = true;
    if (op->action == ACT_STOP_VMMS)
        n->vmms = true;
    if (op->action == ACT_REBOOT)
        n->boot_effect = handover_fold_keep(f, json_get_str(args, "boot_id", ""));
    if (op->action == ACT_INSTALL || op->action == ACT_UNINSTALL)
        n->boot_effect_first = handover_fold_keep(f, precondition);
    if (op->action == ACT_CLUSTER_SETTING)
        setting_begun(f, op, args);
    if (op->action == ACT_PARK_VM)
        k = park_of(f, op->node, op->vm, true);
    if (k == NULL)
        return;
    k->method = strcmp(json_get_str(args, "method", ""), "save") == 0 ? PARK_SAVE : PARK_SHUTDOWN;
    k->checkpoint = json_get_bool(args, "checkpoint", false);
}

static int with_args(struct handover_fold *f, struct handover_op *op, const struct command *c,
                     struct err *err)
{
    struct json_doc *args = NULL, *guard = NULL;
    int rc = json_parse("args", c->args, strlen(c->args), &args, err);

    if (rc == 0 && c->precondition != NULL)
        rc = json_parse("precondition", c->precondition, strlen(c->precondition), &guard, err);
    if (rc == 0)
        begun(f, op, json_root(args), guard == NULL ? "" : json_get_str(json_root(guard), "boot_id", ""));
    json_free(args);
    json_free(guard);
    return rc;
}

static void life_goes_back(struct handover_fold *f, uint32_t node, uint32_t life)
{
    for (uint32_t i = f->ops.n; i-- > 0;)
        if (f->ops.items[i].op.node == node && f->ops.items[i].life == life)
            f->ops.items[i].back = true;
}

static int take_intent(struct handover_fold *f, const struct command *c, time_ms at, struct err *err)
{
    struct folded_op *o = op_of(f, c->op);
    struct handover_node *n = &f->now.nodes[c->node];
    enum action a = action_of(c->action);
    struct op_id_parts p;

    if (o != NULL) { /* the same once more (C.3) */
        o->op.sent = at;
        return 0;
    }
    if (a == ACTIONS || op_id_parse(c->op, &p, NULL) != 0)
        return err_set(err, ERR_INVALID, "`%s` is no operation that this program knows", c->op);
    if (a != ACT_MOVE_VM)
        close_before(f, c->node, a);
    if (a != ACT_CLUSTER_SETTING && a != ACT_MOVE_VM && p.life != n->ops_life)
        new_life(f, n, p.life, a);
    if (a == ACT_UNINSTALL)
        life_goes_back(f, c->node, p.life);
    o = list_push(&f->ops);
    if (o == NULL)
        return err_set(err, ERR_NOMEM, "fold a log");
    o->op = (struct handover_op){ .id = handover_fold_keep(f, c->op),
                                  .args = handover_fold_keep(f, c->args),
                                  .precondition = handover_fold_keep(f, c->precondition),
                                  .action = a,
                                  .node = c->node,
                                  .receiver = c->receiver,
                                  .vm = handover_fold_keep(f, p.subject),
                                  .memory_mib = c->memory_mib,
                                  .limit_ms = c->limit_ms,
                                  .sent = at,
                                  .evidence = a == ACT_MOVE_VM && !n->paused };
    o->life = p.life;
    count_attempt(f, n, a, &p);
    return with_args(f, &o->op, c, err);
}

/* --- entries --- */

static int take_handover(struct handover_fold *f, const struct event *ev, struct err *err);

static int take_event(struct handover_fold *f, const struct event *ev, struct err *err)
{
    struct handover_log *l = &f->now.log;
    struct op_record decided;

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
        if (ev->u.observed.what == OBSERVE_FACTS && ev->u.observed.ok && ev->node != IX_NONE)
            record_take(&f->seen[ev->node], &ev->u.observed.facts, ev->at);
        break;
    case EV_OP_RESULT:
        take_record(f, &ev->u.op_result.record);
        break;
    case EV_VERB:
        if (ev->u.verb.verb == VERB_ABORT || ev->u.verb.verb == VERB_ROLLBACK) {
            l->abort_said = ev->u.verb.verb == VERB_ABORT;
            l->rollback_said = !l->abort_said;
        }
        if (ev->u.verb.verb == VERB_DECIDE && ev->u.verb.op != NULL) {
            decided = (struct op_record){ .op = ev->u.verb.op,
                                          .state = OP_UNKNOWN,
                                          .witness = ev->u.verb.decision };
            take_record(f, &decided);
        }
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

/* What an earlier takeover by another revision found is where the fold begins anew. */
static int take_handover(struct handover_fold *f, const struct event *ev, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_doc *doc = NULL;
    struct json_writer w;
    struct handover *h = NULL;
    struct op_id_parts p;
    int rc;

    jw_init(&w, &text);
    handover_write(&w, NULL, ev->u.handover.state, f->inv);
    rc = text.failed ? err_set(err, ERR_NOMEM, "fold a log")
                     : json_parse("handover", buf_text(&text), text.len, &doc, err);
    if (rc == 0)
        rc = handover_read(doc, json_root(doc), f->inv, &f->arena, &h, err);
    json_free(doc);
    buf_clear(&text);
    if (rc != 0)
        return rc;
    f->now = *h;
    f->now.log.revision = ev->u.handover.revision;
    f->now.log.epoch = ev->u.handover.epoch;
    f->ops.n = f->vms.n = f->parks.n = 0;
    for (uint32_t i = 0; i < h->n_vms; i++)
        *handover_fold_vm(f, h->vms[i].id, h->vms[i].cluster) = h->vms[i];
    for (uint32_t i = 0; i < h->n_parks; i++) {
        struct handover_park *k = park_of(f, h->parks[i].node, h->parks[i].vm, true);

        if (k != NULL)
            *k = h->parks[i];
    }
    for (uint32_t i = 0; i < h->n_ops; i++) {
        struct folded_op *o = list_push(&f->ops);

        if (o == NULL)
            return err_set(err, ERR_NOMEM, "fold a log");
        o->op = h->ops[i];
        if (op_id_parse(o->op.id, &p, NULL) == 0)
            o->life = p.life;
    }
    return 0;
}

/* --- the end: what may still be open --- */

static bool fits_phase(enum node_phase p, enum action a)
{
    switch (a) {
    case ACT_PAUSE:
    case ACT_PARK_VM:
    case ACT_MOVE_GROUPS:
        return p == NODE_DRAINING;
    case ACT_STORAGE_OUT:
        return p == NODE_STORAGE_OUT;
    case ACT_STOP_VMMS:
        return p == NODE_STOPPING_VMMS;
    case ACT_BITLOCKER:
        return p == NODE_INSTALLING || p == NODE_REMOVING || p == NODE_REBOOTING;
    case ACT_INSTALL:
        return p == NODE_INSTALLING;
    case ACT_UNINSTALL:
        return p == NODE_REMOVING;
    case ACT_REBOOT:
        return p == NODE_REBOOTING;
    case ACT_START_VMMS:
        return p == NODE_STARTING_VMMS;
    case ACT_STORAGE_IN:
        return p == NODE_STORAGE_IN;
    case ACT_RESUME:
    case ACT_UNPARK_VM:
        return p == NODE_RESUMING;
    case ACT_MERGE:
        return p == NODE_SETTLING;
    case ACT_MOVE_VM:
    case ACT_CLUSTER_SETTING:
    case ACTIONS:
        break;
    }
    return false;
}

static bool still_open(const struct handover_fold *f, const struct handover_op *op)
{
    const struct handover_node *n = &f->now.nodes[op->node];

    if (op->action == ACT_CLUSTER_SETTING) {
        const struct handover_setting *s =
            &f->now.settings[f->inv->nodes[op->node].cluster * CLUSTER_SETTINGS + op->setting];

        return s->state == SETTING_SETTING || s->state == SETTING_RESTORING;
    }
    if (op->action == ACT_MOVE_VM)
        return op->evidence || n->phase == NODE_DRAINING;
    return n->end == NODE_END_NONE && fits_phase(n->phase, op->action);
}

static bool later_one(const struct handover_fold *f, uint32_t at)
{
    const struct handover_op *op = &f->ops.items[at].op;

    for (uint32_t i = at + 1; i < f->ops.n; i++)
        if (f->ops.items[i].op.action == ACT_MOVE_VM && strcmp(f->ops.items[i].op.vm, op->vm) == 0)
            return true;
    return false;
}

static void settle_ops(struct handover_fold *f)
{
    for (uint32_t i = 0; i < f->ops.n; i++) {
        struct folded_op *o = &f->ops.items[i];
        struct handover_op *kept;

        if (o->over)
            continue;
        if (!still_open(f, &o->op) || (o->op.action == ACT_MOVE_VM && later_one(f, i))) {
            op_over(f, o, o->op.action == ACT_REBOOT, NULL);
            if (o->op.action == ACT_PARK_VM)
                parked(f, &o->op, NULL); /* given up: it may be down, and undoing nothing succeeds (I9) */
            continue;
        }
        kept = list_push(&f->open);
        if (kept == NULL)
            f->nomem = true;
        else
            *kept = o->op;
    }
}

/* A life that has no operation yet: a new one, or what `return` has begun. */
static void settle_life(struct handover_fold *f, struct handover_node *n)
{
    if (n->life <= n->ops_life || n->ops_life == 0)
        return;
    new_life(f, n, n->life,
             n->phase >= NODE_STARTING_VMMS && n->phase < NODE_ENDED ? ACT_START_VMMS : ACT_PAUSE);
}

static void count_moves(struct handover_fold *f)
{
    for (uint32_t i = 0; i < f->ops.n; i++) {
        const struct folded_op *o = &f->ops.items[i];
        struct handover_vm *v;

        if (o->op.action != ACT_MOVE_VM || !o->ok || o->op.evidence)
            continue;
        v = handover_fold_vm(f, o->op.vm, f->inv->nodes[o->op.node].cluster);
        v->moves += !o->back;
        v->moves_back += o->back;
    }
}

int handover_fold_end(struct handover_fold *f, const struct handover **ret_h, struct err *err)
{
    f->open.n = 0;
    for (uint32_t i = 0; i < f->now.n_nodes; i++)
        if (f->now.nodes[i].back)
            life_goes_back(f, i, f->now.nodes[i].life);
    settle_ops(f);
    count_moves(f);
    for (uint32_t i = 0; i < f->now.n_nodes; i++)
        settle_life(f, &f->now.nodes[i]);
    for (uint32_t i = 0; i < f->now.n_nodes; i++)
        if (f->now.nodes[i].end == NODE_ROLLED_BACK)
            f->now.nodes[i].patched = false;
    f->now.ops = f->open.items;
    f->now.n_ops = f->open.n;
    f->now.vms = f->vms.items;
    f->now.n_vms = f->vms.n;
    f->now.parks = f->parks.items;
    f->now.n_parks = f->parks.n;
    if (f->nomem)
        return err_set(err, ERR_NOMEM, "fold a log");
    *ret_h = &f->now;
    return 0;
}
