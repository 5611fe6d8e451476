/* What the planner's own files share; others use plan.h. */
#ifndef PATCHWAVE_PLAN_OWN_H
#define PATCHWAVE_PLAN_OWN_H

#include "orchestrator/core/plan.h"

struct json_writer;

/* What the planner thinks of one node of the inventory. */
struct candidate {
    bool in_scope, compliant, planned;
    bool out_of_plan;  /* refused; rule and refusal say why */
    bool confidential; /* hosts confidential VMs: early (P3) */
    uint32_t stratum;  /* model x firmware x confidential */
    uint32_t wave, order, batch;
    uint32_t rank; /* in its cluster */
    const char *rule, *refusal;
    struct plan_node result; /* moves, parks, evidence, reached, reasons */
};

struct text_list {
    const char **items;
    uint32_t n, cap;
};

struct planner {
    struct plan *plan;
    struct arena *arena; /* the plan's */
    const struct inventory *inv;
    const struct rollout *r;
    time_ms now;
    struct fleet fleet; /* moved through in thought */
    struct predictor *predictor;
    struct candidate *of;         /* per inventory node */
    uint32_t **orders, *n_orders; /* per cluster: the nodes that can be drained, in order */
    uint32_t *strata_all, *strata_early, n_strata, ranks;
    struct text_list warnings, notes;
    struct err *err;
};

/* Phase 1: in which order can each cluster's nodes be drained, one at a time. */
int plan_order_clusters(struct planner *pl);
/* Phase 2: interleave the clusters and cut waves (P1, P2). */
int plan_cut_waves(struct planner *pl);
/* Phase 3: which nodes of a cluster may be out together (P6). */
int plan_batch_clusters(struct planner *pl);
/* Phase 4: predictions, bounds, totals. */
int plan_predict(struct planner *pl);
/* Phase 5: reasons, warnings, notes, the way back. */
int plan_explain(struct planner *pl);

/* One drain in thought: prove, record in the candidate's result, put into
 * effect. 0 with *ret_safe false: refused, nothing changed, reason in the
 * candidate. `settled_only`: refuse to land on nodes still to be drained. */
int plan_drain(struct planner *pl, uint32_t node, bool settled_only, bool *ret_safe);
/* The node is back, patched; its evidence load comes (O15). */
int plan_return(struct planner *pl, uint32_t node);

/* Put the cluster's nodes and VMs back as they were found, none of them due. */
void plan_rewind_cluster(struct planner *pl, uint32_t cluster);

/* "P4: ..." added to a list; the text is the plan's. ERR_NOMEM. */
int plan_say(struct planner *pl, struct text_list *list, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Lists in the plan's arena. */
bool plan_grow(struct planner *pl, void *items, uint32_t n, uint32_t *cap, size_t size);

dur_ms plan_gates_ms(const struct rollout *r);

#endif
