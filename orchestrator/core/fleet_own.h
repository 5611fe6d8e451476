/* What the fleet's own files share; others use fleet.h. */
#ifndef PATCHWAVE_FLEET_OWN_H
#define PATCHWAVE_FLEET_OWN_H

#include "orchestrator/core/fleet.h"

/* Add a VM that was not there; its texts must live as long as the fleet.
 * IX_NONE: out of memory. */
uint32_t fleet_add_vm(struct fleet *f, const struct vm *vm, uint32_t at);
/* Replace what is known of it, keeping the books right. */
void fleet_set_vm(struct fleet *f, uint32_t vm, const struct vm *seen);
void fleet_set_gone(struct fleet *f, uint32_t vm);
/* Look its anti-affinity classes up anew; ERR_NOMEM. */
int fleet_classify(struct fleet *f, uint32_t vm);

#endif
