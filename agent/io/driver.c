#include "agent/io/driver.h"

#include "agent/io/child.h"
#include "agent/io/driver_resident.h"
#include "agent/io/op_folder.h"
#include "agent/io/os.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_LINE_MAX 1024 /* bytes */

struct driver_process {
    struct driver_process *next;
    struct driver_pool *pool;
    uint32_t run;
    struct child child;
    int64_t start; /* of an adopted one */
    bool effect, leave, adopted, exited, killed, overflow, ended, silent;
    int64_t exit_code;
    uv_write_t write;
    struct buf request, answer;
    struct buf line; /* of a read's standard error: what has no end yet */
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

static void process_free(void *gone)
{
    struct driver_process *d = gone;
    struct driver_pool *p = d->pool;

    for (struct driver_process **at = &p->first; *at != NULL; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    buf_clear(&d->request);
    buf_clear(&d->answer);
    buf_clear(&d->line);
    free(d);
    if (p->freeing && p->first == NULL)
        free(p);
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
        buf_add(&tail, buf_text(&d->child.tail), d->child.tail.len);
    }
    e.text = buf_text(&d->answer);
    e.len = d->answer.len;
    e.output_tail = buf_text(&tail);
    if (!d->silent)
        d->pool->owner.on_end(d->pool->owner.owner, &e);
    buf_clear(&tail);
    child_close_all(&d->child);
}

static void end_if_over(struct driver_process *d)
{
    if (d->exited && d->child.open_streams == 0)
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

/* The same of a read, whose standard error is a pipe. A line that is longer than any progress is none. */
static void hear_progress(struct driver_process *d, const char *data, size_t len)
{
    const char *newline;
    int32_t percent;
    char said[256];

    while ((newline = memchr(data, '\n', len)) != NULL) {
        buf_add(&d->line, data, (size_t)(newline - data));
        if (d->line.len < PROGRESS_LINE_MAX &&
            progress_line_read(buf_text(&d->line), d->line.len, &percent, said, sizeof said))
            d->pool->owner.on_progress(d->pool->owner.owner, d->run, percent, said);
        buf_clear(&d->line);
        len -= (size_t)(newline + 1 - data);
        data = newline + 1;
    }
    if (d->line.len < PROGRESS_LINE_MAX)
        buf_add(&d->line, data, len);
}

static void on_poll(uv_timer_t *t)
{
    struct driver_process *d = child_owner(t);

    look_for_progress(d);
    if (os_file_bytes(d->folder.answer) > (int64_t)DRIVER_ANSWER_MAX) {
        d->overflow = true;
        os_empty_file(d->folder.answer);
        if (!d->leave)
            child_end_whole(&d->child);
    }
    if (d->adopted && os_process_start(d->child.pid) != d->start)
        end(d);
}

static void on_exit_of(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct driver_process *d = child_owner(process);

    d->exited = true;
    d->exit_code = term_signal != 0 ? -term_signal : exit_status;
    if (d->effect)
        look_for_progress(d);
    if (!d->leave)
        child_end_whole(&d->child); /* what it left behind holds pipes open */
    end_if_over(d);
}

static void stream_over(struct driver_process *d, uv_stream_t *s)
{
    child_stream_over(&d->child, s);
    end_if_over(d);
}

static void on_answer_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct driver_process *d = child_owner(s);

    if (n < 0) {
        stream_over(d, s);
        return;
    }
    if (!d->overflow)
        buf_add(&d->answer, b->base, (size_t)n);
    if (d->answer.len > DRIVER_ANSWER_MAX || d->answer.failed) {
        d->overflow = true;
        child_end_whole(&d->child);
    }
}

static void on_log_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct driver_process *d = child_owner(s);

    if (n < 0) {
        stream_over(d, s);
        return;
    }
    child_add_tail(&d->child, b->base, (size_t)n);
    hear_progress(d, b->base, (size_t)n);
}

static void on_written(uv_write_t *w, int status)
{
    struct driver_process *d = w->data;

    (void)status; /* a driver that does not read its request answers nothing of use */
    child_close((uv_handle_t *)&d->child.in);
}

static void send_request(struct driver_process *d)
{
    uv_buf_t b = uv_buf_init(d->request.data, (unsigned)d->request.len);

    d->write.data = d;
    if (uv_write(&d->write, (uv_stream_t *)&d->child.in, &b, 1, on_written) != 0)
        child_close((uv_handle_t *)&d->child.in);
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
    io[0].data.stream = (uv_stream_t *)&d->child.in;
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
    io[1].data.stream = (uv_stream_t *)&d->child.out;
    io[2].data.stream = (uv_stream_t *)&d->child.log;
    return 0;
}

static void init_handles(struct driver_process *d)
{
    child_init_pipe(&d->child, &d->child.in);
    if (d->effect) {
        child_init_timer(&d->child);
        return;
    }
    child_init_pipe(&d->child, &d->child.out);
    child_init_pipe(&d->child, &d->child.log);
}

static int spawn(struct driver_process *d, const struct driver_manifest_action *m, struct err *err)
{
    uv_stdio_container_t io[3];
    int rc = set_stdio(d, io, err);

    if (rc != 0)
        return rc;
    rc = child_spawn(&d->child, d->pool->folder, m, io, on_exit_of, err);
    if (d->effect) {
        close_file(io[1].data.fd);
        close_file(io[2].data.fd);
    }
    return rc;
}

/* Before it gets its request: until then it has nothing to do, and starts nothing. */
static int hold(struct driver_process *d, struct err *err)
{
    int rc = d->leave ? 0 : os_job_hold(d->child.pid, &d->child.job, err);

    if (rc == 0 && d->effect)
        rc = op_folder_write_pid(&d->folder, d->child.pid, os_process_start(d->child.pid), err);
    if (rc != 0)
        child_end_whole(&d->child);
    else if (d->effect)
        uv_timer_start(&d->child.timer, on_poll, DRIVER_POLL_MS, DRIVER_POLL_MS);
    return rc;
}

static struct driver_process *process_new(struct driver_pool *p, uint32_t run)
{
    struct driver_process *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    child_init(&d->child, p->loop, d, process_free);
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
    if (rc == 0 && d->request.failed)
        rc = err_set(err, ERR_NOMEM, "driver");
    if (rc == 0) {
        init_handles(d);
        rc = spawn(d, m, err);
    }
    if (rc == 0)
        rc = hold(d, err);
    if (rc != 0) {
        d->silent = true;
        if (d->child.pid == 0)
            child_close_all(&d->child);
        else
            d->killed = true; /* on_exit_of closes it */
        return rc;
    }
    if (!d->effect)
        child_read(&d->child, on_answer_bytes, on_log_bytes);
    send_request(d);
    return 0;
}

void driver_kill(struct driver_pool *p, uint32_t run)
{
    residents_kill(p->residents, run);
    for (struct driver_process *d = p->first; d != NULL; d = d->next)
        if (d->run == run && !d->ended && !d->exited) {
            d->killed = true;
            child_end_whole(&d->child);
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
            child_end_whole(&d->child);
        if (!d->ended) {
            d->ended = true;
            child_close_all(&d->child);
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
    op_folder_read_pid(&d->folder, &d->child.pid, &d->start);
    child_init_timer(&d->child);
    uv_timer_start(&d->child.timer, on_poll, DRIVER_POLL_MS, DRIVER_POLL_MS);
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
