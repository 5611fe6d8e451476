/* Looking after the file: make the projections again from the log, check
 * file and chain. */
#ifndef PATCHWAVE_STORE_REBUILD_H
#define PATCHWAVE_STORE_REBUILD_H

#include "orchestrator/io/store.h"
#include "schema/buf.h"

/* All projections anew, in one transaction: on failure (ERR_DIVERGED when the
 * engine of this program decides otherwise than the recorded one) nothing has
 * changed. Needs a writer. */
int store_rebuild(struct store *s, struct err *err);
/* SHA-256 over every row of every projection: equal before and after a
 * rebuild. */
int store_projections_hash(struct store *s, char out[SHA256_TEXT], struct err *err);
/* SQLite's own integrity check, foreign keys, and the chain of hashes. One
 * line per fault is appended to `out`. */
int store_check(struct store *s, struct buf *out, uint32_t *ret_faults, struct err *err);

/* A whole and consistent copy at `to`; it replaces what is there only when it is whole and on the disk. */
int store_backup(struct store *s, const char *to, struct err *err);

#endif
