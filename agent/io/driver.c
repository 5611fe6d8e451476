#include "agent/io/driver.h"

#include "agent/io/driver_resident.h"
#include "agent/io/op_folder.h"
#include "agent/io/os.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct driver_process {
    struct driver_process *next;
    struct driver_pool *pool;
    uint32_t run;
    int64_t pid, start; /* start: of an adopted one */
    struct os_job job;  /* holds what may be killed; what is left to itself is in none (O10) */
    bool effect, leave, adopted, exited, killed, overflow, ended, silent;
    int64_t exit_code;
    uv_process_t process;
    uv_pipe_t in, out, log;
    uv_timer_t timer;
    uv_write_t write;
    unsigned open_handles; /* initialised, not yet closed */
    unsigned open_streams; /* out and log, until their end */
    struct buf request, answer, tail;
    struct op_folder folder;
    int64_t looked_at; /* bytes of the output file that were searched for progress */
    int64_t dropped;   /* bytes of output that went over the bound */
};

struct driver_pool {
    uv_loop_t *loop;
    char folder[1024], ops_dir[1024];
    const struct driver_manifest *manifest;
    struct driver_owner owner;
    struct driver_process *first;
    struct residents *residents;
    bool freeing;
};

int driver_pool_new(uv_loop_t *loop, const char *folder, const char *ops_dir,
                    const struct driver_manifest *manifest, struct driver_owner owner,
                    struct driver_pool **ret_pool, struct err *err)
{
    struct driver_pool *p = calloc(1, sizeof *p);
    int rc;

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    *p = (struct driver_pool){ .loop = loop, .manifest = manifest, .owner = owner };
    if (snprintf(p->folder, sizeof p->folder, "%s", folder) >= (int)sizeof p->folder ||
        snprintf(p->ops_dir, sizeof p->ops_dir, "%s", ops_dir) >= (int)sizeof p->ops_dir)
        rc = err_set(err, ERR_INVALID, "path too long: %s", folder);
    else
        rc = residents_new(loop, folder, owner, &p->residents, err);
    if (rc != 0) {
        free(p);
        return rc;
    }
    *ret_pool = p;
    return 0;
}

