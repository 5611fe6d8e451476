/* Going through a cluster's drains in order, on the checker's own books. */
#include "orchestrator/core/plan_verify.h"

#include <string.h>

static const char *name_of(const struct book *b, uint32_t node)
{
    return b->inv->nodes[node].id;
}

static int64_t demand_mib(const struct vm *v)
{
    return (int64_t)(v->assigned_mib > v->startup_mib ? v->assigned_mib : v->startup_mib);
}

static bool is_shared_path(const char *path)
{
    return strncmp(path, "\\\\", 2) == 0 || strncmp(path, "C:\\ClusterStorage\\", 18) == 0;
}

/* O5, O6: tied to its node whatever the target. */
static bool is_tied(const struct book *b, const struct vm *v)
{
    return !v->clustered || v->isolation == ISOLATION_SNP || v->isolation == ISOLATION_TDX || v->dda ||
           v->gpu || v->local_disk || v->passthrough || (v->iso != NULL && !is_shared_path(v->iso)) ||
           (v->dirty_mib_s > 0 && (uint64_t)v->dirty_mib_s >= b->inv->clusters[v->cluster].bandwidth_mib_s);
}

static bool has_switches(const struct node *n, const struct vm *v)
{
    for (uint32_t i = 0; n->n_switches > 0 && i < v->n_switches; i++) {
        bool found = false;

        for (uint32_t k = 0; k < n->n_switches; k++)
            found |= strcmp(n->switches[k], v->switches[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool cpu_fits(const struct book *b, const struct vm *v, uint32_t from, uint32_t to)
{
    const char *x = b->inv->nodes[from].cpu, *y = b->inv->nodes[to].cpu;

    return v->cpu_compat || x == NULL || y == NULL || strcmp(x, y) == 0;
}

static bool could_go(const struct book *b, uint32_t vm, uint32_t from, uint32_t to)
{
    const struct vm *v = &b->inv->vms[vm];

    return !is_tied(b, v) && book_owns(b, vm, to) && has_switches(&b->inv->nodes[to], v) &&
           cpu_fits(b, v, from, to);
}

static void check_move(struct book *b, const struct plan_move *m, uint32_t from)
{
    const struct vm *v = &b->inv->vms[m->vm];

    if (b->inv->nodes[m->to].cluster != v->cluster || m->to == from)
        book_fault(b, "I7", "VM %s would go to %s, which is no other node of its cluster", v->id,
                   name_of(b, m->to));
    else if (b->is_out[m->to])
        book_fault(b, "I7", "VM %s would go to %s, which is out then", v->id, name_of(b, m->to));
    if (!could_go(b, m->vm, from, m->to))
        book_fault(b, "O6", "VM %s cannot move live to %s", v->id, name_of(b, m->to));
    if (b->free_mib[m->to] < demand_mib(v))
        book_fault(b, "C2", "VM %s does not fit on %s", v->id, name_of(b, m->to));
    if (book_conflict(b, m->vm, m->to))
        book_fault(b, "C6", "VM %s breaks a hard anti-affinity on %s", v->id, name_of(b, m->to));
    if (m->unproved != (b->patched[from] && !b->patched[m->to]))
        book_fault(b, "O16", "the move of VM %s to %s is marked wrongly as to a patched source", v->id,
                   name_of(b, m->to));
}

static void apply_move(struct book *b, const struct plan_move *m, bool counts)
{
    int64_t mib = demand_mib(&b->inv->vms[m->vm]);

    b->free_mib[b->at[m->vm]] += mib;
    b->free_mib[m->to] -= mib;
    b->at[m->vm] = m->to;
    b->moved[m->vm] += counts;
    if (b->moved[m->vm] > b->r->policy.moves_per_vm)
        book_fault(b, "I10", "VM %s moves more than %u times", b->inv->vms[m->vm].id,
                   b->r->policy.moves_per_vm);
}

static bool has_other_place(const struct book *b, uint32_t vm, uint32_t from)
{
    const struct cluster *c = &b->inv->clusters[b->inv->vms[vm].cluster];

    for (uint32_t i = 0; i < c->n_nodes; i++)
        if (c->nodes[i] != from && could_go(b, vm, from, c->nodes[i]))
            return true;
    return false;
}

static uint32_t parked_of_class(const struct book *b, const char *sla)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->inv->n_vms; i++) {
        const struct vm *v = &b->inv->vms[i];

        n += b->down[i] && v->state != VM_OFF && v->state != VM_SAVED && v->sla != NULL &&
             strcmp(v->sla, sla) == 0;
    }
    return n;
}

static void check_park(struct book *b, const struct plan_park *k, uint32_t node)
{
    const struct vm *v = &b->inv->vms[k->vm];
    const struct consent *c = rollout_consent(b->r, v->id);
    const struct sla_class *sla = v->sla == NULL ? NULL : inventory_sla(b->inv, v->sla);

    if (c == NULL || c->method != k->method || c->expires <= b->p->made_at)
        book_fault(b, "I9", "VM %s is parked without a valid consent for the method", v->id);
    if (v->role != ROLE_NONE)
        book_fault(b, "O25", "the infrastructure VM %s is parked", v->id);
    if (has_other_place(b, k->vm, node))
        book_fault(b, "O4", "VM %s is parked although it can move", v->id);
    if (k->method == PARK_SAVE && v->dda)
        book_fault(b, "O4", "VM %s is saved although it has an assigned device", v->id);
    if (k->checkpoint && (c == NULL || !c->checkpoint || v->role == ROLE_DOMAIN_CONTROLLER ||
                          v->passthrough || v->dda || v->shared_disk))
        book_fault(b, "O4", "VM %s gets a checkpoint that it must not have", v->id);
    b->down[k->vm] = true;
    b->free_mib[node] += demand_mib(v);
    if (sla != NULL && parked_of_class(b, v->sla) > sla->parked_max)
        book_fault(b, "C9", "more than %u VMs of class %s are parked at once", sla->parked_max, v->sla);
}

/* O1: nothing that runs is left, and what is replicated stays where it is. */
static void check_empty(struct book *b, uint32_t node)
{
    const struct cluster *c = &b->inv->clusters[b->inv->nodes[node].cluster];

    for (uint32_t i = 0; i < c->n_vms; i++)
        if (b->at[c->vms[i]] == node && !b->down[c->vms[i]])
            book_fault(b, "I1", "VM %s is left running on %s", b->inv->vms[c->vms[i]].id, name_of(b, node));
}

/* C7, on configured votes. */
static void check_quorum(struct book *b, uint32_t node)
{
    const struct cluster *c = &b->inv->clusters[b->inv->nodes[node].cluster];
    uint32_t witness = c->witness == WITNESS_NONE ? 0 : 1, all = witness, up = witness, heaviest = witness;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        uint32_t vote = b->inv->nodes[c->nodes[i]].vote;

        all += vote;
        up += b->is_out[c->nodes[i]] ? 0 : vote;
        heaviest = vote > heaviest ? vote : heaviest;
    }
    if (2 * up <= all)
        book_fault(b, "C7", "with %s out, %u of %u votes are no majority", name_of(b, node), up, all);
    else if (2 * (all - b->inv->nodes[node].vote - heaviest) > all && 2 * (up - heaviest) <= all)
        book_fault(b, "C7", "with %s out, one more loss takes the majority", name_of(b, node));
}

/* C8, C9: who is out together. */
static void check_together(struct book *b, uint32_t node)
{
    const struct node *me = &b->inv->nodes[node];
    const struct cluster *c = &b->inv->clusters[me->cluster];
    bool racks = c->rack_aware && rollout_waives(b->r, "s2d_rack", c->id);
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct node *other = &b->inv->nodes[c->nodes[i]];

        if (!b->is_out[c->nodes[i]])
            continue;
        n++;
        if (c->storage == STORAGE_S2D && other != me &&
            (!racks || strcmp(other->fault_domain, me->fault_domain) != 0))
            book_fault(b, "C8", "%s and %s of an S2D cluster are out together", me->id, other->id);
    }
    if (n > c->max_out || n > b->r->policy.max_out_fleet)
        book_fault(b, "C9", "%u nodes of cluster %s are out together", n, c->id);
    if (c->storage == STORAGE_S2D &&
        (n > 2 || (n == 2 && c->n_nodes + (c->witness == WITNESS_NONE ? 0u : 1u) < 5)))
        book_fault(b, "C8", "the storage pool of cluster %s does not survive %u nodes out", c->id, n);
}

