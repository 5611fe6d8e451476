/* Nodes at a handover: as they were left, with what is still open on them in doubt. */
#include "orchestrator/core/engine_handover.h"

#include <string.h>

static bool untold(const struct handover_node *from)
{
    return from->reason[0] == '\0';
}

static bool is_home(enum node_phase p)
{
    return (node_phases[p].flags & NODE_GOES_HOME) != 0;
}

/* A hotpatch's number that was there before the run proves nothing (I17). */
static bool at_target(const struct engine *e, const struct handover_node *from)
{
    bool same = build_compare(from->build_now, from->build_before) == 0;

    return build_compare(from->build_now, e->rollout->patch.target) >= 0 &&
           !(same && from->level_before.number != 0);
}

/* What a node on its way home comes to; I17: success rests on what the node itself said, not on a phase. */
static enum node_end home_end_of(const struct engine *e, const struct handover_node *from)
{
    if (from->back && !from->effect)
        return NODE_DONE; /* patched, as before */
    if (from->back)
        return untold(from) && build_compare(from->build_now, from->build_before) == 0 ? NODE_ROLLED_BACK
                                                                                       : NODE_SET_ASIDE;
    if (from->effect || from->patched)
        return from->proved && at_target(e, from) && (untold(from) || !from->effect) ? NODE_DONE
                                                                                     : NODE_SET_ASIDE;
    return NODE_RETURNED;
}

/* What it carried before its drain is not told: what the plan found on it (O15). */
static void former_load(struct engine *e, struct engine_node *n)
{
    const struct cluster *c = &e->inv->clusters[n->cluster];

    for (uint32_t i = 0; i < c->n_vms; i++) {
        const struct vm *v = &e->inv->vms[c->vms[i]];

        if (v->home != n->ix || v->state != VM_RUNNING)
            continue;
        n->former_mib += v->assigned_mib;
    }
}

static void take_details(struct engine *e, struct engine_node *n, const struct handover_node *from)
{
    n->paused = from->paused;
    n->paused_at =
        from->paused ? e->now : 0; /* seen in service from here on, somebody else has ended that (O7) */
    n->vmms_touched = from->vmms;
    n->storage_touched = from->storage;
    n->installed = from->effect;
    n->suspended = from->suspended;
    n->reboots = from->reboots;
    n->rebooted[0] = from->reboot_before;
    n->rebooted[1] = from->reboot_last;
    n->before = from->before;
    FILL(n->boot_effect, from->boot_effect);
    FILL(n->boot_effect_first, from->boot_effect_first);
    former_load(e, n);
}

static void count_out(struct engine *e, struct engine_node *n, uint32_t why)
{
    n->counted_out = true;
    e->fleet.nodes[n->ix].out |= why;
    e->fleet.nodes[n->ix].receives = false;
    e->clusters[n->cluster].out++;
    e->out_all++;
}

static void no_longer_open(struct engine *e, struct engine_node *n)
{
    if (n->counted_open)
        e->waves[n->wave].open--;
    n->counted_open = false;
}

static void restore_ended(struct engine *e, struct engine_node *n, const struct handover_node *from,
                          enum node_end end)
{
    n->phase = NODE_ENDED;
    n->end = end;
    n->verified = end == NODE_DONE || end == NODE_ROLLED_BACK;
    n->proved = end == NODE_DONE;
    e->fleet.nodes[n->ix].patched = end == NODE_DONE || end == NODE_COMPLIANT;
    if (e->fleet.nodes[n->ix].patched)
        e->fleet.nodes[n->ix].due = 0;
    if (end == NODE_STUCK)
        e->fleet.nodes[n->ix].out |= OUT_STUCK;
    if (from->out && from->out_since != 0 && from->out_until == 0) /* else another log had it out */
        count_out(e, n, OUT_STUCK);
    no_longer_open(e, n);
}

/* Not begun, so not begun: the next life takes the number of one that did nothing. For a node that its rollback never
 * reached nobody vouches (back_end()). */
