/* How a cJSON node carries what cJSON has no field for. After cJSON has built
 * the tree, a walk beside the scan's spots writes into every node
 *   valueint     the offset of the value in the text (at most JSON_TEXT_MAX)
 *   valuedouble  in numbers, the bits of the exact int64; in objects and arrays,
 *                those of the offset behind their end
 * so a fault is placed without a search, and integers above 2^53 stay exact.
 * Nothing of cJSON that reads these two fields is called afterwards. */
#include "schema/json.h"

#include "schema/arena.h"
#include "schema/json_scan.h"

#include <cjson/cJSON.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(double) == sizeof(int64_t), "a number's bits need 64 bits");
_Static_assert(JSON_TEXT_MAX < INT32_MAX, "offsets are kept in valueint");

struct json_doc {
    char *name;
    cJSON *root;
    struct json_offsets lines;
    struct arena nodes; /* what cJSON allocated: it lives and dies with the document */
};

/* The document that cJSON builds at the moment. Its hooks know of no document, so this has to. */
static _Thread_local struct arena *building;

static void *building_alloc(size_t bytes)
{
    return arena_alloc(building, bytes);
}

static void building_free(void *p)
{
    (void)p;
}

/* Which line an offset is on, from 0, and where that line begins. */
static uint32_t line_of(const struct json_offsets *lines, uint32_t offset, uint32_t *ret_start)
{
    uint32_t lo = 0, hi = lines->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (lines->items[mid] < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_start = lo == 0 ? 0 : lines->items[lo - 1] + 1;
    return lo;
}

static int fault_at(const char *name, const struct json_offsets *lines, uint32_t offset, const char *what,
                    const struct buf *pointer, struct err *err)
{
    uint32_t start, line = line_of(lines, offset, &start);

    return err_set(err, ERR_INVALID, "%s:%u:%u: %s%s%s%s", name, (unsigned)line + 1,
                   (unsigned)(offset - start) + 1, what, pointer->len > 0 ? " (at " : "", buf_text(pointer),
                   pointer->len > 0 ? ")" : "");
}

/* The pointer of the value at `offset`: at each level the last item that does
 * not begin behind it. */
static void pointer_to(const cJSON *root, int offset, struct buf *pointer)
{
    const cJSON *v = root;

    while (v->child != NULL && v->valueint != offset) {
        const cJSON *parent = v;
        unsigned index = 0;

        v = v->child;
        for (; v->next != NULL && v->next->valueint <= offset; v = v->next)
            index++;
        if (json_is_object(parent))
            json_pointer_add(pointer, v->string, strlen(v->string));
        else
            buf_printf(pointer, "/%u", index);
    }
}

int json_fault(const struct json_doc *doc, const json *value, struct err *err, const char *fmt, ...)
{
    struct buf pointer = BUF_INIT;
    char what[512];
    va_list args;
    int rc;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    pointer_to(doc->root, value->valueint, &pointer);
    rc = fault_at(doc->name, &doc->lines, (uint32_t)value->valueint, what, &pointer, err);
    buf_clear(&pointer);
    return rc;
}

struct members LIST_OF(const cJSON *);
struct walk {
    const struct json_spots *spots;
    uint32_t next;
    struct members sorted; /* of the object at hand */
    const cJSON *twin;     /* a member whose name stood before; the first in the text */
    bool failed;
};

static int by_name_and_place(const void *a, const void *b)
{
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    int order = strcmp(x->string, y->string);

    return order != 0 ? order : (x->valueint > y->valueint) - (x->valueint < y->valueint);
}

#define MEMBERS_FEW 48

/* Cheap, and different for most names that one object has. */
static uint32_t name_bit(const char *name)
{
    size_t len = strlen(name);

    if (len == 0)
        return 0;
    return ((uint32_t)len * 7 + (uint8_t)name[0] + (uint8_t)name[len / 2] * 31u +
            (uint8_t)name[len - 1] * 53u) &
           255u;
}

static void note_twin(struct walk *w, const cJSON *m)
{
    if (w->twin == NULL || m->valueint < w->twin->valueint)
        w->twin = m;
}

/* Most objects are small and have no twin: names are compared only where their bits meet. */
static void find_twin_of_few(struct walk *w, const cJSON *object)
{
    uint64_t seen[4] = { 0 };

    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        uint32_t bit = name_bit(m->string);
        bool met = (seen[bit / 64] >> bit % 64 & 1u) != 0;

        seen[bit / 64] |= (uint64_t)1 << bit % 64;
        for (const cJSON *k = object->child; met && k != m; k = k->next)
            if (strcmp(m->string, k->string) == 0)
                note_twin(w, m);
    }
}

static void find_twin_of_many(struct walk *w, const cJSON *object, uint32_t count)
{
    w->sorted.n = 0;
    if (!list_reserve(&w->sorted, count)) {
        w->failed = true;
        return;
    }
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        w->sorted.items[w->sorted.n++] = m;
    qsort(w->sorted.items, w->sorted.n, sizeof w->sorted.items[0], by_name_and_place);
    for (uint32_t i = 1; i < w->sorted.n; i++)
        if (strcmp(w->sorted.items[i - 1]->string, w->sorted.items[i]->string) == 0)
            note_twin(w, w->sorted.items[i]);
}

/* Names are compared as cJSON decoded them: "a" and "\u0061" are one name. */
static void find_twin(struct walk *w, const cJSON *object)
{
    uint32_t count = json_count(object);

    if (count > MEMBERS_FEW)
        find_twin_of_many(w, object, count);
    else if (count > 1)
        find_twin_of_few(w, object);
}

