/* Faults by name: rows of a table, set on a node or a VM. Most strike where
 * the world asks for them; those with `apply` act at once. */
#include "examples/lab/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void apply_paused(struct world *w, uint32_t node, struct world_fault *f)
{
    (void)f;
    w->nodes.items[node].paused = true;
}

static void apply_down(struct world *w, uint32_t node, struct world_fault *f)
{
    (void)f;
    world_node_crash(w, node);
}

static void apply_clock(struct world *w, uint32_t node, struct world_fault *f)
{
    w->nodes.items[node].clock_error_ms = world_fault_number(f, 8000);
}

static void apply_witness(struct world *w, uint32_t node, struct world_fault *f)
{
    (void)f;
    strcpy(world_cluster_of(w, node)->witness_state, "offline");
}

static void apply_cau(struct world *w, uint32_t node, struct world_fault *f)
{
    (void)f;
    world_cluster_of(w, node)->cau_active = true;
}

static void apply_csv(struct world *w, uint32_t node, struct world_fault *f)
{
    (void)f;
    for (uint32_t i = 0; i < w->groups.n; i++)
        if (w->groups.items[i].type == GROUP_CSV &&
            w->groups.items[i].cluster == w->nodes.items[node].cluster) {
            w->groups.items[i].redirected = true;
            return;
        }
}

static void apply_pending(struct world *w, uint32_t node, struct world_fault *f)
{
    (void)f;
    w->nodes.items[node].mark_cbs = w->nodes.items[node].mark_xml = true;
}

static void apply_vm_crash(struct world *w, uint32_t vm, struct world_fault *f)
{
    (void)f;
    world_vm_crash(w, vm, true);
}

static void apply_vm_busy(struct world *w, uint32_t vm, struct world_fault *f)
{
    struct world_vm *v = &w->vms.items[vm];

    snprintf(v->busy, sizeof v->busy, "%.11s", f->arg[0] != 0 ? f->arg : "backup");
}

static void apply_foreign_move(struct world *w, uint32_t vm, struct world_fault *f)
{
    const struct world_vm *v = &w->vms.items[vm];
    const struct world_cluster *c = &w->clusters.items[v->cluster];
    uint32_t to = world_node_by_id(w, f->arg);
    struct refusal r;

    if (to != WORLD_NONE) {
        (void)world_move_foreign(w, vm, to, &r);
        return;
    }
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        if (i != v->node && world_move_foreign(w, vm, i, &r) == 0)
            return;
}