static void process_free(struct driver_process *d)
{
    struct driver_pool *p = d->pool;

    for (struct driver_process **at = &p->first; *at != NULL; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    buf_clear(&d->request);
    buf_clear(&d->answer);
    buf_clear(&d->tail);
    free(d);
    if (p->freeing && p->first == NULL)
        free(p);
}

static void on_closed(uv_handle_t *h)
{
    struct driver_process *d = h->data;

    assert(d->open_handles > 0);
    if (--d->open_handles == 0)
        process_free(d);
}

static void close_handle(uv_handle_t *h)
{
    if (h->type != UV_UNKNOWN_HANDLE && !uv_is_closing(h))
        uv_close(h, on_closed);
}

static void close_all(struct driver_process *d)
{
    close_handle((uv_handle_t *)&d->process);
    close_handle((uv_handle_t *)&d->in);
    close_handle((uv_handle_t *)&d->out);
    close_handle((uv_handle_t *)&d->log);
    close_handle((uv_handle_t *)&d->timer);
    if (d->open_handles == 0)
        process_free(d);
}

/* The driver and all that it started. */
static void end_whole(struct driver_process *d)
{
    os_job_end(&d->job);
    os_process_end(d->pid);
}

static void own_handle(struct driver_process *d, uv_handle_t *h)
{
    h->data = d;
    d->open_handles++;
}

static enum agent_driver_end how_ended(const struct driver_process *d)
{
    if (d->adopted)
        return AGENT_DRIVER_LOST;
    if (d->killed)
        return AGENT_DRIVER_KILLED;
    return d->exit_code == 0 && !d->overflow ? AGENT_DRIVER_EXITED : AGENT_DRIVER_BAD_EXIT;
}

/* Report once, then close. */
static void end(struct driver_process *d)
{
    struct driver_end e = { .run = d->run, .end = how_ended(d) };
    struct buf tail = BUF_INIT;

    if (d->ended)
        return;
    d->ended = true;
    if (d->effect) {
        int64_t bytes = os_file_bytes(d->folder.output);

        if (!d->adopted && os_read_file(d->folder.answer, DRIVER_ANSWER_MAX, &d->answer, NULL) != 0 &&
            e.end == AGENT_DRIVER_EXITED)
            e.end = AGENT_DRIVER_BAD_EXIT;
        op_folder_tail(&d->folder, AGENT_TAIL_BYTES, &tail);
        e.output_bytes = d->dropped + (bytes > 0 ? bytes : 0);
        os_remove(d->folder.pid);
    } else {
        buf_add(&tail, buf_text(&d->tail), d->tail.len);
    }
    e.text = buf_text(&d->answer);
    e.len = d->answer.len;
    e.output_tail = buf_text(&tail);
    if (!d->silent)
        d->pool->owner.on_end(d->pool->owner.owner, &e);
    buf_clear(&tail);
    close_all(d);
}

static void end_if_over(struct driver_process *d)
{
    if (d->exited && d->open_streams == 0)
        end(d);
}

static void look_for_progress(struct driver_process *d)
{
    struct buf all = BUF_INIT;
    int64_t bytes = os_file_bytes(d->folder.output);
    int32_t percent;
    char said[256];

    if (bytes > DRIVER_OUTPUT_BYTES) { /* bounded: what a flood wrote is dropped, its size is kept */
        os_empty_file(d->folder.output);
        d->dropped += bytes;
        d->looked_at = 0;
        return;
    }
    if (bytes <= d->looked_at || os_read_file(d->folder.output, DRIVER_OUTPUT_BYTES * 2, &all, NULL) != 0) {
        buf_clear(&all);
        return;
    }
    for (;;) {
        const char *at = buf_text(&all) + d->looked_at;
        size_t left = (int64_t)all.len > d->looked_at ? all.len - (size_t)d->looked_at : 0;
        const char *newline = left == 0 ? NULL : memchr(at, '\n', left);

        if (newline == NULL)
            break;
        d->looked_at += newline - at + 1;
        if (progress_line_read(at, (size_t)(newline - at), &percent, said, sizeof said))
            d->pool->owner.on_progress(d->pool->owner.owner, d->run, percent, said);
    }
    buf_clear(&all);
}

static void on_poll(uv_timer_t *t)
{
    struct driver_process *d = t->data;

    look_for_progress(d);
    if (os_file_bytes(d->folder.answer) > (int64_t)DRIVER_ANSWER_MAX) {
        d->overflow = true;
        os_empty_file(d->folder.answer);
        if (!d->leave)
            end_whole(d);
    }
    if (d->adopted && os_process_start(d->pid) != d->start)
        end(d);
}

static void on_exit_of(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct driver_process *d = process->data;

    d->exited = true;
    d->exit_code = term_signal != 0 ? -term_signal : exit_status;
    if (d->effect)
        look_for_progress(d);
    if (!d->leave)
        end_whole(d); /* what it left behind holds pipes open */
    end_if_over(d);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    static char block[65536]; /* one loop, one reader at a time */

    (void)h;
    (void)suggested;
    *ret = uv_buf_init(block, sizeof block);
}

static void stream_over(struct driver_process *d, uv_stream_t *s)
{
    close_handle((uv_handle_t *)s);
    d->open_streams--;
    end_if_over(d);
}

static void on_answer_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct driver_process *d = s->data;

    if (n < 0) {
        stream_over(d, s);
        return;
    }
    if (!d->overflow)
        buf_add(&d->answer, b->base, (size_t)n);
    if (d->answer.len > DRIVER_ANSWER_MAX || d->answer.failed) {
        d->overflow = true;
        end_whole(d);
    }
}

static void on_log_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct driver_process *d = s->data;

    if (n < 0) {
        stream_over(d, s);
        return;
    }
    buf_add(&d->tail, b->base, (size_t)n);
    if (d->tail.len > AGENT_TAIL_BYTES)
        buf_drop(&d->tail, d->tail.len - AGENT_TAIL_BYTES);
}

static void on_written(uv_write_t *w, int status)
{
    struct driver_process *d = w->data;

    (void)status; /* a driver that does not read its request answers nothing of use */
    close_handle((uv_handle_t *)&d->in);
}

