#include "orchestrator/io/backoff.h"

dur_ms backoff_next(struct backoff *b, struct prng *random)
{
    dur_ms full = b->min_ms;

    for (uint32_t i = 0; i < b->failures && full < b->max_ms; i++)
        full *= 2;
    if (full > b->max_ms)
        full = b->max_ms;
    if (full < 2)
        full = 2;
    b->failures++;
    return full / 2 + (dur_ms)prng_below(random, (uint64_t)(full - full / 2));
}

void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}
