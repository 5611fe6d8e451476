/* The project's calls into SQLite that fail before they have done anything (--wrap, FAULT_WRAPS in CMakeLists.txt);
 * sqlite3_errcode and its like tell of it until the next call. The library's own calls of itself are not touched. */
#include "tests/torture/fault_vfs.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>

int __real_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **ret, const char **tail);
int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **ret,
                              const char **tail);
int __real_sqlite3_step(sqlite3_stmt *s);
int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg,
                        char **text);
int __real_sqlite3_open_v2(const char *path, sqlite3 **ret, int flags, const char *vfs);
int __real_sqlite3_backup_step(sqlite3_backup *b, int pages);
int __real_sqlite3_errcode(sqlite3 *db);
const char *__real_sqlite3_errmsg(sqlite3 *db);
int __real_sqlite3_system_errno(sqlite3 *db);

int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **ret, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **ret,
                              const char **tail);
int __wrap_sqlite3_step(sqlite3_stmt *s);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg,
                        char **text);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **ret, int flags, const char *vfs);
int __wrap_sqlite3_backup_step(sqlite3_backup *b, int pages);
int __wrap_sqlite3_errcode(sqlite3 *db);
const char *__wrap_sqlite3_errmsg(sqlite3 *db);
int __wrap_sqlite3_system_errno(sqlite3 *db);

static int said; /* by the last call, if it was made to fail */

static bool fails(enum fault_op op)
{
    static const int codes[FAULT_MODES] = {
        [FAULT_EIO] = SQLITE_IOERR_WRITE, [FAULT_NOMEM] = SQLITE_NOMEM, [FAULT_BUSY] = SQLITE_BUSY
    };

    said = codes[fault_here(op)];
    return said != SQLITE_OK;
}

int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **ret, const char **tail)
{
    *ret = NULL;
    return fails(FAULT_PREPARE) ? said : __real_sqlite3_prepare_v2(db, sql, n, ret, tail);
}

int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **ret,
                              const char **tail)
{
    *ret = NULL;
    return fails(FAULT_PREPARE) ? said : __real_sqlite3_prepare_v3(db, sql, n, flags, ret, tail);
}

int __wrap_sqlite3_step(sqlite3_stmt *s)
{
    return fails(FAULT_STEP) ? said : __real_sqlite3_step(s);
}

int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg,
                        char **text)
{
    return fails(FAULT_EXEC) ? said : __real_sqlite3_exec(db, sql, each, arg, text);
}

int __wrap_sqlite3_open_v2(const char *path, sqlite3 **ret, int flags, const char *vfs)
{
    *ret = NULL;
    return fails(FAULT_CONNECT) ? said : __real_sqlite3_open_v2(path, ret, flags, vfs);
}

int __wrap_sqlite3_backup_step(sqlite3_backup *b, int pages)
{
    return fails(FAULT_BACKUP) ? said : __real_sqlite3_backup_step(b, pages);
}

int __wrap_sqlite3_errcode(sqlite3 *db)
{
    return said != SQLITE_OK ? said : __real_sqlite3_errcode(db);
}

const char *__wrap_sqlite3_errmsg(sqlite3 *db)
{
    return said != SQLITE_OK ? sqlite3_errstr(said) : __real_sqlite3_errmsg(db);
}

int __wrap_sqlite3_system_errno(sqlite3 *db)
{
    return said != SQLITE_OK ? EIO : __real_sqlite3_system_errno(db);
}
