/* How a node of the inventory is reached, as the transport wants it. */
#ifndef PATCHWAVE_NODE_TARGET_H
#define PATCHWAVE_NODE_TARGET_H

#include "orchestrator/core/inventory.h"
#include "orchestrator/io/ssh_target.h"

/* Strings stay the inventory's. A node without an address is reached by its
 * name; `default_user` is for those that name none. `pin` may be NULL. */
struct ssh_target node_target(const struct node *n, const struct ssh_hostkey *pin, const char *default_user);
/* $PATCHWAVE_USER, else the one who runs this program. */
const char *node_default_user(void);

#endif
