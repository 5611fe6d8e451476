#include "orchestrator/core/event_names.h"
#include "orchestrator/core/handover.h"
#include "orchestrator/core/picture.h"

#include <string.h>

struct reader {
    const struct json_doc *doc;
    const char *text;
    size_t len;
    const struct inventory *inv;
    struct event_pictures *pictures; /* or NULL */
    struct arena *arena;
    struct err *err;
};

/* Strings belong to the document, which ends with event_read: copies. */
static int read_text(struct reader *r, const json *v, const char *key, enum json_need need, const char **ret)
{
    const char *text = NULL;
    int rc = json_want_str(r->doc, v, key, need, &text, r->err);

    if (rc != 0 || text == NULL)
        return rc;
    *ret = arena_str(r->arena, text);
    return *ret == NULL ? err_set(r->err, ERR_NOMEM, "read an event") : 0;
}

static int read_int(struct reader *r, const json *v, const char *key, int64_t *ret)
{
    return json_want_int(r->doc, v, key, JSON_REQUIRED, INT64_MIN, INT64_MAX, ret, r->err);
}

static int read_bool(struct reader *r, const json *v, const char *key, bool *ret)
{
    return json_want_bool(r->doc, v, key, JSON_REQUIRED, ret, r->err);
}

static int read_word(struct reader *r, const json *v, const char *key, const char *const *words, uint32_t n,
                     uint32_t *ret)
{
    const char *text = NULL;
    int rc = json_want_str(r->doc, v, key, JSON_REQUIRED, &text, r->err);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    return json_fault(r->doc, json_get(v, key), r->err, "unknown word \"%s\"", text);
}

static int read_row(struct reader *r, const json *v, struct down_row *row)
{
    uint32_t subject = 0, cause = 0;
    int rc = read_word(r, v, "subject", down_subject_names, DOWN_VMMS + 1, &subject);

    if (rc == 0)
        rc = read_word(r, v, "cause", down_cause_names, CAUSE_CRASH + 1, &cause);
    if (rc == 0)
        rc = read_text(r, v, "id", JSON_REQUIRED, &row->id);
    if (rc == 0)
        rc = read_int(r, v, "start_ms", &row->start);
    row->end = TIME_NEVER;
    if (rc == 0 && !json_is_null(json_get(v, "end_ms")))
        rc = read_int(r, v, "end_ms", &row->end);
    if (rc == 0)
        rc = read_text(r, v, "how", JSON_REQUIRED, &row->how);
    row->subject = (enum down_subject)subject;
    row->cause = (enum down_cause)cause;
    return rc;
}

static int read_rows(struct reader *r, const json *v, struct op_record *rec)
{
    const json *rows = NULL;
    struct down_row *items;
    int rc = json_want_array(r->doc, v, "downtime", JSON_REQUIRED, &rows, r->err);

    if (rc != 0)
        return rc;
    items = ARENA_ARRAY(r->arena, struct down_row, json_count(rows));
    if (items == NULL)
        return err_set(r->err, ERR_NOMEM, "read an event");
    rec->rows = items;
    for (const json *row = json_first(rows); row != NULL && rc == 0; row = json_next(row))
        rc = read_row(r, row, &items[rec->n_rows++]);
    return rc;
}

static int read_error(struct reader *r, const json *v, struct op_record *rec)
{
    const json *e = NULL;
    int rc = json_want_object(r->doc, v, "error", JSON_OPTIONAL, &e, r->err);

    if (rc != 0 || e == NULL)
        return rc;
    rc = read_text(r, e, "code", JSON_REQUIRED, &rec->error_code);
    if (rc == 0)
        rc = read_text(r, e, "message", JSON_OPTIONAL, &rec->error_text);
    if (rc == 0)
        rc = read_text(r, e, "native", JSON_OPTIONAL, &rec->error_native);
    if (rc == 0)
        rc = read_text(r, e, "hint", JSON_OPTIONAL, &rec->error_hint);
    return rc;
}

