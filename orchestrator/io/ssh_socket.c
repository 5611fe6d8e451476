#include "orchestrator/io/ssh_session_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define TURN_READ_MAX_BYTES (256u << 10) /* taken off the socket per turn of the loop */

/* libssh2 drains the socket in every read. Here a turn's share is bounded, the
 * needless last recv is saved, and workers learn whether anything came. */
static ssize_t on_recv(libssh2_socket_t fd, void *data, size_t len, int flags, void **abstract)
{
    struct ssh_session *s = *abstract;
    ssize_t n;

    if (s->state == SSH_END)
        return -ECONNRESET;
    if (s->dry)
        return -EAGAIN;
    if (s->turn_bytes == 0 && !ssh_dial_is_proxy(s->dial))
        ssh_tcp_quickack(fd);
    do {
        n = recv(fd, data, len, flags);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        s->dry = true;
        return -EAGAIN;
    }
    if (n <= 0 && s->turn_bytes > 0) { /* deliver what came with it first: libssh2 would drop that */
        s->dry = true;
        return -EAGAIN;
    }
    if (n <= 0) {
        s->peer_gone = true;
        s->peer_errno = n < 0 ? errno : 0;
        return n < 0 ? -errno : 0;
    }
    s->turn_bytes += (size_t)n;
    s->read_bytes += (size_t)n;
    s->dry = (size_t)n < len || s->turn_bytes >= TURN_READ_MAX_BYTES;
    return n;
}

/* Here for its error alone: libssh2 forgets which one it was, and in the key exchange that there was one. */
static ssize_t on_send(libssh2_socket_t fd, const void *data, size_t len, int flags, void **abstract)
{
    struct ssh_session *s = *abstract;
    ssize_t n;

    if (s->state == SSH_END)
        return -EPIPE;
    do {
        n = send(fd, data, len, flags | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno != EAGAIN) {
        s->peer_gone = true;
        s->peer_errno = errno;
    }
    return -errno;
}

/* libssh2 takes functions as object pointers, for which C has no cast. */
#if LIBSSH2_VERSION_NUM >= 0x010b01
#define SET_CALLBACK(lib, which, fn) \
    ((void)libssh2_session_callback_set2(lib, which, (libssh2_cb_generic *)(fn)))
#else
#define SET_CALLBACK(lib, which, fn)                             \
    do {                                                         \
        void *pointer;                                           \
        memcpy(&pointer, &(fn), sizeof pointer);                 \
        (void)libssh2_session_callback_set(lib, which, pointer); \
    } while (0)
#endif

void ssh_socket_install(struct ssh_session *s)
{
    LIBSSH2_RECV_FUNC((*recv_fn)) = on_recv;
    LIBSSH2_SEND_FUNC((*send_fn)) = on_send;

    SET_CALLBACK(s->lib, LIBSSH2_CALLBACK_RECV, recv_fn);
    SET_CALLBACK(s->lib, LIBSSH2_CALLBACK_SEND, send_fn);
}
