/* The host keys that are pinned, per node of an inventory. */
#ifndef PATCHWAVE_NODE_PINS_H
#define PATCHWAVE_NODE_PINS_H

#include "orchestrator/core/plan.h"
#include "orchestrator/io/ssh_hostkeys.h"
#include "orchestrator/io/store.h"

/* As backend_live wants them: an empty fingerprint is a node without a pin. The caller frees. ERR_NOMEM. */
int node_pins_read(struct store *s, const struct inventory *inv, struct ssh_hostkey **ret_pins,
                   struct err *err);
/* ERR_HOSTKEY naming nodes without a pin in the clusters that the plan
 * touches: every one of them has to be claimed (O20). */
int node_pins_check(const struct ssh_hostkey *pins, const struct plan *plan, struct err *err);

#endif
