#include "tests/lib/fault_proxy.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 65536
#define RATE_PIECE_BYTES 4096

struct connection;

/* One direction: read a piece, hold it as long as the faults say, write it, and only then read on. */
struct direction {
    struct connection *c;
    uv_stream_t *from, *to;
    uv_write_t write;
    struct loop_timer hold;
    char piece[PIECE_BYTES];
    size_t len;
    bool busy; /* a piece is in hand */
    bool ended;
};

struct connection {
    struct connection *next;
    struct fault_proxy *proxy;
    uv_tcp_t client, server;
    uv_connect_t connect;
    struct direction up, down;
    uint64_t bytes;
    bool connected, spoken, closing;
    struct loop_closer closer;
};

struct fault_proxy {
    struct loop *loop;
    uv_tcp_t listener;
    struct sockaddr_in to;
    struct fault_proxy_faults faults;
    struct fault_proxy_counts counts;
    struct connection *connections;
    bool closing;
    struct loop_closer closer;
};

static void direction_read(struct direction *d);

static void proxy_free_when_idle(struct fault_proxy *p)
{
    if (p->closing && p->connections == NULL && p->closer.open_handles == 0)
        free(p);
}

static void on_connection_closed(void *arg)
{
    struct connection *c = arg;
    struct fault_proxy *p = c->proxy;
    struct connection **at = &p->connections;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    free(c);
    proxy_free_when_idle(p);
}