static enum reserve_rung required_rung(const struct book *b, const struct cluster *c)
{
    enum reserve_rung rung = c->reserve < b->r->policy.reserve_min ? c->reserve : b->r->policy.reserve_min;

    if (rollout_waives(b->r, "reserve_none", c->id))
        return RESERVE_NONE;
    if (rung == RESERVE_FULL && rollout_waives(b->r, "reserve_protected", c->id))
        return RESERVE_PROTECTED;
    return rung;
}

static void check_reserve(struct book *b, const struct plan_node *x)
{
    uint32_t cluster = b->inv->nodes[x->node].cluster;
    enum reserve_rung rung = required_rung(b, &b->inv->clusters[cluster]);

    if (x->reached > rung)
        book_fault(b, "O23", "with %s out the reserve is below what is required", name_of(b, x->node));
    if (!book_survives(b, cluster, x->reached))
        book_fault(b, "C4", "with %s out, one more loss is not survived as the plan says",
                   name_of(b, x->node));
}

static void drain(struct book *b, const struct plan_node *x)
{
    b->is_out[x->node] = true;
    check_together(b, x->node);
    check_quorum(b, x->node);
    for (uint32_t i = 0; i < x->n_parks; i++) {
        uint32_t vm = x->parks[i].vm;

        if (b->at[vm] != x->node || b->down[vm])
            book_fault(b, "C2", "VM %s is not running on %s when it is to be parked", b->inv->vms[vm].id,
                       name_of(b, x->node));
        else
            check_park(b, &x->parks[i], x->node);
    }
    for (uint32_t i = 0; i < x->n_moves; i++) {
        uint32_t vm = x->moves[i].vm;

        if (b->at[vm] != x->node || b->down[vm]) {
            book_fault(b, "C2", "VM %s is not running on %s when it is to be moved", b->inv->vms[vm].id,
                       name_of(b, x->node));
            continue;
        }
        if (b->inv->vms[vm].replication)
            book_fault(b, "O26", "VM %s is replicated", b->inv->vms[vm].id);
        check_move(b, &x->moves[i], x->node);
        apply_move(b, &x->moves[i], true);
    }
    check_empty(b, x->node);
    check_reserve(b, x);
}

