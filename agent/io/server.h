/* The local socket: many connections, lines in, lines out, each direction
 * bounded. A peer that breaks the protocol or does not read is closed. */
#ifndef PATCHWAVE_SERVER_H
#define PATCHWAVE_SERVER_H

#include "schema/codec.h"

#include <uv.h>

#define SERVER_CONNS_MAX 64
#define SERVER_PAUSE_BYTES (1u << 20) /* unsent: stop reading that peer */
#define SERVER_QUEUE_BYTES (8u << 20) /* unsent: close it */

struct server;
struct server_owner {
    void *owner;
    void (*on_open)(void *owner, uint32_t conn);
    void (*on_message)(void *owner, uint32_t conn, const struct rpc_message *msg);
    void (*on_close)(void *owner, uint32_t conn);
};

/* Listen at `path`; the caller holds the lock of the state folder. ERR_IO, ERR_NOMEM, ERR_INVALID (group). */
int server_open(uv_loop_t *loop, const char *path, const char *group, struct server_owner owner,
                struct server **ret_server, struct err *err);
/* Close all; the loop must run once more. Callbacks come for no connection. */
void server_close(struct server *s);
/* Queue a line; the connection may be gone already. */
void server_send(struct server *s, uint32_t conn, const char *text, size_t len);
void server_end(struct server *s, uint32_t conn); /* close after what was sent */

#endif
