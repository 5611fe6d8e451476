/* One command on a session: a channel with a bounded send buffer. Output is
 * handed on as it comes; standard error is kept as a tail, for messages.
 *
 *   opening --> asking --> running --> closing --> ended
 *      any --> ended, when the session is lost
 */
#ifndef PATCHWAVE_SSH_EXEC_H
#define PATCHWAVE_SSH_EXEC_H

#include "schema/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ssh_session;
struct ssh_exec;

#define SSH_EXEC_TAIL_MAX 512

struct ssh_exec_end {
    struct err why;     /* code ERR_OK: the command ran and ended; else the session or channel failed */
    int exit_status;    /* of a command that ended; -1: by a signal */
    const char *errors; /* the tail of its standard error, "" when none; valid during the call */
};

struct ssh_exec_config {
    const char *command;
    size_t send_max_bytes;      /* kept unsent at most; 0: 4 MiB */
    size_t turn_max_bytes;      /* written per turn of the loop, so that others get theirs; 0: 128 KiB */
    void (*on_open)(void *arg); /* the server runs the command; may be NULL */
    void (*on_data)(void *arg, const void *data, size_t len);
    void (*on_room)(void *arg); /* the send buffer has fallen to half of its bound or below; may be NULL */
    /* Once, unless ssh_exec_close() came first; the exec is gone when it returns. */
    void (*on_end)(void *arg, const struct ssh_exec_end *end);
    void *arg;
};

/* On a session that is ready. No callback comes from inside. ERR_NOMEM, ERR_STATE. */
int ssh_exec_start(struct ssh_session *s, const struct ssh_exec_config *config, struct ssh_exec **ret_exec,
                   struct err *err);
/* Queue bytes (copied; whole or not at all). ERR_CAPACITY when they do not fit,
 * ERR_STATE after ssh_exec_eof() or when the far side ended, ERR_NOMEM. */
int ssh_exec_send(struct ssh_exec *x, const void *data, size_t len, struct err *err);
/* Bytes queued and not yet handed to the connection; and how many more fit. */
size_t ssh_exec_unsent(const struct ssh_exec *x);
size_t ssh_exec_room(const struct ssh_exec *x);
/* No more input for the command once the queue is out. */
void ssh_exec_eof(struct ssh_exec *x);
/* No callback after this; the channel is closed in the background. */
void ssh_exec_close(struct ssh_exec *x);

#endif
