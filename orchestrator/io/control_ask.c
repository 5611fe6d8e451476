/* The asking side of the control socket: plain, blocking, with a time limit. */
#include "orchestrator/io/control_address.h"
#include "orchestrator/io/control_socket.h"
#include "schema/codec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int connect_to(const char *db_path, dur_ms limit_ms, int *ret_fd, struct err *err)
{
    struct timeval limit = { .tv_sec = limit_ms / 1000, .tv_usec = (limit_ms % 1000) * 1000 };
    struct control_address a;
    int fd, rc = control_address_of(db_path, &a, err);

    if (rc != 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        rc = err_set(err, ERR_IO, "control socket: %s", strerror(errno));
    else if (connect(fd, (const struct sockaddr *)&a.name, sizeof a.name) != 0)
        rc = err_set(err,
                     errno == ENOENT || errno == ECONNREFUSED ? ERR_NOT_FOUND
                     : errno == EACCES                        ? ERR_REFUSED
                                                              : ERR_IO,
                     "%s.sock: %s", db_path, strerror(errno));
    control_address_done(&a);
    if (rc == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return rc;
}

static int send_all(int fd, const struct buf *out, struct err *err)
{
    size_t sent = 0;

    while (sent < out->len) {
        ssize_t n = send(fd, out->data + sent, out->len - sent, MSG_NOSIGNAL);

        if (n < 0)
            return err_set(err, ERR_LOST, "control socket: %s", strerror(errno));
        sent += (size_t)n;
    }
    return 0;
}

static int receive_line(int fd, struct buf *in, struct err *err)
{
    char block[4096];

    while (in->len == 0 || memchr(in->data, '\n', in->len) == NULL) {
        ssize_t n = recv(fd, block, sizeof block, 0);

        if (n < 0 && errno == EAGAIN)
            return err_set(err, ERR_TIMEOUT, "the running process does not answer");
        if (n <= 0)
            return err_set(err, ERR_LOST, "the running process went away without an answer");
        buf_add(in, block, (size_t)n);
    }
    return in->failed ? err_set(err, ERR_NOMEM, "control socket") : 0;
}

/* NOT_FOUND is kept for "nobody listens": what the running process did not find was asked for wrongly. */
static enum err_code code_of(const char *name)
{
    for (int i = 0; i < ERR_CODES; i++)
        if (strcmp(err_name((enum err_code)i), name) == 0)
            return i == ERR_NOT_FOUND ? ERR_INVALID : (enum err_code)i;
    return ERR_PROTOCOL;
}

static int read_answer(const struct buf *in, struct buf *result, struct err *err)
{
    struct rpc_message m;
    const char *end;
    int rc;

    assert(in->data != NULL); /* receive_line() saw a whole line */
    end = memchr(in->data, '\n', in->len);
    assert(end != NULL);
    rc = rpc_parse(in->data, (size_t)(end - in->data), &m, err);
    if (rc != 0)
        return rc;
    if (m.kind == RPC_ERROR)
        rc = err_set(err, code_of(m.error_name), "%s", m.error_text);
    else if (m.kind == RPC_RESULT && m.result != NULL)
        json_write(result, m.result, false);
    rpc_clear(&m);
    return rc;
}

int control_ask(const char *db_path, const char *method, const char *params, dur_ms limit_ms,
                struct buf *result, struct err *err)
{
    struct buf out = BUF_INIT, in = BUF_INIT;
    int fd = -1, rc = connect_to(db_path, limit_ms, &fd, err);

    if (rc != 0)
        return rc;
    rpc_write_request(&out, 1, method, params);
    rc = out.failed ? err_set(err, ERR_NOMEM, "control socket") : send_all(fd, &out, err);
    if (rc == 0)
        rc = receive_line(fd, &in, err);
    if (rc == 0)
        rc = read_answer(&in, result, err);
    close(fd);
    buf_clear(&out);
    buf_clear(&in);
    return rc;
}
