/* A picture as members of an event, and back. `cluster` observations only. */
#ifndef PATCHWAVE_PICTURE_H
#define PATCHWAVE_PICTURE_H

#include "orchestrator/core/event.h"
#include "orchestrator/core/event_pictures.h"
#include "orchestrator/core/fields.h"

struct picture picture_of(const struct event *ev);
void picture_into(const struct picture *p, struct event *ev);

/* Into the open event: whole, or what changed since `base`. */
void picture_write(struct json_writer *w, const struct picture *p, const struct inventory *inv);
void picture_write_changes(struct json_writer *w, const struct kept_picture *base, const struct picture *p,
                           const struct inventory *inv);

/* Items into `lists`, texts into f->arena; faults in f. `base` NULL: nothing is kept. */
void picture_read(struct fields *f, const json *event, const struct inventory *inv,
                  const struct kept_picture *base, struct arena *lists, struct picture *ret);

/* Read the event's picture as the cluster's next one, `text` being the whole
 * event. On failure the one before is kept. The picture lives until the next
 * one of this cluster is taken. ERR_NOMEM, or the fault in `f`. */
void picture_take(struct fields *f, const json *event, const struct inventory *inv, struct event_pictures *p,
                  uint32_t cluster, const char *text, size_t len, struct picture *ret);

#endif
