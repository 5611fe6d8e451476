/* The files around a fresh world: inventory, keys, one folder per node. */
#ifndef PATCHWAVE_LAB_MAKE_FILES_H
#define PATCHWAVE_LAB_MAKE_FILES_H

#include "examples/lab/world.h"

/* `agent` is the path of patchwave-agent. ERR_IO. */
int lab_files_make(const struct world *w, const char *dir, const char *agent, struct err *err);

#endif
