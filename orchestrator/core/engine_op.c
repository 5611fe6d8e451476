/* Operations, from here to the node: an intent before the send, a deadline from predictions, a probe when it passes (I18, I19;
 * reliability.md part C). What comes back is read in engine_answer.c. */
#include "orchestrator/core/engine_op.h"

#include "orchestrator/core/engine_handover.h"

#include <string.h>

#define OP_GRACE_MS (30 * SECOND_MS)
#define PROBE_FIRST_MS (15 * SECOND_MS)
#define PROBE_LAST_MS (5 * MINUTE_MS)
#define PROBE_ANSWER_MS (60 * SECOND_MS)

/* clang-format off */
const struct action_row action_rows[ACTIONS] = {
    [ACT_PAUSE]       = { "pause",             PREDICT_PAUSE,       2 * MINUTE_MS },
    [ACT_MOVE_VM]     = { "move_vm",           PREDICT_STEPS,       5 * MINUTE_MS },
    [ACT_PARK_VM]     = { "park_vm",           PREDICT_PARK,       10 * MINUTE_MS },
    [ACT_MOVE_GROUPS] = { "move_groups",       PREDICT_MOVE_GROUPS, 5 * MINUTE_MS },
    [ACT_STORAGE_OUT] = { "storage_out",       PREDICT_STORAGE,     5 * MINUTE_MS },
    [ACT_STOP_VMMS]   = { "stop_vmms",         PREDICT_VMMS,        5 * MINUTE_MS },
    [ACT_BITLOCKER]   = { "bitlocker_suspend", PREDICT_PAUSE,       2 * MINUTE_MS },
    [ACT_INSTALL]     = { "install",           PREDICT_INSTALL,    20 * MINUTE_MS },
    [ACT_UNINSTALL]   = { "uninstall",         PREDICT_REMOVE,     20 * MINUTE_MS },
    [ACT_REBOOT]      = { "reboot",            PREDICT_REBOOT,     15 * MINUTE_MS },
    [ACT_START_VMMS]  = { "start_vmms",        PREDICT_VMMS,       10 * MINUTE_MS },
    [ACT_STORAGE_IN]  = { "storage_in",        PREDICT_STORAGE,     5 * MINUTE_MS },
    [ACT_RESUME]      = { "resume",            PREDICT_RESUME,      5 * MINUTE_MS },
    [ACT_UNPARK_VM]   = { "unpark_vm",         PREDICT_UNPARK,     10 * MINUTE_MS },
    [ACT_MERGE]       = { "merge",             PREDICT_PARK,       30 * MINUTE_MS },
    [ACT_CLUSTER_SETTING] = { "cluster_setting", PREDICT_PAUSE,     2 * MINUTE_MS },
};
/* clang-format on */

const char *action_name(enum action a)
{
    return action_rows[a].name;
}

/* I19: no more attempts of one step in one life than the policy has. What was withdrawn before it began was none. */
bool action_may_repeat(const struct engine *e, const struct engine_node *n, enum action a)
{
    return n->attempts[a] - n->withdrawn[a] < (int64_t)e->rollout->policy.attempts_max;
}

static struct op *op_slot(struct engine *e)
{
    struct op *op;

    if (!list_grow(&e->ops.items, e->ops.n, &e->ops.cap, sizeof(struct op *)) ||
        !list_grow(&e->ops_free.items, e->ops_free.n + e->ops.n, &e->ops_free.cap, sizeof(struct op *)))
        return NULL;
    if (e->ops_free.n > 0) {
        struct buf args, precondition;

        op = e->ops_free.items[--e->ops_free.n];
        args = op->args;
        precondition = op->precondition;
        memset(op, 0, sizeof *op);
        op->args = args;
        op->precondition = precondition;
        buf_reset(&op->args);
        buf_reset(&op->precondition);
        return op;
    }
    return calloc(1, sizeof *op);
}

static uint32_t next_attempt(struct engine *e, struct engine_node *n, enum action action, uint32_t vm)
{
    if (action == ACT_CLUSTER_SETTING) { /* of the cluster, not of a life of the node */
        n->own_settings |= node_bit(++n->setting_ops);
        return n->setting_ops;
    }
    if (n->attempts[action] < UINT8_MAX)
        n->attempts[action]++;
    if (n->attempts_ever[action] < n->attempts[action])
        n->attempts_ever[action] = n->attempts[action];
    if (vm == IX_NONE) {
        n->own_lives |= node_bit(n->life);
        return n->attempts[action];
    }
    if (e->vms[vm].ops < e->vms[vm].ops_heard)
        e->vms[vm].ops = e->vms[vm].ops_heard;
    e->vms[vm].own_ops |= node_bit(++e->vms[vm].ops);
    return e->vms[vm].ops;
}

static struct estimate op_predict(const struct engine *e, const struct op *op)
{
    if (op->action == ACT_MOVE_VM)
        return predict_move(e->predictor, &e->fleet, op->vm);
    return predict_step(e->predictor, op->node, action_rows[op->action].predict);
}