static void bring_back(struct book *b, const struct plan_node *x)
{
    b->is_out[x->node] = false;
    b->patched[x->node] = true;
    for (uint32_t i = 0; i < x->n_parks; i++) {
        b->down[x->parks[i].vm] = false;
        b->free_mib[x->node] -= demand_mib(&b->inv->vms[x->parks[i].vm]);
    }
    for (uint32_t i = 0; i < x->n_evidence; i++) {
        const struct plan_move *m = &x->evidence[i];
        bool early;

        if (b->down[m->vm] || b->is_out[b->at[m->vm]] || m->to != x->node) {
            book_fault(b, "O15", "the evidence VM %s does not come to %s from a node in service",
                       b->inv->vms[m->vm].id, name_of(b, x->node));
            continue;
        }
        early = b->entry[b->at[m->vm]] != IX_NONE && !b->p->nodes[b->entry[b->at[m->vm]]].compliant &&
                !b->patched[b->at[m->vm]];
        if (m->early != early)
            book_fault(b, "O15", "the evidence VM %s is counted wrongly", b->inv->vms[m->vm].id);
        check_move(b, m, b->at[m->vm]);
        apply_move(b, m, m->early);
    }
    if (x->n_evidence > 0 &&
        !book_survives(b, b->inv->nodes[x->node].cluster,
                       required_rung(b, &b->inv->clusters[b->inv->nodes[x->node].cluster])))
        book_fault(b, "C4", "after the evidence load on %s one more loss is not survived",
                   name_of(b, x->node));
}

/* One batch: out one after the other, then all back. */
static void walk_batch(struct book *b, const struct plan_wave *w, uint32_t cluster, uint32_t batch, bool back)
{
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct plan_node *x = &b->p->nodes[w->nodes[i]];

        if (b->inv->nodes[x->node].cluster != cluster || x->batch != batch)
            continue;
        if (back)
            bring_back(b, x);
        else
            drain(b, x);
    }
}

static uint32_t count_batches(const struct book *b, const struct plan_wave *w, uint32_t cluster)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct plan_node *x = &b->p->nodes[w->nodes[i]];

        if (b->inv->nodes[x->node].cluster == cluster && x->batch >= n)
            n = x->batch + 1;
    }
    return n;
}

void book_walk_cluster(struct book *b, uint32_t cluster)
{
    const struct cluster *c = &b->inv->clusters[cluster];
    bool touched = false;

    for (uint32_t w = 0; w < b->p->n_waves; w++) {
        uint32_t batches = count_batches(b, &b->p->waves[w], cluster);

        touched |= batches > 0;
        for (uint32_t i = 0; i < batches; i++) {
            walk_batch(b, &b->p->waves[w], cluster, i, false);
            walk_batch(b, &b->p->waves[w], cluster, i, true);
        }
    }
    if (touched && (c->stretched || !c->optimisation_off))
        book_fault(b, "O26", "cluster %s is stretched, or its dynamic optimisation is not declared off",
                   c->id);
}
