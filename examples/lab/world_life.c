/* What the fleet does by itself: it does not stand still for a rollout. */
#include "examples/lab/world.h"

#include <string.h>

#define GROW_EVERY_MS (4 * MINUTE_MS)
#define NOISE_EVERY_MS (9 * MINUTE_MS)

/* A fifth of headroom must stay on the host: growth takes what is free. */
static void grow(struct world *w, struct world_vm *v)
{
    int64_t step = v->startup_mib / 8, free = world_node_free_mib(w, v->node);
    const struct world_node *n = &w->nodes.items[v->node];

    if (world_draw(w, "grow", v->id, (uint64_t)w->now, 0, 2) == 0)
        step = -step;
    if (v->assigned_mib + step > v->maximum_mib || v->assigned_mib + step < v->startup_mib / 2)
        return;
    if (step > 0 && free - step < n->memory_now_mib / 5)
        return;
    v->assigned_mib += step;
}

void on_grow(struct world *w, const struct world_event *ev)
{
    const struct world_cluster *c = &w->clusters.items[ev->index];
    uint32_t n = 0, pick;

    for (uint32_t i = 0; i < w->vms.n; i++)
        n += w->vms.items[i].cluster == ev->index && w->vms.items[i].dynamic;
    pick = n == 0 ? 0 : (uint32_t)world_draw(w, "grow-pick", c->id, (uint64_t)w->now, 0, n - 1);
    for (uint32_t i = 0; i < w->vms.n; i++) {
        struct world_vm *v = &w->vms.items[i];
        if (v->cluster != ev->index || !v->dynamic || pick-- != 0)
            continue;
        if (v->state == VM_RUNNING && v->move_to == WORLD_NONE)
            grow(w, v);
        break;
    }
    world_plan(w, world_draw(w, "grow-next", c->id, (uint64_t)w->now, GROW_EVERY_MS / 2, GROW_EVERY_MS * 2),
               EV_GROW, ev->index, 0, 0);
}

/* Logons and contention: both look like trouble and are none. */
void on_noise(struct world *w, const struct world_event *ev)
{
    const struct world_node *n = &w->nodes.items[ev->index];

    if (n->power == POWER_ON) {
        if (world_draw(w, "noise", n->id, (uint64_t)w->now, 0, 1) == 0)
            world_note(w, ev->index, "System", "Microsoft-Windows-Winlogon", 7001, 4, "", "");
        else
            world_note(w, ev->index, "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS",
                       19060, 3, "", "");
    }
    world_plan(w, world_draw(w, "noise-next", n->id, (uint64_t)w->now, NOISE_EVERY_MS, 6 * NOISE_EVERY_MS),
               EV_NOISE, ev->index, 0, 0);
}

static uint32_t fullest(const struct world *w, uint32_t cluster, uint32_t except)
{
    const struct world_cluster *c = &w->clusters.items[cluster];
    uint32_t best = WORLD_NONE;
    int64_t least = INT64_MAX;

    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        if (i != except && world_node_open(&w->nodes.items[i]) && world_node_free_mib(w, i) < least) {
            least = world_node_free_mib(w, i);
            best = i;
        }
    return best;
}

/* The balancer: the fullest node gives one VM to the node that came back. */
void on_balance(struct world *w, const struct world_event *ev)
{
    const struct world_cluster *c = &w->clusters.items[ev->index];
    uint32_t to = (uint32_t)ev->arg, from = fullest(w, ev->index, to);
    struct refusal r;

    if (c->auto_balancer_mode == 0 || from == WORLD_NONE || !world_node_open(&w->nodes.items[to]))
        return;
    if (world_node_free_mib(w, to) - world_node_free_mib(w, from) < w->nodes.items[to].memory_mib / 3)
        return;
    for (uint32_t i = 0; i < w->vms.n; i++)
        if (w->vms.items[i].node == from && w->vms.items[i].state == VM_RUNNING &&
            world_move_foreign(w, i, to, &r) == 0)
            return;
}

void on_failback(struct world *w, const struct world_event *ev)
{
    struct refusal r;

    if (w->vms.items[ev->index].node != (uint32_t)ev->arg)
        (void)world_move_foreign(w, ev->index, (uint32_t)ev->arg, &r);
}

void world_life_begin(struct world *w)
{
    for (uint32_t i = 0; i < w->clusters.n; i++)
        world_plan(w, world_draw(w, "grow-next", w->clusters.items[i].id, 0, 0, GROW_EVERY_MS), EV_GROW, i, 0,
                   0);
    for (uint32_t i = 0; i < w->nodes.n; i++)
        world_plan(w, world_draw(w, "noise-next", w->nodes.items[i].id, 0, 0, 6 * NOISE_EVERY_MS), EV_NOISE,
                   i, 0, 0);
}
