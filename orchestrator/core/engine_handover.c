/* A run goes on under another revision of the engine. What is over stays as it was judged. What was
 * in flight is unknown until journals and witnesses tell; then each node that is out goes to its next safe point, as in an
 * abort, and one that comes back untouched is admitted anew, by this engine's own judgement. A way back that was under way
 * ends: no removal begins on another engine's word, `rollback` begins it again. */
#include "orchestrator/core/engine_handover.h"

#include "orchestrator/core/fleet_own.h"

#include <string.h>

/* --- may it be taken at all --- */

static int misfit(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, "the handover does not fit the plan: %s", what);
}

static bool in_scope(const struct engine *e, uint32_t node)
{
    return node != IX_NONE && e->clusters[e->nodes[node].cluster].in_scope;
}

static bool knows_vm(const struct engine *e, const struct handover *h, const char *id)
{
    for (uint32_t i = 0; i < h->n_vms; i++)
        if (strcmp(h->vms[i].id, id) == 0)
            return true;
    return fleet_vm_by_id(&e->fleet, id) != IX_NONE;
}

static bool of_vm(enum action a)
{
    return a == ACT_MOVE_VM || a == ACT_PARK_VM || a == ACT_UNPARK_VM || a == ACT_MERGE;
}

static int check_op(const struct engine *e, const struct handover *h, const struct handover_op *op,
                    struct err *err)
{
    struct op_id_parts p;

    if (!in_scope(e, op->node) || op_id_parse(op->id, &p, NULL) != 0)
        return misfit(err, "an operation of no node");
    if (of_vm(op->action) != (op->vm[0] != '\0') || (of_vm(op->action) && !knows_vm(e, h, op->vm)))
        return misfit(err, "an operation of no VM");
    if (op->limit_ms == TIME_NEVER || op->sent == TIME_NEVER)
        return misfit(err, "an operation without a time");
    if (op->action == ACT_MOVE_VM && !in_scope(e, op->receiver))
        return misfit(err, "a move to nowhere");
    for (const struct handover_op *o = h->ops; o < op; o++)
        if ((op->action == ACT_MOVE_VM) == (o->action == ACT_MOVE_VM) &&
            (op->action == ACT_MOVE_VM ? strcmp(o->vm, op->vm) == 0 : o->node == op->node))
            return misfit(err, "two operations at once where one is possible");
    return 0;
}

static int check_lists(const struct engine *e, const struct handover *h, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; i < h->n_gates && rc == 0; i++) {
        bool known = false;

        for (uint32_t k = 0; k < e->rollout->n_gates; k++)
            known = known || strcmp(e->rollout->gates[k].name, h->gates[i].name) == 0;
        if (!known || h->gates[i].wave >= e->plan->n_waves)
            rc = misfit(err, "a gate that it does not have");
    }
    for (uint32_t i = 0; i < h->n_parks && rc == 0; i++)
        if (!in_scope(e, h->parks[i].node) || !knows_vm(e, h, h->parks[i].vm))
            rc = misfit(err, "a parked VM of no node");
    for (uint32_t i = 0; i < h->n_ops && rc == 0; i++)
        rc = check_op(e, h, &h->ops[i], err);
    return rc;
}

static int check_state(const struct engine *e, const struct handover *h, struct err *err)
{
    if (h->n_waves != e->plan->n_waves || (h->wave >= h->n_waves && h->n_waves > 0))
        return misfit(err, "its waves");
    if (h->state < RUN_RUNNING)
        return misfit(err, "a run that has not started");
    for (uint32_t i = 0; i < h->n_nodes; i++)
        if ((h->nodes[i].phase == NODE_ENDED) != (h->nodes[i].end != NODE_END_NONE))
            return misfit(err, "a node that ended without an end");
    return check_lists(e, h, err);
}

/* --- VMs, settings, waves, gates, downtime --- */

static uint32_t add_vm(struct engine *e, const struct handover_vm *v)
{
    struct vm vm = { .cluster = v->cluster, .home = IX_NONE, .clustered = true, .state = VM_RUNNING };
    struct engine_vm *vms;
    uint32_t ix;

    vm.id = vm.name = arena_str(&e->fleet.arena, v->id);
    ix = vm.id == NULL ? IX_NONE : fleet_add_vm(&e->fleet, &vm, IX_NONE);
    vms = ix == IX_NONE ? NULL : realloc(e->vms, (e->fleet.vms.n + 1u) * sizeof *vms);
    if (vms == NULL) {
        e->nomem = true;
        return IX_NONE;
    }
    memset(&vms[e->n_vms], 0, (e->fleet.vms.n - e->n_vms) * sizeof *vms);
    e->vms = vms;
    e->n_vms = e->fleet.vms.n;
    return ix;
}

