/* The proxy as a program, for tests in other processes:
 *
 *   fault_proxy LISTEN_ADDRESS PORT TO_ADDRESS TO_PORT
 *
 * Faults are lines on standard input: `cut`, `freeze`, `thaw`, `refuse`, `accept`, `delay MS`, `rate BYTES_S`,
 * `cut-after BYTES`, `counts` (one line of JSON on standard output). The end of standard input ends it. */
#include "tests/lib/fault_proxy.h"

#include "schema/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_MAX 128

struct control {
    struct fault_proxy *proxy;
    struct fault_proxy_faults faults;
    struct line_cutter lines;
    uv_pipe_t input;
    char chunk[256];
    struct loop *loop;
};

static void print_counts(const struct control *c)
{
    struct fault_proxy_counts n = fault_proxy_counts(c->proxy);

    (void)printf("{\"accepted\":%" PRIu64 ",\"cut\":%" PRIu64 ",\"live\":%u,\"spoken\":%u,\"bytes\":%" PRIu64
                 "}\n",
                 n.accepted, n.cut, n.live, n.spoken, n.bytes);
    (void)fflush(stdout);
}

static void obey(struct control *c, const char *line)
{
    const char *space = strchr(line, ' ');
    uint64_t number = space != NULL ? strtoull(space + 1, NULL, 10) : 0;

    if (strcmp(line, "cut") == 0)
        fault_proxy_cut(c->proxy);
    else if (strcmp(line, "counts") == 0)
        print_counts(c);
    else if (strcmp(line, "freeze") == 0 || strcmp(line, "thaw") == 0)
        c->faults.frozen = line[0] == 'f';
    else if (strcmp(line, "refuse") == 0 || strcmp(line, "accept") == 0)
        c->faults.refuse = line[0] == 'r';
    else if (strncmp(line, "delay ", 6) == 0)
        c->faults.delay_ms = number;
    else if (strncmp(line, "rate ", 5) == 0)
        c->faults.rate_bytes_s = number;
    else if (strncmp(line, "cut-after ", 10) == 0)
        c->faults.cut_after = number;
    else
        (void)fprintf(stderr, "fault_proxy: unknown command: %s\n", line);
    fault_proxy_set(c->proxy, &c->faults);
}

static void on_input_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret_buf)
{
    struct control *c = h->data;

    (void)hint;
    *ret_buf = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *data)
{
    struct control *c = s->data;
    const char *line;
    size_t len;

    if (n < 0 || (n > 0 && line_cutter_feed(&c->lines, data->base, (size_t)n, NULL) != 0)) {
        loop_stop(c->loop);
        return;
    }
    while ((line = line_cutter_take(&c->lines, &len)) != NULL)
        obey(c, line);
}

int main(int argc, char **argv)
{
    struct control c = { .loop = NULL };
    struct err err;
    int rc;

    if (argc != 5 || loop_new(&c.loop, &err) != 0) {
        (void)fprintf(stderr, "usage: fault_proxy LISTEN_ADDRESS PORT TO_ADDRESS TO_PORT\n");
        return 2;
    }
    rc =
        fault_proxy_new(c.loop, argv[1], (uint16_t)atoi(argv[2]), argv[3], (uint16_t)atoi(argv[4]), &c.proxy);
    if (rc != 0) {
        (void)fprintf(stderr, "fault_proxy: %s\n", uv_strerror(rc));
        return 1;
    }
    line_cutter_init(&c.lines, COMMAND_MAX);
    (void)uv_pipe_init(loop_uv(c.loop), &c.input, 0);
    c.input.data = &c;
    rc = uv_pipe_open(&c.input, 0);
    if (rc == 0)
        rc = uv_read_start((uv_stream_t *)&c.input, on_input_alloc, on_input);
    if (rc == 0)
        loop_run(c.loop);
    uv_close((uv_handle_t *)&c.input, NULL);
    fault_proxy_close(c.proxy);
    loop_free(c.loop);
    line_cutter_clear(&c.lines);
    return rc == 0 ? 0 : 1;
}
