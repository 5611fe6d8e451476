/* The raw world for stand-ins: cmdlet-like verbs over the same functions that
 * the driver's actions use (WORLD.md). Effects are begun, not awaited. */
#include "examples/lab/world_api.h"

#include "examples/lab/ask.h"

#include <stdio.h>
#include <string.h>

/* --- world.get: {"kind":"vms","node":"HV01"} --- */

struct view {
    struct world *w;
    uint32_t node, cluster; /* whose view */
    const json *params;
    struct json_writer jw;
};

static void get_clusters(struct view *v)
{
    const struct world_cluster *c = &v->w->clusters.items[v->cluster];

    jw_object(&v->jw, NULL);
    jw_str(&v->jw, "Name", c->id);
    jw_bool(&v->jw, "S2DEnabled", c->s2d);
    jw_int(&v->jw, "MaximumParallelMigrations", c->parallel);
    jw_int(&v->jw, "MigrationBandwidthMiB", c->bandwidth_mib_s);
    jw_int(&v->jw, "AutoBalancerMode", c->auto_balancer_mode);
    jw_int(&v->jw, "MoveTypeThreshold", c->move_type_threshold);
    jw_int(&v->jw, "QuarantineThreshold", c->quarantine_threshold);
    jw_int(&v->jw, "ClusterEnforcedAntiAffinity", c->enforced_anti_affinity);
    jw_int(&v->jw, "BackupInProgress", 0);
    jw_str(&v->jw, "Witness", c->witness);
    jw_str(&v->jw, "WitnessState", c->witness_state);
    jw_int(&v->jw, "WitnessDynamicWeight", world_witness_vote(v->w, v->cluster));
    jw_bool(&v->jw, "CauActive", c->cau_active);
    jw_bool(&v->jw, "Lost", c->lost);
    jw_object_end(&v->jw);
}

/* ClusterNodeState: Up 0, Down 1, Paused 2, Joining 3. */
static int64_t node_state_number(const struct world_node *n)
{
    if (n->member == MEMBER_DOWN)
        return 1;
    if (n->member == MEMBER_JOINING)
        return 3;
    return n->paused ? 2 : 0;
}

static void get_nodes(struct view *v)
{
    const struct world_cluster *c = &v->w->clusters.items[v->cluster];

    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++) {
        const struct world_node *n = &v->w->nodes.items[i];
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "Name", n->id);
        jw_int(&v->jw, "State", node_state_number(n));
        jw_int(&v->jw, "DrainStatus", n->drain_shown ? 2 : 0);
        jw_int(&v->jw, "NodeWeight", n->vote);
        jw_int(&v->jw, "DynamicWeight", world_node_dynamic_vote(v->w, i));
        jw_int(&v->jw, "StatusInformation", n->quarantined_until > v->w->now ? 2 : 0);
        jw_str(&v->jw, "FaultDomain", n->fault_domain);
        jw_bool(&v->jw, "StorageMaintenance", n->storage_out);
        jw_object_end(&v->jw);
    }
}

static void get_vms(struct view *v)
{
    bool all = json_get_bool(v->params, "all", false);

    for (uint32_t i = 0; i < v->w->vms.n; i++)
        if (v->w->vms.items[i].node == v->node || (all && v->w->vms.items[i].cluster == v->cluster))
            vm_write(&v->jw, v->w, i, false);
}

static void get_groups(struct view *v)
{
    for (uint32_t i = 0; i < v->w->groups.n; i++) {
        const struct world_group *g = &v->w->groups.items[i];
        static const int64_t types[] = { 1, 2, 5, 122, 4 };
        if (g->cluster != v->cluster)
            continue;
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "Id", g->id);
        jw_str(&v->jw, "Name", g->name);
        jw_int(&v->jw, "GroupType", types[g->type]);
        jw_str(&v->jw, "OwnerNode", v->w->nodes.items[g->owner].id);
        jw_int(&v->jw, "State",
               !g->healthy                          ? 2
               : g->moving_to != WORLD_NONE         ? 4
               : g->type == GROUP_AVAILABLE_STORAGE ? 1
                                                    : 0);
        jw_bool(&v->jw, "Redirected", g->redirected);
        jw_object_end(&v->jw);
    }
}

