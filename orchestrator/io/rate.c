#include "orchestrator/io/rate.h"

#define BURST_MIN_BYTES 16384u
#define MILLI 1000u

void rate_init(struct rate *r, uint64_t bytes_s, int64_t now_ms)
{
    r->bytes_s = bytes_s;
    r->burst = bytes_s / 10 > BURST_MIN_BYTES ? bytes_s / 10 : BURST_MIN_BYTES;
    r->level_milli = r->burst * MILLI;
    r->at_ms = now_ms;
}

static void rate_fill(struct rate *r, int64_t now_ms)
{
    uint64_t missing_milli = r->burst * MILLI - r->level_milli;
    uint64_t elapsed_ms = now_ms > r->at_ms ? (uint64_t)(now_ms - r->at_ms) : 0;

    r->at_ms = now_ms;
    if (elapsed_ms >
        missing_milli / r->bytes_s) /* a byte per second is a thousandth of a byte per millisecond */
        r->level_milli += missing_milli;
    else
        r->level_milli += elapsed_ms * r->bytes_s;
}

size_t rate_room(struct rate *r, int64_t now_ms)
{
    if (r->bytes_s == 0)
        return SIZE_MAX;
    rate_fill(r, now_ms);
    return (size_t)(r->level_milli / MILLI);
}

void rate_spend(struct rate *r, size_t n)
{
    uint64_t milli = (uint64_t)n * MILLI;

    if (r->bytes_s != 0)
        r->level_milli -= milli < r->level_milli ? milli : r->level_milli;
}

dur_ms rate_wait_ms(struct rate *r, size_t n, int64_t now_ms)
{
    uint64_t want_milli = (n < r->burst ? n : r->burst) * MILLI;

    if (r->bytes_s == 0)
        return 0;
    rate_fill(r, now_ms);
    if (r->level_milli >= want_milli)
        return 0;
    return (dur_ms)((want_milli - r->level_milli + r->bytes_s - 1) / r->bytes_s);
}
