/* What a node answers about an operation of ours: done, at work, never seen, refuted by its witness, in doubt. It has an end only by the
 * node's journal, the effect's own witness or a person (I19; reliability.md part C). */
#include "orchestrator/core/engine_op.h"

#include <string.h>

#define SENDS_MAX 5   /* of one op that the node never saw */
#define REFUTED_MAX 2 /* of one op that was started and shown not to have happened */

/* By the node's clock, which may have jumped meanwhile: no longer than it was waited for. */
static dur_ms op_took(const struct engine *e, const struct op *op, const struct op_record *rec)
{
    dur_ms told = rec->started > 0 && rec->ended >= rec->started ? rec->ended - rec->started : 0;
    dur_ms waited = e->now - op->sent;

    return told < waited ? told : waited;
}

static void measure(struct engine *e, const struct op *op, const struct op_record *rec)
{
    dur_ms took = op_took(e, op, rec);

    if (took == 0 || rec->already)
        return;
    if (op->action == ACT_MOVE_VM)
        predictor_moved(e->predictor, &e->fleet, op->vm, took, rec->blackout_ms);
    else if (action_rows[op->action].predict != PREDICT_STEPS && op->action != ACT_BITLOCKER &&
             op->action != ACT_MERGE && op->action != ACT_CLUSTER_SETTING)
        predictor_measured(e->predictor, op->node, action_rows[op->action].predict, took);
}

static struct op_end end_of(const struct op *op, const struct op_record *rec, enum op_outcome outcome)
{
    struct op_end end = { .action = op->action,
                          .ok = outcome == OUTCOME_OK,
                          .refused = outcome == OUTCOME_REFUSED,
                          .cancelled = outcome == OUTCOME_CANCELLED,
                          .unseen = rec->state == OP_NONE || op->sends > 1,
                          .already = rec->already,
                          .reboot_required = rec->reboot_required,
                          .code = rec->error_code == NULL ? "" : rec->error_code,
                          .text = rec->error_text == NULL ? "" : rec->error_text,
                          .vm = op->vm,
                          .receiver = op->receiver,
                          .evidence = op->evidence,
                          .unproved = op->unproved,
                          .undone = op->undone,
                          .setting = op->setting,
                          .ended = rec->ended,
                          .down_from = rec->n_rows > 0 ? rec->rows[0].start : 0 };
    return end;
}

static void op_finish(struct engine *e, struct op *op, const struct op_record *rec, enum op_outcome outcome)
{
    struct engine_node *n = &e->nodes[op->node];
    struct op_end end = end_of(op, rec, outcome);

    if (rec->state == OP_DONE ||
        rec->state == OP_UNKNOWN) /* unknown there: its witness, or a person, has decided */
        op_command(e, CMD_OP_ACK, op->node, op->id.text);
    ledger_take(e, op, rec, outcome == OUTCOME_OK);
    if (outcome == OUTCOME_OK)
        measure(e, op, rec);
    e->moved_at = e->now;
    op_close(e, op);
    if (end.action == ACT_CLUSTER_SETTING) {
        setting_ended(e, n, &end);
        node_drive(e, n);
        return;
    }
    if (end.action != ACT_MOVE_VM) {
        node_op_ended(e, n, &end);
        node_drive(e, n);
        return;
    }
    move_land(e, &end, n->ix);
    if (end.evidence)
        evidence_ended(e, &end);
    else
        drain_move_ended(e, n, &end);
}

/* Nothing of it has begun, and what it was decided on is old by now: it is not begun, but decided anew on what is found
 * then (I2, I6, I7, I16, O20). */
static bool came_too_late(const struct engine *e, const struct op *op)
{
    bool looks = op->action == ACT_PAUSE || op->action == ACT_MOVE_VM || op->action == ACT_PARK_VM ||
                 op->action == ACT_REBOOT || op->action == ACT_RESUME;

    if (op->action == ACT_RESUME && op->undone)
        return true; /* what is paused now is so by others */
    if (op->action == ACT_PAUSE && e->nodes[op->node].phase != NODE_DRAINING)
        return false;
    return looks && e->now - op->decided > e->rollout->policy.fresh_ms;
}

