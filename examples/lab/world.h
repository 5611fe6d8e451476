/* The lab's world: a Hyper-V fleet as it would behave, with types of its own
 * (nothing of orchestrator or agent). One thread owns it. Time is fleet time
 * and comes from outside: `now` is the time of the event being handled.
 *
 * Durations are drawn from the seed, the subject and a counter of the
 * subject, never from a shared stream, so that they do not depend on the
 * order in which requests arrive. */
#ifndef PATCHWAVE_LAB_WORLD_H
#define PATCHWAVE_LAB_WORLD_H

#include "schema/err.h"
#include "schema/list.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_NONE UINT32_MAX
#define WORLD_GUID 40
#define WORLD_NAME 64
#define WORLD_OP 96

enum vm_state { VM_RUNNING, VM_OFF, VM_SAVED, VM_PAUSED, VM_STARTING, VM_STOPPING, VM_SAVING, VM_MIGRATING };
enum power { POWER_ON, POWER_SHUTTING_DOWN, POWER_OFF };
enum member { MEMBER_DOWN, MEMBER_JOINING, MEMBER_JOINED };
enum service { SERVICE_STOPPED, SERVICE_STARTING, SERVICE_RUNNING, SERVICE_STOPPING };
enum package_state {
    PACKAGE_ABSENT,
    PACKAGE_INSTALLED,
    PACKAGE_INSTALL_PENDING,
    PACKAGE_SUPERSEDED,
    PACKAGE_UNINSTALL_PENDING
};
enum servicing { SERVICING_IDLE, SERVICING_INSTALL, SERVICING_REMOVE, SERVICING_FINALISE };
enum stop_how { STOP_SHUTDOWN, STOP_SAVE, STOP_TURN_OFF };
enum move_how { MOVE_LIVE, MOVE_QUICK };
enum group_type { GROUP_CLUSTER, GROUP_AVAILABLE_STORAGE, GROUP_POOL, GROUP_FILE_SERVER, GROUP_CSV };
enum health { HEALTH_HEALTHY, HEALTH_WARNING, HEALTH_UNHEALTHY };
enum cause {
    CAUSE_BLACKOUT,
    CAUSE_QUICK,
    CAUSE_SAVED,
    CAUSE_SHUT_DOWN,
    CAUSE_TURNED_OFF,
    CAUSE_VMMS_STOPPED,
    CAUSE_NODE_OUT,
    CAUSE_CRASH
};

/* What Windows would answer when it does not do a thing (docs/driver.md). */
struct refusal {
    char code[16];
    char message[160];
    char native[16];
    char hint[96];
};

struct world_cluster {
    char id[32], name[WORLD_NAME];
    bool s2d;
    char witness[8], witness_state[8];
    int64_t parallel, bandwidth_mib_s, move_type_threshold, auto_balancer_mode, quarantine_threshold;
    bool enforced_anti_affinity, rack_aware, cau_active;
    int64_t max_out;
    char reserve[12];
    uint32_t first_node, nodes;
    bool lost;                         /* quorum or storage lost: nothing runs */
    bool repair_queued;                /* a repair is due and its jobs have not started yet */
    time_ms repair_from, repair_until; /* 0: none running */
    int64_t repair_bytes;
    uint32_t repairs;
    uint32_t gen;
};

struct world_node {
    char id[16];
    uint32_t cluster;
    char address[16];
    int64_t port, sntp_port;
    char model[32], firmware[32], bmc[24], machine_id[36], fault_domain[16];
    int64_t memory_mib, memory_now_mib, host_reserve_mib, cpus, free_disk_bytes, storage_paths;
    int64_t vote;
    /* hidden: what only measuring can find, in thousandths */
    int64_t install_factor, reboot_factor, migrate_factor, resync_factor;

    enum power power;
    enum member member;
    bool paused, pausing, resuming;
    bool drain_shown; /* DrainStatus keeps its last value */
    time_ms quarantined_until, joined_ms;
    time_ms left_ms[3]; /* the last departures, for the quarantine */
    char boot_id[40];
    time_ms boot_ms, off_ms;
    uint32_t boots;
    uint32_t gen; /* raised when the node goes down: its pending events are void */

    enum service vmms;
    bool vmms_answers; /* Get-VM works */
    time_ms vmms_since, vmms_stopped_ms;
    enum service backup;
    bool backup_silent;

    int64_t ubr, base_ubr; /* the number the registry shows; the one it began with */
    bool mark_cbs, mark_packages, mark_xml, mark_wu;
    enum servicing servicing;
    uint32_t servicing_package;
    time_ms servicing_from, servicing_until;
    int64_t servicing_exit;
    char servicing_error[16];
    bool servicing_wusa;
    uint32_t services; /* servicing operations so far */
    bool reboot_again; /* a second reboot is due after the finalisation */

