#include "orchestrator/cli.h"
#include "orchestrator/io/downtime_sum.h"
#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/store_load.h"

#include <stdio.h>
#include <string.h>

static int read_by(const struct cli *c, enum downtime_by *ret, struct err *err)
{
    const char *word = options_text(&c->args, "by", "cause");

    for (int i = 0; i < BY_COUNT; i++)
        if (strcmp(downtime_by_names[i], word) == 0) {
            *ret = (enum downtime_by)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, "--by is vm, node, cluster, wave, cause or run, not \"%s\"", word);
}

static void put_line(struct buf *out, const struct downtime_line *l, enum downtime_by by)
{
    char vm[TIME_TEXT_MAX], node[TIME_TEXT_MAX], vmms[TIME_TEXT_MAX], predicted[TIME_TEXT_MAX];
    struct buf name = BUF_INIT;
    uint32_t columns;

    escape_terminal(&name, by == BY_VM ? l->name : l->key);
    columns = text_columns(buf_text(&name));
    buf_str(out, buf_text(&name));
    for (; columns < 24; columns++)
        buf_char(out, ' ');
    buf_printf(out, " %12s %12s %14s %14s %6u\n", dur_text(l->vm_ms, vm),
               dur_text(l->predicted_ms, predicted), dur_text(l->node_out_ms, node),
               dur_text(l->vmms_ms, vmms), (unsigned)l->vms);
    buf_clear(&name);
}

/* O35: three sums side by side, and which of them the founding article's figure is like. */
static void put_words(struct buf *out, const struct downtime_sums *d, const char *goal, bool lab)
{
    char allowed[TIME_TEXT_MAX], longest[TIME_TEXT_MAX], vmms[TIME_TEXT_MAX];

    buf_printf(out, "\nVM-down: a VM without service. Node-out: from a node's first drain step until it is "
                    "back in service and its\n"
                    "storage is whole. vmms-down: the management service stopped; VMs keep running.\n");
    buf_printf(out, "goal %s %% of 30 days: %s per VM; over it: %u VMs", goal, dur_text(d->goal_ms, allowed),
               (unsigned)d->over_goal);
    if (d->all.longest_vm != NULL) {
        buf_str(out, "; the longest was ");
        escape_terminal(out, d->all.longest_vm);
        buf_printf(out, " with %s", dur_text(d->all.longest_vm_ms, longest));
    }
    buf_printf(
        out, "\nThe 84 minutes of the founding article (70 s on each of 72 nodes) mean vmms-down: here %s.\n",
        dur_text(d->all.vmms_ms, vmms));
    if (lab)
        buf_str(out, "These are figures of a simulated fleet.\n");
}

static void put_text(struct buf *out, const struct downtime_sums *d, enum downtime_by by, const char *goal,
                     bool lab)
{
    buf_printf(out, "%-24s %12s %12s %14s %14s %6s\n", downtime_by_names[by], "VM-down", "predicted",
               "node-out", "vmms-down", "VMs");
    for (uint32_t i = 0; i < d->n; i++)
        put_line(out, &d->items[i], by);
    if (by != BY_RUN)
        put_line(out, &d->all, BY_RUN);
    put_words(out, d, goal, lab);
}

static void put_json_line(struct json_writer *w, const char *key, const struct downtime_line *l)
{
    jw_object(w, key);
    jw_str(w, "key", l->key);
    jw_str(w, "name", l->name);
    jw_int(w, "rows", l->rows);
    jw_int(w, "vms", l->vms);
    jw_int(w, "vm_down_ms", l->vm_ms);
    jw_int(w, "vm_predicted_ms", l->predicted_ms);
    jw_int(w, "node_out_ms", l->node_out_ms);
    jw_int(w, "vmms_down_ms", l->vmms_ms);
    jw_object_end(w);
}

static void put_json(struct buf *out, const struct downtime_sums *d, enum downtime_by by, bool lab)
{
    struct json_writer w;

    jw_init(&w, out);
    w.pretty = true;
    jw_object(&w, NULL);
    jw_str(&w, "by", downtime_by_names[by]);
    jw_bool(&w, "simulated", lab);
    jw_int(&w, "goal_ms", d->goal_ms);
    jw_int(&w, "vms_over_goal", d->over_goal);
    put_json_line(&w, "all", &d->all);
    jw_array(&w, "lines");
    for (uint32_t i = 0; i < d->n; i++)
        put_json_line(&w, NULL, &d->items[i]);
    jw_array_end(&w);
    jw_object_end(&w);
    buf_char(out, '\n');
}

static int is_lab(struct store *s, const char *plan, bool *ret_lab, struct err *err)
{
    struct plan *p = NULL;
    int rc = store_load_plan(s, plan, &p, err);

    if (rc == 0)
        *ret_lab = p->inv->lab;
    plan_free(p);
    return rc;
}

static int run_rows(const struct cli *c, struct store *s, const char *run, struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(s, &r, err,
                       "SELECT subject, name, id, node, wave, cause, start_at, end_at, measured_ms, "
                       "predicted_p50 AS predicted_ms, "
                       "how, step, op, back FROM downtime WHERE run = ? ORDER BY n",
                       "s", run);

    if (rc == 0)
        cli_print_rows(c, &r, "no downtime recorded");
    return rc;
}

static int run_sums(const struct cli *c, struct store *s, const struct run_found *run, struct err *err)
{
    const char *goal = options_text(&c->args, "goal", "99.99");
    struct downtime_sums d = { 0 };
    struct buf out = BUF_INIT;
    enum downtime_by by = BY_CAUSE;
    uint32_t ppm = 0;
    bool lab = false;
    int rc = read_by(c, &by, err);

    if (rc == 0)
        rc = downtime_goal_parse(goal, &ppm, err);
    if (rc == 0)
        rc = is_lab(s, run->plan, &lab, err);
    if (rc == 0)
        rc = downtime_sum(s, run->id, by, store_fleet_now(s), ppm, &d, err);
    if (rc == 0) {
        if (c->json)
            put_json(&out, &d, by, lab);
        else
            put_text(&out, &d, by, goal, lab);
        cli_print(&out);
    }
    downtime_sums_clear(&d);
    return rc;
}

static int run_downtime(struct cli *c, int *ret_exit, struct err *err)
{
    struct store *s = NULL;
    struct run_found run;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_find_run(s, cli_operand(c, 0), &run, err);
    if (rc == 0)
        rc = cli_flag(c, "rows") ? run_rows(c, s, run.id, err) : run_sums(c, s, &run, err);
    store_close(s);
    return rc;
}

static const struct option downtime_options[] = {
    { "by", 0, OPTION_TEXT, "WHAT", "vm, node, cluster, wave, cause (default) or run" },
    { "rows", 0, OPTION_FLAG, NULL, "every row: each step has one, zero included" },
    { "goal", 0, OPTION_TEXT, "PERCENT", "availability to hold against, over 30 days (default 99.99)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_downtime = {
    NULL, "downtime",       "[RUN]",      0, 1, "sum up who was without service, how long and why",
    NULL, downtime_options, run_downtime,
};
