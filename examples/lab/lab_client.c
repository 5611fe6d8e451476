#include "examples/lab/lab_client.h"

#include "examples/lab/lab_dir.h"
#include "examples/lab/world_api.h"
#include "examples/lab/world_store.h"

#include "schema/codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* --- one call to the running daemon --- */

static int connect_unix(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) < sizeof at.sun_path)
        memcpy(at.sun_path, path, strlen(path));
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int read_answer(int fd, struct line_cutter *cut, struct rpc_message *msg, struct err *err)
{
    char part[16384];
    const char *line;
    size_t len;
    ssize_t n;

    while ((line = line_cutter_take(cut, &len)) == NULL) {
        n = read(fd, part, sizeof part);
        if (n <= 0)
            return err_set(err, ERR_LOST, "the lab hung up");
        if (line_cutter_feed(cut, part, (size_t)n, err) != 0)
            return (int)err->code;
    }
    return rpc_parse(line, len, msg, err);
}

static int one_call(int fd, struct line_cutter *cut, const char *method, const char *params, struct buf *out,
                    struct err *err)
{
    struct rpc_message msg = { 0 };
    struct buf line = BUF_INIT;
    int rc = 0;

    rpc_write_request(&line, 1, method, params);
    if (send(fd, line.data, line.len, MSG_NOSIGNAL) != (ssize_t)line.len)
        rc = err_set(err, ERR_LOST, "the lab hung up");
    buf_clear(&line);
    if (rc == 0)
        rc = read_answer(fd, cut, &msg, err);
    if (rc == 0 && msg.kind == RPC_ERROR)
        rc = err_set(err, ERR_REFUSED, "%s", msg.error_text);
    else if (rc == 0)
        json_write(out, msg.result, false);
    rpc_clear(&msg);
    return rc;
}

/* ERR_CONNECT: no daemon runs there. */
static int call(const char *dir, const char *method, const char *params, struct buf *out, struct err *err)
{
    char path[LAB_PATH], show[96], *token = NULL;
    struct buf unused = BUF_INIT;
    struct line_cutter cut;
    int fd = connect_unix(lab_path(dir, "admin.sock", path)), rc;

    if (fd < 0)
        return err_set(err, ERR_CONNECT, "no lab runs in %s", dir);
    line_cutter_init(&cut, 64u << 20); /* the truth of a long run is long */
    rc = lab_file_read(lab_path(dir, "admin.token", path), &token, NULL, err);
    if (rc == 0) {
        snprintf(show, sizeof show, "{\"token\":\"%.40s\"}", token);
        rc = one_call(fd, &cut, "token", show, &unused, err);
    }
    if (rc == 0)
        rc = one_call(fd, &cut, method, params, out, err);
    free(token);
    buf_clear(&unused);
    line_cutter_clear(&cut);
    close(fd);
    return rc;
}

/* --- the file, when no daemon runs --- */

