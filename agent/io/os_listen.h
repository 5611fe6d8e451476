/* The listening side of the local socket, with the same meaning everywhere: it
 * is closed to others before the first peer can come. One more thing of os.h,
 * apart from it because only this one knows the loop. */
#ifndef PATCHWAVE_OS_LISTEN_H
#define PATCHWAVE_OS_LISTEN_H

#include "schema/err.h"

#include <uv.h>

struct os_listener;
struct os_listener_owner {
    void *owner;
    void (*on_peer)(void *owner);   /* take it by os_accept before returning: else it may be dropped */
    void (*on_closed)(void *owner); /* the listener is no more */
};

/* Listen at `path`, alone: the caller holds the lock of the state folder, and a
 * name that somebody else listens on all the same is ERR_IO. Members of `group`
 * (Windows: the SID of an account) may connect; NULL: nobody else. On Windows
 * no peer of another machine may. ERR_IO, ERR_NOMEM, ERR_INVALID (group). */
int os_listen(uv_loop_t *loop, const char *path, const char *group, struct os_listener_owner owner,
              struct os_listener **ret_listener, struct err *err);
/* Make `pipe`, which is fresh from uv_pipe_init, the connection. 0, or libuv's error. */
int os_accept(struct os_listener *l, uv_pipe_t *pipe);
/* The loop must run once more, for on_closed. */
void os_listener_close(struct os_listener *l);

#endif
