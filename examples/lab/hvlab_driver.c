/* hvlab-driver: each line of standard input is a request to the lab's daemon,
 * and one line of standard output its answer, until the input ends (`resident`
 * in docs/driver.md). It knows nothing and keeps nothing. */
#include "schema/buf.h"
#include "schema/codec.h"
#include "schema/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void bad_request(const char *why)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &out);
    w.ascii = true;
    jw_object(&w, NULL);
    jw_object(&w, "error");
    jw_str(&w, "code", "bad_request");
    jw_str(&w, "message", why);
    jw_null(&w, "native");
    jw_null(&w, "hint");
    jw_object_end(&w);
    jw_object_end(&w);
    puts(buf_text(&out));
    buf_clear(&out);
}

/* HVLAB_SOCKET, else the first line of hvlab.conf beside the program. */
static int socket_path(const char *argv0, char out[108])
{
    const char *env = getenv("HVLAB_SOCKET"), *slash = strrchr(argv0, '/');
    char path[512];
    FILE *f;

    if (env != NULL)
        return snprintf(out, 108, "%s", env) < 108 ? 0 : -1;
    snprintf(path, sizeof path, "%.*s/hvlab.conf", slash == NULL ? 1 : (int)(slash - argv0),
             slash == NULL ? "." : argv0);
    f = fopen(path, "re");
    if (f == NULL || fgets(out, 108, f) == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (f != NULL)
            fclose(f);
        return -1;
    }
    fclose(f);
    out[strcspn(out, "\n")] = 0;
    return 0;
}

static int connect_to(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    fprintf(stderr, "connect %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int send_all(int fd, const struct buf *b)
{
    size_t at = 0;

    while (at < b->len) {
        ssize_t n = send(fd, b->data + at, b->len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        at += (size_t)n;
    }
    return 0;
}

static void tell_progress(int percent)
{
    fprintf(stderr, "{\"progress\":{\"percent\":%d,\"text\":\"\"}}\n", percent);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What has been copied takes at least as long as the cap says (in real seconds, as the cap of what is sent). */
struct pace {
    int64_t size_bytes, bytes_s; /* bytes_s 0: no cap */
    int64_t begun_ms, done_bytes;
    int percent;
};

static void pace_keep(struct pace *p, int64_t bytes)
{
    int64_t ahead_ms;
    int percent;

    p->done_bytes += bytes;
    percent = (int)(p->done_bytes * 100 / (p->size_bytes > p->done_bytes ? p->size_bytes : p->done_bytes));
    if (percent != p->percent)
        tell_progress(percent);
    p->percent = percent;
    if (p->bytes_s == 0)
        return;
    ahead_ms = p->done_bytes * 1000 / p->bytes_s - (now_ms() - p->begun_ms);
    if (ahead_ms > 0)
        nanosleep(&(struct timespec){ ahead_ms / 1000, ahead_ms % 1000 * 1000000 }, NULL);
}

/* So much at once: about a tenth of a second's. */
static size_t pace_part(const struct pace *p, size_t most)
{
    int64_t part = p->bytes_s / 10 + 1;

    return p->bytes_s > 0 && part < (int64_t)most ? (size_t)part : most;
}

/* The file is here, not in the world: the copying is the driver's. */
static int copy_file(const char *from, const char *to, struct pace *pace)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), rc = 0;
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char part[65536];
    ssize_t n = 0;

    if (in < 0 || out < 0)
        rc = -1;
    while (rc == 0 && (n = read(in, part, pace_part(pace, sizeof part))) > 0)
        if (write(out, part, (size_t)n) != n)
            rc = -1;
        else
            pace_keep(pace, n);
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) != 0)
        rc = -1;
    return n < 0 ? -1 : rc;
}

