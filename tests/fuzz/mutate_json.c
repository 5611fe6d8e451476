/* libFuzzer's mutator for targets whose input is one JSON document. Bytes changed at random leave hardly one text in
 * twenty that can be read at all; this one changes whole values, numbers to those at a bound, and strings to others of
 * the text, so that most of what it makes gets as far as the meaning. One mutation in sixteen is libFuzzer's own. */
#include "schema/prng.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { VALUES_MAX = 2048, OPEN_MAX = 64, PIECE_MAX = 4096 };

struct value {
    size_t start, end; /* bytes of the text; end 0: it is not closed */
    size_t first;      /* of its member or element: where its name begins, or it itself */
    bool in_array;
};

struct values {
    struct value items[VALUES_MAX];
    size_t n;
};

struct text {
    char *bytes;
    size_t len, max;
};

static size_t string_end(const struct text *t, size_t at)
{
    for (at++; at < t->len && t->bytes[at] != '"'; at++)
        if (t->bytes[at] == '\\')
            at++;
    return at < t->len ? at + 1 : t->len;
}

static size_t word_end(const struct text *t, size_t at)
{
    while (at < t->len && strchr(",:]}[{\" \n", t->bytes[at]) == NULL)
        at++;
    return at;
}

static size_t skip_space(const struct text *t, size_t at)
{
    while (at < t->len && (t->bytes[at] == ' ' || t->bytes[at] == '\n'))
        at++;
    return at;
}

/* Every value of the text, containers too. What is no JSON gives whatever looks like it. */
static void find_values(const struct text *t, struct values *v)
{
    size_t open[OPEN_MAX], depth = 0, name = t->len, at = 0;

    v->n = 0;
    while ((at = skip_space(t, at)) < t->len && v->n < VALUES_MAX) {
        char c = t->bytes[at];
        struct value *next = &v->items[v->n];
        size_t end = c == '"' ? string_end(t, at) : word_end(t, at);

        if (c == ',' || c == ':') {
            at++;
        } else if (c == ']' || c == '}') {
            at++;
            if (depth > 0)
                v->items[open[--depth]].end = at;
        } else if (c == '"' && skip_space(t, end) < t->len && t->bytes[skip_space(t, end)] == ':') {
            name = at;
            at = end;
        } else {
            *next = (struct value){ .start = at, .first = name < at ? name : at, .in_array = name >= at };
            if ((c == '{' || c == '[') && depth < OPEN_MAX)
                open[depth++] = v->n;
            else
                next->end = end > at ? end : at + 1;
            at = next->end == 0 ? at + 1 : next->end;
            v->n++;
            name = t->len;
        }
    }
}

static const struct value *pick(const struct values *v, struct prng *r)
{
    const struct value *one = &v->items[prng_below(r, v->n)];

    return one->end == 0 ? NULL : one;
}

/* Puts `piece` in place of the bytes from..to; false when there is no room. */
static bool replace(struct text *t, size_t from, size_t to, const char *piece, size_t len)
{
    if (t->len - (to - from) + len > t->max)
        return false;
    memmove(t->bytes + from + len, t->bytes + to, t->len - to);
    memcpy(t->bytes + from, piece, len);
    t->len = t->len - (to - from) + len;
    return true;
}

/* Of its first digits, so many that they fit. */
static int64_t number_at(const struct text *t, const struct value *at)
{
    int64_t number = 0;

    for (size_t i = at->start; i < at->end && i < at->start + 18; i++)
        if (t->bytes[i] >= '0' && t->bytes[i] <= '9')
            number = number * 10 + (t->bytes[i] - '0');
    return number;
}

