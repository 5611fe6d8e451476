/* Which algorithms we ask for: the newest first, less what this libssh2 does
 * not have. (libssh2 would strike those itself, with an overlapping memcpy.) */
#ifndef PATCHWAVE_SSH_ALGORITHMS_H
#define PATCHWAVE_SSH_ALGORITHMS_H

#include "orchestrator/io/ssh_hostkeys.h"
#include "schema/err.h"

#include <libssh2.h>

/* `pin` (may be NULL) puts its type first among host keys: a server has
 * several, and only one of them is pinned. Before the handshake. ERR_PROTOCOL, ERR_NOMEM. */
int ssh_algorithms_prefer(LIBSSH2_SESSION *lib, const struct ssh_hostkey *pin, struct err *err);

#endif
