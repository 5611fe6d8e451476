/* Moves between hosts: slots, memory at both ends, pre-copy, blackout. */
#include "examples/lab/world.h"

#include <stdio.h>
#include <string.h>

#define STOP_COPY_MIB 64.0
#define ROUNDS_MAX 10

static uint32_t moves_of(const struct world *w, uint32_t node)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->vms.n; i++) {
        const struct world_vm *v = &w->vms.items[i];
        n += v->move_running && (v->node == node || v->move_to == node);
    }
    return n;
}

/* Things that Windows sees at once, whatever the queue. */
static int may_leave(struct world *w, const struct world_vm *v, enum move_how how, struct refusal *r)
{
    const struct world_node *from = &w->nodes.items[v->node];

    if (!v->clustered)
        return world_refuse(r, "refused", "0x80070490", "the virtual machine is not clustered");
    if (!from->vmms_answers || from->power != POWER_ON)
        return world_refuse(r, "busy", "0x800706ba",
                            "the virtual machine management service of %s does not answer", from->id);
    if (v->busy[0] != 0)
        return world_refuse(r, "busy", "19060", "the group is locked: %s", v->busy);
    if (v->move_to != WORLD_NONE)
        return world_refuse(r, "busy", "0x8007174b", "the virtual machine is already being moved");
    if (v->dda || v->local_disk || v->passthrough)
        return world_refuse(r, "refused", "21502", "the virtual machine uses a device or disk of its host");
    if (how == MOVE_LIVE && (strcmp(v->isolation, "snp") == 0 || strcmp(v->isolation, "tdx") == 0))
        return world_refuse(r, "refused", "21502", "an isolated virtual machine (%s) cannot be live-migrated",
                            v->isolation);
    if (world_fault_hit(w, "refuse-move", v->id) != NULL)
        return world_refuse(r, "refused", "21502",
                            "live migration of the virtual machine failed at the source");
    return 0;
}

static bool kin_on(const struct world *w, const struct world_vm *v, uint32_t node)
{
    for (uint32_t i = 0; i < w->vms.n; i++) {
        const struct world_vm *o = &w->vms.items[i];
        if (o != v && o->cluster == v->cluster && o->anti_affinity[0] != 0 && world_vm_active(o) &&
            strcmp(o->anti_affinity, v->anti_affinity) == 0 &&
            (o->node == node || (o->move_running && o->move_to == node)))
            return true;
    }
    return false;
}

static int may_arrive(struct world *w, const struct world_vm *v, uint32_t to, struct refusal *r)
{
    const struct world_node *n = &w->nodes.items[to];

    if (!world_vm_may_own(w, v, to))
        return world_refuse(r, "refused", "0x80071398", "the host %s is not a possible owner of the group",
                            n->id);
    if (!world_node_open(n))
        return world_refuse(r, "refused", "0x80071737", "the cluster node %s is not up", n->id);
    if (!n->vmms_answers)
        return world_refuse(r, "refused", "0x800706ba",
                            "the virtual machine management service of %s does not answer", n->id);
    if (v->iso[0] != 0)
        return world_refuse(r, "refused", "0xc03a0014", "the image %s is not there on %s", v->iso, n->id);
    if (!v->cpu_compat && strcmp(w->nodes.items[v->node].model, n->model) != 0)
        return world_refuse(r, "refused", "21502", "processor-specific features are not supported on %s",
                            n->id);
    if (w->clusters.items[v->cluster].enforced_anti_affinity && v->anti_affinity[0] != 0 && kin_on(w, v, to))
        return world_refuse(r, "refused", "0x80071737", "anti-affinity class %s has a member on %s",
                            v->anti_affinity, n->id);
    return 0;
}

static int has_room(struct world *w, const struct world_vm *v, uint32_t to, struct refusal *r)
{
    if (world_node_free_mib(w, to) >= v->assigned_mib)
        return 0;
    return world_refuse(r, "refused", "0x800705aa", "not enough memory on %s", w->nodes.items[to].id);
}

/* Pre-copy: rounds of m * rho^i until little is left; then the pause. */
static dur_ms live_takes(struct world *w, struct world_vm *v)
{
    const struct world_cluster *c = &w->clusters.items[v->cluster];
    int64_t factor = (w->nodes.items[v->node].migrate_factor + w->nodes.items[v->move_to].migrate_factor) / 2;
    double bandwidth = (double)c->bandwidth_mib_s, left = (double)v->assigned_mib, sent = 0;
    double rho = (double)v->dirty_mib_s / bandwidth;
    dur_ms resume = world_draw(w, "resume", v->id, v->moves, 90, 320), stop;

    for (unsigned i = 0; i < ROUNDS_MAX && left > STOP_COPY_MIB; i++) {
        sent += left;
        left *= rho < 1 ? rho : 1;
    }
    stop = (dur_ms)(left * 1000 / bandwidth);
    v->blackout_ms = stop + resume;
    if (rho < 1 && v->blackout_ms > SECOND_MS)
        v->blackout_ms = SECOND_MS;
    return 1500 +
           (dur_ms)(sent * 1200 / bandwidth) * factor / 1000 *
               world_draw(w, "move-spread", v->id, v->moves, 950, 1130) / 1000 +
           v->blackout_ms;
}

static dur_ms quick_takes(struct world *w, struct world_vm *v)
{
    return 4 * SECOND_MS + v->assigned_mib * 1000 / 700 + v->assigned_mib * 1000 / 900 +
           world_draw(w, "quick", v->id, v->moves, 0, 3000);
}

