#include "orchestrator/io/store_migrate.h"

#include "orchestrator/io/store_file.h"
#include "orchestrator/io/store_impl.h"
#include "schema/buf.h"

#include <stdlib.h>

int store_schema_version(sqlite3 *db, int *ret_version, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret_version = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? 0 : store_fault(db, rc, "read the schema's version", err);
}

/* A migration's name begins with the version it leads to. */
static int version_of(const struct embedded_text *m)
{
    return (int)strtol(m->name, NULL, 10);
}

static int newest(const struct embedded_text *m)
{
    int version = 0;

    for (; m->name != NULL; m++)
        version = version_of(m);
    return version;
}

static int copy_pages(sqlite3 *db, sqlite3 *copy, struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(copy, "main", db, "main");
    int rc;

    if (backup == NULL)
        return store_fault(copy, sqlite3_errcode(copy), "copy", err);
    rc = sqlite3_backup_step(backup, -1);
    if (sqlite3_backup_finish(backup) != SQLITE_OK || rc != SQLITE_DONE)
        return store_fault(copy, rc == SQLITE_DONE ? sqlite3_errcode(copy) : rc, "copy", err);
    return 0;
}

static int copy_to(sqlite3 *db, const char *to, struct err *err)
{
    sqlite3 *copy = NULL;
    int rc = store_connect(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &copy, err);

    if (rc == 0)
        rc = copy_pages(db, copy, err);
    sqlite3_close(copy);
    return rc;
}

int store_copy(sqlite3 *db, const char *to, struct err *err)
{
    struct buf beside = BUF_INIT;
    int rc = store_file_beside(to, &beside, err);

    if (rc == 0)
        rc = copy_to(db, buf_text(&beside), err);
    if (rc == 0)
        rc = store_file_place(buf_text(&beside), to, err);
    if (rc != 0 && !beside.failed)
        store_file_remove(buf_text(&beside));
    buf_clear(&beside);
    return rc;
}

static int apply(sqlite3 *db, const struct embedded_text *m, struct err *err)
{
    struct buf sql = BUF_INIT;
    int rc;

    buf_printf(&sql, "BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", m->text, version_of(m));
    rc = sql.failed ? err_set(err, ERR_NOMEM, "%s", m->name) : store_exec(db, buf_text(&sql), err);
    if (rc != 0) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        err_wrap(err, "migration %s", m->name);
    }
    buf_clear(&sql);
    return rc;
}

static int copy_before(sqlite3 *db, const char *path, int to_version, struct err *err)
{
    struct buf name = BUF_INIT;
    int rc;

    buf_printf(&name, "%s.before-v%d", path, to_version);
    rc = name.failed ? err_set(err, ERR_NOMEM, "%s", path) : store_copy(db, buf_text(&name), err);
    buf_clear(&name);
    return rc;
}

int store_migrate(sqlite3 *db, const char *path, const struct embedded_text *migrations, struct err *err)
{
    int have = 0, want = newest(migrations);
    int rc = store_schema_version(db, &have, err);

    if (rc != 0)
        return rc;
    if (have > want)
        return err_set(err, ERR_VERSION,
                       "%s has schema version %d, this program knows up to %d: use a newer patchwave", path,
                       have, want);
    if (have > 0 && have < want)
        rc = copy_before(db, path, want, err);
    for (const struct embedded_text *m = migrations; rc == 0 && m->name != NULL; m++)
        if (version_of(m) > have)
            rc = apply(db, m, err);
    return rc;
}
