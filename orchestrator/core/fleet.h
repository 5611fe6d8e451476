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

struct fleet_node {
    uint32_t out;  /* OUT_ bits */
    bool patched;  /* at the target build or newer, verified */
    bool receives; /* may get VMs now: in service and seen Up */
    uint64_t memory_mib, host_reserve_mib;
};

struct fleet_vm {
    struct vm vm;      /* as last seen; strings in the fleet's arena or the inventory's */
    uint32_t at;       /* node, or IX_NONE when not seen */
    uint32_t moving_to; /* node, or IX_NONE */
    uint32_t moves;    /* ours in this run */
    bool gone;         /* deleted by others */
    bool parked;       /* by us */
};

struct fleet {
    struct arena arena;
    const struct inventory *inv;
    struct fleet_node *nodes;         /* as in inv */
    struct { struct fleet_vm *items; uint32_t n, cap; } vms; /* first those of inv, in order; new ones after */
    time_ms *cluster_seen_at;         /* per cluster; TIME_NEVER: never */
    struct storage_view *storage;     /* per cluster, as last seen */
    struct { bool known; bool witness_online; bool stretched; bool busy; uint32_t votes_up, votes_all; } *health; /* per cluster */
};

int fleet_init(struct fleet *f, const struct inventory *inv, struct err *err);
void fleet_clear(struct fleet *f);
int fleet_copy(const struct fleet *from, struct fleet *to, struct err *err); /* deep enough to move VMs in thought */
uint32_t fleet_vm_by_id(const struct fleet *f, const char *id); /* or IX_NONE */

/* Take in a fresh picture of one cluster: every claimed node's VMs and one
 * node's view. VMs the inventory does not know are added, missing ones marked
 * gone. Changes by others that matter are listed by the caller's callback
 * (foreign move, growth, new VM, gone, node paused/down by others). */
enum fleet_change { CHANGE_FOREIGN_MOVE, CHANGE_MEMORY_GREW, CHANGE_NEW_VM, CHANGE_GONE_VM, CHANGE_NODE_STATE };
typedef void fleet_changed(void *arg, enum fleet_change what, uint32_t vm, uint32_t node);
int fleet_observe(struct fleet *f, uint32_t cluster, const struct cluster_view *view, const struct storage_view *storage,
                  const struct vms_seen *vms_per_node, const uint32_t *nodes, uint32_t n_nodes, time_ms at,
                  fleet_changed *changed, void *arg, struct err *err);

/* O22: what a VM needs on its target when moved. */
uint64_t vm_demand_mib(const struct vm *v);
/* O6, against both nodes. NULL when it can move live from where it is to
 * `to`; else the reason, a sentence part ("has an assigned device (DDA)"). */
const char *vm_cannot_move(const struct fleet *f, const struct fleet_vm *v, uint32_t to);
/* The same without a target: can it move at all. */
const char *vm_is_pinned(const struct fleet *f, const struct fleet_vm *v);
uint64_t fleet_free_mib(const struct fleet *f, uint32_t node);

#endif
