/* A VM's own life on its host: stop, save, start, crash, restart elsewhere. */
#include "examples/lab/world.h"

#include <string.h>

static struct world_vm *vm_at(struct world *w, uint32_t vm)
{
    return &w->vms.items[vm];
}

void world_vm_set(struct world *w, uint32_t vm, enum vm_state state)
{
    struct world_vm *v = vm_at(w, vm);

    v->state = state;
    v->since = w->now;
}

static void open_row(struct world *w, uint32_t vm, enum cause cause)
{
    struct world_vm *v = vm_at(w, vm);

    if (v->open_truth != WORLD_NONE)
        return;
    v->stop_asked_ms = w->now;
    v->stop_cause = cause;
    v->open_truth = world_truth_open(w, "vm", v->id, cause, w->now, v->node);
}

static void close_row(struct world *w, uint32_t vm)
{
    struct world_vm *v = vm_at(w, vm);

    if (v->open_truth != WORLD_NONE)
        world_truth_close(w, v->open_truth, w->now);
    v->open_truth = WORLD_NONE;
}

/* What management needs of the host: Get-VM answers there. */
static int managed(struct world *w, uint32_t vm, struct refusal *r)
{
    struct world_vm *v = vm_at(w, vm);
    const struct world_node *n = &w->nodes.items[v->node];

    if (n->power != POWER_ON || !n->vmms_answers)
        return world_refuse(r, "busy", "0x800706ba",
                            "the virtual machine management service of %s does not answer", n->id);
    if (v->busy[0] != 0)
        return world_refuse(r, "busy", "19060", "the virtual machine is currently performing: %s", v->busy);
    if (v->move_to != WORLD_NONE)
        return world_refuse(r, "busy", "19060", "the virtual machine is being migrated");
    return 0;
}

static dur_ms stop_takes(struct world *w, const struct world_vm *v, enum stop_how how)
{
    switch (how) {
    case STOP_SHUTDOWN:
        return world_draw(w, "guest-shutdown", v->id, v->gen, 15 * SECOND_MS, 75 * SECOND_MS);
    case STOP_SAVE:
        return 2 * SECOND_MS + v->assigned_mib * 1000 / 700;
    case STOP_TURN_OFF:
        break;
    }
    return SECOND_MS;
}

int world_vm_stop(struct world *w, uint32_t vm, enum stop_how how, struct refusal *r)
{
    static const enum cause causes[] = { CAUSE_SHUT_DOWN, CAUSE_SAVED, CAUSE_TURNED_OFF };
    struct world_vm *v = vm_at(w, vm);

    if (!world_vm_active(v) || v->state == VM_STOPPING || v->state == VM_SAVING)
        return 0;
    if (managed(w, vm, r) != 0)
        return -1;
    if (how == STOP_SAVE && v->dda)
        return world_refuse(r, "refused", "0x80070032",
                            "a virtual machine with an assigned device cannot be saved");
    if (how != STOP_TURN_OFF && world_fault_hit(w, "park-refused", v->id) != NULL)
        return world_refuse(r, "failed", "0x8007045b", "the guest did not shut down");
    v->gen++;
    open_row(w, vm, causes[how]);
    v->wanted_online = false;
    v->was_running = false;
    world_took_hold(w, "park_vm", v->node, v->id);
    world_vm_set(w, vm, how == STOP_SAVE ? VM_SAVING : VM_STOPPING);
    world_plan(w, stop_takes(w, v, how), EV_VM_DOWN, vm, v->gen, (int64_t)how);
    return 0;
}

void on_vm_down(struct world *w, const struct world_event *ev)
{
    world_vm_set(w, ev->index, ev->arg == STOP_SAVE ? VM_SAVED : VM_OFF);
}

