/* Waiting longer after each failure, with jitter so that a fleet that went
 * down together does not come back as one blow. Pure. */
#ifndef PATCHWAVE_BACKOFF_H
#define PATCHWAVE_BACKOFF_H

#include "schema/prng.h"
#include "schema/times.h"

#include <stdint.h>

struct backoff {
    dur_ms min_ms, max_ms;
    uint32_t failures; /* in a row */
};

/* Count a failure and give the wait before the next try: half of min * 2^failures
 * (at most max) for certain, the other half by chance. Never below 1. */
dur_ms backoff_next(struct backoff *b, struct prng *random);
void backoff_reset(struct backoff *b);

#endif
