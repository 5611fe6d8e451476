/* What drivers report (docs/driver.md), as values. Each has one reader from
 * the driver's JSON and one writer that gives the same JSON back, so that the
 * event log keeps facts in the driver's own words. Strings live in the arena
 * given. A missing or odd member is ERR_INVALID: incomplete facts are no
 * facts. Absent knowledge (null) is NULL or -1. */
#ifndef PATCHWAVE_FACTS_H
#define PATCHWAVE_FACTS_H

#include "orchestrator/core/inventory.h"

enum node_state_seen { SEEN_UP, SEEN_DOWN, SEEN_PAUSED, SEEN_JOINING, SEEN_UNKNOWN };
enum package_state {
    PACKAGE_ABSENT,
    PACKAGE_STAGED,
    PACKAGE_INSTALL_PENDING,
    PACKAGE_INSTALLED,
    PACKAGE_SUPERSEDED,
    PACKAGE_UNINSTALL_PENDING,
    PACKAGE_OTHER
};
enum disk_health { DISK_HEALTHY, DISK_WARNING, DISK_UNHEALTHY, DISK_UNKNOWN };
enum storage_job { JOB_REPAIR, JOB_REGENERATION, JOB_OPTIMIZE, JOB_REBALANCE, JOB_OTHER };
enum group_type {
    GROUP_VM,
    GROUP_CORE,
    GROUP_AVAILABLE_STORAGE,
    GROUP_POOL,
    GROUP_FILE_SERVER,
    GROUP_CAU,
    GROUP_OTHER
};
enum group_state { GROUP_ONLINE, GROUP_OFFLINE, GROUP_FAILED, GROUP_PARTIAL, GROUP_PENDING };

struct named_state {
    const char *name, *state;
};

/* `facts` */
struct node_facts {
    const char *node, *machine_id, *boot_id, *cluster, *model, *firmware, *bmc;
    struct build build; /* the node's own number: where `hotpatch`, the hotpatch's */
    uint32_t level;     /* where `hotpatch`: UBR of the newest cumulative update; 0: not known */
    bool server, pending_reboot, servicing_idle, tpm, hotpatch;
    uint64_t memory_mib, host_reserve_mib, free_disk_bytes;
    uint32_t cpus, storage_paths;
    int64_t vbs;
    enum known applies_article, applies_microsoft;
    int64_t clock_error_ms;
    const char *bitlocker_os_volume, *time_source, *attestation;
    const char *const *switches;
    uint32_t n_switches;
    const struct named_state *interfaces;
    uint32_t n_interfaces;
    const struct named_state *services;
    uint32_t n_services;
};

/* `vms` of one node: reuse struct vm; ids of nodes are kept as text because
 * a VM may name nodes the inventory does not know. */
struct vm_seen {
    struct vm vm; /* cluster, home, owners are not set here */
    const char *node;
    const char *const *owner_ids;
    uint32_t n_owner_ids;
    int64_t uptime_ms;
};
struct vms_seen {
    const struct vm_seen *items;
    uint32_t n;
};

/* gate_facts cluster_health */
struct cluster_view {
    const char *cluster;
    const struct view_node {
        const char *id;
        enum node_state_seen state;
        uint32_t vote, dynamic_vote;
        const char *fault_domain;
    } * nodes;
    uint32_t n_nodes;
    enum quorum_witness witness;
    bool witness_online;
    uint32_t witness_vote;
    const struct view_group {
        const char *id, *name, *owner, *vm;
        enum group_type type;
        enum group_state state;
        bool wanted_online, locked, pinned;
    } * groups;
    uint32_t n_groups;
    const struct view_csv {
        const char *id, *name, *owner;
        bool healthy;
    } * csvs;
    uint32_t n_csvs;
    const char *const *resources_failed;
    uint32_t n_resources_failed; /* ids */
    uint32_t max_parallel_migrations;
    uint64_t bandwidth_mib_s;
    uint32_t auto_balancer_mode, move_type_threshold;
    bool enforced_anti_affinity, s2d, stretched;
    uint32_t networks_down;
    const struct view_busy {
        const char *kind, *text;
    } * busy;
    uint32_t n_busy;
};

