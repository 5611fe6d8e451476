/* Strict JSON. Reading: the text is scanned first (UTF-8, duplicate keys,
 * depth, integers that fit int64, the offset of every value), so that each
 * fault is named as file:line:column and JSON pointer; then cJSON builds the
 * tree. Writing: a streaming writer whose bytes depend on the calls alone,
 * so that what it writes can be hashed. cJSON.h is not needed by callers. */
#ifndef PATCHWAVE_JSON_H
#define PATCHWAVE_JSON_H

#include "schema/buf.h"
#include "schema/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cJSON json; /* one value of a document; owned by the document */
struct json_doc;

#define JSON_DEPTH_MAX 32
#define JSON_TEXT_MAX (64u << 20) /* bytes; the wire has its own, lower bound */

/* Numbers are integers; fractions and exponents are refused. Parse `text`.
 * `name` (a file name, copied) stands in front of messages. The document keeps
 * no pointer to `text`. ERR_INVALID with "name:line:column: what (at
 * /json/pointer)", the column in bytes and no pointer for the outermost value;
 * ERR_NOMEM. */
int json_parse(const char *name, const char *text, size_t len, struct json_doc **ret_doc, struct err *err);
void json_free(struct json_doc *doc);
const json *json_root(const struct json_doc *doc);

/* "name:line:column: <fmt> (at /pointer)" with ERR_INVALID, for a value of
 * the document that is well-formed and still wrong. */
int json_fault(const struct json_doc *doc, const json *value, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* What a value is. */
bool json_is_object(const json *v);
bool json_is_array(const json *v);
bool json_is_string(const json *v);
bool json_is_int(const json *v); /* a number without fraction and exponent that fits int64 */
bool json_is_bool(const json *v);
bool json_is_null(const json *v);

/* Loose reads, for callers that checked or do not mind: NULL, `otherwise`. */
const json *json_get(const json *object, const char *key);
const json *json_first(const json *array_or_object); /* then json_next until NULL */
const json *json_next(const json *item);
const char *json_key(const json *member); /* the member's name; NULL outside objects */
uint32_t json_count(const json *array_or_object);
const char *json_str(const json *v, const char *otherwise);
int64_t json_int(const json *v, int64_t otherwise);
bool json_bool(const json *v, bool otherwise);
/* The same for a member of an object, in one go. */
const char *json_get_str(const json *object, const char *key, const char *otherwise);
int64_t json_get_int(const json *object, const char *key, int64_t otherwise);
bool json_get_bool(const json *object, const char *key, bool otherwise);

/* Strict reads of a member: missing (unless JSON_OPTIONAL: then *ret is left
 * as it is) or wrong type is ERR_INVALID by json_fault. Strings are owned by
 * the document. */
enum json_need { JSON_REQUIRED, JSON_OPTIONAL };
int json_want(const struct json_doc *d, const json *object, const char *key, enum json_need need,
              const json **ret, struct err *err); /* of any kind */
int json_want_str(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                  const char **ret, struct err *err);
int json_want_int(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                  int64_t min, int64_t max, int64_t *ret, struct err *err);
int json_want_bool(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                   bool *ret, struct err *err);
int json_want_array(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                    const json **ret, struct err *err);
int json_want_object(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                     const json **ret, struct err *err);
/* The same for a value at hand, which is not NULL: its kind alone. */
int json_as_str(const struct json_doc *d, const json *v, const char **ret, struct err *err);
int json_as_int(const struct json_doc *d, const json *v, int64_t min, int64_t max, int64_t *ret,
                struct err *err);
int json_as_bool(const struct json_doc *d, const json *v, bool *ret, struct err *err);
int json_as_array(const struct json_doc *d, const json *v, const json **ret, struct err *err);
int json_as_object(const struct json_doc *d, const json *v, const json **ret, struct err *err);
/* ERR_INVALID naming the first member of `object` whose key is not among the
 * NULL-terminated `known`, with the nearest known key as a hint. */
int json_want_known(const struct json_doc *d, const json *object, const char *const *known, struct err *err);

/* The bytes of an object or array in the text that was parsed, which the caller still has. */
const char *json_raw(const json *v, const char *text, size_t *ret_len);

/* Write any value back, in its own order; `ascii` writes \uXXXX above 0x7e. */
void json_write(struct buf *out, const json *value, bool ascii);

/* The writer. Commas and nesting are its own affair; a wrong order of calls
 * is an assertion. key == NULL inside arrays and for the outermost value.
 * Text that is not UTF-8 (a system's message, say) comes out with U+FFFD in
 * place of each wrong byte: what is written can always be read. */
#define JSON_WRITE_DEPTH_MAX (2 * JSON_DEPTH_MAX) /* a parsed value fits into any nesting of ours */
struct json_writer {
    struct buf *out;
    uint32_t depth;
    bool ascii;  /* \uXXXX above 0x7e (O29) */
    bool pretty; /* two-space indentation and newlines, for files people read */
    bool comma[JSON_WRITE_DEPTH_MAX + 1];
    bool object[JSON_WRITE_DEPTH_MAX + 1];
};
void jw_init(struct json_writer *w, struct buf *out);
void jw_object(struct json_writer *w, const char *key);
void jw_object_end(struct json_writer *w);
void jw_array(struct json_writer *w, const char *key);
void jw_array_end(struct json_writer *w);
void jw_str(struct json_writer *w, const char *key, const char *value); /* NULL value writes null */
void jw_int(struct json_writer *w, const char *key, int64_t value);
void jw_bool(struct json_writer *w, const char *key, bool value);
void jw_null(struct json_writer *w, const char *key);
void jw_value(struct json_writer *w, const char *key, const json *value);   /* copy a parsed value */
void jw_raw(struct json_writer *w, const char *key, const char *json_text); /* text that is valid JSON */
void jw_raw_n(struct json_writer *w, const char *key, const char *json_text, size_t len);

#endif
