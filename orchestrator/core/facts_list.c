#include "orchestrator/core/facts_list.h"

#include <assert.h>
#include <string.h>

#define ITEMS_MAX (1u << 20) /* of one list; steps could else name more than memory holds */

static const void *item_of(const struct facts_kind *k, struct facts_items list, uint32_t i)
{
    return (const char *)list.items + i * k->bytes;
}

static const char *id_of(const void *item)
{
    return *(const char *const *)item;
}

void facts_write_list(struct json_writer *w, const char *key, const struct facts_kind *k,
                      struct facts_items list)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < list.n; i++) {
        jw_object(w, NULL);
        k->write(w, item_of(k, list, i));
        jw_object_end(w);
    }
    jw_array_end(w);
}

/* --- writing steps --- */

/* Two items are the same when they are written the same: no field can be forgotten here. */
struct likeness {
    const struct facts_kind *kind;
    dur_ms later;
    struct buf old, now;
    union {
        struct vm_seen vm;
        struct view_group group;
    } aged;
};

static void write_item(struct buf *b, const struct facts_kind *k, const void *item)
{
    struct json_writer w;

    buf_reset(b);
    jw_init(&w, b);
    jw_object(&w, NULL);
    k->write(&w, item);
    jw_object_end(&w);
}

bool facts_same_text(const char **a, const char **b)
{
    bool same = *a == *b || (*a != NULL && *b != NULL && strcmp(*a, *b) == 0);

    *a = *b = NULL;
    return same;
}

bool facts_same_rest(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0; /* what stands between the fields may differ: then it is not sure */
}

bool facts_same_texts(const char *const **a, const char *const **b, uint32_t n_a, uint32_t n_b)
{
    bool same = n_a == n_b;

    for (uint32_t i = 0; i < n_a && same; i++)
        same = strcmp((*a)[i], (*b)[i]) == 0;
    *a = *b = NULL;
    return same;
}

static bool alike(struct likeness *l, const void *old, const void *now)
{
    if (l->kind->age != NULL) {
        assert(l->kind->bytes <= sizeof l->aged);
        memcpy(&l->aged, old, l->kind->bytes);
        l->kind->age(&l->aged, l->later);
        old = &l->aged;
    }
    if (l->kind->same != NULL && l->kind->same(old, now))
        return true;
    write_item(&l->old, l->kind, old);
    write_item(&l->now, l->kind, now);
    return !l->old.failed && !l->now.failed && strcmp(buf_text(&l->old), buf_text(&l->now)) == 0;
}

bool facts_alike(const struct facts_kind *k, const void *a, const void *b)
{
    struct likeness l = { .kind = k };
    bool same = alike(&l, a, b);

    buf_clear(&l.old);
    buf_clear(&l.now);
    return same;
}

/* Where an item of that id stands, looked for from `from` on and round; or IX_NONE. */
static uint32_t find_from(const struct facts_kind *k, struct facts_items old, uint32_t from, const char *id)
{
    for (uint32_t i = 0; i < old.n; i++) {
        uint32_t at = (from + i) % old.n;

        if (strcmp(id_of(item_of(k, old, at)), id) == 0)
            return at;
    }
    return IX_NONE;
}

struct run {
    uint32_t from, n;
};

static void end_run(struct json_writer *w, struct run *r)
{
    if (r->n == 0)
        return;
    jw_array(w, NULL);
    jw_int(w, NULL, r->from);
    jw_int(w, NULL, r->n);
    jw_array_end(w);
    r->n = 0;
}

static void write_steps(struct json_writer *w, struct likeness *l, struct facts_items old,
                        struct facts_items now)
{
    struct run run = { 0 };
    uint32_t next = 0;

    for (uint32_t i = 0; i < now.n; i++) {
        const void *item = item_of(l->kind, now, i);
        uint32_t at = find_from(l->kind, old, next, id_of(item));
        bool same = at != IX_NONE && alike(l, item_of(l->kind, old, at), item);

        next = at == IX_NONE ? next : at + 1;
        if (!same || run.n == 0 || at != run.from + run.n)
            end_run(w, &run);
        if (same) {
            run.from = run.n == 0 ? at : run.from;
            run.n++;
        } else {
            jw_object(w, NULL);
            l->kind->write(w, item);
            jw_object_end(w);
        }
    }
    end_run(w, &run);
}

static bool all_alike(struct likeness *l, struct facts_items old, struct facts_items now)
{
    for (uint32_t i = 0; i < now.n && i < old.n; i++)
        if (!alike(l, item_of(l->kind, old, i), item_of(l->kind, now, i)))
            return false;
    return old.n == now.n;
}

