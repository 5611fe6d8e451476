/* The event log of one run in the store: event, commands and projections in
 * one transaction, durable when append returns 0. */
#ifndef PATCHWAVE_STORE_LOG_H
#define PATCHWAVE_STORE_LOG_H

#include "orchestrator/core/runner.h"
#include "orchestrator/io/store.h"

struct store_log;

/* Store and plan are borrowed. The caller ends it with store_log_free(). */
int store_log_new(struct store *s, const char *run, const struct plan *plan, struct store_log **ret_log,
                  struct err *err);
void store_log_free(struct store_log *l); /* accepts NULL */
struct event_log *store_log_face(struct store_log *l);

/* From which entry on this run is decided by its present revision: that of the last HANDOVER, or 0: all of it.
 * *ret_before: how many of its entries lie before. */
int store_log_begins(struct store *s, const char *run, uint64_t *ret_seq, uint64_t *ret_before,
                     struct err *err);

/* Feed every recorded event of the run (from the last HANDOVER on) to the runner (nothing is appended or
 * submitted) and remember what its projections hold. ERR_DIVERGED at the first
 * command that differs, ERR_CORRUPT when an entry cannot be read; both name
 * the entry. `up_to` 0: all. */
int store_log_replay(struct store_log *l, struct runner *r, uint64_t up_to, struct err *err);

/* Append to `out` event `seq` of the run as JSON, a cluster's picture whole
 * (in the log it may stand as what changed). ERR_NOT_FOUND, ERR_CORRUPT. */
int store_log_whole(struct store *s, const char *run, const struct plan *plan, uint64_t seq, struct buf *out,
                    struct err *err);

#endif
