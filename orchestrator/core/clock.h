/* Windows, freezes and the approval's end (I14): when may something of a given
 * length begin? */
#ifndef PATCHWAVE_CLOCK_H
#define PATCHWAVE_CLOCK_H

#include "orchestrator/core/rollout.h"

/* The first point at or after `now` at which `life_ms` fits whole into a
 * window, outside every freeze and before `expires`; TIME_NEVER when there is
 * none. *ret_why (static) says what stands in the way at `now`; NULL when the
 * answer is `now`. */
time_ms clock_opens(const struct rollout *r, time_ms now, dur_ms life_ms, time_ms expires,
                    const char **ret_why);

#endif
