/* Where a node is and how to get in: what the inventory says, resolved. All
 * strings are borrowed and must outlive every session, link and client made
 * from the target. */
#ifndef PATCHWAVE_SSH_TARGET_H
#define PATCHWAVE_SSH_TARGET_H

#include "orchestrator/io/ssh_hostkeys.h"
#include "schema/times.h"

#include <stdint.h>

/* Real milliseconds (SSH's times are never scaled). 0 means the default. */
struct ssh_limits {
    dur_ms connect_ms;    /* per address: resolve, connect; default 10 s */
    dur_ms handshake_ms;  /* handshake and authentication; default 20 s */
    dur_ms ping_ms;       /* silence after which we ping; default 15 s */
    dur_ms ping_limit_ms; /* wait for a ping's answer; default 10 s */
};
#define SSH_CONNECT_MS ((dur_ms)10000)
#define SSH_HANDSHAKE_MS ((dur_ms)20000)
#define SSH_PING_MS ((dur_ms)15000)
#define SSH_PING_LIMIT_MS ((dur_ms)10000)

struct ssh_target {
    const char *node;    /* for messages */
    const char *address; /* name or numeric */
    uint16_t port;       /* 0: 22 */
    const char *user;
    /* A private key file; or a public one, whose private half ssh-agent holds;
     * or NULL: whatever ssh-agent holds. */
    const char *key_file;
    /* As OpenSSH's ProxyCommand: run by sh, with %h %p %r %n %% expanded, its standard
     * streams are the connection. NULL: connect directly. */
    const char *proxy_command;
    const struct ssh_hostkey *pin; /* NULL: nothing pinned yet */
    struct ssh_limits limits;
};

#define SSH_WHERE_MAX 256
/* "HV07 (10.0.0.7:22)", for messages. */
const char *ssh_target_where(const struct ssh_target *t, char out[SSH_WHERE_MAX]);

#endif
