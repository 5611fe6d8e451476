/* The world as JSON: for the PowerShell stand-ins (WORLD.md), and the truth
 * for those who may read it. */
#ifndef PATCHWAVE_LAB_WORLD_API_H
#define PATCHWAVE_LAB_WORLD_API_H

#include "examples/lab/world.h"

#include "schema/buf.h"
#include "schema/json.h"

/* `method` is world.get or world.call. Appends the result as JSON. */
int world_api(struct world *w, const char *method, const json *params, struct buf *out, struct err *err);

void world_write_truth(const struct world *w, struct buf *out);
void world_write_faults(const struct world *w, struct buf *out);

#endif
