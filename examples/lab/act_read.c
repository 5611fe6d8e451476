/* What the driver sees of a node: only what Windows would show. */
#include "examples/lab/ask.h"

#include <stdio.h>
#include <string.h>

bool package_pending(const struct world_node *n)
{
    return n->mark_cbs || n->mark_packages || n->mark_xml || n->mark_wu;
}

static void write_marks(struct json_writer *w, const struct world_node *n)
{
    jw_array(w, "marks");
    if (n->mark_cbs)
        jw_str(w, NULL, "RebootPending");
    if (n->mark_packages)
        jw_str(w, NULL, "PackagesPending");
    if (n->mark_xml)
        jw_str(w, NULL, "pending.xml");
    if (n->mark_wu)
        jw_str(w, NULL, "RebootRequired");
    jw_array_end(w);
}

static const char *package_text(enum package_state s)
{
    static const char *const names[] = { "absent", "installed", "install_pending", "superseded",
                                         "uninstall_pending" };

    return names[s];
}

static void write_packages(struct ask *a)
{
    struct json_writer *w = &a->jw;
    char text[80];

    jw_array(w, "packages");
    for (uint32_t i = 0; i < a->w->packages.n; i++) {
        const struct world_package *p = &a->w->packages.items[i];
        if (p->node != a->node || p->state == PACKAGE_ABSENT)
            continue;
        snprintf(text, sizeof text, "Package_for_RollupFix~31bf3856ad364e35~amd64~~%lld.%lld.1.0",
                 (long long)p->build, (long long)p->ubr);
        jw_object(w, NULL);
        jw_str(w, "identity", text);
        jw_int(w, "build", p->build);
        jw_int(w, "ubr", p->ubr);
        jw_str(w, "state", package_text(p->state));
        jw_object_end(w);
    }
    jw_array_end(w);
}

/* Get-HotFix names the newest one only; some cultures lose the date (O13). */
static const char *hotfix_date(const struct ask *a)
{
    return a->node % 3 == 0 ? NULL : "2026-11-23";
}

