#include "orchestrator/io/ssh_keyagent.h"

#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_wire.h"
#include "schema/buf.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define AGENT_FAILURE 5
#define AGENT_LIST 11
#define AGENT_LIST_ANSWER 12
#define AGENT_SIGN 13
#define AGENT_SIGN_ANSWER 14
#define AGENT_ANSWER_MAX (256u << 10)

struct ssh_keyagent_ask {
    struct ssh_keyagent_ask *next;
    struct buf frame;
    uint8_t answer_type;
    ssh_keyagent_fn *fn; /* NULL: dropped */
    void *arg;
};

/* One connection; outlives its agent while it closes. */
struct agent_link {
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    struct ssh_keyagent *agent; /* NULL: given up */
    struct buf in;
    bool connected, writing;
    struct buf out; /* what `write` is sending */
    struct loop_closer closer;
    char chunk[4096];
};

/* The first ask in line is the one being answered. */
struct ssh_keyagent {
    struct loop *loop;
    char *path;
    struct agent_link *link;
    struct ssh_keyagent_ask *first, **last;
    bool sent; /* the first ask has been sent */
};

static void agent_step(struct ssh_keyagent *a);

int ssh_keyagent_new(struct loop *l, const char *path, struct ssh_keyagent **ret_agent, struct err *err)
{
    struct ssh_keyagent *a = calloc(1, sizeof *a);

    if (a == NULL || (a->path = strdup(path)) == NULL) {
        free(a);
        return err_set(err, ERR_NOMEM, "ssh-agent");
    }
    a->loop = l;
    a->last = &a->first;
    *ret_agent = a;
    return 0;
}

const char *ssh_keyagent_path(const struct ssh_keyagent *agent)
{
    return agent->path;
}

static void on_link_closed(void *arg)
{
    struct agent_link *link = arg;

    buf_clear(&link->in);
    buf_clear(&link->out);
    free(link);
}

static void agent_hang_up(struct ssh_keyagent *a)
{
    struct agent_link *link = a->link;

    if (link == NULL)
        return;
    a->link = NULL;
    a->sent = false;
    link->agent = NULL;
    loop_close(&link->closer, (uv_handle_t *)&link->pipe);
}

static struct ssh_keyagent_ask *agent_shift(struct ssh_keyagent *a)
{
    struct ssh_keyagent_ask *ask = a->first;

    a->first = ask->next;
    if (a->first == NULL)
        a->last = &a->first;
    a->sent = false;
    return ask;
}

static void ask_end(struct ssh_keyagent_ask *ask, const uint8_t *answer, size_t len, const struct err *why)
{
    ssh_keyagent_fn *fn = ask->fn;
    void *arg = ask->arg;

    buf_clear(&ask->frame);
    free(ask);
    if (fn != NULL)
        fn(arg, answer, len, why);
}

void ssh_keyagent_close(struct ssh_keyagent *a)
{
    if (a == NULL)
        return;
    agent_hang_up(a);
    while (a->first != NULL) {
        assert(a->first->fn == NULL);
        ask_end(agent_shift(a), NULL, 0, NULL);
    }
    free(a->path);
    free(a);
}

/* The connection is lost: everyone who waited is told, once. */
static void agent_fail(struct ssh_keyagent *a, const char *what)
{
    struct ssh_keyagent_ask *list = a->first;
    struct err why;

    (void)err_set(&why, ERR_AUTH, "ssh-agent at %s: %s", a->path, what);
    agent_hang_up(a);
    a->first = NULL;
    a->last = &a->first;
    while (list != NULL) { /* the callbacks may ask anew: that is a new line */
        struct ssh_keyagent_ask *ask = list;
        list = ask->next;
        ask_end(ask, NULL, 0, &why);
    }
}

/* Answer the first ask from a whole message. */
static void agent_answer(struct ssh_keyagent *a, const uint8_t *msg, size_t len)
{
    struct ssh_keyagent_ask *ask = agent_shift(a);
    struct err why;

    if (len >= 1 && msg[0] == ask->answer_type) {
        ask_end(ask, msg + 1, len - 1, NULL);
        return;
    }
    (void)err_set(&why, ERR_AUTH, "ssh-agent at %s: %s", a->path,
                  len >= 1 && msg[0] == AGENT_FAILURE ? "refused (locked, or the key is gone)"
                                                      : "unexpected answer");
    ask_end(ask, NULL, 0, &why);
}

static void agent_take(struct ssh_keyagent *a, struct agent_link *link)
{
    while (link->agent == a && link->in.len >= 4) {
        struct ssh_reader r = ssh_reader_over(link->in.data, link->in.len);
        struct ssh_string msg = ssh_read_string(&r);
        struct buf whole = BUF_INIT;

        if (link->in.data[0] != 0) { /* 16 MiB and more */
            agent_fail(a, "answer too long");
            return;
        }
        if (r.bad)
            return; /* the rest is on its way */
        if (a->first == NULL || !a->sent) {
            agent_fail(a, "answer to no question");
            return;
        }
        buf_add(&whole, msg.data, msg.len);
        buf_drop(&link->in, msg.len + 4);
        agent_answer(a, (const uint8_t *)whole.data, whole.len);
        buf_clear(&whole);
    }
}

