/* The agent's socket when sending fails at the n-th line, at once or later, and when memory fails at the n-th request
 * (F5, F15): a peer gets its lines whole and in order, and when one is lost the connection ends there; other peers do
 * not notice; new ones are let in afterwards. */
#include "agent/io/server.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PEERS 2
#define REQUESTS 6
#define LINES 2          /* per request */
#define LINE_BYTES 40000 /* more than a socket's buffer holds at once: short writes */

int __real_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t *bufs, unsigned n, uv_write_cb done);
int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t *bufs, unsigned n, uv_write_cb done);

enum how { AT_ONCE, LATER, NO_MEMORY };
static enum how how;
static unsigned countdown;
static bool hit;

/* "Later" is what a peer that has gone looks like: the line is taken, and the callback tells. */
int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t *bufs, unsigned n, uv_write_cb done)
{
    if (how == NO_MEMORY || countdown == 0 || --countdown > 0)
        return __real_uv_write(req, stream, bufs, n, done);
    hit = true;
    if (how == AT_ONCE)
        return UV_EPIPE;
    shutdown(stream->io_watcher.fd, SHUT_WR);
    return __real_uv_write(req, stream, bufs, n, done);
}

struct world {
    uv_loop_t loop;
    struct server *server;
    unsigned opened, closed, sent[PEERS + 4];
    char path[80];
};

struct peer {
    int fd;
    bool ended, told;
    struct line_cutter in;
    unsigned lines;
};

static void on_open(void *owner, uint32_t conn)
{
    (void)conn;
    ((struct world *)owner)->opened++;
}

static void on_close(void *owner, uint32_t conn)
{
    (void)conn;
    ((struct world *)owner)->closed++;
}

/* Lines are numbered per connection. */
static void on_message(void *owner, uint32_t conn, const struct rpc_message *msg)
{
    static char line[LINE_BYTES];
    struct world *w = owner;

    (void)msg;
    for (int i = 0; i < LINES; i++) {
        memset(line, 'x', sizeof line);
        snprintf(line, sizeof line, "%u", ++w->sent[conn]);
        line[strlen(line)] = ' ';
        line[sizeof line - 1] = '\n';
        server_send(w->server, conn, line, sizeof line);
    }
}

static void world_make(struct world *w)
{
    struct err err = { 0 };

    memset(w, 0, sizeof *w);
    snprintf(w->path, sizeof w->path, "/tmp/pw-send-%d.sock", (int)getpid());
    uv_loop_init(&w->loop);
    check_ok(server_open(&w->loop, w->path, NULL, (struct server_owner){ w, on_open, on_message, on_close },
                         &w->server, &err),
             &err);
}

static void world_drop(struct world *w)
{
    server_close(w->server);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    unlink(w->path);
}

static void peer_make(struct peer *p, const struct world *w)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    memset(p, 0, sizeof *p);
    line_cutter_init(&p->in, 2 * LINE_BYTES);
    p->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(at.sun_path, w->path, strlen(w->path));
    assert_int_equal(connect(p->fd, (const struct sockaddr *)&at, sizeof at), 0);
}

static void peer_ask(struct peer *p)
{
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{}}\n";

    for (int i = 0; i < REQUESTS; i++)
        if (send(p->fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
            return; /* ended by the other side */
}

/* Every line is the next one, whole; or the last one, an error. */
static void peer_read(struct peer *p)
{
    static char block[9000];
    ssize_t n = recv(p->fd, block, sizeof block, MSG_DONTWAIT);
    const char *line;
    size_t len;

    p->ended = p->ended || n == 0;
    if (n <= 0)
        return;
    assert_int_equal(line_cutter_feed(&p->in, block, (size_t)n, NULL), 0);
    while ((line = line_cutter_take(&p->in, &len)) != NULL) {
        if (line[0] == '{') { /* told why, and that was the last line */
            assert_non_null(strstr(line, "\"nomem\""));
            p->told = true;
            continue;
        }
        assert_false(p->told);
        assert_int_equal(len, LINE_BYTES - 1);
        assert_int_equal(strtoul(line, NULL, 10), ++p->lines);
    }
}

static void turn(struct world *w, struct peer *peers, unsigned n)
{
    for (int i = 0; i < 600; i++) {
        uv_run(&w->loop, UV_RUN_NOWAIT);
        for (unsigned k = 0; k < n; k++)
            peer_read(&peers[k]);
    }
}

static void peer_drop(struct peer *p)
{
    close(p->fd);
    line_cutter_clear(&p->in);
}

/* One story with the n-th try failing; false when there was no n-th. */
static bool once(enum how what, unsigned n)
{
    struct peer peers[PEERS], later;
    struct world w;
    unsigned hurt = 0;

    world_make(&w);
    how = what;
    hit = false;
    countdown = what == NO_MEMORY ? 0 : n;
    for (int i = 0; i < PEERS; i++)
        peer_make(&peers[i], &w);
    alloc_fault_at(what == NO_MEMORY ? n : 0);
    for (int i = 0; i < PEERS; i++)
        peer_ask(&peers[i]);
    for (int i = 0; i < 40; i++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    hit = hit || alloc_fault_hit();
    alloc_fault_at(0);
    countdown = 0;
    turn(&w, peers, PEERS);
    for (int i = 0; i < PEERS; i++) {
        assert_true(peers[i].ended == (peers[i].lines < REQUESTS * LINES));
        hurt += peers[i].ended;
    }
    assert_true(hurt == (hit ? 1u : 0u));

    peer_make(&later, &w);
    peer_ask(&later);
    turn(&w, &later, 1);
    assert_int_equal(later.lines, REQUESTS * LINES);
    peer_drop(&later);
    for (int i = 0; i < PEERS; i++)
        peer_drop(&peers[i]);
    for (int i = 0; i < 40; i++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    assert_int_equal(w.opened, w.closed);
    world_drop(&w);
    return hit;
}

static void every(enum how what, unsigned least)
{
    unsigned n = 1;

    while (once(what, n))
        n++;
    assert_true(n > least);
    printf("# %u times\n", n - 1);
}

static void test_every_send_fails_at_once(void **state)
{
    (void)state;
    every(AT_ONCE, PEERS * REQUESTS * LINES);
}

static void test_every_send_fails_later(void **state)
{
    (void)state;
    every(LATER, PEERS * REQUESTS * LINES);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    every(NO_MEMORY, PEERS * REQUESTS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_send_fails_at_once),
        cmocka_unit_test(test_every_send_fails_later),
        cmocka_unit_test(test_every_allocation_fails),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
