#include "orchestrator/cli.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/render_report.h"
#include "orchestrator/io/store_load.h"

static int run_report(struct cli *c, int *ret_exit, struct err *err)
{
    enum report_form form = c->json ? REPORT_JSON : cli_flag(c, "markdown") ? REPORT_MARKDOWN : REPORT_TEXT;
    struct store *s = NULL;
    struct plan *p = NULL;
    struct run_found run;
    struct buf out = BUF_INIT;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_find_run(s, cli_operand(c, 0), &run, err);
    if (rc == 0)
        rc = store_load_plan(s, run.plan, &p, err);
    if (rc == 0) {
        struct fleet_clock clock = fleet_clock_of(p->inv);

        rc = render_report(&out, s, run.id, form, fleet_now(&clock), p->inv->lab, err);
    }
    if (rc == 0)
        cli_print(&out);
    buf_clear(&out);
    plan_free(p);
    store_close(s);
    return rc;
}

static const struct option report_options[] = {
    { "markdown", 0, OPTION_FLAG, NULL, "in Markdown, for the change's record" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_report = {
    NULL, "report",       "[RUN]",    0, 1, "tell what a run did, why it ended as it did, and what it cost",
    NULL, report_options, run_report,
};
