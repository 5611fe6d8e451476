#include "orchestrator/cli.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_log.h"
#include "orchestrator/node_output.h"

#include <string.h>

/* Who, where and what, out of events and records of all kinds. */
static const char log_sql[] =
    "SELECT seq, at AS when_at, kind, event ->> '$.node' AS node, "
    "coalesce(event ->> '$.record.op', event ->> '$.what', event ->> '$.verb', event ->> '$.code', "
    "event ->> '$.reason', event ->> '$.kb', event ->> '$.file', event ->> '$.fingerprint', "
    "substr(event ->> '$.plan_hash', 1, 12), CASE kind "
    "WHEN 'approval' THEN substr(event ->> '$.plan', 1, 12) "
    "WHEN 'plan' THEN substr(event ->> '$.hash', 1, 12) "
    "WHEN 'consent' THEN event ->> '$.vm' "
    "WHEN 'export' THEN substr(event ->> '$.plan', 1, 12) "
    "WHEN 'controller_start' THEN CASE WHEN event ->> '$.takeover' THEN 'takeover' ELSE 'resume' END "
    "END, '') AS what, "
    "coalesce(event ->> '$.record.outcome', event ->> '$.text', "
    "CASE kind WHEN 'verb' THEN event ->> '$.reason' "
    "WHEN 'export' THEN 'SHA-256 ' || (event ->> '$.script_sha256') END, '') AS text, "
    "coalesce(event ->> '$.person', '') AS person, coalesce(event ->> '$.ticket', '') AS ticket, "
    "json_array_length(commands) AS commands FROM log WHERE (?1 IS NULL OR run = ?1) AND "
    "(?2 IS NULL OR event ->> '$.node' = ?2) AND (?3 IS NULL OR kind = ?3) AND "
    "(?4 IS NULL OR event ->> '$.record.op' = ?4 OR instr(commands, ?4) > 0) AND seq > ?5 "
    "ORDER BY seq LIMIT ?6";

static const char raw_sql[] = "SELECT seq, at AS when_at, kind, event, commands, hash FROM log WHERE seq = ?";

/* An empty answer may come of a word that is none: the words that would not be are told. */
static int print_nothing(const struct cli *c, struct store *s, struct rows *nothing, struct err *err)
{
    struct buf text = BUF_INIT;
    struct rows kinds = { 0 };
    int rc = store_ask(s, &kinds, err,
                       "SELECT group_concat(kind, ', ') FROM (SELECT DISTINCT kind FROM log ORDER BY 1)", "");

    if (rc == 0) {
        buf_printf(&text, "no such entry; kinds in this log: %s", rows_text(&kinds, 0, 0));
        cli_print_rows(c, nothing, buf_text(&text));
    }
    rows_clear(&kinds);
    buf_clear(&text);
    return rc;
}

static int list(const struct cli *c, struct store *s, const char *run, struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err, log_sql, "ssssii", run, cli_text(c, "node"), cli_text(c, "kind"),
                       cli_text(c, "op"), options_number(&c->args, "after", 0),
                       options_number(&c->args, "limit", 1000000));

    if (rc == 0 && r.n == 0 && cli_text(c, "kind") != NULL)
        rc = print_nothing(c, s, &r, err);
    else if (rc == 0)
        cli_print_rows(c, &r, "no such entry");
    rows_clear(&r);
    return rc;
}

static int one(const struct cli *c, struct store *s, struct err *err)
{
    struct rows r = { 0 };
    int64_t seq = options_number(&c->args, "seq", 0);
    int rc = store_ask(s, &r, err, raw_sql, "i", seq);

    if (rc == 0 && r.n == 0)
        rc = err_set(err, ERR_NOT_FOUND, "the log has no entry %lld", (long long)seq);
    if (rc == 0)
        cli_print_rows(c, &r, "");
    rows_clear(&r);
    return rc;
}

static int run_of_entry(struct store *s, int64_t seq, struct run_found *ret_run, struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err, "SELECT run FROM log WHERE seq = ? AND run IS NOT NULL", "i", seq);

    if (rc == 0 && r.n == 0)
        rc = err_set(err, ERR_NOT_FOUND, "entry %lld is no event of a run", (long long)seq);
    if (rc == 0)
        rc = store_find_run(s, rows_text(&r, 0, 0), ret_run, err);
    rows_clear(&r);
    return rc;
}

static int whole(const struct cli *c, struct store *s, struct err *err)
{
    int64_t seq = options_number(&c->args, "seq", 0);
    struct buf out = BUF_INIT;
    struct plan *plan = NULL;
    struct run_found run;
    int rc = run_of_entry(s, seq, &run, err);

    if (rc == 0)
        rc = store_load_plan(s, run.plan, &plan, err);
    if (rc == 0)
        rc = store_log_whole(s, run.id, plan, (uint64_t)seq, &out, err);
    buf_char(&out, '\n');
    if (rc == 0)
        cli_print(&out);
    buf_clear(&out);
    plan_free(plan);
    return rc;
}

static int run_log(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct run_found run;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0 && cli_text(c, "run") != NULL)
        rc = store_find_run(s, cli_text(c, "run"), &run, err);
    if (rc == 0 && cli_text(c, "node") != NULL && cli_text(c, "op") != NULL)
        rc = node_output_print(c, s, cli_text(c, "node"), cli_text(c, "op"), err);
    else if (rc == 0 && cli_text(c, "seq") != NULL && cli_flag(c, "whole"))
        rc = whole(c, s, err);
    else if (rc == 0 && cli_text(c, "seq") != NULL)
        rc = one(c, s, err);
    else if (rc == 0)
        rc = list(c, s, cli_text(c, "run") != NULL ? run.id : NULL, err);
    store_close(s);
    return rc;
}

static const struct option log_options[] = {
    { "run", 0, OPTION_TEXT, "RUN", "only this run's" },
    { "node", 0, OPTION_TEXT, "NODE", "only this node's" },
    { "op", 0, OPTION_TEXT, "ID",
      "only of this op; with --node: what its driver said, fetched from the node" },
    { "kind", 0, OPTION_TEXT, "KIND", "only this kind of event (verb, op_result, observed, plan, ...)" },
    { "after", 0, OPTION_NUMBER, "SEQ", "only later ones" },
    { "limit", 0, OPTION_NUMBER, "N", "at most so many" },
    { "seq", 0, OPTION_NUMBER, "SEQ", "this one: event, commands, hash" },
    { "whole", 0, OPTION_FLAG, NULL, "with --seq: the event alone, a cluster's picture whole" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_log = {
    NULL, "log",       "",      0, 0, "show the event log; or fetch a step's output from its node",
    NULL, log_options, run_log,
};
