/* From a target to a connected socket: resolve the name, try its addresses in
 * turn, or start the proxy command with a socket pair for its standard
 * streams. Knows nothing of SSH. */
#ifndef PATCHWAVE_SSH_DIAL_H
#define PATCHWAVE_SSH_DIAL_H

#include "orchestrator/io/ssh_target.h"
#include "schema/buf.h"
#include "schema/err.h"

struct loop;
struct ssh_dial;

/* Fires once, later, never from inside ssh_dial_start: a connected non-blocking
 * socket, which is then the caller's to close, or fd -1 and why (CONNECT, TIMEOUT,
 * naming node, address and what to look at). The dial lives on, with its
 * proxy process, until ssh_dial_end(). */
typedef void ssh_dial_fn(void *arg, int fd, const struct err *why);

/* ERR_NOMEM. The target must outlive the dial. */
int ssh_dial_start(struct loop *l, const struct ssh_target *target, ssh_dial_fn *fn, void *arg,
                   struct ssh_dial **ret_dial, struct err *err);
/* Gives up if still under way (fn will not fire), ends the proxy process. The
 * memory goes when the loop has closed its handles. Accepts NULL. */
void ssh_dial_end(struct ssh_dial *dial);
/* True for a connection through a proxy command: no TCP options there. */
bool ssh_dial_is_proxy(const struct ssh_dial *dial);
/* The last line the proxy command wrote to its standard error, "" when none. */
const char *ssh_dial_proxy_said(const struct ssh_dial *dial);

/* NODELAY, USER_TIMEOUT (data unacknowledged that long ends the connection). */
void ssh_tcp_prepare(int fd);
/* QUICKACK again; the kernel forgets it. Without it each connection stalls twice for 40 ms. */
void ssh_tcp_quickack(int fd);

#endif
