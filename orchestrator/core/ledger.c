#include "orchestrator/core/ledger.h"

#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

void ledger_clear(struct ledger *l)
{
    arena_clear(&l->arena);
    list_clear(l);
}

static bool matches(const struct ledger_row *r, const struct ledger_ask *ask)
{
    if (ask->subject >= 0 && (int)r->subject != ask->subject)
        return false;
    if (ask->cause >= 0 && (int)r->cause != ask->cause)
        return false;
    if (ask->node != IX_NONE && r->node != ask->node)
        return false;
    if (ask->wave != IX_NONE && r->wave != ask->wave)
        return false;
    return ask->id == NULL || strcmp(r->id, ask->id) == 0;
}

static int by_subject_and_start(const void *a, const void *b)
{
    const struct ledger_row *x = *(const struct ledger_row *const *)a,
                            *y = *(const struct ledger_row *const *)b;
    int c = (int)x->subject - (int)y->subject;

    if (c == 0)
        c = strcmp(x->id, y->id);
    if (c == 0)
        c = (x->start > y->start) - (x->start < y->start);
    return c;
}

static dur_ms sum_sorted(const struct ledger_row **rows, uint32_t n, time_ms now)
{
    dur_ms sum = 0;
    time_ms covered = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct ledger_row *r = rows[i];
        bool same = i > 0 && rows[i - 1]->subject == r->subject && strcmp(rows[i - 1]->id, r->id) == 0;
        time_ms end = r->end == TIME_NEVER ? now : r->end, start = r->start;

        if (same && start < covered)
            start = covered;
        if (end > start)
            sum += end - start;
        if (!same || end > covered)
            covered = end;
    }
    return sum;
}

dur_ms ledger_sum(const struct ledger *l, const struct ledger_ask *ask, time_ms now)
{
    const struct ledger_row **rows = calloc(l->n == 0 ? 1 : l->n, sizeof *rows);
    uint32_t n = 0;
    dur_ms sum;

    if (rows == NULL)
        return -1;
    for (uint32_t i = 0; i < l->n; i++)
        if (matches(&l->items[i], ask))
            rows[n++] = &l->items[i];
    qsort(rows, n, sizeof *rows, by_subject_and_start);
    sum = sum_sorted(rows, n, now);
    free(rows);
    return sum;
}
