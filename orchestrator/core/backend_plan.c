#include "orchestrator/core/backend_plan.h"

#include "orchestrator/core/backend_plan_world.h"

#include "schema/json.h"

#include <string.h>

#define ANSWER_MS 200  /* a question, a claim */
#define CLUSTER_MS 500 /* a picture of a cluster: several nodes are asked */

/* the queue */

static bool sooner(const struct world_entry *a, const struct world_entry *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void swap(struct backend_plan *b, uint32_t i, uint32_t k)
{
    struct world_entry t = b->queue.items[i];

    b->queue.items[i] = b->queue.items[k];
    b->queue.items[k] = t;
}

static struct world_entry *entry(struct backend_plan *b, enum world_due due, uint32_t node, dur_ms after)
{
    static struct world_entry spare;
    struct world_entry *w = list_push(&b->queue);
    uint32_t i;

    if (w == NULL) {
        b->nomem = true;
        return &spare;
    }
    w->at = b->now + after;
    w->order = ++b->order;
    w->due = due;
    w->node = node;
    w->cluster = IX_NONE;
    for (i = b->queue.n - 1; i > 0 && sooner(&b->queue.items[i], &b->queue.items[(i - 1) / 2]);
         i = (i - 1) / 2)
        swap(b, i, (i - 1) / 2);
    return &b->queue.items[i];
}

static struct world_entry take(struct backend_plan *b)
{
    struct world_entry first = b->queue.items[0];
    uint32_t i = 0;

    b->queue.items[0] = b->queue.items[--b->queue.n];
    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= b->queue.n)
            break;
        if (child + 1 < b->queue.n && sooner(&b->queue.items[child + 1], &b->queue.items[child]))
            child++;
        if (!sooner(&b->queue.items[child], &b->queue.items[i]))
            break;
        swap(b, i, child);
        i = child;
    }
    return first;
}

/* commands */

static struct world_op *journal_find(struct world_node *n, const char *id)
{
    for (uint32_t i = 0; i < n->journal.n; i++)
        if (strcmp(n->journal.items[i].id.text, id) == 0)
            return &n->journal.items[i];
    return NULL;
}

static dur_ms duration(const struct backend_plan *b, uint32_t node, const struct world_op *op)
{
    if (op->action == ACT_MOVE_VM)
        return predict_move(b->predictor, &b->fleet, op->vm).p50;
    return predict_step(b->predictor, node, action_rows[op->action].predict).p50;
}

static enum action action_of(const char *name)
{
    for (int a = 0; a < ACTIONS; a++)
        if (strcmp(action_rows[a].name, name) == 0)
            return (enum action)a;
    return ACTIONS;
}

static void due_op(struct backend_plan *b, uint32_t node, const struct world_op *op, dur_ms after)
{
    struct world_entry *w = entry(b, op->action == ACT_REBOOT ? DUE_BOOT : DUE_OP, node, after);

    w->op = op->id;
    w->took = after;
}

static void setting_args(struct backend_plan *b, const struct command *c, struct world_op *op)
{
    struct json_doc *doc = NULL;

    if (json_parse("args", c->args, strlen(c->args), &doc, NULL) != 0) {
        b->nomem = true;
        return;
    }
    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++)
        if (strcmp(cluster_setting_name((enum cluster_setting)i), json_get_str(json_root(doc), "name", "")) ==
            0)
            op->setting = i;
    op->value = (uint32_t)json_get_int(json_root(doc), "value", 0);
    op->expected = (uint32_t)json_get_int(json_root(doc), "expected", 0);
    json_free(doc);
}

static void probe(struct backend_plan *b, const struct command *c)
{
    struct world_entry *w = entry(b, DUE_PROBE, c->node, ANSWER_MS);

    memcpy(w->op.text, c->op, strlen(c->op) + 1);
}

