/* Statements, arguments, rows, and SQLite's errors as ours. */
#include "orchestrator/io/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int sqlite;
    enum err_code code;
    const char *text;
} faults[] = {
    { SQLITE_FULL, ERR_FULL, "the disk is full" },
    { SQLITE_READONLY, ERR_READONLY, "the file or its folder cannot be written" },
    { SQLITE_CORRUPT, ERR_CORRUPT,
      "the file is damaged: `patchwave db check` looks it through; put a backup, or the copy of `--mirror`, "
      "in its "
      "place and go on by `patchwave takeover`" },
    { SQLITE_NOTADB, ERR_CORRUPT, "the file is not a patchwave database" },
    { SQLITE_BUSY, ERR_LOCKED, "another program holds the file" },
    { SQLITE_PROTOCOL, ERR_LOCKED, "other programs hold the file again and again" },
    { SQLITE_LOCKED, ERR_LOCKED, "the table is in use" },
    { SQLITE_CANTOPEN, ERR_IO, "the file cannot be opened" },
    { SQLITE_PERM, ERR_READONLY, "no permission" },
    { SQLITE_NOMEM, ERR_NOMEM, "out of memory" },
    { SQLITE_IOERR, ERR_IO, "input/output error" },
    { SQLITE_CONSTRAINT, ERR_INTERNAL, "a constraint does not hold" },
};

static const char *name_of(sqlite3 *db)
{
    const char *name = db == NULL ? NULL : sqlite3_db_filename(db, "main");

    return name == NULL ? "" : name;
}

int store_fault(sqlite3 *db, int sqlite_code, const char *doing, struct err *err)
{
    const char *why = db == NULL ? sqlite3_errstr(sqlite_code) : sqlite3_errmsg(db);
    int os = db == NULL ? 0 : sqlite3_system_errno(db);
    enum err_code code = ERR_INTERNAL;
    const char *text = "SQLite failed";

    /* SQLite reports a full disk under the shared-memory file or the log as an I/O error. */
    if (((sqlite_code & 0xff) == SQLITE_IOERR || (sqlite_code & 0xff) == SQLITE_CANTOPEN) &&
        (os == ENOSPC || os == EDQUOT))
        sqlite_code = SQLITE_FULL;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i].sqlite == (sqlite_code & 0xff)) {
            code = faults[i].code;
            text = faults[i].text;
        }
    if (doing == NULL)
        err_set(err, code, "%s (%s)", text, why);
    else
        err_set(err, code, "%s: %s (%s)", doing, text, why);
    if (doing == NULL || name_of(db)[0] == '\0' || strcmp(doing, name_of(db)) != 0)
        err_wrap(err, "%s", name_of(db)[0] == '\0' ? "database" : name_of(db));
    return (int)code;
}

int store_exec(sqlite3 *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : store_fault(db, rc, NULL, err);
}

static void bind_time(sqlite3_stmt *stmt, int at, time_ms when)
{
    if (when == 0 || when == TIME_NEVER)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_int64(stmt, at, when);
}

static void bind_all(sqlite3_stmt *stmt, const char *types, va_list args)
{
    for (int i = 0; types[i] != '\0'; i++) {
        if (types[i] == 's')
            sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        else if (types[i] == 't')
            bind_time(stmt, i + 1, va_arg(args, time_ms));
        else
            sqlite3_bind_int64(stmt, i + 1, va_arg(args, int64_t));
    }
}

/* The cache is open-addressed by the literal's address; it never shrinks and is larger than the number of literals. */
static int cached(struct store *s, const char *sql, sqlite3_stmt **ret_stmt, struct err *err)
{
    size_t at = ((uintptr_t)sql >> 4) % STORE_STATEMENTS;
    int rc;

    for (size_t i = 0; i < STORE_STATEMENTS; i++, at = (at + 1) % STORE_STATEMENTS) {
        if (s->cache[at].sql == sql) {
            *ret_stmt = s->cache[at].stmt;
            return 0;
        }
        if (s->cache[at].sql == NULL)
            break;
    }
    if (s->cache[at].sql != NULL)
        return err_set(err, ERR_INTERNAL, "more statements than the cache holds");
    rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->cache[at].stmt, NULL);
    if (rc != SQLITE_OK)
        return store_fault(s->db, rc, NULL, err);
    s->cache[at].sql = sql;
    *ret_stmt = s->cache[at].stmt;
    return 0;
}

static int prepare_with(struct store *s, sqlite3_stmt **ret_stmt, struct err *err, const char *sql,
                        const char *types, va_list args)
{
    int rc = cached(s, sql, ret_stmt, err);

    if (rc != 0)
        return rc;
    sqlite3_reset(*ret_stmt);
    bind_all(*ret_stmt, types, args);
    return 0;
}

int store_prepare(struct store *s, sqlite3_stmt **ret_stmt, struct err *err, const char *sql,
                  const char *types, ...)
{
    va_list args;
    int rc;

    va_start(args, types);
    rc = prepare_with(s, ret_stmt, err, sql, types, args);
    va_end(args);
    return rc;
}