/* What is decided now is decided on the cluster as it was seen last. */
static time_ms looked_at(const struct engine *e, const struct engine_node *n)
{
    time_ms seen = e->clusters[n->cluster].seen_at;

    return seen < 0 ? e->now : seen;
}

struct op *op_open(struct engine *e, struct engine_node *n, enum action action, uint32_t vm)
{
    struct op *op = op_slot(e);
    const char *subject = vm == IX_NONE ? NULL : e->fleet.vms.items[vm].vm.id;
    dur_ms limit;

    if (op == NULL) {
        e->nomem = true;
        return NULL;
    }
    op->action = action;
    op->node = n->ix;
    op->vm = vm;
    op->receiver = IX_NONE;
    op->decided = looked_at(e, n);
    if (op_id_make(e->run, node_id(e, n), n->life == 0 ? 1 : n->life, action_rows[action].name, subject,
                   next_attempt(e, n, action, vm), &op->id, NULL) != 0)
        e->bug = true;
    op->predicted = op_predict(e, op);
    limit = op->predicted.p95 * (dur_ms)e->rollout->policy.timeout_factor;
    op->limit_ms = limit > action_rows[action].floor_ms ? limit : action_rows[action].floor_ms;
    op->timer.kind = TIMER_OP;
    op->timer.of = op;
    op->slot = e->ops.n;
    e->ops.items[e->ops.n++] = op;
    if (action == ACT_MOVE_VM)
        e->vms[vm].op = op;
    else
        n->op = op;
    return op;
}

void op_send(struct engine *e, struct op *op)
{
    struct command *c = engine_command(e, CMD_OP_START);

    c->node = op->node;
    c->op = engine_keep(e, op->id.text); /* the op may end, and its slot be used anew, in this very step */
    c->action = action_rows[op->action].name;
    c->args = engine_keep(e, buf_text(&op->args));
    c->precondition = op->precondition.len == 0 ? NULL : engine_keep(e, buf_text(&op->precondition));
    c->receiver = op->receiver;
    c->memory_mib = op->memory_mib;
    c->limit_ms = op->limit_ms;
    e->nomem |= op->args.failed || op->precondition.failed;
    if (op->vm == IX_NONE && op->action != ACT_CLUSTER_SETTING)
        e->nodes[op->node].blank = false;
    op->sends++;
    op->sent = e->now;
    op->deadline = e->now + op->limit_ms + OP_GRACE_MS;
    op->late = op->probing = op->undone = false;
    op->probes = 0;
    engine_timer(e, &op->timer, op->deadline);
}

void op_command(struct engine *e, enum command_type type, uint32_t node, const char *id)
{
    struct command *c = engine_command(e, type);

    c->node = node;
    c->op = engine_keep(e, id);
}

void op_cancel(struct engine *e, struct op *op)
{
    if (op->cancelled)
        return;
    op->cancelled = true;
    op_command(e, CMD_OP_CANCEL, op->node, op->id.text);
}

/* Backoff doubles from 15 s to 5 min. */
static dur_ms probe_wait(const struct op *op)
{
    dur_ms wait = PROBE_FIRST_MS;

    for (uint32_t i = 0; i < op->probes && wait < PROBE_LAST_MS; i++)
        wait *= 2;
    return wait < PROBE_LAST_MS ? wait : PROBE_LAST_MS;
}

void op_probe(struct engine *e, struct op *op)
{
    op_command(e, CMD_OP_PROBE, op->node, op->id.text);
    op->probing = true;
    op->probes++;
    engine_timer(e, &op->timer, e->now + PROBE_ANSWER_MS);
}

void op_set_unknown(struct engine *e, struct op *op, bool unknown)
{
    struct engine_node *n = &e->nodes[op->node];
    bool was = node_is_unknown(n);

    if (op->unknown == unknown)
        return;
    op->unknown = unknown;
    if (op->action == ACT_CLUSTER_SETTING)
        return; /* nothing is out by it: its value is its witness, any node tells it */
    if (unknown) {
        n->unknown_ops++;
        FILL(n->doubt, SAY(e, "the outcome of %s is not known", op->id.text));
    } else {
        assert(n->unknown_ops > 0);
        n->unknown_ops--;
        n->doubt[0] = '\0';
    }
    node_unknown(e, n, was);
}

/* A reboot that has its START and no end, within its time: the node is away because it was told to be. It is out and
 * keeps its slot; unknown, and charged to the budget, only past that time (O17). */
bool op_awaits_boot(const struct op *op, time_ms now)
{
    return op->action == ACT_REBOOT && op->state == OP_UNKNOWN && !op->unknown && now < op->deadline;
}

