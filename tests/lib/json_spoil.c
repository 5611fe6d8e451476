#include "tests/lib/json_spoil.h"

#include <stddef.h>

/* NULL: the member is left out. */
static const char *const ways[] = {
    NULL, "[[]]", "-1", "true", "{\"x\":1}", "\"\"", "null", "9223372036854775807", "\"no such word\"",
};
#define WAYS ((uint32_t)(sizeof ways / sizeof ways[0]))

struct spoiler {
    uint32_t seen, value; /* the value to spoil, by the order of visiting */
    const char *with;
};

static bool visited(const json *item, const json *parent)
{
    return !json_is_array(parent) || item == json_first(parent) || json_next(item) == NULL;
}

static uint32_t count_values(const json *v)
{
    uint32_t n = 0;

    for (const json *item = json_first(v); item != NULL; item = json_next(item))
        if (visited(item, v))
            n += 1 + count_values(item);
    return n;
}

static void copy(struct spoiler *s, struct json_writer *w, const char *key, const json *v);

static void copy_items(struct spoiler *s, struct json_writer *w, const json *v)
{
    for (const json *item = json_first(v); item != NULL; item = json_next(item)) {
        if (!visited(item, v))
            jw_value(w, json_key(item), item);
        else if (s->seen++ != s->value)
            copy(s, w, json_key(item), item);
        else if (s->with != NULL)
            jw_raw(w, json_key(item), s->with);
    }
}

static void copy(struct spoiler *s, struct json_writer *w, const char *key, const json *v)
{
    if (json_is_object(v)) {
        jw_object(w, key);
        copy_items(s, w, v);
        jw_object_end(w);
    } else if (json_is_array(v)) {
        jw_array(w, key);
        copy_items(s, w, v);
        jw_array_end(w);
    } else {
        jw_value(w, key, v);
    }
}

uint32_t json_spoil_ways(const json *root)
{
    return count_values(root) * WAYS;
}

void json_spoil(struct buf *out, const json *root, uint32_t way)
{
    struct spoiler s = { .value = way / WAYS, .with = ways[way % WAYS] };
    struct json_writer w;

    jw_init(&w, out);
    copy(&s, &w, NULL, root);
}
