#include "agent/io/journal.h"

#include "agent/io/os.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct journal {
    sqlite3 *db;
    sqlite3_stmt *append;
    char *path;
    char id[AGENT_HEX_ID];
};

/* Records are never changed, and only those of acknowledged ops (the ack last)
 * and claims and boots that later ones replaced may go (C.8). */
static const char *const steps[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE record(n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, op TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL, boot_id TEXT NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE INDEX record_op ON record(op) WHERE op <> '';"
    "CREATE TRIGGER record_no_change BEFORE UPDATE ON record BEGIN SELECT raise(ABORT, 'records are never "
    "changed'); END;"
    "CREATE TRIGGER record_no_loss BEFORE DELETE ON record"
    " WHEN (OLD.op = '' AND NOT EXISTS (SELECT 1 FROM record WHERE kind = OLD.kind AND n > OLD.n))"
    " OR (OLD.op <> '' AND NOT EXISTS (SELECT 1 FROM record WHERE op = OLD.op AND kind = 'ack'))"
    " OR (OLD.kind = 'ack' AND EXISTS (SELECT 1 FROM record WHERE op = OLD.op AND kind <> 'ack'))"
    " BEGIN SELECT raise(ABORT, 'this record is still needed'); END;",
};

static int fail(const struct journal *j, struct err *err, const char *what)
{
    static const struct {
        int sqlite;
        enum err_code code;
    } codes[] = {
        { SQLITE_FULL, ERR_FULL },     { SQLITE_CORRUPT, ERR_CORRUPT },   { SQLITE_NOTADB, ERR_CORRUPT },
        { SQLITE_NOMEM, ERR_NOMEM },   { SQLITE_READONLY, ERR_READONLY }, { SQLITE_BUSY, ERR_LOCKED },
        { SQLITE_LOCKED, ERR_LOCKED }, { SQLITE_PROTOCOL, ERR_LOCKED },   { SQLITE_CONSTRAINT, ERR_STATE },
    };
    int rc = j->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(j->db) & 0xff;
    const char *why = j->db == NULL ? "out of memory" : sqlite3_errmsg(j->db);
    enum err_code code = ERR_IO;

    /* SQLite reports a full disk under the shared-memory file or the log as an I/O error. */
    if ((rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN) && os_disk_is_full(sqlite3_system_errno(j->db)))
        rc = SQLITE_FULL;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].sqlite == rc)
            code = codes[i].code;
    return err_set(err, code, "journal %s: %s: %s", j->path, what, why);
}