static void restore_waiting(struct engine *e, struct engine_node *n, const struct handover_node *from)
{
    bool begun = from->phase != NODE_PENDING;

    if (from->back && !n->rehearse) {
        FILL(n->reason, "its way back had not begun");
        n->back = false;
        restore_ended(e, n, from, NODE_SET_ASIDE);
        return;
    }
    n->phase = NODE_PENDING;
    n->end = NODE_END_NONE;
    n->reason[0] = '\0';
    if (begun && !from->back && n->attempt > 0)
        n->attempt--;
    if (begun && from->ops_life != from->life && n->life > 0)
        n->life--;
    e->fleet.nodes[n->ix].patched = from->back;
}

/* After the end only `return` takes a node out, and one that was stuck comes home whatever another log did to it. One that is in
 * service is only given its VMs back. */
static bool was_put_back(const struct engine *e, const struct handover_node *from)
{
    return run_has_ended(e) && from->out;
}

static void restore_out(struct engine *e, struct engine_node *n, const struct handover_node *from)
{
    bool first = from->phase == NODE_REBOOTING && !from->effect;
    bool another = from->phase < NODE_INSTALLING && from->effect; /* drained once more for it */

    n->phase = from->phase;
    n->end = NODE_END_NONE;
    n->since = n->step_since = n->turn_since = e->now;
    n->goal = first ? GOAL_REBOOT_FIRST : another ? GOAL_REBOOT_AGAIN : n->back ? GOAL_REMOVE : GOAL_INSTALL;
    n->step = n->phase == NODE_DRAINING                 ? DRAIN_MOVES
              : n->phase == NODE_RESUMING && !n->paused ? RESUME_VMS
                                                        : 0;
    n->reboot_sent = n->phase == NODE_REBOOTING && from->rebooted;
    n->reboot_due = e->rollout->patch.reboot == REBOOT_ALWAYS || from->rebooted || n->phase == NODE_REBOOTING;
    n->home_end = is_home(n->phase) ? home_end_of(e, from) : NODE_END_NONE;
    n->verified = n->home_end == NODE_DONE || n->home_end == NODE_ROLLED_BACK;
    n->proved = n->back ? from->proved && !from->effect : n->home_end == NODE_DONE;
    n->failed = !untold(from) && !n->back;
    n->anew = untold(from) && !n->back;
    if (untold(from) && (n->home_end == NODE_RETURNED || n->home_end == NODE_SET_ASIDE)) /* a doubt hid it */
        FILL(n->reason, "on its way home when another revision took over: why is not told");
    n->foreign_settled = was_put_back(e, from);
    e->fleet.nodes[n->ix].patched = n->home_end == NODE_DONE;
    e->in_flight++;
    count_out(e, n, OUT_OURS);
}

static void restore(struct engine *e, const struct handover_node *from)
{
    struct engine_node *n = &e->nodes[from->node];

    n->setting_ops = from->setting_ops;
    n->own_settings = from->own_settings;
    FILL(n->boot_id, from->boot);
    if (n->plan_ix == IX_NONE)
        return;
    n->life = from->life;
    n->attempt = from->attempt;
    n->back = from->back;
    n->since = from->since;
    n->out_since = from->out_since;
    n->out_until = from->out_until;
    n->build_first = from->build_before;
    n->level_first = from->level_before.number != 0 ? from->level_before : from->build_before;
    n->build_now = from->build_now;
    n->patched_by_us = from->patched;
    n->supposed_at = from->patched && from->supposed ? e->now : 0;
    if (n->rehearse)
        n->rehearsal = from->back ? 1 : e->removal_known && e->removal_possible ? 2 : 0;
    if (from->ops_life == from->life)
        memcpy(n->attempts, from->attempts, sizeof n->attempts);
    memset(n->attempts_ever, UINT8_MAX, sizeof n->attempts_ever); /* of former lives nobody tells how many */
    n->own_lives = from->own_lives;
    FILL(n->reason, from->reason);
    take_details(e, n, from);
    if (from->phase == NODE_ENDED)
        restore_ended(e, n, from, from->end);
    else if (from->phase < NODE_DRAINING)
        restore_waiting(e, n, from);
    else
        restore_out(e, n, from);
}

/* Who counts as failed is not told one by one: ends that always count first, then those that say why they came back. */
static void share_failures(struct engine *e, uint32_t wave, uint32_t failures)
{
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < e->inv->n_nodes && failures > 0; i++) {
            struct engine_node *n = &e->nodes[i];
            bool sure = n->end == NODE_SET_ASIDE || n->end == NODE_STUCK || n->failed;

            if (n->wave != wave || (round == 0 ? !sure : n->failed || n->end != NODE_RETURNED))
                continue;
            n->failed = true;
            failures--;
        }
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        if (e->nodes[i].wave == wave && failures == 0 && e->waves[wave].failures == 0)
            e->nodes[i].failed = false;
}

