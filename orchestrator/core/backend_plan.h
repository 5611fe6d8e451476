/* The backend that plays a plan by its predictions: a fleet in memory that
 * takes commands and answers after the predicted time (P50), through the same
 * engine and runner as the live one. What comes out is the timeline of the dry
 * run. Nothing fails in it by itself; a hook may change or withhold answers
 * (scenario tests do).
 *
 *   for (;;) { backend_plan_next(...); runner_feed(...); }  until runner.ended */
#ifndef PATCHWAVE_BACKEND_PLAN_H
#define PATCHWAVE_BACKEND_PLAN_H

#include "orchestrator/core/backend.h"
#include "orchestrator/core/plan.h"
#include "orchestrator/core/runner.h"

struct backend_plan;

/* An answer about to be given: the effect happens, the journal is written, the
 * event goes out. */
struct plan_answer {
    const char *action;      /* of an op; NULL for others */
    enum command_type cause; /* what it answers */
    uint32_t node, vm;       /* vm: IX_NONE where none */
    time_ms at;
    struct event *ev; /* may be changed */
    bool effect;      /* false: it does not happen */
    bool journal;     /* false: the node's journal does not say done (it says: running, nobody does) */
    bool silent;      /* true: the event never arrives */
    dur_ms late_ms;   /* of an observation: it arrives so much later, and the hook is asked again then */
};

int backend_plan_new(const struct plan *plan, time_ms start, struct backend_plan **ret_backend,
                     struct err *err);
void backend_plan_free(struct backend_plan *b);
struct backend *backend_plan_backend(struct backend_plan *b);
void backend_plan_hook(struct backend_plan *b, void (*hook)(void *arg, struct plan_answer *a), void *arg);
/* The next event: an answer, or EV_TIMEOUT at `deadline`, whichever is first.
 * It lives until the next call. False: nothing will ever happen any more. */
bool backend_plan_next(struct backend_plan *b, time_ms deadline, struct event *ret_ev);

/* For scenarios: meddle with the world itself. */
void backend_plan_cut(struct backend_plan *b, uint32_t node,
                      time_ms until);             /* NODE_LOST now, reachable again then */
void backend_plan_forget(struct backend_plan *b); /* the controller died: no answer under way arrives */
/* An operation of another log is done on the node, and stands in its journal. */
void backend_plan_by_another(struct backend_plan *b, uint32_t node, const char *op);
uint32_t backend_plan_vm_at(const struct backend_plan *b, uint32_t vm);
bool backend_plan_vm_runs(const struct backend_plan *b, uint32_t vm);
bool backend_plan_in_service(const struct backend_plan *b, uint32_t node); /* Up and not paused */
/* To read, and for a scenario to change as somebody else would. */
uint32_t *backend_plan_setting(struct backend_plan *b, uint32_t cluster, enum cluster_setting s);
struct build backend_plan_build(const struct backend_plan *b, uint32_t node);
uint32_t backend_plan_effects(const struct backend_plan *b, uint32_t node,
                              const char *action); /* how often it truly happened */

/* Play it to its rest; `each` (may be NULL) sees every event after it was fed. ERR_STATE when it does not come to
 * rest within `events_max` events. */
int backend_plan_play(struct backend_plan *b, struct runner *r, const struct event *first,
                      uint32_t events_max, void (*each)(void *arg, const struct event *ev), void *arg,
                      struct err *err);

#endif