static void take_vms(struct engine *e, const struct handover *h)
{
    for (uint32_t i = 0; i < h->n_vms && !e->nomem; i++) {
        const struct handover_vm *v = &h->vms[i];
        uint32_t ix = fleet_vm_by_id(&e->fleet, v->id);

        if (ix == IX_NONE)
            ix = add_vm(e, v);
        if (ix == IX_NONE)
            return;
        e->vms[ix].ops = v->ops;
        e->vms[ix].own_ops = v->own_ops;
        e->vms[ix].moves_back = v->moves_back;
        e->fleet.vms.items[ix].moves = v->moves;
        if (v->at != IX_NONE)
            fleet_arrive(&e->fleet, ix, v->at);
        else if (ix < e->inv->n_vms)
            fleet_set_gone(&e->fleet, ix);
    }
}

static void take_settings(struct engine *e, const struct handover *h, bool over)
{
    for (uint32_t i = 0; i < h->n_settings; i++) {
        const struct handover_setting *from = &h->settings[i];
        struct engine_setting *s = &e->clusters[from->cluster].settings[from->setting];
        bool ours =
            from->state == SETTING_SETTING || from->state == SETTING_SET || from->state == SETTING_RESTORING;

        s->state = ours && over ? SETTING_LEFT : from->state;
        s->old = from->old;
        s->since = e->now;
        s->restore_tried = ours; /* found as it was before, it is no stranger's change */
    }
}

static void take_waves(struct engine *e, const struct handover *h)
{
    e->wave = h->wave;
    for (uint32_t i = 0; i < h->n_waves; i++) {
        struct engine_wave *w = &e->waves[i];

        w->state = h->waves[i].state;
        w->started = h->waves[i].started;
        w->ended = h->waves[i].ended;
        w->failures = h->waves[i].failures;
        w->nodes_ended = e->now;
    }
    for (uint32_t i = 0; i < h->n_gates; i++)
        gate_restore(e, &h->gates[i]);
    e->gates_first = e->gate_runs.n;
    e->gates_open = 0;
    /* What was bad before the wave was kept by the engine that is gone: a failure may be older than the wave (I13). */
    memset(e->baseline, 0xff,
           (size_t)e->rollout->n_gates * (e->inv->n_nodes + e->inv->n_clusters) * sizeof *e->baseline);
}

static const char *keep(struct engine *e, const char *text)
{
    const char *copy = arena_str(&e->ledger.arena, text);

    e->nomem = e->nomem || copy == NULL;
    return copy == NULL ? "" : copy;
}

static void take_rows(struct engine *e, const struct handover *h)
{
    for (uint32_t i = 0; i < h->n_rows && !e->nomem; i++) {
        struct ledger_row *row = list_push(&e->ledger);
        struct open_row *open = h->rows[i].end == TIME_NEVER ? list_push(&e->rows_open) : NULL;

        if (row == NULL || (h->rows[i].end == TIME_NEVER && open == NULL)) {
            e->nomem = true;
            return;
        }
        *row = h->rows[i];
        row->id = keep(e, row->id);
        row->step = keep(e, row->step);
        row->op = keep(e, row->op);
        row->how = keep(e, row->how);
        if (open != NULL)
            *open = (struct open_row){ i, e->now };
    }
}

static void take_run(struct engine *e, const struct event *ev)
{
    const struct handover *h = ev->u.handover.state;

    FILL(e->run, ev->u.handover.run);
    FILL(e->controller, ev->u.handover.controller);
    e->epoch = ev->u.handover.epoch;
    ask_go_on(e, h->log.asks);
    e->approval_expires = h->log.approval_expires;
    e->removal_known = h->log.removal_known;
    e->removal_possible = h->log.removal_possible;
    e->started = h->started;
    e->ended = h->ended;
    e->failures = h->failures;
    e->deviations = h->deviations;
    if (e->deviations > e->deviations_allowed)
        e->deviations_allowed = e->deviations; /* a person let it go on */
    e->moved_at = e->controller_at = e->now;
    e->resumed = true;
    FILL(e->end_text, h->end_text);
}

/* --- how it goes on --- */

static bool is_over(enum run_state s)
{
    return (run_states[s].flags & SM_FINAL) != 0;
}

/* A gate that failed after the wave, and goes back on that. */
static bool gate_goes_back(const struct engine *e, const struct handover *h)
{
    for (uint32_t i = 0; i < h->n_gates && h->waves[h->wave].state == WAVE_FAILED; i++)
        for (uint32_t k = 0; k < e->rollout->n_gates; k++)
            if (h->gates[i].done && h->gates[i].after && h->gates[i].wave == h->wave &&
                h->gates[i].answer == ANSWER_FAIL && e->rollout->gates[k].on_fail == ON_FAIL_ROLLBACK &&
                strcmp(e->rollout->gates[k].name, h->gates[i].name) == 0)
                return true;
    return false;
}

