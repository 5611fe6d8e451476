/* Where commands go. Live, plan, replay and simulation are four backends
 * under the one runner. */
#ifndef PATCHWAVE_BACKEND_H
#define PATCHWAVE_BACKEND_H

#include "orchestrator/core/command.h"

struct backend {
    /* Take the command over (copy what is kept): it is in the log already.
     * Never fails: trouble becomes an event later. Must not call back into
     * the runner from inside. */
    void (*submit)(struct backend *b, const struct command *c);
};

#endif
