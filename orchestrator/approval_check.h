/* Whether a plan may be carried out now (O34). */
#ifndef PATCHWAVE_APPROVAL_CHECK_H
#define PATCHWAVE_APPROVAL_CHECK_H

#include "orchestrator/io/store_load.h"

/* ERR_REFUSED: never approved, or the approval has run out. */
int approval_check(struct store *s, const struct plan *p, time_ms now, struct approval_found *ret_approval,
                   struct err *err);

#endif
