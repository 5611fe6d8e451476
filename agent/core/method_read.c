/* facts, observe, journal.read: what changes nothing. Large answers are read
 * page by page: the longest array is cut, what stands beside it comes with
 * the first page, and the pages are of one moment. */
#include "agent/core/agent_state.h"

#include <stdlib.h>
#include <string.h>

static const struct observable {
    const char *what, *action;
    bool is_gate; /* action gate_facts with type = what */
} observables[] = {
    { "vms", "vms", false },
    { "cluster_health", "gate_facts", true },
    { "backup_agent", "gate_facts", true },
    { "vm_heartbeat", "gate_facts", true },
    { "event_log", "gate_facts", true },
    { "storage_health", "storage_health", false },
    { "removability", "removability", false },
    { "check_empty", "check_empty", false },
    { "verify", "verify", false },
    { "time_sync", "facts", false },
};

static int read_args(struct agent *a, const struct agent_request *rq, enum agent_run_kind kind,
                     const struct observable *o, const json *args, const char *cursor, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct agent_run *run = NULL;

    jw_init(&w, &text);
    w.ascii = true; /* O29 */
    jw_object(&w, NULL);
    if (o->is_gate)
        jw_str(&w, "type", o->what);
    for (const json *m = kind == AGENT_RUN_OBSERVE ? json_first(args) : NULL; m != NULL; m = json_next(m))
        if (strcmp(json_key(m), o->is_gate ? "type" : "cursor") != 0)
            jw_value(&w, json_key(m), m);
    if (cursor != NULL)
        jw_str(&w, "cursor", cursor);
    jw_object_end(&w);
    a->no_memory |= text.failed;
    if (!text.failed)
        run = agent_read_start(a, kind, o->action, buf_text(&text), rq->conn->id, rq->id);
    buf_clear(&text);
    if (run == NULL && !a->no_memory)
        return err_set(err, ERR_NOT_FOUND, "driver %s has no action `%s`", a->cfg.driver->name, o->action);
    if (run == NULL)
        return 0;
    memcpy(run->what, o->what, strlen(o->what) + 1);
    if (kind == AGENT_RUN_TIME_FACTS) {
        json_write(&text, args, true);
        run->args = agent_text_copy(a, buf_text(&text));
        buf_clear(&text);
    }
    return 0;
}

AGENT_HANDLER(agent_do_facts)
{
    static const struct observable facts = { "facts", "facts", false };

    return read_args(a, rq, AGENT_RUN_FACTS, &facts, NULL, NULL, err);
}

/* Bytes that a value takes on the wire. */
static size_t size_of(struct agent *a, const json *v)
{
    struct buf text = BUF_INIT;
    size_t len;

    json_write(&text, v, false);
    a->no_memory |= text.failed;
    len = text.len;
    buf_clear(&text);
    return len;
}

static const char *longest_array(struct agent *a, const json *data)
{
    const char *member = NULL;
    size_t longest = 0;

    for (const json *m = json_first(data); m != NULL; m = json_next(m)) {
        size_t len = json_is_array(m) ? size_of(a, m) : 0;

        if (len > longest) {
            longest = len;
            member = json_key(m);
        }
    }
    return member;
}

/* Items from `from` on while they fit; returns the index of the first left. */
static uint32_t write_slice(struct agent *a, struct json_writer *w, const json *array, uint32_t from)
{
    uint32_t i = 0;
    size_t room = AGENT_PAGE_BYTES, size;

    for (const json *item = json_first(array); item != NULL; item = json_next(item), i++) {
        if (i < from)
            continue;
        size = size_of(a, item) + 1;
        if (i > from && size > room)
            break;
        jw_value(w, NULL, item);
        room -= size < room ? size : room;
    }
    return i;
}

static void write_page(struct agent *a, struct json_writer *w, const json *data, const char *cut,
                       uint32_t from, uint32_t *ret_left)
{
    jw_object(w, "data");
    for (const json *m = json_first(data); m != NULL; m = json_next(m)) {
        bool is_cut = cut != NULL && strcmp(json_key(m), cut) == 0;

        if (is_cut) {
            jw_array(w, cut);
            *ret_left = write_slice(a, w, m, from);
            jw_array_end(w);
        } else if (from == 0) {
            jw_value(w, json_key(m), m);
        }
    }
    jw_object_end(w);
}

/* One page of `data`; true when more follows. `text`: the driver's answer that it was read from, when all of it fits
 * as it came, else NULL. */
