#include "agent/io/server.h"

#include "agent/io/os_listen.h"

#include <stdlib.h>
#include <string.h>

struct server_conn {
    struct server_conn *next;
    struct server *server;
    uint32_t id;
    uv_pipe_t pipe;
    struct line_cutter in;
    bool closing, paused, ending, in_callback;
};

struct server {
    uv_loop_t *loop;
    struct os_listener *listener;
    struct server_owner owner;
    struct server_conn *first;
    uint32_t n_conns, next_id;
    bool closing, listener_closed;
    /* For a peer that there is no memory for: one that is not accepted would block the listener for good. */
    uv_pipe_t refused;
    bool refusing, owed;
};

struct send {
    uv_write_t write;
    struct server_conn *conn;
    char text[];
};

static void server_free_if_over(struct server *s)
{
    if (s->closing && s->listener_closed && !s->refusing && s->first == NULL)
        free(s);
}

static void on_conn_closed(uv_handle_t *h)
{
    struct server_conn *c = h->data;
    struct server *s = c->server;

    for (struct server_conn **at = &s->first; *at != NULL; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    s->n_conns--;
    line_cutter_clear(&c->in);
    free(c);
    server_free_if_over(s);
}

static void conn_close(struct server_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (!c->server->closing)
        c->server->owner.on_close(c->server->owner.owner, c->id);
    uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    static char block[65536]; /* one loop, one reader at a time */

    (void)h;
    (void)suggested;
    *ret = uv_buf_init(block, sizeof block);
}

/* An answer to what is no request: there is no id to answer to. */
static void refuse_line(struct server_conn *c, const struct err *e)
{
    struct buf line = BUF_INIT;

    rpc_write_error(&line, 0, e, NULL);
    if (!line.failed)
        server_send(c->server, c->id, line.data, line.len);
    buf_clear(&line);
    server_end(c->server, c->id);
}

static void take_lines(struct server_conn *c)
{
    size_t len;
    const char *line;

    while (!c->closing && !c->ending && (line = line_cutter_take(&c->in, &len)) != NULL) {
        struct rpc_message msg = { 0 };
        struct err err = { 0 };

        if (rpc_parse(line, len, &msg, &err) != 0) {
            refuse_line(c, &err);
            return;
        }
        c->server->owner.on_message(c->server->owner.owner, c->id, &msg);
        rpc_clear(&msg);
    }
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct server_conn *c = stream->data;
    struct err err = { 0 };

    if (n < 0) {
        conn_close(c);
        return;
    }
    if (line_cutter_feed(&c->in, b->base, (size_t)n, &err) != 0) {
        take_lines(c);
        if (!c->closing && !c->ending)
            refuse_line(c, &err);
        return;
    }
    take_lines(c);
}

static void refuse_peer(struct server *s);

static void on_refused(uv_handle_t *h)
{
    struct server *s = h->data;

    s->refusing = false;
    if (s->owed && !s->closing)
        refuse_peer(s);
    server_free_if_over(s);
}

static void refuse_peer(struct server *s)
{
    s->owed = s->refusing;
    if (s->refusing)
        return;
    uv_pipe_init(s->loop, &s->refused, 0);
    s->refused.data = s;
    s->refusing = true;
    (void)os_accept(s->listener, &s->refused);
    uv_close((uv_handle_t *)&s->refused, on_refused);
}

static void on_peer(void *owner)
{
    struct server *s = owner;
    struct server_conn *c = calloc(1, sizeof *c);

    if (c == NULL) {
        refuse_peer(s);
        return;
    }
    c->server = s;
    c->id = ++s->next_id;
    line_cutter_init(&c->in, WIRE_LINE_MAX);
    uv_pipe_init(s->loop, &c->pipe, 0);
    c->pipe.data = c;
    c->next = s->first;
    s->first = c;
    s->n_conns++;
    if (os_accept(s->listener, &c->pipe) != 0 || s->n_conns > SERVER_CONNS_MAX) {
        c->closing = true;
        uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
        return;
    }
    s->owner.on_open(s->owner.owner, c->id);
    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_bytes);
}

static void on_listener_closed(void *owner)
{
    struct server *s = owner;

    s->listener_closed = true;
    server_free_if_over(s);
}

int server_open(uv_loop_t *loop, const char *path, const char *group, struct server_owner owner,
                struct server **ret_server, struct err *err)
{
    struct server *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "listen");
    s->loop = loop;
    s->owner = owner;
    rc = os_listen(loop, path, group, (struct os_listener_owner){ s, on_peer, on_listener_closed },
                   &s->listener, err);
    if (rc != 0) {
        free(s);
        return rc;
    }
    *ret_server = s;
    return 0;
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    s->closing = true;
    os_listener_close(s->listener);
    for (struct server_conn *c = s->first; c != NULL; c = c->next)
        conn_close(c);
}

static struct server_conn *find(const struct server *s, uint32_t id)
{
    struct server_conn *c = s->first;

    while (c != NULL && c->id != id)
        c = c->next;
    return c;
}

/* What was sent has gone, or the peer has. */
static void on_sent(uv_write_t *w, int status)
{
    struct send *send = w->data;
    struct server_conn *c = send->conn;
    size_t queued = uv_stream_get_write_queue_size((const uv_stream_t *)&c->pipe);

    free(send);
    if (status != 0 || (c->ending && queued == 0)) {
        conn_close(c);
        return;
    }
    if (c->paused && !c->closing && queued < SERVER_PAUSE_BYTES / 2) {
        c->paused = false;
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_bytes);
    }
}

void server_send(struct server *s, uint32_t conn, const char *text, size_t len)
{
    struct server_conn *c = find(s, conn);
    struct send *send = c == NULL || c->closing || c->ending ? NULL : malloc(sizeof *send + len);
    uv_buf_t b;

    if (send == NULL) {
        server_end(s, conn); /* a peer that misses a line must not think that it has them all */
        return;
    }
    send->conn = c;
    send->write.data = send;
    memcpy(send->text, text, len);
    b = uv_buf_init(send->text, (unsigned)len);
    if (uv_write(&send->write, (uv_stream_t *)&c->pipe, &b, 1, on_sent) != 0) {
        free(send);
        server_end(s, conn);
        return;
    }
    len = uv_stream_get_write_queue_size((const uv_stream_t *)&c->pipe);
    if (len > SERVER_QUEUE_BYTES)
        server_end(s, conn);
    if (len > SERVER_PAUSE_BYTES && !c->paused) {
        c->paused = true;
        uv_read_stop((uv_stream_t *)&c->pipe);
    }
}

void server_end(struct server *s, uint32_t conn)
{
    struct server_conn *c = find(s, conn);
    size_t queued = c == NULL ? 0 : uv_stream_get_write_queue_size((const uv_stream_t *)&c->pipe);

    if (c == NULL || c->closing)
        return;
    c->ending = true;
    uv_read_stop((uv_stream_t *)&c->pipe);
    if (queued == 0 || queued > SERVER_QUEUE_BYTES)
        uv_close((uv_handle_t *)&c->pipe, on_conn_closed),
            c->closing = true, c->server->owner.on_close(c->server->owner.owner, c->id);
}
