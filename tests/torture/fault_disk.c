#include "tests/torture/fault_disk.h"

#include "schema/prng.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk *disk_now;
unsigned disk_quiet;

static void *must_be(void *p)
{
    disk_quiet--;
    if (p == NULL)
        abort();
    return p;
}
/* The test's own memory, not what is tested. */
#define must(p) (disk_quiet++, must_be(p))

struct disk *disk_new(void)
{
    return must(calloc(1, sizeof(struct disk)));
}

static void reserve(uint8_t **bytes, int64_t *room, int64_t size)
{
    int64_t want = *room == 0 ? 65536 : *room;

    while (want < size)
        want *= 2;
    if (want == *room)
        return;
    *bytes = must(realloc(*bytes, (size_t)want));
    memset(*bytes + *room, 0, (size_t)(want - *room));
    *room = want;
}

static struct disk_file *add_file(struct disk *d)
{
    struct disk_file *f = must(calloc(1, sizeof *f));

    *(struct disk_file **)must(list_push(&d->files)) = f;
    return f;
}

static struct disk_name *find_name(const struct disk_names *l, const char *name)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, name) == 0)
            return &l->items[i];
    return NULL;
}

static void add_name(struct disk_names *l, const char *name, struct disk_file *f)
{
    struct disk_name *n = must(list_push(l));

    assert(strlen(name) < sizeof n->name);
    snprintf(n->name, sizeof n->name, "%s", name);
    n->file = f;
    f->named = true;
}

static void remove_name(struct disk_names *l, struct disk_name *n)
{
    *n = l->items[--l->n];
}

struct disk_file *disk_find(const char *name)
{
    struct disk_name *n = find_name(&disk_now->live, name);

    return n == NULL ? NULL : n->file;
}

struct disk_file *disk_make(const char *name)
{
    struct disk_file *f = add_file(disk_now);

    if (name != NULL)
        add_name(&disk_now->live, name, f);
    return f;
}

bool disk_unlink(const char *name)
{
    struct disk_name *n = find_name(&disk_now->live, name);

    if (n != NULL)
        remove_name(&disk_now->live, n);
    return n != NULL;
}

bool disk_rename(const char *from, const char *to)
{
    struct disk_file *f = disk_find(from);

    if (f == NULL)
        return false;
    disk_unlink(from);
    disk_unlink(to);
    add_name(&disk_now->live, to, f);
    return true;
}

void disk_sync_folder(void)
{
    list_clear(&disk_now->kept);
    for (uint32_t i = 0; i < disk_now->live.n; i++)
        add_name(&disk_now->kept, disk_now->live.items[i].name, disk_now->live.items[i].file);
}

uint32_t disk_count(void)
{
    return disk_now->live.n;
}

static void set_size(uint8_t **bytes, int64_t *room, int64_t *size, int64_t to)
{
    reserve(bytes, room, to);
    if (to < *size)
        memset(*bytes + to, 0, (size_t)(*size - to));
    *size = to;
}

static void put(uint8_t **bytes, int64_t *room, int64_t *size, const void *from, uint32_t len, int64_t at)
{
    if (at + len > *size)
        set_size(bytes, room, size, at + len);
    memcpy(*bytes + at, from, len);
}

static void remember(struct disk_file *f, const void *bytes, uint32_t len, int64_t at)
{
    struct disk_change *c = must(list_push(&f->changes));

    *c = (struct disk_change){ .at = at, .len = len, .size_after = f->size };
    if (bytes != NULL)
        c->bytes = memcpy(must(malloc(len == 0 ? 1 : len)), bytes, len);
}

void disk_write(struct disk_file *f, const void *bytes, uint32_t len, int64_t at)
{
    put(&f->live, &f->room, &f->size, bytes, len, at);
    remember(f, bytes, len, at);
}

void disk_truncate(struct disk_file *f, int64_t size)
{
    set_size(&f->live, &f->room, &f->size, size);
    remember(f, NULL, 0, size);
}

static void forget_changes(struct disk_file *f)
{
    for (uint32_t i = 0; i < f->changes.n; i++)
        free(f->changes.items[i].bytes);
    list_clear(&f->changes);
}

void disk_sync(struct disk_file *f)
{
    for (uint32_t i = 0; i < f->changes.n; i++) {
        const struct disk_change *c = &f->changes.items[i];

        if (c->bytes != NULL)
            put(&f->kept, &f->kept_room, &f->kept_size, c->bytes, c->len, c->at);
        else
            set_size(&f->kept, &f->kept_room, &f->kept_size, c->at);
    }
    forget_changes(f);
}

static void file_free(struct disk_file *f)
{
    forget_changes(f);
    for (uint32_t i = 0; i < f->shm.n; i++)
        free(f->shm.items[i]);
    list_clear(&f->shm);
    free(f->live);
    free(f->kept);
    free(f);
}

void disk_free(struct disk *d)
{
    if (d == NULL)
        return;
    for (uint32_t i = 0; i < d->files.n; i++)
        file_free(d->files.items[i]);
    list_clear(&d->files);
    list_clear(&d->live);
    list_clear(&d->kept);
    free(d);
}

void disk_drop_dirty(struct disk_file *f)
{
    forget_changes(f);
}

