/* Storage Spaces Direct: maintenance mode, and repairs that start late. */
#include "examples/lab/world.h"

#include <string.h>

static bool any_away(const struct world *w, uint32_t cluster, uint32_t except)
{
    const struct world_cluster *c = &w->clusters.items[cluster];

    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++) {
        const struct world_node *n = &w->nodes.items[i];
        if (i != except && (n->storage_out || n->missed_writes || !world_node_serves(n)))
            return true;
    }
    return false;
}

bool world_storage_clean(const struct world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters.items[cluster];

    return !c->s2d ||
           (!c->lost && !c->repair_queued && c->repair_from == 0 && !any_away(w, cluster, WORLD_NONE));
}

/* As the cmdlets show it. A repair that is due and has no job yet looks
 * healthy for some seconds: a trap of the real thing. */
enum health world_storage_health(const struct world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters.items[cluster];

    if (c->lost)
        return HEALTH_UNHEALTHY;
    if (c->repair_from != 0)
        return HEALTH_WARNING;
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        if (w->nodes.items[i].storage_out || !world_node_serves(&w->nodes.items[i]))
            return HEALTH_WARNING;
    return HEALTH_HEALTHY;
}

int world_storage_out(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = &w->nodes.items[node];

    if (!world_cluster_of(w, node)->s2d || n->storage_out || n->storage_entering)
        return 0;
    if (world_fault_hit(w, "storage-out-refused", n->id) != NULL || !world_storage_clean(w, n->cluster))
        return world_refuse(r, "refused", "40018",
                            "storage maintenance was refused: a virtual disk would lose its last copy");
    n->storage_entering = true;
    world_took_hold(w, "storage_out", node, "");
    world_plan(w, world_draw_node(w, node, "storage-out", 4 * SECOND_MS, 15 * SECOND_MS, 1000),
               EV_STORAGE_OUT, node, n->gen, 0);
    return 0;
}

void on_storage_out(struct world *w, const struct world_event *ev)
{
    struct world_node *n = &w->nodes.items[ev->index];

    n->storage_entering = false;
    n->storage_out = true;
    n->missed_writes = true;
    n->storage_out_ms = w->now;
}

int world_storage_in(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = &w->nodes.items[node];

    if (!n->storage_out || n->storage_leaving)
        return 0;
    if (!world_node_serves(n))
        return world_refuse(r, "busy", "0x800713ba", "the cluster node %s is not up yet", n->id);
    n->storage_leaving = true;
    world_took_hold(w, "storage_in", node, "");
    world_plan(w, world_draw_node(w, node, "storage-in", 3 * SECOND_MS, 10 * SECOND_MS, 1000), EV_STORAGE_IN,
               node, n->gen, 0);
    return 0;
}

void on_storage_in(struct world *w, const struct world_event *ev)
{
    struct world_node *n = &w->nodes.items[ev->index];

    n->storage_leaving = false;
    n->storage_out = false;
    world_storage_back(w, ev->index);
}

void world_storage_left(struct world *w, uint32_t node)
{
    struct world_node *n = &w->nodes.items[node];
    struct world_cluster *c = world_cluster_of(w, node);

    if (!c->s2d)
        return;
    if (any_away(w, n->cluster, node) || c->repair_from != 0 || c->repair_queued)
        world_cluster_lost(w, n->cluster,
                           "a second copy of the storage went away before the first was repaired");
    if (!n->storage_out)
        world_hurt(w, "no_storage_maintenance", n->id, "went down with its disks in service");
    if (!n->missed_writes)
        n->storage_out_ms = w->now;
    n->missed_writes = true;
}

void world_storage_back(struct world *w, uint32_t node)
{
    struct world_node *n = &w->nodes.items[node];
    struct world_cluster *c = world_cluster_of(w, node);

    if (!c->s2d || !n->missed_writes || n->storage_out || !world_node_serves(n) || c->repair_queued ||
        c->repair_from != 0)
        return;
    c->repair_queued = true;
    world_plan(w, world_draw_node(w, node, "repair-late", 8 * SECOND_MS, 25 * SECOND_MS, 1000),
               EV_REPAIR_BEGIN, n->cluster, c->gen, node);
}

/* About 10 MiB are written per second of absence, repaired at 90 MiB/s. */
void on_repair_begin(struct world *w, const struct world_event *ev)
{
    struct world_cluster *c = &w->clusters.items[ev->index];
    struct world_node *n = &w->nodes.items[ev->arg];
    dur_ms away = w->now - n->storage_out_ms;
    dur_ms takes = world_draw(w, "repair", c->id, c->repairs++, 70 * SECOND_MS, 150 * SECOND_MS) + away / 9;

    takes = takes * n->resync_factor / 1000;
    c->repair_queued = false;
    c->repair_from = w->now;
    c->repair_until = w->now + takes;
    c->repair_bytes = takes / 1000 * (90 << 20);
    if (world_fault_hit(w, "storage-stuck", n->id) != NULL) {
        c->repair_until = TIME_NEVER;
        return;
    }
    world_plan(w, takes, EV_REPAIR_END, ev->index, c->gen, ev->arg);
}

void on_repair_end(struct world *w, const struct world_event *ev)
{
    struct world_cluster *c = &w->clusters.items[ev->index];

    c->repair_from = c->repair_until = 0;
    w->nodes.items[ev->arg].missed_writes = w->nodes.items[ev->arg].storage_out;
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        world_storage_back(w, i); /* another one may be waiting for its turn */
}
