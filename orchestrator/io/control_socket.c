#include "orchestrator/io/control_socket.h"

#include "orchestrator/io/control_address.h"
#include "orchestrator/io/person.h"
#include "schema/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEERS_MAX 16
#define REQUEST_BYTES_MAX 65536

/* One who asks. Lives until its pipe is closed. */
struct peer {
    struct control *control;
    uv_pipe_t pipe;
    uv_write_t write;
    struct line_cutter lines;
    struct buf answer;
    char block[4096];
    char person[128]; /* as the socket says */
    bool root, writing, closing;
};

struct control {
    struct loop *loop;
    uv_pipe_t listener;
    char *path;
    control_fn *fn;
    void *arg;
    struct peer *peers[PEERS_MAX];
    unsigned open_handles;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void handle_gone(struct control *c)
{
    void (*on_closed)(void *) = c->on_closed;
    void *arg = c->closed_arg;

    if (--c->open_handles > 0 || on_closed == NULL)
        return;
    free(c->path);
    free(c);
    on_closed(arg);
}

static void on_peer_closed(uv_handle_t *h)
{
    struct peer *p = h->data;
    struct control *c = p->control;

    for (int i = 0; i < PEERS_MAX; i++)
        if (c->peers[i] == p)
            c->peers[i] = NULL;
    line_cutter_clear(&p->lines);
    buf_clear(&p->answer);
    free(p);
    handle_gone(c);
}

static void peer_close(struct peer *p)
{
    if (p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)&p->pipe, on_peer_closed);
}

static void on_written(uv_write_t *w, int status)
{
    struct peer *p = w->data;

    p->writing = false;
    buf_reset(&p->answer);
    if (status < 0)
        peer_close(p);
}

/* Only root may speak for somebody else (sudo): the socket knows the rest. */
static const char *who_asks(const struct peer *p, const json *params)
{
    const char *said = json_get_str(params, "person", NULL);

    return p->root && said != NULL ? said : p->person;
}

static void peer_answer(struct peer *p, const char *line, size_t len)
{
    struct buf result = BUF_INIT;
    struct rpc_message m = { 0 };
    struct err err = { 0 };
    int rc = rpc_parse(line, len, &m, &err);

    if (rc == 0 && m.kind != RPC_REQUEST)
        rc = err_set(&err, ERR_PROTOCOL, "not a request");
    if (rc == 0)
        rc = p->control->fn(p->control->arg, m.method, m.params, who_asks(p, m.params), &result, &err);
    if (rc == 0)
        rpc_write_result(&p->answer, m.id, buf_text(&result));
    else
        rpc_write_error(&p->answer, m.id, &err, NULL);
    rpc_clear(&m);
    buf_clear(&result);
}

static void peer_flush(struct peer *p)
{
    uv_buf_t b;

    if (p->writing || p->answer.len == 0 || p->closing)
        return;
    b = uv_buf_init(p->answer.data, (unsigned)p->answer.len);
    p->writing = true;
    p->write.data = p;
    if (p->answer.failed || uv_write(&p->write, (uv_stream_t *)&p->pipe, &b, 1, on_written) != 0)
        peer_close(p);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
    struct peer *p = h->data;

    (void)hint;
    *b = uv_buf_init(p->block, sizeof p->block);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct peer *p = s->data;
    const char *line;
    size_t len = 0;

    /* One question at a time: who sends a second one before the answer is read is not one of ours. */
    if (n < 0 || p->writing || line_cutter_feed(&p->lines, b->base, (size_t)n, NULL) != 0) {
        peer_close(p);
        return;
    }
    while ((line = line_cutter_take(&p->lines, &len)) != NULL)
        peer_answer(p, line, len);
    peer_flush(p);
}

static bool peer_is_ours(struct peer *p)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    uv_os_fd_t fd;

    if (uv_fileno((uv_handle_t *)&p->pipe, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return false;
    p->root = cred.uid == 0;
    person_name(cred.uid, p->person, sizeof p->person);
    return p->root || cred.uid == getuid();
}

static struct peer **free_place(struct control *c)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (c->peers[i] == NULL)
            return &c->peers[i];
    return NULL;
}

static void on_connection(uv_stream_t *s, int status)
{
    struct control *c = s->data;
    struct peer *p = status < 0 ? NULL : calloc(1, sizeof *p), **place = free_place(c);

    if (p == NULL)
        return;
    p->control = c;
    line_cutter_init(&p->lines, REQUEST_BYTES_MAX);
    uv_pipe_init(loop_uv(c->loop), &p->pipe, 0);
    p->pipe.data = p;
    c->open_handles++;
    if (place != NULL)
        *place = p;
    if (uv_accept(s, (uv_stream_t *)&p->pipe) != 0 || place == NULL || !peer_is_ours(p) ||
        uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_read) != 0)
        peer_close(p);
}

static int bind_socket(const char *db_path, int *ret_fd, struct err *err)
{
    struct control_address a;
    mode_t mask;
    int fd, rc = control_address_of(db_path, &a, err);

    if (rc != 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(a.name.sun_path);
    mask = umask(0177); /* 0600 from the first moment on */
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a.name, sizeof a.name) != 0)
        rc = err_set(err, errno == EROFS || errno == EACCES ? ERR_READONLY : ERR_IO, "%s.sock: %s", db_path,
                     strerror(errno));
    umask(mask);
    control_address_done(&a);
    if (rc == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return rc;
}

static void on_listener_closed(uv_handle_t *h)
{
    handle_gone(h->data);
}

static void on_failed_closed(void *arg)
{
    (void)arg;
}

int control_listen(struct loop *l, const char *db_path, control_fn *fn, void *arg,
                   struct control **ret_control, struct err *err)
{
    struct control *c;
    int fd = -1, rc = bind_socket(db_path, &fd, err);

    if (rc != 0)
        return err_wrap(err, "control socket");
    c = calloc(1, sizeof *c);
    if (c == NULL || (c->path = control_path(db_path)) == NULL) {
        free(c);
        close(fd);
        return err_set(err, ERR_NOMEM, "control socket");
    }
    *c = (struct control){ .loop = l, .path = c->path, .fn = fn, .arg = arg, .open_handles = 1 };
    uv_pipe_init(loop_uv(l), &c->listener, 0);
    c->listener.data = c;
    rc = uv_pipe_open(&c->listener, fd);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&c->listener, PEERS_MAX, on_connection);
    if (rc != 0) {
        err_set(err, ERR_IO, "control socket: %s", uv_strerror(rc));
        control_close(c, on_failed_closed, NULL);
        return ERR_IO;
    }
    uv_unref((uv_handle_t *)&c->listener); /* listening alone is no reason to stay */
    *ret_control = c;
    return 0;
}

void control_close(struct control *c, void (*on_closed)(void *arg), void *arg)
{
    c->on_closed = on_closed;
    c->closed_arg = arg;
    unlink(c->path);
    for (int i = 0; i < PEERS_MAX; i++)
        if (c->peers[i] != NULL)
            peer_close(c->peers[i]);
    uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}
