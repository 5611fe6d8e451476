/* Ground truth: the fleet as it really is, with types of its own. Controllers
 * and agents see it only through driver answers; the oracle sees all of it.
 *
 * Time passes by world_advance; drivers are begun by world_begin and answer
 * through `on_answer` when their effect is over. An effect goes on when its
 * driver is killed (O10), and ends with its node. The drivers of this world
 * are naive on purpose: no guard of theirs hides a missing guard of ours. */
#ifndef PATCHWAVE_SIM_WORLD_H
#define PATCHWAVE_SIM_WORLD_H

#include "schema/buf.h"
#include "schema/prng.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_CLUSTERS 3
#define WORLD_NODES 8
#define WORLD_VMS 48
#define WORLD_EFFECTS 96
#define WORLD_NONE UINT32_MAX
#define WORLD_START ((time_ms)1764000000000)
#define WORLD_BUILD 26100u
#define WORLD_UBR_OLD 4061u
#define WORLD_UBR_NEW 4066u
#define WORLD_UBR_OTHER 4063u /* neither */
#define WORLD_UBR_NEWER 4076u /* supersedes it */
#define WORLD_SHA "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
#define WORLD_KB "KB5061977"
#define WORLD_FILE "windows11.0-kb5061977-x64.msu"

enum world_power { POWER_ON, POWER_BOOTING, POWER_DEAD };
/* The source of a node's gate evidence: as it is; a stopped service, a hanging one; nothing in its answer, no number where
 * one belongs, now good and now bad. */
enum world_gate { GATE_SOUND, GATE_FAILS, GATE_HANGS, GATE_EMPTY, GATE_NAN, GATE_FLAPS };
enum world_vm_state { GUEST_RUNNING, GUEST_OFF, GUEST_SAVED, GUEST_MIGRATING, GUEST_STARTING };
enum world_down { DOWN_NOT, DOWN_PARKED, DOWN_EXOGENOUS, DOWN_BY_OUR_REBOOT };

/* When something was broken last. */
struct world_outage {
    time_ms from, until; /* from 0: never; until TIME_NEVER: it still is */
};

struct world_cluster {
    char id[8];
    bool s2d, witness, witness_online, rack_aware, busy_cau, anti_enforced;
    uint32_t slots, max_out, balancer, balancer_theirs; /* theirs: as whoever is not us left it */
    int64_t bandwidth_mib_s;
    uint32_t core_owner, csv_owner[2];
    const char *reserve; /* policy: "full", "protected", "none" */
    bool waive_none, waive_rack;
    /* storage: not whole since / repair job running until */
    time_ms dirty_since, repair_from, repair_until; /* 0: no */
    bool disk_failed;
    struct world_outage no_witness, not_whole; /* not_whole: its storage */
    time_ms exo_at;                            /* last change by others */
};

struct world_node {
    char id[8], machine[40], machine_plan[40], rack[8];
    uint32_t cluster, boot;
    enum world_power power;
    time_ms up_at, boot_at, crash_at;
    bool paused, paused_ours, paused_admin, evicted, vmms, storage_out;
    uint32_t ubr;
    bool pending_in, pending_out, pending_again, has_package; /* has_package: servicing says installed */
    uint32_t boot_installed;                                  /* boot in which the package was put in */
    time_ms servicing_until;
    int64_t memory_mib, reserve_mib;
    uint32_t speed_permille; /* hidden: how long this model takes */
    int64_t clock_error_ms;
    bool backup_broken, compliant_at_start, path_lost;
    time_ms backup_broken_at, clock_bad_at, corrupt_at;
    enum world_gate gate;                /* how its gate's source answers */
    time_ms gate_at;                     /* since when */
    bool staged, staged_corrupt, shrunk; /* shrunk: it will never again be as it was */
    time_ms out_since;                   /* by our doing; 0: in service */
    time_ms exo_at;
    time_ms put_in_at; /* others put the package, or a newer one, in; 0: they did not */
    time_ms admin_at,
        ended_at; /* since when others have it paused; when they ended our pause, 0: they did not */
    time_ms unpaused_at;
    time_ms down_at, cut_at; /* away since; controllers reach it no more since. 0: neither */
    enum world_down down_by;
    /* faults to come */
    bool never_returns, loses_patch, install_fails, install_odd, refuse_pause, leaves_group, vmms_sticks,
        not_removable, lies, patch_breaks_backup;
    dur_ms boot_extra_ms;
    uint32_t boots_again,
        boots_into; /* servicing wants so many boots more; with the patch lost: this build, 0: the old one */
};

