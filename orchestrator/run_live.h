/* The running process: loop, runner, log, live backend, control socket,
 * signals and what is shown, put together.
 *
 *   survey -> running -> closing
 *
 * The survey says hello to every node first: the epoch of this start is one
 * more than the highest that any of them or the log has seen. */
#ifndef PATCHWAVE_RUN_LIVE_H
#define PATCHWAVE_RUN_LIVE_H

#include "orchestrator/package_files.h"
#include "orchestrator/run_session.h"

struct run_live_options {
    const char *db, *person;
    bool resume;        /* the session was replayed: CONTROLLER_START, else RUN_START */
    bool takeover;      /* go on although nodes have seen a log that this one is not */
    const char *ticket; /* of the takeover; else NULL */
    bool exit_on_hold;  /* else wait for the operator's verb */
    bool verbose, json;
    time_ms approval_expires;
    struct package_files package; /* target NULL: no staging */
    const char *default_user;
    const char *mirror;                             /* folder for copies; NULL: none */
    void (*on_started)(void *arg, const char *run); /* the first event is in the log; may be NULL */
    void *arg;
};
/* Runs until the run is at rest, holds (exit_on_hold), or is stopped. On 0
 * *ret_exit says how it stands. Errors: what went wrong before or in the run;
 * the log is whole and the run resumable. */
int run_live(struct run_session *s, const struct run_live_options *o, int *ret_exit, struct err *err);

#endif
