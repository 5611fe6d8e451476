#include "orchestrator/io/node_target.h"

#include <stdlib.h>

struct ssh_target node_target(const struct node *n, const struct ssh_hostkey *pin, const char *default_user)
{
    return (struct ssh_target){
        .node = n->id,
        .address = n->ssh.address != NULL ? n->ssh.address : n->id,
        .port = (uint16_t)n->ssh.port,
        .user = n->ssh.user != NULL ? n->ssh.user : default_user,
        .key_file = n->ssh.identity,
        .proxy_command = n->ssh.proxy_command,
        .pin = pin,
        .limits = { .connect_ms = n->ssh.connect_limit_ms, .ping_ms = n->ssh.idle_limit_ms },
    };
}

const char *node_default_user(void)
{
    const char *user = getenv("PATCHWAVE_USER");

    if (user == NULL || user[0] == '\0')
        user = getenv("USER");
    return user == NULL || user[0] == '\0' ? "patchwave" : user;
}
