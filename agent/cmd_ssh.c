/* ssh, relay, receive: what a controller reaches. */
#include "agent/agent_command.h"
#include "agent/io/os.h"
#include "agent/io/receive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int agent_cmd_relay(const struct agent_options *o)
{
    struct agent_settings set = { 0 };
    struct err err = { 0 };
    int rc = agent_settings_read(o->config, &set, &err);

    os_ignore_pipe_signal();
    if (rc == 0)
        rc = os_relay(set.socket, &err);
    agent_settings_clear(&set);
    return rc == 0 ? AGENT_EXIT_OK : agent_complain(&err);
}

int agent_cmd_receive(const struct agent_options *o)
{
    struct agent_settings set = { 0 };
    struct err err = { 0 };
    int rc = agent_settings_read(o->config, &set, &err);

    os_ignore_pipe_signal();
    os_binary_streams();
    if (rc == 0)
        rc = receive_package(set.state_dir, stdin, stdout, &err);
    agent_settings_clear(&set);
    if (rc != 0)
        (void)agent_complain(&err);
    return rc == 0 ? AGENT_EXIT_OK : AGENT_EXIT_FAILED;
}

/* On Windows that sshd sets this variable is nobody's published word (probe:ssh-original-command). */
int agent_cmd_ssh(const struct agent_options *o)
{
    const char *asked = getenv("SSH_ORIGINAL_COMMAND");

    if (asked != NULL && strcmp(asked, "relay") == 0)
        return agent_cmd_relay(o);
    if (asked != NULL && strcmp(asked, "receive") == 0)
        return agent_cmd_receive(o);
    fprintf(stderr, "patchwave-agent: this account runs `relay` and `receive`, nothing else\n");
    return AGENT_EXIT_NOT_ALLOWED;
}