static int open_world(const char *dir, struct world_store **store, struct world *w, struct err *err)
{
    char path[LAB_PATH];
    int rc;

    if (access(lab_path(dir, "world.db", path), R_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "there is no lab in %s", dir);
    rc = world_store_open(path, store, err);
    if (rc == 0)
        rc = world_store_load(*store, w, err);
    return rc;
}

static int from_file(const char *dir, void (*write)(const struct world *, struct buf *), struct buf *out,
                     struct err *err)
{
    struct world_store *s = NULL;
    struct world w = { 0 };
    int rc = open_world(dir, &s, &w, err);

    if (rc == 0)
        write(&w, out);
    world_store_close(s);
    world_clear(&w);
    return rc;
}

/* --- truth --- */

static int print_table(const struct buf *text, struct err *err)
{
    struct json_doc *doc = NULL;
    int rc = json_parse("truth", buf_text(text), text->len, &doc, err);

    if (rc != 0)
        return rc;
    for (const json *r = json_first(json_get(json_root(doc), "downtime")); r != NULL; r = json_next(r))
        printf("%-5s %-36s %-12s %lld ms\n", json_get_str(r, "subject", ""), json_get_str(r, "id", ""),
               json_get_str(r, "cause", ""),
               (long long)(json_get_int(r, "end_ms", json_get_int(json_root(doc), "now_ms", 0)) -
                           json_get_int(r, "start_ms", 0)));
    for (const json *r = json_first(json_get(json_root(doc), "damage")); r != NULL; r = json_next(r))
        printf("damage %-24s %s: %s\n", json_get_str(r, "what", ""), json_get_str(r, "subject", ""),
               json_get_str(r, "detail", ""));
    json_free(doc);
    return 0;
}

int lab_print_truth(const char *dir, bool json_text, struct err *err)
{
    struct buf out = BUF_INIT;
    int rc = call(dir, "truth", NULL, &out, err);

    if (rc == ERR_CONNECT)
        rc = from_file(dir, world_write_truth, &out, err);
    if (rc == 0 && json_text)
        puts(buf_text(&out));
    else if (rc == 0)
        rc = print_table(&out, err);
    buf_clear(&out);
    return rc;
}

/* --- faults --- */

int lab_fault_list(const char *dir, struct err *err)
{
    struct buf out = BUF_INIT;
    uint32_t n;
    const struct world_fault_kind *k = world_fault_kinds(&n);
    int rc = 0;

    for (uint32_t i = 0; i < n; i++)
        printf("%-20s %-8s %s\n", k[i].name, k[i].subject, k[i].help);
    if (dir[0] == 0)
        return 0;
    rc = call(dir, "fault.list", NULL, &out, err);
    if (rc == ERR_CONNECT)
        rc = from_file(dir, world_write_faults, &out, err);
    if (rc == 0)
        puts(buf_text(&out));
    buf_clear(&out);
    return rc;
}

static int fault_in_file(const char *dir, const char *what, const char *name, const char *subject,
                         const char *arg, struct err *err)
{
    struct world_store *s = NULL;
    struct world w = { 0 };
    int rc = open_world(dir, &s, &w, err);

    if (rc == 0)
        rc = strcmp(what, "add") == 0 ? world_fault_add(&w, name, subject, arg, err)
                                      : world_fault_remove(&w, name, subject, err);
    if (rc == 0)
        rc = world_store_save(s, &w, err);
    world_store_close(s);
    world_clear(&w);
    return rc;
}

int lab_fault(const char *dir, const char *what, const char *name, const char *subject, const char *arg,
              struct err *err)
{
    struct buf params = BUF_INIT, out = BUF_INIT;
    struct json_writer w;
    char method[32];
    int rc;

    if (dir[0] == 0)
        return err_set(err, ERR_INVALID, "--dir is needed");
    jw_init(&w, &params);
    jw_object(&w, NULL);
    jw_str(&w, "name", name);
    jw_str(&w, "subject", subject);
    jw_str(&w, "arg", arg);
    jw_object_end(&w);
    snprintf(method, sizeof method, "fault.%.16s", what);
    rc = call(dir, method, buf_text(&params), &out, err);
    if (rc == ERR_CONNECT)
        rc = fault_in_file(dir, what, name, subject, arg, err);
    buf_clear(&params);
    buf_clear(&out);
    return rc;
}

/* --- wait --- */

static bool listens(const char *address, int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && inet_pton(AF_INET, address, &at.sin_addr) == 1 &&
               connect(fd, (const struct sockaddr *)&at, sizeof at) == 0;

    if (fd >= 0)
        close(fd);
    return yes;
}

static bool answers(const char *dir, const char *node)
{
    char path[LAB_PATH];
    int fd;

    if (access(lab_node_path(dir, node, "agent", path), X_OK) == 0)
        return true; /* where that one listens, it alone knows */
    fd = connect_unix(lab_node_path(dir, node, "agent.sock", path));

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The daemon holds its lock while it lives. */
static bool daemon_lives(const char *dir)
{
    char path[LAB_PATH];
    int fd = open(lab_path(dir, "hvlab.lock", path), O_RDWR | O_CLOEXEC);
    bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;

    if (fd >= 0)
        close(fd);
    return held;
}

int lab_wait(const char *dir, struct err *err)
{
    struct world_store *s = NULL;
    struct world w = { 0 };
    int rc = open_world(dir, &s, &w, err);
    uint32_t tries = 0;

    for (uint32_t i = 0; rc == 0 && i < w.nodes.n;) {
        const struct world_node *n = &w.nodes.items[i];
        if (n->power != POWER_ON || (listens(n->address, (int)n->port) && answers(dir, n->id))) {
            i++;
            continue;
        }
        if (++tries > 9000)
            rc = err_set(err, ERR_TIMEOUT, "%s does not answer", n->id);
        else if (tries > 100 && !daemon_lives(dir))
            rc = err_set(err, ERR_CONNECT, "no lab runs in %s", dir);
        nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
    }
    world_store_close(s);
    world_clear(&w);
    return rc;
}