static void send_request(struct driver_process *d)
{
    uv_buf_t b = uv_buf_init(d->request.data, (unsigned)d->request.len);

    d->write.data = d;
    if (uv_write(&d->write, (uv_stream_t *)&d->in, &b, 1, on_written) != 0)
        close_handle((uv_handle_t *)&d->in);
}

static int open_file(const char *path, struct err *err)
{
    uv_fs_t rq;
    int fd = uv_fs_open(NULL, &rq, path, O_WRONLY | O_CREAT | O_APPEND, 0600, NULL);

    uv_fs_req_cleanup(&rq);
    if (fd < 0)
        err_set(err, fd == UV_ENOSPC ? ERR_FULL : ERR_IO, "open %s: %s", path, uv_strerror(fd));
    return fd;
}

static void close_file(int fd)
{
    uv_fs_t rq;

    if (fd < 0)
        return;
    uv_fs_close(NULL, &rq, fd, NULL);
    uv_fs_req_cleanup(&rq);
}

/* Standard output and error: files for an effect, pipes for a read. */
static int set_stdio(struct driver_process *d, uv_stdio_container_t *io, struct err *err)
{
    io[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
    io[0].data.stream = (uv_stream_t *)&d->in;
    if (d->effect) {
        io[1].flags = io[2].flags = UV_INHERIT_FD;
        io[1].data.fd = open_file(d->folder.answer, err);
        if (io[1].data.fd < 0)
            return (int)err->code;
        io[2].data.fd = open_file(d->folder.output, err);
        if (io[2].data.fd >= 0)
            return 0;
        close_file(io[1].data.fd);
        return (int)err->code;
    }
    io[1].flags = io[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    io[1].data.stream = (uv_stream_t *)&d->out;
    io[2].data.stream = (uv_stream_t *)&d->log;
    return 0;
}

static void init_handles(struct driver_process *d)
{
    uv_pipe_init(d->pool->loop, &d->in, 0);
    own_handle(d, (uv_handle_t *)&d->in);
    if (d->effect) {
        uv_timer_init(d->pool->loop, &d->timer);
        own_handle(d, (uv_handle_t *)&d->timer);
        return;
    }
    uv_pipe_init(d->pool->loop, &d->out, 0);
    own_handle(d, (uv_handle_t *)&d->out);
    uv_pipe_init(d->pool->loop, &d->log, 0);
    own_handle(d, (uv_handle_t *)&d->log);
}

static int spawn(struct driver_process *d, const struct driver_manifest_action *m, struct err *err)
{
    char path[2100];
    uv_stdio_container_t io[3];
    uv_process_options_t o = {
        .exit_cb = on_exit_of,
        .file = driver_program(d->pool->folder, m->argv[0], path, sizeof path),
        .cwd = d->pool->folder,
        .flags = UV_PROCESS_DETACHED | UV_PROCESS_WINDOWS_HIDE, /* a session of its own */
        .stdio = io,
        .stdio_count = 3,
    };
    char **argv = driver_argv(m);
    int rc;

    if (argv == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    rc = set_stdio(d, io, err);
    if (rc != 0) {
        free(argv);
        return rc;
    }
    o.args = argv;
    rc = uv_spawn(d->pool->loop, &d->process, &o);
    own_handle(d, (uv_handle_t *)&d->process); /* initialised even when it failed */
    if (d->effect) {
        close_file(io[1].data.fd);
        close_file(io[2].data.fd);
    }
    free(argv);
    if (rc != 0)
        return err_set(err, ERR_IO, "start driver %s: %s", o.file, uv_strerror(rc));
    d->pid = d->process.pid;
    return 0;
}

/* Before it gets its request: until then it has nothing to do, and starts nothing. */
static int hold(struct driver_process *d, struct err *err)
{
    int rc = d->leave ? 0 : os_job_hold(d->pid, &d->job, err);

    if (rc == 0 && d->effect)
        rc = op_folder_write_pid(&d->folder, d->pid, os_process_start(d->pid), err);
    if (rc != 0)
        end_whole(d);
    else if (d->effect)
        uv_timer_start(&d->timer, on_poll, DRIVER_POLL_MS, DRIVER_POLL_MS);
    return rc;
}

static struct driver_process *process_new(struct driver_pool *p, uint32_t run)
{
    struct driver_process *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    d->pool = p;
    d->run = run;
    d->next = p->first;
    p->first = d;
    return d;
}

int driver_start(struct driver_pool *p, const struct agent_effect *e, struct err *err)
{
    const struct driver_manifest_action *m = driver_manifest_find(p->manifest, e->action);
    struct driver_process *d;
    int rc = 0;

    if (!e->effect && m->resident && (driver_action_flags(e->action) & DRIVER_FETCHES) == 0)
        return residents_ask(p->residents, m, e->run, e->text, e->len, err);
    if (e->leave)
        residents_dismiss(p->residents);
    d = process_new(p, e->run);
    if (d == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    d->effect = e->effect;
    d->leave = e->leave;
    buf_add(&d->request, e->text, e->len);
    if (d->effect)
        rc = op_folder_name(p->ops_dir, e->op, &d->folder, err);
    if (rc == 0 && d->effect)
        rc = op_folder_make(&d->folder, err);
    if (rc == 0) {
        init_handles(d);
        rc = spawn(d, m, err);
    }
    if (rc == 0)
        rc = hold(d, err);
    if (rc != 0 || d->request.failed) {
        d->silent = true;
        if (d->pid == 0)
            close_all(d);
        else
            d->killed = true; /* on_exit_of closes it */
        return rc != 0 ? rc : err_set(err, ERR_NOMEM, "driver");
    }
    if (!d->effect) {
        d->open_streams = 2;
        uv_read_start((uv_stream_t *)&d->out, on_alloc, on_answer_bytes);
        uv_read_start((uv_stream_t *)&d->log, on_alloc, on_log_bytes);
    }
    send_request(d);
    return 0;
}

void driver_kill(struct driver_pool *p, uint32_t run)
{
    residents_kill(p->residents, run);
    for (struct driver_process *d = p->first; d != NULL; d = d->next)
        if (d->run == run && !d->ended && !d->exited) {
            d->killed = true;
            end_whole(d);
        }
}

void driver_pool_free(struct driver_pool *p)
{
    struct driver_process *d, *next;

    if (p == NULL)
        return;
    p->freeing = true;
    residents_free(p->residents);
    if (p->first == NULL) {
        free(p);
        return;
    }
    for (d = p->first; d != NULL; d = next) {
        next = d->next;
        d->silent = true;
        if (!d->leave && !d->ended)
            end_whole(d);
        if (!d->ended) {
            d->ended = true;
            close_all(d);
        }
    }
}

bool driver_survived(struct driver_pool *p, const char *op, bool leave)
{
    struct op_folder f;
    int64_t pid = 0, start = 0;

    if (op_folder_name(p->ops_dir, op, &f, NULL) != 0 || !op_folder_read_pid(&f, &pid, &start) ||
        os_process_start(pid) != start)
        return false;
    if (!leave)
        os_process_end(pid);
    return leave;
}

int driver_adopt(struct driver_pool *p, const char *op, uint32_t run, struct err *err)
{
    struct driver_process *d = process_new(p, run);

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    d->effect = d->leave = d->adopted = true;
    op_folder_name(p->ops_dir, op, &d->folder, err);
    op_folder_read_pid(&d->folder, &d->pid, &d->start);
    uv_timer_init(p->loop, &d->timer);
    own_handle(d, (uv_handle_t *)&d->timer);
    uv_timer_start(&d->timer, on_poll, DRIVER_POLL_MS, DRIVER_POLL_MS);
    return 0;
}

int driver_output_page(const struct driver_pool *p, const char *op, int64_t offset, int64_t max,
                       struct buf *out, struct err *err)
{
    struct op_folder f;
    int rc = op_folder_name(p->ops_dir, op, &f, err);

    return rc != 0 ? rc : op_folder_page(&f, offset, max, out, err);
}

void driver_forget(struct driver_pool *p, const char *op)
{
    struct op_folder f;

    if (op_folder_name(p->ops_dir, op, &f, NULL) == 0)
        op_folder_remove(&f);
}
