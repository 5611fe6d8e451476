#include "agent/io/driver_resident.h"

#include "agent/io/child.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*   asked --line or end--> answered --next turn of the loop--> at rest --asked, or ended */
struct resident {
    struct resident *next;
    struct residents *set;
    const struct driver_manifest_action *m; /* whose argv it was started with */
    uint32_t run;                           /* while asked */
    char tag[16];                           /* what its answer begins with: late words are nobody's answer */
    bool asked, answered, writing, killed, overflow, exited, closing;
    uint32_t answers; /* given so far */
    int64_t exit_code;
    struct child child; /* its timer: the report of an answer, or the end of the rest */
    uv_write_t write;
    struct buf request, answer;
};

struct residents {
    uv_loop_t *loop;
    char folder[1024];
    struct driver_owner owner;
    struct resident *first;
    bool freeing;
};

int residents_new(uv_loop_t *loop, const char *folder, struct driver_owner owner, struct residents **ret,
                  struct err *err)
{
    struct residents *s = calloc(1, sizeof *s);

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    *s = (struct residents){ .loop = loop, .owner = owner };
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    *ret = s;
    return 0;
}

/* --- the end of one --- */

static void resident_free(void *gone)
{
    struct resident *r = gone;
    struct residents *s = r->set;

    for (struct resident **at = &s->first; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    buf_clear(&r->request);
    buf_clear(&r->answer);
    free(r);
    if (s->freeing && s->first == NULL)
        free(s);
}

static void close_all(struct resident *r)
{
    r->closing = true;
    child_close_all(&r->child);
}

/* --- an answer --- */

static bool at_rest(const struct resident *r)
{
    return !r->asked && !r->writing && !r->killed && !r->exited && !r->closing && r->child.open_streams == 2;
}

static bool same_program(const struct driver_manifest_action *a, const struct driver_manifest_action *b)
{
    if (a->n_argv != b->n_argv)
        return false;
    for (uint32_t i = 0; i < a->n_argv; i++)
        if (strcmp(a->argv[i], b->argv[i]) != 0)
            return false;
    return true;
}

static struct resident *find_at_rest(const struct residents *s, const struct driver_manifest_action *m,
                                     const struct resident *but)
{
    for (struct resident *r = s->first; r != NULL; r = r->next)
        if (r != but && at_rest(r) && same_program(r->m, m))
            return r;
    return NULL;
}

static bool has_tag(const struct resident *r)
{
    return strncmp(buf_text(&r->answer), r->tag, strlen(r->tag)) == 0;
}

/* It is free for the next question before anybody hears of the answer: its first `len` bytes. */
static void report(struct resident *r, enum agent_driver_end end, size_t len)
{
    struct buf answer = r->answer, tail = r->child.tail;
    size_t skip = has_tag(r) && len >= strlen(r->tag) ? strlen(r->tag) : 0;
    struct driver_end e = { .run = r->run, .end = end, .text = buf_text(&answer) + skip, .len = len - skip };

    e.output_tail = buf_text(&tail);
    r->answer = r->child.tail = (struct buf)BUF_INIT;
    r->asked = r->answered = false;
    r->answers++;
    if (!r->set->freeing)
        r->set->owner.on_end(r->set->owner.owner, &e);
    buf_clear(&answer);
    buf_clear(&tail);
}

static void end_now(struct resident *r)
{
    r->killed = true;
    child_end_whole(&r->child); /* on_exit_of closes it */
}

static void on_rest_over(uv_timer_t *t)
{
    struct resident *r = child_owner(t);

    if (at_rest(r))
        end_now(r);
}

/* One of a kind is kept, and none for ever: what it holds may have gone stale, or grown. */
static void go_to_rest(struct resident *r)
{
    if (r->answers + 1 >= RESIDENT_ANSWERS_MAX || find_at_rest(r->set, r->m, r) != NULL)
        end_now(r);
    else
        uv_timer_start(&r->child.timer, on_rest_over, RESIDENT_REST_MS, 0);
}

/* A turn after the line came: what it wrote to standard error before has been read by now. */
static void on_answered(uv_timer_t *t)
{
    struct resident *r = child_owner(t);
    const char *text = buf_text(&r->answer);
    size_t len = strcspn(text, "\n");

    assert(r->asked && len < r->answer.len);
    if (r->killed)
        return;                                    /* its end is told when it has ended */
    if (len + 1 != r->answer.len || !has_tag(r)) { /* not one line, or not to this: nobody to ask again */
        child_end_whole(&r->child);
        return;
    }
    go_to_rest(r);
    report(r, AGENT_DRIVER_EXITED, len);
}

static int ask_new(struct residents *s, const struct driver_manifest_action *m, uint32_t run,
                   const char *text, size_t len, struct err *err);

/* One that was kept ended as it was asked, or still talked of the question before: a read may be asked again. */
static bool asked_anew(struct resident *r)
{
    size_t tag = strlen(r->tag);

    if (!r->asked || r->answers == 0 || r->killed || has_tag(r) || r->set->freeing ||
        ask_new(r->set, r->m, r->run, buf_text(&r->request) + tag, r->request.len - tag, NULL) != 0)
        return false;
    r->asked = false;
    return true;
}

/* It is gone. One that answers and ends is a driver too. */
static void over(struct resident *r)
{
    bool good = r->exit_code == 0 && !r->overflow && (has_tag(r) || r->answer.len == 0);
    enum agent_driver_end end = r->killed ? AGENT_DRIVER_KILLED
                                : good    ? AGENT_DRIVER_EXITED
                                          : AGENT_DRIVER_BAD_EXIT;

    if (r->asked && !asked_anew(r))
        report(r, end, r->answer.len);
    close_all(r);
}

static void over_if_gone(struct resident *r)
{
    if (r->exited && r->child.open_streams == 0 && !r->closing)
        over(r);
}

static void on_exit_of(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct resident *r = child_owner(process);

    r->exited = true;
    r->exit_code = term_signal != 0 ? -term_signal : exit_status;
    uv_timer_stop(&r->child.timer);
    child_end_whole(&r->child); /* what it left behind holds pipes open */
    over_if_gone(r);
}

static void stream_over(struct resident *r, uv_stream_t *s)
{
    child_stream_over(&r->child, s);
    over_if_gone(r);
}

static void on_answer_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct resident *r = child_owner(s);

    if (n < 0) {
        stream_over(r, s);
        return;
    }
    if (!r->asked) {
        end_now(r); /* it talks unasked: its next answer could be anybody's */
        return;
    }
    if (!r->overflow)
        buf_add(&r->answer, b->base, (size_t)n);
    if (r->answer.len > DRIVER_ANSWER_MAX || r->answer.failed) {
        r->overflow = true;
        child_end_whole(&r->child);
    } else if (!r->answered && !r->exited && memchr(b->base, '\n', (size_t)n) != NULL) {
        r->answered = true;
        uv_timer_start(&r->child.timer, on_answered, 0, 0);
    }
}

