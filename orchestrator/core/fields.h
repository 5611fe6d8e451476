/* Reading the members of a JSON object with one check at the end: the first
 * fault sticks in `rc` and `err`, every later read does nothing and gives its
 * default. Strings are copied into the arena. */
#ifndef PATCHWAVE_FIELDS_H
#define PATCHWAVE_FIELDS_H

#include "schema/arena.h"
#include "schema/json.h"
#include "schema/times.h"

struct fields {
    const struct json_doc *doc;
    struct arena *arena;
    struct err *err;
    int rc;
};

/* A fault at `v` in words, unless there is one already. */
void fields_fault(struct fields *f, const json *v, const char *what);
/* The first member not among the NULL-terminated `known` is a fault. */
void fields_known(struct fields *f, const json *o, const char *const *known);
/* NULL when absent; null in the file counts as absent for JSON_OPTIONAL. */
const char *fields_str(struct fields *f, const json *o, const char *key, enum json_need need);
/* A member that must be there and may be null. */
const char *fields_nullable(struct fields *f, const json *o, const char *key);
int64_t fields_int(struct fields *f, const json *o, const char *key, enum json_need need, int64_t min,
                   int64_t max, int64_t otherwise);
uint32_t fields_u32(struct fields *f, const json *o, const char *key, enum json_need need, uint32_t max,
                    uint32_t otherwise);
uint64_t fields_mib(struct fields *f, const json *o, const char *key, enum json_need need,
                    uint64_t otherwise);
bool fields_bool(struct fields *f, const json *o, const char *key, enum json_need need, bool otherwise);
/* Index of the member's text in `names`. */
int fields_enum(struct fields *f, const json *o, const char *key, enum json_need need,
                const char *const *names, unsigned n, int otherwise);
/* "15m" */
dur_ms fields_dur(struct fields *f, const json *o, const char *key, enum json_need need, dur_ms otherwise);
/* RFC 3339 */
time_ms fields_time(struct fields *f, const json *o, const char *key, enum json_need need, time_ms otherwise);
const json *fields_array(struct fields *f, const json *o, const char *key, enum json_need need);
const json *fields_object(struct fields *f, const json *o, const char *key, enum json_need need);
/* A list of texts. */
const char *const *fields_strings(struct fields *f, const json *o, const char *key, enum json_need need,
                                  uint32_t *ret_n);
/* Zeroed items for each element of `array` (NULL or empty: none); elements
 * that are not objects are faults. */
void *fields_items(struct fields *f, const json *array, size_t size, uint32_t *ret_n);

#define FIELDS_NAMES(names) (names), (unsigned)(sizeof(names) / sizeof(names)[0])

#endif
