/* Actions on the node and its place in the cluster. */
#include "examples/lab/ask.h"

#include <string.h>

/* --- pause, resume --- */

static bool on_pause_done(struct ask *a)
{
    return ask_host(a)->paused ? ask_state(a, "paused", false) : false;
}

bool act_pause(struct ask *a)
{
    struct world_node *n = ask_host(a);
    struct refusal r;

    if (a->witness)
        return ask_witness(a, n->paused ? "done" : n->pausing ? "running" : "not_done");
    if (n->paused && !json_get_bool(a->args, "found_ours", false))
        return ask_error(a, "found_paused", NULL, "the node was paused before us");
    if (n->paused)
        return ask_state(a, "paused", true);
    if (world_pause(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_pause_done);
}

static bool on_resume_done(struct ask *a)
{
    return !ask_host(a)->paused ? ask_state(a, "up", false) : false;
}

bool act_resume(struct ask *a)
{
    struct world_node *n = ask_host(a);
    struct refusal r;

    if (a->witness)
        return ask_witness(a, !world_node_serves(n) ? "cannot_tell"
                              : !n->paused          ? "done"
                              : n->resuming         ? "running"
                                                    : "not_done");
    if (!n->paused && world_node_serves(n))
        return ask_state(a, "up", true);
    if (world_resume(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_resume_done);
}

/* --- move_groups (O1) --- */

static uint32_t receiver(struct ask *a)
{
    const json *to = json_get(a->args, "to");

    for (const json *v = to == NULL ? NULL : json_first(to); v != NULL; v = json_next(v)) {
        uint32_t i = world_node_by_id(a->w, json_str(v, ""));
        if (world_in_cluster(a->w, i, ask_host(a)->cluster) && i != a->node &&
            world_node_open(&a->w->nodes.items[i]))
            return i;
    }
    return WORLD_NONE;
}

static bool still_here(const struct ask *a)
{
    for (uint32_t i = 0; i < a->w->groups.n; i++)
        if (a->w->groups.items[i].owner == a->node)
            return true;
    return false;
}

static bool goes_along(const struct ask *a, const struct world_vm *v)
{
    return v->node == a->node && v->clustered && !world_vm_active(v) && !v->wanted_online;
}

/* Written when all is done: what went is what is owned elsewhere now. */
static bool on_groups_moved(struct ask *a)
{
    const char *to = a->mark == WORLD_NONE ? "" : a->w->nodes.items[a->mark].id;

    for (uint32_t i = 0; i < a->w->groups.n; i++)
        if (a->w->groups.items[i].owner == a->node && a->w->groups.items[i].moving_to != WORLD_NONE)
            return false;
    ask_result(a);
    jw_array(&a->jw, "moved");
    for (uint32_t i = 0; i < a->w->groups.n; i++) {
        const struct world_group *g = &a->w->groups.items[i];
        if (g->asked_from != a->node || g->asked_ms != a->begun || g->owner == a->node)
            continue;
        jw_object(&a->jw, NULL);
        jw_str(&a->jw, "kind", g->type == GROUP_CSV ? "csv" : "group");
        jw_str(&a->jw, "id", g->id);
        jw_str(&a->jw, "to", to);
        jw_object_end(&a->jw);
    }
    jw_array_end(&a->jw);
    jw_array(&a->jw, "left");
    for (uint32_t i = 0; i < a->w->groups.n; i++) {
        const struct world_group *g = &a->w->groups.items[i];
        if (g->owner != a->node)
            continue;
        jw_object(&a->jw, NULL);
        jw_str(&a->jw, "kind", g->type == GROUP_CSV ? "csv" : "group");
        jw_str(&a->jw, "id", g->id);
        jw_str(&a->jw, "why", "no node of the list can take it");
        jw_object_end(&a->jw);
    }
    jw_array_end(&a->jw);
    return ask_finish(a);
}

/* Parked VMs' groups go along where their owners allow (O4). */
static void move_offline_vms(struct ask *a, uint32_t to)
{
    struct refusal r;

    for (uint32_t i = 0; i < a->w->vms.n; i++)
        if (goes_along(a, &a->w->vms.items[i]))
            (void)world_vm_group_move(a->w, i, to, &r);
}

bool act_move_groups(struct ask *a)
{
    uint32_t to = receiver(a);
    struct refusal r;

    if (a->witness)
        return ask_witness(a, still_here(a) ? "not_done" : "done");
    if (!json_is_array(json_get(a->args, "to")))
        return ask_error(a, "bad_request", NULL, "`to` must list nodes");
    a->mark = to;
    for (uint32_t i = 0; to != WORLD_NONE && i < a->w->groups.n; i++)
        if (a->w->groups.items[i].owner == a->node && world_group_move(a->w, i, to, &r) == 0) {
            a->w->groups.items[i].asked_ms = a->begun;
            a->w->groups.items[i].asked_from = a->node;
        }
    if (to != WORLD_NONE)
        move_offline_vms(a, to);
    return ask_wait(a, on_groups_moved);
}

/* --- storage maintenance (O3) --- */

static bool disks(struct ask *a, bool already)
{
    ask_result(a);
    jw_int(&a->jw, "disks", world_cluster_of(a->w, a->node)->s2d ? 8 : 0);
    if (already)
        jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

static bool on_out(struct ask *a)
{
    return ask_host(a)->storage_out ? disks(a, false) : false;
}

bool act_storage_out(struct ask *a)
{
    struct world_node *n = ask_host(a);
    bool s2d = world_cluster_of(a->w, a->node)->s2d;
    struct refusal r;

    if (a->witness)
        return ask_witness(a, !s2d || n->storage_out ? "done" : n->storage_entering ? "running" : "not_done");
    if (!s2d || n->storage_out)
        return disks(a, true);
    if (world_storage_out(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_out);
}

static bool on_in(struct ask *a)
{
    return !ask_host(a)->storage_out ? disks(a, false) : false;
}

bool act_storage_in(struct ask *a)
{
    struct world_node *n = ask_host(a);
    struct refusal r;

    if (a->witness)
        return ask_witness(a, !n->storage_out ? "done" : n->storage_leaving ? "running" : "not_done");
    if (!n->storage_out)
        return disks(a, true);
    if (world_storage_in(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_in);
}

/* --- vmms (O8) --- */

static bool on_vmms_down(struct ask *a)
{
    struct world_node *n = ask_host(a);

    if (n->vmms != SERVICE_STOPPED)
        return false;
    ask_add_row(a, "vmms", n->id, "vmms_stopped", n->vmms_stopped_ms, -1, "event 7036");
    return ask_state(a, "stopped", false);
}

bool act_stop_vmms(struct ask *a)
{
    struct world_node *n = ask_host(a);
    struct refusal r;

    if (a->witness) {
        if (n->vmms == SERVICE_STOPPED && n->vmms_stopped_ms > 0)
            ask_add_row(a, "vmms", n->id, "vmms_stopped", n->vmms_stopped_ms, -1, "event 7036");
        return ask_witness(a, n->vmms == SERVICE_STOPPED    ? "done"
                              : n->vmms == SERVICE_STOPPING ? "running"
                                                            : "not_done");
    }
    if (n->vmms == SERVICE_STOPPED)
        return ask_state(a, "stopped", true);
    if (!node_empty(a, false, NULL))
        return ask_error(a, "not_empty", NULL, "the node is not empty: vmms stays");
    if (world_vmms_stop(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_vmms_down);
}

static void vmms_row(struct ask *a)
{
    struct world_node *n = ask_host(a);

    if (n->vmms_stopped_ms > 0 && n->vmms_since > n->vmms_stopped_ms)
        ask_add_row(a, "vmms", n->id, "vmms_stopped", n->vmms_stopped_ms, n->vmms_since, "event 7036");
}

static bool on_vmms_up(struct ask *a)
{
    if (!ask_host(a)->vmms_answers)
        return false;
    vmms_row(a);
    return ask_state(a, "running", a->mark != 0);
}

bool act_start_vmms(struct ask *a)
{
    struct world_node *n = ask_host(a);
    struct refusal r;

    if (a->witness && n->vmms_answers)
        vmms_row(a);
    if (a->witness)
        return ask_witness(a, n->vmms_answers ? "done" : n->vmms == SERVICE_STOPPED ? "not_done" : "running");
    a->mark = n->vmms_answers;
    if (world_vmms_start(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_vmms_up);
}

/* --- reboot --- */

/* The machine goes away under the driver: no answer is ever written. */
static bool on_reboot(struct ask *a)
{
    (void)a;
    return false;
}

bool act_reboot(struct ask *a)
{
    struct world_node *n = ask_host(a);
    const char *boot = json_get_str(a->args, "boot_id", NULL);
    struct refusal r;

    if (boot == NULL)
        return ask_error(a, "bad_request", NULL, "`boot_id` is missing");
    if (a->witness)
        return ask_witness(a, strcmp(boot, n->boot_id) != 0     ? "done"
                              : n->power == POWER_SHUTTING_DOWN ? "running"
                                                                : "not_done");
    if (strcmp(boot, n->boot_id) != 0)
        return ask_already(a);
    if (n->servicing != SERVICING_IDLE)
        return ask_error(a, "busy", "0x80240009", "servicing is in progress");
    if (!node_empty(a, true, NULL))
        return ask_error(a, "not_empty", NULL, "the node is not empty");
    if (world_reboot(a->w, a->node, &r) != 0)
        return ask_refused(a, &r);
    return ask_wait(a, on_reboot);
}

/* --- small ones --- */

bool act_bitlocker_suspend(struct ask *a)
{
    if (a->witness)
        return ask_witness(a, "done"); /* no volume is protected here */
    ask_result(a);
    jw_int(&a->jw, "volumes", 0);
    jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

static int64_t *setting(struct world_cluster *c, const char *name)
{
    if (strcmp(name, "auto_balancer_mode") == 0)
        return &c->auto_balancer_mode;
    if (strcmp(name, "move_type_threshold") == 0)
        return &c->move_type_threshold;
    if (strcmp(name, "max_parallel_migrations") == 0)
        return &c->parallel;
    if (strcmp(name, "migration_bandwidth_mib_s") == 0)
        return &c->bandwidth_mib_s;
    return NULL;
}

bool act_cluster_setting(struct ask *a)
{
    const char *name = json_get_str(a->args, "name", "");
    int64_t *at = setting(world_cluster_of(a->w, a->node), name), old;
    const json *value = json_get(a->args, "value");

    if (!json_is_int(value))
        return ask_error(a, "bad_request", NULL, "`value` must be a whole number");
    if (at == NULL)
        return ask_error(a, "not_found", NULL, "the cluster has no setting `%s`", name);
    if (a->witness)
        return ask_witness(a, *at == json_int(value, 0) ? "done" : "not_done");
    old = *at;
    if (json_is_int(json_get(a->args, "expected")) && old != json_get_int(a->args, "expected", 0) &&
        old != json_int(value, 0))
        return ask_error(a, "refused", NULL, "%s is %lld, not as expected: somebody changed it", name,
                         (long long)old);
    *at = json_int(value, 0);
    ask_result(a);
    jw_int(&a->jw, "old", old);
    jw_int(&a->jw, "new", *at);
    if (old == *at)
        jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}
