#include "orchestrator/io/rate.h"

#define BURST_MIN_BYTES 16384u

void rate_init(struct rate *r, uint64_t bytes_s, int64_t now_ms)
{
    r->bytes_s = bytes_s;
    r->burst = bytes_s / 10 > BURST_MIN_BYTES ? bytes_s / 10 : BURST_MIN_BYTES;
    r->level = r->burst;
    r->at_ms = now_ms;
}

static void rate_fill(struct rate *r, int64_t now_ms)
{
    uint64_t missing = r->burst - r->level;
    uint64_t elapsed_ms = now_ms > r->at_ms ? (uint64_t)(now_ms - r->at_ms) : 0;
    uint64_t full_ms = missing * 1000 / r->bytes_s + 1;
    uint64_t gain;

    if (elapsed_ms >= full_ms) {
        r->level = r->burst;
        r->at_ms = now_ms;
        return;
    }
    gain = elapsed_ms * r->bytes_s / 1000;
    if (gain == 0)
        return; /* keep the fraction: do not move the clock */
    r->level += gain < missing ? gain : missing;
    r->at_ms +=
        (int64_t)(gain * 1000 / r->bytes_s); /* what the gain took, rounded down: the rest counts next time */
}

size_t rate_room(struct rate *r, int64_t now_ms)
{
    if (r->bytes_s == 0)
        return SIZE_MAX;
    rate_fill(r, now_ms);
    return (size_t)r->level;
}

void rate_spend(struct rate *r, size_t n)
{
    if (r->bytes_s != 0)
        r->level -= n < r->level ? n : r->level;
}

dur_ms rate_wait_ms(struct rate *r, size_t n, int64_t now_ms)
{
    uint64_t want = n < r->burst ? n : r->burst;

    if (r->bytes_s == 0)
        return 0;
    rate_fill(r, now_ms);
    if (r->level >= want)
        return 0;
    return (dur_ms)((want - r->level) * 1000 / r->bytes_s + 1);
}
