/* The package to the nodes days ahead of the run (O32): nothing on them
 * changes but a file in the staging folder. */
#include "orchestrator/cli.h"
#include "orchestrator/io/backend_live.h"
#include "orchestrator/io/node_target.h"
#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/node_pins.h"
#include "orchestrator/package_files.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SURVEY_LIMIT_MS ((dur_ms)20000)
#define STAGE_LIMIT_MS (12 * HOUR_MS)
#define GIVE_UP_MS (2 * MINUTE_MS)
#define PROGRESS_EVERY_MS 200
#define PROGRESS_NODES_MAX 4

struct stage {
    struct cli *c;
    struct plan *plan;
    struct loop *loop;
    struct backend_live *backend;
    struct ssh_hostkey *pins;
    struct buf out;
    struct json_writer w;
    bool *told; /* per node of the plan */
    uint32_t waiting, staged, failed;
    int signum;
    bool terminal;     /* progress is drawn over itself */
    uint8_t *percents; /* per node of the inventory; 0: not begun */
    int64_t drawn_ms;
};

/* --- progress, on a terminal: one line, drawn over itself --- */

static void take_back(const struct stage *st)
{
    if (st->terminal)
        fputs("\r\x1b[K", stdout);
}

static void draw(struct stage *st)
{
    uint32_t shown = 0, more = 0;

    take_back(st);
    printf("%u of %u staged", (unsigned)st->staged, (unsigned)st->plan->n_nodes);
    for (uint32_t i = 0; i < st->plan->inv->n_nodes; i++) {
        if (st->percents[i] == 0 || st->percents[i] == 100)
            continue;
        if (shown++ < PROGRESS_NODES_MAX)
            printf("%s %s %u %%", shown == 1 ? ";" : ",", st->plan->inv->nodes[i].id,
                   (unsigned)st->percents[i]);
        else
            more++;
    }
    if (more > 0)
        printf(" and %u more", (unsigned)more);
    fflush(stdout);
}

static void on_progress(void *arg, uint32_t node, const char *op, uint32_t percent, const char *text)
{
    struct stage *st = arg;
    int64_t now = loop_now_ms(st->loop);

    (void)op;
    (void)text;
    st->percents[node] = (uint8_t)percent;
    if (!st->terminal || now - st->drawn_ms < PROGRESS_EVERY_MS)
        return;
    st->drawn_ms = now;
    draw(st);
}

static void tell(struct stage *st, uint32_t node, bool ok, dur_ms took, const char *text)
{
    char took_text[TIME_TEXT_MAX];

    if (st->c->json) {
        jw_object(&st->w, NULL);
        jw_str(&st->w, "node", st->plan->inv->nodes[node].id);
        jw_bool(&st->w, "staged", ok);
        jw_int(&st->w, "took_ms", took);
        jw_str(&st->w, "text", text);
        jw_object_end(&st->w);
        return;
    }
    take_back(st);
    buf_printf(&st->out, "%-14s %s", st->plan->inv->nodes[node].id, ok ? "staged" : "FAILED");
    if (ok)
        buf_printf(&st->out, " in %s", dur_text(took, took_text));
    if (text != NULL && text[0] != '\0') {
        buf_str(&st->out, ": ");
        escape_terminal(&st->out, text);
    }
    buf_char(&st->out, '\n');
    cli_print(&st->out);
}

static void one_done(struct stage *st, uint32_t node, bool ok, dur_ms took, const char *text)
{
    uint32_t at = plan_node_of(st->plan, node);

    if (at == IX_NONE || st->told[at])
        return;
    st->told[at] = true;
    st->percents[node] = 0;
    st->staged += ok;
    st->failed += !ok;
    tell(st, node, ok, took, text);
    if (--st->waiting == 0)
        loop_stop(st->loop);
}

static void on_event(void *arg, const struct event *ev)
{
    struct stage *st = arg;

    if (ev->type == EV_STAGED)
        one_done(st, ev->node, ev->u.staged.ok, ev->u.staged.took, ev->u.staged.text);
    else if (ev->type == EV_NODE_REFUSED)
        one_done(st, ev->node, false, 0, ev->u.refused.text);
}

static void on_surveyed(void *arg, const struct live_survey *s)
{
    struct stage *st = arg;

    (void)s;
    for (uint32_t i = 0; i < st->plan->n_nodes; i++) {
        struct command c = { .type = CMD_STAGE,
                             .node = st->plan->nodes[i].node,
                             .cluster = IX_NONE,
                             .receiver = IX_NONE,
                             .limit_ms = STAGE_LIMIT_MS };
        struct backend *b = backend_live_backend(st->backend);

        b->submit(b, &c);
    }
}

static void on_signal(void *arg, int signum)
{
    struct stage *st = arg;

    st->signum = signum;
    loop_stop(st->loop);
}

static struct log_position no_position(void *arg)
{
    (void)arg;
    return (struct log_position){ 0 };
}

static bool holds_all(void *arg, uint64_t seq, const char *hash)
{
    (void)arg; /* staging claims nothing and orders nothing */
    (void)seq;
    (void)hash;
    return true;
}

