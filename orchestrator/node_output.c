#include "orchestrator/node_output.h"

#include "orchestrator/io/backend_live.h"
#include "orchestrator/io/node_target.h"
#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/node_pins.h"
#include "schema/ids.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_LIMIT_MS ((dur_ms)20000)

struct fetch {
    struct loop *loop;
    struct backend_live *backend;
    uint32_t node;
    const char *op;
    uint64_t offset;
    struct buf text;
    struct err err;
};

static void on_text(void *arg, const char *text, uint64_t total_bytes, const struct err *why)
{
    struct fetch *f = arg;
    size_t n = text == NULL ? 0 : strlen(text);

    if (why != NULL)
        f->err = *why;
    else
        buf_add(&f->text, text, n);
    f->offset += n;
    if (why == NULL && n > 0 && f->offset < total_bytes)
        backend_live_output(f->backend, f->node, f->op, f->offset, on_text, f);
    else
        loop_stop(f->loop);
}

static void on_surveyed(void *arg, const struct live_survey *s)
{
    struct fetch *f = arg;

    (void)s;
    backend_live_output(f->backend, f->node, f->op, 0, on_text, f);
}

static struct log_position no_position(void *arg)
{
    (void)arg;
    return (struct log_position){ 0 };
}

static bool holds_all(void *arg, uint64_t seq, const char *hash)
{
    (void)arg; /* nothing is decided here: only text is fetched */
    (void)seq;
    (void)hash;
    return true;
}

static void no_event(void *arg, const struct event *ev)
{
    (void)arg;
    (void)ev;
}

static void on_closed(void *arg)
{
    loop_stop(arg);
}

static int fetch(struct fetch *f, const struct plan *plan, struct ssh_hostkey *pins, struct err *err)
{
    struct live_setup setup = { .plan = plan,
                                .clock = fleet_clock_of(plan->inv),
                                .pins = pins,
                                .default_user = node_default_user(),
                                .position = no_position,
                                .log_holds = holds_all,
                                .on_event = no_event,
                                .arg = f };
    int rc = loop_new(&f->loop, err);

    if (rc != 0)
        return rc;
    rc = backend_live_new(f->loop, &setup, &f->backend, err);
    if (rc == 0) {
        backend_live_survey(f->backend, CONNECT_LIMIT_MS, on_surveyed);
        loop_run(f->loop);
        backend_live_close(f->backend, on_closed, f->loop);
        loop_run(f->loop);
    }
    loop_free(f->loop);
    if (rc == 0 && f->err.code != ERR_OK) {
        rc = (int)f->err.code;
        if (err != NULL)
            *err = f->err;
    }
    return rc;
}

/* Line by line: what a driver prints is text from outside. */
static void put_text(struct buf *out, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        struct buf line = BUF_INIT;

        buf_add(&line, text, n);
        escape_terminal(out, buf_text(&line));
        buf_char(out, '\n');
        buf_clear(&line);
        text += text[n] == '\n' ? n + 1 : n;
    }
}

static void print(const struct cli *c, const char *op, const char *text)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "op", op);
        jw_str(&w, "output", text);
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        put_text(&out, text);
    }
    cli_print(&out);
}

static int find_node(const struct plan *plan, const char *node, uint32_t *ret, struct err *err)
{
    *ret = inventory_node(plan->inv, node);
    return *ret != IX_NONE ? 0 : err_set(err, ERR_NOT_FOUND, "no node \"%s\" in this run", node);
}

int node_output_print(const struct cli *c, struct store *s, const char *node, const char *op, struct err *err)
{
    struct fetch f = { .op = op };
    struct ssh_hostkey *pins = NULL;
    struct run_found run;
    struct plan *plan = NULL;
    struct op_id_parts parts;
    int rc;

    if (op == NULL || op_id_parse(op, &parts, NULL) != 0)
        return err_set(err, ERR_INVALID, "--op wants an op's id (`patchwave log --node NODE` shows them)");
    rc = store_find_run(s, parts.run, &run, err);
    if (rc == 0)
        rc = store_load_plan(s, run.plan, &plan, err);
    if (rc == 0)
        rc = find_node(plan, node == NULL ? parts.node : node, &f.node, err);
    if (rc == 0)
        rc = node_pins_read(s, plan->inv, &pins, err);
    if (rc == 0)
        rc = fetch(&f, plan, pins, err);
    if (rc == 0)
        print(c, op, buf_text(&f.text));
    buf_clear(&f.text);
    free(pins);
    plan_free(plan);
    return rc;
}
