#include "orchestrator/cli.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/render_plan.h"
#include "orchestrator/io/rollout_load.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"

#include <string.h>

/* A plan from the store, or from a file when the word names one. */
static int load(struct store *s, const char *which, struct plan **ret_plan, struct err *err)
{
    size_t n = which == NULL ? 0 : strlen(which);
    struct json_doc *doc = NULL;
    int rc;

    if (n < 5 || (strcmp(which + n - 5, ".json") != 0 && strchr(which, '/') == NULL))
        return store_load_plan(s, which, ret_plan, err);
    rc = cli_read_json(which, &doc, err);
    if (rc == 0) {
        rc = plan_read(doc, ret_plan, err);
        if (rc == ERR_CORRUPT && err != NULL) { /* an altered file is bad input, not a damaged store */
            err->code = ERR_INVALID;
            rc = ERR_INVALID;
        }
    }
    json_free(doc);
    return rc;
}

static int render(const struct cli *c, struct store *s, const struct plan *p, struct buf *out,
                  struct err *err)
{
    struct plan_approval_line line = { 0 };
    struct approval_found found;
    int rc = 0;

    if (store_find_approval(s, p->hash, &found, NULL) == 0)
        line = (struct plan_approval_line){ found.person, found.ticket, found.at, found.expires };
    if (c->json)
        plan_write(out, p, true);
    else if (cli_flag(c, "markdown"))
        rc = render_plan_markdown(out, p, &line, err);
    else
        rc = render_plan_text(out, p, &line, err);
    if (c->json && out->len > 0 && out->data[out->len - 1] != '\n')
        buf_char(out, '\n');
    return rc != 0 ? rc : out->failed ? err_set(err, ERR_NOMEM, "print plan") : 0;
}

static int write_out(const struct cli *c, const struct plan *p, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc = 0;

    if (cli_text(c, "out") != NULL) {
        plan_write(&text, p, true);
        rc = cli_write_file(cli_text(c, "out"), &text, err);
    }
    buf_clear(&text);
    return rc;
}

static int make(const struct cli *c, struct store *s, struct plan **ret_plan, struct err *err)
{
    struct buf text = BUF_INIT;
    struct inventory *inv = NULL;
    struct rollout *r = NULL;
    const char *path = cli_operand(c, 0);
    int rc = store_load_inventory(s, &inv, err);

    if (rc == 0)
        rc = cli_read_file(path, &text, err);
    if (rc == 0) {
        struct fleet_clock clock = fleet_clock_of(inv);
        time_ms now = fleet_now(&clock);

        rc = rollout_load(s, path, buf_text(&text), text.len, now, &r, err);
        if (rc == 0) {
            rc = plan_build(inv, r, now, c->person, ret_plan, err); /* takes both over, come what may */
            inv = NULL;
        }
    }
    inventory_free(inv);
    buf_clear(&text);
    return rc;
}

/* Trust nothing of the planner before anything is stored. */
static int checked(const struct plan *p, struct err *err)
{
    struct buf faults = BUF_INIT;
    uint32_t n = plan_verify(p, &faults);
    int rc = n == 0 ? 0
                    : err_set(err, ERR_INTERNAL, "the plan does not pass its own check (%u faults): %s",
                              (unsigned)n, buf_text(&faults));

    buf_clear(&faults);
    return rc;
}

static int run_plan(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct plan *p = NULL;
    struct buf out = BUF_INIT;
    int rc = store_open(c->db, STORE_WRITE, &s, err);

    if (rc == 0)
        rc = make(c, s, &p, err);
    if (rc == 0)
        rc = checked(p, err);
    if (rc == 0)
        rc = store_put_plan(s, p, err);
    if (rc == 0)
        rc = write_out(c, p, err);
    if (rc == 0)
        rc = render(c, s, p, &out, err);
    if (rc == 0) {
        if (!c->json && !cli_flag(c, "markdown"))
            buf_printf(&out, "\nnext: patchwave approve %.12s --ticket NUMBER\n", p->hash);
        *ret_exit = p->n_refusals > 0 ? EXIT_EXCEPTIONS : EXIT_DONE;
        cli_print(&out);
    }
    buf_clear(&out);
    plan_free(p);
    store_close(s);
    return rc;
}

