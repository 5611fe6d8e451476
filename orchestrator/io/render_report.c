#include "orchestrator/io/render_report.h"

#include "orchestrator/io/downtime_sum.h"
#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/render_hold.h"
#include "orchestrator/io/render_rows.h"
#include "orchestrator/io/report_sections.h"

#include <string.h>

#define BRIEF_LINES 20 /* of one section, for people at a terminal */

static const char head_sql[] =
    "SELECT r.id, r.state, r.plan, p.kb, r.person, r.started, r.ended, r.end_text, r.hold_reason, "
    "r.hold_verb, r.deviations, p.took_p50, "
    "p.took_p95, p.nodes, (SELECT person FROM approvals a WHERE a.plan = r.plan ORDER BY expires DESC LIMIT "
    "1) AS approver, (SELECT "
    "ticket FROM approvals a WHERE a.plan = r.plan ORDER BY expires DESC LIMIT 1) AS ticket, r.revision, "
    "(SELECT group_concat(x, ', ') "
    "FROM (SELECT count(*) || ' ' || CASE ending WHEN '' THEN 'under way' ELSE ending END AS x FROM "
    "run_nodes WHERE run = r.id GROUP BY "
    "ending ORDER BY count(*) DESC)) AS ends, p.planner, (SELECT coalesce(max(wave), 0) FROM waves WHERE run "
    "= r.id AND started IS NOT "
    "NULL) AS begun, p.waves, p.refused FROM runs r JOIN plans p ON p.hash = r.plan WHERE r.id = ?";
enum {
    H_ID,
    H_STATE,
    H_PLAN,
    H_KB,
    H_PERSON,
    H_STARTED,
    H_ENDED,
    H_END,
    H_HOLD,
    H_VERB,
    H_DEVIATIONS,
    H_P50,
    H_P95,
    H_NODES,
    H_APPROVER,
    H_TICKET,
    H_REVISION,
    H_ENDS,
    H_PLANNER,
    H_BEGUN,
    H_WAVES,
    H_REFUSED
};

struct report {
    struct rows head, rows[SECTIONS],
        brief[SECTIONS]; /* brief: where the section has one, and it is for people */
    struct downtime_sums down;
    struct log_position pos;
    time_ms now;
    bool lab;
};

static void report_clear(struct report *r)
{
    rows_clear(&r->head);
    for (size_t i = 0; i < SECTIONS; i++) {
        rows_clear(&r->rows[i]);
        rows_clear(&r->brief[i]);
    }
    downtime_sums_clear(&r->down);
}

static int report_ask(struct report *r, struct store *s, const char *run, struct err *err)
{
    int rc = store_ask(s, &r->head, err, head_sql, "s", run);

    if (rc == 0 && r->head.n != 1)
        rc = err_set(err, ERR_NOT_FOUND, "no run \"%s\"", run);
    for (size_t i = 0; rc == 0 && i < SECTIONS; i++)
        rc = store_ask(s, &r->rows[i], err, report_sections[i].sql, "si", run, (int64_t)r->now);
    for (size_t i = 0; rc == 0 && i < SECTIONS; i++)
        if (report_sections[i].brief != NULL)
            rc = store_ask(s, &r->brief[i], err, report_sections[i].brief, "si", run, (int64_t)r->now);
    if (rc == 0)
        rc = downtime_sum(s, run, BY_CAUSE, r->now, 999900, &r->down, err);
    r->pos = store_position(s);
    return rc;
}

static time_ms end_of(const struct report *r)
{
    return rows_null(&r->head, 0, H_ENDED) ? r->now : rows_int(&r->head, 0, H_ENDED);
}

/* Those that failed; where none did, those that could not tell. */
static void put_gates_answers(struct buf *out, const struct rows *gates)
{
    static const char *const answers[] = { "fail", "unknown" };
    bool said = false;

    for (size_t k = 0; k < 2 && !said; k++)
        for (uint32_t i = 0; i < gates->n; i++)
            if (strcmp(rows_text(gates, i, 4), answers[k]) == 0) {
                buf_printf(out, "Gate %s %s wave %s answered %s: %s. ", rows_text(gates, i, 2),
                           rows_text(gates, i, 1), rows_text(gates, i, 0), answers[k],
                           rows_text(gates, i, 6));
                said = true;
            }
}

