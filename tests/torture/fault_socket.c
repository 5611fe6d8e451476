#include "tests/torture/fault_socket.h"

#include "tests/lib/alloc_fault.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);

struct fault_nth nth;

static bool strikes(enum fault low, enum fault high, unsigned count)
{
    if (!nth.watching || nth.fault < low || nth.fault > high)
        return false;
    if (nth.fault == SEND_BITS || nth.fault == RECV_BITS)
        nth.hit |= count >= nth.at;
    else
        nth.hit |= count == nth.at;
    return nth.fault == SEND_BITS || nth.fault == RECV_BITS ? count >= nth.at : count == nth.at;
}

static ssize_t fails(int code)
{
    errno = code;
    return -1;
}

ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
    if (nth.broken && fd == nth.broken_fd) {
        nth.broken = false;
        return fails(ECONNRESET);
    }
    if (!nth.watching || !strikes(SEND_RESET, SEND_BITS, ++nth.sends))
        return __real_send(fd, data, len, flags);
    if (nth.fault == SEND_BITS)
        return __real_send(fd, data, len < 7 ? len : 7, flags);
    if (nth.fault == SEND_HALF) {
        nth.broken = true;
        nth.broken_fd = fd;
        return __real_send(fd, data, (len + 1) / 2, flags);
    }
    return fails(nth.fault == SEND_LATER ? EAGAIN : ECONNRESET);
}

ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
    if (!nth.watching || !strikes(RECV_RESET, RECV_BITS, ++nth.recvs))
        return __real_recv(fd, data, len, flags);
    if (nth.fault == RECV_BITS)
        return __real_recv(fd, data, len < 7 ? len : 7, flags);
    return nth.fault == RECV_END ? 0 : fails(ECONNRESET);
}

static bool memory_fails(void)
{
    return nth.watching && strikes(NO_MEMORY, NO_MEMORY, ++nth.allocs);
}

void fault_socket_init(void)
{
    alloc_fault_ask(memory_fails);
}
