/* The subcommands of patchwave-agent: rows of one table in main.c. */
#ifndef PATCHWAVE_AGENT_COMMAND_H
#define PATCHWAVE_AGENT_COMMAND_H

#include "agent/io/settings.h"

#define AGENT_EXIT_OK 0
#define AGENT_EXIT_FAILED 1
#define AGENT_EXIT_USAGE 2
#define AGENT_EXIT_LOCKED 3        /* another agent holds the state folder */
#define AGENT_EXIT_JOURNAL 4       /* corrupt, too new, or an op is open */
#define AGENT_EXIT_NOT_ALLOWED 126 /* `ssh`: not a command of this account */

struct agent_options {
    const char *config; /* NULL: the system's default */
    bool json;          /* journal, probe */
    bool open;          /* journal: open ops only; exit 0 when there is none */
};

int agent_cmd_serve(const struct agent_options *o);
int agent_cmd_ssh(const struct agent_options *o);
int agent_cmd_relay(const struct agent_options *o);
int agent_cmd_receive(const struct agent_options *o);
int agent_cmd_journal(const struct agent_options *o);
int agent_cmd_probe(const struct agent_options *o);
int agent_cmd_install(const struct agent_options *o);
int agent_cmd_uninstall(const struct agent_options *o);

/* "patchwave-agent: <text>" on standard error; returns the exit code for it. */
int agent_complain(const struct err *e);

#endif
