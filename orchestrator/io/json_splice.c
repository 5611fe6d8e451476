#include "orchestrator/io/json_splice.h"

#include <string.h>

/* The text is valid: no bounds are in doubt. */
static size_t skip_space(const char *t, size_t i)
{
    while (t[i] == ' ' || t[i] == '\t' || t[i] == '\n' || t[i] == '\r')
        i++;
    return i;
}

static size_t skip_string(const char *t, size_t i)
{
    for (i++; t[i] != '"'; i++)
        if (t[i] == '\\')
            i++;
    return i + 1;
}

static size_t skip_nested(const char *t, size_t i)
{
    unsigned depth = 0;

    do {
        if (t[i] == '"') {
            i = skip_string(t, i);
            continue;
        }
        if (t[i] == '{' || t[i] == '[')
            depth++;
        if (t[i] == '}' || t[i] == ']')
            depth--;
        i++;
    } while (depth > 0);
    return i;
}

static size_t skip_value(const char *t, size_t i)
{
    if (t[i] == '"')
        return skip_string(t, i);
    if (t[i] == '{' || t[i] == '[')
        return skip_nested(t, i);
    return i + strcspn(t + i, ",}] \t\r\n");
}

/* Of the member: where its name begins, where its value begins and ends. */
static bool find_member(const char *t, const char *key, size_t *ret_name, size_t *ret_start, size_t *ret_end)
{
    size_t i = skip_space(t, skip_space(t, 0) + 1);

    while (t[i] == '"') {
        size_t name = i + 1, name_end = skip_string(t, i), start, end;

        start = skip_space(t, skip_space(t, name_end) + 1);
        end = skip_value(t, start);
        if (name_end - 1 - name == strlen(key) && strncmp(t + name, key, strlen(key)) == 0) {
            *ret_name = i;
            *ret_start = start;
            *ret_end = end;
            return true;
        }
        i = skip_space(t, end);
        if (t[i] == ',')
            i = skip_space(t, i + 1);
    }
    return false;
}

static void add_blank(struct buf *out, const char *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        buf_char(out, t[i] == '\n' ? '\n' : ' ');
}

void json_splice_last(struct buf *out, const char *text, size_t len, const char *key, const char *value)
{
    size_t name = 0, start = 0, end = 0, close = len, first = skip_space(text, 0) + 1;
    bool there = find_member(text, key, &name, &start, &end), others;

    while (text[--close] != '}')
        ;
    if (there) {
        end = skip_space(text, end);
        others = text[end] == ','; /* the last one leaves the comma before it for itself */
        end += others ? 1 : 0;
        buf_add(out, text, name);
        add_blank(out, text, name, end);
    } else {
        others = skip_space(text, first) != close;
    }
    buf_add(out, text + end, close - end);
    buf_printf(out, "%s\"%s\":", others ? "," : "", key);
    buf_str(out, value);
    buf_add(out, text + close, len - close);
}

void json_splice(struct buf *out, const char *text, size_t len, const char *key, const char *value)
{
    size_t name = 0, start = 0, end = 0;

    if (!find_member(text, key, &name, &start, &end)) {
        json_splice_last(out, text, len, key, value);
        return;
    }
    buf_add(out, text, start);
    buf_str(out, value);
    for (size_t i = start; i < end; i++)
        if (text[i] == '\n')
            buf_char(out, '\n');
    buf_add(out, text + end, len - end);
}
