/* What leads out of a hold, as a person types it. Pure. */
#ifndef PATCHWAVE_RENDER_HOLD_H
#define PATCHWAVE_RENDER_HOLD_H

#include "schema/buf.h"

/* A run's hold_reason and hold_verb: "`patchwave resume` leads on", and for a gate without an answer both ways. */
void render_hold_way(struct buf *out, const char *reason, const char *verb);

#endif
