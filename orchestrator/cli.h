/* What every command gets, and the small things they share. */
#ifndef PATCHWAVE_CLI_H
#define PATCHWAVE_CLI_H

#include "orchestrator/exit_code.h"
#include "orchestrator/io/store.h"
#include "orchestrator/options.h"
#include "schema/buf.h"
#include "schema/json.h"

struct cli {
    struct parsed args;
    const char *db;
    bool json;
    const char *person; /* the OS user (O34) */
    char person_text[128];
};

static inline const char *cli_operand(const struct cli *c, uint32_t i)
{
    return i < c->args.n_operands ? c->args.operands[i] : NULL;
}
static inline const char *cli_text(const struct cli *c, const char *name)
{
    return options_text(&c->args, name, NULL);
}
static inline bool cli_flag(const struct cli *c, const char *name)
{
    return options_flag(&c->args, name);
}

/* Print and clear. A broken pipe ends the program quietly by SIGPIPE. */
void cli_print(struct buf *out);
/* Print rows: a table, or with --json an array. Clears the rows. */
void cli_print_rows(const struct cli *c, struct rows *r, const char *nothing);
/* Ask the store `sql` and print what it answers: what every list command does. */
int cli_list(const struct cli *c, const char *sql, const char *nothing, struct err *err);
/* A whole file. ERR_NOT_FOUND, ERR_INVALID (too large, a folder), ERR_IO. */
int cli_read_file(const char *path, struct buf *out, struct err *err);
/* A file's JSON. */
int cli_read_json(const char *path, struct json_doc **ret_doc, struct err *err);
/* Write a file as a whole: beside it first, then renamed over it. */
int cli_write_file(const char *path, const struct buf *text, struct err *err);

/* One declaration per subcommand; the table in main.c lists them. */
/* clang-format off */
#define CLI_COMMANDS(X) \
    X(init) X(inventory_import) X(inventory_discover) X(inventory_list) X(inventory_show) X(enroll) X(patch_add) \
    X(patch_list) X(consent_add) X(consent_list) X(plan) X(plan_list) X(plan_show) X(plan_verify) \
    X(plan_diff) X(approve) X(export) X(stage) X(run) X(resume) X(takeover) X(status) X(runs) X(pause) X(abort) X(retry) \
    X(set_aside) X(promote) X(rollback) X(return) X(decide) X(log) X(downtime) X(report) X(replay) X(backup) X(db_path) \
    X(db_check) X(db_rebuild) X(db_migrate)
/* clang-format on */
#define X(name) extern const struct command_spec cmd_##name;
CLI_COMMANDS(X)
#undef X

#endif
