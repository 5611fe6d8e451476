/* One cluster in a form that a search can move VMs in: free memory and class
 * members per node are counted, not looked up. For capacity's own files. */
#ifndef PATCHWAVE_CAPACITY_MODEL_H
#define PATCHWAVE_CAPACITY_MODEL_H

#include "orchestrator/core/capacity.h"

struct model_node {
    uint32_t node;    /* fleet index */
    int64_t free_mib; /* may be negative: overcommitted as found */
    uint32_t domain;  /* index of the first node of its fault domain */
    uint32_t first;   /* VMs here, by model_vm.next */
    bool receives;    /* may get VMs */
    bool may_fail;    /* its loss is to be survived (C4) */
    bool patched;
    uint32_t due;
};

struct model_vm {
    uint32_t vm; /* fleet index */
    int64_t need, restart;
    uint32_t at; /* model node, or IX_NONE while in hand */
    uint32_t next;
    const uint32_t *classes;
    uint32_t n_classes; /* model classes */
    bool restarts;      /* HA restarts it elsewhere */
    bool must_restart;  /* and rung `protected` wants it (O23) */
};

struct model_class {
    uint32_t class;
    bool hard, domain;
};

struct model {
    const struct fleet *f;
    struct arena arena;
    struct model_node *nodes;
    uint32_t n_nodes;
    struct model_vm *vms;
    uint32_t n_vms;
    struct model_class *classes;
    uint32_t n_classes;
    uint32_t *members; /* classes x nodes: how many VMs of the class are there */
    uint8_t *may_move; /* vms x nodes: 0 not asked yet, 1 yes, 2 no */
    /* For trying a loss: room for every VM, so that no question fails for want of memory. */
    uint32_t *lost_all, *lost_wanted;
    int64_t *lost_rest;
    bool plain;   /* no owners and no classes: equal nodes are interchangeable */
    int64_t work; /* left to spend on searching */
};

/* `drained` is out like every node with an OUT_ bit. ERR_NOMEM. */
int model_build(struct model *m, const struct fleet *f, uint32_t cluster, uint32_t drained);
void model_clear(struct model *m);
uint32_t model_node_of(const struct model *m, uint32_t node);
uint32_t model_vm_of(const struct model *m, uint32_t vm);

/* Take a VM into the hand; put it down, needing `mib` there. */
void model_take(struct model *m, uint32_t vm, int64_t mib);
void model_put(struct model *m, uint32_t vm, uint32_t node, int64_t mib);
/* Would an anti-affinity class be broken (VM in hand)? */
bool model_conflict(const struct model *m, uint32_t vm, uint32_t node, bool hard_only);
/* Can it move live there: O6 and owners. */
bool model_may_move(struct model *m, uint32_t vm, uint32_t node);

/* C4: after the loss of any one node, can its VMs restart in the space left,
 * the others staying where they are? Never changes the model. */
enum fit { FIT_YES, FIT_NO, FIT_UNKNOWN };
enum fit model_survives(struct model *m, enum reserve_rung rung, uint32_t *ret_lost);
/* The same for the loss of one node. */
enum fit model_survives_node(struct model *m, enum reserve_rung rung, uint32_t lost);

/* Rules that need no placement: O7, O20, O21, O26, C7 to C9. Fills `p` with
 * the refusal and returns false. */
bool capacity_rules(const struct fleet *f, const struct rollout *r, uint32_t node, time_ms now,
                    struct drain_proof *p);
/* The rung that must hold in this cluster, waivers counted. */
enum reserve_rung capacity_rung(const struct fleet *f, const struct rollout *r, uint32_t cluster);
/* Write a refusal. */
void capacity_refuse(struct drain_proof *p, enum capacity_verdict v, const char *rule, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* May and must this VM be parked? True with `ret`; false: refused in `p`. */
bool capacity_park(const struct fleet *f, const struct rollout *r, uint32_t vm, const char *why, time_ms now,
                   struct drain_park *ret, struct drain_proof *p);

#endif
