/* The projections of one run: rows that people query, kept in step with the
 * engine's views. Only what changed since the last event is written; what was
 * written last is remembered here (shadows), and a replay that writes nothing
 * brings the shadows back, so that a resumed run and a rebuild write the same. */
#ifndef PATCHWAVE_STORE_PROJECT_H
#define PATCHWAVE_STORE_PROJECT_H

#include "orchestrator/core/engine.h"
#include "orchestrator/io/store.h"

struct projector;

/* Store and plan are borrowed; the run id is copied. */
int projector_new(struct store *s, const char *run, const struct plan *plan, struct projector **ret_p,
                  struct err *err);
void projector_free(struct projector *p); /* accepts NULL */
/* Write what event `seq` changed, inside an open transaction. After a failure
 * the shadows are ahead of the tables: make a new projector by replay. */
int projector_write(struct projector *p, uint64_t seq, const struct event *ev,
                    const struct command_list *commands, const struct engine *engine, struct err *err);
/* Of an event that another engine revision decided: what it tells by itself, and what was commanded. Nodes, waves, gates,
 * downtime and the run's own row are that engine's, and are left alone. */
int projector_told(struct projector *p, uint64_t seq, const struct event *ev, const char *commands,
                   struct err *err);
/* After a replay: the rows that show this state are there already. */
void projector_remember(struct projector *p, const struct engine *engine);

#endif
