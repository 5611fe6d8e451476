/* A plan for people: the operator's text with a picture of its course, and
 * the document a change board signs. */
#ifndef PATCHWAVE_RENDER_PLAN_H
#define PATCHWAVE_RENDER_PLAN_H

#include "orchestrator/core/plan.h"

struct plan_approval_line {
    const char *person, *ticket; /* NULL: not approved yet */
    time_ms at, expires;
};

int render_plan_text(struct buf *out, const struct plan *p, const struct plan_approval_line *approval,
                     struct err *err);
int render_plan_markdown(struct buf *out, const struct plan *p, const struct plan_approval_line *approval,
                         struct err *err);
/* What differs between two plans, one line each; the number of lines. */
uint32_t render_plan_diff(struct buf *out, const struct plan *a, const struct plan *b);

/* Sums that both documents use. */
struct plan_sums {
    uint32_t moves, parks, unproved, compliant, vms_parked;
    struct estimate drain, install, reboot, resync, parked, blackout; /* over all nodes */
};
struct plan_sums plan_sums_of(const struct plan *p);
/* Which cluster-wide settings the plan changes for the time of the run, in one line without its end. */
void plan_settings_words(struct buf *out, const struct plan *p);

#endif