static bool put_other_number(struct text *t, const struct value *at, struct prng *r)
{
    static const int64_t bounds[] = {
        0, 1, 2, 100, 101, 1024, 65535, 65536, 2147483647, 4294967296, 1099511627776, INT64_MAX, -1, INT64_MIN
    };
    char piece[32];
    int64_t number = bounds[prng_below(r, sizeof bounds / sizeof *bounds)];
    int n;

    if (prng_below(r, 2) == 0)
        number = number_at(t, at) + prng_between(r, -8, 8);
    n = snprintf(piece, sizeof piece, "%lld", (long long)number);
    return replace(t, at->start, at->end, piece, (size_t)n);
}

static bool put_other_word(struct text *t, const struct value *at, struct prng *r)
{
    static const char *const words[] = { "true", "false", "null", "[]", "{}", "\"\"", "0" };
    const char *word = words[prng_below(r, sizeof words / sizeof *words)];

    return replace(t, at->start, at->end, word, strlen(word));
}

/* A value of the same kind from elsewhere in the text. */
static bool put_copy(struct text *t, const struct values *v, const struct value *at, struct prng *r)
{
    const struct value *from = NULL;
    char piece[PIECE_MAX];
    size_t len;

    for (int tries = 0; tries < 16 && from == NULL; tries++) {
        from = pick(v, r);
        if (from != NULL && t->bytes[from->start] != t->bytes[at->start])
            from = NULL;
    }
    len = from == NULL ? 0 : from->end - from->start;
    if (len == 0 || len > sizeof piece)
        return false;
    memcpy(piece, t->bytes + from->start, len);
    return replace(t, at->start, at->end, piece, len);
}

static bool drop(struct text *t, const struct value *at)
{
    size_t from = at->first, to = skip_space(t, at->end);

    if (to < t->len && t->bytes[to] == ',')
        to++;
    else if (from > 0 && t->bytes[from - 1] == ',')
        from--;
    return replace(t, from, to, "", 0);
}

/* An element once more; a string in it gets another end, so that it can be another thing of the same kind. */
static bool repeat(struct text *t, const struct value *at, struct prng *r)
{
    char piece[PIECE_MAX];
    size_t len = at->end - at->start, quote;

    if (!at->in_array || len + 2 > sizeof piece)
        return false;
    piece[0] = ',';
    memcpy(piece + 1, t->bytes + at->start, len++);
    for (quote = 1; quote < len && piece[quote] != ':'; quote++) /* the first member is its name, as a rule */
        ;
    if (quote + 2 < len && piece[quote + 1] == '"' && piece[quote + 2] != '"')
        piece[quote + 2] = (char)('a' + prng_below(r, 26));
    return replace(t, at->end, at->end, piece, len);
}

static bool change(struct text *t, const struct values *v, struct prng *r)
{
    const struct value *at = pick(v, r);
    bool number;

    if (at == NULL)
        return false;
    number = strchr("-0123456789", t->bytes[at->start]) != NULL;
    switch (prng_below(r, 12)) {
    case 0:
        return drop(t, at);
    case 1:
        return put_other_word(t, at, r);
    case 2:
    case 3:
        return repeat(t, at, r);
    default:
        return number ? put_other_number(t, at, r) : put_copy(t, v, at, r);
    }
}

/* The counters of all edges, as the linker lays them out. */
extern uint8_t __start___sancov_cntrs[], __stop___sancov_cntrs[];

void fuzz_pass_over(void)
{
    memset(__start___sancov_cntrs, 0, (uintptr_t)__stop___sancov_cntrs - (uintptr_t)__start___sancov_cntrs);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static struct values v;
    struct text t = { .bytes = (char *)data, .len = size, .max = max_size };
    struct prng r;
    bool changed = false;

    prng_init(&r, seed);
    if (prng_below(&r, 16) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    for (uint64_t n = 1 + prng_below(&r, 2), tries = 0; n > 0 && tries < 8; tries++) {
        find_values(&t, &v);
        if (v.n > 0 && change(&t, &v, &r))
            n--, changed = true;
    }
    return changed && t.len > 0 ? t.len : LLVMFuzzerMutate(data, size, max_size);
}
