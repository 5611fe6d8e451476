/* The independent checker's own books; for plan_verify's files. They include
 * nothing of the planner, of capacity or of the fleet: what they know they
 * count themselves, from the plan, its inventory and its rollout. */
#ifndef PATCHWAVE_PLAN_VERIFY_H
#define PATCHWAVE_PLAN_VERIFY_H

#include "orchestrator/core/inventory.h"
#include "orchestrator/core/plan.h"
#include "orchestrator/core/rollout.h"

struct book {
    const struct plan *p;
    const struct inventory *inv;
    const struct rollout *r;
    struct buf *out;
    uint32_t faults;
    bool no_memory;         /* something could not be looked at: then nothing is proved */
    uint32_t *at;           /* per VM: its node */
    bool *down;             /* per VM: off as found, or parked */
    uint32_t *moved;        /* per VM: live moves, without late evidence */
    int64_t *free_mib;      /* per node */
    bool *is_out, *patched; /* per node */
    uint32_t *entry;        /* per node: index into plan.nodes, or IX_NONE */
};

/* One fault: "C2: ...". */
void book_fault(struct book *b, const char *rule, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Membership, waves, cut, order, totals. */
void book_check_shape(struct book *b);
/* Go through one cluster's drains in order. */
void book_walk_cluster(struct book *b, uint32_t cluster);
/* Is one more loss survived at that rung (C4)? Without memory: not judged, `no_memory` is set. */
bool book_survives(struct book *b, uint32_t cluster, enum reserve_rung rung);
/* Does `vm` on `node` stand against a hard anti-affinity class there? */
bool book_conflict(const struct book *b, uint32_t vm, uint32_t node);
bool book_owns(const struct book *b, uint32_t vm, uint32_t node);

#endif