    bool storage_out, storage_entering, storage_leaving;
    time_ms storage_out_ms;
    bool missed_writes; /* was away: its disks need a repair */
    bool nic_down, bitlocker_suspended;
    int64_t clock_error_ms;
    uint32_t draws;
};

struct world_package {
    uint32_t node;
    char kb[16];
    int64_t build, ubr;
    enum package_state state;
    bool permanent;
};

struct world_vm {
    char id[WORLD_GUID], group[WORLD_GUID], name[WORLD_NAME];
    uint32_t cluster, node, home;
    enum vm_state state;
    time_ms since, started_ms;
    bool clustered;
    int64_t assigned_mib, startup_mib, maximum_mib, cpus, dirty_mib_s, priority;
    bool dynamic;
    char isolation[16];
    bool dda, gpu, local_disk, passthrough, shared_disk, cpu_compat, auto_failback, replication,
        key_protector;
    char iso[32], anti_affinity[32], version[8], stop_action[12], start_action[20], role[20], sla[16];
    uint64_t possible;  /* bit per node of the cluster */
    uint32_t preferred; /* a node, or WORLD_NONE */
    char busy[12];      /* "" or what it is busy with */
    bool was_running;   /* at the host's shutdown */
    bool wanted_online;
    bool heartbeat_lost;
    time_ms heartbeat_from;
    char checkpoint[WORLD_GUID];
    time_ms stop_asked_ms, running_ms; /* as VMMS logs them: last stop begun, last start finished */
    enum cause stop_cause;

    uint32_t move_to; /* WORLD_NONE: not moving; else queued (state as before) or migrating */
    enum move_how move_how;
    bool move_running, move_fails, move_foreign; /* foreign: nobody's driver asked for it */
    time_ms move_from, move_until;
    uint32_t moved_last_from; /* the source of the last finished move */
    int64_t blackout_ms;      /* of the last live migration */
    time_ms blackout_end;
    bool blackout_logged;
    char move_error[16]; /* native code of the last failed move */
    uint32_t moves;
    uint32_t gen;        /* raised when what it was doing is cut off */
    uint32_t open_truth; /* the truth row that is open, or WORLD_NONE */
};

/* Every group that is no VM, and every CSV. */
struct world_group {
    char id[WORLD_GUID], name[WORLD_NAME];
    uint32_t cluster, owner;
    enum group_type type;
    bool healthy, redirected;
    uint32_t moving_to;
    time_ms asked_ms; /* when its last move was asked for, and from where */
    uint32_t asked_from;
};

struct world_disk {
    char id[WORLD_GUID], name[WORLD_NAME];
    uint32_t cluster;
};

struct world_log {
    uint32_t node;
    time_ms at;
    char channel[48], provider[48];
    int64_t id, level;
    char service[40], depends_on[40];
};

/* What really happened; no driver sees it. */
struct world_truth {
    char subject[8], id[WORLD_GUID];
    int64_t cause;
    time_ms start, end; /* end -1: still down */
    uint32_t node;
    bool foreign; /* not asked for by any driver: balancer, failback, crash */
};
struct world_damage {
    time_ms at;
    char what[32], subject[WORLD_GUID], detail[96];
};
/* Each effect that took hold, with the op it was asked for by. */
struct world_effect {
    time_ms at;
    char what[16], op[WORLD_OP], subject[WORLD_GUID]; /* subject: the VM or group, or "" */
    uint32_t node;
    int64_t active_vms; /* on the node, or arriving there, at that moment */
};

struct world_fault {
    char name[32], subject[WORLD_GUID], arg[64];
    int64_t left; /* times it still strikes; -1: always */
    int64_t hits;
    bool applied;
};

enum world_event_type {
    EV_NONE,
    EV_PAUSED,
    EV_RESUMED,
    EV_POWER_OFF,
    EV_POWER_ON,
    EV_JOINED,
    EV_FAILOVER,
    EV_SELF_REBOOT,
    EV_VMMS_RUNNING,
    EV_VMMS_ANSWERS,
    EV_VMMS_STOPPED,
    EV_BACKUP_SERVICE,
    EV_SERVICING,
    EV_MOVE_END,
    EV_VM_DOWN,
    EV_VM_RUNNING,
    EV_HA_RESTART,
    EV_CHECKPOINT,
    EV_MERGED,
    EV_FAILBACK,
    EV_GROUP_MOVED,
    EV_STORAGE_OUT,
    EV_STORAGE_IN,
    EV_REPAIR_BEGIN,
    EV_REPAIR_END,
    EV_BALANCE,
    EV_GROW,
    EV_NOISE,
    EV_TYPES
};
struct world_event {
    time_ms at;
    uint64_t seq;
    enum world_event_type type;
    uint32_t index; /* node, VM, group or cluster, by type */
    uint32_t gen;   /* of that subject when it was planned */
    int64_t arg;
};

