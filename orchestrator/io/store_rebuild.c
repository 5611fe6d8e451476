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
    rc = event_read(text, strlen(text), r->plan->inv, &r->pictures, &b->arena, &ev, err);
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

static int rebuild_all(struct rebuild *b, struct err *err)
{
    sqlite3_stmt *row = NULL;
    int step = SQLITE_DONE;
    int rc = empty_projections(b->s, err);

    if (rc == 0)
        rc = store_prepare(b->s, &row, err, "SELECT seq, run, kind, event, commands FROM log ORDER BY seq",
                           "");
    while (rc == 0 && (step = sqlite3_step(row)) == SQLITE_ROW)
        rc = rebuild_entry(b, row, err);
    if (rc == 0 && step != SQLITE_DONE)
        rc = store_fault(b->s->db, step, "read the log", err);
    if (row != NULL)
        sqlite3_reset(row);
    return rc;
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
