/* The journal for people and scripts; read only, beside a running service. */
#include "agent/agent_command.h"
#include "agent/io/journal.h"

#include <stdio.h>

#define PAGE_BYTES (1u << 20)

static void print_record(const json *r, bool as_json)
{
    struct buf text = BUF_INIT;
    char at[TIME_TEXT_MAX];

    json_write(&text, as_json ? r : json_get(r, "body"), true);
    if (as_json)
        printf("%s\n", buf_text(&text));
    else
        printf("%6lld  %s  %-7s  %-40s  %.160s\n", (long long)json_get_int(r, "n", 0),
               time_text(json_get_int(r, "at_ms", 0), at), json_get_str(r, "kind", ""),
               json_get_str(r, "op", ""), buf_text(&text));
    buf_clear(&text);
}

/* One page; *from moves on, to -1 at the end. */
static int print_page(struct journal *j, int64_t *from, bool as_json, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_doc *d = NULL;
    int rc = journal_page(j, *from, 500, PAGE_BYTES, &text, err);

    if (rc == 0)
        rc = json_parse("journal", buf_text(&text), text.len, &d, err);
    if (rc == 0) {
        for (const json *r = json_first(json_get(json_root(d), "records")); r != NULL; r = json_next(r))
            print_record(r, as_json);
        *from = json_get_int(json_root(d), "next", -1);
    }
    json_free(d);
    buf_clear(&text);
    return rc;
}

static int print_open(struct journal *j, uint32_t *ret_open, struct err *err)
{
    struct journal_fold f = JOURNAL_FOLD_INIT;
    int rc = journal_load(j, &f, err);

    journal_fold_recover(&f);
    for (uint32_t i = 0; rc == 0 && i < f.n_ops; i++)
        if (agent_op_state_has(f.ops[i]->state, AGENT_OP_IS_OPEN) && !f.ops[i]->acked) {
            printf("%s  %s\n", f.ops[i]->id, f.ops[i]->starts == 0 ? "accepted" : "started");
            ++*ret_open;
        }
    journal_fold_clear(&f);
    return rc;
}

int agent_cmd_journal(const struct agent_options *o)
{
    struct agent_settings set = { 0 };
    struct journal *j = NULL;
    struct err err = { 0 };
    char path[2048];
    int64_t from = 0;
    uint32_t n_open = 0;
    int rc = agent_settings_read(o->config, &set, &err);

    if (rc == 0)
        rc = agent_settings_path(&set, "journal.db", path, sizeof path, &err);
    if (rc == 0)
        rc = journal_open_read(path, &j, &err);
    if (rc == 0 && o->open)
        rc = print_open(j, &n_open, &err);
    while (rc == 0 && !o->open && from >= 0)
        rc = print_page(j, &from, o->json, &err);
    journal_close(j);
    agent_settings_clear(&set);
    if (rc != 0)
        return agent_complain(&err);
    return n_open == 0 ? AGENT_EXIT_OK : AGENT_EXIT_FAILED;
}
