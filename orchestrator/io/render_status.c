#include "orchestrator/io/render_status.h"

#include "orchestrator/io/downtime_sum.h"
#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/render_hold.h"
#include "orchestrator/io/render_rows.h"

#include <string.h>

#define BAR_COLUMNS 24

static const char run_sql[] = "SELECT r.id, r.state, r.hold_reason, r.hold_verb, r.wave, r.started, r.ended, "
                              "r.left_p50, r.left_p95, r.end_text, r.stopped, "
                              "substr(r.plan, 1, 12) AS plan, p.kb, p.waves, r.failures, r.deviations, "
                              "r.epoch, r.person, r.last_seq, r.last_at, r.controller "
                              "FROM runs r JOIN plans p ON p.hash = r.plan WHERE r.id = ?";
enum {
    R_ID,
    R_STATE,
    R_HOLD,
    R_VERB,
    R_WAVE,
    R_STARTED,
    R_ENDED,
    R_P50,
    R_P95,
    R_END,
    R_STOPPED,
    R_PLAN,
    R_KB,
    R_WAVES
};

static const char waves_sql[] = "SELECT w.wave, w.state, w.nodes, (SELECT count(*) FROM run_nodes n WHERE "
                                "n.run = w.run AND n.wave = w.wave AND n.ending <> '') "
                                "AS ended, (SELECT count(*) FROM run_nodes n WHERE n.run = w.run AND n.wave "
                                "= w.wave AND n.is_out) AS out, w.failures, w.started, "
                                "w.ended AS ended_at FROM waves w WHERE w.run = ? ORDER BY w.wave";
enum { W_WAVE, W_STATE, W_NODES, W_ENDED, W_OUT, W_FAILURES };

static const char flight_sql[] =
    "SELECT node, cluster, phase, since, back, unknown, waits_for, reason, life FROM run_nodes WHERE run = ? "
    "AND ending = '' AND "
    "phase NOT IN ('pending', 'end') ORDER BY out_since IS NULL, out_since, node";
enum { F_NODE, F_CLUSTER, F_PHASE, F_SINCE, F_BACK, F_UNKNOWN, F_WAITS, F_REASON, F_LIFE };

static const char gates_sql[] =
    "SELECT name, type, wave, side, answer, done, samples, text FROM gates WHERE run = ? "
    "AND NOT (done AND answer = 'pass' AND samples = 0 AND type <> 'manual') ORDER BY n";
enum { G_NAME, G_TYPE, G_WAVE, G_SIDE, G_ANSWER, G_DONE, G_SAMPLES, G_TEXT };

static const char ends_sql[] = "SELECT ending, count(*) AS nodes FROM run_nodes WHERE run = ? AND ending <> "
                               "'' GROUP BY ending ORDER BY ending";
static const char troubles_sql[] =
    "SELECT node, ending, reason FROM run_nodes WHERE run = ? AND ending NOT IN ('', 'done', 'compliant', "
    "'rolled_back') ORDER BY node";

struct status_rows {
    struct rows run, waves, flight, gates, ends, troubles;
    struct downtime_sums down;
};

static void status_clear(struct status_rows *r)
{
    rows_clear(&r->run);
    rows_clear(&r->waves);
    rows_clear(&r->flight);
    rows_clear(&r->gates);
    rows_clear(&r->ends);
    rows_clear(&r->troubles);
    downtime_sums_clear(&r->down);
}

static int status_ask(struct store *s, const struct status_look *look, struct status_rows *r, struct err *err)
{
    int rc = store_ask(s, &r->run, err, run_sql, "s", look->run);

    if (rc == 0 && r->run.n != 1)
        rc = err_set(err, ERR_NOT_FOUND, "no run \"%s\"", look->run);
    if (rc == 0)
        rc = store_ask(s, &r->waves, err, waves_sql, "s", look->run);
    if (rc == 0)
        rc = store_ask(s, &r->flight, err, flight_sql, "s", look->run);
    if (rc == 0)
        rc = store_ask(s, &r->gates, err, gates_sql, "s", look->run);
    if (rc == 0)
        rc = store_ask(s, &r->ends, err, ends_sql, "s", look->run);
    if (rc == 0)
        rc = store_ask(s, &r->troubles, err, troubles_sql, "s", look->run);
    if (rc == 0)
        rc = downtime_sum(s, look->run, BY_RUN, look->now, 999900, &r->down, err);
    return rc;
}

static bool at_rest(const struct rows *run)
{
    return !rows_null(run, 0, R_ENDED);
}

