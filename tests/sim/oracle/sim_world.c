/* The passing of time, and what happens by itself or by others' hands. */
#include "tests/sim/oracle/sim_world.h"

#include <assert.h>
#include <string.h>

bool world_node_up(const struct sim_world *w, uint32_t node)
{
    return w->nodes[node].power == POWER_ON && !w->nodes[node].evicted;
}

bool world_receives(const struct sim_world *w, uint32_t node)
{
    return world_node_up(w, node) && !w->nodes[node].paused && w->nodes[node].vmms;
}

bool world_vm_live(const struct world_vm *v)
{
    return !v->gone &&
           (v->state == GUEST_RUNNING || v->state == GUEST_MIGRATING || v->state == GUEST_STARTING);
}

bool world_may_own(const struct sim_world *w, const struct world_vm *v, uint32_t node)
{
    return w->nodes[node].cluster == w->nodes[v->node].cluster &&
           (v->owners == 0 || (v->owners >> node & 1u));
}

int64_t world_free_mib(const struct sim_world *w, uint32_t node)
{
    int64_t free_mib = w->nodes[node].memory_mib - w->nodes[node].reserve_mib;

    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (world_vm_live(v) && (v->node == node || (v->state == GUEST_MIGRATING && v->to == node)))
            free_mib -= v->memory_mib;
    }
    return free_mib;
}

bool world_storage_whole(const struct sim_world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters[cluster];

    return !c->s2d || (c->dirty_since == 0 && c->repair_until == 0);
}

void world_touched(struct sim_world *w, uint32_t cluster, uint32_t node)
{
    if (cluster != WORLD_NONE)
        w->clusters[cluster].exo_at = w->now;
    if (node != WORLD_NONE) {
        w->nodes[node].exo_at = w->now;
        w->clusters[w->nodes[node].cluster].exo_at = w->now;
    }
}

void world_storage_dirty(struct sim_world *w, uint32_t cluster)
{
    struct world_cluster *c = &w->clusters[cluster];

    if (!c->s2d)
        return;
    if (c->dirty_since == 0) {
        c->dirty_since = w->now;
        c->not_whole = (struct world_outage){ w->now, TIME_NEVER };
    }
    c->repair_from = 0;
    c->repair_until = 0;
}

void world_witness(struct sim_world *w, uint32_t cluster, bool online)
{
    struct world_cluster *c = &w->clusters[cluster];

    if (!c->witness || c->witness_online == online)
        return;
    c->witness_online = online;
    if (online)
        c->no_witness.until = w->now;
    else
        c->no_witness = (struct world_outage){ w->now, TIME_NEVER };
}

/* A repair begins late (O37) once every node is back with its disks. */
static void storage_step(struct sim_world *w, uint32_t cluster)
{
    struct world_cluster *c = &w->clusters[cluster];
    bool all_in = !c->disk_failed;

    if (c->dirty_since == 0)
        return;
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].cluster == cluster && !w->nodes[i].evicted)
            all_in = all_in && w->nodes[i].power == POWER_ON && !w->nodes[i].storage_out;
    if (!all_in) {
        c->repair_from = c->repair_until = 0;
        return;
    }
    if (c->repair_from == 0) {
        c->repair_from = w->now + prng_between(&w->rng, 5, 25) * SECOND_MS;
    } else if (c->repair_until == 0 && w->now >= c->repair_from) {
        c->repair_until = w->now + prng_between(&w->rng, 30, 300) * SECOND_MS;
    } else if (c->repair_until != 0 && w->now >= c->repair_until) {
        c->dirty_since = c->repair_from = c->repair_until = 0;
        c->not_whole.until = w->now;
    }
}

static time_ms storage_next(const struct world_cluster *c)
{
    if (c->dirty_since == 0 || c->repair_from == 0)
        return TIME_NEVER;
    return c->repair_until != 0 ? c->repair_until : c->repair_from;
}

static void vm_stops(struct sim_world *w, uint32_t vm, enum world_down why)
{
    struct world_vm *v = &w->vms[vm];

    v->state = GUEST_OFF;
    v->down = why;
    v->down_since = w->now;
    v->restart_at = v->clustered ? w->now + prng_between(&w->rng, 20, 90) * SECOND_MS : 0;
}

