/* A bandwidth cap as a bucket that fills with time. Pure. */
#ifndef PATCHWAVE_RATE_H
#define PATCHWAVE_RATE_H

#include "schema/times.h"

#include <stddef.h>
#include <stdint.h>

struct rate {
    uint64_t bytes_s;     /* 0: no cap */
    uint64_t level_milli; /* thousandths of bytes that may go now: no fraction is lost or won */
    uint64_t burst;       /* bytes it holds at most: a tenth of a second's, at least 16 KiB */
    int64_t at_ms;        /* when the level was right */
};

void rate_init(struct rate *r, uint64_t bytes_s, int64_t now_ms);
/* Bytes that may go now; SIZE_MAX without a cap. */
size_t rate_room(struct rate *r, int64_t now_ms);
/* `n` bytes went; at most what rate_room() gave in this turn. */
void rate_spend(struct rate *r, size_t n);
/* Until `n` bytes (or a full bucket) may go; 0: now. */
dur_ms rate_wait_ms(struct rate *r, size_t n, int64_t now_ms);

#endif
