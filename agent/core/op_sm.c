#include "agent/core/op_sm.h"

#include <assert.h>
#include <string.h>

#define TO(s) (1u << AGENT_OP_##s)
static const struct sm_state op_states[AGENT_OP_STATES] = {
    [AGENT_OP_NONE] = { "none", TO(ACCEPTED), SM_INITIAL },
    [AGENT_OP_ACCEPTED] = { "accepted", TO(RUNNING) | TO(DONE), AGENT_OP_IS_OPEN },
    [AGENT_OP_RUNNING] = { "running", TO(DONE) | TO(UNKNOWN), AGENT_OP_IS_OPEN },
    [AGENT_OP_DONE] = { "done", 0, SM_FINAL },
    [AGENT_OP_UNKNOWN] = { "unknown", TO(DONE) | TO(ACCEPTED) | TO(RUNNING), AGENT_OP_IS_OPEN },
};

static const char *const outcomes[AGENT_OUTCOMES] = {
    [AGENT_OUTCOME_OK] = "ok",
    [AGENT_OUTCOME_FAILED] = "failed",
    [AGENT_OUTCOME_REFUSED] = "refused",
    [AGENT_OUTCOME_CANCELLED] = "cancelled",
};

const char *agent_op_state_name(enum agent_op_state s)
{
    assert(s < AGENT_OP_STATES);
    return op_states[s].name;
}

bool agent_op_state_has(enum agent_op_state s, uint32_t flag)
{
    assert(s < AGENT_OP_STATES);
    return (op_states[s].flags & flag) != 0;
}

bool agent_op_state_may(enum agent_op_state s, enum agent_op_state next)
{
    return sm_may(op_states, (uint32_t)s, (uint32_t)next);
}

void agent_op_state_move(enum agent_op_state *s, enum agent_op_state next)
{
    assert(agent_op_state_may(*s, next));
    *s = next;
}

const char *agent_outcome_name(enum agent_outcome o)
{
    assert(o < AGENT_OUTCOMES);
    return outcomes[o];
}

enum agent_outcome agent_outcome_by_name(const char *name)
{
    for (int i = 1; i < AGENT_OUTCOMES; i++)
        if (strcmp(outcomes[i], name) == 0)
            return (enum agent_outcome)i;
    return AGENT_OUTCOMES;
}
