/* Checking what somebody else decided: a whole placement, or one VM's place. */
#include "orchestrator/core/capacity_search.h"
#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_WORK 4000000

static bool move_is_legal(struct model *m, uint32_t vm, uint32_t node, struct drain_proof *p)
{
    const struct fleet_vm *v = &m->f->vms.items[m->vms[vm].vm];
    const struct inventory *inv = m->f->inv;
    uint32_t to = m->nodes[node].node;

    if (!m->nodes[node].receives)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "I7", "node %s takes no VMs", inv->nodes[to].id);
    else if (!model_may_move(m, vm, node))
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O6", "VM %s (%s) %s", v->vm.name, v->vm.id,
                        vm_cannot_move(m->f, v, to));
    else if (m->nodes[node].free_mib < m->vms[vm].need)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "C2", "VM %s (%s) does not fit on %s", v->vm.name, v->vm.id,
                        inv->nodes[to].id);
    else if (model_conflict(m, vm, node, true))
        capacity_refuse(p, CAPACITY_INFEASIBLE, "C6", "VM %s (%s) would break its anti-affinity on %s",
                        v->vm.name, v->vm.id, inv->nodes[to].id);
    else
        return true;
    return false;
}

/* Put the proof's moves and parks into effect in the model. */
static bool apply(struct model *m, const struct rollout *r, uint32_t home, const struct drain_proof *proof,
                  time_ms now, struct drain_proof *p)
{
    for (uint32_t i = 0; i < proof->parks.n; i++) {
        uint32_t vm = model_vm_of(m, proof->parks.items[i].vm);
        struct drain_park park, *item;

        if (vm == IX_NONE || m->vms[vm].at != home) {
            capacity_refuse(p, CAPACITY_INFEASIBLE, "C2", "a VM to be parked is not on the node");
            return false;
        }
        if (!capacity_park(m->f, r, m->vms[vm].vm, "is to be parked", now, &park, p))
            return false;
        item = list_push(&p->parks);
        if (item == NULL) {
            capacity_refuse(p, CAPACITY_UNKNOWN, "C9", "out of memory");
            return false;
        }
        *item = park;
        model_take(m, vm, m->vms[vm].need);
    }
    for (uint32_t i = 0; i < proof->moves.n; i++) {
        uint32_t vm = model_vm_of(m, proof->moves.items[i].vm),
                 to = model_node_of(m, proof->moves.items[i].to);

        if (vm == IX_NONE || to == IX_NONE || m->vms[vm].at != home) {
            capacity_refuse(p, CAPACITY_INFEASIBLE, "C2", "a VM to be moved is not on the node");
            return false;
        }
        model_take(m, vm, m->vms[vm].need);
        if (!move_is_legal(m, vm, to, p))
            return false;
        model_put(m, vm, to, m->vms[vm].need);
    }
    if (m->nodes[home].first == IX_NONE)
        return true;
    capacity_refuse(p, CAPACITY_INFEASIBLE, "C2", "VM %s would be left on the node",
                    m->f->vms.items[m->vms[m->nodes[home].first].vm].vm.name);
    return false;
}

static void check_reserve(struct model *m, enum reserve_rung lowest, struct drain_proof *p)
{
    enum fit fit = FIT_NO;
    uint32_t lost = 0;

    for (enum reserve_rung rung = RESERVE_FULL; rung <= lowest; rung++) {
        m->work = CHECK_WORK;
        fit = model_survives(m, rung, &lost);
        if (fit == FIT_YES) {
            p->verdict = CAPACITY_SAFE;
            p->reached = rung;
            return;
        }
    }
    capacity_refuse(p, fit == FIT_NO ? CAPACITY_INFEASIBLE : CAPACITY_UNKNOWN, "C4",
                    "N+1 (%s): the VMs of %s would not fit elsewhere if it were lost",
                    reserve_rung_name(lowest), m->f->inv->nodes[m->nodes[lost].node].id);
}

int capacity_check_drain(const struct fleet *f, const struct rollout *r, uint32_t node,
                         const struct drain_proof *proof, time_ms now, struct drain_proof *ret_check,
                         struct err *err)
{
    struct drain_proof p = { .reached = RESERVE_NONE, .rule = "", .reason = "" };
    uint32_t cluster = f->inv->nodes[node].cluster;
    struct model m;

    if (capacity_rules(f, r, node, now, &p)) {
        if (model_build(&m, f, cluster, node) != 0)
            return err_set(err, ERR_NOMEM, "check a drain");
        if (apply(&m, r, model_node_of(&m, node), proof, now, &p))
            check_reserve(&m, capacity_rung(f, r, cluster), &p);
        model_clear(&m);
    }
    *ret_check = p;
    return 0;
}

/* A model with the VM in hand; false when that cannot be. */
static bool hold(struct model *m, const struct fleet *f, uint32_t vm, uint32_t *ret_vm, bool *nomem)
{
    if (model_build(m, f, f->vms.items[vm].vm.cluster, IX_NONE) != 0) {
        *nomem = true;
        return false;
    }
    *ret_vm = model_vm_of(m, vm);
    if (*ret_vm == IX_NONE) {
        model_clear(m);
        return false;
    }
    model_take(m, *ret_vm, m->vms[*ret_vm].need);
    return true;
}

uint32_t capacity_place_vm(const struct fleet *f, const struct rollout *r, uint32_t vm, char reason[256],
                           bool *nomem)
{
    uint32_t held, to = IX_NONE, from = f->vms.items[vm].at;
    struct model m;

    reason[0] = '\0';
    if (!hold(&m, f, vm, &held, nomem)) {
        strcpy(reason, "the VM is not running in this cluster");
        return IX_NONE;
    }
    for (uint32_t i = 0; i < m.n_nodes; i++)
        if (m.nodes[i].node == from)
            m.nodes[i].receives = false; /* a place, not where it is */
    for (enum reserve_rung rung = RESERVE_FULL; rung <= capacity_rung(f, r, f->vms.items[vm].vm.cluster);
         rung++)
        if (search_place(&m, &held, 1, NULL, rung, &to) == FIT_YES) {
            to = m.nodes[to].node;
            model_clear(&m);
            return to;
        }
    model_clear(&m);
    strcpy(reason, "no node in service takes it and keeps the reserve");
    return IX_NONE;
}

const char *capacity_may_land(const struct fleet *f, const struct rollout *r, uint32_t vm, uint32_t to,
                              bool *nomem)
{
    struct drain_proof p = { .reason = "" };
    struct model m;
    uint32_t held, node;

    if (!hold(&m, f, vm, &held, nomem))
        return "the VM is not running in this cluster";
    node = model_node_of(&m, to);
    if (node == IX_NONE || !move_is_legal(&m, held, node, &p)) {
        model_clear(&m);
        return node == IX_NONE ? "the node is of another cluster" : "the node cannot take it";
    }
    model_put(&m, held, node, m.vms[held].need);
    check_reserve(&m, capacity_rung(f, r, f->vms.items[vm].vm.cluster), &p);
    model_clear(&m);
    return p.verdict == CAPACITY_SAFE ? NULL : "the reserve would be lost (N+1)";
}
