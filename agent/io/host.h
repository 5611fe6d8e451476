/* The agent's host: one loop that brings events to agent/core and carries its
 * effects out: journal, connections, drivers, packages, SNTP. */
#ifndef PATCHWAVE_AGENT_HOST_H
#define PATCHWAVE_AGENT_HOST_H

#include "agent/io/settings.h"

/* Serve until a termination signal comes. Returns 0 after an orderly end.
 * ERR_LOCKED: another agent has this state folder (names its process id);
 * ERR_CORRUPT, ERR_VERSION, ERR_FULL, ERR_READONLY: the journal; ERR_INVALID:
 * driver.json. An append that fails while serving refuses work, no more. */
int agent_host_serve(const struct agent_settings *settings, const char *version, struct err *err);

/* Ask the agent_host_serve that goes on in this process to end; from any
 * thread. Does nothing when none does. */
void agent_host_stop(void);

#endif