/* One paragraph: what became of it, and why. */
static void put_story(struct buf *out, const struct report *r)
{
    const struct rows *h = &r->head;
    char took[TIME_TEXT_MAX], p50[TIME_TEXT_MAX], p95[TIME_TEXT_MAX];

    buf_printf(out, "Run %s of %s is %s", rows_text(h, 0, H_ID), rows_text(h, 0, H_KB),
               rows_text(h, 0, H_STATE));
    if (rows_text(h, 0, H_END)[0] != '\0')
        buf_printf(out, ": %s", rows_text(h, 0, H_END));
    buf_str(out, ". ");
    if (rows_text(h, 0, H_HOLD)[0] == '\0')
        put_gates_answers(out, &r->rows[SECTION_GATES]);
    if (rows_text(h, 0, H_HOLD)[0] != '\0') {
        buf_printf(out, "It holds: %s; ", rows_text(h, 0, H_HOLD));
        render_hold_way(out, rows_text(h, 0, H_HOLD), rows_text(h, 0, H_VERB));
        buf_str(out, ". ");
    }
    buf_printf(out, "Of %s nodes: %s", rows_text(h, 0, H_NODES), rows_text(h, 0, H_ENDS));
    if (rows_int(h, 0, H_REFUSED) > 0)
        buf_printf(out, "; %s were left out of the plan", rows_text(h, 0, H_REFUSED));
    if (rows_int(h, 0, H_BEGUN) < rows_int(h, 0, H_WAVES))
        buf_printf(out, "; wave %lld never started", (long long)rows_int(h, 0, H_BEGUN) + 1);
    buf_printf(out, ". It took %s (predicted P50 %s, P95 %s).",
               dur_text(end_of(r) - rows_int(h, 0, H_STARTED), took), dur_text(rows_int(h, 0, H_P50), p50),
               dur_text(rows_int(h, 0, H_P95), p95));
}

/* O35: side by side, and what the article's figure is like. */
static void put_sums(struct buf *out, const struct report *r)
{
    char vm[TIME_TEXT_MAX], predicted[TIME_TEXT_MAX], node[TIME_TEXT_MAX], vmms[TIME_TEXT_MAX],
        goal[TIME_TEXT_MAX];
    const struct downtime_sums *d = &r->down;

    buf_printf(out, "VM-down %s (predicted %s) over %u VMs; node-out %s; vmms-down %s. ",
               dur_text(d->all.vm_ms, vm), dur_text(d->all.predicted_ms, predicted), (unsigned)d->all.vms,
               dur_text(d->all.node_out_ms, node), dur_text(d->all.vmms_ms, vmms));
    buf_printf(out, "Against 99.99 %% of 30 days (%s per VM): %u VMs lost more. ", dur_text(d->goal_ms, goal),
               (unsigned)d->over_goal);
    buf_printf(out, "The founding article's 84 minutes (70 s on each of 72 nodes) mean vmms-down.%s",
               r->lab ? " All figures are of a simulated fleet." : "");
}

static uint32_t misses(const struct rows *stopped)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < stopped->n; i++)
        n += strcmp(rows_text(stopped, i, 8), "no") == 0;
    return n;
}

static void put_facts(struct buf *out, const struct report *r, void (*escape)(struct buf *, const char *),
                      const char *line)
{
    const struct rows *h = &r->head;
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

    buf_printf(out, "%splan %s, made by ", line, rows_text(h, 0, H_PLAN));
    escape(out, rows_text(h, 0, H_PLANNER));
    buf_printf(out, "\n%sapproved by ", line);
    escape(out, rows_text(h, 0, H_APPROVER));
    buf_str(out, ", ticket ");
    escape(out, rows_text(h, 0, H_TICKET));
    buf_printf(out, "\n%sstarted by ", line);
    escape(out, rows_text(h, 0, H_PERSON));
    buf_printf(out, ", %s to %s\n", time_text(rows_int(h, 0, H_STARTED), from),
               rows_null(h, 0, H_ENDED) ? "now" : time_text(rows_int(h, 0, H_ENDED), to));
    buf_printf(out, "%slog: %llu entries, head %s\n", line, (unsigned long long)r->pos.seq, r->pos.hash);
}

/* Grouped, and no longer than can be read; what the operator needs next stands at the end of the report. */
static void put_section(struct buf *out, const struct report *r, size_t i)
{
    struct rows shown = report_sections[i].brief != NULL ? r->brief[i] : r->rows[i];
    uint32_t all = shown.n;

    shown.n = all > BRIEF_LINES ? BRIEF_LINES : all;
    render_rows(out, &shown, report_sections[i].nothing == NULL ? "" : report_sections[i].nothing);
    if (shown.n < all)
        buf_printf(out, "... and %u more: `patchwave report --json`, `patchwave log`\n",
                   (unsigned)(all - shown.n));
}

static void put_text(struct buf *out, const struct report *r)
{
    struct buf story = BUF_INIT;

    buf_printf(out, "REPORT %s%s\n\n", rows_text(&r->head, 0, H_ID), r->lab ? "  (simulated fleet)" : "");
    put_story(&story, r);
    escape_terminal(out, buf_text(&story));
    buf_str(out, "\n\n");
    put_facts(out, r, escape_terminal, "");
    for (size_t i = 0; i < SECTIONS; i++) {
        if (r->rows[i].n == 0 && report_sections[i].nothing == NULL)
            continue;
        buf_printf(out, "\n%s\n", report_sections[i].title);
        put_section(out, r, i);
    }
    buf_str(out, "\nDowntime\n");
    put_sums(out, r);
    buf_char(out, '\n');
    buf_clear(&story);
}

