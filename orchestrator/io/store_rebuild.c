#include "orchestrator/io/store_rebuild.h"

#include "orchestrator/core/runner.h"
#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_migrate.h"
#include "orchestrator/io/store_project.h"
#include "orchestrator/io/store_record.h"
#include "schema/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Children before parents, for deleting. */
static const char *const projections[] = { "verbs",     "notes",     "downtime",   "evidence", "gates",
                                           "steps",     "run_nodes", "waves",      "runs",     "hostkeys",
                                           "approvals", "plans",     "consents",   "patches",  "vms",
                                           "nodes",     "clusters",  "inventories" };
#define PROJECTIONS (sizeof projections / sizeof projections[0])

/* A run that is being made again: runs may lie interleaved in the log. */
struct rerun {
    char *id;
    struct plan *plan;
    struct engine *engine;
    struct runner runner;
    struct projector *projector;
    struct event_pictures pictures;
    uint64_t from; /* the entry from which on this program's engine decides */
};
struct rebuild {
    struct store *s;
    struct arena arena; /* of one event */
    struct {
        struct rerun **items;
        uint32_t n, cap;
    } runs;
};

static void rerun_free(struct rerun *r)
{
    if (r == NULL)
        return;
    if (r->engine != NULL)
        runner_clear(&r->runner);
    engine_free(r->engine);
    projector_free(r->projector);
    event_pictures_clear(&r->pictures);
    plan_free(r->plan);
    free(r->id);
    free(r);
}

/* Another revision's entries are not decided anew (CONTRIBUTING.md). UINT64_MAX: all are. */
static int decides_from(struct rebuild *b, const char *id, uint64_t *ret_from, struct err *err)
{
    struct rows r = { 0 };
    int rc =
        store_ask(b->s, &r, err,
                  "SELECT seq, kind, json_extract(event, '$.revision') FROM log WHERE run = ? AND kind IN "
                  "('run_start', 'handover') ORDER BY seq DESC LIMIT 1",
                  "s", id);

    if (rc == 0)
        *ret_from = r.n == 0 || rows_int(&r, 0, 2) == (int64_t)engine_revision ? (uint64_t)rows_int(&r, 0, 0)
                                                                               : UINT64_MAX;
    rows_clear(&r);
    return rc;
}

static int rerun_new(struct rebuild *b, const char *id, const char *event, struct rerun **ret_run,
                     struct err *err)
{
    struct rerun *r = calloc(1, sizeof *r), **slot;
    struct json_doc *doc = NULL;
    int rc;

    if (r == NULL || (r->id = strdup(id)) == NULL) {
        free(r);
        return err_set(err, ERR_NOMEM, "rebuild run %s", id);
    }
    rc = json_parse("event", event, strlen(event), &doc, err);
    if (rc == 0)
        rc = store_load_plan(b->s, json_get_str(json_root(doc), "plan_hash", "none"), &r->plan, err);
    if (rc == 0)
        rc = engine_new(r->plan, &r->engine, err);
    if (rc == 0)
        rc = decides_from(b, id, &r->from, err);
    if (rc == 0) {
        runner_init(&r->runner, r->engine, NULL, NULL);
        rc = projector_new(b->s, id, r->plan, &r->projector, err);
    }
    json_free(doc);
    slot = rc == 0 ? list_push(&b->runs) : NULL;
    if (slot == NULL) {
        rerun_free(r);
        return rc != 0 ? rc : err_set(err, ERR_NOMEM, "rebuild run %s", id);
    }
    *ret_run = *slot = r;
    return 0;
}

/* The run of that name, made when its first event comes. */
static int rerun_of(struct rebuild *b, const char *id, const char *event, struct rerun **ret_run,
                    struct err *err)
{
    for (uint32_t i = 0; i < b->runs.n; i++)
        if (strcmp(b->runs.items[i]->id, id) == 0) {
            *ret_run = b->runs.items[i];
            return 0;
        }
    return rerun_new(b, id, event, ret_run, err);
}

static int rebuild_event(struct rebuild *b, uint64_t seq, const char *run, const char *text,
                         const char *commands, struct err *err)
{
    struct rerun *r = NULL;
    struct event ev;
    int rc = rerun_of(b, run, text, &r, err);

    if (rc != 0 || r == NULL)
        return rc;
    if (seq == r->from)
        event_pictures_clear(&r->pictures);
    rc = event_read(text, strlen(text), r->plan->inv, &r->pictures, &b->arena, &ev, err);
    if (rc == 0 && seq < r->from) {
        rc = projector_told(r->projector, seq, &ev, commands, err);
        arena_clear(&b->arena);
        return rc;
    }
    if (rc == 0)
        rc = runner_replay(&r->runner, &ev, commands, err);
    if (rc == 0)
        rc = projector_write(r->projector, seq, &ev, &r->runner.commands, r->engine, err);
    arena_clear(&b->arena);
    return rc;
}

