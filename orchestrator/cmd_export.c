/* A node's part of an approved plan, for shops that deploy by their own tool (O31). */
#include "orchestrator/approval_check.h"
#include "orchestrator/cli.h"
#include "orchestrator/export_script.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"

#include <string.h>

struct export
{
    const struct cli *c;
    struct store *s;
    struct plan *p;
    uint32_t node; /* in plan.nodes */
    struct approval_found approval;
    char digest[SHA256_TEXT], whole[SHA256_TEXT]; /* of the slice, of the script */
    struct buf text;
};

static int find_node(struct export *x, const char *id, struct err *err)
{
    uint32_t node = inventory_node(x->p->inv, id);

    if (node == IX_NONE)
        return err_set(err, ERR_NOT_FOUND, "--script: no node \"%s\" in plan %.12s", id, x->p->hash);
    for (uint32_t i = 0; i < x->p->n_refusals; i++)
        if (x->p->refusals[i].node == node)
            return err_set(err, ERR_REFUSED, "plan %.12s refuses %s: %s %s", x->p->hash, id,
                           x->p->refusals[i].rule, x->p->refusals[i].reason);
    x->node = plan_node_of(x->p, node);
    if (x->node == IX_NONE)
        return err_set(err, ERR_REFUSED, "%s is outside the scope of plan %.12s", id, x->p->hash);
    return 0;
}

static int check_plan(struct export *x, struct err *err)
{
    struct buf faults = BUF_INIT;
    int rc = 0;

    if (plan_verify(x->p, &faults) > 0)
        rc = err_set(err, ERR_REFUSED, "plan %.12s does not pass its check: %s", x->p->hash,
                     buf_text(&faults));
    buf_clear(&faults);
    return rc;
}

static int make(struct export *x, const char *node, struct err *err)
{
    int rc = store_open(x->c->db, STORE_WRITE, &x->s, err);

    if (rc == 0)
        rc = store_load_plan(x->s, cli_operand(x->c, 0), &x->p, err);
    if (rc == 0)
        rc = find_node(x, node, err);
    if (rc == 0)
        rc = approval_check(x->s, x->p, store_fleet_now(x->s), &x->approval, err);
    if (rc == 0)
        rc = check_plan(x, err);
    if (rc == 0)
        rc = export_script_write(
            &x->text, x->p, x->node,
            &(struct export_approval){ x->approval.person, x->approval.ticket, x->approval.expires },
            x->digest, err);
    return rc;
}

/* Before anybody has it: the log knows of each script that is out, and may know of one whose file was never written. */
static int record(struct export *x, const char *node, const char *file, struct err *err)
{
    const struct export_made made = {
        .node = node,
        .plan = x->p->hash,
        .ticket = x->approval.ticket,
        .file = file,
        .slice_sha256 = x->digest,
        .script_sha256 = sha256_text(buf_text(&x->text), x->text.len, x->whole),
    };

    return store_put_export(x->s, &made, (struct record_by){ x->c->person, store_fleet_now(x->s) }, err);
}

static void say_json(struct export *x, const char *node, const char *file)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &out);
    w.pretty = true;
    jw_object(&w, NULL);
    jw_str(&w, "node", node);
    jw_str(&w, "plan", x->p->hash);
    jw_str(&w, "person", x->approval.person);
    jw_str(&w, "ticket", x->approval.ticket);
    jw_int(&w, "expires_at", x->approval.expires);
    jw_str(&w, "slice_sha256", x->digest);
    jw_str(&w, "script_sha256", x->whole);
    jw_str(&w, "file", file);
    jw_str(&w, "script", file == NULL ? buf_text(&x->text) : NULL);
    jw_object_end(&w);
    buf_char(&out, '\n');
    cli_print(&out);
}

static void say(struct export *x, const char *node, const char *file)
{
    char at[TIME_TEXT_MAX];
    struct buf out = BUF_INIT;

    if (file == NULL) {
        buf_str(&out, buf_text(&x->text));
    } else {
        buf_printf(&out, "%s: %s, %zu bytes, for %s until %s\nslice SHA-256 %s\n", node, file, x->text.len,
                   x->approval.ticket, time_text(x->approval.expires, at), x->digest);
        buf_str(&out, "next: sign it, put the package beside it, and run it as SYSTEM (docs/windows.md)\n");
    }
    cli_print(&out);
}

static int run_export(struct cli *c, int *ret_exit, struct err *err)
{
    struct export x = { .c = c };
    const char *node = cli_text(c, "script"), *file = cli_text(c, "out");
    int rc = 0;

    (void)ret_exit;
    if (node == NULL)
        return err_set(err, ERR_INVALID, "--script: say for which node");
    rc = make(&x, node, err);
    if (rc == 0)
        rc = record(&x, node, file, err);
    if (rc == 0 && file != NULL)
        rc = cli_write_file(file, &x.text, err);
    if (rc == 0 && c->json)
        say_json(&x, node, file);
    else if (rc == 0)
        say(&x, node, file);
    buf_clear(&x.text);
    plan_free(x.p);
    store_close(x.s);
    return rc;
}

static const struct option export_options[] = {
    { "script", 0, OPTION_TEXT, "NODE", "the PowerShell that would run on this node" },
    { "out", 'o', OPTION_TEXT, "FILE", "write it there (else to standard output)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_export = {
    NULL,
    "export",
    "[PLAN]",
    0,
    1,
    "write what would run on a node, for shops that deploy by their own tool",
    "One PowerShell script per node of an approved plan: its steps, the driver's own scripts, and the\n"
    "guards that it looks at on the node itself (O31). Sign it, put the package beside it, run it as\n"
    "SYSTEM, restart the node when it ends with 3010, and run it again until it ends with 0. The log\n"
    "keeps who took which script (`patchwave log --kind export`).",
    export_options,
    run_export,
};