struct world_meta {
    char name[WORLD_NAME];
    int64_t seed, factor, build;
    time_ms anchor_ms;
    bool removable;
};

struct world {
    struct world_meta meta;
    time_ms now;
    struct LIST_OF(struct world_cluster) clusters;
    struct LIST_OF(struct world_node) nodes;
    struct LIST_OF(struct world_vm) vms;
    struct LIST_OF(struct world_group) groups;
    struct LIST_OF(struct world_disk) disks;
    struct LIST_OF(struct world_package) packages;
    struct LIST_OF(struct world_log) logs;
    struct LIST_OF(struct world_truth) truth;
    struct LIST_OF(struct world_damage) damage;
    struct LIST_OF(struct world_effect) effects;
    struct LIST_OF(struct world_fault) faults;
    struct LIST_OF(struct world_event) queue; /* a heap by (at, seq) */
    uint64_t next_seq;
    char op[WORLD_OP]; /* whose request is being carried out; "" when nobody's */
    /* The machine room: told when a node's power goes off or on. May be NULL. */
    void (*on_power)(void *owner, uint32_t node, bool on);
    void *owner;
};

void world_clear(struct world *w);

/* --- finding (world.c) --- */
uint32_t world_node_by_id(const struct world *w, const char *id);
uint32_t world_vm_by_id(const struct world *w, const char *id);
uint32_t world_cluster_by_id(const struct world *w, const char *id);
struct world_cluster *world_cluster_of(struct world *w, uint32_t node);
bool world_in_cluster(const struct world *w, uint32_t node, uint32_t cluster);
bool world_vm_may_own(const struct world *w, const struct world_vm *v, uint32_t node);
bool world_vm_is_stuck(const struct world_vm *v); /* can never live-migrate */
bool world_vm_active(const struct world_vm *v);   /* needs its node: not off, not saved */
const char *world_vm_state_text(enum vm_state s);
const char *world_service_text(enum service s);
const char *world_cause_text(enum cause c);
/* Joined, not paused, powered. */
bool world_node_open(const struct world_node *n);
bool world_node_serves(const struct world_node *n); /* joined and powered, paused or not */
int64_t world_node_used_mib(const struct world *w, uint32_t node);
int64_t world_node_free_mib(const struct world *w, uint32_t node);
int world_refuse(struct refusal *r, const char *code, const char *native, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

/* --- chance and time (world_queue.c) --- */
/* Even over lo..hi; the same for the same seed, words and counter. */
int64_t world_draw(const struct world *w, const char *what, const char *who, uint64_t nth, int64_t lo,
                   int64_t hi);
/* A duration of the node, times its hidden factor (thousandths). */
dur_ms world_draw_node(struct world *w, uint32_t node, const char *what, dur_ms lo, dur_ms hi,
                       int64_t factor);
void world_guid(const struct world *w, const char *what, uint64_t nth, char out[WORLD_GUID]);
bool world_plan(struct world *w, dur_ms in, enum world_event_type type, uint32_t index, uint32_t gen,
                int64_t arg);
time_ms world_next_ms(const struct world *w); /* TIME_NEVER: nothing planned */
/* Handle every event due at or before `until`; true if there was one. */
bool world_advance(struct world *w, time_ms until);
/* Plan the fleet's own life (growth, noise, balancer) for a fresh world. */
void world_life_begin(struct world *w);

/* --- what can be done to it; 0, or -1 with a refusal. Nothing waits: the
 * effect comes with a later event. --- */
int world_pause(struct world *w, uint32_t node, struct refusal *r);
int world_resume(struct world *w, uint32_t node, struct refusal *r);
int world_reboot(struct world *w, uint32_t node, struct refusal *r);
void world_node_crash(struct world *w, uint32_t node);
int world_vmms_stop(struct world *w, uint32_t node, struct refusal *r);
int world_vmms_start(struct world *w, uint32_t node, struct refusal *r);

int world_move(struct world *w, uint32_t vm, uint32_t to, enum move_how how, struct refusal *r);
/* The same, live, by somebody else: the cluster itself or another operator. */
int world_move_foreign(struct world *w, uint32_t vm, uint32_t to, struct refusal *r);
int world_vm_stop(struct world *w, uint32_t vm, enum stop_how how, struct refusal *r);
int world_vm_start(struct world *w, uint32_t vm, struct refusal *r);
int world_vm_checkpoint(struct world *w, uint32_t vm, struct refusal *r);
int world_vm_merge(struct world *w, uint32_t vm, struct refusal *r);

int world_group_move(struct world *w, uint32_t group, uint32_t to, struct refusal *r);
/* An offline VM group goes to another owner at once. */
int world_vm_group_move(struct world *w, uint32_t vm, uint32_t to, struct refusal *r);

int world_storage_out(struct world *w, uint32_t node, struct refusal *r);
int world_storage_in(struct world *w, uint32_t node, struct refusal *r);

struct world_package *world_package_find(struct world *w, uint32_t node, int64_t ubr);
struct world_package *world_package_top(struct world *w, uint32_t node); /* newest installed */
int world_install(struct world *w, uint32_t node, const char *kb, int64_t build, int64_t ubr, bool wusa,
                  struct refusal *r);
int world_uninstall(struct world *w, uint32_t node, const char *kb, int64_t ubr, struct refusal *r);

/* --- parts that call each other --- */
void world_vm_set(struct world *w, uint32_t vm, enum vm_state state);
void world_vm_crash(struct world *w, uint32_t vm, bool restart);
void world_vm_boot_host(struct world *w, uint32_t node);     /* vmms came up: start actions */
void world_vm_shutdown_host(struct world *w, uint32_t node); /* stop actions, or the power cut */
void world_move_abort(struct world *w, uint32_t vm);
void world_move_queue_run(struct world *w, uint32_t cluster);
void world_node_left(struct world *w, uint32_t node); /* membership, quorum, hard failover */
void world_storage_left(struct world *w, uint32_t node);
void world_storage_back(struct world *w, uint32_t node);
bool world_storage_clean(const struct world *w, uint32_t cluster);
enum health world_storage_health(const struct world *w, uint32_t cluster); /* as shown */
int64_t world_node_dynamic_vote(const struct world *w, uint32_t node);
int64_t world_witness_vote(const struct world *w, uint32_t cluster);
bool world_node_patched(const struct world_node *n);
void world_servicing_boot(struct world *w, uint32_t node);
void world_servicing_cut(struct world *w, uint32_t node);
void world_cluster_lost(struct world *w, uint32_t cluster, const char *why);
void world_note(struct world *w, uint32_t node, const char *channel, const char *provider, int64_t id,
                int64_t level, const char *service, const char *depends_on);

/* --- truth (world_truth.c) --- */
uint32_t world_truth_open(struct world *w, const char *subject, const char *id, enum cause cause,
                          time_ms start, uint32_t node);
void world_truth_close(struct world *w, uint32_t row, time_ms end);
void world_truth_row(struct world *w, const char *subject, const char *id, enum cause cause, time_ms start,
                     time_ms end, uint32_t node);
void world_took_hold(struct world *w, const char *what, uint32_t node, const char *subject);
void world_hurt(struct world *w, const char *what, const char *subject, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* --- faults (world_fault.c) --- */
/* The fault of that name on that subject, counted as a hit and used up if it
 * strikes a limited number of times; NULL when none is set. */
struct world_fault *world_fault_hit(struct world *w, const char *name, const char *subject);
/* The same without counting. */
struct world_fault *world_fault_set(struct world *w, const char *name, const char *subject);
int64_t world_fault_number(const struct world_fault *f, int64_t otherwise);
int world_fault_add(struct world *w, const char *name, const char *subject, const char *arg, struct err *err);
int world_fault_remove(struct world *w, const char *name, const char *subject, struct err *err);
/* Apply those that act at once and have not yet (after a load). */
void world_fault_apply(struct world *w);
/* The table of names, for `hvlab fault list`; NULL ends it. */
struct world_fault_kind {
    const char *name, *subject, *help;
    int64_t times; /* -1: always */
    void (*apply)(struct world *w, uint32_t index, struct world_fault *f);
};
const struct world_fault_kind *world_fault_kinds(uint32_t *ret_n);

/* --- event handlers, one per type (world_events.c lists them) --- */
typedef void world_handler(struct world *w, const struct world_event *ev);
world_handler on_paused, on_resumed, on_power_off, on_power_on, on_joined, on_failover, on_self_reboot;
world_handler on_vmms_running, on_vmms_answers, on_vmms_stopped, on_backup_service, on_servicing;
world_handler on_move_end, on_vm_down, on_vm_running, on_ha_restart, on_checkpoint, on_merged, on_failback;
world_handler on_group_moved, on_storage_out, on_storage_in, on_repair_begin, on_repair_end;
world_handler on_balance, on_grow, on_noise;

#endif
