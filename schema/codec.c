#include "schema/codec.h"

#include <limits.h>
#include <string.h>

void line_cutter_init(struct line_cutter *c, size_t line_max)
{
    *c = (struct line_cutter){ .line_max = line_max };
}

void line_cutter_clear(struct line_cutter *c)
{
    buf_clear(&c->in);
}

int line_cutter_feed(struct line_cutter *c, const void *data, size_t len, struct err *err)
{
    const char *at = data, *end = at + len;

    buf_drop(&c->in, c->taken);
    c->taken = 0;
    while (at < end && !c->overlong) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at) + 1;

        /* a line without its newline is over the bound when no room is left for one */
        if (n > c->line_max - c->unfinished || (newline == NULL && n == c->line_max - c->unfinished)) {
            c->overlong = true;
            break;
        }
        buf_add(&c->in, at, n);
        c->unfinished = newline == NULL ? c->unfinished + n : 0;
        at += n;
    }
    if (c->overlong)
        return err_set(err, ERR_PROTOCOL, "a line is longer than %llu bytes",
                       (unsigned long long)c->line_max);
    return c->in.failed ? err_set(err, ERR_NOMEM, "buffer a line") : 0;
}

const char *line_cutter_take(struct line_cutter *c, size_t *ret_len)
{
    size_t whole = c->in.len - c->unfinished - c->taken;
    char *line, *newline;

    if (c->in.failed || whole == 0)
        return NULL;
    line = c->in.data + c->taken;
    newline = memchr(line, '\n', whole);
    *newline = '\0';
    *ret_len = (size_t)(newline - line);
    c->taken += *ret_len + 1;
    return line;
}

static int parse_error(struct rpc_message *m, const json *error, struct err *err)
{
    static const char *const known[] = { "code", "message", "data", NULL };
    int64_t code = 0;
    int rc = json_want_known(m->doc, error, known, err);

    if (rc == 0)
        rc = json_want_int(m->doc, error, "code", JSON_REQUIRED, INT_MIN, INT_MAX, &code, err);
    if (rc == 0)
        rc = json_want_str(m->doc, error, "message", JSON_REQUIRED, &m->error_text, err);
    if (rc == 0)
        rc = json_want_object(m->doc, error, "data", JSON_OPTIONAL, &m->error_data, err);
    m->kind = RPC_ERROR;
    m->error_code = (int)code;
    m->error_name = json_get_str(m->error_data, "name", "");
    return rc;
}

static int parse_answer(struct rpc_message *m, const json *root, struct err *err)
{
    static const char *const known[] = { "jsonrpc", "id", "result", "error", NULL };
    const json *error = NULL;
    int rc = json_want_known(m->doc, root, known, err);

    if (rc == 0)
        rc = json_want_int(m->doc, root, "id", JSON_REQUIRED, INT64_MIN, INT64_MAX, &m->id, err);
    if (rc == 0)
        rc = json_want_object(m->doc, root, "error", JSON_OPTIONAL, &error, err);
    if (rc != 0)
        return rc;
    m->result = json_get(root, "result");
    if ((m->result == NULL) == (error == NULL))
        return json_fault(m->doc, root, err, "must have a method, a result or an error");
    m->kind = RPC_RESULT;
    return error == NULL ? 0 : parse_error(m, error, err);
}

static int parse_call(struct rpc_message *m, const json *root, struct err *err)
{
    static const char *const known[] = { "jsonrpc", "id", "method", "params", NULL };
    int rc = json_want_known(m->doc, root, known, err);

    if (rc == 0)
        rc = json_want_str(m->doc, root, "method", JSON_REQUIRED, &m->method, err);
    if (rc == 0)
        rc = json_want_int(m->doc, root, "id", JSON_OPTIONAL, INT64_MIN, INT64_MAX, &m->id, err);
    if (rc == 0)
        rc = json_want_object(m->doc, root, "params", JSON_OPTIONAL, &m->params, err);
    m->kind = json_get(root, "id") != NULL ? RPC_REQUEST : RPC_NOTIFICATION;
    return rc;
}