static bool was_going_back(const struct engine *e, const struct handover *h)
{
    if (h->state == RUN_ROLLING_BACK || h->log.rollback_said || gate_goes_back(e, h))
        return true;
    for (uint32_t i = 0; i < h->n_nodes; i++)
        if (h->nodes[i].back && h->nodes[i].end == NODE_END_NONE && !e->nodes[i].rehearse)
            return true;
    return false;
}

/* What the run was coming to, or comes to now; RUN_RUNNING: it goes forward. */
static enum run_state ending_of(const struct engine *e, const struct handover *h)
{
    enum wave_state w = h->n_waves == 0 ? WAVE_PASSED : h->waves[h->wave].state;

    if (h->log.abort_said)
        return RUN_ABORTED;
    if (was_going_back(e, h) || w == WAVE_FAILED)
        return RUN_HALTED;
    return w == WAVE_PASSED && h->wave + 1 >= h->n_waves ? RUN_FINISHED : RUN_RUNNING;
}

static void stop(struct engine *e, const struct handover *h, enum run_state ending)
{
    bool back = was_going_back(e, h);

    e->state = back ? RUN_ROLLING_BACK : RUN_RUNNING;
    run_stop_towards(e, ending,
                     back && ending == RUN_HALTED
                         ? SAY(e,
                               "%s%sits way back ended with engine revision %u: `rollback` begins it again",
                               h->end_text, h->end_text[0] == '\0' ? "" : "; ", (unsigned)h->log.revision)
                         : SAY(e, "%s", h->end_text));
}

/* Nodes of the wave, in the plan's order: those out go to their safe point, those waiting get their turn. */
static void wave_on(struct engine *e)
{
    const struct plan_wave *pw = &e->plan->waves[e->wave];
    bool alone = false;

    for (uint32_t i = 0; i < pw->n_nodes; i++) {
        struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        round_add(e, n);
        alone = alone || (n->rehearse && n->end == NODE_END_NONE);
    }
    for (uint32_t i = 0; i < pw->n_nodes && e->waves[e->wave].state == WAVE_RUNNING; i++) {
        struct engine_node *n = &e->nodes[e->plan->nodes[pw->nodes[i]].node];

        if (n->phase == NODE_PENDING && n->rehearse && n->back)
            node_begin_life(e, n, true); /* the rehearsal goes on with its way back */
        else if (n->phase == NODE_PENDING && (!alone || n->rehearse))
            node_activate(e, n);
    }
}

static void hold_on(struct engine *e, const struct handover *h)
{
    enum hold why = h->state == RUN_HOLDING ? hold_by_text(h->hold_text) : HOLD_NONE;

    e->state = e->held_state = RUN_RUNNING;
    if (why == HOLD_NONE || why == HOLD_WINDOW || why == HOLD_UNKNOWN)
        return; /* judged anew */
    e->state = RUN_HOLDING;
    e->hold = why;
    FILL(e->hold_text, h->hold_text);
}

static void forward(struct engine *e, const struct handover *h)
{
    enum wave_state w = e->waves[e->wave].state;

    hold_on(e, h);
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        if (node_in_flight(&e->nodes[i]))
            node_safe_point(e, &e->nodes[i]);
    if (w >= WAVE_RUNNING)
        wave_on(e);
    if (w == WAVE_EVIDENCE)
        evidence_begin(e);
    if ((w == WAVE_GATE_BEFORE || w == WAVE_GATE_AFTER) && e->hold != HOLD_GATE && e->hold != HOLD_MANUAL)
        gates_begin(e, e->wave, w == WAVE_GATE_AFTER);
}

static void note_taken(struct engine *e, const struct event *ev)
{
    const struct handover *h = ev->u.handover.state;

    engine_note(e, NOTE_WARNING, "C.6", IX_NONE,
                SAY(e,
                    "taken over from engine revision %u by revision %u: %u nodes out, %u operations in doubt",
                    (unsigned)h->log.revision, (unsigned)ev->u.handover.revision, e->out_all, h->n_ops));
}

int handover_take(struct engine *e, const struct event *ev, struct err *err)
{
    const struct handover *h = ev->u.handover.state;
    enum run_state ending;
    int rc = check_state(e, h, err);

    if (rc != 0)
        return rc;
    take_run(e, ev);
    take_vms(e, h);
    take_settings(e, h, is_over(h->state));
    take_waves(e, h);
    take_rows(e, h);
    if (e->nomem)
        return 0; /* engine_step says it */
    if (is_over(h->state))
        e->state = h->state;
    handover_nodes(e, h);
    handover_parks(e, h);
    handover_ops(e, h);
    note_taken(e, ev);
    claim_overtaken(e);
    claim_all(e);
    ending = ending_of(e, h);
    if (ending != RUN_RUNNING && !is_over(h->state))
        stop(e, h, ending);
    else if (!is_over(h->state))
        forward(e, h);
    e->clusters_dirty = true;
    return 0;
}
