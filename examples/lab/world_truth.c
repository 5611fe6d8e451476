#include "examples/lab/world.h"

#include <stdarg.h>
#include <stdio.h>

uint32_t world_truth_open(struct world *w, const char *subject, const char *id, enum cause cause,
                          time_ms start, uint32_t node)
{
    struct world_truth *t = list_push(&w->truth);

    if (t == NULL)
        return WORLD_NONE;
    snprintf(t->subject, sizeof t->subject, "%s", subject);
    snprintf(t->id, sizeof t->id, "%s", id);
    t->cause = (int64_t)cause;
    t->start = start;
    t->end = -1;
    t->node = node;
    return w->truth.n - 1;
}

void world_truth_close(struct world *w, uint32_t row, time_ms end)
{
    if (row < w->truth.n && w->truth.items[row].end < 0)
        w->truth.items[row].end = end;
}

void world_truth_row(struct world *w, const char *subject, const char *id, enum cause cause, time_ms start,
                     time_ms end, uint32_t node)
{
    world_truth_close(w, world_truth_open(w, subject, id, cause, start, node), end);
}

static int64_t active_vms(const struct world *w, uint32_t node)
{
    int64_t n = 0;

    for (uint32_t i = 0; i < w->vms.n; i++) {
        const struct world_vm *v = &w->vms.items[i];
        n += (v->node == node && world_vm_active(v)) || (v->move_running && v->move_to == node);
    }
    return n;
}

void world_took_hold(struct world *w, const char *what, uint32_t node, const char *subject)
{
    struct world_effect *e = list_push(&w->effects);

    if (e == NULL)
        return;
    e->at = w->now;
    e->node = node;
    e->active_vms = active_vms(w, node);
    snprintf(e->what, sizeof e->what, "%s", what);
    snprintf(e->op, sizeof e->op, "%s", w->op);
    snprintf(e->subject, sizeof e->subject, "%s", subject);
}

/* Harm that a careful operator would not have done. */
void world_hurt(struct world *w, const char *what, const char *subject, const char *fmt, ...)
{
    struct world_damage *d = list_push(&w->damage);
    va_list args;

    if (d == NULL)
        return;
    d->at = w->now;
    snprintf(d->what, sizeof d->what, "%s", what);
    snprintf(d->subject, sizeof d->subject, "%s", subject);
    va_start(args, fmt);
    vsnprintf(d->detail, sizeof d->detail, fmt, args);
    va_end(args);
}

#define LOGS_MAX 8192u

/* The oldest tenth goes when the log is full, as a ring of events would. */
void world_note(struct world *w, uint32_t node, const char *channel, const char *provider, int64_t id,
                int64_t level, const char *service, const char *depends_on)
{
    struct world_log *l;

    if (w->logs.n >= LOGS_MAX) {
        uint32_t gone = LOGS_MAX / 10;
        for (uint32_t i = gone; i < w->logs.n; i++)
            w->logs.items[i - gone] = w->logs.items[i];
        w->logs.n -= gone;
    }
    l = list_push(&w->logs);
    if (l == NULL)
        return;
    l->node = node;
    l->at = w->now;
    l->id = id;
    l->level = level;
    snprintf(l->channel, sizeof l->channel, "%s", channel);
    snprintf(l->provider, sizeof l->provider, "%s", provider);
    snprintf(l->service, sizeof l->service, "%s", service);
    snprintf(l->depends_on, sizeof l->depends_on, "%s", depends_on);
}
