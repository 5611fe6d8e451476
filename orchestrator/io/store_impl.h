/* The store's inside, for store_*.c only. */
#ifndef PATCHWAVE_STORE_IMPL_H
#define PATCHWAVE_STORE_IMPL_H

#include "orchestrator/io/store.h"

#include <sqlite3.h>

#define STORE_STATEMENTS 64

struct store {
    sqlite3 *db;
    char *path;
    int lock_fd; /* -1: a reader */
    struct log_position head;
    /* Prepared statements, found again by the address of their text. */
    struct {
        const char *sql;
        sqlite3_stmt *stmt;
    } cache[STORE_STATEMENTS];
};

/* SQLite's last error on `db` as one of ours, with the file's name and what was being done (NULL: no need to say). */
int store_fault(sqlite3 *db, int sqlite_code, const char *doing, struct err *err);
int store_connect(const char *path, int flags, sqlite3 **ret_db, struct err *err);

/* Run SQL without parameters or rows. */
int store_exec(sqlite3 *db, const char *sql, struct err *err);
/* Run one statement with arguments as in store_ask; `sql` must be a literal:
 * the prepared statement is kept under its address. */
int store_do(struct store *s, struct err *err, const char *sql, const char *types, ...);
/* The same, to step by hand: bound and reset, not to be finalised. */
int store_prepare(struct store *s, sqlite3_stmt **ret_stmt, struct err *err, const char *sql,
                  const char *types, ...);
/* One integer; `otherwise` when there is no row. */
int store_int(struct store *s, int64_t otherwise, int64_t *ret_value, struct err *err, const char *sql,
              const char *types, ...);

int store_begin(struct store *s, struct err *err);
int store_commit(struct store *s, struct err *err); /* rolled back when it fails */
void store_rollback(struct store *s);

/* Append one row to the log inside an open transaction; `*ret_pos` is where
 * the log will stand once it is committed (store_head then takes it). */
int store_append(struct store *s, const char *run, int64_t at, const char *kind, const char *event,
                 const char *commands, struct log_position *ret_pos, struct err *err);

#endif
