/* The strict scan before cJSON: it refuses what cJSON lets through, and notes
 * where every value stands and what every integer is, in document order. */
#ifndef PATCHWAVE_JSON_SCAN_H
#define PATCHWAVE_JSON_SCAN_H

#include "schema/buf.h"
#include "schema/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__) && !defined(PW_JSON_PORTABLE)
#include <emmintrin.h>
#endif

struct json_spot {
    uint32_t offset;
    int64_t number; /* of objects and arrays the offset behind the last bracket; 0 for the rest */
};
struct json_spots LIST_OF(struct json_spot);
struct json_offsets LIST_OF(uint32_t);

struct json_scan {
    struct json_spots spots;
    struct json_offsets lines; /* the offset of every newline */
    /* The fault, when there is one. */
    const char *what; /* NULL: out of memory */
    uint32_t what_offset;
    struct buf pointer; /* member names as they are spelt in the text, escapes and all */
};

/* `len` is at most JSON_TEXT_MAX. False on a fault. The caller clears. */
bool json_scan(struct json_scan *s, const char *text, size_t len);
void json_scan_clear(struct json_scan *s);

/* The first byte is the lowest, on every machine; compilers make one load of it. */
static inline uint64_t json_eight_bytes(const char *s)
{
    const uint8_t *b = (const uint8_t *)s;

    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 |
           (uint64_t)b[4] << 32 | (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

static inline uint64_t json_four_bytes(const char *s)
{
    const uint8_t *b = (const uint8_t *)s;

    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24;
}

#if defined(__SSE2__) && !defined(PW_JSON_PORTABLE)
enum { JSON_STEP = 16 };

/* A bit for each of sixteen bytes that stops a run. Signed: what is above 0x7f is below 0x20. */
static inline unsigned json_stops(__m128i x)
{
    __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
    __m128i out =
        _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(odd, out));
}

/* Which of so many bytes is the first that stops a run; as many: none. */
static inline size_t json_first_stop(const char *s)
{
    unsigned stops = json_stops(_mm_loadu_si128((const __m128i *)(const void *)s));

    return stops == 0 ? JSON_STEP : (size_t)__builtin_ctz(stops);
}

/* Is nothing in a text of at least four bytes, and fewer than so many, that stops a run? They are looked at in one step,
 * some of them twice. */
static inline bool json_plain_end(const char *s, size_t len)
{
    uint64_t first = len >= 8 ? json_eight_bytes(s) : json_four_bytes(s) * 0x100000001u;
    uint64_t last = len >= 8 ? json_eight_bytes(s + len - 8) : json_four_bytes(s + len - 4) * 0x100000001u;

    return json_stops(_mm_set_epi64x((int64_t)last, (int64_t)first)) == 0;
}
#else
enum { JSON_STEP = 8 };

/* The high bit of each byte that is zero, and perhaps of some behind it: the first is right. */
static inline uint64_t json_zeros(uint64_t x)
{
    return (x - 0x0101010101010101u) & ~x;
}

/* Eight bytes in one step: the first byte that stops a run is the first with its high bit set. */
static inline uint64_t json_stops(uint64_t x)
{
    uint64_t control = x - 0x2020202020202020u, quote = json_zeros(x ^ 0x2222222222222222u);
    uint64_t backslash = json_zeros(x ^ 0x5c5c5c5c5c5c5c5cu), delete = json_zeros(x ^ 0x7f7f7f7f7f7f7f7fu);

    return (control | quote | backslash | delete | x) & 0x8080808080808080u;
}

static inline size_t json_first_stop(const char *s)
{
    uint64_t stops = json_stops(json_eight_bytes(s));

    return stops == 0 ? JSON_STEP : (size_t)__builtin_ctzll(stops) / 8;
}

static inline bool json_plain_end(const char *s, size_t len)
{
    return json_stops(json_four_bytes(s) | json_four_bytes(s + len - 4) << 32) == 0;
}
#endif

/* How many bytes from `s` on stand for themselves inside a string, in every alphabet: printable ASCII but for quote
 * and backslash. Most text is nothing else. */
static inline size_t json_plain_run(const char *s, size_t len)
{
    size_t n = 0;

    for (; len - n >= JSON_STEP; n += JSON_STEP) {
        size_t stop = json_first_stop(s + n);

        if (stop < JSON_STEP)
            return n + stop;
    }
    if (len - n >= 4 && json_plain_end(s + n, len - n))
        return len;
    while (n < len && (unsigned char)s[n] >= 0x20 && (unsigned char)s[n] < 0x7f && s[n] != '"' &&
           s[n] != '\\')
        n++;
    return n;
}

/* Append "/NAME" as RFC 6901 has it. */
void json_pointer_add(struct buf *pointer, const char *name, size_t len);

#endif
