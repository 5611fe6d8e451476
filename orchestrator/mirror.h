/* A copy of the database in another folder, made anew after each wave and
 * gate: what `takeover` starts from when the machine is lost. */
#ifndef PATCHWAVE_MIRROR_H
#define PATCHWAVE_MIRROR_H

#include "orchestrator/core/engine.h"
#include "orchestrator/io/store.h"

struct mirror {
    const char *dir; /* NULL: none */
    uint64_t seen;   /* waves and gates that were done at the last copy */
};
/* Copy when a wave or gate has ended since the last copy. The file in the
 * folder is always a whole one: the new one takes its name when it is done. */
int mirror_look(struct mirror *m, struct store *s, const struct plan *plan, const struct engine *engine,
                struct err *err);

#endif