static void connection_close(struct connection *c, bool reset)
{
    struct fault_proxy *p = c->proxy;

    if (c->closing)
        return;
    c->closing = true;
    p->counts.live--;
    p->counts.spoken -= c->spoken ? 1 : 0;
    p->counts.cut += reset ? 1 : 0;
    c->closer.done = on_connection_closed;
    c->closer.arg = c;
    if (reset) { /* an abrupt end is a reset, not an orderly close */
        uv_os_fd_t fd;
        struct linger now = { .l_onoff = 1, .l_linger = 0 };

        if (uv_fileno((uv_handle_t *)&c->client, &fd) == 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        if (uv_fileno((uv_handle_t *)&c->server, &fd) == 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    loop_close(&c->closer, (uv_handle_t *)&c->client);
    loop_close(&c->closer, (uv_handle_t *)&c->server);
    loop_close_timer(&c->closer, &c->up.hold);
    loop_close_timer(&c->closer, &c->down.hold);
}

static void on_written(uv_write_t *req, int status)
{
    struct direction *d = req->data;

    d->busy = false;
    if (d->c->closing)
        return;
    if (status < 0) {
        connection_close(d->c, false);
        return;
    }
    if (d->c->proxy->faults.cut_after > 0 && d->c->bytes >= d->c->proxy->faults.cut_after) {
        connection_close(d->c, true);
        return;
    }
    direction_read(d);
}

static void direction_write(struct direction *d)
{
    uv_buf_t piece = uv_buf_init(d->piece, (unsigned)d->len);

    d->c->bytes += d->len;
    d->c->proxy->counts.bytes += d->len;
    d->write.data = d;
    if (uv_write(&d->write, d->to, &piece, 1, on_written) != 0)
        connection_close(d->c, false);
}

static void on_hold(void *arg)
{
    struct direction *d = arg;

    if (d->c->closing || d->c->proxy->faults.frozen)
        return; /* goes on when thawed */
    direction_write(d);
}

static void direction_pass(struct direction *d)
{
    const struct fault_proxy_faults *f = &d->c->proxy->faults;
    uint64_t wait = f->delay_ms;

    if (f->frozen)
        return;
    if (f->rate_bytes_s > 0)
        wait += d->len * 1000 / f->rate_bytes_s;
    if (wait > 0)
        loop_timer_start(&d->hold, (dur_ms)wait);
    else
        direction_write(d);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret_buf)
{
    struct direction *d = h->data;
    uint64_t max = d->c->proxy->faults.rate_bytes_s > 0 ? RATE_PIECE_BYTES : PIECE_BYTES;
    uint64_t cut = d->c->proxy->faults.cut_after;

    (void)hint;
    if (cut > d->c->bytes && cut - d->c->bytes < max)
        max = cut - d->c->bytes; /* cut at that byte, not somewhere behind it */
    *ret_buf = uv_buf_init(d->piece, (unsigned)max);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *data)
{
    struct direction *d = s->data;

    (void)data;
    if (n == 0)
        return;
    (void)uv_read_stop(s);
    if (n < 0) {
        connection_close(d->c, n != UV_EOF);
        return;
    }
    if (d == &d->c->up && !d->c->spoken) {
        struct fault_proxy_counts *k = &d->c->proxy->counts;

        d->c->spoken = true;
        k->spoken++;
        k->spoken_max = k->spoken > k->spoken_max ? k->spoken : k->spoken_max;
    }
    d->len = (size_t)n;
    d->busy = true;
    direction_pass(d);
}

static void direction_read(struct direction *d)
{
    if (!d->c->proxy->faults.frozen && !d->busy)
        (void)uv_read_start(d->from, on_alloc, on_read);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct connection *c = req->data;

    if (c->closing)
        return;
    if (status < 0) {
        connection_close(c, true);
        return;
    }
    c->connected = true;
    direction_read(&c->up);
    direction_read(&c->down);
}

static void direction_init(struct connection *c, struct direction *d, uv_tcp_t *from, uv_tcp_t *to)
{
    d->c = c;
    d->from = (uv_stream_t *)from;
    d->to = (uv_stream_t *)to;
    from->data = d;
    loop_timer_init(c->proxy->loop, &d->hold, on_hold, d);
}

static void on_accept(uv_stream_t *listener, int status)
{
    struct fault_proxy *p = listener->data;
    struct connection *c = calloc(1, sizeof *c);

    if (c == NULL || status < 0) {
        free(c);
        return;
    }
    c->proxy = p;
    c->next = p->connections;
    p->connections = c;
    p->counts.accepted++;
    p->counts.live++;
    (void)uv_tcp_init(loop_uv(p->loop), &c->client);
    (void)uv_tcp_init(loop_uv(p->loop), &c->server);
    direction_init(c, &c->up, &c->client, &c->server);
    direction_init(c, &c->down, &c->server, &c->client);
    if (uv_accept(listener, (uv_stream_t *)&c->client) != 0 || p->faults.refuse) {
        connection_close(c, false);
        return;
    }
    (void)uv_tcp_nodelay(&c->client, 1);
    (void)uv_tcp_nodelay(&c->server, 1);
    c->connect.data = c;
    if (uv_tcp_connect(&c->connect, &c->server, (const struct sockaddr *)&p->to, on_connected) != 0)
        connection_close(c, true);
}

static void on_proxy_closed(void *arg)
{
    proxy_free_when_idle(arg);
}

int fault_proxy_new(struct loop *l, const char *address, uint16_t port, const char *to_address,
                    uint16_t to_port, struct fault_proxy **ret_proxy)
{
    struct fault_proxy *p = calloc(1, sizeof *p);
    struct sockaddr_in at;
    int rc = p == NULL ? UV_ENOMEM : 0;

    if (rc == 0 && (strncmp(address, "127.", 4) != 0 || strncmp(to_address, "127.", 4) != 0))
        rc = UV_EINVAL;
    if (rc == 0)
        rc = uv_ip4_addr(address, port, &at);
    if (rc == 0)
        rc = uv_ip4_addr(to_address, to_port, &p->to);
    if (rc != 0) {
        free(p);
        return rc;
    }
    p->loop = l;
    p->closer.done = on_proxy_closed;
    p->closer.arg = p;
    (void)uv_tcp_init(loop_uv(l), &p->listener);
    p->listener.data = p;
    rc = uv_tcp_bind(&p->listener, (const struct sockaddr *)&at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&p->listener, 512, on_accept);
    if (rc != 0) {
        fault_proxy_close(p);
        return rc;
    }
    *ret_proxy = p;
    return 0;
}

void fault_proxy_close(struct fault_proxy *p)
{
    p->closing = true;
    for (struct connection *c = p->connections; c != NULL; c = c->next)
        connection_close(c, false);
    loop_close(&p->closer, (uv_handle_t *)&p->listener);
}

static void direction_thaw(struct direction *d)
{
    if (d->busy && !uv_is_active((uv_handle_t *)&d->hold.uv) && uv_stream_get_write_queue_size(d->to) == 0)
        direction_pass(d);
    else
        direction_read(d);
}

void fault_proxy_set(struct fault_proxy *p, const struct fault_proxy_faults *faults)
{
    bool was_frozen = p->faults.frozen;

    p->faults = *faults;
    for (struct connection *c = p->connections; c != NULL; c = c->next) {
        if (c->closing || !c->connected)
            continue;
        if (faults->frozen) {
            (void)uv_read_stop(c->up.from);
            (void)uv_read_stop(c->down.from);
        } else if (was_frozen) {
            direction_thaw(&c->up);
            direction_thaw(&c->down);
        }
    }
}

void fault_proxy_cut(struct fault_proxy *p)
{
    for (struct connection *c = p->connections; c != NULL; c = c->next)
        connection_close(c, true);
}

struct fault_proxy_counts fault_proxy_counts(const struct fault_proxy *p)
{
    return p->counts;
}
