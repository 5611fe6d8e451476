/* The files of a plan's package here: the target, and the checkpoint packages
 * that are installed with it (O9). */
#ifndef PATCHWAVE_PACKAGE_FILES_H
#define PATCHWAVE_PACKAGE_FILES_H

#include "orchestrator/io/store_load.h"

struct package_files {
    const char *target;
    const char *const *checkpoints; /* in the order of the plan's */
};

/* Where they lay when they were recorded; strings in `a`. ERR_INVALID when the
 * record is another one by now than the plan's. */
int package_files_find(struct store *s, const struct plan *p, struct arena *a, struct package_files *ret,
                       struct err *err);
/* Each digest, taken anew: what was planned is what goes to the nodes. */
int package_files_check(const struct plan *p, const struct package_files *files, struct err *err);

#endif