/* The cluster looks for a place; a VM that finds none waits. */
static void vm_restarts(struct sim_world *w, uint32_t vm)
{
    struct world_vm *v = &w->vms[vm];
    uint32_t best = WORLD_NONE;
    int64_t most = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        int64_t free_mib = world_free_mib(w, i);

        if (!world_receives(w, i) || !world_may_own(w, v, i) || free_mib < v->memory_mib)
            continue;
        if (v->dda && i != v->node)
            continue;
        if (best == WORLD_NONE || free_mib > most) {
            best = i;
            most = free_mib;
        }
    }
    if (best == WORLD_NONE) {
        v->restart_at = w->now + 60 * SECOND_MS;
        return;
    }
    if (v->node != best)
        v->here_since = w->now;
    v->node = best;
    v->state = GUEST_RUNNING;
    v->here_since = w->now;
    v->down = DOWN_NOT;
    v->restart_at = 0;
    world_touched(w, w->nodes[best].cluster, best);
}

static void owners_leave(struct sim_world *w, uint32_t node)
{
    struct world_cluster *c = &w->clusters[w->nodes[node].cluster];
    uint32_t to = WORLD_NONE;

    for (uint32_t i = 0; i < w->n_nodes && to == WORLD_NONE; i++)
        if (i != node && w->nodes[i].cluster == w->nodes[node].cluster && world_receives(w, i))
            to = i;
    if (to == WORLD_NONE)
        return;
    if (c->core_owner == node)
        c->core_owner = to;
    for (unsigned i = 0; i < 2; i++)
        if (c->csv_owner[i] == node)
            c->csv_owner[i] = to;
}

void world_node_goes_down(struct sim_world *w, uint32_t node, dur_ms away, enum world_down cause)
{
    struct world_node *n = &w->nodes[node];

    if (n->power != POWER_ON)
        return;
    n->power = away < 0 ? POWER_DEAD : POWER_BOOTING;
    n->up_at = away < 0 ? TIME_NEVER : w->now + away;
    n->vmms = false;
    n->down_at = w->now;
    n->down_by = cause;
    for (uint32_t i = 0; i < w->n_effects; i++)
        if (w->effects[i].used && w->effects[i].node == node)
            w->effects[i].used = false;
    for (uint32_t i = 0; i < w->n_vms; i++) {
        struct world_vm *v = &w->vms[i];

        if (world_vm_live(v) && v->node == node)
            vm_stops(w, i, cause);
        else if (v->state == GUEST_MIGRATING && v->to == node)
            v->state = GUEST_RUNNING;
    }
    owners_leave(w, node);
    world_storage_dirty(w, n->cluster);
    w->hooks.on_node_down(w->hooks.arg, node);
}

static void patch_at_boot(struct world_node *n)
{
    if (n->boots_again > 0 && (n->pending_in || n->pending_out)) {
        n->boots_again--;
        return; /* servicing wants another one */
    }
    if (n->pending_in && n->patch_breaks_backup) { /* the patch itself does it: only the way back helps */
        n->backup_broken = true;
        n->backup_broken_at = n->boot_at;
    } else if (n->pending_out && n->patch_breaks_backup) {
        n->backup_broken = n->patch_breaks_backup = false;
    }
    if (n->pending_in && n->loses_patch) { /* rolled back while booting */
        n->loses_patch = false;
        n->has_package = false;
        n->ubr = n->boots_into != 0 ? n->boots_into : WORLD_UBR_OLD;
        n->boots_into = 0;
    }
    n->pending_in = n->pending_out = false;
}

static void node_comes_up(struct sim_world *w, uint32_t node)
{
    struct world_node *n = &w->nodes[node];

    n->power = POWER_ON;
    n->boot++;
    n->boot_at = w->now;
    n->up_at = TIME_NEVER;
    n->servicing_until = 0;
    patch_at_boot(n);
    n->vmms = true;
    for (uint32_t i = 0; i < w->n_vms; i++) { /* start_if_running; some start whatever was done to them */
        struct world_vm *v = &w->vms[i];
        bool starts = v->down != DOWN_PARKED || i % 2 == 0;

        if (!v->gone && v->node == node && v->state == GUEST_OFF && !v->clustered && starts) {
            v->state = GUEST_RUNNING;
            v->down = DOWN_NOT;
            v->here_since = w->now;
        }
    }
    w->hooks.on_node_up(w->hooks.arg, node);
}