static void on_log_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct resident *r = child_owner(s);

    if (n < 0) {
        stream_over(r, s);
        return;
    }
    child_add_tail(&r->child, b->base, (size_t)n);
}

/* --- a question --- */

static void on_written(uv_write_t *w, int status)
{
    struct resident *r = w->data;

    r->writing = false;
    if (status != 0 && !r->exited && !r->closing)
        child_end_whole(&r->child);
}

static int send_request(struct resident *r, uint32_t run, const char *text, size_t len, struct err *err)
{
    uv_buf_t b;

    assert(len > 0 && text[len - 1] == '\n');
    snprintf(r->tag, sizeof r->tag, "%u ", run);
    buf_clear(&r->request);
    buf_str(&r->request, r->tag);
    buf_add(&r->request, text, len); /* a line */
    if (r->request.failed)
        return err_set(err, ERR_NOMEM, "driver");
    b = uv_buf_init(r->request.data, (unsigned)r->request.len);
    r->write.data = r;
    if (uv_write(&r->write, (uv_stream_t *)&r->child.in, &b, 1, on_written) != 0)
        return err_set(err, ERR_IO, "driver: its input is closed");
    r->writing = r->asked = true;
    r->run = run;
    uv_timer_stop(&r->child.timer);
    return 0;
}

static int spawn(struct resident *r, struct err *err)
{
    uv_stdio_container_t io[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&r->child.in },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->child.out },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->child.log },
    };
    int rc;

    child_init_pipe(&r->child, &r->child.in);
    child_init_pipe(&r->child, &r->child.out);
    child_init_pipe(&r->child, &r->child.log);
    child_init_timer(&r->child);
    rc = child_spawn(&r->child, r->set->folder, r->m, io, on_exit_of, err);
    if (rc != 0)
        return rc;
    child_read(&r->child, on_answer_bytes, on_log_bytes);
    return os_job_hold(r->child.pid, &r->child.job, err);
}

static struct resident *resident_new(struct residents *s, const struct driver_manifest_action *m)
{
    struct resident *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    child_init(&r->child, s->loop, r, resident_free);
    r->set = s;
    r->m = m;
    r->next = s->first;
    s->first = r;
    return r;
}

static int ask_new(struct residents *s, const struct driver_manifest_action *m, uint32_t run,
                   const char *text, size_t len, struct err *err)
{
    struct resident *r = resident_new(s, m);
    int rc;

    if (r == NULL)
        return err_set(err, ERR_NOMEM, "driver");
    rc = spawn(r, err);
    if (rc == 0)
        rc = send_request(r, run, text, len, err);
    if (rc != 0 && r->child.pid == 0)
        close_all(r);
    else if (rc != 0)
        end_now(r);
    return rc;
}

int residents_ask(struct residents *s, const struct driver_manifest_action *m, uint32_t run, const char *text,
                  size_t len, struct err *err)
{
    struct resident *r = find_at_rest(s, m, NULL);

    if (r != NULL && send_request(r, run, text, len, NULL) == 0)
        return 0;
    if (r != NULL)
        end_now(r);
    return ask_new(s, m, run, text, len, err);
}

void residents_kill(struct residents *s, uint32_t run)
{
    for (struct resident *r = s->first; r != NULL; r = r->next)
        if (r->asked && r->run == run && !r->exited)
            end_now(r);
}

void residents_dismiss(struct residents *s)
{
    for (struct resident *r = s->first; r != NULL; r = r->next)
        if (at_rest(r))
            end_now(r);
}

void residents_free(struct residents *s)
{
    struct resident *next;

    if (s == NULL)
        return;
    s->freeing = true;
    if (s->first == NULL) {
        free(s);
        return;
    }
    for (struct resident *r = s->first; r != NULL; r = next) {
        next = r->next;
        if (!r->exited && r->child.pid != 0)
            child_end_whole(&r->child);
        if (!r->closing)
            close_all(r);
    }
}
