/* A node's power, its place in the cluster, and its services. */
#include "examples/lab/world.h"

#include <string.h>

static struct world_node *node_at(struct world *w, uint32_t node)
{
    return &w->nodes.items[node];
}

bool world_node_patched(const struct world_node *n)
{
    return n->ubr > n->base_ubr;
}

/* --- pause, resume --- */

int world_pause(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = node_at(w, node);

    if (n->paused || n->pausing)
        return 0;
    if (!world_node_serves(n))
        return world_refuse(r, "refused", "0x800713ba", "the cluster node %s is not up", n->id);
    if (world_fault_hit(w, "pause-refused", n->id) != NULL)
        return world_refuse(r, "refused", "0x80071398", "the cluster refused to pause %s", n->id);
    if (world_cluster_of(w, node)->s2d && world_storage_health(w, n->cluster) != HEALTH_HEALTHY)
        return world_refuse(r, "refused", "0x80071398",
                            "the cluster refused the pause: a volume is not healthy");
    n->pausing = true;
    world_took_hold(w, "pause", node, "");
    world_plan(w, world_draw_node(w, node, "pause", 800, 2500, 1000), EV_PAUSED, node, n->gen, 0);
    return 0;
}

void on_paused(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);

    n->pausing = false;
    n->paused = true;
}

int world_resume(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = node_at(w, node);

    if (n->resuming)
        return 0;
    if (!world_node_serves(n))
        return world_refuse(r, "refused", "0x800713ba", "the cluster node %s is not up", n->id);
    if (!n->paused)
        return 0;
    if (world_fault_hit(w, "resume-refused", n->id) != NULL)
        return world_refuse(r, "refused", "0x80071398", "the cluster refused to resume %s", n->id);
    n->resuming = true;
    world_took_hold(w, "resume", node, "");
    world_plan(w, world_draw_node(w, node, "resume", 800, 2500, 1000), EV_RESUMED, node, n->gen, 0);
    return 0;
}

void on_resumed(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);

    n->resuming = false;
    n->paused = false;
    if (n->storage_out)
        world_hurt(w, "resumed_without_storage", n->id, "resumed while its disks are in maintenance");
    if (world_cluster_of(w, ev->index)->auto_balancer_mode > 0)
        world_plan(w, world_draw_node(w, ev->index, "balance", 3 * MINUTE_MS, 12 * MINUTE_MS, 1000),
                   EV_BALANCE, n->cluster, 0, ev->index);
    for (uint32_t i = 0; i < w->vms.n; i++)
        if (w->vms.items[i].auto_failback && w->vms.items[i].preferred == ev->index &&
            w->vms.items[i].node != ev->index)
            world_plan(w, world_draw_node(w, ev->index, "failback", 20 * SECOND_MS, 90 * SECOND_MS, 1000),
                       EV_FAILBACK, i, 0, ev->index);
}

/* --- power --- */

int world_reboot(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = node_at(w, node);

    if (n->power == POWER_SHUTTING_DOWN)
        return 0;
    if (n->power != POWER_ON)
        return world_refuse(r, "refused", "1115", "%s is off", n->id);
    n->power = POWER_SHUTTING_DOWN;
    world_took_hold(w, "reboot", node, "");
    world_plan(w, world_draw_node(w, node, "shutdown", 8 * SECOND_MS, 25 * SECOND_MS, n->reboot_factor),
               EV_POWER_OFF, node, n->gen, 0);
    return 0;
}

void on_self_reboot(struct world *w, const struct world_event *ev)
{
    struct refusal r;

    (void)world_reboot(w, ev->index, &r);
}

static void services_off(struct world *w, struct world_node *n)
{
    if (n->vmms_answers || n->vmms == SERVICE_RUNNING) {
        n->vmms_stopped_ms = w->now;
        world_truth_open(w, "vmms", n->id, CAUSE_VMMS_STOPPED, w->now, (uint32_t)(n - w->nodes.items));
    }
    n->vmms = SERVICE_STOPPED;
    n->vmms_answers = false;
    n->backup = SERVICE_STOPPED;
}

