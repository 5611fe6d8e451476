/* Exit codes: stable, documented in docs/cli.md. 0 only when everything in
 * scope is done or compliant (for `run` and its kin), or when the command did
 * what it was asked to (for the others). */
#ifndef PATCHWAVE_EXIT_CODE_H
#define PATCHWAVE_EXIT_CODE_H

#include "orchestrator/core/wave_sm.h"
#include "schema/err.h"

#define EXIT_CODE_MAP(X)                                                                                   \
    X(DONE, 0, "all nodes in scope are done or compliant; or the command did what was asked")              \
    X(INTERNAL, 1, "internal error, out of memory (a bug, or a machine in trouble)")                       \
    X(USAGE, 2, "wrong usage: unknown command, option or missing operand")                                 \
    X(INPUT, 3, "bad input: a file, value, unknown KB, node or plan; an altered package or plan")          \
    X(STORE, 4, "store trouble: database locked, read-only, full, corrupt or of a newer schema")           \
    X(CONNECTION, 5, "connection trouble: unreachable, host key, authentication, protocol, agent version") \
    X(REFUSED, 6, "refused: not approved, approval run out, verb not possible now, not allowed")           \
    X(CHECK, 7, "a check found faults: plan verify, db check, replay that differs")                        \
    X(EXCEPTIONS, 10, "finished with exceptions: a node was set aside, not started, refused or returned")  \
    X(HOLDING, 11, "the run holds and waits for an operator's verb")                                       \
    X(HALTED, 12,                                                                                          \
      "the run halted: a gate failed and the way back was impossible, not allowed or not needed")          \
    X(ROLLED_BACK, 13, "a gate failed and the run was rolled back")                                        \
    X(ABORTED, 14, "the run was aborted by an operator")                                                   \
    X(FENCED, 15, "fenced off: a newer controller has taken over, or this database is a stale copy")       \
    X(INTERRUPTED, 16, "interrupted and resumable: `patchwave resume` goes on")

enum exit_code {
#define X(name, number, text) EXIT_##name = number,
    EXIT_CODE_MAP(X)
#undef X
};

enum exit_code exit_of_error(enum err_code code);
/* Of a run at rest. `exceptions`: nodes that ended neither done nor compliant. */
enum exit_code exit_of_run(enum run_state state, uint32_t exceptions);

#endif