/* A park may have done its work: the VM is owed a way back, and is parked once more before anything else happens (I9). */
static void park_again(struct engine_node *n, uint32_t vm)
{
    struct node_park *k = node_park_of(n, vm);

    if (k != NULL)
        k->down = k->again = true;
}

static void op_withdraw(struct engine *e, struct op *op, const struct op_record *rec)
{
    struct engine_node *n = &e->nodes[op->node];
    struct op_record late = *rec;
    bool pause = op->action == ACT_PAUSE, park = op->action == ACT_PARK_VM;
    bool resume = op->action == ACT_RESUME, undone = op->undone;
    uint32_t vm = op->vm;

    if (op->action == ACT_MOVE_VM) { /* as if the node had been busy: later, on a fresh picture */
        late.error_code = "busy";
        late.error_text = "it came too late";
        op_finish(e, op, &late, OUTCOME_REFUSED);
        return;
    }
    if (rec->state == OP_DONE)
        op_command(e, CMD_OP_ACK, op->node, op->id.text);
    e->moved_at = e->now;
    if (n->withdrawn[op->action] < n->attempts[op->action])
        n->withdrawn[op->action]++;
    op_close(e, op);
    if (park)
        park_again(n, vm);
    if (resume)
        home_compare_anew(e, n, undone);
    if (pause && !n->paused && !n->go_home)
        node_withdraw(e, n, rec->state == OP_DONE ? PAUSE_NOT_BEGUN : "the pause never reached the node",
                      rec->state != OP_DONE);
    node_drive(e, n);
}

/* Its end is that it was called off before it began. */
static void op_called_off(struct engine *e, struct op *op, const struct op_record *rec)
{
    if (op->too_late)
        op_withdraw(e, op, rec);
    else
        op_finish(e, op, rec, OUTCOME_CANCELLED);
}

/* A receiver says first whether it takes the VM (move.accept), and one that is not back yet cannot: to send now would be to be
 * refused. The node is asked again meanwhile, until the receiver is there or the move came too late. */
static void op_send_again(struct engine *e, struct op *op)
{
    if (op->receiver != IX_NONE && !e->nodes[op->receiver].claimed)
        op_wait_and_probe(e, op);
    else
        op_send(e, op);
}

/* It has not happened, and what it was a step of is stopped: it is not begun anew (I12, I30). */
static bool stopped_before(const struct engine *e, const struct op *op)
{
    bool leads_away = op->action <= ACT_UNINSTALL && op->action != ACT_BITLOCKER;
    bool stops = e->ending != RUN_RUNNING || run_has_ended(e);

    return op->cancelled || (op->evidence && stops) ||
           (leads_away && !op->evidence && e->nodes[op->node].go_home);
}

static void never_there(struct engine *e, struct op *op, const struct op_record *rec)
{
    struct op_record refused = *rec;

    refused.error_code = "lost";
    refused.error_text = SAY(e, "sent %u times, the node never saw it", op->sends);
    op_finish(e, op, &refused, OUTCOME_REFUSED);
}