#define ALWAYS (-1)
static const struct world_fault_kind kinds[] = {
    { "install-fails", "node", "the installation ends with a code [0x800f0922]", ALWAYS, NULL },
    { "install-hangs", "node", "the installation never ends", ALWAYS, NULL },
    { "install-slow", "node", "the installation takes N times as long [1]", ALWAYS, NULL },
    { "no-reboot", "node", "the package goes in without a reboot, as a hotpatch does", ALWAYS, NULL },
    { "uninstall-fails", "node", "the removal ends with 0x800f0922", ALWAYS, NULL },
    { "package-permanent", "node", "removal answers 0x800f0825 although the fleet is removable", ALWAYS,
      NULL },
    { "package-removable", "node", "removal works although the fleet is not removable", ALWAYS, NULL },
    { "old-build", "node", "the node boots into its old build once", 1, NULL },
    { "second-reboot", "node", "another reboot is needed after the finalisation", 1, NULL },
    { "self-reboot", "node", "servicing reboots the node by itself after its first boot", 1, NULL },
    { "pending-reboot", "node", "a reboot is pending before anything is done", ALWAYS, apply_pending },
    { "no-space", "node", "the disk is too full to install", ALWAYS, NULL },
    { "never-back", "node", "the node does not come back from its reboot", ALWAYS, NULL },
    { "late-back", "node", "the node comes back N minutes late [30]", 1, NULL },
    { "less-memory", "node", "a quarter of the memory is missing after the reboot", ALWAYS, NULL },
    { "nic-down", "node", "a cluster interface is down after the reboot", ALWAYS, NULL },
    { "node-down", "node", "the node loses power now, and boots again", 1, apply_down },
    { "found-paused", "node", "somebody paused the node", 1, apply_paused },
    { "pause-refused", "node", "the cluster refuses to pause the node", ALWAYS, NULL },
    { "resume-refused", "node", "the cluster refuses to resume the node", ALWAYS, NULL },
    { "vmms-stuck", "node", "vmms does not stop", ALWAYS, NULL },
    { "vmms-no-start", "node", "vmms does not start", ALWAYS, NULL },
    { "storage-out-refused", "node", "storage maintenance mode is refused", ALWAYS, NULL },
    { "storage-stuck", "node", "the repair after this node's return never ends", ALWAYS, NULL },
    { "csv-redirected", "node", "a volume of the node's cluster is in redirected mode", 1, apply_csv },
    { "witness-offline", "node", "the witness of the node's cluster is offline", 1, apply_witness },
    { "cau-active", "node", "Cluster-Aware Updating runs in the node's cluster", 1, apply_cau },
    { "time-offset", "node", "the node's clock is wrong by N ms [8000]", ALWAYS, apply_clock },
    { "backup-7001", "node", "once patched, the backup service fails to start: event 7001", ALWAYS, NULL },
    { "backup-silent", "node", "once patched, nothing can be learned about the backup agent", ALWAYS, NULL },
    { "heartbeat-lost", "node|vm", "once the host is patched, the guest's heartbeat is lost", ALWAYS, NULL },
    { "driver-crash", "node", "the driver dies without an answer to action ARG [any]", 1, NULL },
    { "driver-garbage", "node", "the driver answers action ARG with garbage [any]", 1, NULL },
    { "driver-hangs", "node", "the driver never answers action ARG [any]; the effect happens", 1, NULL },
    { "fetch-fails", "node", "the package cannot be fetched", ALWAYS, NULL },
    { "refuse-move", "vm", "live migration is refused: 21502", ALWAYS, NULL },
    { "move-fails-halfway", "vm", "the migration fails half-way", 1, NULL },
    { "slow-move", "vm", "the migration takes N times as long [10]", ALWAYS, NULL },
    { "foreign-move", "vm", "somebody moves the VM now (to node ARG)", 1, apply_foreign_move },
    { "vm-busy", "vm", "the VM is busy (ARG: backup, export) until the fault is removed", ALWAYS,
      apply_vm_busy },
    { "vm-crash", "vm", "the VM stops now, and is restarted by the cluster", 1, apply_vm_crash },
    { "park-refused", "vm", "the guest does not shut down", ALWAYS, NULL },
    { "unpark-fails", "vm", "the VM does not start", ALWAYS, NULL },
    { "checkpoint-fails", "vm", "no checkpoint can be taken", ALWAYS, NULL },
    { "event-lost", "vm", "the migration's event is not logged", ALWAYS, NULL },
};

const struct world_fault_kind *world_fault_kinds(uint32_t *ret_n)
{
    *ret_n = sizeof kinds / sizeof kinds[0];
    return kinds;
}

static const struct world_fault_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

struct world_fault *world_fault_set(struct world *w, const char *name, const char *subject)
{
    for (uint32_t i = 0; i < w->faults.n; i++) {
        struct world_fault *f = &w->faults.items[i];
        if (f->left != 0 && strcmp(f->name, name) == 0 && strcmp(f->subject, subject) == 0)
            return f;
    }
    return NULL;
}

struct world_fault *world_fault_hit(struct world *w, const char *name, const char *subject)
{
    struct world_fault *f = world_fault_set(w, name, subject);

    if (f == NULL)
        return NULL;
    f->hits++;
    if (f->left > 0)
        f->left--;
    return f;
}

