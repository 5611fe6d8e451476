/* A scenario's log in memory, each event whole and independent of the others, to be decided anew. */
#ifndef PATCHWAVE_TESTS_RECORDED_H
#define PATCHWAVE_TESTS_RECORDED_H

#include "tests/scenarios/scenario.h"

struct recorded {
    struct scenario *s; /* its plan, its commands */
    struct arena texts;
    struct event *events; /* whole, independent of each other */
    char hash[SHA256_TEXT];
};

void recorded_make(struct scenario *s, struct recorded *r);
void recorded_clear(struct recorded *r); /* not the scenario */
/* From the last upgrade on, by a new engine: 0 when it decided what it had decided, and came to the same state; ERR_NOMEM.
 * Fails the test when it decides otherwise. */
int recorded_decide(struct recorded *r);
/* Both written whole are the same text. */
void recorded_same(const struct recorded *r, const struct event *is, const struct event *want);

#endif
