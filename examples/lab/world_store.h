/* The world in its SQLite file. One table per kind of thing, one column per
 * member, so that `sqlite3 world.db` answers questions about the lab. */
#ifndef PATCHWAVE_LAB_WORLD_STORE_H
#define PATCHWAVE_LAB_WORLD_STORE_H

#include "examples/lab/world.h"

struct world_store;

/* Open or create; waits while another process has the file alone. ERR_IO. */
int world_store_open(const char *path, struct world_store **ret_store, struct err *err);
/* Write what changed since the last save or load, in one transaction. ERR_IO,
 * ERR_NOMEM: the file holds what it held, and the next save writes all. */
int world_store_save(struct world_store *s, const struct world *w, struct err *err);
/* Fill an empty world. ERR_IO, ERR_NOMEM, ERR_NOT_FOUND (no world there). */
int world_store_load(struct world_store *s, struct world *w, struct err *err);
void world_store_close(struct world_store *s);

#endif
