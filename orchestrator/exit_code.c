#include "orchestrator/exit_code.h"

static const enum exit_code of_error[ERR_CODES] = {
    [ERR_OK] = EXIT_DONE,          [ERR_NOMEM] = EXIT_INTERNAL,      [ERR_INVALID] = EXIT_INPUT,
    [ERR_NOT_FOUND] = EXIT_INPUT,  [ERR_EXISTS] = EXIT_INPUT,        [ERR_CAPACITY] = EXIT_REFUSED,
    [ERR_REFUSED] = EXIT_REFUSED,  [ERR_STATE] = EXIT_REFUSED,       [ERR_IO] = EXIT_STORE,
    [ERR_FULL] = EXIT_STORE,       [ERR_READONLY] = EXIT_STORE,      [ERR_CORRUPT] = EXIT_STORE,
    [ERR_LOCKED] = EXIT_STORE,     [ERR_VERSION] = EXIT_STORE,       [ERR_CONNECT] = EXIT_CONNECTION,
    [ERR_LOST] = EXIT_CONNECTION,  [ERR_TIMEOUT] = EXIT_CONNECTION,  [ERR_HOSTKEY] = EXIT_CONNECTION,
    [ERR_AUTH] = EXIT_CONNECTION,  [ERR_PROTOCOL] = EXIT_CONNECTION, [ERR_FENCED] = EXIT_FENCED,
    [ERR_STALE] = EXIT_FENCED,     [ERR_DIVERGED] = EXIT_CHECK,      [ERR_CANCELLED] = EXIT_INTERRUPTED,
    [ERR_UNKNOWN] = EXIT_INTERNAL, [ERR_INTERNAL] = EXIT_INTERNAL,
};

static const enum exit_code of_run[RUN_STATES] = {
    [RUN_PLANNED] = EXIT_INTERRUPTED,      [RUN_APPROVED] = EXIT_INTERRUPTED,
    [RUN_RUNNING] = EXIT_INTERRUPTED,      [RUN_HOLDING] = EXIT_HOLDING,
    [RUN_ROLLING_BACK] = EXIT_INTERRUPTED, [RUN_FINISHED] = EXIT_DONE,
    [RUN_ROLLED_BACK] = EXIT_ROLLED_BACK,  [RUN_HALTED] = EXIT_HALTED,
    [RUN_ABORTED] = EXIT_ABORTED,
};

enum exit_code exit_of_error(enum err_code code)
{
    return code < ERR_CODES ? of_error[code] : EXIT_INTERNAL;
}

enum exit_code exit_of_run(enum run_state state, uint32_t exceptions)
{
    if (state == RUN_FINISHED && exceptions > 0)
        return EXIT_EXCEPTIONS;
    return of_run[state];
}