/* ClusterGroupState: Online 0, Offline 1, Failed 2, Pending 4. */
static int64_t role_state_number(const struct world_vm *v)
{
    switch (v->state) {
    case VM_RUNNING:
    case VM_PAUSED:
    case VM_MIGRATING:
        return 0;
    case VM_OFF:
    case VM_SAVED:
        return v->wanted_online ? 2 : 1;
    case VM_STARTING:
    case VM_STOPPING:
    case VM_SAVING:
        break;
    }
    return 4;
}

static void write_role_owners(struct view *v, const struct world_vm *vm)
{
    const struct world_cluster *c = &v->w->clusters.items[v->cluster];

    jw_array(&v->jw, "PossibleOwners");
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        if (world_vm_may_own(v->w, vm, i))
            jw_str(&v->jw, NULL, v->w->nodes.items[i].id);
    jw_array_end(&v->jw);
    jw_array(&v->jw, "PreferredOwners");
    if (vm->preferred != WORLD_NONE)
        jw_str(&v->jw, NULL, v->w->nodes.items[vm->preferred].id);
    jw_array_end(&v->jw);
    jw_array(&v->jw, "AntiAffinityClassNames");
    if (vm->anti_affinity[0] != 0)
        jw_str(&v->jw, NULL, vm->anti_affinity);
    jw_array_end(&v->jw);
}

/* The groups of the cluster's VMs: the cluster tells them, vmms or not. */
static void get_roles(struct view *v)
{
    for (uint32_t i = 0; i < v->w->vms.n; i++) {
        const struct world_vm *vm = &v->w->vms.items[i];
        if (vm->cluster != v->cluster || !vm->clustered)
            continue;
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "Id", vm->group);
        jw_str(&v->jw, "Name", vm->name);
        jw_str(&v->jw, "VmId", vm->id);
        jw_str(&v->jw, "OwnerNode", v->w->nodes.items[vm->node].id);
        jw_int(&v->jw, "State", role_state_number(vm));
        jw_int(&v->jw, "Priority", vm->priority);
        jw_bool(&v->jw, "Locked", vm->busy[0] != 0 || vm->move_running);
        jw_bool(&v->jw, "PersistentState", vm->wanted_online);
        jw_bool(&v->jw, "AutoFailback", vm->auto_failback);
        write_role_owners(v, vm);
        jw_object_end(&v->jw);
    }
}

/* vmwp.exe carries the VM's id; it is there with vmms or without. */
static void get_processes(struct view *v)
{
    for (uint32_t i = 0; i < v->w->vms.n; i++) {
        const struct world_vm *vm = &v->w->vms.items[i];
        bool arriving = vm->move_running && vm->move_to == v->node;
        if (!(vm->node == v->node && world_vm_active(vm)) && !arriving)
            continue;
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "Name", "vmwp.exe");
        jw_str(&v->jw, "VmId", vm->id);
        jw_object_end(&v->jw);
    }
}

static void get_snapshots(struct view *v)
{
    for (uint32_t i = 0; i < v->w->vms.n; i++) {
        const struct world_vm *vm = &v->w->vms.items[i];
        if (vm->node != v->node || vm->checkpoint[0] == 0)
            continue;
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "Id", vm->checkpoint);
        jw_str(&v->jw, "VmId", vm->id);
        jw_object_end(&v->jw);
    }
}

static void get_disks(struct view *v)
{
    static const char *const health[] = { "Healthy", "Warning", "Unhealthy" };

    for (uint32_t i = 0; i < v->w->disks.n; i++) {
        if (v->w->disks.items[i].cluster != v->cluster)
            continue;
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "ObjectId", v->w->disks.items[i].id);
        jw_str(&v->jw, "FriendlyName", v->w->disks.items[i].name);
        jw_str(&v->jw, "HealthStatus", health[world_storage_health(v->w, v->cluster)]);
        jw_object_end(&v->jw);
    }
}

static void get_jobs(struct view *v)
{
    const struct world_cluster *c = &v->w->clusters.items[v->cluster];

    if (c->repair_from == 0)
        return;
    jw_object(&v->jw, NULL);
    jw_str(&v->jw, "Name", "Repair");
    jw_str(&v->jw, "JobState", "Running");
    jw_int(&v->jw, "PercentComplete",
           c->repair_until == TIME_NEVER
               ? 3
               : (v->w->now - c->repair_from) * 100 / (c->repair_until - c->repair_from + 1));
    jw_int(&v->jw, "BytesTotal", c->repair_bytes);
    jw_object_end(&v->jw);
}

