#include "agent/core/driver_proto.h"

#include "schema/utf8.h"

#include <string.h>

#define EFFECT DRIVER_EFFECT
static const struct driver_action_row actions[] = {
    { "facts", 0 },
    { "vms", 0 },
    { "gate_facts", 0 },
    { "storage_health", 0 },
    { "removability", 0 },
    { "check_empty", 0 },
    { "verify", 0 },
    { "pause", EFFECT },
    { "move_vm", EFFECT | DRIVER_BESIDE },
    { "move_groups", EFFECT },
    { "park_vm", EFFECT },
    { "unpark_vm", EFFECT },
    { "checkpoint", EFFECT },
    { "merge", EFFECT },
    { "storage_out", EFFECT },
    { "storage_in", EFFECT },
    { "stop_vmms", EFFECT | DRIVER_NEEDS_VMMS },
    { "start_vmms", EFFECT },
    { "fetch_package", EFFECT | DRIVER_FETCHES },
    { "install", EFFECT | DRIVER_NEEDS_BARE | DRIVER_PACKAGE },
    { "uninstall", EFFECT | DRIVER_NEEDS_BARE },
    { "reboot", EFFECT | DRIVER_NEEDS_BARE | DRIVER_BOOTS },
    { "resume", EFFECT },
    { "bitlocker_suspend", EFFECT },
    { "cluster_setting", EFFECT },
};

const struct driver_action_row *driver_action_find(const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

uint32_t driver_action_flags(const char *name)
{
    const struct driver_action_row *row = driver_action_find(name);

    return row == NULL ? 0 : row->flags;
}

static const char *const witnesses[DRIVER_WITNESSES] = {
    [DRIVER_DONE] = "done",
    [DRIVER_NOT_DONE] = "not_done",
    [DRIVER_RUNNING] = "running",
    [DRIVER_CANNOT_TELL] = "cannot_tell",
};

const char *driver_witness_name(enum driver_witness w)
{
    return witnesses[w];
}

static void write_args(struct json_writer *w, const struct driver_request *r)
{
    bool at_top = r->in_args != NULL && r->in_args[0] == '\0';

    if (r->text != NULL) {
        jw_raw(w, "args", r->text);
        return;
    }
    jw_object(w, "args");
    for (const json *m = json_first(r->args); m != NULL; m = json_next(m)) {
        const char *key = json_key(m);

        if (at_top && strcmp(key, r->add_key) == 0)
            continue;
        if (r->in_args == NULL || at_top || strcmp(key, r->in_args) != 0) {
            jw_value(w, key, m);
            continue;
        }
        jw_object(w, key);
        for (const json *in = json_first(m); in != NULL; in = json_next(in))
            if (strcmp(json_key(in), r->add_key) != 0)
                jw_value(w, json_key(in), in);
        jw_str(w, r->add_key, r->add_value);
        jw_object_end(w);
    }
    if (at_top)
        jw_str(w, r->add_key, r->add_value);
    jw_object_end(w);
}

void driver_request_write(struct buf *out, const struct driver_request *r)
{
    struct json_writer w;

    jw_init(&w, out);
    w.ascii = true; /* O29 */
    jw_object(&w, NULL);
    jw_int(&w, "contract", DRIVER_CONTRACT);
    jw_str(&w, "action", r->action);
    jw_str(&w, "mode", r->mode == DRIVER_RUN ? "run" : "witness");
    jw_str(&w, "node", r->node);
    jw_str(&w, "op", r->op);
    jw_int(&w, "limit_ms", r->limit_ms);
    write_args(&w, r);
    jw_object_end(&w);
    buf_char(out, '\n');
}

/* The codes of docs/driver.md, and whether each promises that nothing changed. */
static const struct {
    const char *name;
    bool changed_nothing;
} codes[] = {
    { "bad_request", true },   { "unsupported", true },  { "refused", true },   { "busy", true },
    { "found_paused", true },  { "not_found", true },    { "not_empty", true }, { "not_applicable", true },
    { "not_removable", true }, { "needs_reboot", true }, { "no_space", false }, { "access", false },
    { "failed", false },
};

static int read_text_or_null(const struct json_doc *d, const json *object, const char *key, struct err *err)
{
    const json *v = json_get(object, key);

    if (v == NULL || json_is_null(v) || json_is_string(v))
        return 0;
    return json_fault(d, v, err, "`%s` must be a string or null", key);
}

static int read_error(struct driver_answer *a, const json *error, struct err *err)
{
    static const char *const known[] = { "code", "message", "native", "hint", NULL };
    const char *message = NULL;
    int rc = json_want_known(a->doc, error, known, err);

    if (rc == 0)
        rc = json_want_str(a->doc, error, "code", JSON_REQUIRED, &a->code, err);
    if (rc == 0)
        rc = json_want_str(a->doc, error, "message", JSON_REQUIRED, &message, err);
    if (rc == 0)
        rc = read_text_or_null(a->doc, error, "native", err);
    if (rc == 0)
        rc = read_text_or_null(a->doc, error, "hint", err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i].name, a->code) == 0) {
            a->kind = DRIVER_ERROR;
            a->error = error;
            a->changed_nothing = codes[i].changed_nothing;
            return 0;
        }
    return json_fault(a->doc, error, err, "`%.32s` is no error code of the contract", a->code);
}

static int want_word(const struct json_doc *d, const json *row, const char *key, const char *const *words,
                     struct err *err)
{
    const char *word = NULL;
    int rc = json_want_str(d, row, key, JSON_REQUIRED, &word, err);

