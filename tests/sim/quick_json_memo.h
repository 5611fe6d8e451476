/* What was scanned lately, by its text: a driver's answer is scanned by the
 * agent, once more in the message that carries it, and told again with nothing
 * but some numbers changed. */
#ifndef PATCHWAVE_QUICK_JSON_MEMO_H
#define PATCHWAVE_QUICK_JSON_MEMO_H

#include "tests/sim/quick_json_scan.h"

enum { QUICK_STEPS = 64 };

/* How a text comes from a remembered one: runs of equal bytes, and between two of them one integer that differs. */
struct quick_step {
    uint32_t from, to, len; /* the run: where it begins in the remembered text and in this one */
    int64_t number;         /* the integer before it; the first run has none */
};

struct quick_memo {
    char *text,
        *strings;       /* the same bytes: as they were written, and with each string resolved in its place */
    uint32_t len, room; /* room: bytes for both */
    uint32_t levels;    /* of objects and arrays, its own included */
    struct quick_values values;
};

struct quick_found {
    const struct quick_memo *memo; /* good until the next quick_memo_keep */
    struct quick_step steps[QUICK_STEPS];
    uint32_t n_steps;
    uint32_t len; /* of the value in the new text */
};

/* Does `text` begin with an object or array, of at most so many levels, that is remembered? */
bool quick_memo_find(const char *text, size_t len, uint32_t levels_max, struct quick_found *ret);

/* Remembers a value without a newline and without twins: `len` bytes at `text`, resolved at `strings`, and its `n`
 * values. Nothing happens when it is not worth it or there is no memory. */
void quick_memo_keep(const char *text, const char *strings, uint32_t len, const struct cJSON *values,
                     uint32_t n, uint32_t levels);

/* Lays it down as a value without a name: its strings at `strings`, where `offset` is, and its values at `values`. */
void quick_memo_lay(const struct quick_found *found, struct cJSON *values, char *strings, uint32_t offset);

#endif
