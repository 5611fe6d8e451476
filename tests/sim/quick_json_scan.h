/* The simulator's JSON reader: what schema/json.h promises, in one pass over the
 * text that refuses everything that is not plain JSON and lays the tree down as
 * it goes, every value behind the value that holds it, in the text's order. */
#ifndef PATCHWAVE_QUICK_JSON_SCAN_H
#define PATCHWAVE_QUICK_JSON_SCAN_H

#include "schema/json.h"
#include "schema/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quick_kind { QUICK_NULL, QUICK_FALSE, QUICK_TRUE, QUICK_INT, QUICK_STRING, QUICK_ARRAY, QUICK_OBJECT };

struct cJSON {        /* json.h names the type and leaves it open */
    const char *name; /* a member's, escapes resolved; NULL outside objects */
    union {
        const char *text; /* QUICK_STRING, escapes resolved */
        int64_t number;   /* QUICK_INT */
        struct {
            uint32_t count,
                end; /* QUICK_ARRAY and QUICK_OBJECT: items, and the offset behind the last bracket */
        };
    };
    uint32_t offset; /* in the text */
    uint32_t span; /* values down to the end of this one, itself included: the next sibling is so far away */
    uint32_t name_len;
    uint8_t kind; /* enum quick_kind */
    bool last;    /* of its siblings */
};
struct quick_values LIST_OF(struct cJSON);
struct quick_lines LIST_OF(uint32_t);

#define QUICK_PAD 16
#define QUICK_FEW 48
struct quick_scan {
    struct quick_values values; /* the outermost first */
    struct quick_lines lines;   /* the offset of every newline */
    /* The first member whose name stood before it in its object, among each object's first QUICK_FEW; 0: none. */
    uint32_t twin;
    bool many; /* an object has more members than that: the caller compares them */
    /* The fault, when there is one. */
    const char *what; /* NULL: out of memory */
    uint32_t what_offset;
    struct buf pointer; /* member names as they are spelt in the text, escapes and all */
};

/* `len` is at most JSON_TEXT_MAX. `copy` holds the same bytes and QUICK_PAD NULs
 * behind them; in it each string is resolved and ended in its place, and the values
 * point there. `values` and `lines` come empty, perhaps with room from before. False on a fault. What it filled is the
 * caller's to clear, either way. */
bool quick_scan(struct quick_scan *s, const char *text, char *copy, size_t len);

#endif
