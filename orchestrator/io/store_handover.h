/* A run of another engine revision as the store has it: its tables, and what a
 * fold over its log finds. For a takeover only; nothing is written. */
#ifndef PATCHWAVE_STORE_HANDOVER_H
#define PATCHWAVE_STORE_HANDOVER_H

#include "orchestrator/core/handover.h"
#include "orchestrator/io/store.h"
#include "schema/json.h"

/* The caller ends *ret_fold with handover_fold_free(); *ret_state is the fold's. ERR_CORRUPT when a table or an entry
 * cannot be read. */
int store_handover(struct store *s, const char *run, const struct plan *plan, struct handover_fold **ret_fold,
                   const struct handover **ret_state, struct err *err);

/* What is out, unknown or begun without an end in a run's tables, for a person to see before anything moves. */
int store_in_flight(struct store *s, const char *run, struct buf *out, struct err *err);
/* The same as members `nodes` and `ops` of the object that is open. */
int store_in_flight_json(struct store *s, const char *run, struct json_writer *w, struct err *err);

#endif
