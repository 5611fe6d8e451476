/* Values that the store holds, read back whole. The log's own text is what is
 * read, not the projections. */
#ifndef PATCHWAVE_STORE_LOAD_H
#define PATCHWAVE_STORE_LOAD_H

#include "orchestrator/core/plan.h"
#include "orchestrator/io/store.h"
#include "schema/ids.h"

/* The inventory imported last. ERR_NOT_FOUND says how to import one. */
int store_load_inventory(struct store *s, struct inventory **ret_inv, struct err *err);

/* Now, in the fleet's time; the wall clock while there is no inventory. */
time_ms store_fleet_now(struct store *s);

/* A plan by its hash, a prefix of it (4 digits or more), its rollout's name,
 * or NULL for the newest. ERR_NOT_FOUND; ERR_INVALID when several fit;
 * ERR_CORRUPT when it was altered. */
int store_load_plan(struct store *s, const char *which, struct plan **ret_plan, struct err *err);

/* The record of a KB, strings in `a`; `ret_path` is where the file lay when
 * it was added. ERR_NOT_FOUND names the KB and the known ones. */
int store_find_patch(struct store *s, const char *kb, struct arena *a, struct patch *ret_patch,
                     const char **ret_path, struct err *err);

/* The approval of a plan that lasts longest. ERR_NOT_FOUND when it has none
 * (whether it has run out is the caller's question). */
struct approval_found {
    char person[128], ticket[128];
    time_ms at, expires;
};
int store_find_approval(struct store *s, const char *plan_hash, struct approval_found *ret_approval,
                        struct err *err);

/* A run by its id or a prefix, or NULL for the newest; its plan's hash. */
struct run_found {
    char id[ID_TEXT_MAX], plan[SHA256_TEXT], state[32];
    uint32_t revision; /* of the engine that decides it */
    bool stopped;      /* the controller said it left */
};
int store_find_run(struct store *s, const char *which, struct run_found *ret_run, struct err *err);

/* The pinned key of a node as known_hosts text, or ERR_NOT_FOUND. */
int store_find_hostkey(struct store *s, const char *node, struct arena *a, const char **ret_key,
                       struct err *err);

#endif
