/* Stands where powershell.exe does in an agent's driver folder: forwards each
 * line of standard input, a request, to a persistent pshost (tests/powershell)
 * and brings its answer back. `psrun -File SCRIPT`; psrun.conf beside the program
 * holds pshost's socket, the world, and the folder of the scripts, a line
 * each. Killed, it leaves: pshost sees the hang-up and ends the script. */
#include "schema/buf.h"
#include "schema/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES 512
#define INPUT_MAX_BYTES (4u << 20)

struct conf {
    char socket[108], world[LINE_MAX_BYTES], scripts[LINE_MAX_BYTES];
};

static int fail(const char *what)
{
    fprintf(stderr, "psrun: %s: %s\n", what, strerror(errno));
    return -1;
}

static int line(FILE *f, char *out, int size)
{
    if (fgets(out, size, f) == NULL)
        return -1;
    out[strcspn(out, "\n")] = 0;
    return 0;
}

static int read_conf(const char *argv0, struct conf *c)
{
    const char *slash = strrchr(argv0, '/');
    char path[LINE_MAX_BYTES];
    FILE *f;
    int rc;

    snprintf(path, sizeof path, "%.*s/psrun.conf", slash == NULL ? 1 : (int)(slash - argv0),
             slash == NULL ? "." : argv0);
    f = fopen(path, "re");
    if (f == NULL)
        return fail(path);
    rc = line(f, c->socket, sizeof c->socket) == 0 && line(f, c->world, sizeof c->world) == 0 &&
                 line(f, c->scripts, sizeof c->scripts) == 0
             ? 0
             : fail(path);
    fclose(f);
    return rc;
}

/* Whose agent asks stands in the request, after its number if the program is kept; a request that is
 * none has no node, and its script says so before it asks the world anything. */
static void node_of(const struct buf *in, char out[64])
{
    size_t number = strcspn(buf_text(in), "{");
    struct json_doc *doc = NULL;
    struct err err;

    snprintf(out, 64, "-");
    if (json_parse("request", buf_text(in) + number, in->len - number, &doc, &err) == 0)
        snprintf(out, 64, "%s", json_get_str(json_root(doc), "node", "-"));
    json_free(doc);
    out[strcspn(out, "\t\n")] = 0;
}

static int connect_to(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return fail(path);
}

static int send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0)
            return fail("send");
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_request(int fd, const struct conf *c, const char *script, const struct buf *in)
{
    struct buf head = BUF_INIT;
    char node[64];
    int rc;

    node_of(in, node);
    buf_printf(&head, "RUN\t%s/%s\t%s\t%s\tpooled\t%zu\n", c->scripts, script, node, c->world, in->len);
    rc = send_all(fd, buf_text(&head), head.len);
    buf_clear(&head);
    return rc == 0 ? send_all(fd, buf_text(in), in->len) : rc;
}

/* Frames "O n", "E n" with n bytes, then "X code". */
static int copy_answer(FILE *from)
{
    char head[64], part[8192];

    while (fgets(head, sizeof head, from) != NULL) {
        size_t left = strtoul(head + 1, NULL, 10);
        if (head[0] == 'X')
            return (int)left;
        while (left > 0) {
            size_t n = fread(part, 1, left < sizeof part ? left : sizeof part, from);
            if (n == 0)
                return 1;
            fwrite(part, 1, n, head[0] == 'O' ? stdout : stderr);
            left -= n;
        }
    }
    return 1; /* pshost is gone: no evidence */
}

static int forward(const struct conf *c, const char *script, const struct buf *in)
{
    int fd = connect_to(c->socket), rc = 1;
    FILE *answer;

    if (fd < 0 || send_request(fd, c, script, in) != 0)
        return 1;
    answer = fdopen(fd, "r");
    if (answer != NULL) {
        rc = copy_answer(answer);
        fclose(answer);
    }
    return fflush(stdout) == 0 ? rc : 1;
}

int main(int argc, char **argv)
{
    struct buf in = BUF_INIT;
    struct conf c;
    char *text = NULL;
    size_t size = 0;
    ssize_t n;
    int rc = 0;

    if (argc < 3 || strcmp(argv[argc - 2], "-File") != 0 || read_conf(argv[0], &c) != 0)
        return 2;
    while (rc == 0 && (n = getline(&text, &size, stdin)) > 0) {
        buf_clear(&in);
        buf_add(&in, text, (size_t)n);
        rc = in.len > INPUT_MAX_BYTES || in.failed ? 2 : forward(&c, argv[argc - 1], &in);
    }
    free(text);
    buf_clear(&in);
    return rc;
}
