/* An administrator's existing SSH login, for setting a node up. It goes
 * through the OpenSSH client and not through our own session: whatever opens
 * that door today (agent, password, jump host, sudo, the operator's own
 * ssh_config and known_hosts) keeps opening it, and none of it becomes ours. */
#ifndef PATCHWAVE_ADMIN_LOGIN_H
#define PATCHWAVE_ADMIN_LOGIN_H

#include "schema/buf.h"
#include "schema/err.h"

struct admin_login {
    const char *where;  /* USER@HOST, as ssh takes it */
    const char *config; /* for ssh -F; NULL: the operator's own */
};

#define ADMIN_FOLDER "patchwave-setup" /* in the administrator's home */

/* Bring every entry of `folder`, and `text` as the file `name`, into
 * ADMIN_FOLDER there. ERR_INVALID (a name that sftp would take apart),
 * ERR_CONNECT. */
int admin_put(const struct admin_login *l, const char *folder, const char *name, const struct buf *text,
              struct err *err);
/* Run a command; what it writes is added to `output` and shown on standard
 * error as it comes. *ret_exit is its exit code. ERR_CONNECT when ssh itself
 * failed. */
int admin_run(const struct admin_login *l, const char *command, struct buf *output, int *ret_exit,
              struct err *err);

#endif