static void on_link_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret_buf)
{
    struct agent_link *link = h->data;

    (void)hint;
    *ret_buf = uv_buf_init(link->chunk, sizeof link->chunk);
}

static void on_link_read(uv_stream_t *s, ssize_t n, const uv_buf_t *data)
{
    struct agent_link *link = s->data;
    struct ssh_keyagent *a = link->agent;

    if (a == NULL || n == 0)
        return;
    if (n < 0) {
        agent_fail(a, n == UV_EOF ? "it closed the connection" : uv_strerror((int)n));
        return;
    }
    buf_add(&link->in, data->base, (size_t)n);
    if (link->in.failed || link->in.len > AGENT_ANSWER_MAX) {
        agent_fail(a, "answer too long");
        return;
    }
    agent_take(a, link);
    if (link->agent == a)
        agent_step(a);
}

static void on_link_written(uv_write_t *req, int status)
{
    struct agent_link *link = req->data;

    link->writing = false;
    if (link->agent != NULL && status < 0)
        agent_fail(link->agent, uv_strerror(status));
    else if (link->agent != NULL)
        agent_step(link->agent);
}

static void on_link_connected(uv_connect_t *req, int status)
{
    struct agent_link *link = req->data;
    struct ssh_keyagent *a = link->agent;

    if (a == NULL)
        return;
    if (status == 0) {
        link->connected = true;
        status = uv_read_start((uv_stream_t *)&link->pipe, on_link_alloc, on_link_read);
    }
    if (status != 0)
        agent_fail(a, uv_strerror(status));
    else
        agent_step(a);
}

static int agent_connect(struct ssh_keyagent *a)
{
    struct agent_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return UV_ENOMEM;
    (void)uv_pipe_init(loop_uv(a->loop), &link->pipe, 0);
    uv_unref((uv_handle_t *)&link->pipe); /* who waits for an answer has a time limit running */
    link->closer.done = on_link_closed;
    link->closer.arg = link;
    link->agent = a;
    link->pipe.data = link->connect.data = link->write.data = link;
    a->link = link;
    uv_pipe_connect(&link->connect, &link->pipe, a->path, on_link_connected);
    return 0;
}

/* Do what can be done: connect, or send the first ask. */
static void agent_step(struct ssh_keyagent *a)
{
    struct agent_link *link = a->link;
    uv_buf_t frame;

    while (!a->sent && a->first != NULL && a->first->fn == NULL)
        ask_end(agent_shift(a), NULL, 0, NULL);
    if (a->first == NULL || a->sent || link == NULL || !link->connected || link->writing)
        return;
    buf_clear(&link->out);
    link->out = a->first->frame;
    memset(&a->first->frame, 0, sizeof a->first->frame);
    frame = uv_buf_init(link->out.data, (unsigned)link->out.len);
    a->sent = link->writing = true;
    if (uv_write(&link->write, (uv_stream_t *)&link->pipe, &frame, 1, on_link_written) != 0)
        link->writing = false; /* the read side reports the loss */
}

static int agent_ask(struct ssh_keyagent *a, struct buf *body, uint8_t answer_type, ssh_keyagent_fn *fn,
                     void *arg, struct ssh_keyagent_ask **ret_ask, struct err *err)
{
    struct ssh_keyagent_ask *ask = calloc(1, sizeof *ask);

    if (ask != NULL)
        ssh_put_string(&ask->frame, body->data, body->len);
    if (ask == NULL || body->failed || ask->frame.failed || (a->link == NULL && agent_connect(a) != 0)) {
        if (ask != NULL)
            buf_clear(&ask->frame);
        free(ask);
        return err_set(err, ERR_NOMEM, "ask ssh-agent");
    }
    ask->answer_type = answer_type;
    ask->fn = fn;
    ask->arg = arg;
    *a->last = ask;
    a->last = &ask->next;
    agent_step(a);
    *ret_ask = ask;
    return 0;
}

int ssh_keyagent_list(struct ssh_keyagent *agent, ssh_keyagent_fn *fn, void *arg,
                      struct ssh_keyagent_ask **ret_ask, struct err *err)
{
    struct buf body = BUF_INIT;
    int rc;

    buf_char(&body, AGENT_LIST);
    rc = agent_ask(agent, &body, AGENT_LIST_ANSWER, fn, arg, ret_ask, err);
    buf_clear(&body);
    return rc;
}

int ssh_keyagent_sign(struct ssh_keyagent *agent, const void *blob, size_t blob_len, const void *data,
                      size_t data_len, ssh_keyagent_fn *fn, void *arg, struct ssh_keyagent_ask **ret_ask,
                      struct err *err)
{
    struct buf body = BUF_INIT;
    int rc;

    buf_char(&body, AGENT_SIGN);
    ssh_put_string(&body, blob, blob_len);
    ssh_put_string(&body, data, data_len);
    ssh_put_u32(&body, 0); /* flags: for RSA only */
    rc = agent_ask(agent, &body, AGENT_SIGN_ANSWER, fn, arg, ret_ask, err);
    buf_clear(&body);
    return rc;
}

void ssh_keyagent_drop(struct ssh_keyagent_ask *ask)
{
    ask->fn = NULL;
}