int64_t world_fault_number(const struct world_fault *f, int64_t otherwise)
{
    if (f == NULL)
        return otherwise;
    if (f->arg[0] != 0)
        return strtoll(f->arg, NULL, 0);
    return strcmp(f->name, "late-back") == 0 ? 30 : otherwise;
}

static uint32_t subject_of(const struct world *w, const struct world_fault_kind *k, const char *subject)
{
    uint32_t i = strstr(k->subject, "node") != NULL ? world_node_by_id(w, subject) : WORLD_NONE;

    if (i == WORLD_NONE && strstr(k->subject, "vm") != NULL)
        i = world_vm_by_id(w, subject);
    return i;
}

int world_fault_add(struct world *w, const char *name, const char *subject, const char *arg, struct err *err)
{
    const struct world_fault_kind *k = kind_of(name);
    struct world_fault *f;

    if (k == NULL)
        return err_set(err, ERR_NOT_FOUND, "no fault is called `%s` (hvlab fault list)", name);
    if (subject_of(w, k, subject) == WORLD_NONE)
        return err_set(err, ERR_NOT_FOUND, "fault `%s` needs a %s; there is no `%s`", name, k->subject,
                       subject);
    f = list_push(&w->faults);
    if (f == NULL)
        return err_set(err, ERR_NOMEM, "add a fault");
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->subject, sizeof f->subject, "%s", subject);
    snprintf(f->arg, sizeof f->arg, "%s", arg == NULL ? "" : arg);
    f->left = k->times;
    f->applied = k->apply == NULL;
    return 0;
}

void world_fault_apply(struct world *w)
{
    for (uint32_t i = 0; i < w->faults.n; i++) {
        const struct world_fault_kind *k = kind_of(w->faults.items[i].name);
        uint32_t at;
        if (w->faults.items[i].applied || k == NULL)
            continue;
        at = subject_of(w, k, w->faults.items[i].subject);
        w->faults.items[i].applied = true;
        if (at == WORLD_NONE)
            continue;
        w->faults.items[i].hits++;
        if (w->faults.items[i].left > 0)
            w->faults.items[i].left--;
        k->apply(w, at, &w->faults.items[i]);
    }
}

/* Those that lasted until removed are taken back here. */
static void undo(struct world *w, const struct world_fault *f)
{
    uint32_t node = world_node_by_id(w, f->subject), vm = world_vm_by_id(w, f->subject);

    if (strcmp(f->name, "vm-busy") == 0 && vm != WORLD_NONE)
        w->vms.items[vm].busy[0] = 0;
    else if (strcmp(f->name, "time-offset") == 0 && node != WORLD_NONE)
        w->nodes.items[node].clock_error_ms = 0;
    else if (strcmp(f->name, "witness-offline") == 0 && node != WORLD_NONE)
        strcpy(world_cluster_of(w, node)->witness_state, "online");
    else if (strcmp(f->name, "cau-active") == 0 && node != WORLD_NONE)
        world_cluster_of(w, node)->cau_active = false;
    else if (strcmp(f->name, "vmms-no-start") == 0 && node != WORLD_NONE &&
             w->nodes.items[node].vmms == SERVICE_STARTING)
        w->nodes.items[node].vmms = SERVICE_STOPPED; /* somebody ended it: it can be started */
    else if (strcmp(f->name, "backup-silent") == 0 && node != WORLD_NONE)
        w->nodes.items[node].backup_silent = false;
}

int world_fault_remove(struct world *w, const char *name, const char *subject, struct err *err)
{
    for (uint32_t i = 0; i < w->faults.n; i++) {
        struct world_fault *f = &w->faults.items[i];
        if (strcmp(f->name, name) != 0 || strcmp(f->subject, subject) != 0 || (f->left == 0 && !f->applied))
            continue;
        undo(w, f);
        memmove(f, f + 1, (w->faults.n - i - 1) * sizeof *f);
        w->faults.n--;
        return 0;
    }
    return err_set(err, ERR_NOT_FOUND, "no fault `%s` on `%s`", name, subject);
}
