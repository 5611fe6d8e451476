/* schema/json.h for the simulator, which spends most of its time in JSON. The
 * programs read by the strict scan and cJSON; that this reader accepts, refuses
 * and words everything alike is shown by the tests of schema/json, which run
 * over it too, by cJSON as witness, and by the hashes of whole rollouts. */
#include "schema/json_scan.h"
#include "tests/sim/quick_json_scan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json_doc {
    struct quick_values values;
    struct quick_lines lines;
    char *name, *strings; /* one after the other in `room` bytes */
    size_t room;
    struct json_doc *next; /* of those that are spare */
};

/* Which line an offset is on, from 0, and where that line begins. */
static uint32_t line_of(const struct quick_lines *lines, uint32_t offset, uint32_t *ret_start)
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

static int fault_at(const char *name, const struct quick_lines *lines, uint32_t offset, const char *what,
                    const struct buf *pointer, struct err *err)
{
    uint32_t start, line = line_of(lines, offset, &start);

    return err_set(err, ERR_INVALID, "%s:%u:%u: %s%s%s%s", name, (unsigned)line + 1,
                   (unsigned)(offset - start) + 1, what, pointer->len > 0 ? " (at " : "", buf_text(pointer),
                   pointer->len > 0 ? ")" : "");
}

/* The pointer of `value`: at each level the item that holds it. */
static void pointer_to(const struct json_doc *doc, const json *value, struct buf *pointer)
{
    const json *v = doc->values.items;

    while (v != value) {
        const json *parent = v;
        unsigned index = 0;

        for (v = parent + 1; value >= v + v->span; v += v->span)
            index++;
        if (parent->kind == QUICK_OBJECT)
            json_pointer_add(pointer, v->name, strlen(v->name));
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
    pointer_to(doc, value, &pointer);
    rc = fault_at(doc->name, &doc->lines, value->offset, what, &pointer, err);
    buf_clear(&pointer);
    return rc;
}

struct members LIST_OF(const json *);

static int by_name_and_place(const void *a, const void *b)
{
    const json *x = *(const json *const *)a, *y = *(const json *const *)b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

static void note_twin(const json **twin, const json *m)
{
    if (*twin == NULL || m->offset < (*twin)->offset)
        *twin = m;
}

static bool find_twin_of_many(const json *object, struct members *sorted, const json **twin)
{
    sorted->n = 0;
    if (!list_reserve(sorted, object->count))
        return false;
    for (const json *m = json_first(object); m != NULL; m = json_next(m))
        sorted->items[sorted->n++] = m;
    qsort(sorted->items, sorted->n, sizeof sorted->items[0], by_name_and_place);
    for (uint32_t i = 1; i < sorted->n; i++)
        if (strcmp(sorted->items[i - 1]->name, sorted->items[i]->name) == 0)
            note_twin(twin, sorted->items[i]);
    return true;
}

/* Names are compared with their escapes resolved: "a" and "\u0061" are one name. The first in the text is named. The scan
 * has looked at the small objects. */
static int refuse_twins(const struct json_doc *doc, const struct quick_scan *scan, struct err *err)
{
    struct members sorted = { 0 };
    const json *twin = scan->twin == 0 ? NULL : &doc->values.items[scan->twin];
    bool ok = true;

    for (uint32_t i = 0; scan->many && i < doc->values.n && ok; i++) {
        const json *v = &doc->values.items[i];

        if (v->kind == QUICK_OBJECT && v->count > QUICK_FEW)
            ok = find_twin_of_many(v, &sorted, &twin);
    }
    list_clear(&sorted);
    if (!ok)
        return err_set(err, ERR_NOMEM, "%s", doc->name);
    return twin == NULL ? 0 : json_fault(doc, twin, err, "the member `%s` stands twice", twin->name);
}

/* What a document took serves the next one. Not where AddressSanitizer looks who reads a document that is gone. The
 * simulator has one thread. */
#ifdef __SANITIZE_ADDRESS__
enum { SPARE_MAX = 0 };
#else
enum { SPARE_MAX = 32 };
#endif
static struct {
    struct json_doc *first;
    int n;
} spare;

static struct json_doc *doc_take(void)
{
    struct json_doc *doc = spare.first;

    if (doc == NULL)
        return calloc(1, sizeof *doc);
    spare.first = doc->next;
    spare.n--;
    return doc;
}

static void doc_give(struct json_doc *doc)
{
    doc->values.n = doc->lines.n = 0;
    if (spare.n < SPARE_MAX) {
        doc->next = spare.first;
        spare.first = doc;
        spare.n++;
        return;
    }
    list_clear(&doc->values);
    list_clear(&doc->lines);
    free(doc->name);
    free(doc);
}

static bool doc_reserve(struct json_doc *doc, size_t room)
{
    if (room <= doc->room)
        return true;
    free(doc->name);
    doc->room = 0;
    doc->name = malloc(room);
    if (doc->name != NULL)
        doc->room = room;
    return doc->name != NULL;
}

/* The document with its name and a copy of the text. */
static struct json_doc *doc_new(const char *name, const char *text, size_t len)
{
    size_t n = strlen(name) + 1;
    struct json_doc *doc = doc_take();

    if (doc == NULL)
        return NULL;
    if (!doc_reserve(doc, n + len + QUICK_PAD)) {
        doc_give(doc);
        return NULL;
    }
    memcpy(doc->name, name, n);
    doc->strings = doc->name + n;
    memcpy(doc->strings, text, len);
    memset(doc->strings + len, 0, QUICK_PAD);
    return doc;
}

static int read_into(struct json_doc *doc, const char *text, size_t len, struct err *err)
{
    struct quick_scan scan = { .values = doc->values, .lines = doc->lines };
    bool ok = quick_scan(&scan, text, doc->strings, len);
    int rc;

    doc->values = scan.values;
    doc->lines = scan.lines;
    if (ok)
        rc = refuse_twins(doc, &scan, err);
    else if (scan.what == NULL)
        rc = err_set(err, ERR_NOMEM, "%s", doc->name);
    else
        rc = fault_at(doc->name, &doc->lines, scan.what_offset, scan.what, &scan.pointer, err);
    buf_clear(&scan.pointer);
    return rc;
}

/* Members are mostly asked for in the text's order: the search goes on where the last one in the same object ended. An
 * object within another, and the one that holds them, have places of their own. */
enum { CURSORS = 8 };
static struct found {
    const json *object, *member;
} found[CURSORS];

static inline struct found *cursor_of(const json *object)
{
    return &found[(uintptr_t)object / sizeof *object % CURSORS];
}

int json_parse(const char *name, const char *text, size_t len, struct json_doc **ret_doc, struct err *err)
{
    struct json_doc *doc;
    int rc;

    if (len > JSON_TEXT_MAX)
        return err_set(err, ERR_INVALID, "%s: larger than %u bytes", name, JSON_TEXT_MAX);
    doc = doc_new(name, text, len);
    if (doc == NULL)
        return err_set(err, ERR_NOMEM, "%s", name);
    rc = read_into(doc, text, len, err);
    if (rc == 0)
        *ret_doc = doc;
    else
        json_free(doc);
    return rc;
}

void json_free(struct json_doc *doc)
{
    if (doc == NULL)
        return;
    memset(found, 0, sizeof found);
    doc_give(doc);
}

const json *json_root(const struct json_doc *doc)
{
    return doc->values.items;
}

bool json_is_object(const json *v)
{
    return v != NULL && v->kind == QUICK_OBJECT;
}

bool json_is_array(const json *v)
{
    return v != NULL && v->kind == QUICK_ARRAY;
}

bool json_is_string(const json *v)
{
    return v != NULL && v->kind == QUICK_STRING;
}

bool json_is_int(const json *v)
{
    return v != NULL && v->kind == QUICK_INT;
}

bool json_is_bool(const json *v)
{
    return v != NULL && (v->kind == QUICK_TRUE || v->kind == QUICK_FALSE);
}

bool json_is_null(const json *v)
{
    return v != NULL && v->kind == QUICK_NULL;
}

static const json *behind(const json *object, const json *member)
{
    return member->last ? object + 1 : member + member->span;
}

/* Names are short: cheaper here than a call. */
static inline bool is_named(const json *member, const char *name)
{
    const char *a = member->name;

    for (; *a == *name; a++, name++)
        if (*a == '\0')
            return true;
    return false;
}

static const json *find_from(const json *object, const json *from, const char *key)
{
    for (const json *m = behind(object, from); m != from; m = behind(object, m))
        if (is_named(m, key))
            return m;
    return NULL;
}

const json *json_get(const json *object, const char *key)
{
    struct found *last = cursor_of(object);
    const json *m = last->member;

    if (m == NULL || last->object != object) {
        if (!json_is_object(object) || object->count == 0)
            return NULL;
        m = object + 1;
    }
    if (!is_named(m, key))
        m = find_from(object, m, key);
    if (m != NULL)
        *last = (struct found){ object, behind(object, m) };
    return m;
}

const json *json_first(const json *array_or_object)
{
    return json_count(array_or_object) == 0 ? NULL : array_or_object + 1;
}

const json *json_next(const json *item)
{
    return item->last ? NULL : item + item->span;
}

const char *json_key(const json *member)
{
    return member->name;
}

uint32_t json_count(const json *array_or_object)
{
    return json_is_object(array_or_object) || json_is_array(array_or_object) ? array_or_object->count : 0;
}

const char *json_raw(const json *v, const char *text, size_t *ret_len)
{
    assert(json_is_object(v) || json_is_array(v));
    *ret_len = v->end - v->offset;
    return text + v->offset;
}

const char *json_str(const json *v, const char *otherwise)
{
    return json_is_string(v) ? v->text : otherwise;
}

int64_t json_int(const json *v, int64_t otherwise)
{
    return json_is_int(v) ? v->number : otherwise;
}

bool json_bool(const json *v, bool otherwise)
{
    return json_is_bool(v) ? v->kind == QUICK_TRUE : otherwise;
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
