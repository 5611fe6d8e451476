/* The backend that reaches the nodes: commands become requests to agents over
 * SSH, answers become events. Everything runs on the loop's thread; `on_event`
 * comes from the loop, never from inside a call of this header.
 *
 *   new -> survey -> (submit ... on_event)* -> close -> on_closed
 *
 * The survey connects to every node of the plan and says hello, without a
 * claim: it finds the highest epoch, and whether this log is a stale copy.
 * Connections made by it are kept for the claims that follow. */
#ifndef PATCHWAVE_BACKEND_LIVE_H
#define PATCHWAVE_BACKEND_LIVE_H

#include "orchestrator/core/backend.h"
#include "orchestrator/core/event_log.h"
#include "orchestrator/core/plan.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_hostkeys.h"

struct backend_live;

/* Everything is borrowed and must outlive the backend. */
struct live_setup {
    const struct plan *plan;
    struct fleet_clock clock;
    const struct ssh_hostkey
        *pins; /* per node of plan->inv; an empty fingerprint: not enrolled, refused by HOSTKEY */
    const char *default_user; /* where the inventory names none; NULL: the one who runs this program */
    const char
        *package_path; /* the file to stage; its digest was checked by the caller; NULL: nothing to stage */
    const char *const *checkpoint_paths; /* the same of the plan's checkpoint packages, in their order */
    uint64_t stage_bytes_s; /* cap over all nodes (O32), shared out among those that pull at once; 0: none */
    uint64_t stage_link_bytes_s; /* cap of each node's link; 0: none */
    const char *stage_source;    /* a share or URL from which each node pulls; NULL: it is sent over SSH */
    dur_ms
        stage_give_up_ms; /* real: a node without progress (one that pulls: out of reach) so long; 0: ten minutes */
    uint32_t stage_parallel; /* nodes at once; 0: the backend's own default */
    /* Where the log stands now: goes into every claim and op.start. */
    struct log_position (*position)(void *arg);
    /* Does the log hold this hash at this place? A node that has seen what the log lacks: STALE (unless takeover). */
    bool (*log_holds)(void *arg, uint64_t seq, const char *hash);
    void (*on_event)(void *arg, const struct event *ev); /* borrowed until it returns */
    /* Progress of an op or of staging, for people only; may be NULL. */
    void (*on_progress)(void *arg, uint32_t node, const char *op, uint32_t percent, const char *text);
    void *arg;
};

int backend_live_new(struct loop *l, const struct live_setup *setup, struct backend_live **ret_backend,
                     struct err *err);
struct backend *backend_live_backend(struct backend_live *b);

struct live_survey {
    uint64_t epoch_max; /* 0: no node has seen a controller */
    uint32_t answered, asked;
    uint32_t stale_node; /* the first node that has seen more than this log holds; IX_NONE: none */
    uint64_t stale_seq;
};
/* Fires once, when every node answered or failed its first connection, or
 * after `limit_ms` (real) with what is known by then. */
void backend_live_survey(struct backend_live *b, dur_ms limit_ms,
                         void (*on_done)(void *arg, const struct live_survey *s));

/* Who speaks from now on: before the survey with epoch 0 (an agent wants hello
 * and claim from one controller), after it, before the first submit, with the
 * epoch that it led to. */
void backend_live_identity(struct backend_live *b, const char *run, const char *controller, uint64_t epoch,
                           bool takeover);

/* The last bytes of an op's output (docs/wire.md, op.output); `on_done` fires
 * once with text or with why not. Works without a claim. */
void backend_live_output(struct backend_live *b, uint32_t node, const char *op, uint64_t offset,
                         void (*on_done)(void *arg, const char *text, uint64_t total_bytes,
                                         const struct err *why),
                         void *arg);

/* Ends every session; `on_closed` fires once from the loop, then the memory
 * is gone. No event comes after this call. */
void backend_live_close(struct backend_live *b, void (*on_closed)(void *arg), void *arg);

#endif
