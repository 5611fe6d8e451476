/* What stands behind sshd in the transport's tests: speaks the line protocol
 * of docs/wire.md, and obeys. Started as a forced command: echo_agent DIR.
 *
 * SSH_ORIGINAL_COMMAND `relay`: JSON-RPC with the methods of the table below.
 * `receive`: takes a file into DIR. `no-agent`: a relay whose agent is not there. `late`: no agent until DIR/agent exists. */
#include "schema/codec.h"
#include "schema/json.h"
#include "schema/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LATER_MAX 1024
#define PATH_TEXT_MAX 512

struct later {
    int64_t id, at_ms;
};

struct echo {
    struct line_cutter in;
    struct buf out;
    struct later later[LATER_MAX];
    unsigned n_later;
    bool mute; /* reads, never answers */
};

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(1, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            exit(1);
        data += n;
        len -= (size_t)n;
    }
}

/* ---- relay ---- */

static void do_ping(struct echo *e, const struct rpc_message *m)
{
    rpc_write_result(&e->out, m->id, "{}");
}

static void do_echo(struct echo *e, const struct rpc_message *m)
{
    struct buf text = BUF_INIT;

    if (m->params != NULL)
        json_write(&text, m->params, false);
    rpc_write_result(&e->out, m->id, text.len > 0 ? text.data : "null");
    buf_clear(&text);
}

static void do_later(struct echo *e, const struct rpc_message *m)
{
    if (e->n_later == LATER_MAX)
        exit(4);
    e->later[e->n_later++] = (struct later){ m->id, now_ms() + json_get_int(m->params, "ms", 0) };
}

static void do_big(struct echo *e, const struct rpc_message *m)
{
    struct buf text = BUF_INIT;

    buf_str(&text, "{\"text\":\"");
    for (int64_t i = json_get_int(m->params, "bytes", 0); i > 0; i--)
        buf_char(&text, 'x');
    buf_str(&text, "\"}");
    rpc_write_result(&e->out, m->id, text.data);
    buf_clear(&text);
}

static void do_notify(struct echo *e, const struct rpc_message *m)
{
    char params[64];

    for (int64_t i = 0; i < json_get_int(m->params, "n", 1); i++) {
        (void)snprintf(params, sizeof params, "{\"percent\":%lld}", (long long)i);
        rpc_write_notification(&e->out, "op.progress", params);
    }
    rpc_write_result(&e->out, m->id, "{}");
}

static void do_mute(struct echo *e, const struct rpc_message *m)
{
    (void)m;
    e->mute = true;
}

static void do_drop(struct echo *e, const struct rpc_message *m)
{
    (void)e;
    (void)m;
}

static void do_die(struct echo *e, const struct rpc_message *m)
{
    (void)e;
    (void)m;
    (void)fprintf(stderr, "echo agent: told to die\n");
    exit(3);
}

static void do_fail(struct echo *e, const struct rpc_message *m)
{
    struct err err;

    (void)err_set(&err, ERR_FENCED, "epoch 7 is below 9");
    rpc_write_error(&e->out, m->id, &err, "{\"epoch\":9}");
}

static void do_garbage(struct echo *e, const struct rpc_message *m)
{
    (void)m;
    buf_str(&e->out, "this is not JSON\n");
}

static void do_pid(struct echo *e, const struct rpc_message *m)
{
    char text[32];

    (void)snprintf(text, sizeof text, "{\"pid\":%ld}", (long)getpid());
    rpc_write_result(&e->out, m->id, text);
}

static const struct {
    const char *name;
    void (*run)(struct echo *e, const struct rpc_message *m);
} methods[] = {
    { "ping", do_ping }, { "hello", do_echo }, { "echo", do_echo },       { "later", do_later },
    { "big", do_big },   { "pid", do_pid },    { "notify", do_notify },   { "mute", do_mute },
    { "drop", do_drop }, { "die", do_die },    { "garbage", do_garbage }, { "fail", do_fail },
};

static void obey(struct echo *e, const char *line, size_t len)
{
    struct rpc_message m;
    struct err err;

    if (rpc_parse(line, len, &m, &err) != 0 || m.kind != RPC_REQUEST) {
        (void)fprintf(stderr, "echo agent: %s\n", err.text);
        exit(5);
    }
    for (size_t i = 0; i < sizeof methods / sizeof methods[0] && !e->mute; i++) {
        if (strcmp(methods[i].name, m.method) == 0)
            methods[i].run(e, &m);
    }
    rpc_clear(&m);
}

static int answer_due(struct echo *e)
{
    int64_t now = now_ms(), next = now + 60000;

    for (unsigned i = 0; i < e->n_later;) {
        if (e->later[i].at_ms <= now) {
            rpc_write_result(&e->out, e->later[i].id, "{}");
            e->later[i] = e->later[--e->n_later];
            continue;
        }
        next = e->later[i].at_ms < next ? e->later[i].at_ms : next;
        i++;
    }
    return (int)(next - now);
}

