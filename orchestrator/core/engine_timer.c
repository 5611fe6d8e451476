#include "orchestrator/core/engine_timer.h"

#include "schema/list.h"

static bool before(const struct timer *a, const struct timer *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void put(struct timer_heap *h, uint32_t i, struct timer *t)
{
    h->items[i] = t;
    t->pos = i + 1;
}

static void sift_up(struct timer_heap *h, uint32_t i)
{
    struct timer *t = h->items[i];

    while (i > 0 && before(t, h->items[(i - 1) / 2])) {
        put(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, t);
}

static void sift_down(struct timer_heap *h, uint32_t i)
{
    struct timer *t = h->items[i];

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && before(h->items[child + 1], h->items[child]))
            child++;
        if (!before(h->items[child], t))
            break;
        put(h, i, h->items[child]);
        i = child;
    }
    put(h, i, t);
}

bool timer_set(struct timer_heap *h, struct timer *t, time_ms at)
{
    timer_stop(h, t);
    if (!list_grow(&h->items, h->n, &h->cap, sizeof *h->items))
        return false;
    t->at = at;
    t->order = ++h->order;
    put(h, h->n, t);
    sift_up(h, h->n++);
    return true;
}

void timer_stop(struct timer_heap *h, struct timer *t)
{
    uint32_t i = t->pos - 1;
    struct timer *last;

    if (t->pos == 0)
        return;
    t->pos = 0;
    last = h->items[--h->n];
    if (last == t)
        return;
    put(h, i, last);
    sift_up(h, i);
    sift_down(h, last->pos - 1);
}

struct timer *timer_take(struct timer_heap *h, time_ms now)
{
    struct timer *t = h->n == 0 ? NULL : h->items[0];

    if (t == NULL || t->at > now)
        return NULL;
    timer_stop(h, t);
    return t;
}

time_ms timer_next(const struct timer_heap *h)
{
    return h->n == 0 ? TIME_NEVER : h->items[0]->at;
}

void timer_heap_clear(struct timer_heap *h)
{
    list_free(&h->items, &h->n, &h->cap);
}
