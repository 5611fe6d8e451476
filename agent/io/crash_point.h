/* Places where a test may end the agent as if the power were cut. Compiled in
 * always, so that what is tested is what is installed; heard in labs only.
 * PATCHWAVE_CRASH_AT=accept_after, or accept_after:3 for the third time. */
#ifndef PATCHWAVE_CRASH_POINT_H
#define PATCHWAVE_CRASH_POINT_H

#include "agent/core/journal_fold.h"

struct crash_point {
    char name[48];
    unsigned left;
};
void crash_point_read(struct crash_point *c, bool lab);
void crash_point_pass(struct crash_point *c, const char *here);
void crash_point_record(struct crash_point *c, enum agent_record_kind kind, bool before);

#endif