void handover_nodes(struct engine *e, const struct handover *h)
{
    for (uint32_t i = 0; i < h->n_nodes; i++)
        restore(e, &h->nodes[i]);
    for (uint32_t i = 0; i < h->n_waves; i++)
        share_failures(e, i, h->waves[i].failures);
}

void handover_parks(struct engine *e, const struct handover *h)
{
    for (uint32_t i = 0; i < h->n_parks; i++) {
        const struct handover_park *from = &h->parks[i];
        struct node_park *k = list_push(&e->nodes[from->node].parks);

        if (k == NULL) {
            e->nomem = true;
            return;
        }
        k->vm = fleet_vm_by_id(&e->fleet, from->vm);
        k->method = from->method;
        k->checkpoint = from->checkpoint;
        k->down = from->down;
        k->merged = from->merged;
        k->down_since = from->down_since;
        fleet_park(&e->fleet, k->vm, from->down);
    }
}

static void restore_load(struct engine *e, const struct op *op)
{
    struct engine_load *l = list_push(&e->loads);

    if (l == NULL) {
        e->nomem = true;
        return;
    }
    *l = (struct engine_load){ op->vm, op->receiver, MOVE_FLYING };
    e->clusters[e->nodes[op->node].cluster].loads++;
}

static void restore_move(struct engine *e, const struct op *op)
{
    struct engine_node *n = &e->nodes[op->node];
    struct node_move *m;

    e->slots_used[op->node]++;
    e->slots_used[op->receiver]++;
    e->role_moving[e->fleet.vms.items[op->vm].vm.role]++;
    fleet_promise(&e->fleet, op->vm, op->receiver);
    if (op->evidence) {
        restore_load(e, op);
        return;
    }
    m = list_push(&n->moves);
    if (m == NULL) {
        e->nomem = true;
        return;
    }
    *m = (struct node_move){ .vm = op->vm, .to = op->receiver, .state = MOVE_FLYING };
    n->moves_open++;
}

static void restore_step(struct engine *e, const struct op *op)
{
    struct engine_node *n = &e->nodes[op->node];
    const struct node_park *k = node_park_of(n, op->vm);

    if (k != NULL)
        n->park_at = (uint32_t)(k - n->parks.items);
    if (op->action == ACT_PAUSE)
        n->step = DRAIN_PAUSE;
    else if (op->action == ACT_PARK_VM)
        n->step = DRAIN_PARKS;
    else if (op->action == ACT_MOVE_GROUPS)
        n->step = DRAIN_GROUPS;
    else if (op->action == ACT_RESUME)
        n->step = RESUME_NODE;
    else if (op->action == ACT_UNPARK_VM)
        n->step = RESUME_VMS;
    if (op->action == ACT_REBOOT)
        n->reboot_sent = false; /* it decides that */
}

void handover_ops(struct engine *e, const struct handover *h)
{
    for (uint32_t i = 0; i < h->n_ops && !e->nomem; i++) {
        const struct handover_op *from = &h->ops[i];
        struct engine_node *n = &e->nodes[from->node];
        uint32_t vm = from->vm[0] == '\0' ? IX_NONE : fleet_vm_by_id(&e->fleet, from->vm);
        bool of_park = vm != IX_NONE && from->action != ACT_MOVE_VM;
        struct op *op;

        if (from->action == ACT_INSTALL && !node_in_flight(n)) /* given up: it may be in (I12) */
            node_suppose_patched(e, n);
        /* One that stands for a park needs its entry: where it ends is looked up by the VM. */
        if ((of_park && node_park_of(n, vm) == NULL) ||
            (from->action != ACT_MOVE_VM && from->action != ACT_CLUSTER_SETTING && !node_in_flight(n)))
            continue;
        op = op_restore(e, from, vm);
        if (op == NULL)
            return;
        if (op->action == ACT_MOVE_VM)
            restore_move(e, op);
        else if (op->action == ACT_CLUSTER_SETTING)
            e->clusters[n->cluster].settings[op->setting].op = op;
        else
            restore_step(e, op);
    }
}