struct world_vm {
    char id[40], name[16];
    uint32_t node, to; /* to: while migrating */
    enum world_vm_state state;
    enum world_down down;
    bool gone, clustered, dda, hard, must_restart, consent, by_others;
    const char *consent_method;    /* "shutdown" or "save" */
    int64_t memory_mib, added_mib; /* added: what others added to it last; all of it where they made the VM */
    uint32_t owners;               /* bit per node; 0: all of the cluster */
    uint32_t anti;                 /* class number, 0: none */
    const char *role;
    uint32_t moves, moves_back, loads; /* completed, by us */
    time_ms here_since, down_since, restart_at;
    time_ms set_at; /* others made it what it is: its size, its owners, whom it must not meet */
    bool refuses, fails_half, crashes, no_heartbeat;
    uint32_t slow_permille;
};

/* A VM as it was when it was last told of, and the words for that: its place in `vms` up to its uptime, its group. */
struct world_told {
    struct world_vm vm;
    uint32_t n_seen, n_group;
    char seen[1024], group[512];
};

enum world_what {
    TRUTH_PAUSE,
    TRUTH_RESUME,
    TRUTH_MOVE_BEGIN,
    TRUTH_MOVE_END,
    TRUTH_PARK,
    TRUTH_UNPARK,
    TRUTH_STORAGE_OUT,
    TRUTH_STORAGE_IN,
    TRUTH_VMMS_STOP,
    TRUTH_VMMS_START,
    TRUTH_INSTALL_BEGIN,
    TRUTH_INSTALL_END,
    TRUTH_REMOVE_BEGIN,
    TRUTH_REMOVE_END,
    TRUTH_REBOOT,
    TRUTH_GROUPS,
    TRUTH_SETTING,
    TRUTH_PAUSE_FOUND,    /* a pause that was there counts as ours from now on */
    TRUTH_PAUSE_WITNESSED /* the witness of one of ours says that the node is paused */
};
/* An effect of ours, at the moment it takes hold of the world. */
struct world_truth {
    enum world_what what;
    uint32_t node, vm, to;
    const char *op, *sha256, *method;
};

struct world_effect {
    bool used, witness, heard;
    uint32_t handle, node, action, vm, to;
    time_ms begun, done_at;
    char op[128];
    char sha256[72], kb[16], text[40]; /* text: method, form, boot id, setting, type */
    int64_t number, expected;
    uint64_t parked;
    bool flag;
    const char *code, *why, *native; /* it will fail so */
    bool already;
};

struct world_hooks {
    void (*on_answer)(void *arg, uint32_t handle, const char *text, size_t len);
    void (*on_node_down)(void *arg, uint32_t node);
    void (*on_node_up)(void *arg, uint32_t node);
    void (*on_truth)(void *arg, const struct world_truth *t);
    void *arg;
};

struct sim_world {
    time_ms now;
    struct prng rng;
    struct world_cluster clusters[WORLD_CLUSTERS];
    struct world_node nodes[WORLD_NODES];
    struct world_vm vms[WORLD_VMS];
    struct world_told told[WORLD_VMS];
    uint32_t n_clusters, n_nodes, n_vms, next_handle, made_vms;
    struct world_effect effects[WORLD_EFFECTS];
    uint32_t n_effects; /* slots in use at the most */
    time_ms due;        /* as world_next last said; before it nothing happens by itself */
    struct world_hooks hooks;
    bool removable;
    bool cruel;            /* one seed in two */
    struct prng rng_cruel; /* all chance of that, so that the other seeds' worlds stay as they were */
    struct buf scratch;
    time_ms next_cache;
};