static void begin(struct world *w, uint32_t vm)
{
    struct world_vm *v = &w->vms.items[vm];
    struct world_fault *slow = world_fault_hit(w, "slow-move", v->id);
    dur_ms takes = v->move_how == MOVE_LIVE ? live_takes(w, v) : quick_takes(w, v);

    if (slow != NULL)
        takes *= world_fault_number(slow, 10);
    v->gen++;
    v->move_running = true;
    v->move_fails = world_fault_hit(w, "move-fails-halfway", v->id) != NULL;
    if (v->move_fails)
        takes /= 2;
    v->move_from = w->now;
    v->move_until = w->now + takes;
    if (v->move_how == MOVE_QUICK)
        v->open_truth = world_truth_open(w, "vm", v->id, CAUSE_QUICK, w->now, v->node);
    world_vm_set(w, vm, v->move_how == MOVE_LIVE ? VM_MIGRATING : VM_SAVING);
    world_plan(w, takes, EV_MOVE_END, vm, v->gen, 0);
}

/* Over: `error` "" is success. Whoever waits sees `moves` change. */
static void finish(struct world *w, uint32_t vm, const char *error)
{
    struct world_vm *v = &w->vms.items[vm];

    snprintf(v->move_error, sizeof v->move_error, "%s", error);
    v->move_to = WORLD_NONE;
    v->move_running = false;
    v->moves++;
    world_move_queue_run(w, v->cluster);
}

/* Oldest request first; a slot counts on both ends. */
void world_move_queue_run(struct world *w, uint32_t cluster)
{
    int64_t slots = w->clusters.items[cluster].parallel;
    uint32_t best;

    do {
        best = WORLD_NONE;
        for (uint32_t i = 0; i < w->vms.n; i++) {
            const struct world_vm *v = &w->vms.items[i];
            if (v->cluster != cluster || v->move_to == WORLD_NONE || v->move_running)
                continue;
            if (moves_of(w, v->node) < slots && moves_of(w, v->move_to) < slots &&
                (best == WORLD_NONE || v->move_from < w->vms.items[best].move_from))
                best = i;
        }
        if (best != WORLD_NONE) {
            struct refusal r;
            const struct world_vm *v = &w->vms.items[best];
            if (v->state != VM_RUNNING || may_arrive(w, v, v->move_to, &r) != 0 ||
                has_room(w, v, v->move_to, &r) != 0)
                finish(w, best, v->state != VM_RUNNING ? "0x80070015" : r.native);
            else
                begin(w, best);
        }
    } while (best != WORLD_NONE);
}

int world_move(struct world *w, uint32_t vm, uint32_t to, enum move_how how, struct refusal *r)
{
    struct world_vm *v = &w->vms.items[vm];

    if (v->state != VM_RUNNING && v->state != VM_MIGRATING)
        return world_refuse(r, "refused", "0x80070015", "the virtual machine is %s",
                            world_vm_state_text(v->state));
    if (may_leave(w, v, how, r) != 0 || may_arrive(w, v, to, r) != 0 || has_room(w, v, to, r) != 0)
        return -1;
    v->move_to = to;
    v->move_how = how;
    v->move_foreign = false;
    v->move_from = w->now;
    v->move_error[0] = 0;
    world_took_hold(w, "move_vm", v->node, v->id);
    world_move_queue_run(w, v->cluster);
    return 0;
}

int world_move_foreign(struct world *w, uint32_t vm, uint32_t to, struct refusal *r)
{
    int rc = world_move(w, vm, to, MOVE_LIVE, r);

    if (rc == 0)
        w->vms.items[vm].move_foreign = true;
    return rc;
}

static void arrived_live(struct world *w, struct world_vm *v)
{
    char seconds[24];

    world_truth_row(w, "vm", v->id, CAUSE_BLACKOUT, w->now - v->blackout_ms, w->now, v->move_to);
    if (w->truth.n > 0)
        w->truth.items[w->truth.n - 1].foreign = v->move_foreign;
    v->blackout_end = w->now;
    v->blackout_logged = world_fault_hit(w, "event-lost", v->id) == NULL;
    snprintf(seconds, sizeof seconds, "%lld.%lld", (long long)(v->blackout_ms + 50) / 1000,
             (long long)(v->blackout_ms + 50) / 100 % 10);
    if (v->blackout_logged)
        world_note(w, v->node, "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS",
                   v->blackout_ms < MINUTE_MS ? 20415 : 20417, 4, v->id, seconds);
}

void on_move_end(struct world *w, const struct world_event *ev)
{
    struct world_vm *v = &w->vms.items[ev->index];

    world_vm_set(w, ev->index, VM_RUNNING);
    if (v->move_how == MOVE_QUICK) {
        world_truth_close(w, v->open_truth, w->now);
        v->open_truth = WORLD_NONE;
    }
    if (v->move_fails) {
        world_note(w, v->node, "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS",
                   21502, 2, "", "");
        finish(w, ev->index, "21502");
        return;
    }
    if (v->move_how == MOVE_LIVE)
        arrived_live(w, v);
    v->moved_last_from = v->node;
    v->node = v->move_to;
    finish(w, ev->index, "");
}

/* One end is gone. Live: the VM stays where it was; quick: it was down. */
void world_move_abort(struct world *w, uint32_t vm)
{
    struct world_vm *v = &w->vms.items[vm];

    if (v->move_running) {
        v->gen++;
        world_vm_set(w, vm, VM_RUNNING);
        if (v->move_how == MOVE_QUICK) {
            world_truth_close(w, v->open_truth, w->now);
            v->open_truth = WORLD_NONE;
        }
    }
    finish(w, vm, "0x800704d4");
}
