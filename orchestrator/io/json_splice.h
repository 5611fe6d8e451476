/* Replace values of an object's members in its text, so that what else stands
 * there keeps its place and faults are still named rightly. */
#ifndef PATCHWAVE_JSON_SPLICE_H
#define PATCHWAVE_JSON_SPLICE_H

#include "schema/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* `text` must be a valid JSON object. The member's value becomes `value`
 * (JSON on one line), followed by as many line breaks as were in the old one;
 * a member that is not there is put at the end. */
void json_splice(struct buf *out, const char *text, size_t len, const char *key, const char *value);
/* The same, but the member goes to the object's end, there or not: all others keep line and column. For a value in
 * which no fault is to be named. */
void json_splice_last(struct buf *out, const char *text, size_t len, const char *key, const char *value);

#endif
