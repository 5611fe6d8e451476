/* A replay sends nothing: the runner compares the commands' text with what was
 * recorded (runner_replay), and a log already holds what happened. */
#ifndef PATCHWAVE_BACKEND_REPLAY_H
#define PATCHWAVE_BACKEND_REPLAY_H

#include "orchestrator/core/backend.h"

struct backend_replay {
    struct backend backend;
    uint64_t commands; /* that would have been sent */
};
void backend_replay_init(struct backend_replay *b);

#endif
