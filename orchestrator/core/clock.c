#include "orchestrator/core/clock.h"

/* The end of the window that holds all of [at, at + life], or the next
 * window's start in *ret_next. */
static bool in_window(const struct rollout *r, time_ms at, dur_ms life_ms, time_ms *ret_next)
{
    *ret_next = TIME_NEVER;
    if (r->n_windows == 0)
        return true;
    for (uint32_t i = 0; i < r->n_windows; i++) {
        const struct span *w = &r->windows[i];

        if (w->from <= at && at < w->to && life_ms <= w->to - at)
            return true;
        if (w->from > at && life_ms <= w->to - w->from && w->from < *ret_next)
            *ret_next = w->from;
    }
    return false;
}

static bool in_freeze(const struct rollout *r, time_ms at, dur_ms life_ms, time_ms *ret_next)
{
    for (uint32_t i = 0; i < r->n_freezes; i++) {
        const struct span *f = &r->freezes[i];

        if (f->from < at + life_ms && at < f->to) {
            *ret_next = f->to;
            return true;
        }
    }
    return false;
}

time_ms clock_opens(const struct rollout *r, time_ms now, dur_ms life_ms, time_ms expires,
                    const char **ret_why)
{
    time_ms at = now, next;
    const char *why = NULL;

    /* Each turn goes past one span for good. */
    for (uint32_t turn = 0; turn <= r->n_windows + r->n_freezes + 1; turn++) {
        if (!in_window(r, at, life_ms, &next))
            why = why == NULL ? "outside the change windows, or too late in one" : why;
        else if (in_freeze(r, at, life_ms, &next))
            why = why == NULL ? "a freeze" : why;
        else
            break;
        at = next;
        if (at == TIME_NEVER)
            break;
    }
    if (at != TIME_NEVER && expires != TIME_NEVER && at + life_ms > expires) {
        why = why == NULL ? "the approval expires before" : why;
        at = TIME_NEVER;
    }
    *ret_why = why;
    return at;
}
