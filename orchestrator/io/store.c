#include "orchestrator/io/store.h"

#include "orchestrator/io/store_file.h"
#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_lock.h"
#include "orchestrator/io/store_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID "1348958039" /* "PgWW" */
#define BUSY_MS 5000

int store_connect(const char *path, int flags, sqlite3 **ret_db, struct err *err)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(db, BUSY_MS);
        rc = sqlite3_exec(db, "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        rc = store_fault(db, rc, path, err);
        sqlite3_close(db);
        return rc;
    }
    *ret_db = db;
    return 0;
}

/* Durability is a matter of each connection: said on every start of a writer. */
static int make_durable(sqlite3 *db, struct err *err)
{
    return store_exec(
        db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000", err);
}

static int check_is_ours(sqlite3 *db, const char *path, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t id = 0;
    int rc = sqlite3_prepare_v2(db, "PRAGMA application_id", -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        id = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW)
        return store_fault(db, rc, path, err);
    if (id != strtoll(APPLICATION_ID, NULL, 10))
        return err_set(err, ERR_CORRUPT, "%s is not a patchwave database", path);
    return 0;
}

static int check_version(sqlite3 *db, const char *path, struct err *err)
{
    int version = 0;
    int rc = store_schema_version(db, &version, err);

    if (rc != 0)
        return rc;
    if (version > STORE_VERSION)
        return err_set(err, ERR_VERSION,
                       "%s has schema version %d, this program knows up to %d: use a newer patchwave", path,
                       version, STORE_VERSION);
    if (version < STORE_VERSION)
        return err_set(
            err, ERR_VERSION,
            "%s has the older schema version %d: any writing command, `patchwave db migrate` for one, "
            "brings it to %d",
            path, version, STORE_VERSION);
    return 0;
}

static int read_head(struct store *s, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = store_prepare(s, &stmt, err, "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1", "");

    if (rc != 0)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        s->head.seq = (uint64_t)sqlite3_column_int64(stmt, 0);
        snprintf(s->head.hash, sizeof s->head.hash, "%s", (const char *)sqlite3_column_text(stmt, 1));
    }
    rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_fault(s->db, rc, s->path, err);
    sqlite3_reset(stmt);
    return rc;
}

