/* The Windows listener (os_listen.h) with its own process as the peer. Wine keeps no word of whether a pipe rejects peers of
 * other machines, so the import through which libuv and the agent make pipes is taken here and each call is looked at. Prints a
 * line per finding, `ok` or `not ok`; suite.py counts them. With a name as its argument it gives every byte back there until it is ended. */
#include "agent/io/os.h"
#include "agent/io/os_listen.h"

#include <windows.h>

#include <sddl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "\\\\.\\pipe\\pw-listener-test"
#define SID "S-1-5-21-1-2-3-1107"
#define CALLS_MAX 32

typedef HANDLE(WINAPI *create_pipe)(LPCWSTR, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, LPSECURITY_ATTRIBUTES);

static struct call {
    DWORD open_mode, pipe_mode;
    char access[256];
} calls[CALLS_MAX];
static int n_calls, n_bad;
static bool no_room; /* no further instance can be made */

static HANDLE WINAPI look(LPCWSTR name, DWORD open_mode, DWORD pipe_mode, DWORD max, DWORD out, DWORD in,
                          DWORD wait, LPSECURITY_ATTRIBUTES sa)
{
    union {
        FARPROC any;
        create_pipe real;
    } kernel = { GetProcAddress(GetModuleHandleW(L"kernel32"), "CreateNamedPipeW") };
    struct call *c = &calls[n_calls < CALLS_MAX ? n_calls++ : CALLS_MAX - 1];
    char *text = NULL;

    c->open_mode = open_mode;
    c->pipe_mode = pipe_mode;
    if (sa != NULL &&
        ConvertSecurityDescriptorToStringSecurityDescriptorA(sa->lpSecurityDescriptor, SDDL_REVISION_1,
                                                             DACL_SECURITY_INFORMATION, &text, NULL)) {
        snprintf(c->access, sizeof c->access, "%s", text);
        LocalFree(text);
    }
    if (no_room) {
        SetLastError(ERROR_NO_SYSTEM_RESOURCES);
        return INVALID_HANDLE_VALUE;
    }
    return kernel.real(name, open_mode, pipe_mode, max, out, in, wait, sa);
}

extern create_pipe import_of_create_pipe __asm__("__imp_CreateNamedPipeW");
create_pipe import_of_create_pipe = look;

static void found(const char *title, bool ok)
{
    n_bad += !ok;
    printf("%s - %s\n", ok ? "ok" : "not ok", title);
}

/* The agent's side: each peer gets its bytes back. */
static struct os_listener *listener;
static uv_loop_t loop;
static int n_peers;
static bool closed;

static void free_handle(uv_handle_t *h)
{
    free(h);
}

static void give_room(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    char *block = malloc(suggested);

    (void)h;
    *ret = uv_buf_init(block, block == NULL ? 0 : (unsigned)suggested);
}

static void on_sent(uv_write_t *w, int status)
{
    (void)status;
    free(w->data);
    free(w);
}

static void send_back(uv_stream_t *s, char *bytes, unsigned n)
{
    uv_write_t *w = malloc(sizeof *w);
    uv_buf_t back = uv_buf_init(bytes, n);

    if (w != NULL)
        w->data = bytes;
    if (w == NULL || uv_write(w, s, &back, 1, on_sent) != 0) {
        free(bytes);
        free(w);
    }
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    if (n > 0)
        send_back(s, b->base, (unsigned)n);
    else
        free(b->base);
    if (n < 0)
        uv_close((uv_handle_t *)s, free_handle);
}

static void on_peer(void *owner)
{
    uv_pipe_t *p = malloc(sizeof *p);

    (void)owner;
    if (p == NULL)
        return;
    uv_pipe_init(&loop, p, 0);
    if (os_accept(listener, p) == 0 && uv_read_start((uv_stream_t *)p, give_room, on_bytes) == 0)
        n_peers++;
    else
        uv_close((uv_handle_t *)p, free_handle);
}

static void on_closed(void *owner)
{
    (void)owner;
    closed = true;
}

static const struct os_listener_owner us = { NULL, on_peer, on_closed };

/* The peer's side, a thread: 1 when its bytes came back. */
static DWORD WINAPI speak(void *arg)
{
    char back[8] = { 0 };
    DWORD n = 0;
    HANDLE h = INVALID_HANDLE_VALUE;
    bool well;

    (void)arg;
    for (int i = 0; i < 100 && h == INVALID_HANDLE_VALUE; i++, Sleep(20))
        h = CreateFileA(NAME, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    well = h != INVALID_HANDLE_VALUE && WriteFile(h, "hello\n", 6, &n, NULL) &&
           ReadFile(h, back, 6, &n, NULL) && n == 6 && memcmp(back, "hello\n", 6) == 0;
    if (h != INVALID_HANDLE_VALUE)
        CloseHandle(h);
    return well;
}

static bool serve_one(void)
{
    DWORD well = 0;
    HANDLE t = CreateThread(NULL, 0, speak, NULL, 0, NULL);

    while (WaitForSingleObject(t, 10) == WAIT_TIMEOUT)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)GetExitCodeThread(t, &well);
    CloseHandle(t);
    return well == 1;
}