static void put_times(struct buf *out, const struct rows *run, const struct status_look *look)
{
    char a[TIME_TEXT_MAX], b[TIME_TEXT_MAX], c[TIME_TEXT_MAX];
    time_ms started = rows_int(run, 0, R_STARTED), ended = rows_int(run, 0, R_ENDED);

    if (started == 0)
        return;
    if (at_rest(run)) {
        buf_printf(out, "  took %s, ended %.16sZ\n", dur_text(ended - started, a), time_text(ended, b));
        return;
    }
    buf_printf(out, "  since %.16sZ (%s)", time_text(started, a), dur_text(look->now - started, b));
    if (rows_int(run, 0, R_P95) > 0)
        buf_printf(out, "; left P50 %s, P95 %s; over about %.16sZ", dur_text(rows_int(run, 0, R_P50), a),
                   dur_text(rows_int(run, 0, R_P95), b), time_text(look->now + rows_int(run, 0, R_P50), c));
    buf_char(out, '\n');
}

static void put_head(struct buf *out, const struct rows *run, const struct status_look *look)
{
    buf_printf(out, "RUN %s  %s", rows_text(run, 0, R_ID), rows_text(run, 0, R_STATE));
    if (!at_rest(run))
        buf_printf(out, "  wave %s of %s", rows_text(run, 0, R_WAVE), rows_text(run, 0, R_WAVES));
    buf_printf(out, "  %s  plan %s%s\n", rows_text(run, 0, R_KB), rows_text(run, 0, R_PLAN),
               look->lab ? "  (simulated fleet)" : "");
    put_times(out, run, look);
    if (rows_text(run, 0, R_END)[0] != '\0') {
        buf_str(out, "  ");
        escape_terminal(out, rows_text(run, 0, R_END));
        buf_char(out, '\n');
    }
    if (rows_text(run, 0, R_HOLD)[0] != '\0') {
        buf_str(out, "  HOLDS: ");
        escape_terminal(out, rows_text(run, 0, R_HOLD));
        buf_str(out, "\n  ");
        render_hold_way(out, rows_text(run, 0, R_HOLD), rows_text(run, 0, R_VERB));
        buf_char(out, '\n');
    }
    if (!at_rest(run) && look->writer_pid == 0)
        buf_printf(out, "  no controller is running%s%s: `patchwave resume` goes on\n",
                   rows_null(run, 0, R_STOPPED) ? "" : ", it left: ", rows_text(run, 0, R_STOPPED));
}

static void put_waves(struct buf *out, const struct rows *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        int64_t nodes = rows_int(w, i, W_NODES), ended = rows_int(w, i, W_ENDED);
        int64_t full = nodes == 0 ? BAR_COLUMNS : ended * BAR_COLUMNS / nodes;
        int64_t out_cells = nodes == 0 ? 0 : (ended + rows_int(w, i, W_OUT)) * BAR_COLUMNS / nodes;

        buf_printf(out, "  wave %s  [", rows_text(w, i, W_WAVE));
        for (int64_t c = 0; c < BAR_COLUMNS; c++)
            buf_char(out, c < full ? '#' : c < out_cells ? '>' : '.');
        buf_printf(out, "]  %-12s %s of %s ended", rows_text(w, i, W_STATE), rows_text(w, i, W_ENDED),
                   rows_text(w, i, W_NODES));
        if (rows_int(w, i, W_OUT) > 0)
            buf_printf(out, ", %s out", rows_text(w, i, W_OUT));
        if (rows_int(w, i, W_FAILURES) > 0)
            buf_printf(out, ", %s failed", rows_text(w, i, W_FAILURES));
        buf_char(out, '\n');
    }
}

static bool has_passed(const struct rows *waves, const char *wave)
{
    for (uint32_t i = 0; i < waves->n; i++)
        if (strcmp(rows_text(waves, i, W_WAVE), wave) == 0)
            return strcmp(rows_text(waves, i, W_STATE), "passed") == 0;
    return false;
}

static void put_gates(struct buf *out, const struct rows *g, const struct rows *waves)
{
    for (uint32_t i = 0; i < g->n; i++) {
        bool done = rows_int(g, i, G_DONE) != 0;

        /* What passed, by itself or by promote, is in the report; here is what is watched or stands in the way. */
        if (done &&
            (strcmp(rows_text(g, i, G_ANSWER), "pass") == 0 || has_passed(waves, rows_text(g, i, G_WAVE))))
            continue;
        buf_printf(out, "  gate %s %s wave %s: ", rows_text(g, i, G_NAME), rows_text(g, i, G_SIDE),
                   rows_text(g, i, G_WAVE));
        buf_printf(out, "%s (%s samples)", done ? rows_text(g, i, G_ANSWER) : "watching",
                   rows_text(g, i, G_SAMPLES));
        if (rows_text(g, i, G_TEXT)[0] != '\0') {
            buf_str(out, ": ");
            escape_terminal(out, rows_text(g, i, G_TEXT));
        }
        buf_char(out, '\n');
    }
}