static bool reply_page(struct agent *a, uint32_t conn, int64_t request, time_ms at, const char *what,
                       const json *data, const char *text, const char *cut, uint32_t from, uint32_t page_no)
{
    struct buf result = BUF_INIT;
    struct json_writer w;
    const char *drivers = json_get_str(data, "next", NULL); /* its own paging, of `vms` */
    struct buf cursor = BUF_INIT;
    uint32_t left = 0;
    size_t len;
    bool more;

    jw_init(&w, &result);
    jw_object(&w, NULL);
    jw_int(&w, "at_ms", at);
    jw_str(&w, "what", what);
    if (text != NULL) {
        text = json_raw(data, text, &len);
        jw_raw_n(&w, "data", text, len);
    } else {
        write_page(a, &w, data, cut, from, &left);
    }
    more = cut != NULL && left < json_count(json_get(data, cut));
    if (more)
        buf_printf(&cursor, "p%u:%u", page_no, left);
    else if (drivers != NULL)
        buf_printf(&cursor, "d%s", drivers);
    jw_str(&w, "next", cursor.len > 0 ? buf_text(&cursor) : NULL);
    jw_object_end(&w);
    a->no_memory |= cursor.failed;
    buf_clear(&cursor);
    agent_reply(a, conn, request, &result);
    return more;
}

static void drop_page(struct agent_conn *c)
{
    json_free(c->page);
    c->page = NULL;
}

/* What fits as it came is neither cut nor written anew. */
static void reply_observed(struct agent *a, const struct agent_run *run, struct driver_answer *answer,
                           const struct agent_event *ev)
{
    bool whole = ev->len <= AGENT_PAGE_BYTES;
    struct agent_conn *c = agent_conn_find(a, run->conn);
    const char *cut =
        !whole && size_of(a, answer->result) > AGENT_PAGE_BYTES ? longest_array(a, answer->result) : NULL;

    if (c == NULL)
        return;
    drop_page(c);
    if (!reply_page(a, run->conn, run->request, run->asked_at, run->what, answer->result,
                    whole ? ev->text : NULL, cut, 0, a->next_page + 1))
        return;
    c->page = answer->doc; /* kept for the pages to come */
    c->page_member = cut;
    c->page_no = ++a->next_page;
    c->page_at = run->asked_at;
    memcpy(c->page_what, run->what, sizeof c->page_what);
    c->page_data = answer->result;
    answer->doc = NULL;
}

static int next_page(struct agent *a, const struct agent_request *rq, const char *what, const char *cursor,
                     struct err *err)
{
    struct agent_conn *c = rq->conn;
    char *end;
    unsigned long no = cursor[0] == 'p' ? strtoul(cursor + 1, &end, 10) : 0;
    unsigned long from = no != 0 && *end == ':' ? strtoul(end + 1, &end, 10) : 0;

    if (c->page == NULL || no != c->page_no || strcmp(what, c->page_what) != 0 || from == 0 || *end != '\0' ||
        from > json_count(json_get(c->page_data, c->page_member)))
        return err_set(err, ERR_STATE, "the cursor is void: ask again from the start");
    if (!reply_page(a, c->id, rq->id, c->page_at, what, c->page_data, NULL, c->page_member, (uint32_t)from,
                    c->page_no))
        drop_page(c);
    return 0;
}

static int check_time_args(const struct agent_request *rq, const json *args, struct err *err)
{
    static const char *const known[] = { "servers", "samples", "timeout_ms", NULL };
    const json *servers = NULL;
    int64_t samples = 4, timeout_ms = 1000;
    int rc = json_want_known(rq->doc, args, known, err);

    if (rc == 0)
        rc = json_want_array(rq->doc, args, "servers", JSON_REQUIRED, &servers, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, args, "samples", JSON_OPTIONAL, 1, 16, &samples, err);
    if (rc == 0)
        rc = json_want_int(rq->doc, args, "timeout_ms", JSON_OPTIONAL, 1, 60000, &timeout_ms, err);
    if (rc == 0 && (json_count(servers) == 0 || json_count(servers) > 16))
        rc = json_fault(rq->doc, servers, err, "name 1 to 16 servers");
    for (const json *v = json_first(servers); rc == 0 && v != NULL; v = json_next(v))
        if (!json_is_string(v))
            rc = json_fault(rq->doc, v, err, "a server is `address:port`");
    return rc;
}

