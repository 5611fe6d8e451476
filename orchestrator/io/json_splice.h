/* Replace values of an object's members in its text, so that what stands on
 * the other lines keeps its place and faults are still named rightly. */
#ifndef PATCHWAVE_JSON_SPLICE_H
#define PATCHWAVE_JSON_SPLICE_H

#include "schema/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* `text` must be a valid JSON object. The member's value becomes `value`
 * (JSON on one line), followed by as many line breaks as were in the old one;
 * a member that is not there is put in front, on the object's first line. */
void json_splice(struct buf *out, const char *text, size_t len, const char *key, const char *value);

#endif