void facts_write_steps(struct json_writer *w, const char *key, const struct facts_kind *k,
                       struct facts_items old, struct facts_items now, dur_ms later)
{
    struct likeness l = { .kind = k, .later = later };

    if (!all_alike(&l, old, now)) {
        jw_array(w, key);
        write_steps(w, &l, old, now);
        jw_array_end(w);
    }
    buf_clear(&l.old);
    buf_clear(&l.now);
}

/* The gain that most VMs have in common (Boyer and Moore's vote): those that were started anew do not decide. */
dur_ms facts_vms_later(struct facts_items old, struct facts_items now)
{
    dur_ms chosen = 0;
    uint32_t votes = 0, next = 0;

    for (uint32_t i = 0; i < now.n; i++) {
        const struct vm_seen *vm = item_of(&facts_vms, now, i), *was;
        uint32_t at = find_from(&facts_vms, old, next, vm->vm.id);

        if (at == IX_NONE)
            continue;
        next = at + 1;
        was = item_of(&facts_vms, old, at);
        if (was->uptime_ms <= 0 || vm->uptime_ms <= 0)
            continue;
        if (votes == 0)
            chosen = vm->uptime_ms - was->uptime_ms;
        votes = vm->uptime_ms - was->uptime_ms == chosen ? votes + 1 : votes - 1;
    }
    return chosen;
}

/* --- reading --- */

/* Room for n items, or NULL with the fault set. */
static char *room_for(struct fields *f, const struct facts_kind *k, uint32_t n, struct arena *lists)
{
    char *items = f->rc == 0 ? arena_array(lists, n, k->bytes) : NULL;

    if (items == NULL && f->rc == 0)
        f->rc = err_set(f->err, ERR_NOMEM, "read a list");
    return items;
}

struct facts_items facts_read_list(struct fields *f, const json *o, const char *key,
                                   const struct facts_kind *k, struct arena *lists)
{
    const json *array = fields_array(f, o, key, JSON_REQUIRED);
    struct facts_items none = { 0 };
    char *items = room_for(f, k, json_count(array), lists);
    uint32_t n = 0;

    for (const json *v = json_first(array); v != NULL && f->rc == 0; v = json_next(v), n++) {
        if (!json_is_object(v))
            fields_fault(f, v, "must be an object");
        else
            k->read(f, v, items + n * k->bytes);
    }
    return f->rc == 0 ? (struct facts_items){ items, n } : none;
}

static struct run read_run(struct fields *f, const json *v, uint32_t n_old)
{
    bool pair = json_is_array(v) && json_count(v) == 2;
    int64_t a = pair ? json_int(json_first(v), -1) : -1;
    int64_t b = pair ? json_int(json_next(json_first(v)), -1) : -1;

    if (a < 0 || b < 1 || a > n_old || b > n_old - a) {
        fields_fault(f, v, "must be an item, or [from, count] within the older list");
        return (struct run){ 0 };
    }
    return (struct run){ (uint32_t)a, (uint32_t)b };
}

/* How many items the steps give. */
static uint32_t count_steps(struct fields *f, const json *steps, uint32_t n_old)
{
    uint32_t n = 0;

    for (const json *v = json_first(steps); v != NULL && f->rc == 0; v = json_next(v)) {
        n += json_is_object(v) ? 1 : read_run(f, v, n_old).n;
        if (n > ITEMS_MAX)
            fields_fault(f, v, "too many items");
    }
    return n;
}

static void take_run(const struct facts_kind *k, struct facts_items old, struct run r, dur_ms later, char *to)
{
    if (r.n > 0)
        memcpy(to, item_of(k, old, r.from), r.n * k->bytes);
    for (uint32_t i = 0; i < r.n && k->age != NULL; i++)
        k->age(to + i * k->bytes, later);
}

struct facts_items facts_read_steps(struct fields *f, const json *o, const char *key,
                                    const struct facts_kind *k, struct facts_items old, dur_ms later,
                                    struct arena *lists)
{
    const json *steps = fields_array(f, o, key, JSON_OPTIONAL);
    struct facts_items none = { 0 };
    uint32_t n = steps == NULL ? old.n : count_steps(f, steps, old.n), at = 0;
    char *items = room_for(f, k, n, lists);

    if (steps == NULL && f->rc == 0)
        take_run(k, old, (struct run){ 0, n }, later, items);
    for (const json *v = json_first(steps); v != NULL && f->rc == 0; v = json_next(v)) {
        struct run r = json_is_object(v) ? (struct run){ 0, 1 } : read_run(f, v, old.n);

        if (json_is_object(v))
            k->read(f, v, items + at * k->bytes);
        else
            take_run(k, old, r, later, items + at * k->bytes);
        at += r.n;
    }
    return f->rc == 0 ? (struct facts_items){ items, n } : none;
}
