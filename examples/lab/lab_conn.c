/* A connection to the daemon: lines in, lines out. */
#include "examples/lab/lab_daemon_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sending {
    uv_write_t req;
    struct buf text;
};

static void on_sent(uv_write_t *req, int status)
{
    struct sending *s = req->data;

    (void)status;
    buf_clear(&s->text);
    free(s);
}

void conn_send(struct conn *c, struct buf *line)
{
    struct sending *s = c->closing || line->failed ? NULL : calloc(1, sizeof *s);
    uv_buf_t out;

    if (s == NULL) {
        buf_clear(line);
        return;
    }
    s->text = *line;
    s->req.data = s;
    *line = (struct buf)BUF_INIT;
    out = uv_buf_init(s->text.data, (unsigned)s->text.len);
    if (uv_write(&s->req, (uv_stream_t *)&c->pipe, &out, 1, on_sent) != 0) {
        buf_clear(&s->text);
        free(s);
    }
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    line_cutter_clear(&c->cut);
    free(c);
}

/* The world goes on; only the waiting ends (O10). */
void conn_close(struct conn *c)
{
    struct conn **at = &c->d->conns;

    if (c->closing)
        return;
    c->closing = true;
    ask_free(c->ask);
    c->ask = NULL;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void take_lines(struct conn *c)
{
    const char *line;
    size_t len;

    while (!c->closing && c->ask == NULL && (line = line_cutter_take(&c->cut, &len)) != NULL) {
        struct rpc_message msg;
        struct err err;
        if (rpc_parse(line, len, &msg, &err) != 0) {
            conn_close(c);
            return;
        }
        rpc_handle(c, &msg);
        rpc_clear(&msg);
    }
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
    struct conn *c = h->data;

    (void)size;
    *buf = uv_buf_init(c->in, sizeof c->in);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = s->data;
    struct daemon *d = c->d;
    struct err err;

    if (n == 0)
        return;
    if (n < 0 || line_cutter_feed(&c->cut, buf->base, (size_t)n, &err) != 0) {
        conn_close(c);
        return;
    }
    daemon_tick(d);
    take_lines(c);
    daemon_tick(d);
}

void conn_poll(struct conn *c)
{
    if (c->ask == NULL)
        return;
    bool over = ask_poll(c->ask);
    if (over && c->ask->lost) {
        conn_close(c);
        return;
    }
    if (over) {
        rpc_finish_ask(c);
        take_lines(c);
        return;
    }
    if (c->ask->percent >= c->ask->percent_told + 5) {
        struct buf b = BUF_INIT;
        char params[64];
        c->ask->percent_told = c->ask->percent;
        snprintf(params, sizeof params, "{\"percent\":%d,\"text\":\"\"}", c->ask->percent);
        rpc_write_notification(&b, "progress", params);
        conn_send(c, &b);
    }
}

void conn_accept(struct daemon *d, uv_stream_t *server, bool admin)
{
    struct conn *c = calloc(1, sizeof *c);

    if (c == NULL)
        return;
    uv_pipe_init(&d->loop, &c->pipe, 0);
    c->pipe.data = c;
    c->d = d;
    c->admin = admin;
    line_cutter_init(&c->cut, WIRE_LINE_MAX);
    c->next = d->conns;
    d->conns = c;
    if (uv_accept(server, (uv_stream_t *)&c->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0)
        conn_close(c);
}
