#include "orchestrator/cli.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"

#include <string.h>

/* O34: the approver is another person than the planner, unless the policy allows otherwise. */
static int may_approve(const struct cli *c, const struct plan *p, struct err *err)
{
    if (cli_text(c, "ticket") == NULL)
        return err_set(err, ERR_INVALID, "--ticket: an approval names its ticket (O34)");
    if (strcmp(p->planner, c->person) == 0 && !p->rollout->policy.planner_may_approve)
        return err_set(err, ERR_REFUSED,
                       "%s made this plan and may not approve it (O34): another person has to, or the "
                       "rollout's policy says "
                       "planner_may_approve",
                       c->person);
    return 0;
}

static void say(const struct cli *c, const struct approval *a)
{
    char text[TIME_TEXT_MAX];
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "plan", a->plan);
        jw_str(&w, "person", a->person);
        jw_str(&w, "ticket", a->ticket);
        jw_int(&w, "expires_at", a->expires);
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out, "approved %.12s by %s until %s\nnext: patchwave run %.12s\n", a->plan, a->person,
                   time_text(a->expires, text), a->plan);
    }
    cli_print(&out);
}

static int run_approve(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct plan *p = NULL;
    struct approval a = { .person = c->person, .ticket = cli_text(c, "ticket") };
    int rc = store_open(c->db, STORE_WRITE, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_load_plan(s, cli_operand(c, 0), &p, err);
    if (rc == 0)
        rc = may_approve(c, p, err);
    if (rc == 0) {
        a.plan = p->hash;
        a.at = store_fleet_now(s);
        a.expires = a.at + options_number(&c->args, "expires", 7 * DAY_MS);
        rc = store_put_approval(s, &a, err);
    }
    if (rc == 0)
        say(c, &a);
    plan_free(p);
    store_close(s);
    return rc;
}

static const struct option approve_options[] = {
    { "ticket", 0, OPTION_TEXT, "NUMBER", "the change's number" },
    { "expires", 0, OPTION_DURATION, "TIME", "how long it holds (default 7d)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_approve = {
    NULL, "approve",       "[PLAN]",    0, 1, "approve a plan, as the OS user (default: the newest)",
    NULL, approve_options, run_approve,
};
