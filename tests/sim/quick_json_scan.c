#include "tests/sim/quick_json_scan.h"

#include "schema/json_scan.h"
#include "schema/utf8.h"
#include "tests/sim/quick_json_memo.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Where the scan is inside one object or array. */
struct frame {
    bool object;
    uint32_t index;
    const char *key; /* as spelt; NULL: none at hand */
    size_t key_len;
};

/* `at` and `end` run through the copy, which ends in NULs: a test of one byte needs no test of the end. */
struct cursor {
    struct quick_scan *out;
    const char *text; /* untouched */
    char *copy, *at, *end;
    struct frame frames[JSON_DEPTH_MAX];
    uint32_t depth, deepest;
    bool recalled; /* a part of it: the whole is not remembered too */
};

static bool fault(struct cursor *c, const char *at, const char *what)
{
    c->out->what = what;
    c->out->what_offset = (uint32_t)(at - c->copy);
    return false;
}

static bool out_of_memory(struct cursor *c)
{
    return fault(c, c->at, NULL);
}

static bool take(struct cursor *c, char want)
{
    if (*c->at != want)
        return false;
    c->at++;
    return true;
}

static bool skip_blanks(struct cursor *c)
{
    for (; *c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'; c->at++) {
        uint32_t *line;

        if (*c->at != '\n')
            continue;
        line = list_push(&c->out->lines);
        if (line == NULL)
            return out_of_memory(c);
        *line = (uint32_t)(c->at - c->copy);
    }
    return true;
}

