#include "orchestrator/core/capacity.h"

#include "orchestrator/core/capacity_search.h"
#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

void drain_proof_clear(struct drain_proof *p)
{
    list_clear(&p->moves);
    list_clear(&p->parks);
    *p = (struct drain_proof){ 0 };
}

/* One drain being proved. */
struct drain {
    const struct fleet *f;
    const struct rollout *r;
    uint32_t node;
    time_ms now;
    struct model m;
    uint32_t *vms, n_vms; /* model VMs to move, in the order to decide on */
    uint32_t *to;
    struct drain_proof *p;
};

static bool busy_or_foreign(const struct drain *d, const struct fleet_vm *v)
{
    const char *id = d->f->inv->nodes[d->node].id;

    if (v->at != d->node)
        capacity_refuse(d->p, CAPACITY_INFEASIBLE, "O26", "VM %s (%s) is arriving on %s", v->vm.name,
                        v->vm.id, id);
    else if (v->vm.busy != VM_IDLE)
        capacity_refuse(d->p, CAPACITY_INFEASIBLE, "O26", "VM %s (%s) is busy", v->vm.name, v->vm.id);
    else if (v->vm.replication)
        capacity_refuse(d->p, CAPACITY_INFEASIBLE, "O26",
                        "VM %s (%s) is replicated; that is not supported yet", v->vm.name, v->vm.id);
    else
        return false;
    return true;
}

/* Why the VM can move to none of the cluster's other nodes, in or out of
 * service: then it is one that cannot move (O6). NULL: some node could. */
static const char *cannot_move_at_all(struct drain *d, uint32_t vm)
{
    const struct fleet_vm *v = &d->f->vms.items[d->m.vms[vm].vm];
    const char *why = vm_is_pinned(d->f, v);

    if (why != NULL)
        return why;
    for (uint32_t i = 0; i < d->m.n_nodes; i++) {
        if (d->m.nodes[i].node == d->node)
            continue;
        if (model_may_move(&d->m, vm, i))
            return NULL;
        why = vm_cannot_move(d->f, v, d->m.nodes[i].node);
    }
    return why == NULL ? "has no other node to be on" : why;
}

/* 0, ERR_NOMEM, or ERR_REFUSED with the reason in the proof. */
static int sort_out_vm(struct drain *d, uint32_t vm)
{
    const struct fleet_vm *v = &d->f->vms.items[d->m.vms[vm].vm];
    struct drain_park park, *item;
    const char *why;

    if (busy_or_foreign(d, v))
        return ERR_REFUSED;
    why = cannot_move_at_all(d, vm);
    if (why == NULL) {
        d->vms[d->n_vms++] = vm;
        return 0;
    }
    if (!capacity_park(d->f, d->r, d->m.vms[vm].vm, why, d->now, &park, d->p))
        return ERR_REFUSED;
    item = list_push(&d->p->parks);
    if (item == NULL)
        return ERR_NOMEM;
    *item = park;
    return 0;
}

/* Sort the node's VMs into those that move and those that are parked, and take
 * all of them into the hand. */
static int sort_out(struct drain *d)
{
    uint32_t home = model_node_of(&d->m, d->node), vm, n = 0;

    for (vm = d->m.nodes[home].first; vm != IX_NONE; vm = d->m.vms[vm].next)
        n++;
    d->vms = ARENA_ARRAY(&d->m.arena, uint32_t, n);
    d->to = ARENA_ARRAY(&d->m.arena, uint32_t, n);
    if (d->vms == NULL || d->to == NULL)
        return ERR_NOMEM;
    while ((vm = d->m.nodes[home].first) != IX_NONE) {
        int rc = sort_out_vm(d, vm);

        if (rc != 0)
            return rc;
        model_take(&d->m, vm, d->m.vms[vm].need);
    }
    return 0;
}

/* Largest first: the order in which a packing is decided. */
static void sort_by_need(struct drain *d)
{
    for (uint32_t i = 1; i < d->n_vms; i++) {
        uint32_t vm = d->vms[i], at = i;

        while (at > 0 && (d->m.vms[d->vms[at - 1]].need < d->m.vms[vm].need ||
                          (d->m.vms[d->vms[at - 1]].need == d->m.vms[vm].need && d->vms[at - 1] > vm))) {
            d->vms[at] = d->vms[at - 1];
            at--;
        }
        d->vms[at] = vm;
    }
}

static int64_t free_in_service(const struct drain *d)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < d->m.n_nodes; i++)
        if (d->m.nodes[i].receives && d->m.nodes[i].free_mib > 0)
            sum += d->m.nodes[i].free_mib;
    return sum;
}

