/* "Fail the Nth, N = 1, 2, 3 ... until it passes", without beginning anew each
 * time: at every operation of a story the process forks; in the child this
 * operation fails, and the child judges what comes of it. The parent goes on as
 * if nothing had been, to the story's end. */
#ifndef PATCHWAVE_TESTS_FAULT_FORK_H
#define PATCHWAVE_TESTS_FAULT_FORK_H

#include "tests/torture/fault_vfs.h"

#include <stdint.h>

/* In a child: what fails. NULL in the parent. */
struct fault_trial {
    enum fault_op op;
    enum fault_mode mode;
    bool lasting; /* the disk stays broken; else the one operation failed */
    unsigned long at;
    const char *step;
};
extern const struct fault_trial *fault_trial;

/* Operations from `first` to `last` are tried, one of `stride`. */
void fault_walk_begin(enum fault_op first, enum fault_op last, unsigned stride);
/* PW_TORTURE_STRIDE, if somebody set it: 1 tries each. */
unsigned fault_walk_stride(unsigned usual);
/* The power fails instead: before one operation in `stride` of those on the disk, a child looks with `look` at what
 * several cuts would leave. It ends with trial_pass or trial_fail. */
void fault_walk_power(unsigned stride, void (*look)(void));
void fault_walk_step(const char *name); /* for people; the name must last */
void fault_walk_pause(bool paused);     /* the story looks at itself: nothing fails, nothing counts */
/* Wait for all children; how many there were, how many failed. */
void fault_walk_end(unsigned long *ret_trials, unsigned long *ret_failed);
void fault_walk_report(const char *what); /* prints the counts by operation */

/* In the child. */
void fault_heal(void); /* nothing fails any more */
_Noreturn void trial_pass(bool absorbed);
_Noreturn void trial_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