static int may_start(struct world *w, uint32_t vm, struct refusal *r)
{
    struct world_vm *v = vm_at(w, vm);
    const struct world_node *n = &w->nodes.items[v->node];

    if (managed(w, vm, r) != 0)
        return -1;
    if (v->clustered && !world_node_open(n))
        return world_refuse(r, "refused", "0x80071737",
                            "the cluster node %s is paused: no group is brought online there", n->id);
    if (world_fault_hit(w, "unpark-fails", v->id) != NULL)
        return world_refuse(r, "failed", "0x80070005", "the virtual machine could not be started");
    if (world_node_free_mib(w, v->node) < v->startup_mib)
        return world_refuse(r, "refused", "0x800705aa",
                            "not enough memory on %s to start the virtual machine", n->id);
    return 0;
}

static void start_now(struct world *w, uint32_t vm)
{
    struct world_vm *v = vm_at(w, vm);
    dur_ms takes = v->state == VM_SAVED
                       ? 3 * SECOND_MS + v->assigned_mib * 1000 / 900
                       : world_draw(w, "vm-start", v->id, v->gen, 4 * SECOND_MS, 12 * SECOND_MS);

    v->gen++;
    v->wanted_online = true;
    if (v->state == VM_OFF) {
        v->assigned_mib = v->startup_mib;
        v->started_ms = w->now;
    }
    world_vm_set(w, vm, VM_STARTING);
    world_plan(w, takes, EV_VM_RUNNING, vm, v->gen, 0);
}

int world_vm_start(struct world *w, uint32_t vm, struct refusal *r)
{
    struct world_vm *v = vm_at(w, vm);

    if (v->state == VM_STARTING || (world_vm_active(v) && v->state != VM_STOPPING && v->state != VM_SAVING))
        return 0;
    if (v->state == VM_STOPPING || v->state == VM_SAVING)
        return world_refuse(r, "busy", "19060", "the virtual machine is being stopped");
    if (may_start(w, vm, r) != 0)
        return -1;
    world_took_hold(w, "unpark_vm", v->node, v->id);
    start_now(w, vm);
    return 0;
}

void on_vm_running(struct world *w, const struct world_event *ev)
{
    struct world_vm *v = vm_at(w, ev->index);

    world_vm_set(w, ev->index, VM_RUNNING);
    close_row(w, ev->index);
    v->running_ms = w->now;
    world_note(w, v->node, "Microsoft-Windows-Hyper-V-Worker-Admin", "Microsoft-Windows-Hyper-V-Worker",
               18500, 4, v->id, "");
    v->heartbeat_from = w->now + world_draw(w, "heartbeat", v->id, v->gen, 20 * SECOND_MS, 60 * SECOND_MS);
}

/* --- crash and high availability --- */

void world_vm_crash(struct world *w, uint32_t vm, bool restart)
{
    struct world_vm *v = vm_at(w, vm);

    if (v->move_to != WORLD_NONE)
        world_move_abort(w, vm);
    if (!world_vm_active(v))
        return;
    v->gen++;
    v->was_running = v->state != VM_STOPPING && v->state != VM_SAVING;
    v->busy[0] = 0;
    open_row(w, vm, CAUSE_CRASH);
    if (v->open_truth != WORLD_NONE)
        w->truth.items[v->open_truth].foreign = w->truth.items[v->open_truth].cause == CAUSE_CRASH;
    world_vm_set(w, vm, VM_OFF);
    if (restart && v->clustered && v->wanted_online)
        world_plan(w, world_draw(w, "ha-restart", v->id, v->gen, 20 * SECOND_MS, 60 * SECOND_MS),
                   EV_HA_RESTART, vm, v->gen, 0);
}

static uint32_t restart_place(struct world *w, const struct world_vm *v)
{
    const struct world_cluster *c = &w->clusters.items[v->cluster];
    uint32_t best = WORLD_NONE;
    int64_t most = v->startup_mib - 1;

    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++) {
        const struct world_node *n = &w->nodes.items[i];
        int64_t free = world_node_free_mib(w, i);
        if (world_node_open(n) && n->vmms_answers && world_vm_may_own(w, v, i) && free > most) {
            best = i;
            most = free;
        }
    }
    return best;
}

