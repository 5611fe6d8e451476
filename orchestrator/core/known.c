#include "orchestrator/core/known.h"

#include "orchestrator/core/fields.h"

enum known known_read(struct fields *f, const json *o, const char *key)
{
    const json *v = o == NULL ? NULL : json_get(o, key);

    if (v == NULL || json_is_null(v))
        return KNOWN_NOT;
    return fields_bool(f, o, key, JSON_REQUIRED, false) ? KNOWN_YES : KNOWN_NO;
}

void known_write(struct json_writer *w, const char *key, enum known value)
{
    if (value == KNOWN_NOT)
        jw_null(w, key);
    else
        jw_bool(w, key, value == KNOWN_YES);
}
