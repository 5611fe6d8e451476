#include "orchestrator/io/store_handover.h"

#include "orchestrator/core/event_names.h"
#include "orchestrator/io/render_rows.h"
#include "orchestrator/io/store_impl.h"
#include "schema/times.h"

#include <string.h>

struct source {
    struct store *s;
    const char *run;
    const struct plan *plan;
    struct handover_fold *fold;
    struct handover *now;
    struct err *err;
};

/* --- the log --- */

static int fold_entry(struct source *o, sqlite3_stmt *row, struct event_pictures *pictures, struct arena *a)
{
    const char *event = (const char *)sqlite3_column_text(row, 1);
    const char *commands = (const char *)sqlite3_column_text(row, 2);
    struct event ev;
    int rc = event_read(event, strlen(event), o->plan->inv, pictures, a, &ev, o->err);

    if (rc == 0 && ev.type == EV_HANDOVER)
        event_pictures_clear(pictures); /* the part that follows stands for itself */
    if (rc == 0)
        rc = handover_fold_event(o->fold, &ev, commands, o->err);
    if (rc == ERR_INVALID && o->err != NULL)
        rc = (int)(o->err->code = ERR_CORRUPT);
    return rc == 0 ? 0 : err_wrap(o->err, "log entry %lld", (long long)sqlite3_column_int64(row, 0));
}

static int fold_log(struct source *o)
{
    struct event_pictures pictures = { 0 };
    struct arena a = ARENA_INIT;
    sqlite3_stmt *row = NULL;
    int step = SQLITE_DONE;
    int rc = store_prepare(o->s, &row, o->err,
                           "SELECT seq, event, commands FROM log WHERE run = ? ORDER BY seq", "s", o->run);

    while (rc == 0 && (step = sqlite3_step(row)) == SQLITE_ROW) {
        rc = fold_entry(o, row, &pictures, &a);
        arena_clear(&a);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = store_fault(o->s->db, step, "read the log", o->err);
    if (row != NULL)
        sqlite3_reset(row);
    event_pictures_clear(&pictures);
    return rc;
}

/* --- the tables --- */

static int misread(const struct source *o, const char *table)
{
    return err_set(o->err, ERR_CORRUPT, "table %s has a word that this program does not know", table);
}

/* Which of `n` words it is; n: none. */
static uint32_t state_of(const char *text, const struct sm_state *states, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(states[i].name, text) == 0)
            return i;
    return n;
}

static uint32_t word_of(const char *text, const char *const *words, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return n;
}

static const char *keep(struct source *o, const struct rows *r, uint32_t row, uint32_t column)
{
    return handover_fold_keep(o->fold, rows_text(r, row, column));
}

static int read_run(struct source *o)
{
    struct rows r = { 0 };
    int rc = store_ask(o->s, &r, o->err,
                       "SELECT state, hold_reason, end_text, wave, failures, deviations, started, ended FROM "
                       "runs WHERE id = ?",
                       "s", o->run);
    uint32_t state = rc == 0 ? state_of(rows_text(&r, 0, 0), run_states, RUN_STATES) : 0;

    if (rc == 0 && state == RUN_STATES)
        rc = misread(o, "runs");
    if (rc == 0) {
        o->now->state = (enum run_state)state;
        o->now->hold_text = keep(o, &r, 0, 1);
        o->now->end_text = keep(o, &r, 0, 2);
        o->now->wave = (uint32_t)rows_int(&r, 0, 3) - 1;
        o->now->failures = (uint32_t)rows_int(&r, 0, 4);
        o->now->deviations = (uint32_t)rows_int(&r, 0, 5);
        o->now->started = rows_int(&r, 0, 6);
        o->now->ended = rows_int(&r, 0, 7);
    }
    rows_clear(&r);
    return rc;
}

static int read_node(struct source *o, const struct rows *r, uint32_t i)
{
    uint32_t ix = inventory_node(o->plan->inv, rows_text(r, i, 0));
    uint32_t phase = state_of(rows_text(r, i, 1), node_phases, NODE_PHASES);
    const char *ending = rows_text(r, i, 2);
    uint32_t end = ending[0] == '\0' ? NODE_END_NONE : word_of(ending, node_end_names, NODE_ENDS);
    struct handover_node *n;

    if (ix == IX_NONE || phase == NODE_PHASES || end == NODE_ENDS)
        return misread(o, "run_nodes");
    n = &o->now->nodes[ix];
    n->phase = (enum node_phase)phase;
    n->end = (enum node_end)end;
    n->back = rows_int(r, i, 3) != 0;
    n->out = rows_int(r, i, 4) != 0;
    n->life = (uint32_t)rows_int(r, i, 5);
    n->attempt = (uint32_t)rows_int(r, i, 6);
    n->since = rows_int(r, i, 7);
    n->out_since = rows_int(r, i, 8);
    n->out_until = rows_int(r, i, 9);
    n->reason =
        rows_int(r, i, 10) != 0 && end == NODE_END_NONE ? "" : keep(o, r, i, 11); /* a doubt is none */
    if (build_parse(rows_text(r, i, 12), &n->build_before, o->err) != 0 ||
        build_parse(rows_text(r, i, 13), &n->build_now, o->err) != 0)
        return misread(o, "run_nodes");
    return 0;
}

