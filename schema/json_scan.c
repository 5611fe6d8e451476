#include "schema/json_scan.h"

#include "schema/json.h"
#include "schema/utf8.h"

#include <string.h>

/* Where the scan is inside one object or array. */
struct frame {
    bool object;
    uint32_t index;
    const char *key;
    size_t key_len;
};

struct cursor {
    struct json_scan *out;
    const char *text, *at, *end;
    struct frame frames[JSON_DEPTH_MAX];
    uint32_t depth;
};

static bool fault(struct cursor *c, const char *at, const char *what)
{
    c->out->what = what;
    c->out->what_offset = (uint32_t)(at - c->text);
    return false;
}

static bool out_of_memory(struct cursor *c)
{
    return fault(c, c->at, NULL);
}

static bool at_char(const struct cursor *c, char want)
{
    return c->at < c->end && *c->at == want;
}

static bool take(struct cursor *c, char want)
{
    if (!at_char(c, want))
        return false;
    c->at++;
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool skip_blanks(struct cursor *c)
{
    for (; c->at < c->end && is_space(*c->at); c->at++) {
        uint32_t *line;

        if (*c->at != '\n')
            continue;
        line = list_push(&c->out->lines);
        if (line == NULL)
            return out_of_memory(c);
        *line = (uint32_t)(c->at - c->text);
    }
    return true;
}

/* Machines write none. */
static inline bool skip_space(struct cursor *c)
{
    return (c->at<c->end && * c->at> ' ') || skip_blanks(c);
}

static bool expected(struct cursor *c, const char *what)
{
    return fault(c, c->at, c->at == c->end ? "the text ends too early" : what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u; -1 when they are not. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t v = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(at[i]);

        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* at is on the backslash of \u */
static bool scan_unicode_escape(struct cursor *c)
{
    int32_t v = hex4(c->at + 2, c->end), low = -1;

    if (v < 0)
        return fault(c, c->at, "\\u must be followed by four hex digits");
    if (v == 0)
        return fault(c, c->at, "the character \\u0000 is not allowed");
    if (v >= 0xd800 && v <= 0xdbff && c->end - c->at >= 12 && c->at[6] == '\\' && c->at[7] == 'u')
        low = hex4(c->at + 8, c->end);
    if (v >= 0xd800 && v <= 0xdfff && (v > 0xdbff || low < 0xdc00 || low > 0xdfff))
        return fault(c, c->at, "half of a surrogate pair");
    c->at += low >= 0 ? 12 : 6;
    return true;
}

static bool scan_escape(struct cursor *c)
{
    if (c->end - c->at < 2)
        return fault(c, c->end, "the text ends too early");
    if (c->at[1] == 'u')
        return scan_unicode_escape(c);
    if (c->at[1] == '\0' || strchr("\"\\/bfnrt", c->at[1]) == NULL)
        return fault(c, c->at, "unknown escape in a string");
    c->at += 2;
    return true;
}

/* at is on the opening quote; goes behind the closing one */
static bool scan_string(struct cursor *c)
{
    c->at++;
    for (;;) {
        uint32_t ignored;
        size_t n;

        c->at += json_plain_run(c->at, (size_t)(c->end - c->at));
        if (at_char(c, '"'))
            break;
        if (c->at == c->end)
            return fault(c, c->at, "the text ends inside a string");
        if ((unsigned char)*c->at < 0x20)
            return fault(c, c->at, "control character in a string (write it as an escape)");
        if (*c->at == '\\') {
            if (!scan_escape(c))
                return false;
            continue;
        }
        n = utf8_read(c->at, (size_t)(c->end - c->at), &ignored);
        if (n == 0)
            return fault(c, c->at, "not valid UTF-8");
        c->at += n;
    }
    c->at++;
    return true;
}

static bool is_digit(const struct cursor *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

/* The number is summed up below zero, where there is one more of them. */
static bool scan_number(struct cursor *c, int64_t *ret_number)
{
    const char *start = c->at;
    bool negative = take(c, '-');
    const char *first = c->at;
    int64_t v = 0;

    if (!is_digit(c))
        return expected(c, "a digit is missing behind the minus sign");
    for (; is_digit(c); c->at++) {
        int digit = *c->at - '0';

        if (v < (INT64_MIN + digit) / 10)
            return fault(c, start, "the number does not fit 64 bits");
        v = v * 10 - digit;
    }
    if (*first == '0' && c->at - first > 1)
        return fault(c, start, "a number must not begin with 0");
    if (at_char(c, '.') || at_char(c, 'e') || at_char(c, 'E'))
        return fault(c, start, "the number has a fraction or an exponent: only integers are allowed");
    if (!negative && v == INT64_MIN)
        return fault(c, start, "the number does not fit 64 bits");
    *ret_number = negative ? v : -v;
    return true;
}

static bool scan_word(struct cursor *c)
{
    static const char *const words[] = { "true", "false", "null" };

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);

        if (*c->at == words[i][0] && (size_t)(c->end - c->at) >= n && memcmp(c->at, words[i], n) == 0) {
            c->at += n;
            return true;
        }
    }
    return expected(c, "expected a value");
}

static bool scan_value(struct cursor *c);

static bool scan_key(struct cursor *c, struct frame *f)
{
    const char *start = c->at + 1;

    if (!at_char(c, '"'))
        return expected(c, "expected a member's name in double quotes");
    f->key_len = 0; /* a fault inside the name is a fault of the object */
    f->key = NULL;
    if (!scan_string(c))
        return false;
    f->key = start;
    f->key_len = (size_t)(c->at - 1 - start);
    if (!skip_space(c))
        return false;
    return take(c, ':') ? skip_space(c) : expected(c, "expected `:` behind the member's name");
}

/* The items of an object or array up to its end. Recursion ends at the depth
 * bound. */
static bool scan_items(struct cursor *c, bool object)
{
    char close = object ? '}' : ']';
    struct frame *f;

    if (c->depth == JSON_DEPTH_MAX)
        return fault(c, c->at, "nested too deeply");
    f = &c->frames[c->depth++];
    *f = (struct frame){ .object = object };
    c->at++;
    if (!skip_space(c))
        return false;
    if (!at_char(c, close)) {
        for (;; f->index++) {
            if (!skip_space(c) || (object && !scan_key(c, f)) || !scan_value(c) || !skip_space(c))
                return false;
            if (!take(c, ','))
                break;
            f->key = NULL;
        }
    }
    if (!take(c, close))
        return expected(c, object ? "expected `,` or `}`" : "expected `,` or `]`");
    c->depth--;
    return true;
}

static bool scan_value(struct cursor *c)
{
    struct json_spot *spot;
    uint32_t here = c->out->spots.n;
    int64_t number = 0;

    if (c->at == c->end)
        return expected(c, "");
    if (here == c->out->spots.cap && !list_reserve(&c->out->spots, here * 2))
        return out_of_memory(c);
    spot = &c->out->spots.items[c->out->spots.n++];
    *spot = (struct json_spot){ .offset = (uint32_t)(c->at - c->text) };
    if (*c->at == '{' || *c->at == '[') {
        if (!scan_items(c, *c->at == '{'))
            return false;
        c->out->spots.items[here].number = c->at - c->text;
        return true;
    }
    if (*c->at == '"')
        return scan_string(c);
    if (*c->at != '-' && !is_digit(c))
        return scan_word(c);
    if (!scan_number(c, &number))
        return false;
    c->out->spots.items[here].number = number;
    return true;
}

void json_pointer_add(struct buf *pointer, const char *name, size_t len)
{
    buf_char(pointer, '/');
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '~')
            buf_str(pointer, "~0");
        else if (name[i] == '/')
            buf_str(pointer, "~1");
        else
            buf_char(pointer, name[i]);
    }
}

