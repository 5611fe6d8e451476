/* The controller's database: one SQLite file (WAL, synchronous=FULL). One
 * writer at a time, guarded by an OS lock on PATH.lock that names its holder;
 * any number of readers, who never disturb it. What is written goes through
 * store_record.h and store_log.h; this file opens, asks and closes. */
#ifndef PATCHWAVE_STORE_H
#define PATCHWAVE_STORE_H

#include "orchestrator/core/event_log.h"
#include "schema/arena.h"
#include "schema/err.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

#define STORE_VERSION 1 /* of the newest migration in schema/sql */

struct store;
enum store_mode { STORE_READ, STORE_WRITE };

/* Make a new database. ERR_EXISTS when there is a file already; ERR_READONLY,
 * ERR_FULL, ERR_IO. On failure nothing but the lock file is left behind; a
 * power cut leaves a whole database or none. */
int store_create(const char *path, struct err *err);

/* Open an existing one. A writer takes the lock first and brings the schema up
 * to date (the file is copied to PATH.before-vN first); a reader does neither.
 * ERR_NOT_FOUND, ERR_LOCKED (names the holder's pid), ERR_VERSION (newer or,
 * for readers, older schema), ERR_CORRUPT, ERR_READONLY, ERR_FULL, ERR_IO.
 * The caller ends it with store_close(); it must not be carried over a fork. */
int store_open(const char *path, enum store_mode mode, struct store **ret_store, struct err *err);
void store_close(struct store *s); /* accepts NULL and a half-built one */

const char *store_path(const struct store *s);
struct log_position store_position(const struct store *s);
/* Whether the log holds this hash at this place. */
bool store_holds(struct store *s, uint64_t seq, const char *hash);

/* Rows of a question, all as text; a NULL cell is NULL. `types` names the
 * arguments: s text (NULL binds NULL), i int64_t, t time_ms (0 and TIME_NEVER
 * bind NULL). The caller clears. */
struct rows {
    struct arena arena;
    const char **names; /* columns */
    const char **cells; /* row by row */
    char *kinds;        /* per cell: 's' text, 'i' integer, 'n' NULL */
    uint32_t n_columns, n;
};
int store_ask(struct store *s, struct rows *ret_rows, struct err *err, const char *sql, const char *types,
              ...);
void rows_clear(struct rows *r);
const char *rows_text(const struct rows *r, uint32_t row, uint32_t column); /* "" for NULL */
int64_t rows_int(const struct rows *r, uint32_t row, uint32_t column);      /* 0 for NULL */
bool rows_null(const struct rows *r, uint32_t row, uint32_t column);

#endif