/* A deadline means "ask", never "failed" (I19, mutant: timeout taken as failure). */
void op_timeout(struct engine *e, struct op *op)
{
    struct engine_node *n = &e->nodes[op->node];

    if (op_awaits_boot(op, e->now)) {
        op->probing = false;
        if (n->claimed)
            op_probe(e, op);
        else
            engine_timer(e, &op->timer, op->deadline);
        return;
    }
    op->late = true;
    if (op->probing || !n->claimed) {
        op->probing = false;
        op->state = OP_UNKNOWN;
        op_set_unknown(e, op, true);
    }
    if (n->claimed)
        op_probe(e, op);
}

void op_wait_and_probe(struct engine *e, struct op *op)
{
    op->probing = false;
    engine_timer(e, &op->timer, e->now + probe_wait(op));
}

void op_close(struct engine *e, struct op *op)
{
    struct op *last = e->ops.items[--e->ops.n];

    op_set_unknown(e, op, false);
    timer_stop(&e->timers, &op->timer);
    e->ops.items[op->slot] = last;
    last->slot = op->slot;
    if (op->action == ACT_MOVE_VM)
        e->vms[op->vm].op = NULL;
    else
        e->nodes[op->node].op = NULL;
    if (op->action == ACT_CLUSTER_SETTING)
        e->clusters[e->nodes[op->node].cluster].settings[op->setting].op = NULL;
    /* room was made when it was opened */
    e->ops_free.items[e->ops_free.n++] = op;
}

/* Nobody sends it again: nothing is begun on another engine's word. One that its node never saw, or did not begin, is
 * cancelled; one that is done or at work is heard. */
struct op *op_restore(struct engine *e, const struct handover_op *from, uint32_t vm)
{
    struct op *op = op_slot(e);

    if (op == NULL) {
        e->nomem = true;
        return NULL;
    }
    op->action = from->action;
    op->node = from->node;
    op->vm = vm;
    op->receiver = from->receiver;
    op->setting = from->setting;
    op->memory_mib = from->memory_mib;
    op->limit_ms = from->limit_ms;
    op->sent = from->sent;
    op->deadline = from->sent + from->limit_ms + OP_GRACE_MS;
    op->state = OP_UNKNOWN;
    op->sends = from->sends;
    op->seen = from->seen;
    op->evidence = from->evidence;
    op->cancelled = true;
    FILL(op->id.text, from->id);
    buf_str(&op->args, from->args);
    buf_str(&op->precondition, from->precondition);
    e->nomem = e->nomem || op->args.failed || op->precondition.failed;
    op->predicted = op_predict(e, op);
    op->timer.kind = TIMER_OP;
    op->timer.of = op;
    op->slot = e->ops.n;
    e->ops.items[e->ops.n++] = op;
    if (op->action == ACT_MOVE_VM)
        e->vms[vm].op = op;
    else
        e->nodes[op->node].op = op;
    engine_timer(e, &op->timer, op->deadline > e->now ? op->deadline : e->now);
    if (!op_awaits_boot(op, e->now))
        op_set_unknown(e, op, true);
    return op;
}

struct op *op_find(const struct engine *e, uint32_t node, const char *id)
{
    struct op *op = e->nodes[node].op;
    struct op_id_parts parts;
    uint32_t vm;

    if (op != NULL && strcmp(op->id.text, id) == 0)
        return op;
    if (strstr(id, "/move_vm:") == NULL || op_id_parse(id, &parts, NULL) != 0)
        return NULL;
    vm = fleet_vm_by_id(&e->fleet, parts.subject);
    op = vm == IX_NONE ? NULL : e->vms[vm].op;
    return op != NULL && op->node == node && strcmp(op->id.text, id) == 0 ? op : NULL;
}

void op_forget(struct engine *e, struct engine_node *n)
{
    bool was;

    for (uint32_t i = e->ops.n; i-- > 0;) {
        struct op *op = e->ops.items[i];
        struct op_end end = { .action = op->action,
                              .vm = op->vm,
                              .receiver = op->receiver,
                              .evidence = op->evidence,
                              .setting = op->setting,
                              .code = "lost",
                              .text = "given up" };

        if (op->node != n->ix)
            continue;
        stray_give_up(n, op->id.text, n->claimed && (op->at_work || op->state == OP_RUNNING));
        op_close(e, op);
        if (end.action == ACT_CLUSTER_SETTING)
            setting_ended(e, n, &end);
        if (end.action == ACT_PARK_VM)
            stray_park_in_doubt(e, n, end.vm);
        if (end.action == ACT_INSTALL)
            node_suppose_patched(e, n);
        if (end.action != ACT_MOVE_VM)
            continue;
        move_land(e, &end, n->ix);
        e->clusters[n->cluster].strangers++; /* it may go on: until it is seen again (I10) */
        if (end.evidence)
            evidence_ended(e, &end);
        else if (n->moves_open > 0)
            n->moves_open--;
    }
    was = node_is_unknown(n);
    n->foreign_op = n->foreign_led = n->lost_unknown = false;
    node_unknown(e, n, was);
}