static int read_nodes(struct source *o)
{
    struct rows r = { 0 };
    int rc =
        store_ask(o->s, &r, o->err,
                  "SELECT node, phase, ending, back, is_out, life, attempt, since, out_since, out_until, "
                  "unknown, reason, build_before, build_now FROM run_nodes WHERE run = ?",
                  "s", o->run);

    for (uint32_t i = 0; rc == 0 && i < r.n; i++)
        rc = read_node(o, &r, i);
    rows_clear(&r);
    return rc;
}

static int read_waves(struct source *o)
{
    struct rows r = { 0 };
    int rc = store_ask(o->s, &r, o->err,
                       "SELECT wave, state, started, ended, failures FROM waves WHERE run = ?", "s", o->run);

    for (uint32_t i = 0; rc == 0 && i < r.n; i++) {
        uint32_t wave = (uint32_t)rows_int(&r, i, 0) - 1;
        uint32_t state = state_of(rows_text(&r, i, 1), wave_states, WAVE_STATES);

        if (wave >= o->now->n_waves || state == WAVE_STATES)
            rc = misread(o, "waves");
        else
            o->now->waves[wave] = (struct handover_wave){ (enum wave_state)state, rows_int(&r, i, 2),
                                                          rows_int(&r, i, 3), (uint32_t)rows_int(&r, i, 4) };
    }
    rows_clear(&r);
    return rc;
}

static int read_gate(struct source *o, const struct rows *r, uint32_t i)
{
    bool done = rows_int(r, i, 4) != 0;
    uint32_t answer = done ? word_of(rows_text(r, i, 3), gate_answer_names, 3) : ANSWER_UNKNOWN;

    if (answer == 3)
        return misread(o, "gates");
    o->now->gates[i] = (struct handover_gate){ .name = keep(o, r, i, 0),
                                               .wave = (uint32_t)rows_int(r, i, 1) - 1,
                                               .after = strcmp(rows_text(r, i, 2), "after") == 0,
                                               .answer = (enum gate_answer)answer,
                                               .done = done,
                                               .samples = (uint32_t)rows_int(r, i, 5),
                                               .started = rows_int(r, i, 6),
                                               .ended = rows_int(r, i, 7),
                                               .text = keep(o, r, i, 8) };
    return 0;
}

static int read_gates(struct source *o)
{
    struct rows r = { 0 };
    int rc =
        store_ask(o->s, &r, o->err,
                  "SELECT name, wave, side, answer, done, samples, started, ended, text FROM gates WHERE "
                  "run = ? ORDER BY n",
                  "s", o->run);

    if (rc == 0 &&
        (o->now->gates = ARENA_ARRAY(handover_fold_arena(o->fold), struct handover_gate, r.n)) == NULL)
        rc = err_set(o->err, ERR_NOMEM, "read gates");
    o->now->n_gates = rc == 0 ? r.n : 0;
    for (uint32_t i = 0; rc == 0 && i < r.n; i++)
        rc = read_gate(o, &r, i);
    rows_clear(&r);
    return rc;
}

static int read_row(struct source *o, const struct rows *r, uint32_t i)
{
    uint32_t subject = word_of(rows_text(r, i, 0), down_subject_names, DOWN_VMMS + 1);
    uint32_t cause = word_of(rows_text(r, i, 4), down_cause_names, CAUSE_CRASH + 1);

    if (subject > DOWN_VMMS || cause > CAUSE_CRASH)
        return misread(o, "downtime");
    o->now->rows[i] = (struct ledger_row){
        .subject = (enum down_subject)subject,
        .id = keep(o, r, i, 1),
        .node = rows_null(r, i, 2) ? IX_NONE : inventory_node(o->plan->inv, rows_text(r, i, 2)),
        .wave = rows_int(r, i, 3) == 0 ? IX_NONE : (uint32_t)rows_int(r, i, 3) - 1,
        .cause = (enum down_cause)cause,
        .step = keep(o, r, i, 5),
        .op = keep(o, r, i, 6),
        .how = keep(o, r, i, 7),
        .start = rows_int(r, i, 8),
        .end = rows_null(r, i, 9) ? rows_null(r, i, 14) ? TIME_NEVER : 0 : rows_int(r, i, 9),
        .predicted = { rows_int(r, i, 10), rows_int(r, i, 11), rows_int(r, i, 12) },
        .back = rows_int(r, i, 13) != 0
    };
    return 0;
}

