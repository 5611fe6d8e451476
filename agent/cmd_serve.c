#include "agent/agent_command.h"
#include "agent/io/host.h"
#include "agent/io/os.h"

#include <stdlib.h>

static int serve(void *arg)
{
    const struct agent_options *o = arg;
    struct agent_settings set = { 0 };
    struct err err = { 0 };
    const char *version = PATCHWAVE_VERSION;
    int rc = agent_settings_read(o->config, &set, &err);

    if (rc == 0 && set.lab && getenv("PATCHWAVE_LAB_VERSION") != NULL)
        version = getenv("PATCHWAVE_LAB_VERSION"); /* tests play an older or newer program */
    if (rc == 0)
        rc = agent_host_serve(&set, version, &err);
    agent_settings_clear(&set);
    if (rc == 0)
        return AGENT_EXIT_OK;
    os_tell_people(err.text);
    return agent_complain(&err);
}

int agent_cmd_serve(const struct agent_options *o)
{
    struct agent_options own = *o;
    struct os_service service = { .run = serve, .arg = &own, .stop = agent_host_stop };
    int code = AGENT_EXIT_FAILED;

    return os_service_run(&service, &code) ? code : serve(&own);
}