AGENT_HANDLER(agent_do_observe)
{
    const char *what = NULL, *cursor = NULL;
    const json *args = NULL, *given = json_get(rq->params, "cursor");
    int rc = json_want_str(rq->doc, rq->params, "what", JSON_REQUIRED, &what, err);

    if (rc == 0)
        rc = json_want_object(rq->doc, rq->params, "args", JSON_OPTIONAL, &args, err);
    if (rc == 0 && given != NULL && !json_is_null(given))
        rc = json_want_str(rq->doc, rq->params, "cursor", JSON_REQUIRED, &cursor, err);
    if (rc != 0)
        return rc;
    if (cursor != NULL && !(cursor[0] == 'd' && strcmp(what, "vms") == 0))
        return next_page(a, rq, what, cursor, err);
    for (size_t i = 0; i < sizeof observables / sizeof observables[0]; i++) {
        if (strcmp(observables[i].what, what) != 0)
            continue;
        if (strcmp(what, "time_sync") != 0)
            return read_args(a, rq, AGENT_RUN_OBSERVE, &observables[i], args,
                             cursor == NULL ? NULL : cursor + 1, err);
        rc =
            args == NULL ? err_set(err, ERR_INVALID, "time_sync needs args") : check_time_args(rq, args, err);
        return rc != 0 ? rc
                       : read_args(a, rq, AGENT_RUN_TIME_FACTS, &observables[i], args,
                                   cursor == NULL ? NULL : cursor + 1, err);
    }
    return err_set(err, ERR_INVALID, "`%.64s` cannot be observed", what);
}

void agent_reply_driver_error(struct agent *a, const struct agent_run *run,
                              const struct driver_answer *answer)
{
    struct err e = { 0 };
    struct buf data = BUF_INIT;
    struct json_writer w;

    if (answer->kind != DRIVER_ERROR) {
        err_set(&e, ERR_UNKNOWN, "the driver's %s gave no answer: %s", run->action, answer->why);
        agent_reply_error(a, run->conn, run->request, &e, NULL);
        return;
    }
    jw_init(&w, &data);
    jw_object(&w, NULL);
    jw_value(&w, "driver", answer->error);
    jw_object_end(&w);
    a->no_memory |= data.failed;
    err_set(&e, ERR_REFUSED, "%s: %s", answer->code, json_get_str(answer->error, "message", ""));
    agent_reply_error(a, run->conn, run->request, &e, buf_text(&data));
    buf_clear(&data);
}

AGENT_ON_RUN(agent_on_read)
{
    struct buf result = BUF_INIT;

    if (answer->kind == DRIVER_RESULT && run->kind == AGENT_RUN_FACTS)
        (void)agent_identity_learn(a, answer->result, NULL); /* a boot may have gone by unseen */
    if (run->conn == 0)
        return;
    if (answer->kind != DRIVER_RESULT) {
        agent_reply_driver_error(a, run, answer);
    } else if (run->kind == AGENT_RUN_FACTS) {
        size_t len;
        const char *text = json_raw(answer->result, ev->text, &len);

        buf_add(&result, text, len);
        agent_reply(a, run->conn, run->request, &result);
    } else {
        reply_observed(a, run, answer, ev);
    }
}

AGENT_ON_RUN(agent_on_time_facts)
{
    struct agent_run *sntp;
    struct agent_effect *e;

    (void)ev;
    if (run->conn == 0)
        return;
    if (answer->kind != DRIVER_RESULT) {
        agent_reply_driver_error(a, run, answer);
        return;
    }
    sntp = agent_run_new(a, AGENT_RUN_SNTP, "");
    if (sntp == NULL)
        return;
    sntp->conn = run->conn;
    sntp->request = run->request;
    e = agent_emit(a, AGENT_DO_SNTP);
    e->run = sntp->no;
    e->text = agent_emit_copy(a, run->args == NULL ? "{}" : run->args);
    e->offset_ms = a->cfg.lab ? json_get_int(answer->result, "clock_error_ms", 0) : 0;
}

AGENT_ON_RUN(agent_on_sntp)
{
    struct buf result = BUF_INIT;
    struct json_writer w;

    (void)answer;
    if (run->conn == 0)
        return;
    if (ev->err != NULL) {
        agent_reply_error(a, run->conn, run->request, ev->err, NULL);
        return;
    }
    jw_init(&w, &result);
    jw_object(&w, NULL);
    jw_int(&w, "at_ms", run->asked_at);
    jw_str(&w, "what", "time_sync");
    jw_raw(&w, "data", ev->text);
    jw_null(&w, "next");
    jw_object_end(&w);
    agent_reply(a, run->conn, run->request, &result);
}

AGENT_HANDLER(agent_do_journal_read)
{
    int64_t from = 0, max = 200;
    struct agent_effect *e;
    int rc = json_want_int(rq->doc, rq->params, "from", JSON_OPTIONAL, 0, INT64_MAX, &from, err);

    if (rc == 0)
        rc = json_want_int(rq->doc, rq->params, "max", JSON_OPTIONAL, 1, 1000, &max, err);
    if (rc != 0)
        return rc;
    e = agent_emit(a, AGENT_DO_JOURNAL);
    e->conn = rq->conn->id;
    e->request = rq->id;
    e->offset = from;
    e->max = max;
    return 0;
}