static void power_off(struct world *w, uint32_t node)
{
    struct world_node *n = node_at(w, node);

    n->gen++; /* what was pending there will not happen */
    n->power = POWER_OFF;
    n->member = MEMBER_DOWN;
    n->off_ms = w->now;
    n->pausing = n->resuming = n->storage_entering = n->storage_leaving = false;
    world_servicing_cut(w, node);
    world_vm_shutdown_host(w, node);
    services_off(w, n);
    world_truth_open(w, "node", n->id, CAUSE_NODE_OUT, w->now, node);
    world_storage_left(w, node);
    world_node_left(w, node);
    if (w->on_power != NULL)
        w->on_power(w->owner, node, false);
    if (world_fault_hit(w, "never-back", n->id) != NULL)
        return;
    dur_ms takes = world_draw_node(w, node, "boot", 220 * SECOND_MS, 560 * SECOND_MS, n->reboot_factor);
    takes += MINUTE_MS * world_fault_number(world_fault_hit(w, "late-back", n->id), 0);
    world_plan(w, takes, EV_POWER_ON, node, n->gen, 0);
}

void on_power_off(struct world *w, const struct world_event *ev)
{
    power_off(w, ev->index);
}

/* No shutdown: the stop actions are not carried out. */
void world_node_crash(struct world *w, uint32_t node)
{
    struct world_node *n = node_at(w, node);

    if (n->power == POWER_OFF)
        return;
    n->vmms = SERVICE_STOPPED;
    power_off(w, node);
}

static void new_boot(struct world *w, uint32_t node)
{
    struct world_node *n = node_at(w, node);

    n->power = POWER_ON;
    n->member = MEMBER_JOINING;
    n->boots++;
    world_guid(w, n->machine_id, n->boots, n->boot_id);
    n->boot_ms = w->now;
    n->memory_now_mib = n->memory_mib;
    if (world_fault_hit(w, "less-memory", n->id) != NULL)
        n->memory_now_mib = n->memory_mib * 3 / 4;
    n->nic_down = world_fault_hit(w, "nic-down", n->id) != NULL;
    n->bitlocker_suspended = false;
}

void on_power_on(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);

    new_boot(w, ev->index);
    world_note(w, ev->index, "System", "EventLog", 6005, 4, "", "");
    world_note(w, ev->index, "System", "Microsoft-Windows-Winlogon", 7001, 4, "", "");
    world_note(w, ev->index, "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS", 15500,
               3, "", "");
    world_servicing_boot(w, ev->index);
    n->vmms = SERVICE_STARTING;
    world_plan(w, world_draw_node(w, ev->index, "vmms-boot", 10 * SECOND_MS, 25 * SECOND_MS, 1000),
               EV_VMMS_RUNNING, ev->index, n->gen, 0);
    n->backup = SERVICE_STARTING;
    world_plan(w, world_draw_node(w, ev->index, "backup-boot", 40 * SECOND_MS, 110 * SECOND_MS, 1000),
               EV_BACKUP_SERVICE, ev->index, n->gen, 0);
    world_plan(w, world_draw_node(w, ev->index, "join", 15 * SECOND_MS, 45 * SECOND_MS, 1000), EV_JOINED,
               ev->index, n->gen, 0);
    if (w->on_power != NULL)
        w->on_power(w->owner, ev->index, true);
}

/* --- services --- */

int world_vmms_stop(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = node_at(w, node);

    if (n->vmms == SERVICE_STOPPED || n->vmms == SERVICE_STOPPING)
        return 0;
    if (world_fault_hit(w, "vmms-stuck", n->id) != NULL)
        return world_refuse(r, "failed", "1053", "the service vmms did not stop in time");
    n->vmms = SERVICE_STOPPING;
    world_took_hold(w, "stop_vmms", node, "");
    world_plan(w, world_draw_node(w, node, "vmms-stop", 3 * SECOND_MS, 12 * SECOND_MS, 1000), EV_VMMS_STOPPED,
               node, n->gen, 0);
    return 0;
}

/* With VM groups still here the cluster's health checks of them fail and
 * they are restarted elsewhere: an outage. */
static void orphans(struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->vms.n; i++) {
        struct world_vm *v = &w->vms.items[i];
        if (v->move_to != WORLD_NONE && (v->node == node || v->move_to == node))
            world_move_abort(w, i);
        if (v->node != node || !world_vm_active(v) || !v->clustered)
            continue;
        world_note(w, node, "System", "Microsoft-Windows-FailoverClustering", 1069, 2, "", "");
        world_hurt(w, "vmms_stopped_under_vm", v->id, "vmms of %s stopped under %s", w->nodes.items[node].id,
                   v->name);
        world_vm_crash(w, i, true);
    }
}

