/* Every place that allocates fails once: a story is told again and again, each
 * time with one allocation failing. Which ones is found by telling it once: at
 * each place of the code, known by its callers, the first, the second and the
 * last allocation there. For programs linked with alloc_fault.c and
 * arena_fault.c: what an arena hands out counts as an allocation too. */
#ifndef PATCHWAVE_TESTS_ALLOC_PLACES_H
#define PATCHWAVE_TESTS_ALLOC_PLACES_H

#include <stdint.h>

/* The story's own judgement: 0 (and its answer is the right one) or ERR_NOMEM. */
struct alloc_places {
    int (*story)(void *arg);
    void *arg;
    uint32_t told;     /* with one allocation failing */
    uint32_t survived; /* the answer was right all the same */
};

/* Fails the test when the story answers otherwise, or differs from its first telling. */
void alloc_places_fail(struct alloc_places *p);
/* Inside a story: what lies between is the test's own and does not fail. */
void alloc_places_rest(void);
void alloc_places_go_on(void);

#endif