static void put_flight_line(struct buf *out, const struct rows *f, uint32_t i, const struct status_look *look)
{
    const char *waits = rows_text(f, i, F_WAITS);
    bool is_op = strncmp(waits, look->run, strlen(look->run)) == 0; /* ops bear the run's name */
    char since[TIME_TEXT_MAX];

    buf_printf(out, "  %-12s %-10s %s%-14s %10s%s", rows_text(f, i, F_NODE), rows_text(f, i, F_CLUSTER),
               rows_int(f, i, F_BACK) ? "back: " : "", rows_text(f, i, F_PHASE),
               dur_text(look->now - rows_int(f, i, F_SINCE), since),
               rows_int(f, i, F_UNKNOWN) ? "  UNKNOWN" : "");
    if (waits[0] != '\0') {
        buf_str(out, is_op ? "  step: " : "  waits: ");
        escape_terminal(out, waits);
    } else if (rows_text(f, i, F_REASON)[0] != '\0') {
        buf_str(out, "  ");
        escape_terminal(out, rows_text(f, i, F_REASON));
    }
    buf_char(out, '\n');
}

static void put_flight(struct buf *out, const struct rows *f, const struct status_look *look)
{
    uint32_t used = 0, shown = f->n;

    for (const char *p = buf_text(out); *p != '\0'; p++)
        used += *p == '\n';
    if (look->lines_max > 0 && used + shown + 4 > look->lines_max)
        shown = look->lines_max > used + 4 ? look->lines_max - used - 4 : 0;
    for (uint32_t i = 0; i < shown; i++)
        put_flight_line(out, f, i, look);
    if (shown < f->n)
        buf_printf(out, "  ... and %u more nodes under way\n", (unsigned)(f->n - shown));
}

static void put_ends(struct buf *out, const struct status_rows *r, uint32_t lines_max)
{
    for (uint32_t i = 0; i < r->ends.n; i++)
        buf_printf(out, "%s%s %s", i == 0 ? "  ended: " : ", ", rows_text(&r->ends, i, 1),
                   rows_text(&r->ends, i, 0));
    buf_str(out, r->ends.n > 0 ? "\n" : "");
    for (uint32_t i = 0; lines_max == 0 && i < r->troubles.n; i++) {
        buf_printf(out, "    %-12s %s: ", rows_text(&r->troubles, i, 0), rows_text(&r->troubles, i, 1));
        escape_terminal(out, rows_text(&r->troubles, i, 2));
        buf_char(out, '\n');
    }
}

static void put_downtime(struct buf *out, const struct downtime_sums *d)
{
    char vm[TIME_TEXT_MAX], node[TIME_TEXT_MAX], vmms[TIME_TEXT_MAX];

    buf_printf(out, "  downtime so far: VMs %s (%u VMs), nodes out %s, vmms stopped %s\n",
               dur_text(d->all.vm_ms, vm), (unsigned)d->all.vms, dur_text(d->all.node_out_ms, node),
               dur_text(d->all.vmms_ms, vmms));
}

int render_status(struct buf *out, struct store *s, const struct status_look *look, struct err *err)
{
    struct status_rows r = { 0 };
    int rc = status_ask(s, look, &r, err);

    if (rc == 0) {
        put_head(out, &r.run, look);
        put_waves(out, &r.waves);
        put_gates(out, &r.gates, &r.waves);
        put_ends(out, &r, look->lines_max);
        put_flight(out, &r.flight, look);
        put_downtime(out, &r.down);
    }
    status_clear(&r);
    return rc;
}

int render_status_json(struct json_writer *w, struct store *s, const struct status_look *look,
                       struct err *err)
{
    struct status_rows r = { 0 };
    int rc = status_ask(s, look, &r, err);

    if (rc == 0) {
        jw_object(w, NULL);
        render_rows_json(w, "run", &r.run);
        jw_int(w, "now", look->now);
        jw_int(w, "writer_pid", look->writer_pid);
        jw_bool(w, "simulated", look->lab);
        render_rows_json(w, "waves", &r.waves);
        render_rows_json(w, "gates", &r.gates);
        render_rows_json(w, "ends", &r.ends);
        render_rows_json(w, "troubles", &r.troubles);
        render_rows_json(w, "in_flight", &r.flight);
        jw_object(w, "downtime");
        jw_int(w, "vms", r.down.all.vms);
        jw_int(w, "vm_ms", r.down.all.vm_ms);
        jw_int(w, "node_out_ms", r.down.all.node_out_ms);
        jw_int(w, "vmms_stopped_ms", r.down.all.vmms_ms);
        jw_object_end(w);
        jw_object_end(w);
    }
    status_clear(&r);
    return rc;
}