void on_vmms_stopped(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);

    n->vmms = SERVICE_STOPPED;
    n->vmms_answers = false;
    n->vmms_since = n->vmms_stopped_ms = w->now;
    world_truth_open(w, "vmms", n->id, CAUSE_VMMS_STOPPED, w->now, ev->index);
    world_note(w, ev->index, "System", "Service Control Manager", 7036, 4, "vmms", "1");
    orphans(w, ev->index);
}

int world_vmms_start(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = node_at(w, node);

    if (n->vmms == SERVICE_RUNNING || n->vmms == SERVICE_STARTING)
        return 0;
    if (n->vmms == SERVICE_STOPPING)
        return world_refuse(r, "busy", "1061", "the service vmms is being stopped");
    n->vmms = SERVICE_STARTING;
    world_took_hold(w, "start_vmms", node, "");
    world_plan(w, world_draw_node(w, node, "vmms-start", 2 * SECOND_MS, 6 * SECOND_MS, 1000), EV_VMMS_RUNNING,
               node, n->gen, 0);
    return 0;
}

void on_vmms_running(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);

    if (world_fault_hit(w, "vmms-no-start", n->id) != NULL)
        return;
    n->vmms = SERVICE_RUNNING;
    n->vmms_since = w->now;
    world_note(w, ev->index, "System", "Service Control Manager", 7036, 4, "vmms", "4");
    world_plan(w, world_draw_node(w, ev->index, "vmms-answers", 4 * SECOND_MS, 18 * SECOND_MS, 1000),
               EV_VMMS_ANSWERS, ev->index, n->gen, 0);
}

static void close_rows(struct world *w, const char *subject, const char *id)
{
    for (uint32_t i = w->truth.n; i-- > 0;)
        if (w->truth.items[i].end < 0 && strcmp(w->truth.items[i].subject, subject) == 0 &&
            strcmp(w->truth.items[i].id, id) == 0)
            world_truth_close(w, i, w->now);
}

void on_vmms_answers(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);

    n->vmms_answers = true;
    n->vmms_since = w->now;
    close_rows(w, "vmms", n->id);
    world_note(w, ev->index, "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS", 14094,
               4, "", "");
    world_vm_boot_host(w, ev->index);
}

void on_backup_service(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);
    bool patched = world_node_patched(n);

    if (patched && world_fault_hit(w, "backup-silent", n->id) != NULL)
        n->backup_silent = true;
    if (patched && world_fault_hit(w, "backup-7001", n->id) != NULL) {
        n->backup = SERVICE_STOPPED;
        world_note(w, ev->index, "System", "Service Control Manager", 7001, 2, "VeeamTransportSvc",
                   "VeeamDeploySvc");
        return;
    }
    if (!patched)
        n->backup_silent = false;
    n->backup = SERVICE_RUNNING;
    world_note(w, ev->index, "System", "Service Control Manager", 7036, 4, "VeeamTransportSvc", "");
}

/* --- membership --- */

#define QUARANTINE_MS (2 * HOUR_MS)
#define REWEIGH_MS (10 * SECOND_MS)

/* Dynamic quorum: a node that is away for a while has no vote. */
int64_t world_node_dynamic_vote(const struct world *w, uint32_t node)
{
    const struct world_node *n = &w->nodes.items[node];

    return n->member == MEMBER_DOWN && w->now - n->off_ms > REWEIGH_MS ? 0 : n->vote;
}

int64_t world_witness_vote(const struct world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters.items[cluster];
    int64_t votes = 0;

    if (strcmp(c->witness, "none") == 0)
        return 0;
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        votes += world_node_dynamic_vote(w, i);
    return votes % 2 == 0;
}

static bool has_quorum(const struct world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters.items[cluster];
    int64_t witness = world_witness_vote(w, cluster), all = witness, here = 0;

    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++) {
        all += world_node_dynamic_vote(w, i);
        if (w->nodes.items[i].member == MEMBER_JOINED)
            here += w->nodes.items[i].vote;
    }
    if (strcmp(c->witness_state, "online") == 0)
        here += witness;
    return 2 * here > all;
}

