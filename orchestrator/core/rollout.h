/* What shall be done: the rollout file with its policies resolved. A finished
 * value. All of it is part of the plan's hash. */
#ifndef PATCHWAVE_ROLLOUT_H
#define PATCHWAVE_ROLLOUT_H

#include "orchestrator/core/inventory.h"

enum gate_type {
    GATE_TIME_SYNC,
    GATE_BACKUP_AGENT,
    GATE_CLUSTER_HEALTH,
    GATE_VM_HEARTBEAT,
    GATE_MANUAL,
    GATE_TYPES
};
enum gate_scope { SCOPE_NODE, SCOPE_CLUSTER, SCOPE_WAVE };
enum gate_on_fail { ON_FAIL_HALT, ON_FAIL_ROLLBACK };
enum gate_when { GATE_BEFORE = 1, GATE_AFTER = 2, GATE_BOTH = 3 };
enum rollback_policy { ROLLBACK_WAVE, ROLLBACK_RUN, ROLLBACK_NONE };
enum reboot_policy { REBOOT_ALWAYS, REBOOT_IF_REQUIRED };
enum pending_policy { PENDING_REFUSE, PENDING_REBOOT_FIRST };
/* Cluster-wide settings that a run may change and puts back (O18). */
enum cluster_setting { SETTING_BALANCER, SETTING_MOVE_TYPE, SETTING_MIGRATIONS, CLUSTER_SETTINGS };
enum park_method { PARK_SHUTDOWN, PARK_SAVE };

struct gate {
    const char *name;
    enum gate_type type;
    enum gate_scope scope;
    enum gate_when when;
    enum gate_on_fail on_fail;
    dur_ms interval_ms, soak_ms, max_age_ms;
    uint32_t samples;       /* at least this many answers, interval_ms apart */
    uint32_t failure_limit; /* more failed samples than this: the gate fails */
    uint32_t unknown_limit; /* more unknown samples than this end sampling with unknown, never with fail */
    int64_t offset_max_ms;  /* time_sync */
    uint32_t stratum_max;   /* time_sync */
};

struct wave_entry {
    uint32_t number;
    bool percent;
}; /* of the whole list; the last repeats */
struct span {
    time_ms from, to;
}; /* windows and freezes, resolved to UTC */
struct consent {
    const char *vm, *person, *ticket;
    enum park_method method;
    bool checkpoint;
    time_ms expires;
};
struct waiver {
    const char *what, *cluster, *person, *ticket;
}; /* what: "reserve_none", "reserve_protected", "rollback_unproved", "s2d_rack", "rollback_outside_window" */

/* A checkpoint package: installed with the target, which needs it (O9). */
struct checkpoint {
    const char *file, *sha256, *path; /* path: where it lay when it was recorded; NULL in a plan */
    uint64_t size_bytes;
};
#define CHECKPOINTS_MAX 8

/* The package, from `patch add`. */
struct patch {
    const char *kb, *file, *sha256; /* file: base name */
    uint64_t size_bytes;
    struct build target;
    enum reboot_policy reboot;
    const char *tool; /* "dism" or "wusa" */
    const struct checkpoint *checkpoints;
    uint32_t n_checkpoints;
};

struct rollout {
    struct arena arena;
    const char *name;
    struct patch patch;
    const char *const *clusters;
    uint32_t n_clusters; /* scope; none = all */
    const char *const *nodes;
    uint32_t n_nodes; /* scope; none = all of the clusters */
    const char *const *exclude;
    uint32_t n_exclude;
    struct wave_entry *waves;
    uint32_t n_waves;
    struct gate *gates;
    uint32_t n_gates;
    struct span *windows;
    uint32_t n_windows; /* none = always */
    struct span *freezes;
    uint32_t n_freezes;
    struct consent *consents;
    uint32_t n_consents;
    struct waiver *waivers;
    uint32_t n_waivers;
    struct {
        uint32_t failures_per_wave, failures_per_run; /* nodes */
        uint32_t deviations_max;
        uint32_t max_out_fleet; /* K_g */
        uint32_t moves_per_vm;  /* B */
        uint32_t rollback_moves_per_vm;
        uint32_t evidence_percent, evidence_vms_min;
        bool stop_vmms, rehearse, planner_may_approve, bitlocker_suspend;
        enum rollback_policy rollback;
        enum pending_policy pending;
        enum park_method park_default;
        enum reserve_rung reserve_min; /* policy: below it needs a waiver naming the cluster */
        dur_ms fresh_ms;               /* T_fresh of inventory at admission */
        dur_ms unreachable_ms;         /* until a lost node becomes unknown */
        uint32_t timeout_factor;       /* P95 times this */
        uint32_t attempts_max;         /* R per node */
        struct {
            bool wanted; /* false: it stays as it is */
            uint32_t value;
        } settings[CLUSTER_SETTINGS];
    } policy;
};

/* Read a rollout whose includes and zones the caller has already resolved
 * (io does: files and time zones are the world's). ERR_INVALID by
 * file:line:column. Naming a gate type that is not built in is refused. */
int rollout_read(const struct json_doc *doc, struct rollout **ret_rollout, struct err *err);
int rollout_read_value(const struct json_doc *doc, const json *value, struct rollout **ret_rollout,
                       struct err *err);
void rollout_free(struct rollout *r);
void rollout_write(struct json_writer *w, const char *key, const struct rollout *r);
/* The member "checkpoints", where there are any; with their paths where they have one. */
void rollout_write_checkpoints(struct json_writer *w, const struct patch *p);
/* `cluster` NULL: by any waiver of that kind. One that names no cluster covers
 * all, except of a kind that must name its cluster (O23): that covers none. */
bool rollout_waives(const struct rollout *r, const char *what, const char *cluster);
/* By VM id; NULL when there is none. Sorted inside, so asking is cheap. */
const struct consent *rollout_consent(const struct rollout *r, const char *vm);
/* Is this node to be patched, by clusters, nodes and exclude. */
bool rollout_covers(const struct rollout *r, const struct inventory *inv, uint32_t node);
const char *cluster_setting_name(enum cluster_setting s); /* as the driver contract has it */
const char *gate_type_name(enum gate_type t);
const char *park_method_name(enum park_method m); /* "shutdown", "save" */

/* Cut n nodes by `serial` rules (exact integers; percentages of the whole n,
 * rounded down, at least 1; the last entry repeats). Fills ret_sizes (arena),
 * their sum is n. */
int rollout_cut(const struct rollout *r, uint32_t n, struct arena *a, uint32_t **ret_sizes, uint32_t *ret_n,
                struct err *err);

#endif