static int read_record_state(struct reader *r, const json *v, struct op_record *rec)
{
    uint32_t state = 0, outcome = 0, witness = 0;
    int rc = read_word(r, v, "state", op_state_names, OP_UNKNOWN + 1, &state);

    if (rc == 0)
        rc = read_word(r, v, "outcome", op_outcome_names, OUTCOME_CANCELLED + 1, &outcome);
    if (rc == 0)
        rc = read_word(r, v, "witness", op_witness_names, WITNESS_CANNOT_TELL + 1, &witness);
    rec->state = (enum op_state)state;
    rec->outcome = (enum op_outcome)outcome;
    rec->witness = (enum op_witness)witness;
    return rc;
}

static int read_record_numbers(struct reader *r, const json *v, struct op_record *rec)
{
    int rc = read_int(r, v, "accepted_ms", &rec->accepted);

    if (rc == 0)
        rc = read_int(r, v, "started_ms", &rec->started);
    if (rc == 0)
        rc = read_int(r, v, "ended_ms", &rec->ended);
    if (rc == 0)
        rc = read_bool(r, v, "already", &rec->already);
    if (rc == 0)
        rc = read_bool(r, v, "reboot_required", &rec->reboot_required);
    if (rc == 0)
        rc = read_int(r, v, "exit", &rec->exit_code);
    if (rc == 0)
        rc = read_int(r, v, "blackout_ms", &rec->blackout_ms);
    return rc;
}

static int read_record(struct reader *r, const json *v, struct op_record *rec)
{
    int rc = read_text(r, v, "op", JSON_REQUIRED, &rec->op);

    if (rc == 0)
        rc = read_text(r, v, "action", JSON_OPTIONAL, &rec->action);
    if (rc == 0)
        rc = read_record_state(r, v, rec);
    if (rc == 0)
        rc = read_error(r, v, rec);
    if (rc == 0)
        rc = read_record_numbers(r, v, rec);
    if (rc == 0)
        rc = read_rows(r, v, rec);
    if (rc == 0)
        rc = read_text(r, v, "boot_id", JSON_OPTIONAL, &rec->boot_id);
    if (rc == 0)
        rc = read_text(r, v, "text", JSON_OPTIONAL, &rec->text);
    if (rc == 0)
        rc = read_text(r, v, "output_tail", JSON_OPTIONAL, &rec->output_tail);
    return rc;
}

static int read_run_start(struct reader *r, const json *v, struct event *ev)
{
    int64_t revision = 0, epoch = 0;
    int rc = read_text(r, v, "run", JSON_REQUIRED, &ev->u.run_start.run);

    ev->u.run_start.approval_expires = TIME_NEVER;
    if (rc == 0)
        rc = read_text(r, v, "plan_hash", JSON_REQUIRED, &ev->u.run_start.plan_hash);
    if (rc == 0)
        rc = read_text(r, v, "person", JSON_OPTIONAL, &ev->u.run_start.person);
    if (rc == 0)
        rc = read_text(r, v, "controller", JSON_REQUIRED, &ev->u.run_start.controller);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "revision", JSON_REQUIRED, 0, UINT32_MAX, &revision, r->err);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "epoch", JSON_REQUIRED, 0, INT64_MAX, &epoch, r->err);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "approval_expires_ms", JSON_OPTIONAL, INT64_MIN, INT64_MAX,
                           &ev->u.run_start.approval_expires, r->err);
    ev->u.run_start.revision = (uint32_t)revision;
    ev->u.run_start.epoch = (uint64_t)epoch;
    return rc;
}

