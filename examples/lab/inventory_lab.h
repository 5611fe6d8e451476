/* inventory.json as `patchwave inventory import` reads it. */
#ifndef PATCHWAVE_LAB_INVENTORY_LAB_H
#define PATCHWAVE_LAB_INVENTORY_LAB_H

#include "examples/lab/world.h"

#include "schema/buf.h"

void inventory_write_lab(const struct world *w, const char *dir, struct buf *out);

#endif
