/* The life of one operation on this node.
 *
 *   none --> accepted --> running --> done
 *              |   ^        |  ^        ^
 *              |   |        v  |        |
 *              |   +----- unknown ------+
 *              +------------------------+  (refused, cancelled)
 *
 * accepted: ACCEPT is durable, nothing was begun. running: START is durable
 * and something of ours runs it. unknown: START without DONE and nothing of
 * ours runs it; only its witness (or a person) decides (C.3). From unknown
 * back to accepted: its witness said `not_done`, it may start once more; back
 * to running: its driver outlived the agent and was found again. */
#ifndef PATCHWAVE_OP_SM_H
#define PATCHWAVE_OP_SM_H

#include "schema/sm.h"

enum agent_op_state {
    AGENT_OP_NONE,
    AGENT_OP_ACCEPTED,
    AGENT_OP_RUNNING,
    AGENT_OP_DONE,
    AGENT_OP_UNKNOWN,
    AGENT_OP_STATES
};

/* Not decided yet: `hello` names it. */
#define AGENT_OP_IS_OPEN (1u << 8)

enum agent_outcome {
    AGENT_OUTCOME_NONE,
    AGENT_OUTCOME_OK,
    AGENT_OUTCOME_FAILED,
    AGENT_OUTCOME_REFUSED, /* nothing changed */
    AGENT_OUTCOME_CANCELLED,
    AGENT_OUTCOMES
};

const char *agent_op_state_name(enum agent_op_state s);
bool agent_op_state_has(enum agent_op_state s, uint32_t flag);
/* The one door: asserts that the table has the way. */
void agent_op_state_move(enum agent_op_state *s, enum agent_op_state next);
bool agent_op_state_may(enum agent_op_state s, enum agent_op_state next);

/* NULL for AGENT_OUTCOME_NONE. */
const char *agent_outcome_name(enum agent_outcome o);
/* AGENT_OUTCOMES when there is none of that name. */
enum agent_outcome agent_outcome_by_name(const char *name);

#endif
