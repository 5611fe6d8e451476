/* A driver's process, and the handles of the loop that belong to it. A member of what it is part of: the `data` of each handle is the child,
 * child_owner() leads from a callback to the whole. */
#ifndef PATCHWAVE_AGENT_CHILD_H
#define PATCHWAVE_AGENT_CHILD_H

#include "agent/core/driver_proto.h"
#include "agent/io/os.h"

#include <uv.h>

struct child {
    uv_loop_t *loop;
    void *owner;
    void (*on_gone)(void *owner); /* every handle is closed: free what it is part of */
    uv_process_t process;
    uv_pipe_t in, out, log;
    uv_timer_t timer;
    unsigned open_handles; /* initialised, not yet closed */
    unsigned open_streams; /* out and log, until their end */
    int64_t pid;           /* 0: it never ran */
    struct os_job job;     /* holds what may be killed; what is left to itself is in none (O10) */
    struct buf tail;       /* the last of `log` */
};

void child_init(struct child *c, uv_loop_t *loop, void *owner, void (*on_gone)(void *owner));
void child_init_pipe(struct child *c, uv_pipe_t *pipe); /* in, out or log */
void child_init_timer(struct child *c);
void *child_owner(const void *handle);

/* Start the action's program in the driver's folder, in a session of its own, with the three streams of `io`.
 * ERR_NOMEM, ERR_IO: nothing runs, and child_close_all() is owed all the same. */
int child_spawn(struct child *c, const char *folder, const struct driver_manifest_action *m,
                uv_stdio_container_t *io, uv_exit_cb on_exit, struct err *err);
/* Read its standard output and error to their ends: child_stream_over(). */
void child_read(struct child *c, uv_read_cb on_out, uv_read_cb on_log);
void child_stream_over(struct child *c, uv_stream_t *s);
void child_add_tail(struct child *c, const char *data, size_t len); /* keeps AGENT_TAIL_BYTES */

/* End it, and all that it started. */
void child_end_whole(struct child *c);
void child_close(uv_handle_t *h); /* harmless when it is not open */
/* Close what is open; on_gone comes then, at once if nothing was. */
void child_close_all(struct child *c);

#endif