static void write_hotfixes(struct ask *a)
{
    const struct world_package *top = world_package_top(a->w, a->node);
    struct json_writer *w = &a->jw;

    jw_array(w, "hotfixes");
    if (top != NULL) {
        jw_object(w, NULL);
        jw_str(w, "id", top->kb);
        jw_str(w, "installed_on", hotfix_date(a));
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_service(struct json_writer *w, const char *name, const char *state, const char *start)
{
    jw_object(w, NULL);
    jw_str(w, "name", name);
    jw_str(w, "state", state);
    jw_str(w, "start", start);
    jw_object_end(w);
}

static void write_services(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    struct json_writer *w = &a->jw;

    jw_array(w, "services");
    write_service(w, "vmms", world_service_text(n->vmms), "automatic");
    write_service(w, "clussvc", n->member == MEMBER_DOWN ? "start_pending" : "running", "automatic");
    write_service(w, "wuauserv", "stopped", "manual");
    write_service(w, "w32time", "running", "automatic");
    if (!n->backup_silent)
        write_service(w, "VeeamTransportSvc", world_service_text(n->backup), "automatic");
    jw_array_end(w);
}

static void write_interfaces(struct ask *a)
{
    static const char *const names[] = { "Cluster 1", "Cluster 2", "Live Migration", "Management" };
    struct json_writer *w = &a->jw;

    jw_array(w, "interfaces");
    for (uint32_t i = 0; i < 4; i++) {
        jw_object(w, NULL);
        jw_str(w, "name", names[i]);
        jw_str(w, "state", i == 1 && ask_host(a)->nic_down ? "down" : "up");
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_identity(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    struct json_writer *w = &a->jw;

    jw_str(w, "node", n->id);
    jw_str(w, "machine_id", n->machine_id);
    jw_str(w, "boot_id", n->boot_id);
    jw_int(w, "boot_ms", n->boot_ms);
    jw_int(w, "now_ms", a->w->now + n->clock_error_ms);
    jw_int(w, "clock_error_ms", n->clock_error_ms);
    jw_str(w, "cluster", world_cluster_of(a->w, a->node)->id);
    jw_str(w, "model", n->model);
    jw_str(w, "firmware", n->firmware);
    jw_str(w, "bmc", n->bmc);
    jw_object(w, "os");
    jw_int(w, "build", a->w->meta.build);
    jw_int(w, "ubr", n->ubr);
    jw_bool(w, "server", true);
    jw_str(w, "caption", "Windows Server 2025 Datacenter");
    jw_object_end(w);
}

/* The article's test holds on every server with a TPM; Microsoft's words need a confidential VM. */
static void write_applicability(struct ask *a)
{
    struct json_writer *w = &a->jw;
    bool confidential = false;

    for (uint32_t i = 0; i < a->w->vms.n; i++) {
        const struct world_vm *v = &a->w->vms.items[i];

        confidential |=
            v->node == a->node && (strcmp(v->isolation, "snp") == 0 || strcmp(v->isolation, "tdx") == 0);
    }
    jw_object(w, "applicability");
    jw_bool(w, "article", true);
    jw_bool(w, "microsoft", confidential);
    jw_object_end(w);
}

static void write_security(struct ask *a)
{
    struct json_writer *w = &a->jw;

    jw_object(w, "bitlocker");
    jw_str(w, "os_volume", "off");
    jw_array(w, "protectors");
    jw_array_end(w);
    jw_null(w, "escrowed");
    jw_object_end(w);
    jw_null(w, "attestation");
    jw_int(w, "vbs", 2);
    jw_bool(w, "tpm", true);
    write_applicability(a);
    jw_bool(w, "hotpatch", false);
}

static void write_hardware(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    struct json_writer *w = &a->jw;

    jw_int(w, "memory_mib", n->memory_now_mib);
    jw_int(w, "host_reserve_mib", n->host_reserve_mib);
    jw_int(w, "cpus", n->cpus);
    jw_int(w, "free_disk_bytes", n->free_disk_bytes);
}

bool act_facts(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    struct json_writer *w = &a->jw;
    char source[40];

    ask_result(a);
    write_identity(a);
    write_hardware(a);
    write_packages(a);
    write_hotfixes(a);
    jw_object(w, "pending");
    jw_bool(w, "reboot", package_pending(n));
    write_marks(w, n);
    jw_object_end(w);
    jw_bool(w, "servicing_idle", n->servicing == SERVICING_IDLE);
    write_services(a);
    jw_array(w, "switches");
    jw_str(w, NULL, "vSwitch1");
    jw_array_end(w);
    write_interfaces(a);
    jw_int(w, "storage_paths", n->storage_paths);
    write_security(a);
    snprintf(source, sizeof source, "%s:%lld", a->w->nodes.items[0].address, (long long)n->sntp_port);
    jw_str(w, "time_source", source);
    return ask_finish(a);
}

/* --- VMs --- */

const char *vm_heartbeat(struct world *w, const struct world_vm *v)
{
    const struct world_node *n = &w->nodes.items[v->node];

    if (v->state != VM_RUNNING && v->state != VM_MIGRATING)
        return NULL;
    if (world_node_patched(n) && (world_fault_set(w, "heartbeat-lost", n->id) != NULL ||
                                  world_fault_set(w, "heartbeat-lost", v->id) != NULL))
        return "lost";
    return w->now < v->heartbeat_from ? "no_contact" : "ok";
}

static void write_vm_flags(struct json_writer *w, const struct world_vm *v)
{
    jw_str(w, "isolation", v->isolation);
    jw_bool(w, "dda", v->dda);
    jw_bool(w, "gpu", v->gpu);
    jw_bool(w, "local_disk", v->local_disk);
    jw_bool(w, "passthrough", v->passthrough);
    jw_bool(w, "shared_disk", v->shared_disk);
    jw_str(w, "iso", v->iso[0] == 0 ? NULL : v->iso);
    jw_array(w, "switches");
    jw_str(w, NULL, "vSwitch1");
    jw_array_end(w);
    jw_str(w, "key_protector", v->key_protector ? "local" : NULL);
    jw_bool(w, "cpu_compat", v->cpu_compat);
    jw_str(w, "version", v->version);
    jw_str(w, "stop_action", v->stop_action);
    jw_str(w, "start_action", v->start_action);
}

static void write_vm_owners(struct json_writer *w, const struct world *wd, const struct world_vm *v)
{
    const struct world_cluster *c = &wd->clusters.items[v->cluster];

    jw_array(w, "possible_owners");
    for (uint32_t i = c->first_node; v->clustered && i < c->first_node + c->nodes; i++)
        if (world_vm_may_own(wd, v, i))
            jw_str(w, NULL, wd->nodes.items[i].id);
    jw_array_end(w);
    jw_array(w, "preferred_owners");
    if (v->preferred != WORLD_NONE)
        jw_str(w, NULL, wd->nodes.items[v->preferred].id);
    jw_array_end(w);
    jw_array(w, "anti_affinity");
    if (v->anti_affinity[0] != 0)
        jw_str(w, NULL, v->anti_affinity);
    jw_array_end(w);
    jw_bool(w, "auto_failback", v->auto_failback);
}

static void write_vm_memory(struct json_writer *w, const struct world_vm *v)
{
    jw_object(w, "memory");
    jw_int(w, "assigned_mib", v->assigned_mib);
    jw_int(w, "startup_mib", v->startup_mib);
    jw_int(w, "maximum_mib", v->maximum_mib);
    jw_bool(w, "dynamic", v->dynamic);
    jw_object_end(w);
}

void vm_write(struct json_writer *w, const struct world *wd, uint32_t vm, bool declared)
{
    const struct world_vm *v = &wd->vms.items[vm];
    union {
        const struct world *in;
        struct world *out;
    } u = { wd };

    jw_object(w, NULL);
    jw_str(w, "id", v->id);
    jw_str(w, "name", v->name);
    jw_str(w, "node", wd->nodes.items[v->node].id);
    jw_str(w, "state", world_vm_state_text(v->state));
    jw_bool(w, "clustered", v->clustered);
    jw_str(w, "group", v->clustered ? v->group : NULL);
    write_vm_memory(w, v);
    jw_int(w, "cpus", v->cpus);
    jw_int(w, "dirty_mib_s", v->dirty_mib_s);
    jw_int(w, "priority", v->priority);
    jw_str(w, "heartbeat", vm_heartbeat(u.out, v));
    jw_str(w, "busy", v->move_running ? "migration" : v->busy[0] == 0 ? NULL : v->busy);
    write_vm_flags(w, v);
    write_vm_owners(w, wd, v);
    jw_int(w, "uptime_ms", world_vm_active(v) ? wd->now - v->started_ms : 0);
    jw_bool(w, "replication", v->replication);
    jw_str(w, "role", declared && v->role[0] != 0 ? v->role : NULL);
    if (declared && v->sla[0] != 0)
        jw_str(w, "sla", v->sla);
    jw_object_end(w);
}

static bool vmms_silent(struct ask *a)
{
    return ask_error(a, "busy", "0x800706ba", "the virtual machine management service of %s does not answer",
                     ask_host(a)->id);
}

bool act_vms(struct ask *a)
{
    if (!ask_host(a)->vmms_answers)
        return vmms_silent(a);
    ask_result(a);
    jw_array(&a->jw, "vms");
    for (uint32_t i = 0; i < a->w->vms.n; i++)
        if (a->w->vms.items[i].node == a->node)
            vm_write(&a->jw, a->w, i, false);
    jw_array_end(&a->jw);
    jw_null(&a->jw, "next");
    return ask_finish(a);
}

/* --- empty (O2) --- */

static void left(struct json_writer *w, const char *kind, const char *id, const char *name, const char *why)
{
    if (w == NULL)
        return;
    jw_object(w, NULL);
    jw_str(w, "kind", kind);
    jw_str(w, "id", id);
    jw_str(w, "name", name);
    jw_str(w, "why", why);
    jw_object_end(w);
}

static bool pinned_to(const struct ask *a, const struct world_vm *v)
{
    const struct world_cluster *c = &a->w->clusters.items[v->cluster];

    return v->possible == (uint64_t)1 << (a->node - c->first_node);
}

static const char *vm_why(struct ask *a, const struct world_vm *v, bool processes)
{
    if (v->move_running && v->move_to == a->node && v->node != a->node)
        return "is arriving";
    if (v->node != a->node)
        return NULL;
    if (world_vm_active(v))
        return processes ? "a worker process runs" : world_vm_state_text(v->state);
    if (!v->clustered)
        return NULL; /* off, and nothing else of it is here */
    if (!ask_parked(a, v->id))
        return "its group is owned here and was not parked";
    return pinned_to(a, v) ? NULL : "its group is owned here and could be elsewhere";
}

bool node_empty(struct ask *a, bool processes, struct json_writer *w)
{
    const struct world_node *n = ask_host(a);
    bool empty = true;

    for (uint32_t i = 0; i < a->w->vms.n; i++) {
        const struct world_vm *v = &a->w->vms.items[i];
        const char *why = vm_why(a, v, processes);
        if (why == NULL)
            continue;
        empty = false;
        left(w, processes && world_vm_active(v) ? "process" : "vm", v->id, v->name, why);
    }
    for (uint32_t i = 0; i < a->w->groups.n; i++) {
        const struct world_group *g = &a->w->groups.items[i];
        if (g->owner != a->node)
            continue;
        empty = false;
        left(w, g->type == GROUP_CSV ? "csv" : "group", g->id, g->name, "is owned here");
    }
    if (!n->paused) {
        empty = false;
        left(w, "node", n->id, n->id, "is not paused");
    }
    return empty;
}

bool act_check_empty(struct ask *a)
{
    const char *form = json_get_str(a->args, "form", "");
    bool processes = strcmp(form, "processes") == 0, empty;

    if (!processes && strcmp(form, "vmms") != 0)
        return ask_error(a, "bad_request", NULL, "`form` must be vmms or processes");
    if (!processes && !ask_host(a)->vmms_answers)
        return vmms_silent(a);
    empty = node_empty(a, processes, NULL);
    ask_result(a);
    jw_bool(&a->jw, "empty", empty);
    jw_array(&a->jw, "left");
    (void)node_empty(a, processes, &a->jw);
    jw_array_end(&a->jw);
    return ask_finish(a);
}

/* --- storage, packages --- */

static const char *health_text(enum health h)
{
    static const char *const names[] = { "healthy", "warning", "unhealthy" };

    return names[h];
}

static void write_job(struct json_writer *w, const char *id, const char *kind, int64_t percent, int64_t bytes)
{
    jw_object(w, NULL);
    jw_str(w, "id", id);
    jw_str(w, "kind", kind);
    jw_str(w, "state", "running");
    jw_int(w, "percent", percent);
    jw_int(w, "bytes_total", bytes);
    jw_object_end(w);
}

static void write_jobs(struct ask *a, const struct world_cluster *c)
{
    int64_t done;
    char id[64];

    jw_array(&a->jw, "jobs");
    if (c->repair_from != 0) {
        done = c->repair_until == TIME_NEVER
                   ? 3
                   : (a->w->now - c->repair_from) * 100 / (c->repair_until - c->repair_from + 1);
        snprintf(id, sizeof id, "%.32s-repair-%u", c->id, c->repairs);
        write_job(&a->jw, id, "repair", done, c->repair_bytes);
    }
    /* Always some rebalancing afterwards: shown, and blocks nothing (O21). */
    if (c->s2d && c->repair_from == 0 && c->repairs % 2 == 1) {
        snprintf(id, sizeof id, "%.32s-rebalance-%u", c->id, c->repairs);
        write_job(&a->jw, id, "rebalance", 40, 1 << 30);
    }
    jw_array_end(&a->jw);
}

bool act_storage_health(struct ask *a)
{
    const struct world_cluster *c = world_cluster_of(a->w, a->node);
    uint32_t index = ask_host(a)->cluster;

    ask_result(a);
    jw_bool(&a->jw, "s2d", c->s2d);
    jw_array(&a->jw, "virtual_disks");
    for (uint32_t i = 0; i < a->w->disks.n; i++) {
        const struct world_disk *d = &a->w->disks.items[i];
        if (d->cluster != index)
            continue;
        jw_object(&a->jw, NULL);
        jw_str(&a->jw, "id", d->id);
        jw_str(&a->jw, "name", d->name);
        jw_str(&a->jw, "health", health_text(world_storage_health(a->w, index)));
        jw_object_end(&a->jw);
    }
    jw_array_end(&a->jw);
    write_jobs(a, c);
    jw_bool(&a->jw, "rack_aware", c->rack_aware);
    return ask_finish(a);
}

static void write_predecessor(struct ask *a, int64_t below)
{
    const struct world_package *best = NULL;
    char text[32];

    for (uint32_t i = 0; i < a->w->packages.n; i++) {
        const struct world_package *p = &a->w->packages.items[i];
        if (p->node == a->node && p->ubr < below &&
            (p->state == PACKAGE_INSTALLED || p->state == PACKAGE_SUPERSEDED) &&
            (best == NULL || p->ubr > best->ubr))
            best = p;
    }
    if (best != NULL)
        snprintf(text, sizeof text, "%lld.%lld", (long long)best->build, (long long)best->ubr);
    jw_str(&a->jw, "predecessor", best == NULL ? NULL : text);
}

bool act_removability(struct ask *a)
{
    const char *id = ask_host(a)->id;
    bool permanent = (!a->w->meta.removable || world_fault_set(a->w, "package-permanent", id) != NULL) &&
                     world_fault_set(a->w, "package-removable", id) == NULL;

    ask_result(a);
    jw_str(&a->jw, "removable", permanent ? "no" : "likely");
    jw_str(&a->jw, "why",
           permanent ? "the package manifest says permanent" : "not permanent, and a predecessor is there");
    write_predecessor(a, json_get_int(a->args, "ubr", INT64_MAX));
    return ask_finish(a);
}

bool act_verify(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    int64_t ubr = json_get_int(a->args, "ubr", -1);
    const struct world_package *p = world_package_find(a->w, a->node, ubr),
                               *top = world_package_top(a->w, a->node);
    const char *kb = json_get_str(a->args, "kb", "");
    bool listed =
        (top != NULL && strcmp(top->kb, kb) == 0) || (p != NULL && p->state == PACKAGE_INSTALL_PENDING);

    if (ubr < 0)
        return ask_error(a, "bad_request", NULL, "`ubr` is missing");
    ask_result(a);
    jw_int(&a->jw, "build", a->w->meta.build);
    jw_int(&a->jw, "ubr", n->ubr);
    jw_str(&a->jw, "package", package_text(p == NULL ? PACKAGE_ABSENT : p->state));
    write_predecessor(a, ubr);
    jw_bool(&a->jw, "pending", package_pending(n));
    write_marks(&a->jw, n);
    jw_bool(&a->jw, "servicing_idle", n->servicing == SERVICING_IDLE);
    jw_str(&a->jw, "boot_id", n->boot_id);
    jw_object(&a->jw, "hotfix");
    jw_bool(&a->jw, "listed", listed);
    jw_str(&a->jw, "installed_on", listed ? hotfix_date(a) : NULL);
    jw_object_end(&a->jw);
    return ask_finish(a);
}
