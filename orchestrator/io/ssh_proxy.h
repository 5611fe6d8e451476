/* A proxy command as OpenSSH has it: a process whose standard input and output
 * are one socket, over which SSH is then spoken. */
#ifndef PATCHWAVE_SSH_PROXY_H
#define PATCHWAVE_SSH_PROXY_H

#include "orchestrator/io/ssh_target.h"
#include "schema/buf.h"
#include "schema/err.h"

struct loop;
struct ssh_proxy;

/* Append the command with %h %p %r %n %% expanded. ERR_INVALID for another
 * percent sign, or a value with a character that a shell would read. Pure. */
int ssh_proxy_expand(const struct ssh_target *target, struct buf *out, struct err *err);

/* Start it by `sh -c`, in a session of its own (a Ctrl-C at the terminal is for
 * us, not for the connections). Our end of the socket is the caller's to close.
 * ERR_CONNECT, ERR_INVALID, ERR_NOMEM. */
int ssh_proxy_start(struct loop *l, const struct ssh_target *target, struct ssh_proxy **ret_proxy,
                    int *ret_fd, struct err *err);
/* SIGTERM to the process group, SIGKILL two seconds later; frees itself when
 * the process is reaped. Accepts NULL. */
void ssh_proxy_end(struct ssh_proxy *proxy);
/* The last whole line of its standard error, "" when none. */
const char *ssh_proxy_said(const struct ssh_proxy *proxy);

#endif
