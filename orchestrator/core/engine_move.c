/* Live migrations: slots, one of a kind in motion, where VMs are afterwards (O19, O25, I10). */
#include "orchestrator/core/engine_state.h"

static uint32_t slots_of(const struct engine *e, uint32_t cluster)
{
    uint32_t seen = e->clusters[cluster].slots, declared = e->inv->clusters[cluster].migrations_parallel;

    return seen != 0 ? seen : declared;
}

bool move_may_start(const struct engine *e, uint32_t vm, uint32_t to)
{
    const struct fleet_vm *v = &e->fleet.vms.items[vm];
    uint32_t slots, strangers;

    if (e->vms[vm].op != NULL || v->at == IX_NONE)
        return false;
    slots = slots_of(e, e->inv->nodes[v->at].cluster);
    strangers = e->clusters[e->inv->nodes[v->at].cluster].strangers; /* where they go nobody says */
    if (e->slots_used[v->at] + strangers >= slots || e->slots_used[to] + strangers >= slots)
        return false;
    if (!e->nodes[v->at].claimed || !e->nodes[to].claimed)
        return false;
    return v->vm.role == ROLE_NONE || e->role_moving[v->vm.role] == 0;
}

static void write_move(struct op *op, const struct engine *e)
{
    struct json_writer w;

    jw_init(&w, &op->args);
    jw_object(&w, NULL);
    jw_str(&w, "vm", e->fleet.vms.items[op->vm].vm.id);
    jw_str(&w, "to", e->inv->nodes[op->receiver].id);
    jw_str(&w, "method", "live");
    jw_object_end(&w);
}

void move_start(struct engine *e, uint32_t vm, uint32_t to, bool unproved, bool evidence)
{
    const struct fleet_vm *v = &e->fleet.vms.items[vm];
    struct op *op = op_open(e, &e->nodes[v->at], ACT_MOVE_VM, vm);

    if (op == NULL)
        return;
    op->receiver = to;
    op->memory_mib = vm_demand_mib(&v->vm);
    op->unproved = unproved;
    op->evidence = evidence;
    write_move(op, e);
    fleet_promise(&e->fleet, vm, to);
    e->slots_used[v->at]++;
    e->slots_used[to]++;
    e->role_moving[v->vm.role]++;
    op_send(e, op);
}

void move_land(struct engine *e, const struct op_end *end, uint32_t from)
{
    struct fleet_vm *v = &e->fleet.vms.items[end->vm];

    assert(e->slots_used[from] > 0 && e->slots_used[end->receiver] > 0 && e->role_moving[v->vm.role] > 0);
    e->slots_used[from]--;
    e->slots_used[end->receiver]--;
    e->role_moving[v->vm.role]--;
    e->clusters[e->inv->nodes[from].cluster].moved_at = e->now;
    if (!end->ok) {
        fleet_promise(&e->fleet, end->vm, IX_NONE);
        return;
    }
    fleet_arrive(&e->fleet, end->vm, end->receiver);
    if (!end->evidence) /* counted apart (O15) */
        move_made(e, end->vm, from);
}

void move_made(struct engine *e, uint32_t vm, uint32_t from)
{
    if (e->nodes[from].back)
        e->vms[vm].moves_back++;
    else
        e->fleet.vms.items[vm].moves++;
}

/* A slot is free: whoever waits for one in this cluster. */
void moves_pump(struct engine *e, struct engine_cluster *c)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++)
        if (e->nodes[ic->nodes[i]].phase == NODE_DRAINING)
            node_drive(e, &e->nodes[ic->nodes[i]]);
    evidence_pump(e);
}

/* Not as the board signed it, though proved anew: in the log, and not without end. */
void deviation(struct engine *e, const char *rule, uint32_t node, const char *text)
{
    e->deviations++;
    engine_note(e, NOTE_DEVIATION, rule, node, text);
    if (e->deviations > e->deviations_allowed && e->state == RUN_RUNNING)
        run_hold(e, HOLD_DEVIATIONS,
                 SAY(e, "%u deviations from the plan, %u allowed", e->deviations, e->deviations_allowed));
}