/* Machines write none. */
static inline bool skip_space(struct cursor *c)
{
    return *c->at > ' ' || skip_blanks(c);
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
static int32_t hex4(const char *at)
{
    int32_t v = 0;

    for (int i = 0; i < 4; i++) {
        int d = hex_digit(at[i]);

        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* A character above U+007F as UTF-8, or one byte. */
static char *put_char(char *out, uint32_t v)
{
    if (v < 0x80) {
        *out++ = (char)v;
        return out;
    }
    if (v < 0x800) {
        *out++ = (char)(0xc0 | v >> 6);
    } else if (v < 0x10000) {
        *out++ = (char)(0xe0 | v >> 12);
        *out++ = (char)(0x80 | (v >> 6 & 0x3f));
    } else {
        *out++ = (char)(0xf0 | v >> 18);
        *out++ = (char)(0x80 | (v >> 12 & 0x3f));
        *out++ = (char)(0x80 | (v >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (v & 0x3f));
    return out;
}

/* at is on the backslash of \u; what it says goes to *out, which is not behind `at`. */
static bool scan_unicode_escape(struct cursor *c, char **out)
{
    int32_t v = hex4(c->at + 2), low = -1;

    if (v < 0)
        return fault(c, c->at, "\\u must be followed by four hex digits");
    if (v == 0)
        return fault(c, c->at, "the character \\u0000 is not allowed");
    if (v >= 0xd800 && v <= 0xdbff && c->at[6] == '\\' && c->at[7] == 'u')
        low = hex4(c->at + 8);
    if (v >= 0xd800 && v <= 0xdfff && (v > 0xdbff || low < 0xdc00 || low > 0xdfff))
        return fault(c, c->at, "half of a surrogate pair");
    c->at += low >= 0 ? 12 : 6;
    *out = put_char(*out, low < 0 ? (uint32_t)v
                                  : 0x10000 + (((uint32_t)v - 0xd800) << 10) + (uint32_t)low - 0xdc00);
    return true;
}

static bool scan_escape(struct cursor *c, char **out)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (c->at + 1 == c->end)
        return fault(c, c->end, "the text ends too early");
    if (c->at[1] == 'u')
        return scan_unicode_escape(c, out);
    letter = strchr(letters, c->at[1]);
    if (letter == NULL || *letter == '\0')
        return fault(c, c->at, "unknown escape in a string");
    *(*out)++ = meant[letter - letters];
    c->at += 2;
    return true;
}

/* at is on a byte of a string that is not plain and not its end */
static bool scan_odd(struct cursor *c, char **out)
{
    uint32_t ignored;
    size_t n;

    if (c->at == c->end)
        return fault(c, c->at, "the text ends inside a string");
    if ((unsigned char)*c->at < 0x20)
        return fault(c, c->at, "control character in a string (write it as an escape)");
    if (*c->at == '\\')
        return scan_escape(c, out);
    n = utf8_read(c->at, (size_t)(c->end - c->at), &ignored);
    if (n == 0)
        return fault(c, c->at, "not valid UTF-8");
    memmove(*out, c->at, n);
    *out += n;
    c->at += n;
    return true;
}

/* Behind the bytes that json_plain_run would count. The copy's padding ends every run. */
static inline char *run_end(char *at, const char *end)
{
#ifdef __SSE2__
    (void)end;
    for (;; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i odd =
            _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
        /* signed: what is above 0x7f is below 0x20 */
        __m128i out =
            _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
        int stops = _mm_movemask_epi8(_mm_or_si128(odd, out));

        if (stops != 0)
            return at + __builtin_ctz((unsigned)stops);
    }
#else
    return at + json_plain_run(at, (size_t)(end - at));
#endif
}

/* The rest of a string that is not plain throughout. */
static bool scan_rest(struct cursor *c, char **out)
{
    while (*c->at != '"') {
        char *end = run_end(c->at, c->end);
        size_t n = (size_t)(end - c->at);

        memmove(*out, c->at, n);
        *out += n;
        c->at = end;
        if (n == 0 && !scan_odd(c, out))
            return false;
    }
    return true;
}

/* at is on the opening quote; goes behind the closing one. What stands between is resolved in its place: it never
 * grows. */
static inline bool scan_string(struct cursor *c, const char **ret_text, uint32_t *ret_len)
{
    char *start = c->at + 1, *out = run_end(start, c->end);

    c->at = out;
    *ret_text = start;
    if (*c->at != '"' && !scan_rest(c, &out))
        return false;
    *out = '\0';
    *ret_len = (uint32_t)(out - start);
    c->at++;
    return true;
}

static bool is_digit(const struct cursor *c)
{
    return *c->at >= '0' && *c->at <= '9';
}

enum { DIGITS_SURE = 18 }; /* so many always fit 64 bits */

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

        if (c->at - first >= DIGITS_SURE && v < (INT64_MIN + digit) / 10)
            return fault(c, start, "the number does not fit 64 bits");
        v = v * 10 - digit;
    }
    if (*first == '0' && c->at - first > 1)
        return fault(c, start, "a number must not begin with 0");
    if (*c->at == '.' || *c->at == 'e' || *c->at == 'E')
        return fault(c, start, "the number has a fraction or an exponent: only integers are allowed");
    if (!negative && v == INT64_MIN)
        return fault(c, start, "the number does not fit 64 bits");
    *ret_number = negative ? v : -v;
    return true;
}

static bool scan_word(struct cursor *c, uint8_t *ret_kind)
{
    if (memcmp(c->at, "true", 4) == 0)
        *ret_kind = QUICK_TRUE;
    else if (memcmp(c->at, "null", 4) == 0)
        *ret_kind = QUICK_NULL;
    else if (memcmp(c->at, "false", 5) == 0)
        *ret_kind = QUICK_FALSE;
    else
        return expected(c, "expected a value");
    c->at += *ret_kind == QUICK_FALSE ? 5 : 4;
    return true;
}

static bool scan_value(struct cursor *c, const char *name, uint32_t name_len);

static bool scan_key(struct cursor *c, struct frame *f, const char **ret_name, uint32_t *ret_len)
{
    const char *start = c->at + 1;

    if (*c->at != '"')
        return expected(c, "expected a member's name in double quotes");
    f->key = NULL; /* a fault inside the name is a fault of the object */
    if (!scan_string(c, ret_name, ret_len))
        return false;
    f->key = c->text + (start - c->copy);
    f->key_len = (size_t)(c->at - 1 - start);
    if (!skip_space(c))
        return false;
    return take(c, ':') ? skip_space(c) : expected(c, "expected `:` behind the member's name");
}

/* Cheap, and different for the names that one object has. */
static inline uint32_t name_bit(const char *name, uint32_t len)
{
    const uint8_t *b = (const uint8_t *)name;

    return len == 0 ? 0 : (len * 7 + b[0] + b[len / 2] * 31u + b[len - 1] * 53u) & 255u;
}

static bool stood_before(const struct quick_values *v, uint32_t object, const char *name, uint32_t len)
{
    for (uint32_t i = object + 1; i < v->n; i += v->items[i].span)
        if (v->items[i].name_len == len && memcmp(v->items[i].name, name, len) == 0)
            return true;
    return false;
}

/* Names are compared only where their bits meet. The next value is the member's. */
static inline void note_twin(struct quick_scan *s, uint32_t object, uint64_t seen[4], const char *name,
                             uint32_t len)
{
    uint32_t bit = name_bit(name, len);
    uint64_t mask = (uint64_t)1 << bit % 64;

    if ((seen[bit / 64] & mask) != 0 && s->twin == 0 && stood_before(&s->values, object, name, len))
        s->twin = s->values.n;
    seen[bit / 64] |= mask;
}

/* The items of an object or array up to its end. Recursion ends at the depth
 * bound. */
static bool scan_items(struct cursor *c, bool object, uint32_t here)
{
    char close = object ? '}' : ']';
    struct quick_values *v = &c->out->values;
    uint64_t seen[4] = { 0 };
    uint32_t last = here;
    struct frame *f;

    if (c->depth == JSON_DEPTH_MAX)
        return fault(c, c->at, "nested too deeply");
    f = &c->frames[c->depth++];
    c->deepest = c->depth > c->deepest ? c->depth : c->deepest;
    *f = (struct frame){ .object = object };
    c->at++;
    if (!skip_space(c))
        return false;
    if (*c->at != close) {
        for (;; f->index++) {
            const char *name = NULL;
            uint32_t len = 0;

            if (!skip_space(c) || (object && !scan_key(c, f, &name, &len)))
                return false;
            if (object && f->index < QUICK_FEW)
                note_twin(c->out, here, seen, name, len);
            last = v->n;
            if (!scan_value(c, name, len) || !skip_space(c))
                return false;
            if (!take(c, ','))
                break;
            f->key = NULL;
        }
        v->items[here].count = f->index + 1;
        c->out->many |= f->index >= QUICK_FEW;
        v->items[last].last = true;
    }
    if (!take(c, close))
        return expected(c, object ? "expected `,` or `}`" : "expected `,` or `]`");
    c->depth--;
    v->items[here].span = v->n - here;
    v->items[here].end = (uint32_t)(c->at - c->copy);
    return true;
}

/* A value that was scanned before is laid down as it was then. */
static bool recall(struct cursor *c, uint32_t here)
{
    struct quick_values *v = &c->out->values;
    struct cJSON at = v->items[here];
    struct quick_found found;
    uint32_t n;

    if (!quick_memo_find(c->text + at.offset, (size_t)(c->end - c->at), JSON_DEPTH_MAX - c->depth, &found))
        return false;
    n = found.memo->values.n;
    if (!list_reserve(v, here + n))
        return false;
    quick_memo_lay(&found, &v->items[here], c->at, at.offset);
    v->items[here].name = at.name;
    v->items[here].name_len = at.name_len;
    v->n = here + n;
    c->at += found.len;
    c->recalled = true;
    if (c->depth == 1 && found.n_steps > 1) /* it will come again in a message */
        quick_memo_keep(c->text + at.offset, c->copy + at.offset, found.len, &v->items[here], n,
                        found.memo->levels);
    return true;
}

/* What is worth it stands at the same place in every answer and message: the member `result`, or `data` within. */
static bool scan_or_recall(struct cursor *c, bool object, uint32_t here)
{
    struct quick_scan *s = c->out;
    uint32_t start = (uint32_t)(c->at - c->copy);

    if (c->depth > 2 || c->depth == 0)
        return scan_items(c, object, here);
    if (recall(c, here))
        return true;
    if (!scan_items(c, object, here))
        return false;
    if (c->depth == 1 && !c->recalled && s->twin == 0 && !s->many && s->lines.n == 0)
        quick_memo_keep(c->text + start, c->copy + start, s->values.items[here].end - start,
                        &s->values.items[here], s->values.n - here, c->deepest - 1);
    return true;
}

static bool scan_value(struct cursor *c, const char *name, uint32_t name_len)
{
    struct cJSON *v;
    uint32_t here = c->out->values.n, ignored;

    if (c->at == c->end)
        return expected(c, "");
    if (here == c->out->values.cap && !list_reserve(&c->out->values, here * 2))
        return out_of_memory(c);
    v = &c->out->values.items[c->out->values.n++];
    *v = (struct cJSON){
        .name = name, .name_len = name_len, .offset = (uint32_t)(c->at - c->copy), .span = 1
    };
    if (*c->at == '{' || *c->at == '[') {
        v->kind = *c->at == '{' ? QUICK_OBJECT : QUICK_ARRAY;
        return scan_or_recall(c, *c->at == '{', here);
    }
    if (*c->at == '"') {
        v->kind = QUICK_STRING;
        return scan_string(c, &v->text, &ignored);
    }
    if (*c->at != '-' && !is_digit(c))
        return scan_word(c, &v->kind);
    v->kind = QUICK_INT;
    return scan_number(c, &v->number);
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
    if (strncmp(c->at, "\xef\xbb\xbf", 3) == 0)
        return fault(c, c->at, "the text begins with a byte order mark: save it as UTF-8 without one");
    if (!skip_space(c) || !scan_value(c, NULL, 0) || !skip_space(c))
        return false;
    c->out->values.items[0].last = true;
    return c->at == c->end || fault(c, c->at, "there is more text behind the value");
}

bool quick_scan(struct quick_scan *s, const char *text, char *copy, size_t len)
{
    struct cursor c; /* its frames are set one by one */

    c.out = s;
    c.text = text;
    c.copy = c.at = copy;
    c.end = copy + len;
    c.depth = c.deepest = 0;
    c.recalled = false;
    /* most values take a dozen bytes: the list seldom grows after this */
    if (!list_reserve(&s->values, (uint32_t)(len / 12) + 8))
        return out_of_memory(&c);
    if (scan_document(&c))
        return true;
    note_pointer(&c, &s->pointer);
    return false;
}
