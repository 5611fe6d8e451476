/* `hvlab serve`: one thread, the world in memory, two sockets. */
#ifndef PATCHWAVE_LAB_DAEMON_H
#define PATCHWAVE_LAB_DAEMON_H

#include "schema/err.h"

#include <stdbool.h>

struct serve_wish {
    const char *dir;    /* absolute */
    const char *socket; /* NULL: DIR/driver.sock */
    bool processes;     /* start and stop the nodes' sshd and agents */
    const char *agent;  /* path of patchwave-agent */
};

/* Runs until SIGTERM or SIGINT; everything it started is ended by then.
 * Prints one line, "ready", when it listens. ERR_IO, ERR_LOCKED. */
int lab_serve(const struct serve_wish *wish, struct err *err);

#endif