static int run_show(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct plan *p = NULL;
    struct buf out = BUF_INIT;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = load(s, cli_operand(c, 0), &p, err);
    if (rc == 0)
        rc = render(c, s, p, &out, err);
    if (rc == 0)
        cli_print(&out);
    buf_clear(&out);
    plan_free(p);
    store_close(s);
    return rc;
}

static int run_list(struct cli *c, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return cli_list(c,
                    "SELECT substr(p.hash, 1, 12) AS plan, p.name, p.kb, p.planner, p.made_at, p.waves, "
                    "p.nodes, p.refused, "
                    "p.took_p50 AS took_ms, (SELECT max(expires) FROM approvals a WHERE a.plan = p.hash) "
                    "AS approved_until_at "
                    "FROM plans p ORDER BY p.seq",
                    "no plan yet: `patchwave plan ROLLOUT` makes one", err);
}

static void say_verified(const struct cli *c, const struct plan *p, uint32_t faults, struct buf *text)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "plan", p->hash);
        jw_int(&w, "faults", faults);
        jw_str(&w, "text", buf_text(text));
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_str(&out, buf_text(text));
        buf_printf(&out, "plan %.12s: %s\n", p->hash,
                   faults == 0 ? "every step checked, no fault" : "NOT SAFE");
    }
    cli_print(&out);
}

static int run_verify(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct plan *p = NULL;
    struct buf text = BUF_INIT;
    int rc = store_open(c->db, STORE_READ, &s, err);

    if (rc == 0)
        rc = load(s, cli_operand(c, 0), &p, err);
    if (rc == 0) {
        uint32_t faults = plan_verify(p, &text);

        say_verified(c, p, faults, &text);
        *ret_exit = faults == 0 ? EXIT_DONE : EXIT_CHECK;
    }
    buf_clear(&text);
    plan_free(p);
    store_close(s);
    return rc;
}

static int run_diff(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct plan *a = NULL, *b = NULL;
    struct buf lines = BUF_INIT, out = BUF_INIT;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = load(s, cli_operand(c, 0), &a, err);
    if (rc == 0)
        rc = load(s, cli_operand(c, 1), &b, err);
    if (rc == 0) {
        uint32_t n = render_plan_diff(&lines, a, b);

        if (c->json) {
            struct json_writer w;

            jw_init(&w, &out);
            jw_object(&w, NULL);
            jw_int(&w, "differences", n);
            jw_str(&w, "text", buf_text(&lines));
            jw_object_end(&w);
            buf_char(&out, '\n');
        } else {
            buf_str(&out, n == 0 ? "the plans are the same\n" : buf_text(&lines));
        }
        cli_print(&out);
    }
    buf_clear(&lines);
    plan_free(a);
    plan_free(b);
    store_close(s);
    return rc;
}

#define MARKDOWN_OPTION                                                       \
    {                                                                         \
        "markdown", 0, OPTION_FLAG, NULL, "the document for the change board" \
    }
#define NO_MORE_OPTIONS                  \
    {                                    \
        NULL, 0, OPTION_FLAG, NULL, NULL \
    }

static const struct option plan_options[] = {
    MARKDOWN_OPTION,
    { "out", 'o', OPTION_TEXT, "FILE", "write the plan's JSON there too" },
    NO_MORE_OPTIONS,
};
static const struct option show_options[] = { MARKDOWN_OPTION, NO_MORE_OPTIONS };

const struct command_spec cmd_plan = {
    NULL,
    "plan",
    "ROLLOUT",
    1,
    1,
    "plan a rollout file on the present inventory (a dry run; changes nothing)",
    "The plan is stored and printed: waves, order, where each VM goes, predicted times and\n"
    "downtime, the way back. Exit code 10: some nodes cannot be drained safely; they are named\n"
    "and are not part of the plan.",
    plan_options,
    run_plan,
};
const struct command_spec cmd_plan_list = { "plan", "list", "", 0, 0, "list plans", NULL, NULL, run_list };
const struct command_spec cmd_plan_show = {
    "plan", "show",       "[PLAN]", 0, 1, "print a plan: by hash, rollout name or file (default: the newest)",
    NULL,   show_options, run_show,
};
const struct command_spec cmd_plan_verify = {
    "plan", "verify", "[PLAN]",   0, 1, "check a plan step by step, trusting nothing of the planner",
    NULL,   NULL,     run_verify,
};
const struct command_spec cmd_plan_diff = {
    "plan", "diff", "PLAN PLAN", 2, 2, "tell what differs between two plans", NULL, NULL, run_diff,
};