/* The node says it never saw it. If it had said otherwise before, its journal is not to be trusted. */
static void op_never_seen(struct engine *e, struct op *op, const struct op_record *rec)
{
    if (op->seen) {
        op->state = OP_UNKNOWN;
        op->at_work = false; /* nobody says so any more: a person may look and decide */
        op_set_unknown(e, op, true);
        op_wait_and_probe(e, op);
    } else if (stopped_before(e, op)) {
        e->nodes[op->node].proved &= op->action != ACT_UNINSTALL; /* at work, and its journal lost? (I17) */
        e->nodes[op->node].pause_in_doubt |= op->action == ACT_PAUSE; /* likewise (I29) */
        op_called_off(e, op, rec);
    } else if (op->sends >= SENDS_MAX) {
        never_there(e, op, rec);
    } else if (came_too_late(e, op)) {
        op_command(e, CMD_OP_CANCEL, op->node,
                   op->id.text); /* the log says so; and so does whatever comes of it there */
        op_withdraw(e, op, rec);
    } else {
        e->nodes[op->node].pause_in_doubt |= op->action == ACT_PAUSE;
        op_set_unknown(e, op, false);
        op->state = OP_NONE;
        op_send_again(e, op); /* never seen: safe to send under the same id */
    }
}

/* The witness's word on a start that it had refuted before. */
static bool told_before(const struct op *op, const struct op_record *rec)
{
    return rec->witness == WITNESS_SAYS_NOT_DONE && rec->started != 0 && rec->started == op->refuted_start;
}

static void op_refuted(struct engine *e, struct op *op, const struct op_record *rec)
{
    bool enough = told_before(op, rec) ? op->sends >= SENDS_MAX : ++op->refuted >= REFUTED_MAX;

    op->refuted_start = rec->started;
    if (stopped_before(e, op)) {
        op_called_off(e, op, rec);
        return;
    }
    if (enough) {
        op_finish(e, op, rec, OUTCOME_FAILED);
        return;
    }
    if (came_too_late(e, op)) {
        op_command(e, CMD_OP_CANCEL, op->node,
                   op->id.text); /* the node has it in its journal: closed there too */
        op_withdraw(e, op, rec);
        return;
    }
    op_set_unknown(e, op, false);
    op->state = OP_NONE;
    op_send_again(e, op); /* same op once more (C.3) */
}

static void op_in_doubt(struct engine *e, struct op *op, const struct op_record *rec)
{
    bool unknown;

    if (told_before(op, rec) && !op->probing)
        return; /* asked before it was sent once more: of that one nothing is said (I21) */
    op->state = OP_UNKNOWN;
    op->at_work = rec->witness == WITNESS_SAYS_RUNNING;
    unknown = !op_awaits_boot(op, e->now);
    switch (rec->witness) {
    case WITNESS_SAYS_DONE:
        op_finish(e, op, rec, OUTCOME_OK);
        break;
    case WITNESS_SAYS_NOT_DONE:
        op_refuted(e, op, rec);
        break;
    case WITNESS_SAYS_RUNNING:
        op_set_unknown(e, op, op->late);
        op_wait_and_probe(e, op);
        break;
    case WITNESS_NOT_ASKED:
        op_set_unknown(e, op, unknown);
        if (!op->probing && e->nodes[op->node].claimed)
            op_probe(e, op);
        else
            op_wait_and_probe(e, op);
        break;
    case WITNESS_CANNOT_TELL:
        op_set_unknown(e, op, unknown);
        op_wait_and_probe(e, op);
        break;
    }
}

/* An agent that was started anew has its ACCEPT, and nothing is at it until it is told once more (C.3); one that is at it
 * answers with its record. What came too late, and what is stopped, is called off there first: until the node says so it may
 * begin it yet. */
static void op_begin_again(struct engine *e, struct op *op)
{
    bool stopped = stopped_before(e, op);

    if (!stopped && !came_too_late(e, op)) {
        op_send_again(e, op);
        return;
    }
    op->too_late |= !stopped;
    op->cancelled = true;
    op_command(e, CMD_OP_CANCEL, op->node, op->id.text);
    op_wait_and_probe(e, op);
}

static void op_under_way(struct engine *e, struct op *op, const struct op_record *rec, bool reclaimed)
{
    op->state = rec->state;
    op_set_unknown(e, op, false);
    if (rec->state == OP_ACCEPTED && (reclaimed || op->late))
        op_begin_again(e, op);
    else if (op->probing || op->late)
        op_wait_and_probe(e, op);
}

