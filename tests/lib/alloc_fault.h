/* Makes one allocation fail. For programs linked with --wrap of malloc, calloc,
 * realloc and strdup: allocations of the project's own code, not of shared libraries. */
#ifndef PATCHWAVE_TESTS_ALLOC_FAULT_H
#define PATCHWAVE_TESTS_ALLOC_FAULT_H

#include <stdbool.h>

/* The n-th allocation from now fails (from 1); 0: none does. */
void alloc_fault_at(unsigned n);
/* Whether it has failed. */
bool alloc_fault_hit(void);
/* Counts one allocation: does it fail? For wraps of more than malloc and its kin (arena_fault.c). */
bool alloc_fault_now(void);
/* Ask this before each allocation instead: true makes it fail. */
void alloc_fault_ask(bool (*ask)(void));

#endif