void world_cluster_lost(struct world *w, uint32_t cluster, const char *why)
{
    struct world_cluster *c = &w->clusters.items[cluster];

    if (c->lost)
        return;
    c->lost = true;
    world_hurt(w, "cluster_lost", c->id, "%s", why);
    for (uint32_t i = 0; i < w->vms.n; i++)
        if (w->vms.items[i].cluster == cluster && w->vms.items[i].clustered)
            world_vm_crash(w, i, true);
}

static void count_departure(struct world *w, struct world_node *n, int64_t threshold)
{
    n->left_ms[2] = n->left_ms[1];
    n->left_ms[1] = n->left_ms[0];
    n->left_ms[0] = w->now;
    if (threshold == 3 && n->left_ms[2] > 0 && w->now - n->left_ms[2] < HOUR_MS) {
        n->quarantined_until = w->now + QUARANTINE_MS;
        world_hurt(w, "quarantined", n->id, "left the cluster three times within an hour");
    }
}

/* What is still owned fails over hard (O1). */
static void owned_fail_over(struct world *w, uint32_t node)
{
    struct world_node *n = node_at(w, node);

    for (uint32_t i = 0; i < w->groups.n; i++) {
        struct world_group *g = &w->groups.items[i];
        if (g->owner != node)
            continue;
        g->healthy = false;
        world_hurt(w, "hard_failover", g->id, "%s was owned by %s when it went down", g->name, n->id);
        world_plan(w, world_draw_node(w, node, "failover", 10 * SECOND_MS, 25 * SECOND_MS, 1000), EV_FAILOVER,
                   i, 0, node);
    }
    for (uint32_t i = 0; i < w->vms.n; i++) {
        struct world_vm *v = &w->vms.items[i];
        struct world_cluster *c = &w->clusters.items[v->cluster];
        if (v->node != node || !v->clustered || world_vm_active(v) || v->wanted_online)
            continue;
        for (uint32_t k = c->first_node; k < c->first_node + c->nodes; k++)
            if (world_node_open(node_at(w, k)) && world_vm_may_own(w, v, k)) {
                v->node = k;
                break;
            }
    }
}

void world_node_left(struct world *w, uint32_t node)
{
    struct world_node *n = node_at(w, node);
    struct world_cluster *c = world_cluster_of(w, node);

    count_departure(w, n, c->quarantine_threshold);
    owned_fail_over(w, node);
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        if (i != node && node_at(w, i)->member == MEMBER_JOINED) {
            world_note(w, i, "System", "Microsoft-Windows-FailoverClustering", 1135, 1, "", "");
            break;
        }
    if (!has_quorum(w, n->cluster))
        world_cluster_lost(w, n->cluster, "quorum lost");
}

void on_joined(struct world *w, const struct world_event *ev)
{
    struct world_node *n = node_at(w, ev->index);
    struct world_cluster *c = world_cluster_of(w, ev->index);

    if (n->quarantined_until > w->now) {
        n->member = MEMBER_DOWN;
        world_plan(w, n->quarantined_until - w->now, EV_JOINED, ev->index, n->gen, 0);
        return;
    }
    n->member = MEMBER_JOINED;
    n->joined_ms = w->now;
    close_rows(w, "node", n->id);
    if (c->lost && has_quorum(w, n->cluster))
        c->lost = false;
    world_storage_back(w, ev->index);
}

static uint32_t any_open(struct world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters.items[cluster];

    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        if (world_node_open(&w->nodes.items[i]))
            return i;
    return WORLD_NONE;
}

void on_failover(struct world *w, const struct world_event *ev)
{
    struct world_group *g = &w->groups.items[ev->index];
    uint32_t to = any_open(w, g->cluster);

    if (g->owner != (uint32_t)ev->arg)
        return;
    if (to == WORLD_NONE) {
        world_plan(w, MINUTE_MS, EV_FAILOVER, ev->index, 0, ev->arg);
        return;
    }
    g->owner = to;
    g->healthy = true;
    if (g->type == GROUP_CSV)
        world_note(w, to, "System", "Microsoft-Windows-FailoverClustering", 5120, 2, "", "");
}