static struct store *store_alloc(const char *path)
{
    struct store *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->lock_fd = -1;
    s->path = strdup(path);
    if (s->path == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static int make_file(const char *path, struct err *err)
{
    sqlite3 *db = NULL;
    int rc = store_connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, err);

    if (rc == 0)
        rc = store_exec(db, "PRAGMA application_id = " APPLICATION_ID, err);
    if (rc == 0)
        rc = make_durable(db, err);
    if (rc == 0)
        rc = store_migrate(db, path, store_migrations, err);
    /* Everything into the one file: what a close cannot bring over it does not tell. */
    if (rc == 0 && sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        rc = store_fault(db, sqlite3_errcode(db), path, err);
    sqlite3_close(db);
    return rc;
}

/* Under the lock: two that make the same database at once must not both find the place empty. */
static int create_locked(const char *path, struct err *err)
{
    struct buf beside = BUF_INIT;
    int rc = store_file_absent(path, err);

    if (rc != 0)
        return rc;
    rc = store_file_beside(path, &beside, err);
    if (rc == 0)
        rc = make_file(buf_text(&beside), err);
    if (rc == 0) {
        rc = store_file_place(buf_text(&beside), path, err);
        if (rc != 0)
            store_file_remove(path);
    }
    if (rc != 0 && !beside.failed)
        store_file_remove(buf_text(&beside));
    buf_clear(&beside);
    return rc;
}

int store_create(const char *path, struct err *err)
{
    int lock_fd = -1;
    int rc = store_lock_take(path, &lock_fd, err);

    if (rc == 0)
        rc = create_locked(path, err);
    store_lock_drop(lock_fd);
    return rc == 0 ? 0 : err_wrap(err, "create database");
}

static int open_writer(struct store *s, struct err *err)
{
    int rc = store_lock_take(s->path, &s->lock_fd, err);

    if (rc == 0)
        rc = store_connect(s->path, SQLITE_OPEN_READWRITE, &s->db, err);
    if (rc == 0 && sqlite3_db_readonly(s->db, "main") == 1)
        rc = err_set(err, ERR_READONLY, "%s cannot be written", s->path);
    if (rc == 0)
        rc = check_is_ours(s->db, s->path, err);
    if (rc == 0)
        rc = make_durable(s->db, err);
    if (rc == 0)
        rc = store_migrate(s->db, s->path, store_migrations, err);
    return rc;
}

/* A database at rest in a folder that cannot be written: SQLite cannot make its shared memory there, but nobody
 * else can change the file either. With a write-ahead log beside it, it is not at rest. */
static int connect_immutable(struct store *s, struct err *err)
{
    struct buf text = BUF_INIT;
    struct stat st;
    int rc;

    buf_printf(&text, "%s-wal", s->path);
    if (stat(buf_text(&text), &st) == 0 && st.st_size > 0) {
        buf_clear(&text);
        return err == NULL ? ERR_READONLY : (int)err->code;
    }
    buf_reset(&text);
    buf_str(&text, "file:");
    for (const char *p = s->path; *p != '\0'; p++)
        if (strchr("%?#", *p) != NULL)
            buf_printf(&text, "%%%02x", (unsigned)(unsigned char)*p);
        else
            buf_char(&text, *p);
    buf_str(&text, "?immutable=1");
    sqlite3_close(s->db);
    s->db = NULL;
    rc = store_connect(buf_text(&text), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &s->db, err);
    buf_clear(&text);
    return rc == 0 ? check_is_ours(s->db, s->path, err) : rc;
}

static int open_reader(struct store *s, struct err *err)
{
    int rc = store_connect(s->path, SQLITE_OPEN_READONLY, &s->db, err);

    if (rc == 0)
        rc = check_is_ours(s->db, s->path, err);
    if (rc == ERR_READONLY || rc == ERR_IO)
        rc = connect_immutable(s, err);
    if (rc == 0)
        rc = check_version(s->db, s->path, err);
    return rc;
}

int store_open(const char *path, enum store_mode mode, struct store **ret_store, struct err *err)
{
    struct store *s;
    struct stat st;
    int rc;

    if (stat(path, &st) != 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open database: %s: %s%s", path,
                       strerror(errno),
                       errno == ENOENT ? " (`patchwave init` makes one; --db names another)" : "");
    s = store_alloc(path);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "open database");
    rc = mode == STORE_WRITE ? open_writer(s, err) : open_reader(s, err);
    if (rc == 0)
        rc = read_head(s, err);
    if (rc != 0) {
        store_close(s);
        return err_wrap(err, "open database");
    }
    *ret_store = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(s->cache[i].stmt);
    sqlite3_close(s->db);
    store_lock_drop(s->lock_fd);
    free(s->path);
    free(s);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

struct log_position store_position(const struct store *s)
{
    return s->head;
}

bool store_holds(struct store *s, uint64_t seq, const char *hash)
{
    int64_t found = 0;

    if (seq == 0)
        return true;
    return store_int(s, 0, &found, NULL, "SELECT count(*) FROM log WHERE seq = ? AND hash = ?", "is",
                     (int64_t)seq, hash) == 0 &&
           found == 1;
}

int store_append(struct store *s, const char *run, int64_t at, const char *kind, const char *event,
                 const char *commands, struct log_position *ret_pos, struct err *err)
{
    struct log_position pos = { .seq = s->head.seq + 1 };

    log_chain(s->head.hash, event, commands, pos.hash);
    *ret_pos = pos;
    return store_do(
        s, err, "INSERT INTO log (seq, run, at, kind, event, commands, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        "isissss", (int64_t)pos.seq, run, at, kind, event, commands, pos.hash);
}