static void get_packages(struct view *v)
{
    static const int64_t cbs[] = { 0, 112, 96, 80, 5 };
    char name[80];

    for (uint32_t i = 0; i < v->w->packages.n; i++) {
        const struct world_package *p = &v->w->packages.items[i];
        if (p->node != v->node || p->state == PACKAGE_ABSENT)
            continue;
        snprintf(name, sizeof name, "Package_for_RollupFix~31bf3856ad364e35~amd64~~%lld.%lld.1.0",
                 (long long)p->build, (long long)p->ubr);
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "PackageName", name);
        jw_str(&v->jw, "Kb", p->kb);
        jw_int(&v->jw, "Ubr", p->ubr);
        jw_int(&v->jw, "CurrentState", cbs[p->state]);
        jw_bool(&v->jw, "Permanent", p->permanent);
        jw_object_end(&v->jw);
    }
}

static void get_machine(struct view *v)
{
    const struct world_node *n = &v->w->nodes.items[v->node];

    jw_object(&v->jw, NULL);
    jw_str(&v->jw, "Name", n->id);
    jw_str(&v->jw, "Cluster", v->w->clusters.items[n->cluster].id);
    jw_str(&v->jw, "MachineId", n->machine_id);
    jw_str(&v->jw, "BootId", n->boot_id);
    jw_int(&v->jw, "BootMs", n->boot_ms);
    jw_int(&v->jw, "NowMs", v->w->now + n->clock_error_ms);
    jw_int(&v->jw, "ClockErrorMs", n->clock_error_ms);
    jw_int(&v->jw, "Factor", v->w->meta.factor);
    jw_str(&v->jw, "Bmc", n->bmc);
    jw_int(&v->jw, "SntpPort", n->sntp_port);
    jw_str(&v->jw, "SntpAddress", v->w->nodes.items[0].address);
    jw_int(&v->jw, "StoragePaths", n->storage_paths);
    jw_str(&v->jw, "Model", n->model);
    jw_str(&v->jw, "Firmware", n->firmware);
    jw_int(&v->jw, "MemoryMiB", n->memory_now_mib);
    jw_int(&v->jw, "HostReserveMiB", n->host_reserve_mib);
    jw_int(&v->jw, "Cpus", n->cpus);
    jw_int(&v->jw, "FreeDiskBytes", n->free_disk_bytes);
    jw_int(&v->jw, "Build", v->w->meta.build);
    jw_int(&v->jw, "Ubr", n->ubr);
    jw_bool(&v->jw, "RebootPending", n->mark_cbs);
    jw_bool(&v->jw, "PackagesPending", n->mark_packages);
    jw_bool(&v->jw, "PendingXml", n->mark_xml);
    jw_bool(&v->jw, "RebootRequired", n->mark_wu);
    jw_bool(&v->jw, "ServicingIdle", n->servicing == SERVICING_IDLE);
    jw_int(&v->jw, "ServicingExit", n->servicing_exit);
    jw_str(&v->jw, "ServicingError", n->servicing_error);
    jw_int(&v->jw, "Servicings", n->services);
    jw_bool(&v->jw, "InterfaceDown", n->nic_down);
    jw_object_end(&v->jw);
}