static void put_markdown(struct buf *out, const struct report *r)
{
    struct buf story = BUF_INIT;

    buf_printf(out, "# Report of run %s\n\n", rows_text(&r->head, 0, H_ID));
    put_story(&story, r);
    escape_markdown(out, buf_text(&story));
    buf_str(out, "\n\n");
    put_facts(out, r, escape_markdown, "- ");
    for (size_t i = 0; i < SECTIONS; i++) {
        if (r->rows[i].n == 0 && report_sections[i].nothing == NULL)
            continue;
        buf_printf(out, "\n## %s\n\n", report_sections[i].title);
        render_rows_markdown(out, &r->rows[i],
                             report_sections[i].nothing == NULL ? "" : report_sections[i].nothing);
    }
    buf_str(out, "\n## Downtime\n\n");
    put_sums(out, r);
    buf_char(out, '\n');
    buf_clear(&story);
}

static void json_downtime(struct json_writer *w, const struct report *r)
{
    jw_object(w, "downtime");
    jw_int(w, "vm_down_ms", r->down.all.vm_ms);
    jw_int(w, "vm_predicted_ms", r->down.all.predicted_ms);
    jw_int(w, "vms", r->down.all.vms);
    jw_int(w, "node_out_ms", r->down.all.node_out_ms);
    jw_int(w, "vmms_down_ms", r->down.all.vmms_ms);
    jw_int(w, "goal_ms", r->down.goal_ms);
    jw_int(w, "vms_over_goal", r->down.over_goal);
    jw_array(w, "by_cause");
    for (uint32_t i = 0; i < r->down.n; i++) {
        const struct downtime_line *l = &r->down.items[i];

        jw_object(w, NULL);
        jw_str(w, "cause", l->key);
        jw_int(w, "rows", l->rows);
        jw_int(w, "vm_down_ms", l->vm_ms);
        jw_int(w, "node_out_ms", l->node_out_ms);
        jw_int(w, "vmms_down_ms", l->vmms_ms);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static void json_head(struct json_writer *w, const struct report *r, const char *story)
{
    const struct rows *h = &r->head;

    jw_int(w, "version", 1);
    jw_str(w, "run", rows_text(h, 0, H_ID));
    jw_str(w, "state", rows_text(h, 0, H_STATE));
    jw_str(w, "story", story);
    jw_bool(w, "simulated", r->lab);
    jw_str(w, "plan", rows_text(h, 0, H_PLAN));
    jw_str(w, "kb", rows_text(h, 0, H_KB));
    jw_str(w, "planner", rows_text(h, 0, H_PLANNER));
    jw_str(w, "approver", rows_text(h, 0, H_APPROVER));
    jw_str(w, "ticket", rows_text(h, 0, H_TICKET));
    jw_str(w, "person", rows_text(h, 0, H_PERSON));
    jw_int(w, "revision", rows_int(h, 0, H_REVISION));
    jw_int(w, "started_ms", rows_int(h, 0, H_STARTED));
    if (rows_null(h, 0, H_ENDED))
        jw_null(w, "ended_ms");
    else
        jw_int(w, "ended_ms", rows_int(h, 0, H_ENDED));
    jw_int(w, "predicted_p50_ms", rows_int(h, 0, H_P50));
    jw_int(w, "predicted_p95_ms", rows_int(h, 0, H_P95));
}

static void put_json(struct buf *out, const struct report *r)
{
    struct buf story = BUF_INIT;
    struct json_writer w;

    put_story(&story, r);
    jw_init(&w, out);
    w.pretty = true;
    jw_object(&w, NULL);
    json_head(&w, r, buf_text(&story));
    json_downtime(&w, r);
    jw_int(&w, "prediction_misses", misses(&r->rows[SECTION_STOPPED_VMS]));
    for (size_t i = 0; i < SECTIONS; i++)
        render_rows_json(&w, report_sections[i].key, &r->rows[i]);
    jw_object(&w, "log");
    jw_int(&w, "entries", (int64_t)r->pos.seq);
    jw_str(&w, "head", r->pos.hash);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_char(out, '\n');
    buf_clear(&story);
}

int render_report(struct buf *out, struct store *s, const char *run, enum report_form form, time_ms now,
                  bool lab, struct err *err)
{
    static void (*const put[])(struct buf *, const struct report *) = {
        [REPORT_TEXT] = put_text, [REPORT_MARKDOWN] = put_markdown, [REPORT_JSON] = put_json
    };
    struct report r = { .now = now, .lab = lab };
    int rc = report_ask(&r, s, run, err);

    if (rc == 0)
        put[form](out, &r);
    report_clear(&r);
    return rc;
}
