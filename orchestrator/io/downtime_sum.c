#include "orchestrator/io/downtime_sum.h"

#include <stdlib.h>
#include <string.h>

const char *const downtime_by_names[BY_COUNT] = { "vm", "node", "cluster", "wave", "cause", "run" };

/* The ledger, and the nodes that are out now: their row is written when they are back.
 * The key comes first: rows of one key and one subject lie together, in order of time. */
#define ASK(key, which)                                                                                      \
    "WITH spans AS (SELECT run, subject, id, name, node, cluster, wave, cause, start_at, coalesce(end_at, "  \
    "?2) AS e, predicted_p50 FROM downtime WHERE run = ?1 UNION ALL SELECT run, 'node', node, node, node, "  \
    "cluster, wave, 'node_out', out_since, ?2, 0 FROM run_nodes WHERE run = ?1 AND is_out AND out_since IS " \
    "NOT NULL AND out_until IS NULL) SELECT " key                                                            \
    " AS k, subject, id, name, start_at, e, predicted_p50 FROM spans WHERE " which                           \
    " ORDER BY 1, subject, id, start_at"
static const char *const questions[BY_COUNT] = {
    [BY_VM] = ASK("id", "subject = 'vm'"),
    [BY_NODE] = ASK("coalesce(node, '-')", "true"),
    [BY_CLUSTER] = ASK("coalesce(cluster, '-')", "true"),
    [BY_WAVE] = ASK("printf('%03d', wave)", "true"),
    [BY_CAUSE] = ASK("cause", "true"),
    [BY_RUN] = ASK("run", "true"),
};
enum { K, SUBJECT, ID, NAME, START, END, PREDICTED };

/* One subject's spans, put together. */
struct merging {
    const char *subject, *id, *name;
    time_ms until; /* end of what was counted */
    dur_ms sum;
};

static void line_add(struct downtime_line *l, const struct merging *m)
{
    if (m->subject == NULL)
        return;
    if (strcmp(m->subject, "vm") == 0) {
        l->vm_ms += m->sum;
        l->vms += m->sum > 0;
        if (m->sum > l->longest_vm_ms) {
            l->longest_vm_ms = m->sum;
            l->longest_vm = m->name;
        }
    } else if (strcmp(m->subject, "node") == 0) {
        l->node_out_ms += m->sum;
    } else {
        l->vmms_ms += m->sum;
    }
}

static void merge_span(struct merging *m, time_ms start, time_ms end)
{
    if (start < m->until)
        start = m->until;
    if (end > start) {
        m->sum += end - start;
        m->until = end;
    }
}

static bool same(const struct merging *m, const struct rows *r, uint32_t i)
{
    return m->subject != NULL && strcmp(m->subject, rows_text(r, i, SUBJECT)) == 0 &&
           strcmp(m->id, rows_text(r, i, ID)) == 0;
}

static void sum_rows(struct downtime_sums *d, const struct rows *r, enum downtime_by by)
{
    struct downtime_line *l = NULL;
    struct merging m = { 0 };

    for (uint32_t i = 0; i < r->n; i++) {
        if (l == NULL || strcmp(l->key, rows_text(r, i, K)) != 0) {
            if (l != NULL)
                line_add(l, &m);
            m = (struct merging){ 0 };
            l = &d->items[d->n++];
            l->key = rows_text(r, i, K);
            l->name = rows_text(r, i, by == BY_VM ? NAME : K);
        }
        if (!same(&m, r, i)) {
            line_add(l, &m);
            m = (struct merging){ rows_text(r, i, SUBJECT), rows_text(r, i, ID), rows_text(r, i, NAME),
                                  INT64_MIN, 0 };
        }
        merge_span(&m, rows_int(r, i, START), rows_int(r, i, END));
        l->rows++;
        if (strcmp(rows_text(r, i, SUBJECT), "vm") == 0)
            l->predicted_ms += rows_int(r, i, PREDICTED);
    }
    if (l != NULL)
        line_add(l, &m);
}

static int sum_by(struct store *s, const char *run, enum downtime_by by, time_ms now,
                  struct downtime_sums *ret, struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err, questions[by], "si", run, (int64_t)now);

    if (rc != 0)
        return rc;
    ret->items = ARENA_ARRAY(&r.arena, struct downtime_line, (size_t)r.n + 1);
    if (ret->items == NULL) {
        rows_clear(&r);
        return err_set(err, ERR_NOMEM, "sum downtime");
    }
    sum_rows(ret, &r, by);
    ret->arena = r.arena; /* the lines' texts are the rows' */
    return 0;
}

static void judge(struct downtime_sums *d, const struct downtime_sums *vms, uint32_t goal_ppm)
{
    d->goal_ms = 30 * DAY_MS * (dur_ms)(1000000 - goal_ppm) / 1000000;
    for (uint32_t i = 0; i < vms->n; i++)
        d->over_goal += vms->items[i].vm_ms > d->goal_ms;
}

int downtime_sum(struct store *s, const char *run, enum downtime_by by, time_ms now, uint32_t goal_ppm,
                 struct downtime_sums *ret, struct err *err)
{
    struct downtime_sums d = { 0 }, vms = { 0 }, all = { 0 };
    int rc = sum_by(s, run, by, now, &d, err);

    if (rc == 0)
        rc = sum_by(s, run, BY_VM, now, &vms, err);
    if (rc == 0)
        rc = sum_by(s, run, BY_RUN, now, &all, err);
    if (rc == 0) {
        judge(&d, &vms, goal_ppm);
        if (all.n > 0)
            d.all = all.items[0];
        d.all.key = "all";
        d.all.name = "all";
        d.all.longest_vm = d.all.longest_vm == NULL ? NULL : arena_str(&d.arena, d.all.longest_vm);
        *ret = d;
    } else {
        downtime_sums_clear(&d);
    }
    downtime_sums_clear(&vms);
    downtime_sums_clear(&all);
    return rc;
}

void downtime_sums_clear(struct downtime_sums *d)
{
    arena_clear(&d->arena);
    *d = (struct downtime_sums){ 0 };
}

int downtime_goal_parse(const char *text, uint32_t *ret_ppm, struct err *err)
{
    char *end = NULL;
    unsigned long whole = strtoul(text, &end, 10), part = 0, scale = 10000;

    if (end != text && *end == '.')
        for (end++; *end >= '0' && *end <= '9' && scale >= 10; end++) {
            scale /= 10;
            part += (unsigned long)(*end - '0') * scale;
        }
    if (end == text || *end != '\0' || whole > 100 || (whole == 100 && part > 0))
        return err_set(err, ERR_INVALID, "\"%s\" is not an availability in per cent such as 99.99", text);
    *ret_ppm = (uint32_t)(whole * 10000 + part);
    return 0;
}
