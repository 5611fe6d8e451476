/* Spoils a good document in every way that a type check should see: each member left out, each value replaced by one of
 * another type or form. Of an array the first and the last element are visited. */
#ifndef PATCHWAVE_TESTS_JSON_SPOIL_H
#define PATCHWAVE_TESTS_JSON_SPOIL_H

#include "schema/json.h"

uint32_t json_spoil_ways(const json *root);
/* Append the document spoilt in way number `way` (below json_spoil_ways). */
void json_spoil(struct buf *out, const json *root, uint32_t way);

#endif
