/* os_listen.h on Windows. libuv's own listener makes a pipe that peers of other
 * machines may open and that has no descriptor until one is set, so the
 * instances are made here, and libuv gets each when a peer has come. All is
 * done in the loop; a thread only waits and wakes it. (With
 * RegisterWaitForSingleObject in the thread's place one run under Wine 8 stopped taking peers; why was not found.) */
#include "agent/io/os_listen.h"

#include <windows.h>

#include <fcntl.h>
#include <io.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_BYTES 65536
#define RETRY_MS 1000 /* a listener that failed is looked after this often */

enum state {
    IDLE,    /* not listening: start */
    WAITING, /* ConnectNamedPipe is under way */
    CONNECTED,
};

struct os_listener {
    uv_async_t wake;
    struct os_listener_owner owner;
    wchar_t name[256];
    SECURITY_ATTRIBUTES access;
    HANDLE instance; /* the one that the next peer gets */
    HANDLE peer;     /* during on_peer: not yet taken */
    HANDLE event, stop, thread;
    OVERLAPPED connect;
    enum state state;
};

static HANDLE make_instance(struct os_listener *l, DWORD first)
{
    return CreateNamedPipeW(l->name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
                            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                            PIPE_UNLIMITED_INSTANCES, BUFFER_BYTES, BUFFER_BYTES, 0, &l->access);
}

/* On failure it stays idle, until the wait's next look. */
static void await_peer(struct os_listener *l)
{
    l->connect = (OVERLAPPED){ .hEvent = l->event };
    l->state = IDLE;
    if (ConnectNamedPipe(l->instance, &l->connect) || GetLastError() == ERROR_PIPE_CONNECTED) {
        l->state = CONNECTED;
        SetEvent(l->event);
    } else if (GetLastError() == ERROR_IO_PENDING) {
        l->state = WAITING;
    }
}

/* Without a next instance this one goes on listening and the peer is dropped:
 * a pipe's name that is lost could be taken by somebody else. */
static void hand_over(struct os_listener *l)
{
    HANDLE next = make_instance(l, 0);

    if (next == INVALID_HANDLE_VALUE) {
        (void)DisconnectNamedPipe(l->instance);
        await_peer(l);
        return;
    }
    l->peer = l->instance;
    l->instance = next;
    await_peer(l);
    l->owner.on_peer(l->owner.owner);
    if (l->peer != NULL)
        CloseHandle(l->peer);
    l->peer = NULL;
}

static void on_wake(uv_async_t *wake)
{
    struct os_listener *l = wake->data;
    DWORD none;

    if (l->state == WAITING && HasOverlappedIoCompleted(&l->connect))
        l->state = GetOverlappedResult(l->instance, &l->connect, &none, FALSE) ? CONNECTED : IDLE;
    if (l->state == IDLE) { /* its peer came and went, or the system had no room */
        (void)DisconnectNamedPipe(l->instance);
        await_peer(l);
    } else if (l->state == CONNECTED) {
        hand_over(l);
    }
}

static DWORD WINAPI wait_for_events(void *arg)
{
    struct os_listener *l = arg;
    HANDLE both[] = { l->stop, l->event };

    while (WaitForMultipleObjects(2, both, FALSE, RETRY_MS) != WAIT_OBJECT_0)
        (void)uv_async_send(&l->wake);
    return 0;
}

/* Without `group` only SYSTEM and Administrators may connect. */
static int describe_access(struct os_listener *l, const char *group, struct err *err)
{
    char sddl[256];

    if (group == NULL)
        snprintf(sddl, sizeof sddl, "D:P(A;;GA;;;SY)(A;;GA;;;BA)");
    else
        snprintf(sddl, sizeof sddl, "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;%s)", group);
    l->access.nLength = sizeof l->access;
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(sddl, SDDL_REVISION_1,
                                                              &l->access.lpSecurityDescriptor, NULL))
        return err_set(err, ERR_INVALID, "`%s` is no SID of an account", group == NULL ? "" : group);
    return 0;
}

static int open_first(struct os_listener *l, const char *path, const char *group, struct err *err)
{
    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, l->name, sizeof l->name / sizeof l->name[0]) == 0)
        return err_set(err, ERR_INVALID, "`%s` is no name of a pipe", path);
    if (describe_access(l, group, err) != 0)
        return ERR_INVALID;
    l->instance = make_instance(l, FILE_FLAG_FIRST_PIPE_INSTANCE);
    if (l->instance == INVALID_HANDLE_VALUE && GetLastError() == ERROR_ACCESS_DENIED)
        return err_set(err, ERR_IO, "listen at %s: another process has a pipe of that name", path);
    if (l->instance == INVALID_HANDLE_VALUE)
        return err_set(err, ERR_IO, "listen at %s: error %lu", path, GetLastError());
    l->event = CreateEventW(NULL, FALSE, FALSE, NULL);
    l->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (l->event != NULL && l->stop != NULL)
        l->thread = CreateThread(NULL, 0, wait_for_events, l, 0, NULL);
    if (l->thread == NULL)
        return err_set(err, ERR_IO, "wait for peers at %s: error %lu", path, GetLastError());
    return 0;
}

/* First the thread, which may be waking the loop just now; then what it waits for. */
static void release(struct os_listener *l)
{
    DWORD none;

    if (l->thread != NULL) {
        SetEvent(l->stop);
        (void)WaitForSingleObject(l->thread, INFINITE);
        CloseHandle(l->thread);
    }
    if (l->stop != NULL)
        CloseHandle(l->stop);
    if (l->state == WAITING) {
        (void)CancelIoEx(l->instance, &l->connect);
        (void)GetOverlappedResult(l->instance, &l->connect, &none, TRUE);
    }
    if (l->instance != INVALID_HANDLE_VALUE)
        CloseHandle(l->instance);
    if (l->event != NULL)
        CloseHandle(l->event);
    LocalFree(l->access.lpSecurityDescriptor);
}

static void on_failed(uv_handle_t *h)
{
    free(h->data);
}

static void on_closed(uv_handle_t *h)
{
    struct os_listener_owner owner = ((struct os_listener *)h->data)->owner;

    free(h->data);
    owner.on_closed(owner.owner);
}

int os_listen(uv_loop_t *loop, const char *path, const char *group, struct os_listener_owner owner,
              struct os_listener **ret_listener, struct err *err)
{
    struct os_listener *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL)
        return err_set(err, ERR_NOMEM, "listen");
    l->owner = owner;
    l->instance = INVALID_HANDLE_VALUE;
    l->wake.data = l;
    if (uv_async_init(loop, &l->wake, on_wake) != 0) {
        free(l);
        return err_set(err, ERR_IO, "listen at %s", path);
    }
    rc = open_first(l, path, group, err);
    if (rc != 0) {
        release(l);
        uv_close((uv_handle_t *)&l->wake, on_failed);
        return rc;
    }
    await_peer(l);
    *ret_listener = l;
    return 0;
}

int os_accept(struct os_listener *l, uv_pipe_t *pipe)
{
    int fd, rc;

    if (l->peer == NULL)
        return UV_ENOTCONN;
    fd = _open_osfhandle((intptr_t)l->peer, _O_RDWR | _O_BINARY);
    if (fd < 0)
        return UV_EMFILE;
    l->peer = NULL; /* the descriptor has it */
    rc = uv_pipe_open(pipe, fd);
    if (rc != 0)
        _close(fd);
    return rc;
}

void os_listener_close(struct os_listener *l)
{
    release(l);
    uv_close((uv_handle_t *)&l->wake, on_closed);
}