static void note_pointer(const struct cursor *c, struct buf *pointer)
{
    for (uint32_t i = 0; i < c->depth; i++) {
        const struct frame *f = &c->frames[i];

        if (!f->object)
            buf_printf(pointer, "/%u", (unsigned)f->index);
        else if (f->key != NULL)
            json_pointer_add(pointer, f->key, f->key_len);
    }
}

static bool scan_document(struct cursor *c)
{
    if (c->end - c->at >= 3 && memcmp(c->at, "\xef\xbb\xbf", 3) == 0)
        return fault(c, c->at, "the text begins with a byte order mark: save it as UTF-8 without one");
    if (!skip_space(c) || !scan_value(c) || !skip_space(c))
        return false;
    return c->at == c->end || fault(c, c->at, "there is more text behind the value");
}

bool json_scan(struct json_scan *s, const char *text, size_t len)
{
    struct cursor c = { .out = s, .text = text, .at = text, .end = text + len };

    /* most values take a dozen bytes: the list seldom grows after this */
    if (!list_reserve(&s->spots, (uint32_t)(len / 12) + 8))
        return out_of_memory(&c);
    /* most values take a dozen bytes: the list seldom grows after this */
    if (!list_reserve(&s->spots, (uint32_t)(len / 12) + 8))
        return out_of_memory(&c);
    if (scan_document(&c))
        return true;
    note_pointer(&c, &s->pointer);
    return false;
}

void json_scan_clear(struct json_scan *s)
{
    list_clear(&s->spots);
    list_clear(&s->lines);
    buf_clear(&s->pointer);
}
