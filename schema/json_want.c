#include "schema/json.h"

#include <string.h>

static const char *kind_of(const json *v)
{
    static const struct {
        bool (*is)(const json *v);
        const char *name;
    } kinds[] = {
        { json_is_object, "an object" }, { json_is_array, "an array" }, { json_is_string, "a string" },
        { json_is_int, "a number" },     { json_is_bool, "a boolean" }, { json_is_null, "null" },
    };

    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].is(v))
            return kinds[i].name;
    return "something else";
}

int json_want(const struct json_doc *d, const json *object, const char *key, enum json_need need,
              const json **ret, struct err *err)
{
    const json *v = json_get(object, key);

    if (v == NULL && !json_is_object(object))
        return json_fault(d, object, err, "must be an object, is %s", kind_of(object));
    if (v == NULL && need == JSON_REQUIRED)
        return json_fault(d, object, err, "the member `%s` is missing", key);
    if (v != NULL)
        *ret = v;
    return 0;
}

static int wrong_kind(const struct json_doc *d, const json *v, const char *kind, struct err *err)
{
    return json_fault(d, v, err, "must be %s, is %s", kind, kind_of(v));
}

int json_as_str(const struct json_doc *d, const json *v, const char **ret, struct err *err)
{
    if (!json_is_string(v))
        return wrong_kind(d, v, "a string", err);
    *ret = json_str(v, NULL);
    return 0;
}

int json_as_int(const struct json_doc *d, const json *v, int64_t min, int64_t max, int64_t *ret,
                struct err *err)
{
    int64_t number;

    if (!json_is_int(v))
        return wrong_kind(d, v, "an integer", err);
    number = json_int(v, 0);
    if (number < min || number > max)
        return json_fault(d, v, err, "must be from %lld to %lld, is %lld", (long long)min, (long long)max,
                          (long long)number);
    *ret = number;
    return 0;
}

int json_as_bool(const struct json_doc *d, const json *v, bool *ret, struct err *err)
{
    if (!json_is_bool(v))
        return wrong_kind(d, v, "true or false", err);
    *ret = json_bool(v, false);
    return 0;
}

int json_as_array(const struct json_doc *d, const json *v, const json **ret, struct err *err)
{
    if (!json_is_array(v))
        return wrong_kind(d, v, "an array", err);
    *ret = v;
    return 0;
}

int json_as_object(const struct json_doc *d, const json *v, const json **ret, struct err *err)
{
    if (!json_is_object(v))
        return wrong_kind(d, v, "an object", err);
    *ret = v;
    return 0;
}

int json_want_str(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                  const char **ret, struct err *err)
{
    const json *v = NULL;
    int rc = json_want(d, object, key, need, &v, err);

    return rc != 0 || v == NULL ? rc : json_as_str(d, v, ret, err);
}

int json_want_int(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                  int64_t min, int64_t max, int64_t *ret, struct err *err)
{
    const json *v = NULL;
    int rc = json_want(d, object, key, need, &v, err);

    return rc != 0 || v == NULL ? rc : json_as_int(d, v, min, max, ret, err);
}

int json_want_bool(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                   bool *ret, struct err *err)
{
    const json *v = NULL;
    int rc = json_want(d, object, key, need, &v, err);

    return rc != 0 || v == NULL ? rc : json_as_bool(d, v, ret, err);
}

int json_want_array(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                    const json **ret, struct err *err)
{
    const json *v = NULL;
    int rc = json_want(d, object, key, need, &v, err);

    return rc != 0 || v == NULL ? rc : json_as_array(d, v, ret, err);
}

int json_want_object(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                     const json **ret, struct err *err)
{
    const json *v = NULL;
    int rc = json_want(d, object, key, need, &v, err);

    return rc != 0 || v == NULL ? rc : json_as_object(d, v, ret, err);
}

enum { HINT_LEN = 40 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Levenshtein's distance; HINT_LEN for names too long to be compared. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[HINT_LEN + 1];

    if (n > HINT_LEN || m > HINT_LEN)
        return HINT_LEN;
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

/* The known name that was probably meant, or NULL. */
static const char *nearest(const char *key, const char *const *known)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)strlen(key) / 3 + 2;

    for (; *known != NULL; known++) {
        unsigned d = distance(key, *known);

        if (d < best_distance) {
            best_distance = d;
            best = *known;
        }
    }
    return best;
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (key[0] == (*known)[0] && strcmp(key, *known) == 0)
            return true;
    return false;
}

int json_want_known(const struct json_doc *d, const json *object, const char *const *known, struct err *err)
{
    for (const json *m = json_first(object); m != NULL; m = json_next(m)) {
        const char *key = json_key(m), *hint;

        if (key == NULL || is_known(key, known))
            continue;
        hint = nearest(key, known);
        return json_fault(d, m, err, "unknown member `%s`%s%s%s", key, hint != NULL ? ", did you mean `" : "",
                          hint != NULL ? hint : "", hint != NULL ? "`?" : "");
    }
    return 0;
}
