/* The fleet as it is now: the inventory plus what was seen since. Mutable,
 * pure; the planner moves VMs in one in thought, the engine keeps one from
 * observations and its own moves. Capacity questions are asked of it. */
#ifndef PATCHWAVE_FLEET_H
#define PATCHWAVE_FLEET_H

#include "orchestrator/core/facts.h"
#include "orchestrator/core/inventory.h"

/* Why a node counts as out for caps, N+1 and quorum (bits; 0 = in service). */
enum {
    OUT_OURS = 1u << 0,      /* drained or draining by us, not yet settled */
    OUT_UNCLAIMED = 1u << 1, /* has not accepted this controller's epoch */
    OUT_DOWN = 1u << 2,      /* the cluster says Down, Joining or unknown */
    OUT_PAUSED = 1u << 3,    /* found paused by somebody else (O7) */
    OUT_STUCK = 1u << 4,
};

/* `out`, `patched`, `receives`, `due` and `facts` may be set by anybody; the rest is kept by
 * the functions below, so that asking for capacity needs no counting. */
struct fleet_node {
    uint32_t out;  /* OUT_ bits */
    bool patched;  /* at the target build or newer, verified */
    bool receives; /* seen Up: may get VMs while `out` is 0 */
    uint32_t
        due; /* its turn in the plan to be drained, from 1; 0: not (again). Receivers due late are preferred */
    uint32_t vote;
    uint64_t memory_mib, host_reserve_mib;
    const struct node_facts
        *facts;               /* NULL: only the inventory is known (O6); kept alive by whoever sets it */
    uint64_t used_mib;        /* demand of the VMs placed here, and of those that have not left yet */
    uint32_t first_vm, n_vms; /* VMs placed here; go on with fleet_vm.next until IX_NONE */
};

/* A VM is `at` a node; once promised elsewhere it is placed there (`place`),
 * and its memory counts at both until it has left. Change at, moving_to, gone,
 * parked and vm only by the functions below. */
struct fleet_vm {
    struct vm vm;       /* as last seen; strings in the fleet's arena or the inventory's */
    uint32_t at;        /* node, or IX_NONE when not seen */
    uint32_t moving_to; /* promised target, or IX_NONE */
    uint32_t moves;     /* ours in this run; the caller's */
    bool gone;          /* deleted by others */
    bool parked;        /* by us */
    uint32_t place;     /* moving_to, else at; IX_NONE while gone */
    uint32_t next, prev;
    const uint32_t *anti;
    uint32_t n_anti; /* anti-affinity classes, indices into fleet.classes */
    uint32_t sla;    /* index into inv->sla_classes, or IX_NONE */
    uint32_t seen;   /* round of observation */
};

/* An anti-affinity class of one cluster. "domain:NAME" keeps its members in
 * different fault domains, any other name on different nodes (C6). */
struct fleet_class {
    const char *name;
    uint32_t cluster;
    bool hard, domain;
};

/* What a cluster said last. */
struct fleet_health {
    bool known; /* ever observed */
    bool witness_online, stretched;
    uint32_t votes_up, votes_all; /* as the cluster counts them now */
    const char *busy;             /* "cau", NULL when nothing is (O26) */
    uint32_t migrations_parallel; /* O19: the inventory's until observed */
    uint64_t bandwidth_mib_s;
    bool storage_known, storage_clean, storage_rack_aware; /* O21 */
};

struct fleet {
    struct arena arena;
    const struct inventory *inv;
    struct fleet_node *nodes; /* as in inv */
    struct {
        struct fleet_vm *items;
        uint32_t n, cap;
    } vms;           /* first those of inv, in order; new ones after */
    uint32_t *by_id; /* all VMs, by id */
    uint32_t by_id_cap;
    struct {
        struct fleet_class *items;
        uint32_t n, cap;
    } classes;
    time_ms *cluster_seen_at;    /* per cluster; TIME_NEVER: never */
    struct fleet_health *health; /* per cluster */
    uint32_t *sla_parked;        /* per SLA class: parked now */
    uint32_t round;              /* of observation */
};

int fleet_init(struct fleet *f, const struct inventory *inv, struct err *err);
void fleet_clear(struct fleet *f);
/* A fleet of its own to move VMs in; texts stay those of `from`, which must
 * live as long. */
int fleet_copy(const struct fleet *from, struct fleet *to, struct err *err);
uint32_t fleet_vm_by_id(const struct fleet *f, const char *id); /* or IX_NONE */

/* The VM's target is decided (IX_NONE: no longer): from now on it is counted
 * there too. */
void fleet_promise(struct fleet *f, uint32_t vm, uint32_t to);
/* The VM is at `node` now; a promise to that node is kept and ended. */
void fleet_arrive(struct fleet *f, uint32_t vm, uint32_t node);
/* Parked by us, or running again. */
void fleet_park(struct fleet *f, uint32_t vm, bool parked);

/* Take in a fresh picture of one cluster: every claimed node's VMs and one
 * node's view. VMs the inventory does not know are added; those on none of the
 * observed nodes are looked up in the view's groups, and if not there marked
 * gone. VMs with a promise are left to the engine. Changes by others that
 * matter are told to `changed` (may be NULL). `storage` may be NULL. */
enum fleet_change {
    CHANGE_FOREIGN_MOVE,
    CHANGE_MEMORY_GREW,
    CHANGE_NEW_VM,
    CHANGE_GONE_VM,
    CHANGE_NODE_STATE
};
typedef void fleet_changed(void *arg, enum fleet_change what, uint32_t vm, uint32_t node);
int fleet_observe(struct fleet *f, uint32_t cluster, const struct cluster_view *view,
                  const struct storage_view *storage, const struct vms_seen *vms_per_node,
                  const uint32_t *nodes, uint32_t n_nodes, time_ms at, fleet_changed *changed, void *arg,
                  struct err *err);

/* Does it hold memory on a node now (running, paused, starting, ...). */
bool vm_holds_memory(const struct fleet_vm *v);
/* May it be on that node: same cluster, a possible owner. */
bool vm_may_own(const struct fleet_vm *v, const struct inventory *inv, uint32_t node);
/* An anti-affinity class that `vm` on `node` would break, or NULL; `hard_only`
 * leaves preferred ones out (O24). */
const struct fleet_class *fleet_conflict(const struct fleet *f, uint32_t vm, uint32_t node, bool hard_only);
/* In service and seen Up. */
bool fleet_receives(const struct fleet *f, uint32_t node);
/* O22: what a VM needs on its target when moved. */
uint64_t vm_demand_mib(const struct vm *v);
uint64_t vm_restart_mib(const struct vm *v); /* the same for an HA restart */
/* O6, against both nodes. NULL when it can move live from where it is to
 * `to`; else the reason, a sentence part ("has an assigned device (DDA)"). */
const char *vm_cannot_move(const struct fleet *f, const struct fleet_vm *v, uint32_t to);
/* The same without a target: can it move at all. */
const char *vm_is_pinned(const struct fleet *f, const struct fleet_vm *v);
uint64_t fleet_free_mib(const struct fleet *f, uint32_t node); /* 0 when overcommitted */

#endif
