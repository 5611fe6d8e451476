/* When each node of a plan goes, at P50, as the plan's own order and caps let
 * it: for pictures and sums, not for decisions. Pure. */
#ifndef PATCHWAVE_PLAN_PICTURE_H
#define PATCHWAVE_PLAN_PICTURE_H

#include "orchestrator/core/plan.h"

struct plan_picture {
    struct arena arena;
    struct {
        dur_ms start, end; /* from the run's begin */
    } * nodes;             /* as plan.nodes */
    struct {
        dur_ms start, end, gate_end;
        uint32_t out_max; /* nodes out at once */
    } * waves;
    dur_ms end;
};

int plan_picture_draw(const struct plan *p, struct plan_picture *ret, struct err *err);
void plan_picture_clear(struct plan_picture *pic);

#endif
