/* Going to the background, with a word to the one who waits: the parent
 * leaves only when the run has begun, or with the reason why it has not. */
#ifndef PATCHWAVE_DETACH_H
#define PATCHWAVE_DETACH_H

#include "schema/err.h"

struct detach;

/* Fork. In the child *ret_detach is set and the streams go to DB.log; in the
 * parent it stays NULL: 0 with *ret_exit once the run has begun, else the
 * child's error. Before anything is opened: locks and databases do not go
 * over a fork. */
int detach_fork(const char *db, struct detach **ret_detach, int *ret_exit, struct err *err);
void detach_started(struct detach *d, const char *run);
/* The child's end; tells the parent if it still waits. */
void detach_ended(struct detach *d, int rc, const struct err *err);

#endif