struct world_shape {
    uint32_t nodes_max, vms_max; /* 0: as the seed says */
    bool mild, plain;            /* no seed is cruel; none is as cruel as later ones may be */
};
void world_make(struct sim_world *w, uint64_t seed, const struct world_shape *shape);
void world_clear(struct sim_world *w);
uint32_t world_vm_find(const struct sim_world *w, const char *id);
uint32_t world_node_find(const struct sim_world *w, const char *id);

/* The next moment at which something happens by itself; TIME_NEVER. To be asked after each change, before time goes on. */
time_ms world_next(struct sim_world *w);
void world_advance(struct sim_world *w, time_ms now);

/* A driver is started on `node` with this standard input (docs/driver.md).
 * Returns the handle that on_answer will name, 0 when it cannot be started. */
uint32_t world_begin(struct sim_world *w, uint32_t node, const char *request, size_t len);
/* Its process is gone; its effect goes on. */
void world_unhear(struct sim_world *w, uint32_t handle);

/* Things others do. Each notes exo_at. False: it cannot be done, and nothing has changed. */
bool world_node_crash(struct sim_world *w, uint32_t node, dur_ms away, bool for_good);
bool world_foreign_move(struct sim_world *w, uint32_t vm, uint32_t to);
bool world_vm_create(struct sim_world *w, uint32_t node);
bool world_vm_appear(struct sim_world *w, uint32_t node);
/* It ends, and its cluster does not get it started for so long. */
bool world_vm_end(struct sim_world *w, uint32_t vm, dur_ms away);
bool world_vm_delete(struct sim_world *w, uint32_t vm);
bool world_vm_resize(struct sim_world *w, uint32_t vm, int64_t memory_mib);
/* May be on its own node and on `node` from now on. `apart`: and there is another VM that it must not meet, or no such one any
 * more. It is hard where the cluster enforces it. */
void world_vm_bind(struct sim_world *w, uint32_t vm, uint32_t node, bool apart);
void world_touched(struct sim_world *w, uint32_t cluster, uint32_t node);
void world_storage_dirty(struct sim_world *w, uint32_t cluster);
/* Where the cluster has one. */
void world_witness(struct sim_world *w, uint32_t cluster, bool online);
/* After the faults: what can heal heals. */
void world_heal(struct sim_world *w);

/* Plain questions about the truth. */
bool world_node_up(const struct sim_world *w, uint32_t node);
bool world_receives(const struct sim_world *w, uint32_t node); /* up and not paused */
bool world_vm_live(const struct world_vm *v);                  /* holds memory */
int64_t world_free_mib(const struct sim_world *w, uint32_t node);
bool world_storage_whole(const struct sim_world *w, uint32_t cluster);
const char *world_boot_name(const struct sim_world *w, uint32_t node, char out[24]);
bool world_backup_broken(const struct sim_world *w, uint32_t node);
bool world_may_own(const struct sim_world *w, const struct world_vm *v, uint32_t node);
/* Effects of ours under way on a node, of one action; WORLD_NONE: none. */
uint32_t world_effect_of(const struct sim_world *w, uint32_t node, const char *action, uint32_t vm);

/* What the drivers report (sim_facts.c). */
void world_write_facts(const struct sim_world *w, uint32_t node, struct buf *out);
void world_write_vms(struct sim_world *w, uint32_t node, struct buf *out);
void world_write_gate(struct sim_world *w, uint32_t node, const char *type, time_ms since, struct buf *out);
void world_write_storage(const struct sim_world *w, uint32_t node, struct buf *out);
void world_write_verify(const struct sim_world *w, uint32_t node, struct buf *out);
void world_write_empty(const struct sim_world *w, uint32_t node, const char *form, uint64_t parked,
                       struct buf *out);

/* sim_driver.c, for sim_world.c */
void world_effect_end(struct sim_world *w, struct world_effect *e);
void world_tell(struct sim_world *w, enum world_what what, uint32_t node, const struct world_effect *e);
void world_node_goes_down(struct sim_world *w, uint32_t node, dur_ms away, enum world_down cause);

#endif
