#include "orchestrator/core/event_pictures.h"

#include "orchestrator/core/picture.h"

#include <stdlib.h>
#include <string.h>

static void kept_clear(struct kept_picture *k)
{
    arena_clear(&k->texts);
    arena_clear(&k->lists[0]);
    arena_clear(&k->lists[1]);
    *k = (struct kept_picture){ 0 };
}

void event_pictures_clear(struct event_pictures *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        kept_clear(&p->items[i]);
    free(p->items);
    *p = (struct event_pictures){ 0 };
}

void event_pictures_forget(struct event_pictures *p, uint32_t cluster)
{
    if (cluster < p->n)
        kept_clear(&p->items[cluster]);
}

const struct kept_picture *event_picture(const struct event_pictures *p, uint32_t cluster)
{
    if (p == NULL || cluster >= p->n || p->items[cluster].id[0] == '\0')
        return NULL;
    return &p->items[cluster];
}

static struct kept_picture *room_of(struct event_pictures *p, const struct inventory *inv, uint32_t cluster)
{
    if (p->items == NULL) {
        p->items = calloc(inv->n_clusters, sizeof *p->items);
        p->n = p->items == NULL ? 0 : inv->n_clusters;
    }
    return cluster < p->n ? &p->items[cluster] : NULL;
}

/* Items that were replaced leave their texts behind. Once those outweigh the rest, the picture is written whole
 * and read again into memory of its own. */
#define TEXTS_SPARE ((size_t)16 << 10)

static int read_whole(const struct buf *text, const struct inventory *inv, struct kept_picture *fresh)
{
    struct fields f = { .arena = &fresh->texts };
    struct json_doc *doc = NULL;

    f.rc = text->failed ? ERR_NOMEM : json_parse("picture", text->data, text->len, &doc, NULL);
    f.doc = doc;
    if (f.rc == 0)
        picture_read(&f, json_root(doc), inv, NULL, &fresh->lists[0], &fresh->now);
    json_free(doc);
    return f.rc;
}

static void tidy(struct kept_picture *k, const struct inventory *inv)
{
    struct kept_picture fresh = { 0 };
    struct buf text = BUF_INIT;
    struct json_writer w;

    if (k->id[0] == '\0' || k->texts.bytes <= 2 * k->whole_bytes + TEXTS_SPARE)
        return;
    jw_init(&w, &text);
    jw_object(&w, NULL);
    picture_write(&w, &k->now, inv);
    jw_object_end(&w);
    if (read_whole(&text, inv, &fresh) == 0) {
        memcpy(fresh.id, k->id, sizeof fresh.id);
        fresh.whole_bytes = fresh.texts.bytes;
        kept_clear(k);
        *k = fresh;
    } else {
        kept_clear(&fresh); /* no memory now: later */
    }
    buf_clear(&text);
}

static void name_picture(char id[PICTURE_ID], const char *text, size_t len)
{
    char hash[SHA256_TEXT];

    sha256_text(text, len, hash);
    memcpy(id, hash, PICTURE_ID - 1);
    id[PICTURE_ID - 1] = '\0';
}

/* A whole picture needs nothing of the one before. */
static void take_whole(struct fields *f, const json *event, const struct inventory *inv,
                       struct kept_picture *k)
{
    struct kept_picture fresh = { 0 };
    struct arena *given = f->arena;

    f->arena = &fresh.texts;
    picture_read(f, event, inv, NULL, &fresh.lists[0], &fresh.now);
    f->arena = given;
    fresh.whole_bytes = fresh.texts.bytes;
    kept_clear(f->rc == 0 ? k : &fresh);
    if (f->rc == 0)
        *k = fresh;
}

static void take_changes(struct fields *f, const json *event, const struct inventory *inv,
                         struct kept_picture *k)
{
    struct arena *lists;
    struct picture next;

    tidy(k, inv);
    lists = &k->lists[1 - k->turn];
    arena_reset(lists);
    f->arena = &k->texts;
    picture_read(f, event, inv, k, lists, &next);
    if (f->rc != 0)
        return;
    k->now = next;
    k->turn = 1 - k->turn;
}

void picture_take(struct fields *f, const json *event, const struct inventory *inv, struct event_pictures *p,
                  uint32_t cluster, const char *text, size_t len, struct picture *ret)
{
    struct kept_picture *k = room_of(p, inv, cluster);

    if (k == NULL) {
        f->rc = err_set(f->err, ERR_NOMEM, "keep a picture");
        return;
    }
    if (json_get(event, "base") == NULL)
        take_whole(f, event, inv, k);
    else
        take_changes(f, event, inv, k);
    if (f->rc != 0)
        return;
    name_picture(k->id, text, len);
    *ret = k->now;
}
