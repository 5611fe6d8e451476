#include "orchestrator/cli.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/render_status.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_lock.h"
#include "orchestrator/live_screen.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_MS 500

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
    (void)signum;
    interrupted = 1;
}

struct look_at {
    struct run_found run;
    struct fleet_clock clock;
    bool lab;
};

static int find(const struct cli *c, struct store *s, struct look_at *at, struct err *err)
{
    struct plan *p = NULL;
    int rc = store_find_run(s, cli_operand(c, 0), &at->run, err);

    if (rc == 0)
        rc = store_load_plan(s, at->run.plan, &p, err);
    if (rc == 0) {
        at->clock = fleet_clock_of(p->inv);
        at->lab = p->inv->lab;
    }
    plan_free(p);
    return rc;
}

static struct status_look look_now(const struct cli *c, const struct look_at *at)
{
    return (struct status_look){ .run = at->run.id,
                                 .now = fleet_now(&at->clock),
                                 .writer_pid = store_lock_holder(c->db),
                                 .lab = at->lab };
}

static int exit_of_state(const char *state, struct store *s, const char *run)
{
    int found = sm_by_name(run_states, RUN_STATES, state);
    struct rows r = { 0 };
    uint32_t exceptions = 0;

    if (store_ask(s, &r, NULL,
                  "SELECT (SELECT count(*) FROM run_nodes WHERE run = ?1 AND ending NOT IN ('done', "
                  "'compliant')) + p.refused "
                  "FROM runs JOIN plans p ON p.hash = runs.plan WHERE runs.id = ?1",
                  "s", run) == 0 &&
        r.n == 1)
        exceptions = (uint32_t)rows_int(&r, 0, 0);
    rows_clear(&r);
    return found < 0 ? EXIT_INTERNAL : (int)exit_of_run((enum run_state)found, exceptions);
}

static int show(const struct cli *c, struct store *s, const struct look_at *at, struct err *err)
{
    struct status_look look = look_now(c, at);
    struct buf out = BUF_INIT;
    struct json_writer w;
    int rc;

    if (c->json) {
        jw_init(&w, &out);
        w.pretty = true;
        rc = render_status_json(&w, s, &look, err);
        buf_char(&out, '\n');
    } else {
        rc = render_status(&out, s, &look, err);
    }
    if (rc == 0)
        cli_print(&out);
    buf_clear(&out);
    return rc;
}

/* Until the run is at rest, or somebody has seen enough. */
static int watch(const struct cli *c, struct store *s, const struct look_at *at, struct err *err)
{
    const struct timespec pause = { .tv_nsec = WATCH_MS * 1000000L };
    struct sigaction sa = { .sa_handler = on_interrupt };
    struct live_screen screen;
    struct run_found now = at->run;
    int rc = 0;

    sigaction(SIGINT, &sa, NULL);
    live_screen_init(&screen, false);
    if (!screen.terminal)
        rc = show(c, s, at, err);
    while (rc == 0 && interrupted == 0) {
        struct status_look look = look_now(c, at);

        live_screen_draw(&screen, s, &look);
        rc = store_find_run(s, at->run.id, &now, err);
        if (rc == 0 && exit_of_state(now.state, s, now.id) != EXIT_INTERRUPTED &&
            strcmp(now.state, "holding") != 0)
            break;
        nanosleep(&pause, NULL);
    }
    if (rc == 0 && !screen.terminal)
        rc = show(c, s, at, err);
    live_screen_clear(&screen);
    return rc;
}

static int run_status(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct look_at at;
    int rc = store_open(c->db, STORE_READ, &s, err);

    if (rc == 0)
        rc = find(c, s, &at, err);
    if (rc == 0)
        rc = cli_flag(c, "watch") && !c->json ? watch(c, s, &at, err) : show(c, s, &at, err);
    if (rc == 0 && cli_flag(c, "exit-code")) {
        rc = store_find_run(s, at.run.id, &at.run, err);
        *ret_exit = exit_of_state(at.run.state, s, at.run.id);
    }
    store_close(s);
    return rc;
}

static int run_list(struct cli *c, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return cli_list(c,
                    "SELECT r.id AS run, r.state, substr(r.plan, 1, 12) AS plan, p.kb, r.person, "
                    "r.started AS started_at, "
                    "r.ended AS ended_at, r.end_text AS text FROM runs r JOIN plans p ON p.hash = r.plan "
                    "ORDER BY r.started",
                    "no run yet: `patchwave run PLAN` starts one", err);
}

static const struct option status_options[] = {
    { "watch", 'w', OPTION_FLAG, NULL, "draw it anew until the run is at rest" },
    { "exit-code", 0, OPTION_FLAG, NULL, "leave with the run's exit code" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_status = {
    NULL, "status",       "[RUN]",    0, 1, "show where a run stands (default: the newest)",
    NULL, status_options, run_status,
};
const struct command_spec cmd_runs = { NULL, "runs", "", 0, 0, "list runs", NULL, NULL, run_list };
