/* The rules of a drain that need no placement. Each refusal names its rule of
 * docs/rules.md. */
#include "orchestrator/core/capacity_model.h"
#include "schema/buf.h"

#include <stdarg.h>
#include <string.h>

#define S2D_OUT_MAX 2

void capacity_refuse(struct drain_proof *p, enum capacity_verdict v, const char *rule, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    text_vinto(p->reason, sizeof p->reason, fmt, args);
    va_end(args);
    p->verdict = v;
    p->rule = rule;
}

enum reserve_rung capacity_rung(const struct fleet *f, const struct rollout *r, uint32_t cluster)
{
    const struct cluster *c = &f->inv->clusters[cluster];
    enum reserve_rung rung = c->reserve < r->policy.reserve_min ? c->reserve : r->policy.reserve_min;

    if (rung < RESERVE_NONE && rollout_waives(r, "reserve_none", c->id))
        return RESERVE_NONE;
    if (rung < RESERVE_PROTECTED && rollout_waives(r, "reserve_protected", c->id))
        return RESERVE_PROTECTED;
    return rung;
}

static uint32_t count_out(const struct fleet *f, const struct cluster *c, uint32_t but)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_nodes; i++)
        n += c->nodes[i] != but && f->nodes[c->nodes[i]].out != 0;
    return n;
}

/* Does the rollout reach into this cluster? Others' nodes are nobody's slots. */
static bool concerns(const struct rollout *r, const struct cluster *c)
{
    for (uint32_t i = 0; i < r->n_clusters; i++)
        if (strcmp(r->clusters[i], c->id) == 0)
            return true;
    return r->n_clusters == 0;
}

static uint32_t fleet_out(const struct fleet *f, const struct rollout *r, uint32_t but)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->inv->n_clusters; i++) {
        uint32_t out = count_out(f, &f->inv->clusters[i], but);

        if (out > 0 && concerns(r, &f->inv->clusters[i]))
            n += out;
    }
    return n;
}

/* Is what we know of the cluster fresh, and nobody else at work (O26)? */
static bool cluster_is_quiet(const struct fleet *f, const struct rollout *r, uint32_t cluster, time_ms now,
                             struct drain_proof *p)
{
    const struct cluster *c = &f->inv->clusters[cluster];
    const struct fleet_health *h = &f->health[cluster];
    time_ms seen = f->cluster_seen_at[cluster];

    if (seen == TIME_NEVER || now - seen > r->policy.fresh_ms) {
        capacity_refuse(p, CAPACITY_UNKNOWN, "I3", "cluster %s has not been observed lately", c->id);
        return false;
    }
    if (h->stretched)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O26", "cluster %s is stretched; that is not supported yet",
                        c->id);
    else if (!c->optimisation_off)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O26",
                        "dynamic optimisation of cluster %s is not declared off (optimisation_off)", c->id);
    else if (h->busy != NULL)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O26", "cluster %s is busy: %s", c->id, h->busy);
    else
        return true;
    return false;
}

static bool node_is_ours(const struct fleet *f, uint32_t node, struct drain_proof *p)
{
    static const struct {
        uint32_t bit;
        const char *rule, *why;
    } rows[] = {
        { OUT_UNCLAIMED, "O20", "has not accepted this controller's claim" },
        { OUT_DOWN, "O26", "is not up" },
        { OUT_PAUSED, "O7", "was paused by somebody else" },
        { OUT_STUCK, "O12", "is stuck" },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((f->nodes[node].out & rows[i].bit) != 0) {
            capacity_refuse(p, CAPACITY_INFEASIBLE, rows[i].rule, "node %s %s", f->inv->nodes[node].id,
                            rows[i].why);
            return false;
        }
    return true;
}

/* C9 */
static bool within_caps(const struct fleet *f, const struct rollout *r, uint32_t node, struct drain_proof *p)
{
    const struct cluster *c = &f->inv->clusters[f->inv->nodes[node].cluster];
    uint32_t here = count_out(f, c, node), all;

    if (here + 1 > c->max_out) {
        capacity_refuse(p, CAPACITY_INFEASIBLE, "C9", "%u of at most %u nodes of cluster %s are out already",
                        here, c->max_out, c->id);
        return false;
    }
    all = fleet_out(f, r, node);
    if (all + 1 > r->policy.max_out_fleet) {
        capacity_refuse(p, CAPACITY_INFEASIBLE, "C9", "%u of at most %u nodes of the fleet are out already",
                        all, r->policy.max_out_fleet);
        return false;
    }
    return true;
}

/* C7: votes counted as configured, which is stricter than dynamic quorum. */
static bool keeps_quorum(const struct fleet *f, uint32_t node, struct drain_proof *p)
{
    uint32_t cluster = f->inv->nodes[node].cluster;
    const struct cluster *c = &f->inv->clusters[cluster];
    const struct fleet_health *h = &f->health[cluster];
    uint32_t witness = c->witness != WITNESS_NONE ? 1 : 0, all = witness, up = witness, most = witness;
    bool can_spare;

    if (!h->witness_online) {
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O20", "the witness of cluster %s is not online", c->id);
        return false;
    }
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct fleet_node *n = &f->nodes[c->nodes[i]];

        all += n->vote;
        up += c->nodes[i] != node && n->out == 0 ? n->vote : 0;
        most = n->vote > most ? n->vote : most;
    }
    /* one more loss is survived only if the topology could do it with this node out alone */
    can_spare = 2 * (all - (f->nodes[node].vote + most)) > all;
    if (2 * up > all && (!can_spare || 2 * (up - most) > all) &&
        (!h->known || 2 * h->votes_up > h->votes_all))
        return true;
    capacity_refuse(p, CAPACITY_INFEASIBLE, "C7", "quorum of cluster %s: %u of %u votes would be left%s",
                    c->id, up, all, 2 * up > all ? ", too few for one more loss" : "");
    return false;
}