/* The boot id is the reboot's own witness (C.4). */
static bool rebooted_since(const struct engine *e, const struct op *op)
{
    const struct engine_node *n = &e->nodes[op->node];

    return op->action == ACT_REBOOT && strcmp(n->boot_id, n->boot_effect) != 0;
}

/* True when the boot decided. The node's own record is asked for first, so that the log has it and can acknowledge. */
static bool op_booted(struct engine *e, struct op *op, const struct op_record *rec)
{
    if (rec->state == OP_DONE || !rebooted_since(e, op))
        return false;
    if (op->probing)
        op_finish(e, op, rec, OUTCOME_OK);
    else if (e->nodes[op->node].claimed)
        op_probe(e, op);
    return true;
}

/* A node that could not write down what its witness says: that is no end of what it has begun. */
static bool has_no_room(const struct op *op, const struct op_record *rec)
{
    return op->seen && rec->state == OP_DONE && rec->outcome == OUTCOME_REFUSED && rec->accepted == 0 &&
           rec->error_code != NULL && strcmp(rec->error_code, "full") == 0;
}

static void op_take(struct engine *e, struct op *op, const struct op_record *rec, bool reclaimed)
{
    if (has_no_room(op, rec)) {
        op_set_unknown(e, op, !op_awaits_boot(op, e->now));
        op_wait_and_probe(e, op);
        return;
    }
    op->seen = op->seen || rec->state != OP_NONE;
    if (op_booted(e, op, rec))
        return;
    switch (rec->state) {
    case OP_NONE:
        if (op->sends <= 1 ||
            op->probing) /* else asked before it was sent once more, and nothing new (I21) */
            op_never_seen(e, op, rec);
        break;
    case OP_ACCEPTED:
    case OP_RUNNING:
        op_under_way(e, op, rec, reclaimed);
        break;
    case OP_DONE:
        if (rec->outcome == OUTCOME_CANCELLED)
            op_called_off(e, op, rec);
        else
            op_finish(e, op, rec, rec->outcome);
        break;
    case OP_UNKNOWN:
        op_in_doubt(e, op, rec);
        break;
    }
}

void op_on_record(struct engine *e, uint32_t node, const struct op_record *rec)
{
    struct op *op = op_find(e, node, rec->op);

    if (op == NULL)
        stray_record(e, &e->nodes[node], rec, false);
    else
        op_take(e, op, rec, false);
}

static bool listed(const char *op, const struct op_record *recs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(recs[i].op, op) == 0)
            return true;
    return false;
}

void op_reclaimed(struct engine *e, struct engine_node *n, const struct op_record *recs, uint32_t n_recs)
{
    struct op *mine[64];
    uint32_t count = 0;

    n->life_told = n->life_heard;
    if (!listed(n->undecided, recs, n_recs))
        n->undecided[0] = '\0'; /* all that nobody has acknowledged are told now */
    for (uint32_t i = 0; i < e->ops.n && count < 64; i++)
        if (e->ops.items[i]->node == n->ix && !listed(e->ops.items[i]->id.text, recs, n_recs))
            mine[count++] = e->ops.items[i];
    for (uint32_t i = 0; i < n_recs; i++) {
        struct op *op = op_find(e, n->ix, recs[i].op);

        if (op == NULL)
            stray_record(e, n, &recs[i], true); /* before anything goes on by the others */
        else
            op->listed = true;
    }
    for (uint32_t i = 0; i < n_recs; i++) {
        struct op *op = op_find(e, n->ix, recs[i].op);

        if (op == NULL || !op->listed)
            continue; /* told already; or begun just now, and this is no answer to it (I21) */
        op->listed = false;
        op_take(e, op, &recs[i], true);
    }
    for (uint32_t i = 0; i < count; i++)
        if (mine[i]->node == n->ix && op_find(e, n->ix, mine[i]->id.text) == mine[i])
            op_probe(e, mine[i]); /* never sent anew blindly */
}
