#include "orchestrator/core/wave_sm.h"

#define W(s) (1u << WAVE_##s)
/* A gate that is not there is passed over. `retry` and `return` reopen a wave whose gates have not answered. */
const struct sm_state wave_states[WAVE_STATES] = {
    [WAVE_WAITING] = { "waiting", W(GATE_BEFORE), SM_INITIAL },
    [WAVE_GATE_BEFORE] = { "gate_before", W(RUNNING) | W(FAILED), 0 },
    [WAVE_RUNNING] = { "running", W(EVIDENCE) | W(FAILED), 0 },
    [WAVE_EVIDENCE] = { "evidence", W(GATE_AFTER) | W(RUNNING) | W(FAILED), 0 },
    [WAVE_GATE_AFTER] = { "gate_after", W(PASSED) | W(RUNNING) | W(FAILED), 0 },
    [WAVE_PASSED] = { "passed", 0, SM_FINAL },
    [WAVE_FAILED] = { "failed", 0, SM_FINAL },
};

#define R(s) (1u << RUN_##s)
/* An ended run can still be rolled back (within its approval), but never goes forward again. */
const struct sm_state run_states[RUN_STATES] = {
    [RUN_PLANNED] = { "planned", R(APPROVED), SM_INITIAL },
    [RUN_APPROVED] = { "approved", R(RUNNING), 0 },
    [RUN_RUNNING] = { "running", R(HOLDING) | R(ROLLING_BACK) | R(FINISHED) | R(HALTED) | R(ABORTED), 0 },
    [RUN_HOLDING] = { "holding", R(RUNNING) | R(ROLLING_BACK) | R(FINISHED) | R(HALTED) | R(ABORTED), 0 },
    [RUN_ROLLING_BACK] = { "rolling_back", R(HOLDING) | R(ROLLED_BACK) | R(HALTED) | R(ABORTED), 0 },
    [RUN_FINISHED] = { "finished", R(ROLLING_BACK), SM_FINAL },
    [RUN_ROLLED_BACK] = { "rolled_back", 0, SM_FINAL },
    [RUN_HALTED] = { "halted", R(ROLLING_BACK), SM_FINAL },
    [RUN_ABORTED] = { "aborted", R(ROLLING_BACK), SM_FINAL },
};

const char *const gate_answer_names[3] = { "pass", "fail", "unknown" };
