#include "orchestrator/core/fields.h"

#include <string.h>

#define MIB_MAX ((int64_t)1 << 30) /* a pebibyte; sums and products of it stay in 64 bits */

void fields_fault(struct fields *f, const json *v, const char *what)
{
    if (f->rc == 0)
        f->rc = json_fault(f->doc, v, f->err, "%s", what);
}

static void fields_nomem(struct fields *f)
{
    if (f->rc == 0)
        f->rc = err_set(f->err, ERR_NOMEM, "read a value");
}

void fields_known(struct fields *f, const json *o, const char *const *known)
{
    if (f->rc == 0)
        f->rc = json_want_known(f->doc, o, known, f->err);
}

/* The member, or NULL; null counts as absent where absence is allowed, and so does all of an object that is absent. */
static const json *member(struct fields *f, const json *o, const char *key, enum json_need need)
{
    const json *v = NULL;

    if (f->rc != 0 || o == NULL)
        return NULL;
    f->rc = json_want(f->doc, o, key, need, &v, f->err);
    return v != NULL && need == JSON_OPTIONAL && json_is_null(v) ? NULL : v;
}

static const char *copy_str(struct fields *f, const json *v)
{
    const char *text = NULL, *copy;

    f->rc = json_as_str(f->doc, v, &text, f->err);
    if (f->rc != 0)
        return NULL;
    copy = arena_str(f->arena, text);
    if (copy == NULL)
        fields_nomem(f);
    return copy;
}

const char *fields_str(struct fields *f, const json *o, const char *key, enum json_need need)
{
    const json *v = member(f, o, key, need);

    return v == NULL ? NULL : copy_str(f, v);
}

const char *fields_nullable(struct fields *f, const json *o, const char *key)
{
    const json *v = member(f, o, key, JSON_REQUIRED);

    return v == NULL || json_is_null(v) ? NULL : copy_str(f, v);
}

int64_t fields_int(struct fields *f, const json *o, const char *key, enum json_need need, int64_t min,
                   int64_t max, int64_t otherwise)
{
    const json *v = member(f, o, key, need);
    int64_t value = otherwise;

    if (v != NULL)
        f->rc = json_as_int(f->doc, v, min, max, &value, f->err);
    return value;
}

uint32_t fields_u32(struct fields *f, const json *o, const char *key, enum json_need need, uint32_t max,
                    uint32_t otherwise)
{
    return (uint32_t)fields_int(f, o, key, need, 0, max, otherwise);
}

uint64_t fields_mib(struct fields *f, const json *o, const char *key, enum json_need need, uint64_t otherwise)
{
    return (uint64_t)fields_int(f, o, key, need, 0, MIB_MAX, (int64_t)otherwise);
}

bool fields_bool(struct fields *f, const json *o, const char *key, enum json_need need, bool otherwise)
{
    const json *v = member(f, o, key, need);
    bool value = otherwise;

    if (v != NULL)
        f->rc = json_as_bool(f->doc, v, &value, f->err);
    return value;
}

int fields_enum(struct fields *f, const json *o, const char *key, enum json_need need,
                const char *const *names, unsigned n, int otherwise)
{
    const json *v = member(f, o, key, need);
    const char *text = NULL;

    if (v == NULL)
        return otherwise;
    f->rc = json_as_str(f->doc, v, &text, f->err);
    if (f->rc != 0)
        return otherwise;
    for (unsigned i = 0; i < n; i++)
        if (names[i][0] == text[0] && strcmp(names[i], text) == 0)
            return (int)i;
    f->rc = json_fault(f->doc, v, f->err, "`%s` is not a known word here", text);
    return otherwise;
}

dur_ms fields_dur(struct fields *f, const json *o, const char *key, enum json_need need, dur_ms otherwise)
{
    dur_ms value = otherwise;
    const char *text = fields_str(f, o, key, need);

    if (text != NULL && dur_parse(text, &value, NULL) != 0)
        fields_fault(f, json_get(o, key), "must be a duration such as \"15m\"");
    return value;
}

time_ms fields_time(struct fields *f, const json *o, const char *key, enum json_need need, time_ms otherwise)
{
    time_ms value = otherwise;
    const char *text = fields_str(f, o, key, need);

    if (text != NULL && time_parse(text, &value, NULL) != 0)
        fields_fault(f, json_get(o, key), "must be a time such as \"2026-11-23T22:00:00Z\"");
    return value;
}

const json *fields_array(struct fields *f, const json *o, const char *key, enum json_need need)
{
    const json *v = member(f, o, key, need), *array = NULL;

    if (v != NULL)
        f->rc = json_as_array(f->doc, v, &array, f->err);
    return array;
}

const json *fields_object(struct fields *f, const json *o, const char *key, enum json_need need)
{
    const json *v = member(f, o, key, need), *object = NULL;

    if (v != NULL)
        f->rc = json_as_object(f->doc, v, &object, f->err);
    return object;
}

const char *const *fields_strings(struct fields *f, const json *o, const char *key, enum json_need need,
                                  uint32_t *ret_n)
{
    const json *array = fields_array(f, o, key, need);
    const char **texts;
    uint32_t n = 0;

    *ret_n = 0;
    if (array == NULL || json_count(array) == 0)
        return NULL;
    texts = ARENA_ARRAY(f->arena, const char *, json_count(array));
    if (texts == NULL) {
        fields_nomem(f);
        return NULL;
    }
    for (const json *v = json_first(array); v != NULL; v = json_next(v)) {
        if (!json_is_string(v)) {
            fields_fault(f, v, "must be a string");
            return NULL;
        }
        texts[n] = arena_str(f->arena, json_str(v, ""));
        if (texts[n++] == NULL) {
            fields_nomem(f);
            return NULL;
        }
    }
    *ret_n = n;
    return texts;
}

void *fields_items(struct fields *f, const json *array, size_t size, uint32_t *ret_n)
{
    void *items;

    *ret_n = 0;
    if (f->rc != 0 || array == NULL || json_count(array) == 0)
        return NULL;
    for (const json *v = json_first(array); v != NULL; v = json_next(v))
        if (!json_is_object(v)) {
            fields_fault(f, v, "must be an object");
            return NULL;
        }
    items = arena_array(f->arena, json_count(array), size);
    if (items == NULL) {
        fields_nomem(f);
        return NULL;
    }
    *ret_n = json_count(array);
    return items;
}