static int run(const struct journal *j, const char *sql, const char *what, struct err *err)
{
    return sqlite3_exec(j->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(j, err, what);
}

/* The first column of the first row, as text; "" when there is none. */
static int ask(const struct journal *j, const char *sql, const char *key, struct buf *out, struct err *err)
{
    sqlite3_stmt *s = NULL;
    const char *text;
    int rc;

    if (sqlite3_prepare_v2(j->db, sql, -1, &s, NULL) != SQLITE_OK)
        return fail(j, err, "read");
    if (key != NULL)
        sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    buf_reset(out);
    rc = sqlite3_step(s);
    text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : "";
    if (text != NULL)
        buf_str(out, text);
    if (text == NULL || out->failed)
        rc = err_set(err, ERR_NOMEM, "journal %s", j->path);
    else
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : fail(j, err, "read");
    sqlite3_finalize(s);
    return rc;
}

static int get_meta(const struct journal *j, const char *key, struct buf *out, struct err *err)
{
    return ask(j, "SELECT value FROM meta WHERE key = ?1", key, out, err);
}

static int set_meta(const struct journal *j, const char *key, const char *value, struct err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(j->db, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)", -1, &s, NULL) != SQLITE_OK)
        return fail(j, err, "write");
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        rc = fail(j, err, "write");
    sqlite3_finalize(s);
    return rc;
}

static int user_version(const struct journal *j, int *ret, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc = ask(j, "PRAGMA user_version", NULL, &text, err);

    *ret = (int)strtol(buf_text(&text), NULL, 10);
    buf_clear(&text);
    return rc;
}

/* The op that makes an upgrade wait; NULL. */
static const char *open_op(const struct journal_fold *f)
{
    for (uint32_t i = 0; i < f->n_ops; i++)
        if (!f->ops[i]->acked && f->ops[i]->state != AGENT_OP_DONE)
            return f->ops[i]->id;
    return NULL;
}

static int apply_step(const struct journal *j, const char *sql, int version, struct err *err)
{
    char pragma[64];
    int rc = run(j, "BEGIN IMMEDIATE", "migrate", err);

    sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version = %d", version);
    if (rc == 0)
        rc = run(j, sql, "migrate", err);
    if (rc == 0)
        rc = run(j, pragma, "migrate", err);
    if (rc == 0)
        rc = run(j, "COMMIT", "migrate", err);
    if (rc != 0)
        (void)sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int refuse_open(struct journal *j, struct err *err)
{
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    int rc = journal_load(j, &fold, err);
    const char *op = rc == 0 ? open_op(&fold) : NULL;

    if (op != NULL)
        rc = err_set(err, ERR_STATE, "op %s is open: let the version that began it end it, then upgrade", op);
    journal_fold_clear(&fold);
    return rc;
}

int journal_migrate(struct journal *j, const char *const *sql, int n_steps, struct err *err)
{
    int version = 0;
    int rc = user_version(j, &version, err);

    if (rc == 0 && version > n_steps)
        return err_set(err, ERR_VERSION,
                       "journal: its schema is %d, this program knows %d: use the newer program", version,
                       n_steps);
    if (rc == 0 && version > 0 && version < n_steps)
        rc = refuse_open(j, err);
    for (; rc == 0 && version < n_steps; version++)
        rc = apply_step(j, sql[version], version + 1, err);
    return rc;
}

static int connect_db(const char *path, int flags, struct journal **ret, struct err *err)
{
    struct journal *j = calloc(1, sizeof *j);
    int rc = 0;

    if (j == NULL || (j->path = strdup(path)) == NULL) {
        free(j);
        return err_set(err, ERR_NOMEM, "journal");
    }
    if (sqlite3_open_v2(path, &j->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        rc = fail(j, err, "open");
    if (rc == 0) {
        sqlite3_extended_result_codes(j->db, 1);
        sqlite3_busy_timeout(j->db, 2000);
        *ret = j;
        return 0;
    }
    journal_close(j);
    return rc;
}

/* The whole file is read once per start; a damaged one must not be believed. */
static int check_sound(const struct journal *j, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc = ask(j, "PRAGMA quick_check(1)", NULL, &text, err);

    /* The check tells of pages that the disk would not give as if they were damage. */
    if (rc == 0 && strstr(buf_text(&text), "unable to get the page") != NULL)
        rc = err_set(err, ERR_IO, "journal %s: %s", j->path, buf_text(&text));
    else if (rc == 0 && strcmp(buf_text(&text), "ok") != 0)
        rc = err_set(err, ERR_CORRUPT, "journal %s: %s", j->path, buf_text(&text));
    buf_clear(&text);
    return rc;
}

/* A new file, or one that has our table: nothing is changed in anybody else's. */
static int check_is_ours(const struct journal *j, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc = ask(j, "SELECT count(*) = 0 OR max(name = 'record') FROM sqlite_master", NULL, &text, err);

    if (rc == 0 && strcmp(buf_text(&text), "1") != 0)
        rc = err_set(err, ERR_CORRUPT, "journal %s: this is another program's database", j->path);
    buf_clear(&text);
    return rc;
}

static int prepare(struct journal *j, struct err *err)
{
    int rc = check_is_ours(j, err);

    if (rc == 0)
        rc = run(j, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;", "open",
                 err);
    if (rc == 0)
        rc = check_sound(j, err);
    if (rc == 0)
        rc = journal_migrate(j, steps, sizeof steps / sizeof steps[0], err);
    if (rc == 0 && sqlite3_prepare_v3(
                       j->db, "INSERT INTO record(kind, op, at_ms, boot_id, body) VALUES(?1, ?2, ?3, ?4, ?5)",
                       -1, SQLITE_PREPARE_PERSISTENT, &j->append, NULL) != SQLITE_OK)
        rc = fail(j, err, "open");
    return rc;
}

static int take_id(struct journal *j, const char *id_path, struct err *err)
{
    struct buf id = BUF_INIT;
    uint8_t bytes[ID_RANDOM_BYTES];
    int rc = get_meta(j, "id", &id, err);

    if (rc == 0 && id.len == 0 && id_path != NULL && os_exists(id_path)) {
        rc = err_set(err, ERR_CORRUPT, "journal %s: it is gone or empty, and %s tells that there was one",
                     j->path, id_path);
    } else if (rc == 0 && id.len == 0) {
        rc = os_random(bytes, sizeof bytes, err);
        id_from_bytes(bytes, j->id);
        if (rc == 0)
            rc = set_meta(j, "id", j->id, err);
    } else if (rc == 0 && id.len == sizeof j->id - 1) {
        memcpy(j->id, buf_text(&id), sizeof j->id);
    } else if (rc == 0) {
        rc = err_set(err, ERR_CORRUPT, "journal: its id cannot be read");
    }
    buf_clear(&id);
    if (rc == 0 && id_path != NULL && !os_exists(id_path))
        rc = os_write_file(id_path, j->id, strlen(j->id), err);
    return rc;
}

/* The agent's own upgrade waits for the ops that the old version began. */
static int take_version(const struct journal *j, const struct journal_fold *fold, const char *version,
                        struct err *err)
{
    struct buf old = BUF_INIT;
    const char *op = open_op(fold);
    int rc = get_meta(j, "program", &old, err);

    if (rc == 0 && old.len > 0 && strcmp(buf_text(&old), version) != 0 && op != NULL)
        rc = err_set(err, ERR_VERSION,
                     "op %s is open: let version %s, which began it, end it before version %s starts", op,
                     buf_text(&old), version);
    else if (rc == 0 && strcmp(buf_text(&old), version) != 0)
        rc = set_meta(j, "program", version, err);
    buf_clear(&old);
    return rc;
}

int journal_open(const char *path, const char *id_path, const char *program_version,
                 struct journal **ret_journal, struct journal_fold *ret_fold, struct err *err)
{
    struct journal *j = NULL;
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    int rc = connect_db(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &j, err);

    if (j == NULL)
        return rc;
    rc = prepare(j, err);
    if (rc == 0)
        rc = take_id(j, id_path, err);
    if (rc == 0)
        rc = journal_load(j, &fold, err);
    if (rc == 0)
        rc = take_version(j, &fold, program_version, err);
    if (rc != 0) {
        journal_fold_clear(&fold);
        journal_close(j);
        return rc;
    }
    *ret_fold = fold;
    *ret_journal = j;
    return 0;
}

int journal_open_read(const char *path, struct journal **ret_journal, struct err *err)
{
    struct journal *j = NULL;
    int version = 0;
    int rc = connect_db(path, SQLITE_OPEN_READONLY, &j, err);

    if (j == NULL)
        return rc;
    rc = user_version(j, &version, err);
    if (rc == 0 && version > (int)(sizeof steps / sizeof steps[0]))
        rc = err_set(err, ERR_VERSION, "journal: its schema %d is newer than this program", version);
    if (rc != 0) {
        journal_close(j);
        return rc;
    }
    *ret_journal = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    sqlite3_finalize(j->append);
    sqlite3_close(j->db);
    free(j->path);
    free(j);
}

const char *journal_id(const struct journal *j)
{
    return j->id;
}

/* A record is durable when its own statement commits: nothing may be appended inside a transaction left open. */
static void leave_transaction(const struct journal *j)
{
    if (!sqlite3_get_autocommit(j->db))
        (void)sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
}

int journal_append(struct journal *j, const struct agent_record *rec, struct err *err)
{
    sqlite3_stmt *s = j->append;
    int rc;

    leave_transaction(j);
    if (!sqlite3_get_autocommit(j->db))
        return err_set(err, ERR_IO, "journal %s: it cannot leave a transaction that failed", j->path);
    sqlite3_bind_text(s, 1, agent_record_kind_name(rec->kind), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, rec->op, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, rec->at);
    sqlite3_bind_text(s, 4, rec->boot_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, rec->body, -1, SQLITE_STATIC);
    rc = sqlite3_step(s) == SQLITE_DONE ? 0 : fail(j, err, agent_record_kind_name(rec->kind));
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc;
}

static int drop(const struct journal *j, const char *sql, const char *op, struct err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(j->db, sql, -1, &s, NULL) != SQLITE_OK)
        return fail(j, err, "forget");
    sqlite3_bind_text(s, 1, op, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        rc = fail(j, err, "forget");
    sqlite3_finalize(s);
    return rc;
}

int journal_forget(struct journal *j, const char *op, struct err *err)
{
    int rc = run(j, "BEGIN IMMEDIATE", "forget", err);

    if (rc == 0)
        rc = drop(j, "DELETE FROM record WHERE op = ?1 AND kind <> 'ack'", op, err);
    if (rc == 0)
        rc = drop(j, "DELETE FROM record WHERE op = ?1", op, err);
    if (rc == 0)
        rc = run(j, "COMMIT", "forget", err);
    if (rc != 0)
        leave_transaction(j);
    return rc;
}

static int row_record(sqlite3_stmt *s, struct agent_record *rec, struct err *err)
{
    const char *kind = (const char *)sqlite3_column_text(s, 1);

    rec->op = (const char *)sqlite3_column_text(s, 2);
    rec->at = sqlite3_column_int64(s, 3);
    rec->boot_id = (const char *)sqlite3_column_text(s, 4);
    rec->body = (const char *)sqlite3_column_text(s, 5);
    if (kind == NULL || rec->op == NULL || rec->boot_id == NULL || rec->body == NULL)
        return err_set(err, ERR_NOMEM, "journal: read a record");
    rec->kind = agent_record_kind_by_name(kind);
    if (rec->kind == AGENT_REC_KINDS)
        return err_set(err, ERR_CORRUPT, "journal: record %lld is a `%.32s`",
                       (long long)sqlite3_column_int64(s, 0), kind);
    return 0;
}

static const char select_records[] =
    "SELECT n, kind, op, at_ms, boot_id, body FROM record WHERE n >= ?1 ORDER BY n LIMIT ?2";

int journal_load(struct journal *j, struct journal_fold *fold, struct err *err)
{
    sqlite3_stmt *s = NULL;
    struct agent_record rec;
    int rc = 0, step = SQLITE_DONE;

    if (sqlite3_prepare_v2(j->db, select_records, -1, &s, NULL) != SQLITE_OK)
        return fail(j, err, "read");
    sqlite3_bind_int64(s, 1, 0);
    sqlite3_bind_int64(s, 2, -1);
    while (rc == 0 && (step = sqlite3_step(s)) == SQLITE_ROW) {
        rc = row_record(s, &rec, err);
        if (rc == 0)
            rc = journal_fold_apply(fold, &rec, err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(j, err, "read");
    sqlite3_finalize(s);
    return rc;
}

static int write_row(struct json_writer *w, sqlite3_stmt *s, struct err *err)
{
    struct agent_record rec = { 0 };
    int rc = row_record(s, &rec, err);

    if (rc != 0)
        return rc;
    jw_object(w, NULL);
    jw_int(w, "n", sqlite3_column_int64(s, 0));
    jw_str(w, "kind", agent_record_kind_name(rec.kind));
    jw_str(w, "op", rec.op);
    jw_int(w, "at_ms", rec.at);
    jw_str(w, "boot_id", rec.boot_id);
    jw_raw(w, "body", rec.body);
    jw_object_end(w);
    return 0;
}

int journal_page(struct journal *j, int64_t from, int64_t max, size_t max_bytes, struct buf *out,
                 struct err *err)
{
    sqlite3_stmt *s = NULL;
    struct json_writer w;
    int rc = 0, step = SQLITE_DONE;
    int64_t next = -1, n = 0;

    if (sqlite3_prepare_v2(j->db, select_records, -1, &s, NULL) != SQLITE_OK)
        return fail(j, err, "read");
    sqlite3_bind_int64(s, 1, from);
    sqlite3_bind_int64(s, 2, max + 1);
    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_array(&w, "records");
    while (rc == 0 && next < 0 && (step = sqlite3_step(s)) == SQLITE_ROW) {
        if (n >= max || (n > 0 && out->len + (size_t)sqlite3_column_bytes(s, 5) > max_bytes))
            next = sqlite3_column_int64(s, 0);
        else
            rc = write_row(&w, s, err);
        n++;
    }
    jw_array_end(&w);
    if (next >= 0)
        jw_int(&w, "next", next);
    else
        jw_null(&w, "next");
    jw_object_end(&w);
    if (rc == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        rc = fail(j, err, "read");
    sqlite3_finalize(s);
    return rc == 0 && out->failed ? err_set(err, ERR_NOMEM, "journal") : rc;
}
