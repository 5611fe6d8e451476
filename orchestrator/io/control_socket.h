/* The door to a running process: a Unix socket, mode 0600, beside the
 * database. One JSON-RPC line asks, one line answers (schema/codec.h). Who
 * asks is known from the socket, not from what he says. */
#ifndef PATCHWAVE_CONTROL_SOCKET_H
#define PATCHWAVE_CONTROL_SOCKET_H

#include "orchestrator/io/loop.h"
#include "schema/buf.h"
#include "schema/json.h"

struct control;

/* Handle one request: append the result's JSON text, or return an error,
 * which the asker gets. Comes from the loop. */
typedef int control_fn(void *arg, const char *method, const json *params, const char *person,
                       struct buf *result, struct err *err);

/* Listen on DB.sock. The caller holds the database's lock: an older socket
 * file is nobody's. ERR_IO, ERR_READONLY. */
int control_listen(struct loop *l, const char *db_path, control_fn *fn, void *arg,
                   struct control **ret_control, struct err *err);
/* Removes the socket; `on_closed` fires once from the loop. */
void control_close(struct control *c, void (*on_closed)(void *arg), void *arg);

/* Ask, and wait for the answer. ERR_NOT_FOUND when nobody listens; ERR_TIMEOUT,
 * ERR_LOST; else the handler's own error. `result` gets JSON text. */
int control_ask(const char *db_path, const char *method, const char *params, dur_ms limit_ms,
                struct buf *result, struct err *err);

#endif
