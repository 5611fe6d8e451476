/* The oracle's own idea of what fits where: a small search, no heuristics of
 * the planner's. A search that grows too long counts as "fits": the oracle
 * accuses only where it is sure. */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

#define FIT_STEPS 20000

struct fit {
    const struct sim_world *w;
    uint64_t unseen; /* bit per VM */
    int64_t free_mib[WORLD_NODES];
    uint32_t open; /* bit per node that may take */
    uint32_t vms[WORLD_VMS], n, at[WORLD_VMS];
    uint32_t steps;
};

static bool unseen_is(uint64_t unseen, uint32_t vm)
{
    return unseen >> vm & 1u;
}

/* What it is known to need. */
static int64_t need(const struct sim_world *w, uint64_t unseen, uint32_t vm)
{
    return w->vms[vm].memory_mib - (unseen_is(unseen, vm) ? w->vms[vm].added_mib : 0);
}

static bool clash(const struct fit *f, uint32_t i, uint32_t node)
{
    const struct world_vm *v = &f->w->vms[f->vms[i]];

    if (!v->hard || v->anti == 0 || unseen_is(f->unseen, f->vms[i]))
        return false;
    for (uint32_t k = 0; k < f->w->n_vms; k++) {
        const struct world_vm *o = &f->w->vms[k];
        uint32_t where = o->node;

        if (o->gone || o == v || o->anti != v->anti || !world_vm_live(o) || unseen_is(f->unseen, k))
            continue;
        for (uint32_t m = 0; m < f->n; m++)
            if (f->vms[m] == k)
                where = m < i ? f->at[m] : WORLD_NONE;
        if (where == node)
            return true;
    }
    return false;
}

static bool may_own(const struct fit *f, uint32_t i, uint32_t node)
{
    const struct world_vm *v = &f->w->vms[f->vms[i]];

    return world_may_own(f->w, v, node) ||
           (unseen_is(f->unseen, f->vms[i]) && f->w->nodes[node].cluster == f->w->nodes[v->node].cluster);
}

static bool place(struct fit *f, uint32_t i)
{
    int64_t mib;

    if (i == f->n || ++f->steps > FIT_STEPS)
        return true;
    mib = need(f->w, f->unseen, f->vms[i]);
    for (uint32_t node = 0; node < f->w->n_nodes; node++) {
        if (!(f->open >> node & 1u) || f->free_mib[node] < mib || !may_own(f, i, node) || clash(f, i, node))
            continue;
        f->at[i] = node;
        f->free_mib[node] -= mib;
        if (place(f, i + 1))
            return true;
        f->free_mib[node] += mib;
    }
    return false;
}

static void open_nodes(struct fit *f, uint32_t cluster, uint32_t out)
{
    for (uint32_t i = 0; i < f->w->n_nodes; i++) {
        f->free_mib[i] = world_free_mib(f->w, i);
        if (f->w->nodes[i].cluster == cluster && world_node_up(f->w, i) && !f->w->nodes[i].paused &&
            !(out >> i & 1u))
            f->open |= 1u << i;
    }
}

/* Biggest first. */
static void add_vm(struct fit *f, uint32_t vm)
{
    uint32_t i = f->n++;

    while (i > 0 && f->w->vms[f->vms[i - 1]].memory_mib < f->w->vms[vm].memory_mib) {
        f->vms[i] = f->vms[i - 1];
        i--;
    }
    f->vms[i] = vm;
}

static bool node_fits(const struct sim_world *w, uint32_t node, bool must_restart_only, uint64_t unseen)
{
    struct fit f = { .w = w, .unseen = unseen };

    open_nodes(&f, w->nodes[node].cluster, 1u << node);
    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (world_vm_live(v) && v->node == node && v->clustered && !v->dda &&
            (!must_restart_only || v->must_restart) && v->state != GUEST_MIGRATING)
            add_vm(&f, i);
    }
    return place(&f, 0);
}

bool oracle_fits(const struct sim_world *w, uint32_t node, uint64_t unseen)
{
    return node_fits(w, node, false, unseen);
}

bool oracle_fits_together(const struct sim_world *w, uint32_t node, uint64_t unseen)
{
    struct fit f = { .w = w, .unseen = unseen };
    uint32_t k = w->nodes[node].cluster, out = 1u << node;

    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].cluster == k && w->nodes[i].out_since != 0 && w->nodes[i].power == POWER_ON)
            out |= 1u << i;
    if (out == 1u << node)
        return true;
    open_nodes(&f, k, out);
    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (world_vm_live(v) && (out >> v->node & 1u) && v->clustered && !v->dda &&
            v->state != GUEST_MIGRATING)
            add_vm(&f, i);
    }
    return place(&f, 0);
}

bool oracle_survives_one_more(const struct sim_world *w, uint32_t cluster, bool must_restart_only,
                              uint64_t unseen)
{
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].cluster == cluster && world_node_up(w, i) &&
            !node_fits(w, i, must_restart_only, unseen))
            return false;
    return true;
}

/* What the loss of `lost` takes along for good, where only some VMs must restart: those others on it and on `drained`, whose
 * VMs may be anywhere by then. */
static int64_t goes_down_with(const struct sim_world *w, uint32_t lost, uint32_t drained)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (world_vm_live(v) && v->clustered && !v->dda && !v->must_restart &&
            (v->node == lost || v->node == drained))
            sum += v->memory_mib;
    }
    return sum;
}

/* A node that others paused keeps its VMs: they need a place only when it is the one that is lost. So does one that is stuck in the
 * middle of its drain: nobody empties it. So does one that others evicted, for good: its VMs are the cluster's no more. */
static bool keeps_vms(const struct sim_world *w, uint32_t i, uint32_t node, uint32_t stuck)
{
    const struct world_node *n = &w->nodes[i];

    return i != node && n->cluster == w->nodes[node].cluster && n->power == POWER_ON &&
           (n->evicted || (n->paused && (n->out_since == 0 || (stuck >> i & 1u))));
}

static int64_t restarts_of(const struct sim_world *w, uint32_t lost, bool must_restart_only, uint64_t unseen)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (v->node == lost && world_vm_live(v) && v->clustered && !v->dda &&
            (!must_restart_only || v->must_restart))
            sum += need(w, unseen, i);
    }
    return sum;
}

bool oracle_room_for_one_more(const struct sim_world *w, uint32_t node, bool must_restart_only,
                              uint64_t unseen, uint32_t stuck)
{
    int64_t room = 0, most = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        int64_t size = w->nodes[i].memory_mib - w->nodes[i].reserve_mib;

        if (keeps_vms(w, i, node, stuck) && !w->nodes[i].evicted) {
            int64_t moved = restarts_of(w, i, must_restart_only, unseen);

            most = moved > most ? moved : most;
        }
        if (i == node || w->nodes[i].cluster != w->nodes[node].cluster || !world_node_up(w, i) ||
            w->nodes[i].paused)
            continue;
        room += size;
        if (world_free_mib(w, i) < 0) /* it shrank under its VMs: they stay, and nothing more comes */
            room -= world_free_mib(w, i);
        size -= must_restart_only ? goes_down_with(w, i, node) : 0;
        most = size > most ? size : most;
    }
    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (world_vm_live(v) && v->clustered && !v->dda &&
            w->nodes[v->node].cluster == w->nodes[node].cluster && !keeps_vms(w, v->node, node, stuck))
            room -= need(w, unseen, i);
    }
    return room - most >= 0;
}
