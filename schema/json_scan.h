/* The strict scan before cJSON: it refuses what cJSON lets through, and notes
 * where every value stands and what every integer is, in document order. */
#ifndef PATCHWAVE_JSON_SCAN_H
#define PATCHWAVE_JSON_SCAN_H

#include "schema/buf.h"
#include "schema/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* How many bytes from `s` on stand for themselves inside a string, in every alphabet: printable ASCII but for quote
 * and backslash. Most text is nothing else. */
size_t json_plain_run(const char *s, size_t len);

/* Append "/NAME" as RFC 6901 has it. */
void json_pointer_add(struct buf *pointer, const char *name, size_t len);

#endif
