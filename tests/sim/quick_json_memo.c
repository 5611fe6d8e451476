#include "tests/sim/quick_json_memo.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { KEPT = 32, TRIES = 3, LEN_MIN = 128, LEN_MAX = 32 << 10, DIGITS_SURE = 18 };

/* The newest stands before `next`. The simulator has one thread. */
static struct {
    struct quick_memo items[KEPT];
    uint64_t marks[KEPT]; /* looked through for every text; 0: nothing here */
    uint32_t next;
} memo;

/* Where a list of VMs names its first: different in texts that are not about the same things. */
static uint64_t mark_of(const char *text)
{
    uint64_t mark;

    memcpy(&mark, text + 44, sizeof mark);
    return mark;
}

static uint32_t common(const char *a, const char *b, size_t most)
{
    size_t n = 0;

#ifdef __SSE2__
    for (; most - n >= 16; n += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + n));
        __m128i y = _mm_loadu_si128((const __m128i *)(const void *)(b + n));
        unsigned differ = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) ^ 0xffffu;

        if (differ != 0)
            return (uint32_t)n + (uint32_t)__builtin_ctz(differ);
    }
#endif
    while (n < most && a[n] == b[n])
        n++;
    return (uint32_t)n;
}

/* The bytes of a plain integer that something follows; 0: none. */
static uint32_t take_int(const char *at, size_t most, int64_t *ret)
{
    uint32_t sign = most > 0 && *at == '-', n = sign;
    int64_t v = 0;

    for (; n < most && at[n] >= '0' && at[n] <= '9' && n < DIGITS_SURE; n++)
        v = v * 10 + (at[n] - '0');
    if (n == sign || n >= most || (at[sign] == '0' && n > sign + 1))
        return 0;
    *ret = sign ? -v : v;
    return at[n] == ',' || at[n] == '}' || at[n] == ']' ? n : 0;
}

/* One more integer in which the texts differ, `run` bytes behind the begin of the last step's run. */
static bool next_step(struct quick_found *f, const char *text, size_t len, uint32_t run, uint32_t value)
{
    const struct quick_memo *m = f->memo;
    const struct cJSON *v = &m->values.items[value];
    struct quick_step *last = &f->steps[f->n_steps - 1], *next = last + 1;
    uint32_t old, now;
    int64_t ignored;

    if (v->kind != QUICK_INT || v->offset < last->from || f->n_steps == QUICK_STEPS)
        return false;
    last->len = v->offset - last->from;
    old = take_int(m->text + v->offset, m->len - v->offset, &ignored);
    now = take_int(text + last->to + last->len, len - last->to - last->len, &next->number);
    if (old == 0 || now == 0 || run > last->len + old)
        return false;
    next->from = v->offset + old;
    next->to = last->to + last->len + now;
    f->n_steps++;
    return true;
}

/* Does the text go as that one, but for integers? */
static bool follow(struct quick_found *f, const char *text, size_t len)
{
    const struct quick_memo *m = f->memo;
    uint32_t value = 0;

    f->n_steps = 1;
    f->steps[0] = (struct quick_step){ 0 };
    for (;;) {
        struct quick_step *s = &f->steps[f->n_steps - 1];
        size_t left = m->len - s->from, here = len - s->to;
        uint32_t run = common(m->text + s->from, text + s->to, left < here ? left : here);

        if (run == left) {
            s->len = run;
            f->len = s->to + run;
            return true;
        }
        while (value + 1 < m->values.n && m->values.items[value + 1].offset <= s->from + run)
            value++;
        if (!next_step(f, text, len, run, value))
            return false;
    }
}

bool quick_memo_find(const char *text, size_t len, uint32_t levels_max, struct quick_found *ret)
{
    uint64_t mark = len < LEN_MIN ? 0 : mark_of(text);

    for (uint32_t i = 1, tries = 0; mark != 0 && i <= KEPT && tries < TRIES; i++) {
        uint32_t at = (memo.next - i) % KEPT;

        if (memo.marks[at] != mark)
            continue;
        ret->memo = &memo.items[at];
        if (ret->memo->levels <= levels_max && follow(ret, text, len))
            return true;
        tries++;
    }
    return false;
}

static bool room(struct quick_memo *m, uint32_t len, uint32_t n)
{
    if (2 * len > m->room) {
        free(m->text);
        m->text = malloc(2 * (size_t)len);
        m->room = m->text == NULL ? 0 : 2 * len;
    }
    m->strings = m->text == NULL ? NULL : m->text + len;
    m->len = len;
    return m->text != NULL && list_reserve(&m->values, n);
}

/* Values whose strings are at `from`, laid down for the same strings at `to`, `shift` bytes on in the text. */
static void lay(struct cJSON *v, const char *from, char *to, uint32_t shift)
{
    v->offset += shift;
    if (v->name != NULL)
        v->name = to + (v->name - from);
    if (v->kind == QUICK_STRING)
        v->text = to + (v->text - from);
}

void quick_memo_keep(const char *text, const char *strings, uint32_t len, const struct cJSON *values,
                     uint32_t n, uint32_t levels)
{
    uint32_t at = memo.next % KEPT;
    struct quick_memo *m = &memo.items[at];

    if (len < LEN_MIN || len > LEN_MAX)
        return;
    memo.marks[at] = 0;
    if (!room(m, len, n))
        return;
    memcpy(m->text, text, len);
    memcpy(m->strings, strings, len);
    memcpy(m->values.items, values, n * sizeof *values);
    m->values.items[0].name = NULL;
    m->values.items[0].name_len = 0;
    m->values.items[0].last = false;
    for (uint32_t i = 0; i < n; i++) {
        struct cJSON *v = &m->values.items[i];

        lay(v, strings, m->strings, 0 - values[0].offset);
        if (v->kind == QUICK_ARRAY || v->kind == QUICK_OBJECT)
            v->end -= values[0].offset;
    }
    m->values.n = n;
    m->levels = levels;
    memo.marks[at] = mark_of(text);
    memo.next++;
}

/* The offset behind a value that ends in or behind this run. */
static uint32_t end_of(const struct quick_step *run, const struct quick_step *end, uint32_t offset)
{
    while (run + 1 < end && run[1].from < offset)
        run++;
    return offset + run->to - run->from;
}

void quick_memo_lay(const struct quick_found *found, struct cJSON *values, char *strings, uint32_t offset)
{
    const struct quick_memo *m = found->memo;
    const struct quick_step *end = found->steps + found->n_steps;
    uint32_t i = 0;

    for (const struct quick_step *run = found->steps; run < end; run++) {
        uint32_t behind = run + 1 < end ? run[1].from : m->len;
        const char *from = m->strings + run->from;
        char *to = strings + run->to;

        memcpy(to, from, run->len);
        for (; i < m->values.n && m->values.items[i].offset < behind; i++) {
            struct cJSON *v = &values[i];

            *v = m->values.items[i];
            lay(v, from, to, offset + run->to - run->from);
            if (v->kind == QUICK_ARRAY || v->kind == QUICK_OBJECT)
                v->end = offset + end_of(run, end, v->end);
        }
        if (run + 1 < end)
            values[i - 1].number =
                run[1].number; /* the last value before the next run is the one that differs */
    }
}
