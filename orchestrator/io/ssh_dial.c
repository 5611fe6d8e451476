#include "orchestrator/io/ssh_dial.h"

#include "orchestrator/io/loop.h"
#include "orchestrator/io/ssh_proxy.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_SILENCE_MS 30000u

/* A resolution cannot be called back once a worker thread has begun it: it
 * then outlives its dial. */
struct resolution {
    uv_getaddrinfo_t req;
    struct ssh_dial *dial; /* NULL: given up */
};

/* One address being tried; closes by itself. */
struct attempt {
    uv_poll_t poll;
    int fd;
    struct ssh_dial *dial;
    struct loop_closer closer;
};

struct ssh_dial {
    struct loop *loop;
    const struct ssh_target *target;
    ssh_dial_fn *fn; /* NULL once fired or ended */
    void *arg;
    bool begun;
    struct loop_timer timer;
    struct resolution *resolution;
    struct addrinfo *addresses, *next; /* next: not yet tried */
    struct attempt *attempt;
    struct err last; /* why the last address failed */
    struct ssh_proxy *proxy;
    struct loop_closer closer;
};

const char *ssh_target_where(const struct ssh_target *t, char out[SSH_WHERE_MAX])
{
    bool v6 = strchr(t->address, ':') != NULL;

    (void)snprintf(out, SSH_WHERE_MAX, v6 ? "%s ([%s]:%u)" : "%s (%s:%u)", t->node, t->address,
                   t->port != 0 ? t->port : 22u);
    return out;
}

void ssh_tcp_prepare(int fd)
{
    int on = 1;
    unsigned silence_ms = TCP_SILENCE_MS;

    /* A socket without these options works, only slower: no reason to fail. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof silence_ms);
    ssh_tcp_quickack(fd);
}

void ssh_tcp_quickack(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

static dur_ms connect_limit_ms(const struct ssh_dial *d)
{
    return d->target->limits.connect_ms > 0 ? d->target->limits.connect_ms : SSH_CONNECT_MS;
}

/* The one place that tells. The callback may end the dial. */
static void dial_tell(struct ssh_dial *d, int fd, const struct err *why)
{
    ssh_dial_fn *fn = d->fn;

    loop_timer_stop(&d->timer);
    d->fn = NULL;
    fn(d->arg, fd, why);
}

static void dial_fail(struct ssh_dial *d)
{
    struct err why = d->last;

    dial_tell(d, -1, &why);
}

/* ---- one address ---- */

static void on_attempt_closed(void *arg)
{
    free(arg);
}

/* Its socket is closed unless it was handed over. */
static void attempt_end(struct ssh_dial *d, bool keep_fd)
{
    struct attempt *a = d->attempt;

    if (a == NULL)
        return;
    d->attempt = NULL;
    loop_close(&a->closer, (uv_handle_t *)&a->poll);
    if (!keep_fd)
        (void)close(a->fd);
}

static void dial_note(struct ssh_dial *d, int error)
{
    char where[SSH_WHERE_MAX];
    const char *hint = error == ECONNREFUSED ? "nothing listens there: is sshd running, is the port right?"
                                             : "look at address, route and firewall";

    (void)err_set(&d->last, error == ETIMEDOUT ? ERR_TIMEOUT : ERR_CONNECT, "connect to %s: %s; %s",
                  ssh_target_where(d->target, where), strerror(error), hint);
}

static void dial_next_address(struct ssh_dial *d);

static void on_attempt(uv_poll_t *h, int status, int events)
{
    struct attempt *a = h->data;
    struct ssh_dial *d = a->dial;
    int error = 0, fd = a->fd;
    socklen_t len = sizeof error;

    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0 && status < 0) /* libuv's own code says less than the socket's: asked last */
        error = -status;
    attempt_end(d, error == 0);
    if (error != 0) {
        dial_note(d, error);
        dial_next_address(d);
        return;
    }
    ssh_tcp_prepare(fd);
    dial_tell(d, fd, NULL);
}

static int attempt_begin(struct ssh_dial *d, const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    struct attempt *a;

    if (fd < 0)
        return errno;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS) {
        int error = errno;
        (void)close(fd);
        return error;
    }
    a = calloc(1, sizeof *a);
    if (a == NULL || uv_poll_init(loop_uv(d->loop), &a->poll, fd) != 0) {
        free(a);
        (void)close(fd);
        return ENOMEM;
    }
    a->fd = fd;
    a->dial = d;
    a->poll.data = a;
    a->closer.done = on_attempt_closed;
    a->closer.arg = a;
    d->attempt = a;
    (void)uv_poll_start(&a->poll, UV_WRITABLE, on_attempt);
    return 0;
}

