/* A run opened from the store: plan, engine brought up by replay, event log
 * and runner. With a writer it can be fed; with a reader it can be asked. */
#ifndef PATCHWAVE_RUN_SESSION_H
#define PATCHWAVE_RUN_SESSION_H

#include "orchestrator/cli.h"
#include "orchestrator/core/runner.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/store_handover.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_log.h"

struct run_session {
    struct store *store;
    struct plan *plan;
    struct engine *engine;
    struct store_log *log;
    struct runner runner;
    struct fleet_clock clock;
    char run[ID_TEXT_MAX];
    bool fed; /* the runner is set up */
    /* Of a run that another engine revision decided so far: what a HANDOVER has to say, the engine has taken nothing yet. */
    const struct handover *handover;
    struct handover_fold *fold;
};

/* An existing run (NULL: the newest), replayed. ERR_DIVERGED when this
 * program decides otherwise than the one that recorded it; ERR_STATE, by both
 * revisions, when that was another one's. `up_to` 0: all. */
int session_open(struct run_session *s, const char *db, const char *which, enum store_mode mode,
                 uint64_t up_to, struct err *err);
/* The same for a takeover: a run of another engine revision is not replayed, s->handover says what it is like. */
int session_open_takeover(struct run_session *s, const char *db, const char *which, struct err *err);
/* A new run of an approved plan: nothing is recorded yet. `store` is taken
 * over, also on failure. */
int session_begin(struct run_session *s, struct store *store, const char *which_plan, struct err *err);
void session_close(struct run_session *s); /* accepts a half-opened one */
/* From here on its clock is never before what is recorded. Returns how long, of real time, it would have been. */
dur_ms session_time(struct run_session *s);
/* Nodes in scope that ended, or are, neither done nor compliant. */
uint32_t session_exceptions(const struct run_session *s);
/* Feed an operator's verb while nothing is connected: its commands are in the
 * log and are taken up when the run is resumed. *ret_seq is its number. */
int session_feed_offline(struct run_session *s, struct event *ev, uint64_t *ret_seq, struct err *err);

#endif
