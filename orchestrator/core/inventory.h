/* What is there: clusters, nodes, VMs, as declared in inventory.json or
 * discovered. A finished value: read once, never changed, owned by its arena.
 * Within one inventory a cluster, node or VM is its index; order is by id, so
 * that going through an array is going through ids. */
#ifndef PATCHWAVE_INVENTORY_H
#define PATCHWAVE_INVENTORY_H

#include "orchestrator/core/known.h"
#include "schema/arena.h"
#include "schema/err.h"
#include "schema/json.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

#define IX_NONE UINT32_MAX

enum storage_kind { STORAGE_SHARED, STORAGE_S2D };
enum quorum_witness { WITNESS_NONE, WITNESS_DISK, WITNESS_SHARE, WITNESS_CLOUD };
/* O23, best first. */
enum reserve_rung { RESERVE_FULL, RESERVE_PROTECTED, RESERVE_NONE };
enum vm_state {
    VM_RUNNING,
    VM_OFF,
    VM_SAVED,
    VM_PAUSED,
    VM_STARTING,
    VM_STOPPING,
    VM_SAVING,
    VM_MIGRATING,
    VM_OTHER
};
enum vm_isolation { ISOLATION_NONE, ISOLATION_TRUSTED_LAUNCH, ISOLATION_VBS, ISOLATION_SNP, ISOLATION_TDX };
enum vm_busy {
    VM_IDLE,
    VM_BUSY_BACKUP,
    VM_BUSY_CHECKPOINT,
    VM_BUSY_MERGE,
    VM_BUSY_MIGRATION,
    VM_BUSY_EXPORT
};
enum vm_heartbeat {
    HEARTBEAT_NONE,
    HEARTBEAT_OK,
    HEARTBEAT_NO_CONTACT,
    HEARTBEAT_LOST,
    HEARTBEAT_ERROR,
    HEARTBEAT_DISABLED,
    HEARTBEAT_PAUSED,
    HEARTBEAT_UNKNOWN
};
/* O25 */
enum vm_role {
    ROLE_NONE,
    ROLE_DOMAIN_CONTROLLER,
    ROLE_DNS,
    ROLE_WITNESS_HOST,
    ROLE_HGS,
    ROLE_JUMP_HOST,
    ROLE_CONTROLLER
};

/* How a node is reached. Strings may be NULL: then the CLI's default holds. */
struct node_ssh {
    const char *address, *user, *identity, *proxy_command;
    uint32_t port;
    dur_ms connect_limit_ms, idle_limit_ms; /* real time, not scaled */
};

struct build {
    uint32_t number, ubr; /* "26100.4061" */
};

struct vm {
    const char *id, *name; /* GUID; name is for people and may repeat */
    uint32_t cluster, home;
    enum vm_state state;
    bool clustered;
    const char *group;
    uint64_t assigned_mib, startup_mib, maximum_mib;
    bool dynamic_memory;
    uint32_t cpus;
    int64_t dirty_mib_s; /* -1: not known */
    uint32_t priority;   /* 3000, 2000, 1000, 0 */
    enum vm_heartbeat heartbeat;
    enum vm_busy busy;
    enum vm_isolation isolation;
    bool dda, gpu, local_disk, passthrough, shared_disk, cpu_compat, auto_failback, replication;
    const char *iso, *key_protector;
    const char *const *switches;
    uint32_t n_switches;
    const uint32_t *owners;
    uint32_t n_owners; /* possible owners; none listed = all */
    const char *const *anti_affinity;
    uint32_t n_anti; /* class names */
    enum vm_role role;
    const char *sla; /* class name or NULL */
};

struct node {
    const char *id;
    uint32_t cluster;
    struct node_ssh ssh;
    const char *model, *firmware, *machine_id, *bmc, *time_source; /* NULL when not known */
    const char *cpu; /* CPU family, compared for VMs without compatibility mode; NULL when not known */
    const char *const *switches;
    uint32_t n_switches; /* none listed = not known */
    uint64_t memory_mib, host_reserve_mib;
    uint32_t cpus, vote;
    const char *fault_domain; /* never NULL: a node without one is its own */
    struct build build;
    enum known applies_article, applies_microsoft; /* who says that the patch is for this node */
};

struct cluster {
    const char *id, *name;
    enum storage_kind storage;
    enum quorum_witness witness;
    bool rack_aware, stretched, enforced_anti_affinity, optimisation_off;
    enum reserve_rung reserve;    /* policy: the rung that must hold */
    uint32_t max_out;             /* K_c */
    uint32_t migrations_parallel; /* as the cluster has it (O19) */
    uint64_t bandwidth_mib_s;     /* of migration, per node */
    const char *const *hard_classes;
    uint32_t n_hard; /* anti-affinity classes declared hard (O24) */
    uint32_t *nodes;
    uint32_t n_nodes;
    uint32_t *vms;
    uint32_t n_vms;
};

/* A service class of VMs: must-restart ones are what rung `protected` protects
 * (O23); at most parked_max of a class may be parked at once (C9). */
struct sla_class {
    const char *name;
    bool must_restart;
    uint32_t parked_max; /* UINT32_MAX: no limit */
};

struct inventory {
    struct arena arena;
    const char *name;
    uint32_t clock_factor; /* 1 unless `lab` */
    time_ms clock_anchor;
    bool lab;
    struct cluster *clusters;
    uint32_t n_clusters;
    struct node *nodes;
    uint32_t n_nodes;
    struct vm *vms;
    uint32_t n_vms;
    struct sla_class *sla_classes;
    uint32_t n_sla_classes; /* by name */
};

/* Read inventory JSON. ERR_INVALID names file:line:column: unknown or
 * duplicate ids, a VM on an unknown node, a factor other than 1 outside
 * `lab`, ... On failure *ret_inv is untouched. */
int inventory_read(const struct json_doc *doc, struct inventory **ret_inv, struct err *err);
/* The same for an inventory inside another document (a plan). */
int inventory_read_value(const struct json_doc *doc, const json *value, struct inventory **ret_inv,
                         struct err *err);
void inventory_free(struct inventory *inv);
/* Write it as inventory JSON that reads back equal. */
void inventory_write(struct json_writer *w, const char *key, const struct inventory *inv);
/* Index by id, or IX_NONE. */
uint32_t inventory_node(const struct inventory *inv, const char *id);
uint32_t inventory_cluster(const struct inventory *inv, const char *id);
uint32_t inventory_vm(const struct inventory *inv, const char *id);

/* The class of that name, or NULL. */
const struct sla_class *inventory_sla(const struct inventory *inv, const char *name);

const char *reserve_rung_name(enum reserve_rung r); /* "full", "protected", "none" */

int build_parse(const char *text, struct build *ret_build, struct err *err);
const char *build_text(struct build b, char out[32]);
int build_compare(struct build a, struct build b);

#endif
