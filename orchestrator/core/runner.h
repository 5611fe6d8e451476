/* Durable before visible: step the engine, append event and commands in one
 * transaction, then submit. One runner for live, plan, replay, simulation. */
#ifndef PATCHWAVE_RUNNER_H
#define PATCHWAVE_RUNNER_H

#include "orchestrator/core/backend.h"
#include "orchestrator/core/engine.h"
#include "orchestrator/core/event_log.h"

struct runner {
    struct engine *engine;
    struct event_log *log;
    struct backend *backend;
    struct command_list commands; /* scratch */
    bool stopped;                 /* the engine is ahead of the log, or broken: no more commands */
    bool ended;                   /* the run is at rest: an END came and nothing has moved since */
};
void runner_init(struct runner *r, struct engine *e, struct event_log *log, struct backend *b);
void runner_clear(struct runner *r);
/* ERR_INVALID / ERR_STATE: the event was refused, the runner goes on. Other
 * errors: `stopped`; rebuild from the log. */
int runner_feed(struct runner *r, const struct event *ev, struct err *err);

/* Feed a recorded entry and compare the commands' text; nothing is appended
 * or submitted. ERR_DIVERGED with both texts at the first difference. */
int runner_replay(struct runner *r, const struct event *ev, const char *recorded_commands, struct err *err);

#endif
