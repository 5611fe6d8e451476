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

/* The member, checked for its kind; *ret stays NULL when it is missing and may
 * be. */
static int want(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                bool (*is)(const json *v), const char *kind, const json **ret, struct err *err)
{
    const json *v;

    *ret = NULL;
    if (!json_is_object(object))
        return json_fault(d, object, err, "must be an object, is %s", kind_of(object));
    v = json_get(object, key);
    if (v == NULL)
        return need == JSON_OPTIONAL ? 0 : json_fault(d, object, err, "the member `%s` is missing", key);
    if (!is(v))
        return json_fault(d, v, err, "must be %s, is %s", kind, kind_of(v));
    *ret = v;
    return 0;
}

int json_want_str(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                  const char **ret, struct err *err)
{
    const json *v;
    int rc = want(d, object, key, need, json_is_string, "a string", &v, err);

    if (rc == 0 && v != NULL)
        *ret = json_str(v, NULL);
    return rc;
}

int json_want_int(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                  int64_t min, int64_t max, int64_t *ret, struct err *err)
{
    const json *v;
    int rc = want(d, object, key, need, json_is_int, "an integer", &v, err);
    int64_t number;

    if (rc != 0 || v == NULL)
        return rc;
    number = json_int(v, 0);
    if (number < min || number > max)
        return json_fault(d, v, err, "must be from %lld to %lld, is %lld", (long long)min, (long long)max,
                          (long long)number);
    *ret = number;
    return 0;
}

int json_want_bool(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                   bool *ret, struct err *err)
{
    const json *v;
    int rc = want(d, object, key, need, json_is_bool, "true or false", &v, err);

    if (rc == 0 && v != NULL)
        *ret = json_bool(v, false);
    return rc;
}

int json_want_array(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                    const json **ret, struct err *err)
{
    const json *v;
    int rc = want(d, object, key, need, json_is_array, "an array", &v, err);

    if (rc == 0 && v != NULL)
        *ret = v;
    return rc;
}

int json_want_object(const struct json_doc *d, const json *object, const char *key, enum json_need need,
                     const json **ret, struct err *err)
{
    const json *v;
    int rc = want(d, object, key, need, json_is_object, "an object", &v, err);

    if (rc == 0 && v != NULL)
        *ret = v;
    return rc;
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
