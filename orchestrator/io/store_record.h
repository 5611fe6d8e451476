/* Records: what goes into the log outside a run. Each is one row of the log
 * and its projections, in one transaction. The projections are made from the
 * record's text alone, so that a rebuild gives the same. */
#ifndef PATCHWAVE_STORE_RECORD_H
#define PATCHWAVE_STORE_RECORD_H

#include "orchestrator/core/plan.h"
#include "orchestrator/io/store.h"

/* Who says it, and when (fleet time of the inventory concerned). */
struct record_by {
    const char *person;
    time_ms at;
};

struct approval {
    const char *plan, *person, *ticket;
    time_ms at, expires;
};

/* A node's script that was given out (O31): of which approved plan, and its digests. */
struct export_made {
    const char *node, *plan, *ticket, *file; /* file: NULL where it went to standard output */
    const char *slice_sha256, *script_sha256;
};

/* Replaces the inventory before. */
int store_put_inventory(struct store *s, const struct inventory *inv, const char *file, const char *sha256,
                        struct record_by by, struct err *err);
/* Replaces an earlier record of the same KB. */
int store_put_patch(struct store *s, const struct patch *p, const char *path, struct record_by by,
                    struct err *err);
int store_put_consent(struct store *s, const struct consent *c, time_ms at, struct err *err);
int store_put_plan(struct store *s, const struct plan *p, struct err *err);
int store_put_approval(struct store *s, const struct approval *a, struct err *err);
int store_put_export(struct store *s, const struct export_made *e, struct record_by by, struct err *err);
/* `replaced`: the fingerprint before, or NULL. */
int store_put_hostkey(struct store *s, const char *node, const char *fingerprint, const char *key,
                      const char *replaced, struct record_by by, struct err *err);

/* Make the projections of one record anew (for rebuilding), inside an open
 * transaction. ERR_CORRUPT when the text is not what this program writes. */
int store_project_record(struct store *s, uint64_t seq, const char *kind, const char *text, struct err *err);

#endif