static int read_rows(struct source *o)
{
    struct rows r = { 0 };
    int rc =
        store_ask(o->s, &r, o->err,
                  "SELECT subject, id, node, wave, cause, step, op, how, start_at, end_at, predicted_p5, "
                  "predicted_p50, predicted_p95, back, measured_ms FROM downtime WHERE run = ? ORDER BY n",
                  "s", o->run);

    if (rc == 0 && (o->now->rows = ARENA_ARRAY(handover_fold_arena(o->fold), struct ledger_row, r.n)) == NULL)
        rc = err_set(o->err, ERR_NOMEM, "read downtime");
    o->now->n_rows = rc == 0 ? r.n : 0;
    for (uint32_t i = 0; rc == 0 && i < r.n; i++)
        rc = read_row(o, &r, i);
    rows_clear(&r);
    return rc;
}

static int read_vms(struct source *o)
{
    const struct inventory *inv = o->plan->inv;
    struct rows r = { 0 };
    int rc = store_ask(o->s, &r, o->err, "SELECT id, node FROM vms ORDER BY id", "");

    for (uint32_t i = 0; rc == 0 && i < r.n; i++) {
        uint32_t vm = inventory_vm(inv, rows_text(&r, i, 0));

        if (vm != IX_NONE)
            handover_fold_vm(o->fold, inv->vms[vm].id, inv->vms[vm].cluster)->at =
                rows_null(&r, i, 1) ? IX_NONE : inventory_node(inv, rows_text(&r, i, 1));
    }
    rows_clear(&r);
    return rc;
}

int store_handover(struct store *s, const char *run, const struct plan *plan, struct handover_fold **ret_fold,
                   const struct handover **ret_state, struct err *err)
{
    struct source o = { .s = s, .run = run, .plan = plan, .err = err };
    int (*const steps[])(struct source *) = { fold_log,   read_run,  read_nodes, read_waves,
                                              read_gates, read_rows, read_vms };
    int rc = handover_fold_new(plan, &o.fold, err);

    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++) {
        o.now = handover_fold_now(o.fold);
        rc = steps[i](&o);
    }
    if (rc == 0)
        rc = handover_fold_end(o.fold, ret_state, err);
    if (rc != 0) {
        handover_fold_free(o.fold);
        return err_wrap(err, "projected state of run %s", run);
    }
    *ret_fold = o.fold;
    return 0;
}

struct in_flight {
    struct rows nodes, ops;
};

static int in_flight_ask(struct store *s, const char *run, struct in_flight *f, struct err *err)
{
    int rc = store_ask(
        s, &f->nodes, err,
        "SELECT node, phase, ending AS 'end', unknown, reason FROM run_nodes WHERE run = ? AND (is_out OR "
        "unknown) ORDER BY node",
        "s", run);

    return rc != 0
               ? rc
               : store_ask(
                     s, &f->ops, err,
                     "SELECT op, node, state FROM steps WHERE run = ? AND state <> 'done' AND witness <> "
                     "'done' AND (action = 'cluster_setting' OR action = 'move_vm' OR node IN (SELECT node "
                     "FROM run_nodes WHERE run = ? AND (is_out OR unknown))) ORDER BY seq",
                     "ss", run, run);
}

static void in_flight_clear(struct in_flight *f)
{
    rows_clear(&f->nodes);
    rows_clear(&f->ops);
}

int store_in_flight(struct store *s, const char *run, struct buf *out, struct err *err)
{
    struct in_flight f = { 0 };
    const struct rows *n = &f.nodes;
    int rc = in_flight_ask(s, run, &f, err);

    if (rc == 0 && f.nodes.n + f.ops.n == 0)
        buf_printf(out, "nothing was in flight\n");
    for (uint32_t i = 0; rc == 0 && i < n->n; i++)
        buf_printf(out, "was in flight: %s is %s%s%s%s\n", rows_text(n, i, 0),
                   rows_text(n, i, rows_text(n, i, 2)[0] != '\0' ? 2 : 1),
                   rows_int(n, i, 3) != 0 ? ", unknown" : "", rows_text(n, i, 4)[0] == '\0' ? "" : ": ",
                   rows_text(n, i, 4));
    for (uint32_t i = 0; rc == 0 && i < f.ops.n; i++)
        buf_printf(out, "no end is known of %s (%s)\n", rows_text(&f.ops, i, 0), rows_text(&f.ops, i, 2));
    in_flight_clear(&f);
    return rc;
}

int store_in_flight_json(struct store *s, const char *run, struct json_writer *w, struct err *err)
{
    struct in_flight f = { 0 };
    int rc = in_flight_ask(s, run, &f, err);

    if (rc == 0) {
        render_rows_json(w, "nodes", &f.nodes);
        render_rows_json(w, "ops", &f.ops);
    }
    in_flight_clear(&f);
    return rc;
}