static void start_op(struct backend_plan *b, const struct command *c)
{
    struct world_node *n = &b->nodes[c->node];
    struct world_op *op = journal_find(n, c->op);
    struct op_id_parts parts;

    if (op != NULL && op->state == OP_DONE)
        probe(b, c); /* the journal answers, and nothing is done */
    if (op != NULL && op->state != OP_UNKNOWN)
        return; /* the same op again: the record answers when it ends */
    if (op == NULL)
        op = list_push(&n->journal);
    if (op == NULL || op_id_parse(c->op, &parts, NULL) != 0) {
        b->nomem = true;
        return;
    }
    memset(op, 0, sizeof *op);
    memcpy(op->id.text, c->op, strlen(c->op) + 1);
    op->action = action_of(c->action);
    op->vm = parts.subject[0] == '\0' ? IX_NONE : fleet_vm_by_id(&b->fleet, parts.subject);
    op->to = c->receiver;
    op->state = OP_RUNNING;
    op->accepted = op->started = b->now;
    if (op->action == ACT_CLUSTER_SETTING)
        setting_args(b, c, op);
    if (op->action == ACT_REBOOT) {
        n->up = false;
        n->reachable = false;
        entry(b, DUE_LOST, c->node, 1);
    }
    due_op(b, c->node, op, duration(b, c->node, op));
}

void backend_plan_by_another(struct backend_plan *b, uint32_t node, const char *id)
{
    struct world_op *op = list_push(&b->nodes[node].journal);
    struct op_id_parts parts;

    if (op == NULL || op_id_parse(id, &parts, NULL) != 0) {
        b->nomem = true;
        return;
    }
    memset(op, 0, sizeof *op);
    memcpy(op->id.text, id, strlen(id) + 1);
    op->action = action_of(parts.step);
    op->vm = parts.subject[0] == '\0' ? IX_NONE : fleet_vm_by_id(&b->fleet, parts.subject);
    op->to = IX_NONE;
    op->state = OP_DONE;
    op->outcome = OUTCOME_OK;
    op->accepted = op->started = op->ended = b->now;
    world_effect(b, node, op);
}

static void ack_op(struct backend_plan *b, const struct command *c)
{
    struct world_node *n = &b->nodes[c->node];
    struct world_op *op = journal_find(n, c->op);

    if (op != NULL && (op->state == OP_DONE || op->state == OP_UNKNOWN))
        op->acked = true;
}

static void ask(struct backend_plan *b, const struct command *c)
{
    struct world_entry *w =
        entry(b, DUE_OBSERVE, c->node, c->what == OBSERVE_CLUSTER ? CLUSTER_MS : ANSWER_MS);

    w->cluster = c->cluster;
    w->ask = c->ask;
    w->what = c->what;
}

static void plan_submit(struct backend *backend, const struct command *c)
{
    struct backend_plan *b = (struct backend_plan *)backend;

    switch (c->type) {
    case CMD_CLAIM:
        b->nodes[c->node].claim_waits = true;
        b->nodes[c->node].claim_journal = c->journal;
        entry(b, DUE_CLAIM, c->node, ANSWER_MS);
        break;
    case CMD_OBSERVE:
        ask(b, c);
        break;
    case CMD_STAGE:
        entry(b, DUE_STAGED, c->node, predict_step(b->predictor, c->node, PREDICT_STAGE).p50);
        break;
    case CMD_OP_START:
        start_op(b, c);
        break;
    case CMD_OP_PROBE:
        probe(b, c);
        break;
    case CMD_OP_ACK:
        ack_op(b, c);
        break;
    case CMD_OP_CANCEL: /* what runs in this world has started: its own end answers */
    case CMD_NOTE:
    case CMD_END:
    case COMMAND_TYPES:
        break;
    }
}

/* answers */

static bool connected(const struct backend_plan *b, uint32_t node)
{
    return b->nodes[node].up && b->nodes[node].reachable && b->now >= b->nodes[node].cut_until;
}