static int read_controller_start(struct reader *r, const json *v, struct event *ev)
{
    int64_t revision = 0, epoch = 0;
    int rc = read_text(r, v, "controller", JSON_REQUIRED, &ev->u.controller_start.controller);

    if (rc == 0)
        rc = read_text(r, v, "person", JSON_OPTIONAL, &ev->u.controller_start.person);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "revision", JSON_REQUIRED, 0, UINT32_MAX, &revision, r->err);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "epoch", JSON_REQUIRED, 0, INT64_MAX, &epoch, r->err);
    if (rc == 0)
        rc = read_bool(r, v, "takeover", &ev->u.controller_start.takeover);
    if (rc == 0)
        rc = read_text(r, v, "ticket", JSON_OPTIONAL, &ev->u.controller_start.ticket);
    ev->u.controller_start.revision = (uint32_t)revision;
    ev->u.controller_start.epoch = (uint64_t)epoch;
    return rc;
}

static int read_handover(struct reader *r, const json *v, struct event *ev)
{
    struct handover *state = NULL;
    int64_t revision = 0, epoch = 0;
    const json *o = NULL;
    int rc = read_text(r, v, "run", JSON_REQUIRED, &ev->u.handover.run);

    if (rc == 0)
        rc = read_text(r, v, "plan_hash", JSON_REQUIRED, &ev->u.handover.plan_hash);
    if (rc == 0)
        rc = read_text(r, v, "controller", JSON_REQUIRED, &ev->u.handover.controller);
    if (rc == 0)
        rc = read_text(r, v, "person", JSON_OPTIONAL, &ev->u.handover.person);
    if (rc == 0)
        rc = read_text(r, v, "ticket", JSON_OPTIONAL, &ev->u.handover.ticket);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "revision", JSON_REQUIRED, 0, UINT32_MAX, &revision, r->err);
    if (rc == 0)
        rc = json_want_int(r->doc, v, "epoch", JSON_REQUIRED, 0, INT64_MAX, &epoch, r->err);
    if (rc == 0)
        rc = json_want_object(r->doc, v, "state", JSON_REQUIRED, &o, r->err);
    if (rc == 0)
        rc = handover_read(r->doc, o, r->inv, r->arena, &state, r->err);
    ev->u.handover.revision = (uint32_t)revision;
    ev->u.handover.epoch = (uint64_t)epoch;
    ev->u.handover.state = state;
    return rc;
}

static int read_controller_stop(struct reader *r, const json *v, struct event *ev)
{
    return read_text(r, v, "reason", JSON_OPTIONAL, &ev->u.controller_stop.reason);
}

static int read_claimed(struct reader *r, const json *v, struct event *ev)
{
    const json *ops = NULL;
    struct op_record *items;
    int rc = read_text(r, v, "machine_id", JSON_OPTIONAL, &ev->u.claimed.machine_id);

    if (rc == 0)
        rc = read_text(r, v, "boot_id", JSON_OPTIONAL, &ev->u.claimed.boot_id);
    if (rc == 0)
        rc = read_text(r, v, "agent", JSON_OPTIONAL, &ev->u.claimed.agent);
    if (rc == 0)
        rc = json_want_bool(r->doc, v, "blank", JSON_OPTIONAL, &ev->u.claimed.blank, r->err);
    if (rc == 0)
        rc = json_want_array(r->doc, v, "ops", JSON_REQUIRED, &ops, r->err);
    if (rc != 0)
        return rc;
    items = ARENA_ARRAY(r->arena, struct op_record, json_count(ops));
    if (items == NULL)
        return err_set(r->err, ERR_NOMEM, "read an event");
    ev->u.claimed.ops = items;
    for (const json *op = json_first(ops); op != NULL && rc == 0; op = json_next(op))
        rc = read_record(r, op, &items[ev->u.claimed.n_ops++]);
    return rc;
}

static int read_refused(struct reader *r, const json *v, struct event *ev)
{
    const char *code = NULL;
    int rc = json_want_str(r->doc, v, "code", JSON_REQUIRED, &code, r->err);

    if (rc == 0)
        rc = read_text(r, v, "text", JSON_OPTIONAL, &ev->u.refused.text);
    if (rc != 0)
        return rc;
    for (int c = 0; c < ERR_CODES; c++) {
        if (strcmp(err_name((enum err_code)c), code) == 0) {
            ev->u.refused.code = (enum err_code)c;
            return 0;
        }
    }
    return json_fault(r->doc, json_get(v, "code"), r->err, "unknown error code \"%s\"", code);
}

