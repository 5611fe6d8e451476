/* A run told in plain lines, for logs and pipes: what changed between two
 * looks at the engine. */
#ifndef PATCHWAVE_PROGRESS_LINES_H
#define PATCHWAVE_PROGRESS_LINES_H

#include "orchestrator/core/engine.h"

struct progress;
/* The plan is borrowed. `verbose`: every phase of every node. */
int progress_new(const struct plan *plan, bool verbose, struct progress **ret_p, struct err *err);
void progress_free(struct progress *p);
/* Append lines for what changed since the last look; notes of `commands` too. */
void progress_look(struct progress *p, const struct engine *e, time_ms now,
                   const struct command_list *commands, struct buf *out);

/* The next look tells the run's state although it has not changed. */
void progress_tell_run(struct progress *p);

#endif