static bool answer_claim(struct backend_plan *b, const struct world_entry *w, struct event *ev)
{
    struct world_node *n = &b->nodes[w->node];
    struct op_record *recs;

    if (!connected(b, w->node) || !n->claim_waits)
        return false; /* goes on when the node is there */
    n->claim_waits = false;
    recs = ARENA_ARRAY(&b->arena, struct op_record, n->journal.n);
    if (recs == NULL) {
        b->nomem = true;
        return false;
    }
    for (uint32_t i = 0; i < n->journal.n; i++)
        if (!n->journal.items[i].acked || n->claim_journal)
            world_record(b, &n->journal.items[i], w->node, &recs[ev->u.claimed.n_ops++]);
    ev->type = EV_NODE_CLAIMED;
    ev->u.claimed.boot_id = world_boot_id(b, w->node);
    ev->u.claimed.machine_id = b->inv->nodes[w->node].machine_id;
    ev->u.claimed.agent = "plan";
    ev->u.claimed.ops = recs;
    return true;
}

static bool answer_op(struct backend_plan *b, const struct world_entry *w, struct event *ev,
                      struct plan_answer *a)
{
    struct world_node *n = &b->nodes[w->node];
    struct world_op *op = journal_find(n, w->op.text);

    if (op == NULL || op->state != OP_RUNNING)
        return false;
    op->state = OP_DONE;
    op->outcome = OUTCOME_OK;
    op->ended = b->now;
    ev->type = EV_OP_RESULT;
    a->action = action_rows[op->action].name;
    a->vm = op->vm;
    world_record(b, op, w->node, &ev->u.op_result.record);
    return true;
}

/* The hook has had its say: what it wrote into the record is what the node knows. */
static void commit_op(struct backend_plan *b, const struct world_entry *w, struct event *ev,
                      const struct plan_answer *a)
{
    struct world_node *n = &b->nodes[w->node];
    struct world_op *op = journal_find(n, w->op.text);
    struct op_record *rec = &ev->u.op_result.record;
    size_t len = rec->error_code == NULL ? 0 : strlen(rec->error_code);

    op->outcome = rec->outcome;
    op->reboot_required = rec->reboot_required;
    memcpy(op->error_code, rec->error_code == NULL ? "" : rec->error_code, len < 31 ? len + 1 : 31);
    if (a->effect && (rec->outcome == OUTCOME_OK || rec->outcome == OUTCOME_FAILED))
        world_effect(b, w->node, op);
    if (!a->journal)
        op->state = OP_UNKNOWN;
    world_record(b, op, w->node, rec);
    if (op->action == ACT_REBOOT) {
        n->up = n->reachable = true;
        entry(b, DUE_CLAIM, w->node, ANSWER_MS);
    }
}

static bool answer_probe(struct backend_plan *b, const struct world_entry *w, struct event *ev)
{
    const struct world_op *op = journal_find(&b->nodes[w->node], w->op.text);
    struct op_record *rec = &ev->u.op_result.record;

    if (!connected(b, w->node))
        return false;
    ev->type = EV_OP_RESULT;
    if (op == NULL) {
        rec->op = arena_str(&b->arena, w->op.text); /* outlives the entry */
        rec->state = OP_NONE;
        return rec->op != NULL;
    }
    world_record(b, op, w->node, rec);
    if (op->state == OP_UNKNOWN)
        rec->witness = op->true_done ? WITNESS_SAYS_DONE : WITNESS_SAYS_NOT_DONE;
    return true;
}

