/* Bring a database to the schema of this program: schema/sql/NNNN_*.sql, built
 * in, applied in order of their numbers; user_version says how far it is. */
#ifndef PATCHWAVE_STORE_MIGRATE_H
#define PATCHWAVE_STORE_MIGRATE_H

#include "orchestrator/io/embedded_text.h"
#include "schema/err.h"

#include <sqlite3.h>

extern const struct embedded_text store_migrations[]; /* ends with a NULL name */

int store_schema_version(sqlite3 *db, int *ret_version, struct err *err);
/* ERR_VERSION when the file is newer than `wanted`; else all due migrations,
 * each in a transaction of its own, after the file was copied to
 * "PATH.before-vN" (not when it is new: version 0). */
int store_migrate(sqlite3 *db, const char *path, const struct embedded_text *migrations, struct err *err);
/* A whole and consistent copy of an open database, made beside `to`; it replaces what is there when it is whole. */
int store_copy(sqlite3 *db, const char *to, struct err *err);

#endif