static void settle(struct disk_file *f, const uint8_t *bytes, int64_t size)
{
    set_size(&f->live, &f->room, &f->size, size);
    set_size(&f->kept, &f->kept_room, &f->kept_size, size);
    if (size > 0) {
        memcpy(f->live, bytes, (size_t)size);
        memcpy(f->kept, bytes, (size_t)size);
    }
}

void disk_plant(const char *name, const void *bytes, int64_t len)
{
    struct disk_file *f = disk_find(name);

    settle(f == NULL ? disk_make(name) : f, bytes, len);
    disk_sync_folder();
}

/* --- the cut --- */

struct cut {
    struct prng prng;
    uint32_t permille; /* of what is unsynced that arrives */
    uint8_t *stuck;    /* sectors that got their last write */
    int64_t n_sectors;
    uint8_t *bytes;
    int64_t room, size;
};

/* Of each sector a prefix of its writes arrives; the one after it perhaps in part. */
static void cut_write(struct cut *k, const struct disk_change *c)
{
    for (int64_t from = c->at, end = c->at + c->len; from < end;) {
        int64_t sector = from / DISK_SECTOR, to = (sector + 1) * DISK_SECTOR;
        uint32_t len = (uint32_t)((to < end ? to : end) - from);

        if (!k->stuck[sector]) {
            if (!prng_permille(&k->prng, k->permille)) {
                k->stuck[sector] = 1;
                len = prng_permille(&k->prng, 250) ? (uint32_t)prng_below(&k->prng, len) : 0;
            }
            reserve(&k->bytes, &k->room, from + len);
            memcpy(k->bytes + from, c->bytes + (from - c->at), len);
        }
        from = to;
    }
}

static int64_t highest(const struct disk_file *f)
{
    int64_t top = f->kept_size > f->size ? f->kept_size : f->size;

    for (uint32_t i = 0; i < f->changes.n; i++)
        if (f->changes.items[i].at + f->changes.items[i].len > top)
            top = f->changes.items[i].at + f->changes.items[i].len;
    return top;
}

static int64_t cut_size(struct cut *k, const struct disk_file *f)
{
    uint64_t which =
        prng_permille(&k->prng, k->permille) ? f->changes.n : prng_below(&k->prng, f->changes.n + 1u);

    return which == 0 ? f->kept_size : f->changes.items[which - 1].size_after;
}

/* What never reached the platter reads as zeros, or as what lay there before. */
static void fill(struct cut *k, int64_t from, int64_t to)
{
    bool junk = prng_permille(&k->prng, 500);

    for (int64_t i = from; i < to; i++)
        k->bytes[i] = junk ? (uint8_t)prng_next(&k->prng) : 0;
}

static void cut_file(struct cut *k, const struct disk_file *f, struct disk_file *to)
{
    int64_t top = highest(f);

    k->n_sectors = top / DISK_SECTOR + 1;
    k->stuck = must(calloc((size_t)k->n_sectors, 1));
    reserve(&k->bytes, &k->room, top);
    fill(k, f->kept_size, top);
    if (f->kept_size > 0)
        memcpy(k->bytes, f->kept, (size_t)f->kept_size);
    for (uint32_t i = 0; i < f->changes.n; i++)
        if (f->changes.items[i].bytes != NULL)
            cut_write(k, &f->changes.items[i]);
    settle(to, k->bytes, f->changes.n == 0 ? f->kept_size : cut_size(k, f));
    free(k->stuck);
}

static struct disk_file *copy_of(struct disk *to, const struct disk *from, const struct disk_file *f,
                                 struct disk_file **copies)
{
    for (uint32_t i = 0; i < from->files.n; i++)
        if (from->files.items[i] == f) {
            if (copies[i] == NULL)
                copies[i] = add_file(to);
            return copies[i];
        }
    abort();
}

static void copy_names(struct disk *to, const struct disk *from, const struct disk_names *names,
                       struct disk_file **copies)
{
    for (uint32_t i = 0; i < names->n; i++)
        add_name(&to->live, names->items[i].name, copy_of(to, from, names->items[i].file, copies));
    for (uint32_t i = 0; i < to->live.n; i++)
        add_name(&to->kept, to->live.items[i].name, to->live.items[i].file);
}

struct disk *disk_cut(const struct disk *d, uint64_t seed)
{
    static const uint32_t permilles[] = { 0, 100, 500, 900, 1000 };
    struct disk *to = disk_new();
    struct disk_file **copies = must(calloc(d->files.n + 1, sizeof *copies));
    struct cut k = { 0 };

    prng_init(&k.prng, seed);
    k.permille = permilles[prng_below(&k.prng, sizeof permilles / sizeof permilles[0])];
    copy_names(to, d, prng_permille(&k.prng, k.permille) ? &d->live : &d->kept, copies);
    for (uint32_t i = 0; i < d->files.n; i++)
        if (copies[i] != NULL)
            cut_file(&k, d->files.items[i], copies[i]);
    free(k.bytes);
    free(copies);
    return to;
}

struct disk *disk_kill(const struct disk *d)
{
    struct disk *to = disk_new();
    struct disk_file **copies = must(calloc(d->files.n + 1, sizeof *copies));

    copy_names(to, d, &d->live, copies);
    for (uint32_t i = 0; i < d->files.n; i++)
        if (copies[i] != NULL)
            settle(copies[i], d->files.items[i]->live, d->files.items[i]->size);
    free(copies);
    return to;
}
