/* Dying on purpose, for tests of what a dead controller leaves behind: in a lab,
 * PATCHWAVE_KILL_AT=POSITION:WHAT[:N] ends the process, as SIGKILL does, at the Nth entry
 * that fits. POSITION is `append_before` (the log does not have it), `append_after` (it has, nobody
 * was told) or `submit_after` (the commands went out). WHAT is an event's type (`node_claimed`), `result/ACTION`
 * for an op's result, `start/ACTION` for an entry whose commands start such an op, or `phase/PHASE` for one that leaves a node
 * in that phase. */
#ifndef PATCHWAVE_KILL_POINT_H
#define PATCHWAVE_KILL_POINT_H

#include "orchestrator/core/event_log.h"

struct kill_point {
    struct event_log face; /* first: append finds us through it */
    struct event_log *inner;
    char position[24], what[48];
    unsigned left;
    uint32_t n_nodes;
    bool fits; /* the entry under way is one that is meant */
};

/* Stands between runner and log; passes everything on. Honoured only in a lab. */
struct event_log *kill_point_wrap(struct kill_point *k, struct event_log *inner, const struct inventory *inv);
/* The entry's commands have been submitted. */
void kill_point_submitted(struct kill_point *k);

#endif