static int rebuild_entry(struct rebuild *b, sqlite3_stmt *row, struct err *err)
{
    uint64_t seq = (uint64_t)sqlite3_column_int64(row, 0);
    const char *run = (const char *)sqlite3_column_text(row, 1);
    const char *kind = (const char *)sqlite3_column_text(row, 2);
    const char *event = (const char *)sqlite3_column_text(row, 3);
    const char *commands = (const char *)sqlite3_column_text(row, 4);
    int rc = run == NULL ? store_project_record(b->s, seq, kind, event, err)
                         : rebuild_event(b, seq, run, event, commands, err);

    return rc == 0 ? 0 : err_wrap(err, "log entry %llu", (unsigned long long)seq);
}

static int empty_projections(struct store *s, struct err *err)
{
    struct buf sql = BUF_INIT;
    int rc;

    for (size_t i = 0; i < PROJECTIONS; i++)
        buf_printf(&sql, "DELETE FROM %s;", projections[i]);
    rc = sql.failed ? err_set(err, ERR_NOMEM, "rebuild") : store_exec(s->db, buf_text(&sql), err);
    buf_clear(&sql);
    return rc;
}

/* What an engine of another revision showed of its runs cannot be made again: it is carried over as it is. The places of
 * VMs too, if such a run was the last to tell them. */
static int keep_others(struct store *s, struct err *err)
{
    int rc = store_exec(s->db, "CREATE TEMP TABLE mine (revision INTEGER NOT NULL)", err);

    if (rc == 0)
        rc = store_do(s, err, "INSERT INTO temp.mine VALUES (?)", "i", (int64_t)engine_revision);
    if (rc != 0)
        return rc;
    return store_exec(
        s->db,
        "PRAGMA defer_foreign_keys = ON;"
        "CREATE TEMP TABLE others AS SELECT id FROM runs WHERE revision <> (SELECT revision FROM temp.mine);"
        "CREATE TEMP TABLE kept_runs AS SELECT * FROM runs WHERE id IN others;"
        "CREATE TEMP TABLE kept_run_nodes AS SELECT * FROM run_nodes WHERE run IN others;"
        "CREATE TEMP TABLE kept_waves AS SELECT * FROM waves WHERE run IN others;"
        "CREATE TEMP TABLE kept_gates AS SELECT * FROM gates WHERE run IN others;"
        "CREATE TEMP TABLE kept_downtime AS SELECT * FROM downtime WHERE run IN others;"
        "CREATE TEMP TABLE kept_places AS SELECT id, node FROM vms WHERE (SELECT run FROM log WHERE run IS "
        "NOT NULL OR "
        "kind = 'inventory' ORDER BY seq DESC LIMIT 1) IN others;",
        err);
}

static int give_back_others(struct store *s, struct err *err)
{
    return store_exec(
        s->db,
        "INSERT OR REPLACE INTO runs SELECT * FROM kept_runs;"
        "INSERT OR REPLACE INTO run_nodes SELECT * FROM kept_run_nodes;"
        "INSERT OR REPLACE INTO waves SELECT * FROM kept_waves;"
        "INSERT OR REPLACE INTO gates SELECT * FROM kept_gates;"
        "INSERT OR REPLACE INTO downtime SELECT * FROM kept_downtime;"
        "UPDATE vms SET node = (SELECT node FROM kept_places k WHERE k.id = vms.id) WHERE id IN (SELECT id "
        "FROM kept_places);",
        err);
}

static void forget_others(struct store *s)
{
    (void)store_exec(s->db,
                     "DROP TABLE IF EXISTS temp.mine; DROP TABLE IF EXISTS temp.others;"
                     "DROP TABLE IF EXISTS temp.kept_runs; DROP TABLE IF EXISTS temp.kept_run_nodes;"
                     "DROP TABLE IF EXISTS temp.kept_waves; DROP TABLE IF EXISTS temp.kept_gates;"
                     "DROP TABLE IF EXISTS temp.kept_downtime; DROP TABLE IF EXISTS temp.kept_places;",
                     NULL);
}

static int rebuild_all(struct rebuild *b, struct err *err)
{
    sqlite3_stmt *row = NULL;
    int step = SQLITE_DONE;
    int64_t others = 0;
    int rc = store_int(b->s, 0, &others, err, "SELECT count(*) FROM runs WHERE revision <> ?", "i",
                       (int64_t)engine_revision);

    if (rc == 0 && others > 0)
        rc = keep_others(b->s, err);
    if (rc == 0)
        rc = empty_projections(b->s, err);

    if (rc == 0)
        rc = store_prepare(b->s, &row, err, "SELECT seq, run, kind, event, commands FROM log ORDER BY seq",
                           "");
    while (rc == 0 && (step = sqlite3_step(row)) == SQLITE_ROW)
        rc = rebuild_entry(b, row, err);
    if (rc == 0 && step != SQLITE_DONE)
        rc = store_fault(b->s->db, step, "read the log", err);
    if (row != NULL)
        sqlite3_reset(row);
    return rc == 0 && others > 0 ? give_back_others(b->s, err) : rc;
}

