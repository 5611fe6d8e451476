/* The last cluster picture that stands in a run's log, per cluster, so that
 * the next one is told as the difference from it: most of a log would else be
 * VMs that have not moved. Writer and reader keep one each and stay in step,
 * because both take each picture from its text. A text names its base; one
 * that is not kept here is refused, never guessed. Zeroed memory keeps
 * nothing: the next picture of each cluster is written whole. */
#ifndef PATCHWAVE_EVENT_PICTURES_H
#define PATCHWAVE_EVENT_PICTURES_H

#include "orchestrator/core/facts.h"
#include "schema/arena.h"
#include "schema/sha256.h"

#define PICTURE_ID 17 /* 16 hex digits of SHA-256 over the event's text, and the NUL */

/* What one look at a cluster showed. */
struct picture {
    struct cluster_view view;
    struct storage_view storage;
    const struct vms_seen *vms;
    const uint32_t *nodes; /* who answered, by index */
    uint32_t n_nodes;
};

struct kept_picture {
    char id[PICTURE_ID]; /* "": none */
    struct picture now;
    struct arena texts;    /* of every item since it was whole */
    struct arena lists[2]; /* the present lists, and those before */
    uint32_t turn;
    size_t whole_bytes; /* of texts, when it was whole */
};

struct event_pictures {
    struct kept_picture *items; /* per cluster */
    uint32_t n;
};

/* Forget all, give the memory back. Also what a writer does whose text was not kept. */
void event_pictures_clear(struct event_pictures *p);

void event_pictures_forget(struct event_pictures *p, uint32_t cluster);

/* For event_write and event_read. NULL where nothing is kept of the cluster. */
const struct kept_picture *event_picture(const struct event_pictures *p, uint32_t cluster);

#endif