void on_ha_restart(struct world *w, const struct world_event *ev)
{
    struct world_vm *v = vm_at(w, ev->index);
    uint32_t place = w->clusters.items[v->cluster].lost ? WORLD_NONE : restart_place(w, v);

    if (place == WORLD_NONE) {
        world_plan(w, MINUTE_MS, EV_HA_RESTART, ev->index, v->gen, 0);
        return;
    }
    v->node = place;
    start_now(w, ev->index);
}

/* --- the host goes down, the host comes up --- */

/* vmms carries out the stop actions; without it the VMs are cut off. */
static void stop_action(struct world *w, uint32_t vm)
{
    struct world_vm *v = vm_at(w, vm);
    bool save = strcmp(v->stop_action, "save") == 0 && !v->dda;

    v->gen++;
    open_row(w, vm,
             save                                      ? CAUSE_SAVED
             : strcmp(v->stop_action, "shutdown") == 0 ? CAUSE_SHUT_DOWN
                                                       : CAUSE_TURNED_OFF);
    v->was_running = true;
    world_vm_set(w, vm, save ? VM_SAVED : VM_OFF);
}

void world_vm_shutdown_host(struct world *w, uint32_t node)
{
    bool managed_stop = w->nodes.items[node].vmms == SERVICE_RUNNING;

    for (uint32_t i = 0; i < w->vms.n; i++) {
        struct world_vm *v = vm_at(w, i);
        if (v->move_to == node && v->node != node)
            world_move_abort(w, i);
        if (v->node != node || !world_vm_active(v))
            continue;
        world_hurt(w, "vm_on_down_node", v->id, "%s ran on %s when it went down", v->name,
                   w->nodes.items[node].id);
        if (managed_stop && !v->clustered)
            stop_action(w, i);
        else
            world_vm_crash(w, i, true);
    }
}

void world_vm_boot_host(struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->vms.n; i++) {
        struct world_vm *v = vm_at(w, i);
        bool wanted = strcmp(v->start_action, "start") == 0 ||
                      (strcmp(v->start_action, "start_if_running") == 0 && v->was_running);
        if (v->node == node && !v->clustered && !world_vm_active(v) && wanted)
            start_now(w, i);
    }
}

/* --- checkpoints --- */

int world_vm_checkpoint(struct world *w, uint32_t vm, struct refusal *r)
{
    struct world_vm *v = vm_at(w, vm);

    if (v->checkpoint[0] != 0)
        return 0;
    if (managed(w, vm, r) != 0)
        return -1;
    if (v->passthrough || v->dda || v->shared_disk || world_fault_hit(w, "checkpoint-fails", v->id) != NULL)
        return world_refuse(r, "refused", "0x80070032",
                            "a checkpoint is not possible for this virtual machine");
    strcpy(v->busy, "checkpoint");
    world_plan(w, world_draw(w, "checkpoint", v->id, v->gen, 5 * SECOND_MS, 30 * SECOND_MS), EV_CHECKPOINT,
               vm, v->gen, 0);
    return 0;
}

void on_checkpoint(struct world *w, const struct world_event *ev)
{
    struct world_vm *v = vm_at(w, ev->index);

    v->busy[0] = 0;
    world_guid(w, v->id, v->gen, v->checkpoint);
}

int world_vm_merge(struct world *w, uint32_t vm, struct refusal *r)
{
    struct world_vm *v = vm_at(w, vm);

    if (v->checkpoint[0] == 0 || strcmp(v->busy, "merge") == 0)
        return 0;
    if (managed(w, vm, r) != 0)
        return -1;
    strcpy(v->busy, "merge");
    world_plan(w, world_draw(w, "merge", v->id, v->gen, 20 * SECOND_MS, 180 * SECOND_MS), EV_MERGED, vm,
               v->gen, 0);
    return 0;
}

void on_merged(struct world *w, const struct world_event *ev)
{
    struct world_vm *v = vm_at(w, ev->index);

    v->busy[0] = 0;
    v->checkpoint[0] = 0;
}