int store_rebuild(struct store *s, struct err *err)
{
    struct rebuild b = { .s = s };
    int rc = store_begin(s, err);

    if (rc == 0)
        rc = rebuild_all(&b, err);
    if (rc == 0)
        rc = store_commit(s, err);
    else
        store_rollback(s);
    forget_others(s);
    for (uint32_t i = 0; i < b.runs.n; i++)
        rerun_free(b.runs.items[i]);
    list_clear(&b.runs);
    return rc == 0 ? 0 : err_wrap(err, "rebuild");
}

static int hash_table(struct store *s, const char *table, struct sha256 *h, struct err *err)
{
    struct buf sql = BUF_INIT;
    struct rows r = { 0 };
    int rc;

    buf_printf(&sql, "SELECT * FROM %s ORDER BY 1, 2, 3", table);
    rc = store_ask(s, &r, err, buf_text(&sql), "");
    sha256_add(h, table, strlen(table) + 1);
    for (uint32_t i = 0; rc == 0 && i < r.n; i++)
        for (uint32_t c = 0; c < r.n_columns; c++) {
            sha256_add(h, &r.kinds[(size_t)i * r.n_columns + c], 1);
            sha256_add(h, rows_text(&r, i, c), strlen(rows_text(&r, i, c)) + 1);
        }
    rows_clear(&r);
    buf_clear(&sql);
    return rc;
}

int store_projections_hash(struct store *s, char out[SHA256_TEXT], struct err *err)
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 h;
    int rc = 0;

    sha256_init(&h);
    for (size_t i = 0; rc == 0 && i < PROJECTIONS; i++)
        rc = hash_table(s, projections[i], &h, err);
    sha256_end(&h, digest);
    sha256_hex(digest, out);
    return rc;
}

static int check_pragma(struct store *s, const char *pragma, const char *fine, struct buf *out,
                        uint32_t *faults, struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err, pragma, "");

    for (uint32_t i = 0; rc == 0 && i < r.n; i++)
        if (strstr(rows_text(&r, i, 0), "unable to get the page") != NULL) {
            /* What the disk would not give is told as if it were damage. */
            rc = err_set(err, ERR_IO, "%s: %s", s->path, rows_text(&r, i, 0));
        } else if (strcmp(rows_text(&r, i, 0), fine) != 0) {
            buf_printf(out, "%s: %s\n", pragma, rows_text(&r, i, 0));
            ++*faults;
        }
    rows_clear(&r);
    return rc;
}

static void check_link(sqlite3_stmt *row, struct log_position *head, struct buf *out, uint32_t *faults)
{
    uint64_t seq = (uint64_t)sqlite3_column_int64(row, 0);
    char hash[SHA256_TEXT];

    if (seq != head->seq + 1) {
        buf_printf(out, "log: entries %llu to %llu are missing\n", (unsigned long long)head->seq + 1,
                   (unsigned long long)seq - 1);
        ++*faults;
    }
    log_chain(head->hash, (const char *)sqlite3_column_text(row, 1),
              (const char *)sqlite3_column_text(row, 2), hash);
    if (strcmp(hash, (const char *)sqlite3_column_text(row, 3)) != 0) {
        buf_printf(out, "log: entry %llu was altered, or the one before it\n", (unsigned long long)seq);
        ++*faults;
    }
    head->seq = seq;
    snprintf(head->hash, sizeof head->hash, "%s", (const char *)sqlite3_column_text(row, 3));
}

static int check_chain(struct store *s, struct buf *out, uint32_t *faults, struct err *err)
{
    struct log_position head = { 0 };
    sqlite3_stmt *row = NULL;
    int step = SQLITE_DONE;
    int rc = store_prepare(s, &row, err, "SELECT seq, event, commands, hash FROM log ORDER BY seq", "");

    while (rc == 0 && *faults < 20 && (step = sqlite3_step(row)) == SQLITE_ROW)
        check_link(row, &head, out, faults);
    if (rc == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        rc = store_fault(s->db, step, "read the log", err);
    if (row != NULL)
        sqlite3_reset(row);
    return rc;
}

int store_check(struct store *s, struct buf *out, uint32_t *ret_faults, struct err *err)
{
    uint32_t faults = 0;
    int rc = check_pragma(s, "PRAGMA integrity_check(20)", "ok", out, &faults, err);

    if (rc == 0)
        rc = check_pragma(s, "PRAGMA foreign_key_check", "", out, &faults, err);
    if (rc == 0)
        rc = check_chain(s, out, &faults, err);
    if (rc == 0)
        *ret_faults = faults;
    return rc;
}

int store_backup(struct store *s, const char *to, struct err *err)
{
    return store_copy(s->db, to, err) == 0 ? 0 : err_wrap(err, "backup");
}
