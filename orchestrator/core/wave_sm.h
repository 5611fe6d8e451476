/* Waves and the run.
 *
 *  wave: waiting -> gate_before -> running -> evidence -> gate_after -> passed
 *                        |           |                        |-> failed
 *                        +-> failed  +-> failed (over budget)
 *
 *  run: planned -> approved -> running <-> holding -> finished | halted | aborted
 *                                 +-> rolling_back -> rolled_back | halted   */
#ifndef PATCHWAVE_WAVE_SM_H
#define PATCHWAVE_WAVE_SM_H

#include "schema/sm.h"

enum wave_state {
    WAVE_WAITING,
    WAVE_GATE_BEFORE,
    WAVE_RUNNING,
    WAVE_EVIDENCE,
    WAVE_GATE_AFTER,
    WAVE_PASSED,
    WAVE_FAILED,
    WAVE_STATES
};
enum run_state {
    RUN_PLANNED,
    RUN_APPROVED,
    RUN_RUNNING,
    RUN_HOLDING,
    RUN_ROLLING_BACK,
    RUN_FINISHED,
    RUN_ROLLED_BACK,
    RUN_HALTED,
    RUN_ABORTED,
    RUN_STATES
};
enum gate_answer { ANSWER_PASS, ANSWER_FAIL, ANSWER_UNKNOWN };

extern const struct sm_state wave_states[WAVE_STATES];
extern const struct sm_state run_states[RUN_STATES];
extern const char *const gate_answer_names[3];

#endif
