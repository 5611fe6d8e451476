/* Records as agents tell them (docs/wire.md), read strictly. */
#include "orchestrator/core/event_names.h"
#include "orchestrator/io/live_own.h"

#include <string.h>

/* The index of a member's word among `names`; `otherwise` for null or absent. */
static int want_word(const struct json_doc *d, const json *o, const char *key, const char *const *names,
                     uint32_t n, uint32_t otherwise, uint32_t *ret, struct err *err)
{
    const char *word;

    *ret = otherwise;
    if (json_get(o, key) == NULL || json_is_null(json_get(o, key)))
        return 0;
    word = json_get_str(o, key, "");
    for (uint32_t i = 0; i < n; i++)
        if (names[i] != NULL && strcmp(names[i], word) == 0) {
            *ret = i;
            return 0;
        }
    return json_fault(d, json_get(o, key), err, "\"%s\" is none of the known words for %s", word, key);
}

static int read_down_row(const struct json_doc *d, const json *v, struct arena *a, struct down_row *row,
                         struct err *err)
{
    uint32_t subject = 0, cause = 0;
    int rc = want_word(d, v, "subject", down_subject_names, DOWN_VMMS + 1, 0, &subject, err);

    if (rc == 0)
        rc = want_word(d, v, "cause", down_cause_names, CAUSE_CRASH + 1, 0, &cause, err);
    if (rc == 0)
        rc = json_want_int(d, v, "start_ms", JSON_REQUIRED, 0, INT64_MAX, &row->start, err);
    row->end = TIME_NEVER;
    if (rc == 0 && !json_is_null(json_get(v, "end_ms")))
        rc = json_want_int(d, v, "end_ms", JSON_REQUIRED, row->start, INT64_MAX, &row->end, err);
    row->subject = (enum down_subject)subject;
    row->cause = (enum down_cause)cause;
    row->id = arena_str(a, json_get_str(v, "id", ""));
    row->how = arena_str(a, json_get_str(v, "how", ""));
    if (rc == 0 && (row->id == NULL || row->how == NULL))
        rc = err_set(err, ERR_NOMEM, "read a record");
    return rc;
}

static int read_down_rows(const struct json_doc *d, const json *list, struct arena *a, struct op_record *r,
                          struct err *err)
{
    struct down_row *rows = ARENA_ARRAY(a, struct down_row, json_count(list) + 1);
    int rc = rows != NULL ? 0 : err_set(err, ERR_NOMEM, "read a record");

    for (const json *v = json_first(list); v != NULL && rc == 0; v = json_next(v))
        rc = read_down_row(d, v, a, &rows[r->n_rows++], err);
    r->rows = rows;
    return rc;
}

/* False without memory. */
static bool read_fault(const json *v, struct arena *a, struct op_record *r)
{
    if (!json_is_object(v))
        return true;
    r->error_code = arena_str(a, json_get_str(v, "code", "failed"));
    r->error_text = arena_str(a, json_get_str(v, "message", ""));
    r->error_native =
        arena_str(a, json_get_str(v, "native", NULL) == NULL ? "" : json_get_str(v, "native", ""));
    r->error_hint = arena_str(a, json_get_str(v, "hint", NULL) == NULL ? "" : json_get_str(v, "hint", ""));
    return r->error_code != NULL && r->error_text != NULL && r->error_native != NULL && r->error_hint != NULL;
}

static bool read_result(const json *v, struct arena *a, struct op_record *r)
{
    struct buf text = BUF_INIT;

    if (!json_is_object(v))
        return true;
    r->already = json_get_bool(v, "already", false);
    r->reboot_required = json_get_bool(v, "reboot_required", false);
    r->exit_code = json_get_int(v, "exit", 0);
    r->blackout_ms = json_get_int(v, "blackout_ms", 0);
    json_write(&text, v, true);
    r->text = text.failed ? NULL : arena_str(a, buf_text(&text));
    buf_clear(&text);
    return r->text != NULL;
}

int live_record_read(const struct json_doc *d, const json *v, struct arena *a, struct op_record *ret,
                     struct err *err)
{
    struct op_record r = { 0 };
    struct err unseen;
    bool whole;
    uint32_t state = 0, outcome = 0;
    const char *op = NULL;
    int rc;

    if (err == NULL)
        err = &unseen;
    rc = json_want_str(d, v, "op", JSON_REQUIRED, &op, err);
    if (rc == 0)
        rc = want_word(d, v, "state", op_state_names, OP_UNKNOWN + 1, OP_NONE, &state, err);
    if (rc == 0)
        rc = want_word(d, v, "outcome", op_outcome_names, OUTCOME_CANCELLED + 1, OUTCOME_NONE, &outcome, err);
    if (rc == 0)
        rc = read_down_rows(d, json_get(v, "downtime"), a, &r, err);
    if (rc != 0) {
        err->code = err->code == ERR_NOMEM ? ERR_NOMEM : ERR_PROTOCOL;
        return err_wrap(err, "record");
    }
    r.op = arena_str(a, op);
    r.action = arena_str(a, json_get_str(v, "action", ""));
    r.state = (enum op_state)state;
    r.outcome = (enum op_outcome)outcome;
    whole = read_fault(json_get(v, "error"), a, &r) && read_result(json_get(v, "result"), a, &r);
    r.accepted = json_get_int(v, "accepted_ms", 0);
    r.started = json_get_int(v, "started_ms", 0);
    r.ended = json_get_int(v, "ended_ms", 0);
    r.boot_id = arena_str(a, json_get_str(v, "boot_id", ""));
    r.output_tail = arena_str(a, json_get_str(v, "output_tail", ""));
    if (!whole || r.op == NULL || r.action == NULL || r.boot_id == NULL || r.output_tail == NULL)
        return err_set(err, ERR_NOMEM, "read a record");
    *ret = r;
    return 0;
}