static int read_cluster(struct reader *r, const json *v, struct event *ev)
{
    struct fields f = { r->doc, r->arena, r->err, 0 };
    struct picture p = { 0 };

    if (r->pictures != NULL && ev->cluster != IX_NONE)
        picture_take(&f, v, r->inv, r->pictures, ev->cluster, r->text, r->len, &p);
    else
        picture_read(&f, v, r->inv, NULL, r->arena, &p);
    picture_into(&p, ev);
    return f.rc;
}

static int read_facts(struct reader *r, const json *v, struct event *ev)
{
    bool cluster = ev->u.observed.what == OBSERVE_CLUSTER;
    const json *f = NULL;
    int rc = cluster ? 0 : json_want_object(r->doc, v, "facts", JSON_REQUIRED, &f, r->err);

    if (rc != 0)
        return rc;
    switch (ev->u.observed.what) {
    case OBSERVE_FACTS:
        return facts_read_node(r->doc, f, r->arena, &ev->u.observed.facts, r->err);
    case OBSERVE_CLUSTER:
        return read_cluster(r, v, ev);
    case OBSERVE_VERIFY:
        return facts_read_verify(r->doc, f, r->arena, &ev->u.observed.verify, r->err);
    case OBSERVE_EMPTY:
        return facts_read_empty(r->doc, f, r->arena, &ev->u.observed.empty, r->err);
    case OBSERVE_REMOVABILITY:
        return facts_read_removability(r->doc, f, r->arena, &ev->u.observed.removability, r->err);
    case OBSERVE_STORAGE:
        return facts_read_storage(r->doc, f, r->arena, &ev->u.observed.storage, r->err);
    case OBSERVE_TIME:
        return facts_read_time(r->doc, f, r->arena, &ev->u.observed.time, r->err);
    case OBSERVE_BACKUP:
        return facts_read_backup(r->doc, f, r->arena, &ev->u.observed.backup, r->err);
    case OBSERVE_HEARTBEAT:
        return facts_read_heartbeat(r->doc, f, r->arena, &ev->u.observed.heartbeat, r->err);
    case OBSERVE_WHATS:
        break;
    }
    return err_set(r->err, ERR_INTERNAL, "no such observation");
}

static int read_observed(struct reader *r, const json *v, struct event *ev)
{
    uint32_t what = 0;
    int64_t ask = 0;
    int rc = json_want_int(r->doc, v, "ask", JSON_REQUIRED, 0, INT64_MAX, &ask, r->err);

    if (rc == 0)
        rc = read_word(r, v, "what", observe_names, OBSERVE_WHATS, &what);
    if (rc == 0)
        rc = read_bool(r, v, "ok", &ev->u.observed.ok);
    if (rc == 0)
        rc = read_text(r, v, "text", JSON_OPTIONAL, &ev->u.observed.text);
    if (rc == 0)
        rc = read_int(r, v, "taken_ms", &ev->u.observed.taken);
    ev->u.observed.ask = (uint64_t)ask;
    ev->u.observed.what = (enum observe_what)what;
    return rc == 0 && ev->u.observed.ok ? read_facts(r, v, ev) : rc;
}

static int read_op_result(struct reader *r, const json *v, struct event *ev)
{
    const json *record = NULL;
    int rc = json_want_object(r->doc, v, "record", JSON_REQUIRED, &record, r->err);

    return rc != 0 ? rc : read_record(r, record, &ev->u.op_result.record);
}

static int read_staged(struct reader *r, const json *v, struct event *ev)
{
    int rc = read_bool(r, v, "ok", &ev->u.staged.ok);

    if (rc == 0)
        rc = read_text(r, v, "text", JSON_OPTIONAL, &ev->u.staged.text);
    return rc != 0 ? rc : read_int(r, v, "took_ms", &ev->u.staged.took);
}

