/* Deadlines of many owners, the next one first (a binary heap of handles
 * embedded in their owners). Equal times fire in the order they were set. */
#ifndef PATCHWAVE_ENGINE_TIMER_H
#define PATCHWAVE_ENGINE_TIMER_H

#include "schema/times.h"

#include <stdbool.h>

struct timer {
    time_ms at;
    uint64_t order;
    uint32_t pos; /* 1 + place in the heap; 0: not set */
    uint8_t kind; /* what `of` points to: the engine's affair */
    void *of;
};
struct timer_heap {
    struct timer **items;
    uint32_t n, cap;
    uint64_t order;
};

/* Set or move; false when out of memory. */
bool timer_set(struct timer_heap *h, struct timer *t, time_ms at);
void timer_stop(struct timer_heap *h, struct timer *t); /* not set: nothing happens */
/* The first timer due at `now`, taken out; or NULL. */
struct timer *timer_take(struct timer_heap *h, time_ms now);
time_ms timer_next(const struct timer_heap *h); /* TIME_NEVER when none is set */
void timer_heap_clear(struct timer_heap *h);

#endif
