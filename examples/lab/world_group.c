/* Groups that are no running VM: they move when told to. */
#include "examples/lab/world.h"

int world_group_move(struct world *w, uint32_t group, uint32_t to, struct refusal *r)
{
    struct world_group *g = &w->groups.items[group];
    const struct world_node *n = &w->nodes.items[to];

    if (g->owner == to || g->moving_to == to)
        return 0;
    if (!world_node_open(n))
        return world_refuse(r, "refused", "0x80071737", "the cluster node %s is not up", n->id);
    if (!world_node_serves(&w->nodes.items[g->owner]))
        return world_refuse(r, "busy", "0x8007174b", "the group is failing over");
    g->moving_to = to;
    world_plan(w, world_draw(w, "group-move", g->id, (uint64_t)w->now, 600, 2500), EV_GROUP_MOVED, group, 0,
               to);
    return 0;
}

void on_group_moved(struct world *w, const struct world_event *ev)
{
    struct world_group *g = &w->groups.items[ev->index];

    if (g->moving_to == (uint32_t)ev->arg && world_node_open(&w->nodes.items[g->moving_to]))
        g->owner = g->moving_to;
    g->moving_to = WORLD_NONE;
}

int world_vm_group_move(struct world *w, uint32_t vm, uint32_t to, struct refusal *r)
{
    struct world_vm *v = &w->vms.items[vm];

    if (world_vm_active(v))
        return world_refuse(r, "refused", "0x80071736", "the group is online");
    if (!v->clustered || !world_vm_may_own(w, v, to))
        return world_refuse(r, "refused", "0x80071398", "%s is not a possible owner of the group",
                            w->nodes.items[to].id);
    if (!world_node_open(&w->nodes.items[to]))
        return world_refuse(r, "refused", "0x80071737", "the cluster node %s is not up",
                            w->nodes.items[to].id);
    v->node = to;
    return 0;
}
