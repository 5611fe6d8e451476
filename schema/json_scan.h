/* The strict reading: one pass over the text that refuses everything that is
 * not plain JSON and lays the tree down as it goes, every value behind the
 * value that holds it, in the text's order. */
#ifndef PATCHWAVE_JSON_SCAN_H
#define PATCHWAVE_JSON_SCAN_H

#include "schema/buf.h"
#include "schema/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_INT, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
    const char *name; /* a member's, escapes resolved; NULL outside objects */
    union {
        const char *text; /* JSON_STRING, escapes resolved */
        int64_t number;   /* JSON_INT */
        uint32_t count;   /* items of JSON_ARRAY and JSON_OBJECT */
    };
    uint32_t offset; /* in the text */
    uint32_t span; /* values down to the end of this one, itself included: the next sibling is so far away */
    uint8_t kind;  /* enum json_kind */
    bool last;     /* of its siblings */
};
struct json_values LIST_OF(struct json_value);
struct json_offsets LIST_OF(uint32_t);

struct json_scan {
    struct json_values values; /* the outermost first */
    struct json_offsets lines; /* the offset of every newline */
    /* The fault, when there is one. */
    const char *what; /* NULL: out of memory */
    uint32_t what_offset;
    struct buf pointer; /* member names as they are spelt in the text, escapes and all */
};

/* `len` is at most JSON_TEXT_MAX. `copy` holds the same bytes and a NUL behind
 * them; in it each string is resolved and ended in its place, and the values
 * point there. False on a fault. The caller clears. */
bool json_scan(struct json_scan *s, const char *text, char *copy, size_t len);
void json_scan_clear(struct json_scan *s);

/* Append "/NAME" as RFC 6901 has it. */
void json_pointer_add(struct buf *pointer, const char *name, size_t len);

#endif