int store_do(struct store *s, struct err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *stmt = NULL;
    va_list args;
    int rc;

    va_start(args, types);
    rc = prepare_with(s, &stmt, err, sql, types, args);
    va_end(args);
    if (rc != 0)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        rc = store_fault(s->db, rc, NULL, err);
    else
        rc = 0;
    sqlite3_reset(stmt);
    return rc;
}

int store_int(struct store *s, int64_t otherwise, int64_t *ret_value, struct err *err, const char *sql,
              const char *types, ...)
{
    sqlite3_stmt *stmt = NULL;
    va_list args;
    int rc;

    va_start(args, types);
    rc = prepare_with(s, &stmt, err, sql, types, args);
    va_end(args);
    if (rc != 0)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_type(stmt, 0) == SQLITE_NULL ? otherwise : sqlite3_column_int64(stmt, 0);
    else if (rc == SQLITE_DONE)
        *ret_value = otherwise;
    rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_fault(s->db, rc, NULL, err);
    sqlite3_reset(stmt);
    return rc;
}

int store_begin(struct store *s, struct err *err)
{
    return store_do(s, err, "BEGIN IMMEDIATE", "");
}

int store_commit(struct store *s, struct err *err)
{
    int rc = store_do(s, err, "COMMIT", "");

    if (rc != 0)
        store_rollback(s);
    return rc;
}

void store_rollback(struct store *s)
{
    /* A full disk may have rolled back already. */
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static int read_row(struct rows *r, sqlite3_stmt *stmt, struct buf *cells, struct buf *kinds, struct err *err)
{
    for (int c = 0; c < (int)r->n_columns; c++) {
        int type = sqlite3_column_type(stmt, c);
        const char *text = (const char *)sqlite3_column_text(stmt, c);
        const char *kept = text == NULL ? NULL : arena_str(&r->arena, text);

        if (text != NULL && kept == NULL)
            return err_set(err, ERR_NOMEM, "read rows");
        buf_add(cells, &kept, sizeof kept);
        buf_char(kinds, type == SQLITE_NULL ? 'n' : type == SQLITE_INTEGER ? 'i' : 's');
    }
    r->n++;
    return 0;
}

static int read_names(struct rows *r, sqlite3_stmt *stmt, struct err *err)
{
    r->n_columns = (uint32_t)sqlite3_column_count(stmt);
    r->names = ARENA_ARRAY(&r->arena, const char *, r->n_columns);
    if (r->names == NULL)
        return err_set(err, ERR_NOMEM, "read rows");
    for (int c = 0; c < (int)r->n_columns; c++)
        r->names[c] = arena_str(&r->arena, sqlite3_column_name(stmt, c));
    return 0;
}

static int read_rows(struct store *s, struct rows *r, sqlite3_stmt *stmt, struct err *err)
{
    struct buf cells = BUF_INIT, kinds = BUF_INIT;
    int rc = read_names(r, stmt, err), step;

    while (rc == 0 && (step = sqlite3_step(stmt)) != SQLITE_DONE)
        rc = step == SQLITE_ROW ? read_row(r, stmt, &cells, &kinds, err)
                                : store_fault(s->db, step, "read rows", err);
    if (rc == 0) {
        r->cells = ARENA_ARRAY(&r->arena, const char *, (size_t)r->n * r->n_columns + 1);
        r->kinds = arena_strn(&r->arena, buf_text(&kinds), kinds.len);
        if (r->cells == NULL || r->kinds == NULL || cells.failed || kinds.failed)
            rc = err_set(err, ERR_NOMEM, "read rows");
    }
    if (rc == 0 && cells.len > 0) {
        assert(r->cells != NULL && cells.data != NULL);
        memcpy(r->cells, cells.data, cells.len);
    }
    buf_clear(&cells);
    buf_clear(&kinds);
    return rc;
}

int store_ask(struct store *s, struct rows *ret_rows, struct err *err, const char *sql, const char *types,
              ...)
{
    struct rows r = { 0 };
    sqlite3_stmt *stmt = NULL;
    va_list args;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return store_fault(s->db, rc, "ask the database", err);
    va_start(args, types);
    bind_all(stmt, types, args);
    va_end(args);
    rc = read_rows(s, &r, stmt, err);
    sqlite3_finalize(stmt);
    if (rc != 0) {
        rows_clear(&r);
        return rc;
    }
    *ret_rows = r;
    return 0;
}

void rows_clear(struct rows *r)
{
    arena_clear(&r->arena);
    *r = (struct rows){ 0 };
}

const char *rows_text(const struct rows *r, uint32_t row, uint32_t column)
{
    const char *cell = r->cells[(size_t)row * r->n_columns + column];

    return cell == NULL ? "" : cell;
}

int64_t rows_int(const struct rows *r, uint32_t row, uint32_t column)
{
    return strtoll(rows_text(r, row, column), NULL, 10);
}

bool rows_null(const struct rows *r, uint32_t row, uint32_t column)
{
    return r->cells[(size_t)row * r->n_columns + column] == NULL;
}
