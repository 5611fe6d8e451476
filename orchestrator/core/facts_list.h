/* The lists that a cluster's picture is made of, item by item: read and
 * written whole (the driver's words), or as the steps that make one list out
 * of an older one (event_pictures.h). */
#ifndef PATCHWAVE_FACTS_LIST_H
#define PATCHWAVE_FACTS_LIST_H

#include "orchestrator/core/facts.h"
#include "orchestrator/core/fields.h"

/* One kind of item. Its struct begins with its id. */
struct facts_kind {
    size_t bytes;
    void (*read)(struct fields *f, const json *o, void *item);
    void (*write)(struct json_writer *w, const void *item); /* members into an open object */
    void (*age)(void *item, dur_ms later);                  /* what time alone changes; NULL: nothing */
    bool (*same)(const void *a,
                 const void *b); /* bit by bit and text by text, quickly; NULL, or false: not sure */
};
extern const struct facts_kind facts_view_nodes, facts_view_groups, facts_view_csvs;
extern const struct facts_kind facts_disks, facts_jobs, facts_vms;

/* For `same`: are the two texts (lists of n texts) alike? Both pointers become NULL, so that what is left of the copies
 * that they stand in can be compared byte by byte: a pointer that is forgotten makes them differ. */
bool facts_same_text(const char **a, const char **b);
bool facts_same_rest(const void *a, const void *b, size_t bytes);
bool facts_same_texts(const char *const **a, const char *const **b, uint32_t n_a, uint32_t n_b);

struct facts_items {
    const void *items;
    uint32_t n;
};

void facts_write_list(struct json_writer *w, const char *key, const struct facts_kind *k,
                      struct facts_items list);
/* An array of objects; the items come from `lists`, what they point to from
 * f->arena. */
struct facts_items facts_read_list(struct fields *f, const json *o, const char *key,
                                   const struct facts_kind *k, struct arena *lists);

/* Steps: [from, count] takes so many items of the older list as they stand
 * there (each aged by `later`), an object is an item of its own. Nothing is
 * written when the older list, aged, is the list. */
void facts_write_steps(struct json_writer *w, const char *key, const struct facts_kind *k,
                       struct facts_items old, struct facts_items now, dur_ms later);
/* An absent member: the older list, aged. */
struct facts_items facts_read_steps(struct fields *f, const json *o, const char *key,
                                    const struct facts_kind *k, struct facts_items old, dur_ms later,
                                    struct arena *lists);
/* By how much the items that stand in both lists are older; 0 when they do not age. */
dur_ms facts_vms_later(struct facts_items old, struct facts_items now);

/* Are they written the same? */
bool facts_alike(const struct facts_kind *k, const void *a, const void *b);

/* A view and its storage with the items in `lists`, whole or as what changed. */
void facts_read_view(struct fields *f, const json *o, struct arena *lists, struct cluster_view *ret);
void facts_read_disks(struct fields *f, const json *o, struct arena *lists, struct storage_view *ret);
void facts_write_view_changes(struct json_writer *w, const struct cluster_view *old,
                              const struct cluster_view *now);
void facts_read_view_changes(struct fields *f, const json *o, const struct cluster_view *old,
                             struct arena *lists, struct cluster_view *ret);
void facts_write_storage_changes(struct json_writer *w, const struct storage_view *old,
                                 const struct storage_view *now);
void facts_read_storage_changes(struct fields *f, const json *o, const struct storage_view *old,
                                struct arena *lists, struct storage_view *ret);

#endif