static int parse_envelope(struct rpc_message *m, struct err *err)
{
    const json *root = json_root(m->doc);
    const char *version = NULL;
    int rc = json_want_str(m->doc, root, "jsonrpc", JSON_REQUIRED, &version, err);

    if (rc != 0)
        return rc;
    if (strcmp(version, "2.0") != 0)
        return json_fault(m->doc, json_get(root, "jsonrpc"), err, "must be \"2.0\"");
    return json_get(root, "method") != NULL ? parse_call(m, root, err) : parse_answer(m, root, err);
}

int rpc_parse(const char *line, size_t len, struct rpc_message *ret_msg, struct err *err)
{
    struct rpc_message m = { .error_name = "", .error_text = "" };
    struct err why = { ERR_OK, "" };
    int rc = json_parse("message", line, len, &m.doc, &why);

    if (rc == 0)
        rc = parse_envelope(&m, &why);
    if (rc == 0) {
        *ret_msg = m;
        return 0;
    }
    json_free(m.doc);
    return err_set(err, rc == ERR_INVALID ? ERR_PROTOCOL : why.code, "%s", why.text);
}

void rpc_clear(struct rpc_message *msg)
{
    json_free(msg->doc);
    *msg = (struct rpc_message){ 0 };
}

/* JSON text from elsewhere, kept on one line. Inside strings valid JSON has no
 * raw line break, so any there is stands between tokens. */
static void one_line(struct buf *out, const char *text, size_t len)
{
    while (len > 0) {
        const char *feed = memchr(text, '\n', len);
        size_t n = feed == NULL ? len : (size_t)(feed - text);
        const char *back = memchr(text, '\r', n);

        n = back == NULL ? n : (size_t)(back - text);
        buf_add(out, text, n);
        n += n < len; /* the break itself */
        text += n;
        len -= n;
    }
}

static void member(struct json_writer *w, const char *key, const char *json_text)
{
    jw_raw(w, key, "");
    one_line(w->out, json_text, strlen(json_text));
}

static void envelope(struct json_writer *w, struct buf *out)
{
    jw_init(w, out);
    jw_object(w, NULL);
    jw_str(w, "jsonrpc", "2.0");
}

static void envelope_end(struct json_writer *w)
{
    jw_object_end(w);
    buf_char(w->out, '\n');
}

static void write_call(struct json_writer *w, const char *method, const char *params)
{
    jw_str(w, "method", method);
    if (params != NULL)
        member(w, "params", params);
    envelope_end(w);
}

void rpc_write_request(struct buf *out, int64_t id, const char *method, const char *params)
{
    struct json_writer w;

    envelope(&w, out);
    jw_int(&w, "id", id);
    write_call(&w, method, params);
}

void rpc_write_notification(struct buf *out, const char *method, const char *params)
{
    struct json_writer w;

    envelope(&w, out);
    write_call(&w, method, params);
}

void rpc_write_result(struct buf *out, int64_t id, const char *result)
{
    struct json_writer w;

    envelope(&w, out);
    jw_int(&w, "id", id);
    member(&w, "result", result == NULL ? "null" : result);
    envelope_end(&w);
}

/* The members of `object`, without its braces, behind those that are there. */
static void splice(struct buf *out, const char *object)
{
    const char *open = strchr(object, '{'), *close = strrchr(object, '}');
    const char *first = open + 1 + strspn(open + 1, " \t\r\n");

    if (first == close)
        return;
    buf_char(out, ',');
    one_line(out, first, (size_t)(close - first));
}

void rpc_write_error(struct buf *out, int64_t id, const struct err *e, const char *extra)
{
    struct json_writer w;

    envelope(&w, out);
    jw_int(&w, "id", id);
    jw_object(&w, "error");
    jw_int(&w, "code", -32000 - (int)e->code);
    jw_str(&w, "message", e->text[0] != '\0' ? e->text : err_sentence(e->code));
    jw_object(&w, "data");
    jw_str(&w, "name", err_name(e->code));
    if (extra != NULL)
        splice(out, extra);
    jw_object_end(&w);
    jw_object_end(&w);
    envelope_end(&w);
}