static void label(struct walk *w, cJSON *v)
{
    const struct json_spot *spot = &w->spots->items[w->next++];

    v->valueint = (int)spot->offset;
    memcpy(&v->valuedouble, &spot->number, sizeof spot->number);
    for (cJSON *item = v->child; item != NULL; item = item->next)
        label(w, item);
    if (json_is_object(v))
        find_twin(w, v);
}

static int label_tree(struct json_doc *doc, const struct json_spots *spots, struct err *err)
{
    struct walk w = { .spots = spots };
    int rc = 0;

    label(&w, doc->root);
    if (w.failed)
        rc = err_set(err, ERR_NOMEM, "%s", doc->name);
    else if (w.twin != NULL)
        rc = json_fault(doc, w.twin, err, "the member `%s` stands twice", w.twin->string);
    list_clear(&w.sorted);
    return rc;
}

static struct json_doc *doc_new(const char *name)
{
    struct json_doc *doc = calloc(1, sizeof *doc);
    size_t n = strlen(name) + 1;

    if (doc == NULL)
        return NULL;
    doc->name = malloc(n);
    if (doc->name == NULL) {
        free(doc);
        return NULL;
    }
    memcpy(doc->name, name, n);
    return doc;
}

static int build(struct json_scan *scan, const char *name, const char *text, size_t len,
                 struct json_doc **ret_doc, struct err *err)
{
    struct json_doc *doc = doc_new(name);
    int rc;

    if (doc == NULL)
        return err_set(err, ERR_NOMEM, "%s", name);
    doc->lines = scan->lines;
    scan->lines = (struct json_offsets){ 0 };
    cJSON_InitHooks(&(cJSON_Hooks){ building_alloc, building_free });
    building = &doc->nodes;
    doc->root = cJSON_ParseWithLength(text, len);
    building = NULL;
    rc = doc->root == NULL ? err_set(err, ERR_NOMEM, "%s", name) : label_tree(doc, &scan->spots, err);
    if (rc != 0) {
        json_free(doc);
        return rc;
    }
    *ret_doc = doc;
    return 0;
}

int json_parse(const char *name, const char *text, size_t len, struct json_doc **ret_doc, struct err *err)
{
    struct json_scan scan = { 0 };
    int rc;

    if (len > JSON_TEXT_MAX)
        return err_set(err, ERR_INVALID, "%s: larger than %u bytes", name, JSON_TEXT_MAX);
    if (json_scan(&scan, text, len))
        rc = build(&scan, name, text, len, ret_doc, err);
    else if (scan.what == NULL)
        rc = err_set(err, ERR_NOMEM, "%s", name);
    else
        rc = fault_at(name, &scan.lines, scan.what_offset, scan.what, &scan.pointer, err);
    json_scan_clear(&scan);
    return rc;
}

void json_free(struct json_doc *doc)
{
    if (doc == NULL)
        return;
    arena_clear(&doc->nodes);
    list_clear(&doc->lines);
    free(doc->name);
    free(doc);
}

const json *json_root(const struct json_doc *doc)
{
    return doc->root;
}

bool json_is_object(const json *v)
{
    return cJSON_IsObject(v);
}

bool json_is_array(const json *v)
{
    return cJSON_IsArray(v);
}

bool json_is_string(const json *v)
{
    return cJSON_IsString(v);
}

bool json_is_int(const json *v)
{
    return cJSON_IsNumber(v); /* the scan let no other number through */
}

bool json_is_bool(const json *v)
{
    return cJSON_IsBool(v);
}

bool json_is_null(const json *v)
{
    return cJSON_IsNull(v);
}

const json *json_get(const json *object, const char *key)
{
    if (!json_is_object(object))
        return NULL;
    for (const json *m = object->child; m != NULL; m = m->next)
        if (m->string[0] == key[0] && strcmp(m->string, key) == 0)
            return m;
    return NULL;
}

const json *json_first(const json *array_or_object)
{
    return array_or_object == NULL ? NULL : array_or_object->child;
}

const json *json_next(const json *item)
{
    return item->next;
}

const char *json_key(const json *member)
{
    return member->string;
}

uint32_t json_count(const json *array_or_object)
{
    uint32_t n = 0;

    for (const json *item = json_first(array_or_object); item != NULL; item = item->next)
        n++;
    return n;
}

const char *json_raw(const json *v, const char *text, size_t *ret_len)
{
    int64_t end;

    assert(json_is_object(v) || json_is_array(v));
    memcpy(&end, &v->valuedouble, sizeof end);
    *ret_len = (size_t)(end - v->valueint);
    return text + v->valueint;
}

const char *json_str(const json *v, const char *otherwise)
{
    return json_is_string(v) ? v->valuestring : otherwise;
}

int64_t json_int(const json *v, int64_t otherwise)
{
    int64_t number;

    if (!json_is_int(v))
        return otherwise;
    memcpy(&number, &v->valuedouble, sizeof number);
    return number;
}

bool json_bool(const json *v, bool otherwise)
{
    return json_is_bool(v) ? cJSON_IsTrue(v) : otherwise;
}

const char *json_get_str(const json *object, const char *key, const char *otherwise)
{
    return json_str(json_get(object, key), otherwise);
}

int64_t json_get_int(const json *object, const char *key, int64_t otherwise)
{
    return json_int(json_get(object, key), otherwise);
}

bool json_get_bool(const json *object, const char *key, bool otherwise)
{
    return json_bool(json_get(object, key), otherwise);
}