static int read_verb(struct reader *r, const json *v, struct event *ev)
{
    uint32_t verb = 0, decision = 0;
    int rc = read_word(r, v, "verb", verb_names, VERBS, &verb);

    if (rc == 0)
        rc = read_text(r, v, "person", JSON_OPTIONAL, &ev->u.verb.person);
    if (rc == 0)
        rc = read_text(r, v, "ticket", JSON_OPTIONAL, &ev->u.verb.ticket);
    if (rc == 0)
        rc = read_text(r, v, "reason", JSON_OPTIONAL, &ev->u.verb.reason);
    if (rc == 0)
        rc = read_text(r, v, "op", JSON_OPTIONAL, &ev->u.verb.op);
    if (rc == 0)
        rc = read_bool(r, v, "accept_unknown", &ev->u.verb.accept_unknown);
    if (rc == 0)
        rc = read_word(r, v, "decision", op_witness_names, WITNESS_CANNOT_TELL + 1, &decision);
    ev->u.verb.verb = (enum verb)verb;
    ev->u.verb.decision = (enum op_witness)decision;
    return rc;
}

static int read_nothing(struct reader *r, const json *v, struct event *ev)
{
    (void)r, (void)v, (void)ev;
    return 0;
}

static int (*const readers[EVENT_TYPES])(struct reader *, const json *, struct event *) = {
    [EV_RUN_START] = read_run_start,
    [EV_CONTROLLER_START] = read_controller_start,
    [EV_HANDOVER] = read_handover,
    [EV_CONTROLLER_STOP] = read_controller_stop,
    [EV_NODE_CLAIMED] = read_claimed,
    [EV_NODE_REFUSED] = read_refused,
    [EV_NODE_LOST] = read_refused,
    [EV_OBSERVED] = read_observed,
    [EV_OP_RESULT] = read_op_result,
    [EV_STAGED] = read_staged,
    [EV_VERB] = read_verb,
    [EV_TIMEOUT] = read_nothing,
};

/* "node" and "cluster" to indices; absent is IX_NONE. */
static int read_subject(struct reader *r, const json *v, struct event *ev)
{
    const char *node = json_get_str(v, "node", NULL), *cluster = json_get_str(v, "cluster", NULL);

    ev->node = node == NULL ? IX_NONE : inventory_node(r->inv, node);
    ev->cluster = cluster == NULL ? IX_NONE : inventory_cluster(r->inv, cluster);
    if (node != NULL && ev->node == IX_NONE)
        return json_fault(r->doc, json_get(v, "node"), r->err, "unknown node \"%s\"", node);
    if (cluster != NULL && ev->cluster == IX_NONE)
        return json_fault(r->doc, json_get(v, "cluster"), r->err, "unknown cluster \"%s\"", cluster);
    return 0;
}

static int read_event(struct reader *r, const json *v, struct event *ev)
{
    uint32_t type = 0;
    int rc = read_int(r, v, "at_ms", &ev->at);

    if (rc == 0)
        rc = read_word(r, v, "type", event_type_names, EVENT_TYPES, &type);
    if (rc == 0)
        rc = read_subject(r, v, ev);
    if (rc != 0)
        return rc;
    ev->type = (enum event_type)type;
    return readers[type](r, v, ev);
}

int event_read(const char *text, size_t len, const struct inventory *inv, struct event_pictures *pictures,
               struct arena *a, struct event *ret_ev, struct err *err)
{
    struct reader r = { .text = text, .len = len, .inv = inv, .pictures = pictures, .arena = a, .err = err };
    struct event ev;
    struct json_doc *doc = NULL;
    int rc = json_parse("event", text, len, &doc, err);

    if (rc != 0)
        return rc;
    memset(&ev, 0, sizeof ev);
    r.doc = doc;
    rc = json_is_object(json_root(doc)) ? read_event(&r, json_root(doc), &ev)
                                        : json_fault(doc, json_root(doc), err, "an event is an object");
    json_free(doc);
    if (rc == 0)
        *ret_ev = ev;
    return rc;
}
