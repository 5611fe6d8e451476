/* A state machine is a table; this is its one door. Facts about a state live
 * in the row's flags, not in comparisons elsewhere. */
#ifndef PATCHWAVE_SM_H
#define PATCHWAVE_SM_H

#include <stdbool.h>
#include <stdint.h>

enum { SM_INITIAL = 1u << 0, SM_FINAL = 1u << 1 }; /* bits 8.. are the machine's own */

struct sm_state {
    const char *name;
    uint32_t may_enter; /* bit per state */
    uint32_t flags;
};

bool sm_may(const struct sm_state *table, uint32_t from, uint32_t to);
/* The state of that name, or -1. */
int sm_by_name(const struct sm_state *table, uint32_t n, const char *name);

#endif
