/* Where do these VMs go: best fit first, then a bounded search. For
 * capacity's own files. */
#ifndef PATCHWAVE_CAPACITY_SEARCH_H
#define PATCHWAVE_CAPACITY_SEARCH_H

#include "orchestrator/core/capacity_model.h"

/* Put the VMs of `vms` (in hand, in the order to decide on) so that `rung`
 * holds. FIT_YES: they are down in the model, ret_to[i] says where. Else all
 * are in hand again. `prefer` as in capacity_prove_drain. */
enum fit search_place(struct model *m, const uint32_t *vms, uint32_t n, const uint32_t *prefer,
                      enum reserve_rung rung, uint32_t *ret_to);

#endif
