/* Whether something holds, where nobody may have told. */
#ifndef PATCHWAVE_KNOWN_H
#define PATCHWAVE_KNOWN_H

#include "schema/json.h"

struct fields;

enum known { KNOWN_NOT, KNOWN_NO, KNOWN_YES };

/* A member that is true, false, null or absent; `o` may be NULL. */
enum known known_read(struct fields *f, const json *o, const char *key);
void known_write(struct json_writer *w, const char *key, enum known value);

#endif
