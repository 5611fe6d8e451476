/* One node's machine room: the process that keeps its sshd and agent running,
 * and ends them, with all their children, when the node loses its power or
 * its own parent dies. */
#ifndef PATCHWAVE_LAB_KEEPER_H
#define PATCHWAVE_LAB_KEEPER_H

#include "schema/err.h"

#include <stdint.h>
#include <sys/types.h>

/* The keeper's main: never returns before it is told to stop (SIGTERM). */
int lab_keeper_main(const char *dir, const char *node, const char *agent);

/* Start one from the daemon; it ends when the daemon does. ERR_IO. */
int lab_keeper_start(const char *dir, const char *node, const char *agent, pid_t *ret_pid, struct err *err);

#endif
