#include "orchestrator/io/render_escape.h"

#include "schema/utf8.h"

#include <stdbool.h>
#include <string.h>

struct range {
    uint32_t from, to;
};

/* Characters that do not show themselves or turn the direction of others. */
static const struct range unseen[] = {
    { 0x00, 0x1f },     { 0x7f, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },
    { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
    { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
    { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe0fff },
};
static const struct range combining[] = {
    { 0x300, 0x36f }, { 0x483, 0x489 },   { 0x591, 0x5bd },   { 0x610, 0x61a },
    { 0x64b, 0x65f }, { 0x1ab0, 0x1aff }, { 0x20d0, 0x20ff }, { 0x3099, 0x309a },
};
static const struct range wide[] = {
    { 0x1100, 0x115e },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xac00, 0xd7a3 },
    { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },
    { 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};
#define IN(table, c) in_table((table), sizeof(table) / sizeof((table)[0]), (c))

static bool in_table(const struct range *table, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= table[i].from && c <= table[i].to)
            return true;
    return false;
}

static void put_unseen(struct buf *out, uint32_t c)
{
    if (c == '\n')
        buf_str(out, "\\n");
    else if (c == '\t')
        buf_str(out, "\\t");
    else if (c < 0x100)
        buf_printf(out, "\\x%02x", (unsigned)c);
    else
        buf_printf(out, "\\u{%x}", (unsigned)c);
}

void escape_terminal(struct buf *out, const char *text)
{
    size_t left = strlen(text), n;
    uint32_t c = 0;

    for (; left > 0; text += n, left -= n) {
        n = utf8_read(text, left, &c);
        if (n == 0) {
            n = 1;
            buf_printf(out, "\\x%02x", (unsigned)(unsigned char)*text);
        } else if (IN(unseen, c)) {
            put_unseen(out, c);
        } else {
            buf_add(out, text, n);
        }
    }
}

static void put_markdown(struct buf *out, const char *text, size_t n)
{
    if (n == 1 && *text == '<')
        buf_str(out, "&lt;");
    else if (n == 1 && *text == '>')
        buf_str(out, "&gt;");
    else if (n == 1 && *text == '&')
        buf_str(out, "&amp;");
    else if (n == 1 && strchr("\\`*_{}[]#+!|~$^@", *text) != NULL)
        buf_printf(out, "\\%c", *text);
    else
        buf_add(out, text, n);
}

void escape_markdown(struct buf *out, const char *text)
{
    size_t left = strlen(text), n;
    const char *start = text;
    uint32_t c = 0;

    for (; left > 0; text += n, left -= n) {
        n = utf8_read(text, left, &c);
        if (n == 0) {
            n = 1;
            buf_printf(out, "\\\\x%02x", (unsigned)(unsigned char)*text);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            buf_char(out, ' ');
        } else if (IN(unseen, c)) {
            buf_char(out, '\\');
            put_unseen(out, c);
        } else if (text == start && (c == '-' || c == '=')) { /* a list or a heading only at the start */
            buf_printf(out, "\\%c", (char)c);
        } else {
            put_markdown(out, text, n);
        }
    }
}

uint32_t text_columns(const char *text)
{
    size_t left = strlen(text), n;
    uint32_t columns = 0, c = 0;

    for (; left > 0; text += n, left -= n) {
        n = utf8_read(text, left, &c);
        if (n == 0) {
            n = 1;
            columns++;
        } else if (!IN(combining, c) && !IN(unseen, c)) {
            columns += IN(wide, c) ? 2 : 1;
        }
    }
    return columns;
}