time_ms world_next(struct sim_world *w)
{
    time_ms next = TIME_NEVER;

    for (uint32_t i = 0; i < w->n_effects; i++)
        if (w->effects[i].used && w->effects[i].done_at < next)
            next = w->effects[i].done_at;
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].power == POWER_BOOTING && w->nodes[i].up_at < next)
            next = w->nodes[i].up_at;
    for (uint32_t i = 0; i < w->n_clusters; i++) {
        time_ms at = storage_next(&w->clusters[i]);

        next = at < next ? at : next;
    }
    for (uint32_t i = 0; i < w->n_vms; i++)
        if (w->vms[i].restart_at != 0 && !w->vms[i].gone && w->vms[i].restart_at < next)
            next = w->vms[i].restart_at;
    w->due = next;
    return next;
}

static void effects_step(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->n_effects; i++)
        if (w->effects[i].used && w->effects[i].done_at <= w->now) {
            struct world_effect e = w->effects[i];

            w->effects[i].used = false;
            world_effect_end(w, &e);
        }
}

void world_advance(struct sim_world *w, time_ms now)
{
    bool due = now >= w->due;

    assert(now >= w->now);
    w->now = now;
    if (due)
        effects_step(w);
    for (uint32_t i = 0; i < w->n_nodes && due; i++)
        if (w->nodes[i].power == POWER_BOOTING && w->nodes[i].up_at <= now)
            node_comes_up(w, i);
    for (uint32_t i = 0; i < w->n_clusters; i++)
        storage_step(w, i);
    for (uint32_t i = 0; i < w->n_vms && due; i++)
        if (w->vms[i].restart_at != 0 && w->vms[i].restart_at <= now && !w->vms[i].gone)
            vm_restarts(w, i);
}

bool world_node_crash(struct sim_world *w, uint32_t node, dur_ms away, bool for_good)
{
    if (w->nodes[node].power != POWER_ON)
        return false;
    world_touched(w, WORLD_NONE, node);
    w->nodes[node].crash_at = w->now;
    world_node_goes_down(w, node, for_good ? -1 : away, DOWN_EXOGENOUS);
    return true;
}

bool world_foreign_move(struct sim_world *w, uint32_t vm, uint32_t to)
{
    struct world_vm *v = &w->vms[vm];

    if (v->gone || v->state != GUEST_RUNNING || v->dda || !v->clustered || v->node == to ||
        !world_receives(w, to) || !world_may_own(w, v, to) || world_free_mib(w, to) < v->memory_mib)
        return false;
    world_touched(w, WORLD_NONE, v->node);
    world_touched(w, WORLD_NONE, to);
    v->node = to;
    v->here_since = w->now;
    v->by_others = true;
    return true;
}

bool world_vm_create(struct sim_world *w, uint32_t node)
{
    struct world_vm *v;

    if (w->n_vms == WORLD_VMS || world_free_mib(w, node) < 4096 || !world_receives(w, node))
        return false;
    v = &w->vms[w->n_vms];
    *v = (struct world_vm){ .node = node,
                            .to = WORLD_NONE,
                            .state = GUEST_RUNNING,
                            .clustered = true,
                            .memory_mib = 2048,
                            .added_mib = 2048,
                            .here_since = w->now,
                            .set_at = w->now,
                            .slow_permille = 1000,
                            .by_others = true };
    w->made_vms++;
    memcpy(v->id, "00000000-0000-4000-8000-00000000ff00", 37);
    v->id[34] = (char)('0' + w->n_vms / 10);
    v->id[35] = (char)('0' + w->n_vms % 10);
    memcpy(v->name, "new", 4);
    w->n_vms++;
    world_touched(w, WORLD_NONE, node);
    return true;
}