/* A certificate for "no placement": the first inequality that fails. */
static void refuse_fit(struct drain *d)
{
    const char *id = d->f->inv->nodes[d->node].id;
    int64_t need = 0, room = free_in_service(d);
    bool classes = false;

    for (uint32_t i = 0; i < d->n_vms; i++) {
        need += d->m.vms[d->vms[i]].need;
        classes |= d->m.vms[d->vms[i]].n_classes > 0;
    }
    if (need > room)
        capacity_refuse(d->p, CAPACITY_INFEASIBLE, "C1",
                        "VMs of %s need %lld MiB, the nodes in service have %lld", id, (long long)need,
                        (long long)room);
    else
        capacity_refuse(d->p, CAPACITY_INFEASIBLE,
                        d->m.plain ? "C2"
                        : classes  ? "C6"
                                   : "C5",
                        "no placement of the VMs of %s on the nodes in service%s", id,
                        d->m.plain ? ""
                        : classes  ? " keeps owners and anti-affinity"
                                   : " keeps their owners");
}

/* They fit somehow, but not so that one more loss is survived. */
static void refuse_reserve(struct drain *d, enum reserve_rung rung)
{
    const struct cluster *c = &d->f->inv->clusters[d->f->inv->nodes[d->node].cluster];
    int64_t all = 0, room = 0, largest = 0;

    for (uint32_t i = 0; i < d->m.n_nodes; i++) {
        const struct fleet_node *n = &d->f->nodes[d->m.nodes[i].node];
        int64_t cap = (int64_t)n->memory_mib - (int64_t)n->host_reserve_mib;

        if (!d->m.nodes[i].receives)
            continue;
        room += cap;
        largest = cap > largest ? cap : largest;
    }
    for (uint32_t i = 0; i < d->m.n_vms; i++)
        all += rung == RESERVE_FULL || d->m.vms[i].must_restart ? d->m.vms[i].restart : 0;
    if (all > room - largest)
        capacity_refuse(
            d->p, CAPACITY_INFEASIBLE, "C3",
            "N+1 (%s) of cluster %s: VMs need %lld MiB, without %s and the largest node left there are %lld",
            reserve_rung_name(rung), c->id, (long long)all, d->f->inv->nodes[d->node].id,
            (long long)(room - largest));
    else
        capacity_refuse(
            d->p, CAPACITY_INFEASIBLE, "C4",
            "N+1 (%s) of cluster %s: no placement of the VMs of %s survives the loss of one more node",
            reserve_rung_name(rung), c->id, d->f->inv->nodes[d->node].id);
}

/* The highest rung with a placement, not below the one that must hold. */
static void find_place(struct drain *d, const uint32_t *prefer)
{
    enum reserve_rung lowest = capacity_rung(d->f, d->r, d->f->inv->nodes[d->node].cluster), rung;
    enum fit fit = FIT_NO;

    for (rung = RESERVE_FULL; rung <= lowest; rung++) {
        fit = search_place(&d->m, d->vms, d->n_vms, prefer, rung, d->to);
        if (fit == FIT_YES) {
            d->p->verdict = CAPACITY_SAFE;
            d->p->reached = rung;
            return;
        }
    }
    if (fit == FIT_UNKNOWN)
        capacity_refuse(
            d->p, CAPACITY_UNKNOWN, lowest == RESERVE_NONE ? "C2" : "C4",
            "no placement of the VMs of %s was found within the search limit, and none was excluded",
            d->f->inv->nodes[d->node].id);
    else if (lowest == RESERVE_NONE ||
             search_place(&d->m, d->vms, d->n_vms, NULL, RESERVE_NONE, d->to) != FIT_YES)
        refuse_fit(d);
    else
        refuse_reserve(d, lowest);
}

/* O25: infrastructure first; then the longest, so that the end is not left
 * waiting for one big VM. The search order is by size already. */
static int write_moves(struct drain *d)
{
    for (int infrastructure = 1; infrastructure >= 0; infrastructure--)
        for (uint32_t i = 0; i < d->n_vms; i++) {
            const struct fleet_vm *v = &d->f->vms.items[d->m.vms[d->vms[i]].vm];
            const struct model_node *to = &d->m.nodes[d->to[i]];
            struct drain_move *move;

            if ((v->vm.role != ROLE_NONE) != (infrastructure == 1))
                continue;
            move = list_push(&d->p->moves);
            if (move == NULL)
                return ERR_NOMEM;
            *move = (struct drain_move){ d->m.vms[d->vms[i]].vm, to->node,
                                         d->f->nodes[d->node].patched && !to->patched };
        }
    return 0;
}

int capacity_prove_drain(const struct fleet *f, const struct rollout *r, uint32_t node,
                         const uint32_t *prefer, time_ms now, struct drain_proof *ret_proof, struct err *err)
{
    struct drain_proof p = { .reached = RESERVE_NONE, .rule = "", .reason = "" };
    struct drain d = { .f = f, .r = r, .node = node, .now = now, .p = &p };
    int rc = 0;

    if (capacity_rules(f, r, node, now, &p)) {
        rc = model_build(&d.m, f, f->inv->nodes[node].cluster, node);
        if (rc == 0)
            rc = sort_out(&d);
        if (rc == 0) {
            sort_by_need(&d);
            find_place(&d, prefer);
        }
        if (rc == 0 && p.verdict == CAPACITY_SAFE)
            rc = write_moves(&d);
        model_clear(&d.m);
    }
    if (rc == ERR_NOMEM) {
        drain_proof_clear(&p);
        return err_set(err, ERR_NOMEM, "prove a drain");
    }
    *ret_proof = p;
    return 0;
}