/* `storage_health` */
struct storage_view {
    bool s2d, rack_aware;
    const struct view_disk {
        const char *id, *name;
        enum disk_health health;
    } * disks;
    uint32_t n_disks;
    const struct view_job {
        const char *id;
        enum storage_job kind;
        bool running;
        uint32_t percent;
    } * jobs;
    uint32_t n_jobs;
};
/* O21: all virtual disks Healthy and no Repair or Regeneration job. */
bool storage_view_clean(const struct storage_view *v);

/* `verify` */
struct verify_facts {
    struct build build;
    enum package_state package;
    const char *predecessor; /* "26100.4061" or NULL */
    bool pending, servicing_idle, hotfix_listed;
    const char *boot_id, *hotfix_installed_on;
};

/* `check_empty` */
struct empty_facts {
    bool empty;
    struct empty_left {
        const char *kind, *id, *name, *why;
    } * left;
    uint32_t n_left;
};

/* `removability` */
struct removability_facts {
    const char *removable, *why, *predecessor;
};

/* gate_facts backup_agent */
struct backup_facts {
    struct backup_agent {
        const char *product, *service, *state, *expected;
    } * agents;
    uint32_t n_agents;
    const char *last_job_state; /* NULL when not readable */
    int64_t last_job_at_ms;
    struct vss_writer {
        const char *id;
        bool stable;
    } * writers;
    uint32_t n_writers;
    struct event_7001 {
        time_ms at;
        const char *service, *depends_on;
    } * events;
    uint32_t n_events;
};

/* gate_facts vm_heartbeat */
struct heartbeat_facts {
    struct vm_beat {
        const char *id, *name;
        enum vm_state state;
        enum vm_heartbeat heartbeat;
    } * vms;
    uint32_t n_vms;
};

/* observe time_sync (done by the agent itself) */
struct time_facts {
    struct time_source {
        const char *server, *why;
        bool ok;
        uint32_t samples, stratum;
        int64_t offset_us, delay_us;
    } * servers;
    uint32_t n_servers;
};

/* Servicing lists the package, itself or under what superseded it. */
bool facts_listed(const struct verify_facts *f);

/* What the node counts as where it is asked whether it is patched (I17); its UBR is 0 where nobody knows. */
struct build facts_level(const struct node_facts *f);

int facts_read_node(const struct json_doc *d, const json *v, struct arena *a, struct node_facts *ret,
                    struct err *err);
int facts_read_vms(const struct json_doc *d, const json *v, struct arena *a, struct vms_seen *ret,
                   struct err *err);
int facts_read_cluster(const struct json_doc *d, const json *v, struct arena *a, struct cluster_view *ret,
                       struct err *err);
int facts_read_storage(const struct json_doc *d, const json *v, struct arena *a, struct storage_view *ret,
                       struct err *err);
int facts_read_verify(const struct json_doc *d, const json *v, struct arena *a, struct verify_facts *ret,
                      struct err *err);
int facts_read_empty(const struct json_doc *d, const json *v, struct arena *a, struct empty_facts *ret,
                     struct err *err);
int facts_read_removability(const struct json_doc *d, const json *v, struct arena *a,
                            struct removability_facts *ret, struct err *err);
int facts_read_backup(const struct json_doc *d, const json *v, struct arena *a, struct backup_facts *ret,
                      struct err *err);
int facts_read_heartbeat(const struct json_doc *d, const json *v, struct arena *a,
                         struct heartbeat_facts *ret, struct err *err);
int facts_read_time(const struct json_doc *d, const json *v, struct arena *a, struct time_facts *ret,
                    struct err *err);
void facts_write_node(struct json_writer *w, const char *key, const struct node_facts *f);
void facts_write_vms(struct json_writer *w, const char *key, const struct vms_seen *f);
void facts_write_cluster(struct json_writer *w, const char *key, const struct cluster_view *f);
void facts_write_storage(struct json_writer *w, const char *key, const struct storage_view *f);
void facts_write_verify(struct json_writer *w, const char *key, const struct verify_facts *f);
void facts_write_empty(struct json_writer *w, const char *key, const struct empty_facts *f);
void facts_write_removability(struct json_writer *w, const char *key, const struct removability_facts *f);
void facts_write_backup(struct json_writer *w, const char *key, const struct backup_facts *f);
void facts_write_heartbeat(struct json_writer *w, const char *key, const struct heartbeat_facts *f);
void facts_write_time(struct json_writer *w, const char *key, const struct time_facts *f);

#endif