/* Somebody starts a VM of his own on a node that is being worked on: no cluster keeps him from it. */
bool world_vm_appear(struct sim_world *w, uint32_t node)
{
    uint32_t n = w->n_vms;
    bool paused = w->nodes[node].paused, vmms = w->nodes[node].vmms;

    if (w->nodes[node].power != POWER_ON)
        return false;
    w->nodes[node].paused = false;
    w->nodes[node].vmms = true; /* its worker process outlives vmms */
    world_vm_create(w, node);
    w->nodes[node].paused = paused;
    w->nodes[node].vmms = vmms;
    if (w->n_vms > n)
        w->vms[n].clustered = false;
    return w->n_vms > n;
}

bool world_vm_end(struct sim_world *w, uint32_t vm, dur_ms away)
{
    struct world_vm *v = &w->vms[vm];

    if (v->gone || !v->clustered || v->state != GUEST_RUNNING)
        return false;
    world_touched(w, WORLD_NONE, v->node);
    v->state = GUEST_OFF;
    v->down = DOWN_EXOGENOUS;
    v->down_since = w->now;
    v->restart_at = w->now + away;
    return true;
}

bool world_vm_delete(struct sim_world *w, uint32_t vm)
{
    if (w->vms[vm].gone || w->vms[vm].state == GUEST_MIGRATING)
        return false;
    world_touched(w, WORLD_NONE, w->vms[vm].node);
    w->vms[vm].gone = true;
    w->vms[vm].restart_at = 0;
    return true;
}

bool world_vm_resize(struct sim_world *w, uint32_t vm, int64_t memory_mib)
{
    struct world_vm *v = &w->vms[vm];

    if (v->gone || v->state == GUEST_MIGRATING || world_free_mib(w, v->node) < memory_mib - v->memory_mib)
        return false;
    world_touched(w, WORLD_NONE, v->node);
    v->added_mib = memory_mib - v->memory_mib;
    v->memory_mib = memory_mib;
    v->set_at = w->now;
    return true;
}

static void set_apart(struct sim_world *w, struct world_vm *v)
{
    bool had = v->anti != 0;

    v->anti = 0;
    v->hard = false;
    for (uint32_t i = 0; i < w->n_vms && !had && v->anti == 0; i++) {
        struct world_vm *o = &w->vms[i];

        if (o->gone || o->anti != 0 || o->dda || !o->clustered || o->node == v->node ||
            w->nodes[o->node].cluster != w->nodes[v->node].cluster)
            continue;
        o->anti = v->anti = WORLD_VMS + i;
        o->hard = v->hard = w->clusters[w->nodes[v->node].cluster].anti_enforced;
        o->set_at = w->now;
    }
}

void world_vm_bind(struct sim_world *w, uint32_t vm, uint32_t node, bool apart)
{
    struct world_vm *v = &w->vms[vm];

    if (apart)
        set_apart(w, v);
    v->owners = 1u << v->node | 1u << node;
    v->set_at = w->now;
}

void world_heal(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        struct world_node *n = &w->nodes[i];

        n->never_returns = n->install_fails = n->install_odd = n->refuse_pause = n->leaves_group = false;
        n->patch_breaks_backup = n->loses_patch = n->vmms_sticks = n->lies = n->path_lost = false;
        n->boot_extra_ms = 0;
        n->boots_again = n->boots_into = 0;
        n->backup_broken = false;
        n->gate = GATE_SOUND;
        n->clock_error_ms = 0;
        n->evicted = false;
        n->staged_corrupt = false;
        if (n->power == POWER_DEAD) {
            n->power = POWER_BOOTING;
            n->up_at = w->now + 5 * MINUTE_MS;
        }
        if (n->paused_admin) {
            n->paused = n->paused_admin = false;
            world_touched(w, WORLD_NONE, i);
        }
    }
    for (uint32_t i = 0; i < w->n_clusters; i++) {
        w->clusters[i].disk_failed = false;
        world_witness(w, i, true);
        w->clusters[i].busy_cau = false;
    }
    for (uint32_t i = 0; i < w->n_vms; i++) {
        struct world_vm *v = &w->vms[i];

        v->refuses = v->fails_half = v->crashes = v->no_heartbeat = false;
        v->slow_permille = 1000;
        if (!v->gone && v->state == GUEST_OFF && v->down == DOWN_EXOGENOUS && v->clustered &&
            (v->restart_at == 0 || v->restart_at > w->now + MINUTE_MS))
            v->restart_at = w->now + SECOND_MS;
    }
}
