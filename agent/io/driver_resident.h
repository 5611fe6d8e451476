/* Drivers that are kept: a read of an action whose manifest says `resident` goes
 * as one line to a process that answers with one line and waits for the next
 * (docs/driver.md). Both lines begin with the read's own number, so that nothing
 * said late is taken as the answer to another. One that is at rest is ended after a while, and whenever
 * the caller says so. Effects never go this way. */
#ifndef PATCHWAVE_AGENT_DRIVER_RESIDENT_H
#define PATCHWAVE_AGENT_DRIVER_RESIDENT_H

#include "agent/io/driver.h"

#define RESIDENT_ANSWERS_MAX 100
#define RESIDENT_REST_MS (60 * SECOND_MS) /* kept without a question; real time */

struct residents;

/* `folder` and `owner` as for driver_pool_new; both are copied. ERR_NOMEM. */
int residents_new(uv_loop_t *loop, const char *folder, struct driver_owner owner, struct residents **ret,
                  struct err *err);
/* Ends all, reports nothing any more, frees. The loop must run once more afterwards. */
void residents_free(struct residents *s);

/* Ask one at rest that has the same argv, else a new one. `text` is one request, a line with its newline. When it fails
 * nobody was asked and on_end is not called. */
int residents_ask(struct residents *s, const struct driver_manifest_action *m, uint32_t run, const char *text,
                  size_t len, struct err *err);
void residents_kill(struct residents *s, uint32_t run);
/* End those at rest: what comes now may need what they hold open. */
void residents_dismiss(struct residents *s);

#endif