static int fetched(const json *request)
{
    const json *args = json_get(request, "args");
    struct buf out = BUF_INIT;
    struct json_writer w;
    struct pace pace = { .size_bytes = json_get_int(args, "size_bytes", 0),
                         .bytes_s = json_get_int(args, "bytes_per_second", 0),
                         .begun_ms = now_ms() };
    char to[1024];

    snprintf(to, sizeof to, "%s/%s", json_get_str(args, "to", "."), json_get_str(args, "name", ""));
    jw_init(&w, &out);
    w.ascii = true;
    jw_object(&w, NULL);
    if (copy_file(json_get_str(args, "source", ""), to, &pace) == 0) {
        jw_object(&w, "result");
        jw_str(&w, "path", to);
    } else {
        jw_object(&w, "error");
        jw_str(&w, "code", errno == ENOSPC ? "no_space" : errno == EACCES ? "access" : "not_found");
        jw_str(&w, "message", strerror(errno));
        jw_null(&w, "native");
        jw_null(&w, "hint");
    }
    jw_object_end(&w);
    jw_object_end(&w);
    puts(buf_text(&out));
    buf_clear(&out);
    return 0;
}

static int finish(const struct rpc_message *msg, const json *request)
{
    struct buf out = BUF_INIT;

    if (msg->kind == RPC_ERROR) {
        fprintf(stderr, "%s\n", msg->error_text);
        return 1;
    }
    if (json_get_bool(msg->result, "garbage", false)) {
        puts("PS C:\\> driver went wrong {");
        return 0;
    }
    if (json_get_bool(json_get(msg->result, "result"), "copy", false))
        return fetched(request);
    json_write(&out, msg->result, true);
    puts(buf_text(&out));
    buf_clear(&out);
    return 0;
}

/* Progress to standard error until the answer comes. No answer: exit code 1. */
static int await(int fd, const json *request)
{
    struct line_cutter cut;
    struct rpc_message msg;
    struct err err;
    char part[16384];
    const char *line;
    size_t len;
    ssize_t n;
    int rc = -1;

    line_cutter_init(&cut, WIRE_LINE_MAX);
    while (rc < 0 && (n = read(fd, part, sizeof part)) > 0 &&
           line_cutter_feed(&cut, part, (size_t)n, &err) == 0)
        while (rc < 0 && (line = line_cutter_take(&cut, &len)) != NULL) {
            if (rpc_parse(line, len, &msg, &err) != 0)
                rc = 1;
            else if (msg.kind == RPC_NOTIFICATION)
                tell_progress((int)json_get_int(msg.params, "percent", 0));
            else
                rc = finish(&msg, request);
            rpc_clear(&msg);
        }
    line_cutter_clear(&cut);
    return rc < 0 ? 1 : rc;
}

static int ask_daemon(const char *argv0, const json *request)
{
    struct buf params = BUF_INIT, line = BUF_INIT;
    char path[108];
    int fd = socket_path(argv0, path) == 0 ? connect_to(path) : -1, rc = 1;

    if (fd < 0)
        return 1;
    json_write(&params, request, true);
    rpc_write_request(&line, 1, "driver", buf_text(&params));
    if (send_all(fd, &line) == 0)
        rc = await(fd, request);
    close(fd);
    buf_clear(&params);
    buf_clear(&line);
    return rc;
}

/* 0: an answer was given. */
/* What stands before the object is the question's number, and stands before the answer too. */
static int answer(const char *argv0, const char *line, size_t len)
{
    struct json_doc *doc = NULL;
    size_t number = strcspn(line, "{");
    struct err err;
    int rc = 0;

    number = line[number] == '{' ? number : 0;
    fwrite(line, 1, number, stdout);
    if (len > WIRE_LINE_MAX)
        bad_request("the request is too long");
    else if (json_parse("request", line + number, len - number, &doc, &err) != 0)
        bad_request(err.text);
    else
        rc = ask_daemon(argv0, json_root(doc));
    json_free(doc);
    return rc != 0 || fflush(stdout) != 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *argv0 = argc > 0 ? argv[0] : "./hvlab-driver";
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    int rc = 0;

    while (rc == 0 && (n = getline(&line, &size, stdin)) > 0)
        rc = answer(argv0, line, (size_t)n);
    free(line);
    return rc;
}