    if (rc != 0)
        return rc;
    for (; *words != NULL; words++)
        if (strcmp(*words, word) == 0)
            return 0;
    return json_fault(d, row, err, "`%.32s` is no %s of a downtime row", word, key);
}

static int read_row(const struct json_doc *d, const json *row, struct err *err)
{
    static const char *const known[] = { "subject", "id", "cause", "start_ms", "end_ms", "how", NULL };
    static const char *const subjects[] = { "vm", "node", "vmms", NULL };
    static const char *const causes[] = { "blackout",     "quick",    "saved", "shut_down", "turned_off",
                                          "vmms_stopped", "node_out", "crash", NULL };
    const char *id = NULL, *how = NULL;
    int64_t start = 0, end = 0;
    const json *end_value = json_get(row, "end_ms");
    int rc = json_want_known(d, row, known, err);

    if (rc == 0)
        rc = want_word(d, row, "subject", subjects, err);
    if (rc == 0)
        rc = want_word(d, row, "cause", causes, err);
    if (rc == 0)
        rc = json_want_str(d, row, "id", JSON_REQUIRED, &id, err);
    if (rc == 0)
        rc = json_want_str(d, row, "how", JSON_REQUIRED, &how, err);
    if (rc == 0)
        rc = json_want_int(d, row, "start_ms", JSON_REQUIRED, 0, INT64_MAX, &start, err);
    if (rc == 0 && !json_is_null(end_value))
        rc = json_want_int(d, row, "end_ms", JSON_REQUIRED, start, INT64_MAX, &end, err);
    if (rc == 0 && (strlen(id) > DRIVER_ROW_TEXT_MAX || strlen(how) > DRIVER_ROW_TEXT_MAX))
        rc = json_fault(d, row, err, "a downtime row's texts have at most %d bytes", DRIVER_ROW_TEXT_MAX);
    return rc;
}

static int read_downtime(struct driver_answer *a, const json *root, struct err *err)
{
    int rc = json_want_array(a->doc, root, "downtime", JSON_OPTIONAL, &a->downtime, err);

    if (rc == 0 && json_count(a->downtime) > DRIVER_ROWS_MAX)
        return json_fault(a->doc, a->downtime, err, "more than %d downtime rows", DRIVER_ROWS_MAX);
    for (const json *row = json_first(a->downtime); rc == 0 && row != NULL; row = json_next(row)) {
        if (!json_is_object(row))
            return json_fault(a->doc, row, err, "a downtime row must be an object");
        rc = read_row(a->doc, row, err);
    }
    return rc;
}

static int read_witness(struct driver_answer *a, const json *root, struct err *err)
{
    const char *word = NULL;
    int rc = json_want_str(a->doc, root, "witness", JSON_REQUIRED, &word, err);

    if (rc == 0)
        rc = json_want_object(a->doc, root, "evidence", JSON_OPTIONAL, &a->evidence, err);
    if (rc != 0)
        return rc;
    for (int i = 0; i < DRIVER_WITNESSES; i++)
        if (strcmp(witnesses[i], word) == 0) {
            a->kind = DRIVER_WITNESSED;
            a->witness = (enum driver_witness)i;
            return 0;
        }
    return json_fault(a->doc, root, err, "`%.32s` is no answer of a witness", word);
}

static int read_result(struct driver_answer *a, const json *root, struct err *err)
{
    int rc = json_want_object(a->doc, root, "result", JSON_REQUIRED, &a->result, err);

    if (rc == 0)
        a->kind = DRIVER_RESULT;
    return rc;
}

static int read_answer(enum driver_mode mode, struct driver_answer *a, struct err *err)
{
    static const char *const known_run[] = { "result", "downtime", NULL };
    static const char *const known_witness[] = { "witness", "evidence", "downtime", NULL };
    static const char *const known_error[] = { "error", "downtime", NULL };
    const json *root = json_root(a->doc);
    const json *error = json_get(root, "error");
    int rc;

    if (!json_is_object(root))
        return json_fault(a->doc, root, err, "must be an object");
    if (error != NULL && !json_is_object(error))
        return json_fault(a->doc, error, err, "`error` must be an object");
    rc = json_want_known(a->doc, root,
                         error != NULL        ? known_error
                         : mode == DRIVER_RUN ? known_run
                                              : known_witness,
                         err);
    if (rc == 0)
        rc = read_downtime(a, root, err);
    if (rc != 0)
        return rc;
    if (error != NULL)
        return read_error(a, error, err);
    return mode == DRIVER_RUN ? read_result(a, root, err) : read_witness(a, root, err);
}

void driver_answer_read(enum driver_mode mode, const char *text, size_t len, struct driver_answer *ret)
{
    struct err err = { 0 };
    int rc = 0;

    *ret = (struct driver_answer){ 0 };
    if (len > DRIVER_ANSWER_MAX)
        rc = err_set(&err, ERR_INVALID, "more than %u bytes", DRIVER_ANSWER_MAX);
    if (rc == 0)
        rc = json_parse("answer", text, len, &ret->doc, &err);
    if (rc == 0)
        rc = read_answer(mode, ret, &err);
    if (rc == 0)
        return;
    driver_answer_clear(ret);
    memcpy(ret->why, err.text, sizeof ret->why - 1);
}

void driver_answer_clear(struct driver_answer *a)
{
    json_free(a->doc);
    *a = (struct driver_answer){ 0 };
}

void driver_text_clean(struct buf *out, const char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        uint32_t c;
        size_t n = utf8_read(text + at, len - at, &c);

        if (n == 0 || c == 0)
            buf_char(out, '?');
        else
            buf_add(out, text + at, n);
        at += n == 0 ? 1 : n;
    }
}