static void dial_next_address(struct ssh_dial *d)
{
    while (d->next != NULL) {
        const struct addrinfo *ai = d->next;
        int error;

        d->next = ai->ai_next;
        error = attempt_begin(d, ai);
        if (error == 0) {
            loop_timer_start(&d->timer, connect_limit_ms(d));
            return;
        }
        dial_note(d, error);
    }
    dial_fail(d);
}

/* ---- names ---- */

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct resolution *resolution = req->data;
    struct ssh_dial *d = resolution->dial;
    char where[SSH_WHERE_MAX];

    free(resolution);
    if (d == NULL) {
        uv_freeaddrinfo(res);
        return;
    }
    d->resolution = NULL;
    if (status != 0) {
        (void)err_set(&d->last, ERR_CONNECT,
                      "resolve %s: %s; correct the address in the inventory, or the name service",
                      ssh_target_where(d->target, where), uv_strerror(status));
        dial_fail(d);
        return;
    }
    d->addresses = d->next = res;
    dial_next_address(d);
}

static int dial_resolve(struct ssh_dial *d)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV };
    struct resolution *r;
    char port[8];
    int rc;

    (void)snprintf(port, sizeof port, "%u", d->target->port != 0 ? d->target->port : 22u);
    hints.ai_flags |= AI_NUMERICHOST; /* a numeric address needs no thread */
    if (getaddrinfo(d->target->address, port, &hints, &d->addresses) == 0) {
        d->next = d->addresses;
        dial_next_address(d);
        return 0;
    }
    d->addresses = NULL;
    hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
    r = calloc(1, sizeof *r);
    if (r == NULL)
        return UV_ENOMEM;
    r->req.data = r;
    r->dial = d;
    rc = uv_getaddrinfo(loop_uv(d->loop), &r->req, on_resolved, d->target->address, port, &hints);
    if (rc != 0) {
        free(r);
        return rc;
    }
    d->resolution = r;
    loop_timer_start(&d->timer, connect_limit_ms(d));
    return 0;
}

static void resolution_drop(struct ssh_dial *d)
{
    if (d->resolution == NULL)
        return;
    d->resolution->dial = NULL;
    (void)uv_cancel((uv_req_t *)&d->resolution->req);
    d->resolution = NULL;
}

/* ---- the whole ---- */

static void dial_begin(struct ssh_dial *d)
{
    struct err why;
    int fd, rc;

    d->begun = true;
    if (d->target->proxy_command != NULL) {
        rc = ssh_proxy_start(d->loop, d->target, &d->proxy, &fd, &why);
        dial_tell(d, rc == 0 ? fd : -1, rc == 0 ? NULL : &why);
        return;
    }
    rc = dial_resolve(d);
    if (rc != 0) {
        (void)err_set(&d->last, ERR_CONNECT, "resolve %s: %s", d->target->address, uv_strerror(rc));
        dial_fail(d);
    }
}

static void on_dial_timer(void *arg)
{
    struct ssh_dial *d = arg;
    char where[SSH_WHERE_MAX], limit[TIME_TEXT_MAX];

    if (!d->begun) {
        dial_begin(d);
        return;
    }
    (void)err_set(&d->last, ERR_TIMEOUT,
                  "connect to %s: no answer within %s; is the node up, does a firewall drop it?",
                  ssh_target_where(d->target, where), dur_text(connect_limit_ms(d), limit));
    resolution_drop(d);
    attempt_end(d, false);
    dial_next_address(d);
}

static void on_dial_closed(void *arg)
{
    free(arg);
}

int ssh_dial_start(struct loop *l, const struct ssh_target *target, ssh_dial_fn *fn, void *arg,
                   struct ssh_dial **ret_dial, struct err *err)
{
    struct ssh_dial *d = calloc(1, sizeof *d);

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "connect to %s", target->node);
    d->loop = l;
    d->target = target;
    d->fn = fn;
    d->arg = arg;
    d->closer.done = on_dial_closed;
    d->closer.arg = d;
    loop_timer_init(l, &d->timer, on_dial_timer, d);
    loop_timer_start(&d->timer, 0); /* begin on the loop, so that fn is never called from in here */
    *ret_dial = d;
    return 0;
}

void ssh_dial_end(struct ssh_dial *d)
{
    if (d == NULL)
        return;
    d->fn = NULL;
    resolution_drop(d);
    attempt_end(d, false);
    if (d->addresses != NULL)
        uv_freeaddrinfo(d->addresses);
    ssh_proxy_end(d->proxy);
    loop_close_timer(&d->closer, &d->timer);
}

bool ssh_dial_is_proxy(const struct ssh_dial *d)
{
    return d->target->proxy_command != NULL;
}

const char *ssh_dial_proxy_said(const struct ssh_dial *d)
{
    return d->proxy != NULL ? ssh_proxy_said(d->proxy) : "";
}
