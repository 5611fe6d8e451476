/* A handover made by hand: what a run that has just started would tell, changed by the test, offered to an engine that has seen
 * nothing else. */
#ifndef PATCHWAVE_TESTS_HANDOVER_BED_H
#define PATCHWAVE_TESTS_HANDOVER_BED_H

#include "tests/scenarios/scenario.h"

#include "orchestrator/core/handover.h"

struct handover_bed {
    struct scenario *s;
    struct handover_fold *fold;
    struct handover *h; /* to be changed; lists that the test replaces are the test's */
    struct engine *e;   /* after handover_bed_take() */
    struct command_list out;
    struct event ev;
};

/* One cluster `c00` of 4 nodes `n00-00` .. with 2 VMs each (small_vm_id counts them), and `c01` the same beside it that the
 * rollout does not touch. */
struct inventory *handover_bed_fleet(void);
void handover_bed_begin(struct handover_bed *b, const char *waves, const char *more);
void handover_bed_of(struct handover_bed *b, struct inventory *inv, const char *waves, const char *more);
int handover_bed_take(struct handover_bed *b); /* what engine_step said, its text in b->s->err */
void handover_bed_end(struct handover_bed *b);

#endif