static void test_flags(void)
{
    bool rejects = true, overlapped = true, closed_to_others = true, alone = true;

    for (int i = 0; i < n_calls; i++) {
        rejects &= (calls[i].pipe_mode & PIPE_REJECT_REMOTE_CLIENTS) != 0;
        overlapped &= (calls[i].open_mode & FILE_FLAG_OVERLAPPED) != 0;
        closed_to_others &=
            strcmp(calls[i].access, "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;" SID ")") == 0;
        alone &= ((calls[i].open_mode & FILE_FLAG_FIRST_PIPE_INSTANCE) != 0) == (i == 0);
    }
    found("there were instances beyond the first", n_calls > 2);
    found("every instance rejects peers of other machines", rejects);
    found("every instance is overlapped", overlapped);
    found("every instance has its descriptor from the start", closed_to_others);
    found("the first instance, and no other, must be the first of its name", alone);
    if (n_bad > 0)
        for (int i = 0; i < n_calls; i++)
            printf("# %lx %lx %s\n", calls[i].open_mode, calls[i].pipe_mode, calls[i].access);
}

/* That a second listener of the name is refused is not asked: under Wine 8 such a case failed. */
static void test_no_sid(void)
{
    struct os_listener *none = NULL;
    struct err err = { 0 };
    int rc = os_listen(&loop, NAME "-2", "nobody", us, &none, &err);

    found("a group that is no SID is refused", rc == ERR_INVALID && none == NULL);
}

static void test_peer_that_went(void)
{
    CloseHandle(CreateFileA(NAME, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL));
    found("after a peer that went before it was taken the next is served", serve_one());
}

static void test_no_room(void)
{
    HANDLE h = CreateFileA(NAME, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    int before = n_peers;
    DWORD n;

    no_room = true;
    for (int i = 0; i < 20; i++, Sleep(10))
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    found("without room for a next instance the peer is dropped",
          h != INVALID_HANDLE_VALUE && n_peers == before && !WriteFile(h, "x", 1, &n, NULL));
    CloseHandle(h);
    no_room = false;
    found("and the name is kept: the next peer is served", serve_one());
}

static DWORD WINAPI ask_access(void *arg)
{
    os_socket_access(NAME, arg);
    return 0;
}

/* A probe between one peer and the next instance. */
static void test_access_while_taken(void)
{
    HANDLE h = CreateFileA(NAME, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    struct buf told = BUF_INIT;
    HANDLE asks = CreateThread(NULL, 0, ask_access, &told, 0, NULL);

    Sleep(100); /* nobody hands over yet: the one instance is taken */
    for (int i = 0; i < 600 && WaitForSingleObject(asks, 10) == WAIT_TIMEOUT; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    found("who asks for the access while the only instance is taken waits for the next",
          h != INVALID_HANDLE_VALUE && strncmp(buf_text(&told), "D:", 2) == 0);
    CloseHandle(h);
    CloseHandle(asks);
    buf_clear(&told);
    for (int i = 0; i < 20; i++, Sleep(10))
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static int echo(const char *name)
{
    struct err err = { 0 };

    if (os_listen(&loop, name, NULL, us, &listener, &err) != 0)
        return printf("%s\n", err.text);
    printf("echo\n");
    return uv_run(&loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    struct err err = { 0 };

    (void)setvbuf(stdout, NULL, _IONBF, 0);
    uv_loop_init(&loop);
    if (argc > 1)
        return echo(argv[1]);
    found("it listens", os_listen(&loop, NAME, SID, us, &listener, &err) == 0);
    if (listener == NULL)
        return 1;
    found("peers are served one after the other", serve_one() && serve_one() && serve_one() && n_peers == 3);
    test_flags();
    test_no_sid();
    test_peer_that_went();
    test_no_room();
    test_access_while_taken();
    os_listener_close(listener);
    found("closed, it leaves nothing to the loop",
          uv_run(&loop, UV_RUN_DEFAULT) == 0 && closed && uv_loop_close(&loop) == 0);
    found("nor to a peer", !WaitNamedPipeA(NAME, 1));
    return n_bad > 0;
}
