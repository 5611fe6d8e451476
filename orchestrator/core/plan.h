/* What will happen, for the board to sign: who, in which order, where each VM
 * goes, predicted times and downtime, each choice with its rule. Immutable,
 * self-contained (holds inventory and rollout), has a hash; a run is bound to
 * it. Membership, wave order, methods and consents never change; a target or
 * the order inside a wave may, if proved anew (a logged deviation). */
#ifndef PATCHWAVE_PLAN_H
#define PATCHWAVE_PLAN_H

#include "orchestrator/core/capacity.h"
#include "orchestrator/core/inventory.h"
#include "orchestrator/core/predict.h"
#include "orchestrator/core/rollout.h"
#include "schema/sha256.h"

/* unproved: patched -> unpatched (O16). early: an evidence load off a node that is still to be drained: the VM's
 * planned move, only earlier. */
struct plan_move {
    uint32_t vm, to;
    struct estimate took, blackout;
    bool unproved, early;
};
struct plan_park {
    uint32_t vm;
    enum park_method method;
    bool checkpoint;
    struct estimate down;
};

/* One node's place in the plan. */
struct plan_node {
    uint32_t node, wave, order; /* order inside the wave: start order within its cluster */
    /* Nodes of one cluster, wave and batch may be out together; the moves of the
     * next batch count on them as receivers, so it starts when they are back. */
    uint32_t batch;
    uint32_t lives; /* 1; 3 for the rehearsed node: forward, back, forward (O14) */
    bool rehearse;  /* the first node of `rehearse: yes` (O14) */
    bool compliant; /* already at the target: nothing will be done, in no wave (wave IX_NONE) */
    struct plan_move *moves;
    uint32_t n_moves;
    struct plan_park *parks;
    uint32_t n_parks;
    /* Onto this node once it is back (O15); taken from nodes still to be drained
     * where possible: then they cost no extra move. */
    struct plan_move *evidence;
    uint32_t n_evidence;
    enum reserve_rung reached;
    struct estimate steps[PREDICT_STEPS];
    struct estimate drain; /* all its moves, under the cluster's slots (O19) */
    struct estimate life;  /* whole node-out time, all lives */
    const char *const *reasons;
    uint32_t n_reasons; /* "O21: ..." */
};
/* Nodes are indices into plan.nodes, in start order. */
struct plan_wave {
    uint32_t *nodes;
    uint32_t n_nodes;
    struct estimate took;
    dur_ms gates_ms, lower_bound_ms;
};
/* A node that cannot be drained safely. */
struct plan_refusal {
    uint32_t node;
    const char *rule, *reason;
};

struct plan {
    struct arena arena;
    const struct inventory *inv;
    const struct rollout *rollout;
    struct {
        struct inventory *inv;
        struct rollout *rollout;
    } own; /* the same two, for plan_free */
    char hash[SHA256_TEXT];
    time_ms made_at;
    const char *planner; /* person */
    struct plan_node *nodes;
    uint32_t n_nodes;
    struct plan_wave *waves;
    uint32_t n_waves;
    struct plan_refusal *refusals;
    uint32_t n_refusals;
    uint32_t moves;          /* live migrations planned, `early` evidence loads among them */
    uint32_t moves_bound;    /* the least there can be */
    uint32_t evidence_moves; /* the other evidence loads, counted apart (O15) */
    struct estimate took;
    dur_ms took_bound_ms;
    const char *way_back; /* "removable", "not removable", "unproved" (O14) with the sentence beside */
    const char *way_back_text;
    const char *const *warnings;
    uint32_t n_warnings; /* "O4: ..." */
    const char *const *notes;
    uint32_t n_notes; /* where the time goes, what more slots would save (O19, O36) */
};

/* Takes inventory and rollout over (freed by plan_free), also on failure of
 * the plan itself. Nodes that cannot be drained are refusals, not errors. */
int plan_build(struct inventory *inv, struct rollout *r, time_ms now, const char *planner,
               struct plan **ret_plan, struct err *err);
void plan_free(struct plan *p);
/* The canonical JSON; the hash is over it without the member "hash". */
void plan_write(struct buf *out, const struct plan *p, bool pretty);
/* ERR_CORRUPT: the hash does not fit. */
int plan_read(const struct json_doc *doc, struct plan **ret_plan, struct err *err);
/* Does the plan change this setting in this cluster (and put it back, O18)? */
bool plan_sets(const struct plan *p, uint32_t cluster, enum cluster_setting s);
const char *predict_step_name(enum predict_step s);         /* "install", ... */
uint32_t plan_node_of(const struct plan *p, uint32_t node); /* index into plan.nodes or IX_NONE */

/* The independent checker: trusts nothing of the planner, goes through the
 * plan in order on its own books. Appends one line per fault to `out`;
 * returns the number of faults. (plan_verify.c includes no planner header.) */
uint32_t plan_verify(const struct plan *p, struct buf *out);

#endif