static int relay(void)
{
    static struct echo e;
    static char chunk[65536];

    line_cutter_init(&e.in, WIRE_LINE_MAX);
    for (;;) {
        struct pollfd in = { .fd = 0, .events = POLLIN };
        int wait = answer_due(&e);
        const char *line;
        ssize_t n;
        size_t len;

        write_all(buf_text(&e.out), e.out.len);
        buf_reset(&e.out);
        if (poll(&in, 1, wait) <= 0)
            continue;
        n = read(0, chunk, sizeof chunk);
        if (n <= 0)
            return 0;
        if (line_cutter_feed(&e.in, chunk, (size_t)n, NULL) != 0)
            return 6;
        while ((line = line_cutter_take(&e.in, &len)) != NULL)
            obey(&e, line, len);
    }
}

/* ---- receive ---- */

struct incoming {
    char name[128], sha256[SHA256_TEXT];
    int64_t size_bytes;
    char part[PATH_TEXT_MAX], whole[PATH_TEXT_MAX];
};

static void say(const char *text)
{
    write_all(text, strlen(text));
}

/* One line, a byte at a time: what follows is not a line. */
static bool read_header(const char *dir, struct incoming *f)
{
    char line[4096];
    size_t len = 0;
    struct json_doc *doc = NULL;
    const json *root;

    while (len < sizeof line && read(0, line + len, 1) == 1 && line[len] != '\n')
        len++;
    if (json_parse("header", line, len, &doc, NULL) != 0)
        return false;
    root = json_root(doc);
    (void)snprintf(f->name, sizeof f->name, "%s", json_get_str(root, "name", ""));
    (void)snprintf(f->sha256, sizeof f->sha256, "%s", json_get_str(root, "sha256", ""));
    f->size_bytes = json_get_int(root, "size_bytes", -1);
    (void)snprintf(f->part, sizeof f->part, "%s/%s.part", dir, f->name);
    (void)snprintf(f->whole, sizeof f->whole, "%s/%s", dir, f->name);
    json_free(doc);
    return f->name[0] != '\0' && f->size_bytes > 0;
}

static void digest_of(const char *path, char out[SHA256_TEXT])
{
    static char chunk[1 << 20];
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;
    int fd = open(path, O_RDONLY);
    ssize_t n;

    sha256_init(&s);
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        sha256_add(&s, chunk, (size_t)n);
    (void)close(fd);
    sha256_end(&s, digest);
    (void)sha256_hex(digest, out);
}

static bool take_bytes(const struct incoming *f, int64_t have)
{
    static char chunk[65536];
    int fd = open(f->part, O_WRONLY | O_CREAT | O_APPEND, 0600);

    while (have < f->size_bytes) {
        int64_t left = f->size_bytes - have;
        ssize_t n = read(0, chunk, left < (int64_t)sizeof chunk ? (size_t)left : sizeof chunk);

        if (n <= 0 || write(fd, chunk, (size_t)n) != n)
            break;
        have += n;
    }
    (void)close(fd);
    return have == f->size_bytes;
}

static int receive(const char *dir)
{
    struct incoming f;
    struct stat st;
    char text[128], digest[SHA256_TEXT];

    if (!read_header(dir, &f)) {
        say("{\"error\":{\"name\":\"invalid\",\"message\":\"bad header\"}}\n");
        return 1;
    }
    if (strcmp(f.name, "full.msu") == 0) {
        say("{\"error\":{\"name\":\"full\",\"message\":\"2 GiB are free, 3 are needed\"}}\n");
        return 1;
    }
    if (stat(f.whole, &st) == 0) {
        say("{\"have\":true}\n");
        return 0;
    }
    (void)snprintf(text, sizeof text, "{\"offset\":%lld}\n",
                   stat(f.part, &st) == 0 ? (long long)st.st_size : 0LL);
    say(text);
    if (!take_bytes(&f, stat(f.part, &st) == 0 ? st.st_size : 0))
        return 1;
    digest_of(f.part, digest);
    if (strcmp(digest, f.sha256) != 0) {
        (void)unlink(f.part);
        say("{\"error\":{\"name\":\"corrupt\",\"message\":\"digest differs\"}}\n");
        return 1;
    }
    (void)rename(f.part, f.whole);
    (void)snprintf(text, sizeof text, "{\"done\":true,\"sha256\":\"%s\"}\n", digest);
    say(text);
    return 0;
}

int main(int argc, char **argv)
{
    const char *command = getenv("SSH_ORIGINAL_COMMAND");
    char path[PATH_TEXT_MAX];

    if (argc != 2 || command == NULL)
        return 126;
    (void)snprintf(path, sizeof path, "%s/agent", argv[1]);
    if (strcmp(command, "no-agent") == 0 || (strcmp(command, "late") == 0 && access(path, F_OK) != 0)) {
        (void)fprintf(stderr, "relay: no agent at its socket\n");
        return 1;
    }
    if (strcmp(command, "relay") == 0 || strcmp(command, "late") == 0)
        return relay();
    if (strcmp(command, "receive") == 0)
        return receive(argv[1]);
    (void)fprintf(stderr, "%s: not allowed\n", command);
    return 126;
}