static void get_services(struct view *v)
{
    const struct world_node *n = &v->w->nodes.items[v->node];
    const struct {
        const char *name;
        int64_t status; /* ServiceControllerStatus */
    } rows[] = {
        { "vmms", n->vmms == SERVICE_RUNNING    ? 4
                  : n->vmms == SERVICE_STARTING ? 2
                  : n->vmms == SERVICE_STOPPING ? 3
                                                : 1 },
        { "clussvc", n->member == MEMBER_DOWN ? 2 : 4 },
        { "VeeamTransportSvc", n->backup == SERVICE_RUNNING    ? 4
                               : n->backup == SERVICE_STARTING ? 2
                                                               : 1 },
        { "wuauserv", 1 },
        { "w32time", 4 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        jw_object(&v->jw, NULL);
        jw_str(&v->jw, "Name", rows[i].name);
        jw_int(&v->jw, "Status", rows[i].status);
        jw_int(&v->jw, "StartType", i == 3 ? 3 : 2);
        jw_bool(&v->jw, "Answers", i != 0 || n->vmms_answers);
        jw_object_end(&v->jw);
    }
}

static void get_events(struct view *v)
{
    time_ms since = json_get_int(v->params, "since_ms", 0);
    int64_t id = json_get_int(v->params, "id", -1);

    for (uint32_t i = 0; i < v->w->logs.n; i++) {
        const struct world_log *l = &v->w->logs.items[i];
        if (l->node != v->node || l->at < since || (id >= 0 && l->id != id))
            continue;
        jw_object(&v->jw, NULL);
        jw_int(&v->jw, "TimeMs", l->at);
        jw_str(&v->jw, "LogName", l->channel);
        jw_str(&v->jw, "ProviderName", l->provider);
        jw_int(&v->jw, "Id", l->id);
        jw_int(&v->jw, "Level", l->level);
        jw_str(&v->jw, "Param1", l->service);
        jw_str(&v->jw, "Param2", l->depends_on);
        jw_object_end(&v->jw);
    }
}

static void get_moves(struct view *v)
{
    uint32_t i = world_vm_by_id(v->w, json_get_str(v->params, "vm", ""));
    const struct world_vm *vm;

    if (i == WORLD_NONE)
        return;
    vm = &v->w->vms.items[i];
    jw_object(&v->jw, NULL);
    jw_int(&v->jw, "Finished", vm->moves);
    jw_bool(&v->jw, "Moving", vm->move_to != WORLD_NONE);
    jw_str(&v->jw, "Error", vm->move_error);
    jw_int(&v->jw, "BlackoutTenths", (vm->blackout_ms + 50) / 100);
    jw_int(&v->jw, "BlackoutEndMs", vm->blackout_end);
    jw_bool(&v->jw, "Logged", vm->blackout_logged);
    jw_int(&v->jw, "FromMs", vm->move_from);
    jw_int(&v->jw, "UntilMs", vm->move_until);
    jw_object_end(&v->jw);
}

static const struct kind {
    const char *name;
    void (*get)(struct view *v);
    bool needs_cluster, needs_vmms;
} kinds[] = {
    { "cluster", get_clusters, true, false },
    { "nodes", get_nodes, true, false },
    { "groups", get_groups, true, false },
    { "disks", get_disks, true, false },
    { "jobs", get_jobs, true, false },
    { "vms", get_vms, false, true },
    { "moves", get_moves, true, false },
    { "packages", get_packages, false, false },
    { "machine", get_machine, false, false },
    { "services", get_services, false, false },
    { "events", get_events, false, false },
    { "roles", get_roles, true, false },
    { "processes", get_processes, false, false },
    { "snapshots", get_snapshots, false, true },
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static int get(struct view *v, struct buf *out, struct err *err)
{
    const struct kind *k = kind_of(json_get_str(v->params, "kind", ""));
    const struct world_node *n = &v->w->nodes.items[v->node];

    if (k == NULL)
        return err_set(err, ERR_INVALID, "world.get knows no such kind");
    if (n->power == POWER_OFF)
        return err_set(err, ERR_LOST, "%s is off", n->id);
    if (k->needs_cluster && n->member != MEMBER_JOINED)
        return err_set(err, ERR_STATE, "0x80071718: the cluster service of %s has not joined", n->id);
    if (k->needs_vmms && !n->vmms_answers)
        return err_set(err, ERR_STATE, "0x800706ba: vmms of %s does not answer", n->id);
    jw_init(&v->jw, out);
    v->jw.ascii = true;
    jw_array(&v->jw, NULL);
    k->get(v);
    jw_array_end(&v->jw);
    return 0;
}

/* --- world.call: {"verb":"Suspend-ClusterNode","node":"HV01",...} --- */

struct call {
    struct world *w;
    uint32_t node, vm, group, to;
    const json *params;
    struct refusal r;
};

static int call_suspend(struct call *c)
{
    return world_pause(c->w, c->node, &c->r);
}

static int call_resume(struct call *c)
{
    return world_resume(c->w, c->node, &c->r);
}

static int call_move_vm(struct call *c)
{
    bool quick = strcmp(json_get_str(c->params, "type", "Live"), "Quick") == 0;

    return world_move(c->w, c->vm, c->to, quick ? MOVE_QUICK : MOVE_LIVE, &c->r);
}

static int call_move_group(struct call *c)
{
    return c->vm != WORLD_NONE ? world_vm_group_move(c->w, c->vm, c->to, &c->r)
                               : world_group_move(c->w, c->group, c->to, &c->r);
}

/* The stand-in computes in real time while the fleet's time is compressed:
 * `at_ms` is when its script asked, and the VM is down from then on. */
static void asked_at(struct call *c, time_ms at)
{
    struct world_vm *v = &c->w->vms.items[c->vm];

    if (v->open_truth == WORLD_NONE || v->stop_asked_ms != c->w->now || at > c->w->now ||
        at < c->w->now - 5 * MINUTE_MS)
        return;
    v->stop_asked_ms = at;
    c->w->truth.items[v->open_truth].start = at;
}

static int stop_vm(struct call *c)
{
    const char *how = json_get_str(c->params, "how", "shutdown");

    return world_vm_stop(c->w, c->vm,
                         strcmp(how, "save") == 0       ? STOP_SAVE
                         : strcmp(how, "turn_off") == 0 ? STOP_TURN_OFF
                                                        : STOP_SHUTDOWN,
                         &c->r);
}

static int call_stop_vm(struct call *c)
{
    int rc = stop_vm(c);

    asked_at(c, json_get_int(c->params, "at_ms", c->w->now));
    return rc;
}

static int call_start_vm(struct call *c)
{
    return world_vm_start(c->w, c->vm, &c->r);
}

static int call_checkpoint(struct call *c)
{
    return world_vm_checkpoint(c->w, c->vm, &c->r);
}

static int call_merge(struct call *c)
{
    return world_vm_merge(c->w, c->vm, &c->r);
}

static int call_stop_vmms(struct call *c)
{
    return world_vmms_stop(c->w, c->node, &c->r);
}

static int call_start_vmms(struct call *c)
{
    return world_vmms_start(c->w, c->node, &c->r);
}

static int call_storage_out(struct call *c)
{
    return world_storage_out(c->w, c->node, &c->r);
}

static int call_storage_in(struct call *c)
{
    return world_storage_in(c->w, c->node, &c->r);
}

static int call_restart(struct call *c)
{
    return world_reboot(c->w, c->node, &c->r);
}

static int call_add_package(struct call *c)
{
    bool wusa = strcmp(json_get_str(c->params, "tool", "dism"), "wusa") == 0;

    return world_install(c->w, c->node, json_get_str(c->params, "kb", ""),
                         json_get_int(c->params, "build", 0), json_get_int(c->params, "ubr", 0), wusa, &c->r);
}

static int call_remove_package(struct call *c)
{
    return world_uninstall(c->w, c->node, json_get_str(c->params, "kb", ""),
                           json_get_int(c->params, "ubr", 0), &c->r);
}

static int call_set_cluster(struct call *c)
{
    struct world_cluster *cl = world_cluster_of(c->w, c->node);
    int64_t value = json_get_int(c->params, "value", 0);
    const char *name = json_get_str(c->params, "name", "");

    if (strcmp(name, "AutoBalancerMode") == 0)
        cl->auto_balancer_mode = value;
    else if (strcmp(name, "MoveTypeThreshold") == 0)
        cl->move_type_threshold = value;
    else if (strcmp(name, "MaximumParallelMigrations") == 0)
        cl->parallel = value;
    else
        return world_refuse(&c->r, "not_found", NULL, "the cluster has no property `%s`", name);
    return 0;
}

enum { NEEDS_VM = 1u << 0, NEEDS_GROUP = 1u << 1, NEEDS_TO = 1u << 2 };

static const struct verb {
    const char *name;
    uint32_t flags;
    int (*call)(struct call *c);
} verbs[] = {
    { "Suspend-ClusterNode", 0, call_suspend },
    { "Resume-ClusterNode", 0, call_resume },
    { "Move-ClusterVirtualMachineRole", NEEDS_VM | NEEDS_TO, call_move_vm },
    { "Move-ClusterGroup", NEEDS_GROUP | NEEDS_TO, call_move_group },
    { "Move-ClusterSharedVolume", NEEDS_GROUP | NEEDS_TO, call_move_group },
    { "Stop-VM", NEEDS_VM, call_stop_vm },
    { "Start-VM", NEEDS_VM, call_start_vm },
    { "Checkpoint-VM", NEEDS_VM, call_checkpoint },
    { "Remove-VMSnapshot", NEEDS_VM, call_merge },
    { "Stop-Service", 0, call_stop_vmms },
    { "Start-Service", 0, call_start_vmms },
    { "Enable-StorageMaintenanceMode", 0, call_storage_out },
    { "Disable-StorageMaintenanceMode", 0, call_storage_in },
    { "Restart-Computer", 0, call_restart },
    { "Add-WindowsPackage", 0, call_add_package },
    { "Remove-WindowsPackage", 0, call_remove_package },
    { "Set-Cluster", 0, call_set_cluster },
};

static const struct verb *verb_of(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static uint32_t group_by_id(const struct world *w, const char *id)
{
    for (uint32_t i = 0; i < w->groups.n; i++)
        if (strcmp(w->groups.items[i].id, id) == 0)
            return i;
    return WORLD_NONE;
}

static uint32_t vm_by_group(const struct world *w, const char *id)
{
    for (uint32_t i = 0; i < w->vms.n; i++)
        if (strcmp(w->vms.items[i].group, id) == 0)
            return i;
    return WORLD_NONE;
}

static int find_subjects(struct call *c, uint32_t flags, struct err *err)
{
    const char *group = json_get_str(c->params, "group", "");

    c->vm = world_vm_by_id(c->w, json_get_str(c->params, "vm", ""));
    if (c->vm == WORLD_NONE && group[0] != 0)
        c->vm = vm_by_group(c->w, group);
    c->group = group_by_id(c->w, group);
    c->to = world_node_by_id(c->w, json_get_str(c->params, "to", ""));
    if ((flags & NEEDS_VM) != 0 && c->vm == WORLD_NONE)
        return err_set(err, ERR_NOT_FOUND, "there is no such virtual machine");
    if ((flags & NEEDS_GROUP) != 0 && c->group == WORLD_NONE && c->vm == WORLD_NONE)
        return err_set(err, ERR_NOT_FOUND, "there is no such group");
    if ((flags & NEEDS_TO) != 0 && !world_in_cluster(c->w, c->to, c->w->nodes.items[c->node].cluster))
        return err_set(err, ERR_NOT_FOUND, "the cluster has no such node");
    return 0;
}

/* {"code":0} begun, {"code":1} nothing to do, {"code":-1,...} refused. */
static void write_outcome(struct buf *out, int rc, const struct refusal *r)
{
    struct json_writer w;

    jw_init(&w, out);
    w.ascii = true;
    jw_object(&w, NULL);
    jw_int(&w, "code", rc);
    if (rc < 0) {
        jw_str(&w, "error", r->code);
        jw_str(&w, "native", r->native);
        jw_str(&w, "message", r->message);
    }
    jw_object_end(&w);
}

static int call(struct call *c, struct buf *out, struct err *err)
{
    const struct verb *v = verb_of(json_get_str(c->params, "verb", ""));

    if (v == NULL)
        return err_set(err, ERR_INVALID, "world.call knows no such verb");
    if (c->w->nodes.items[c->node].power == POWER_OFF)
        return err_set(err, ERR_LOST, "%s is off", c->w->nodes.items[c->node].id);
    if (find_subjects(c, v->flags, err) != 0)
        return (int)err->code;
    write_outcome(out, v->call(c), &c->r);
    return 0;
}

int world_api(struct world *w, const char *method, const json *params, struct buf *out, struct err *err)
{
    uint32_t node = params == NULL ? WORLD_NONE : world_node_by_id(w, json_get_str(params, "node", ""));

    if (node == WORLD_NONE)
        return err_set(err, ERR_NOT_FOUND, "there is no such node");
    if (strcmp(method, "world.get") == 0) {
        struct view v = { .w = w, .node = node, .cluster = w->nodes.items[node].cluster, .params = params };
        return get(&v, out, err);
    }
    struct call c = { .w = w, .node = node, .params = params };
    return call(&c, out, err);
}