static bool answer(struct backend_plan *b, const struct world_entry *w, struct event *ev,
                   struct plan_answer *a)
{
    switch (w->due) {
    case DUE_CLAIM:
        return answer_claim(b, w, ev);
    case DUE_OBSERVE:
        a->cause = CMD_OBSERVE;
        ev->type = EV_OBSERVED;
        ev->cluster = w->cluster;
        if (!connected(b, w->node))
            return false;
        world_observe(b, w, ev);
        return true;
    case DUE_STAGED:
        a->cause = CMD_STAGE;
        ev->type = EV_STAGED;
        ev->u.staged.ok = true;
        return connected(b, w->node);
    case DUE_OP:
    case DUE_BOOT:
        a->cause = CMD_OP_START;
        return answer_op(b, w, ev, a);
    case DUE_PROBE:
        a->cause = CMD_OP_PROBE;
        return answer_probe(b, w, ev);
    case DUE_LOST:
        ev->type = EV_NODE_LOST;
        ev->u.refused.code = ERR_LOST;
        ev->u.refused.text = "the connection is gone";
        return true;
    case DUE_REACH:
        entry(b, DUE_CLAIM, w->node, ANSWER_MS);
        return false;
    }
    return false;
}

/* One entry; false when nothing comes of it for the controller. */
static bool play(struct backend_plan *b, struct event *ev)
{
    struct world_entry w = take(b);
    struct plan_answer a = {
        .cause = CMD_CLAIM, .node = w.node, .vm = IX_NONE, .effect = true, .journal = true, .ev = ev
    };

    b->now = w.at > b->now ? w.at : b->now;
    arena_clear(&b->arena);
    memset(ev, 0, sizeof *ev);
    ev->at = b->now;
    ev->node = w.node;
    ev->cluster = IX_NONE;
    a.at = b->now;
    if (!answer(b, &w, ev, &a))
        return false;
    if (b->hook != NULL)
        b->hook(b->hook_arg, &a);
    if (w.due == DUE_OBSERVE && a.late_ms > 0) {
        struct world_entry *again = entry(b, w.due, w.node, a.late_ms);
        again->cluster = w.cluster;
        again->ask = w.ask;
        again->what = w.what;
        return false;
    }
    if (w.due == DUE_OP || w.due == DUE_BOOT) {
        commit_op(b, &w, ev, &a);
        /* A reboot is told by the claim that follows it, and by its journal. */
        return w.due == DUE_OP && !a.silent && connected(b, w.node);
    }
    return !a.silent;
}

bool backend_plan_next(struct backend_plan *b, time_ms deadline, struct event *ret_ev)
{
    while (b->queue.n > 0 && b->queue.items[0].at <= deadline)
        if (play(b, ret_ev))
            return true;
    if (deadline == TIME_NEVER)
        return false;
    b->now = deadline > b->now ? deadline : b->now;
    memset(ret_ev, 0, sizeof *ret_ev);
    ret_ev->at = b->now;
    ret_ev->type = EV_TIMEOUT;
    ret_ev->node = ret_ev->cluster = IX_NONE;
    return true;
}

/* life */

static bool world_alloc(struct backend_plan *b)
{
    b->nodes = calloc(b->inv->n_nodes + 1, sizeof *b->nodes);
    b->vms = calloc(b->inv->n_vms + 1, sizeof *b->vms);
    b->settings = calloc(b->inv->n_clusters + 1, sizeof *b->settings);
    if (b->nodes == NULL || b->vms == NULL || b->settings == NULL)
        return false;
    for (uint32_t i = 0; i < b->inv->n_clusters; i++) { /* the platform's own defaults */
        b->settings[i][SETTING_BALANCER] = 2;
        b->settings[i][SETTING_MOVE_TYPE] = 2000;
        b->settings[i][SETTING_MIGRATIONS] = b->inv->clusters[i].migrations_parallel;
    }
    for (uint32_t i = 0; i < b->inv->n_nodes; i++) {
        b->nodes[i].up = b->nodes[i].vmms = b->nodes[i].reachable = true;
        b->nodes[i].boot = 1;
        b->nodes[i].build = b->inv->nodes[i].build;
    }
    for (uint32_t i = 0; i < b->inv->n_vms; i++)
        b->vms[i].running = b->inv->vms[i].state == VM_RUNNING;
    return true;
}

int backend_plan_new(const struct plan *plan, time_ms start, struct backend_plan **ret_backend,
                     struct err *err)
{
    struct backend_plan *b = calloc(1, sizeof *b);
    int rc;