/* C8: the others that are out are in this node's fault domain, by waiver. */
static bool one_domain(const struct fleet *f, const struct rollout *r, uint32_t node, struct drain_proof *p)
{
    const struct node *me = &f->inv->nodes[node];
    const struct cluster *c = &f->inv->clusters[me->cluster];
    bool racks = c->rack_aware &&
                 (!f->health[me->cluster].known || f->health[me->cluster].storage_rack_aware) &&
                 rollout_waives(r, "s2d_rack", c->id);
    uint32_t out = count_out(f, c, node);

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct node *other = &f->inv->nodes[c->nodes[i]];

        if (c->nodes[i] == node || f->nodes[c->nodes[i]].out == 0)
            continue;
        if (!racks || strcmp(other->fault_domain, me->fault_domain) != 0) {
            capacity_refuse(p, CAPACITY_INFEASIBLE, "C8",
                            "node %s of the S2D cluster %s is out: one fault domain at a time", other->id,
                            c->id);
            return false;
        }
    }
    /* pool quorum survives a second loss only from 4 nodes with a witness, or 5 */
    if (out + 1 > S2D_OUT_MAX || (out > 0 && c->n_nodes + (c->witness != WITNESS_NONE ? 1 : 0) < 5)) {
        capacity_refuse(p, CAPACITY_INFEASIBLE, "C8",
                        "the storage pool of cluster %s does not survive %u nodes out", c->id, out + 1);
        return false;
    }
    return true;
}

static bool storage_allows(const struct fleet *f, const struct rollout *r, uint32_t node,
                           struct drain_proof *p)
{
    uint32_t cluster = f->inv->nodes[node].cluster;
    const struct cluster *c = &f->inv->clusters[cluster];
    const struct fleet_health *h = &f->health[cluster];

    if (c->storage != STORAGE_S2D)
        return true;
    if (!one_domain(f, r, node, p))
        return false;
    if (h->known && !h->storage_known) {
        capacity_refuse(p, CAPACITY_UNKNOWN, "O21", "the storage of cluster %s has not been observed", c->id);
        return false;
    }
    if (h->known && !h->storage_clean) {
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O21",
                        "a virtual disk of cluster %s is not healthy or a repair job runs", c->id);
        return false;
    }
    return true;
}

bool capacity_rules(const struct fleet *f, const struct rollout *r, uint32_t node, time_ms now,
                    struct drain_proof *p)
{
    return cluster_is_quiet(f, r, f->inv->nodes[node].cluster, now, p) && node_is_ours(f, node, p) &&
           within_caps(f, r, node, p) && storage_allows(f, r, node, p) && keeps_quorum(f, node, p);
}

/* Parked VMs of a class, with those this drain will park. */
static bool class_is_full(const struct fleet *f, const struct fleet_vm *v, const struct drain_proof *p)
{
    uint32_t n;

    if (v->sla == IX_NONE)
        return false;
    n = f->sla_parked[v->sla];
    for (uint32_t i = 0; i < p->parks.n; i++)
        n += f->vms.items[p->parks.items[i].vm].sla == v->sla;
    return n >= f->inv->sla_classes[v->sla].parked_max;
}

/* O4: a checkpoint never on a domain controller, nor with such disks. */
static bool may_checkpoint(const struct vm *vm)
{
    return vm->role != ROLE_DOMAIN_CONTROLLER && !vm->passthrough && !vm->dda && !vm->shared_disk;
}

bool capacity_park(const struct fleet *f, const struct rollout *r, uint32_t vm, const char *why, time_ms now,
                   struct drain_park *ret, struct drain_proof *p)
{
    const struct fleet_vm *v = &f->vms.items[vm];
    const struct consent *c = rollout_consent(r, v->vm.id);

    if (v->vm.role != ROLE_NONE)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O25",
                        "VM %s (%s) %s, and an infrastructure VM is never parked", v->vm.name, v->vm.id, why);
    else if (c == NULL)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O4", "VM %s (%s) %s, and there is no consent to park it",
                        v->vm.name, v->vm.id, why);
    else if (c->expires <= now)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O4", "the consent to park VM %s (%s) has expired",
                        v->vm.name, v->vm.id);
    else if (c->method == PARK_SAVE && v->vm.dda)
        capacity_refuse(p, CAPACITY_INFEASIBLE, "O4", "VM %s (%s) has an assigned device and cannot be saved",
                        v->vm.name, v->vm.id);
    else if (class_is_full(f, v, p))
        capacity_refuse(p, CAPACITY_INFEASIBLE, "C9", "class %s has as many VMs parked as it may", v->vm.sla);
    else {
        *ret = (struct drain_park){ vm, c->method, c->checkpoint && may_checkpoint(&v->vm) };
        return true;
    }
    return false;
}
