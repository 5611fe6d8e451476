#include "schema/json.h"

#include "schema/json_scan.h"
#include "schema/utf8.h"

#include <assert.h>
#include <string.h>

static void write_escaped(struct buf *out, uint32_t c)
{
    if (c > 0xffff) {
        c -= 0x10000;
        buf_printf(out, "\\u%04x\\u%04x", (unsigned)(0xd800 + (c >> 10)), (unsigned)(0xdc00 + (c & 0x3ff)));
    } else {
        buf_printf(out, "\\u%04x", (unsigned)c);
    }
}

/* The two-character escape of a character, or NULL. */
static const char *short_escape(uint32_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

/* Character by character, for what does not stand for itself. */
static void write_odd(struct buf *out, const char *s, size_t len, bool ascii)
{
    while (len > 0) {
        uint32_t c = 0xfffd;
        size_t n = json_plain_run(s, len);

        if (n > 0) {
            buf_add(out, s, n);
            s += n;
            len -= n;
            continue;
        }
        n = utf8_read(s, len, &c);
        if (short_escape(c) != NULL)
            buf_str(out, short_escape(c));
        else if (c < 0x20 || (ascii && c > 0x7e))
            write_escaped(out, c);
        else if (n == 0)
            buf_str(out, "\xef\xbf\xbd");
        else
            buf_add(out, s, n);
        n = n == 0 ? 1 : n;
        s += n;
        len -= n;
    }
}

/* Short texts are most: two moves, which overlap, in place of a call. */
static inline void copy(char *to, const char *from, size_t len)
{
    if (len < 8 || len > 16) {
        memcpy(to, from, len);
        return;
    }
    memcpy(to, from, 8);
    memcpy(to + len - 8, from + len - 8, 8);
}

/* `before` and `behind` are what stands around the string, '\0' where there is nothing. */
static void write_string(struct buf *out, char before, const char *s, char behind, bool ascii)
{
    size_t len = strlen(s), run = json_plain_run(s, len);
    char *at;

    if (!buf_room(out, run + 4))
        return;
    at = out->data + out->len;
    if (before != '\0')
        *at++ = before;
    *at++ = '"';
    copy(at, s, run);
    at += run;
    if (run == len) {
        *at++ = '"';
    } else {
        out->len = (size_t)(at - out->data);
        write_odd(out, s + run, len - run, ascii);
        if (!buf_room(out, 2))
            return;
        at = out->data + out->len;
        *at++ = '"';
    }
    if (behind != '\0')
        *at++ = behind;
    *at = '\0';
    out->len = (size_t)(at - out->data);
}

static void new_line(struct json_writer *w)
{
    buf_char(w->out, '\n');
    for (uint32_t i = 0; i < w->depth; i++)
        buf_str(w->out, "  ");
}

static void begin_pretty(struct json_writer *w, bool comma, const char *key)
{
    if (comma)
        buf_char(w->out, ',');
    if (w->depth > 0)
        new_line(w);
    if (key == NULL)
        return;
    write_string(w->out, '\0', key, ':', w->ascii);
    buf_char(w->out, ' ');
}

/* What stands in front of a value: comma, line, name. */
static void begin(struct json_writer *w, const char *key)
{
    bool comma = w->comma[w->depth];

    assert((key != NULL) == (w->depth > 0 && w->object[w->depth]));
    assert(w->depth > 0 || !comma); /* one outermost value */
    w->comma[w->depth] = true;
    if (w->pretty)
        begin_pretty(w, comma, key);
    else if (key != NULL)
        write_string(w->out, comma ? ',' : '\0', key, ':', w->ascii);
    else if (comma)
        buf_char(w->out, ',');
}

static void open_container(struct json_writer *w, const char *key, bool object)
{
    begin(w, key);
    assert(w->depth < JSON_WRITE_DEPTH_MAX);
    w->depth++;
    w->comma[w->depth] = false;
    w->object[w->depth] = object;
    buf_char(w->out, object ? '{' : '[');
}

static void close_container(struct json_writer *w, bool object)
{
    bool empty = !w->comma[w->depth];

    assert(w->depth > 0 && w->object[w->depth] == object);
    w->depth--;
    if (w->pretty && !empty)
        new_line(w);
    buf_char(w->out, object ? '}' : ']');
}

void jw_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){ .out = out };
}

void jw_object(struct json_writer *w, const char *key)
{
    open_container(w, key, true);
}

void jw_object_end(struct json_writer *w)
{
    close_container(w, true);
}

void jw_array(struct json_writer *w, const char *key)
{
    open_container(w, key, false);
}

void jw_array_end(struct json_writer *w)
{
    close_container(w, false);
}

void jw_str(struct json_writer *w, const char *key, const char *value)
{
    if (value == NULL) {
        jw_null(w, key);
        return;
    }
    begin(w, key);
    write_string(w->out, '\0', value, '\0', w->ascii);
}

void jw_int(struct json_writer *w, const char *key, int64_t value)
{
    begin(w, key);
    buf_int(w->out, value);
}

void jw_bool(struct json_writer *w, const char *key, bool value)
{
    begin(w, key);
    buf_str(w->out, value ? "true" : "false");
}

void jw_null(struct json_writer *w, const char *key)
{
    begin(w, key);
    buf_str(w->out, "null");
}

void jw_raw(struct json_writer *w, const char *key, const char *json_text)
{
    jw_raw_n(w, key, json_text, strlen(json_text));
}

void jw_raw_n(struct json_writer *w, const char *key, const char *json_text, size_t len)
{
    begin(w, key);
    buf_add(w->out, json_text, len);
}

void jw_value(struct json_writer *w, const char *key, const json *value)
{
    bool object = json_is_object(value);

    if (object || json_is_array(value)) {
        open_container(w, key, object);
        for (const json *item = json_first(value); item != NULL; item = json_next(item))
            jw_value(w, object ? json_key(item) : NULL, item);
        close_container(w, object);
    } else if (json_is_int(value)) {
        jw_int(w, key, json_int(value, 0));
    } else if (json_is_bool(value)) {
        jw_bool(w, key, json_bool(value, false));
    } else {
        jw_str(w, key, json_str(value, NULL)); /* a string, or null */
    }
}

void json_write(struct buf *out, const json *value, bool ascii)
{
    struct json_writer w;

    jw_init(&w, out);
    w.ascii = ascii;
    jw_value(&w, NULL, value);
}