    if (b == NULL)
        return err_set(err, ERR_NOMEM, "plan backend");
    b->backend.submit = plan_submit;
    b->plan = plan;
    b->inv = plan->inv;
    b->now = start;
    rc = fleet_init(&b->fleet, plan->inv, err);
    if (rc == 0)
        rc = predictor_new(plan->inv, &b->predictor, err);
    if (rc == 0 && !world_alloc(b))
        rc = err_set(err, ERR_NOMEM, "plan backend");
    if (rc != 0) {
        backend_plan_free(b);
        return rc;
    }
    *ret_backend = b;
    return 0;
}

void backend_plan_free(struct backend_plan *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; b->nodes != NULL && i < b->inv->n_nodes; i++)
        list_clear(&b->nodes[i].journal);
    list_clear(&b->queue);
    arena_clear(&b->arena);
    predictor_free(b->predictor);
    fleet_clear(&b->fleet);
    free(b->nodes);
    free(b->vms);
    free(b->settings);
    free(b);
}

struct backend *backend_plan_backend(struct backend_plan *b)
{
    return &b->backend;
}

void backend_plan_hook(struct backend_plan *b, void (*hook)(void *arg, struct plan_answer *a), void *arg)
{
    b->hook = hook;
    b->hook_arg = arg;
}

void backend_plan_cut(struct backend_plan *b, uint32_t node, time_ms until)
{
    b->nodes[node].cut_until = until;
    entry(b, DUE_LOST, node, 0);
    if (until != TIME_NEVER)
        entry(b, DUE_REACH, node, until - b->now);
}

void backend_plan_forget(struct backend_plan *b)
{
    struct backend_plan keep = *b;

    /* What runs on the nodes goes on; only what was on its way to the controller is gone. */
    memset(&b->queue, 0, sizeof b->queue);
    for (uint32_t i = 0; i < keep.queue.n; i++) {
        const struct world_entry *w = &keep.queue.items[i];

        if (w->due == DUE_OP || w->due == DUE_BOOT || w->due == DUE_REACH)
            *entry(b, w->due, w->node, w->at - b->now) = *w;
    }
    for (uint32_t i = 0; i < b->inv->n_nodes; i++)
        b->nodes[i].claim_waits = false;
    list_clear(&keep.queue);
}

uint32_t backend_plan_vm_at(const struct backend_plan *b, uint32_t vm)
{
    return b->fleet.vms.items[vm].at;
}

bool backend_plan_vm_runs(const struct backend_plan *b, uint32_t vm)
{
    return b->vms[vm].running;
}

bool backend_plan_in_service(const struct backend_plan *b, uint32_t node)
{
    return b->nodes[node].up && !b->nodes[node].paused && b->nodes[node].vmms;
}

uint32_t *backend_plan_setting(struct backend_plan *b, uint32_t cluster, enum cluster_setting s)
{
    return &b->settings[cluster][s];
}

struct build backend_plan_build(const struct backend_plan *b, uint32_t node)
{
    return b->nodes[node].build;
}

uint32_t backend_plan_effects(const struct backend_plan *b, uint32_t node, const char *action)
{
    return b->nodes[node].effects[action_of(action)];
}

int backend_plan_play(struct backend_plan *b, struct runner *r, const struct event *first,
                      uint32_t events_max, void (*each)(void *arg, const struct event *ev), void *arg,
                      struct err *err)
{
    struct event ev = *first;
    int rc = runner_feed(r, &ev, err);
    bool more;

    for (uint32_t n = 0; rc == 0 && !r->ended; n++) {
        if (each != NULL)
            each(arg, &ev);
        more = n < events_max && backend_plan_next(b, engine_deadline(r->engine), &ev);
        if (b->nomem) /* the event is not whole */
            return err_set(err, ERR_NOMEM, "plan backend");
        if (!more)
            return err_set(err, ERR_STATE, "the run does not come to rest: %u events", n);
        rc = runner_feed(r, &ev, err);
    }
    return rc;
}
