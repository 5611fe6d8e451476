/* install, uninstall: the service on this machine. */
#include "agent/agent_command.h"
#include "agent/io/os.h"

#include <stdio.h>

int agent_cmd_install(const struct agent_options *o)
{
    struct agent_settings set = { 0 };
    struct err err = { 0 };
    int rc = agent_settings_read(o->config, &set, &err); /* a service that cannot start is no help */

    if (rc == 0)
        rc = os_service_install(o->config, &err);
    agent_settings_clear(&set);
    if (rc != 0)
        return agent_complain(&err);
    printf(
        "patchwave-agent is installed and starts with the machine; start it now: sc start patchwave-agent\n");
    return AGENT_EXIT_OK;
}

int agent_cmd_uninstall(const struct agent_options *o)
{
    struct err err = { 0 };

    (void)o;
    return os_service_uninstall(&err) == 0 ? AGENT_EXIT_OK : agent_complain(&err);
}
