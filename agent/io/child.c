#include "agent/io/child.h"

#include "agent/core/agent.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void child_init(struct child *c, uv_loop_t *loop, void *owner, void (*on_gone)(void *owner))
{
    *c = (struct child){ .loop = loop, .owner = owner, .on_gone = on_gone };
}

static void own_handle(struct child *c, uv_handle_t *h)
{
    h->data = c;
    c->open_handles++;
}

void child_init_pipe(struct child *c, uv_pipe_t *pipe)
{
    uv_pipe_init(c->loop, pipe, 0);
    own_handle(c, (uv_handle_t *)pipe);
}

void child_init_timer(struct child *c)
{
    uv_timer_init(c->loop, &c->timer);
    own_handle(c, (uv_handle_t *)&c->timer);
}

void *child_owner(const void *handle)
{
    const struct child *c = ((const uv_handle_t *)handle)->data;

    return c->owner;
}

static const char *program_of(const char *folder, const char *argv0, char *path, size_t size)
{
    if (os_is_absolute(argv0))
        return argv0;
    snprintf(path, size, "%s/%s", folder, argv0);
    return path;
}

int child_spawn(struct child *c, const char *folder, const struct driver_manifest_action *m,
                uv_stdio_container_t *io, uv_exit_cb on_exit, struct err *err)
{
    char path[2100];
    char **argv = calloc(m->n_argv + 1, sizeof *argv);
    uv_process_options_t o = {
        .exit_cb = on_exit,
        .file = program_of(folder, m->argv[0], path, sizeof path),
        .args = argv,
        .cwd = folder,
        .flags = UV_PROCESS_DETACHED | UV_PROCESS_WINDOWS_HIDE, /* a session of its own */
        .stdio = io,
        .stdio_count = 3,
    };
    int rc;

    if (argv == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    memcpy(argv, m->argv, m->n_argv * sizeof *argv); /* uv_spawn does not write to the texts */
    rc = uv_spawn(c->loop, &c->process, &o);
    own_handle(c, (uv_handle_t *)&c->process); /* initialised even when it failed */
    free(argv);
    if (rc != 0)
        return err_set(err, ERR_IO, "start driver %s: %s", o.file, uv_strerror(rc));
    c->pid = c->process.pid;
    return 0;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    static char block[65536]; /* one loop, one reader at a time */

    (void)h;
    (void)suggested;
    *ret = uv_buf_init(block, sizeof block);
}

void child_read(struct child *c, uv_read_cb on_out, uv_read_cb on_log)
{
    c->open_streams = 2;
    uv_read_start((uv_stream_t *)&c->out, on_alloc, on_out);
    uv_read_start((uv_stream_t *)&c->log, on_alloc, on_log);
}

void child_stream_over(struct child *c, uv_stream_t *s)
{
    child_close((uv_handle_t *)s);
    c->open_streams--;
}

void child_add_tail(struct child *c, const char *data, size_t len)
{
    buf_add(&c->tail, data, len);
    if (c->tail.len > AGENT_TAIL_BYTES)
        buf_drop(&c->tail, c->tail.len - AGENT_TAIL_BYTES);
}

void child_end_whole(struct child *c)
{
    os_job_end(&c->job);
    os_process_end(c->pid);
}

static void gone(struct child *c)
{
    buf_clear(&c->tail);
    c->on_gone(c->owner);
}

static void on_closed(uv_handle_t *h)
{
    struct child *c = h->data;

    assert(c->open_handles > 0);
    if (--c->open_handles == 0)
        gone(c);
}

void child_close(uv_handle_t *h)
{
    if (h->type != UV_UNKNOWN_HANDLE && !uv_is_closing(h))
        uv_close(h, on_closed);
}

void child_close_all(struct child *c)
{
    child_close((uv_handle_t *)&c->process);
    child_close((uv_handle_t *)&c->in);
    child_close((uv_handle_t *)&c->out);
    child_close((uv_handle_t *)&c->log);
    child_close((uv_handle_t *)&c->timer);
    if (c->open_handles == 0)
        gone(c);
}