static void on_closed(void *arg)
{
    loop_stop(arg);
}

static int stage_all(struct stage *st, const struct package_files *package, struct err *err)
{
    static const int signums[] = { SIGINT, SIGTERM, SIGHUP, 0 };
    struct live_setup setup = {
        .plan = st->plan,
        .clock = fleet_clock_of(st->plan->inv),
        .pins = st->pins,
        .default_user = options_text(&st->c->args, "user", node_default_user()),
        .package_path = package->target,
        .checkpoint_paths = package->checkpoints,
        .stage_bytes_s = (uint64_t)options_number(&st->c->args, "mib-per-second", 0) << 20,
        .stage_link_bytes_s = (uint64_t)options_number(&st->c->args, "link-mib-per-second", 0) << 20,
        .stage_source = cli_text(st->c, "from"),
        .stage_give_up_ms = options_number(&st->c->args, "give-up", GIVE_UP_MS),
        .stage_parallel = (uint32_t)options_number(&st->c->args, "parallel", 0),
        .position = no_position,
        .log_holds = holds_all,
        .on_event = on_event,
        .on_progress = on_progress,
        .arg = st,
    };
    int rc = loop_new(&st->loop, err);

    if (rc != 0)
        return rc;
    rc = loop_on_signals(st->loop, signums, on_signal, st, err);
    if (rc == 0)
        rc = backend_live_new(st->loop, &setup, &st->backend, err);
    if (rc == 0) {
        st->waiting = st->plan->n_nodes;
        backend_live_survey(st->backend, SURVEY_LIMIT_MS, on_surveyed);
        if (st->waiting > 0)
            loop_run(st->loop);
        backend_live_close(st->backend, on_closed, st->loop);
        loop_run(st->loop);
    }
    loop_free(st->loop);
    return rc;
}

static int prepare(struct stage *st, struct store *s, struct err *err)
{
    st->told = calloc(st->plan->n_nodes + 1u, sizeof *st->told);
    st->percents = calloc(st->plan->inv->n_nodes + 1u, sizeof *st->percents);
    st->terminal = !st->c->json && isatty(STDOUT_FILENO);
    if (st->told == NULL || st->percents == NULL)
        return err_set(err, ERR_NOMEM, "stage");
    return node_pins_read(s, st->plan->inv, &st->pins, err);
}

static void say_end(struct stage *st, int *ret_exit)
{
    take_back(st);
    if (st->c->json) {
        jw_array_end(&st->w);
        buf_char(&st->out, '\n');
    } else {
        buf_printf(&st->out, "%u of %u nodes have the package\n", (unsigned)st->staged,
                   (unsigned)st->plan->n_nodes);
        if (st->signum != 0)
            buf_str(&st->out, "interrupted: `patchwave stage` goes on where each node stands\n");
    }
    cli_print(&st->out);
    if (st->signum != 0)
        *ret_exit = EXIT_INTERRUPTED;
    else if (st->failed > 0)
        *ret_exit = EXIT_EXCEPTIONS;
}

static int run_stage(struct cli *c, int *ret_exit, struct err *err)
{
    struct stage st = { .c = c };
    struct store *s = NULL;
    struct arena a = ARENA_INIT;
    struct package_files package;
    int rc = store_open(c->db, STORE_READ, &s, err);

    if (rc == 0)
        rc = store_load_plan(s, cli_operand(c, 0), &st.plan, err);
    if (rc == 0)
        rc = package_files_find(s, st.plan, &a, &package, err);
    if (rc == 0)
        rc = package_files_check(st.plan, &package, err);
    if (rc == 0)
        rc = prepare(&st, s, err);
    if (rc == 0) {
        if (c->json) {
            jw_init(&st.w, &st.out);
            jw_array(&st.w, NULL);
        }
        rc = stage_all(&st, &package, err);
    }
    if (rc == 0)
        say_end(&st, ret_exit);
    buf_clear(&st.out);
    free(st.pins);
    free(st.told);
    free(st.percents);
    plan_free(st.plan);
    arena_clear(&a);
    store_close(s);
    return rc;
}

static const struct option stage_options[] = {
    { "from", 0, OPTION_TEXT, "SOURCE",
      "each node pulls from this share or URL (a folder) instead of being sent to" },
    { "mib-per-second", 0, OPTION_NUMBER, "N",
      "cap over all nodes (default: none); with --from each keeps to its share" },
    { "link-mib-per-second", 0, OPTION_NUMBER, "N", "cap of each node's link (default: none)" },
    { "give-up", 0, OPTION_DURATION, "TIME", "a node that takes nothing so long has failed (default 2m)" },
    { "parallel", 0, OPTION_NUMBER, "N", "nodes at once (default 8)" },
    { "user", 0, OPTION_TEXT, "NAME", "the SSH user where the inventory names none" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_stage = {
    NULL, "stage",       "[PLAN]",  0, 1, "bring the package to the nodes ahead of the run; resumable (O32)",
    NULL, stage_options, run_stage,
};
