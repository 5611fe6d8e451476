/* Questions to a finished rollout. */
#include "orchestrator/core/rollout.h"

#include "orchestrator/core/rollout_names.h"

#include <string.h>

static bool covers(const struct waiver *w, const char *cluster)
{
    if (cluster == NULL)
        return true;
    if (w->cluster != NULL)
        return strcmp(w->cluster, cluster) == 0;
    for (unsigned i = 0; i < sizeof waiver_kinds / sizeof *waiver_kinds; i++)
        if (strcmp(waiver_kinds[i].what, w->what) == 0)
            return !waiver_kinds[i].names_cluster;
    return false;
}

bool rollout_waives(const struct rollout *r, const char *what, const char *cluster)
{
    for (uint32_t i = 0; i < r->n_waivers; i++) {
        const struct waiver *w = &r->waivers[i];

        if (strcmp(w->what, what) != 0)
            continue;
        if (covers(w, cluster))
            return true;
    }
    return false;
}

const struct consent *rollout_consent(const struct rollout *r, const char *vm)
{
    uint32_t lo = 0, hi = r->n_consents;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int order = strcmp(vm, r->consents[mid].vm);

        if (order == 0)
            return &r->consents[mid];
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static bool named(const char *const *names, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

bool rollout_covers(const struct rollout *r, const struct inventory *inv, uint32_t node)
{
    const struct node *n = &inv->nodes[node];

    if (r->n_clusters > 0 && !named(r->clusters, r->n_clusters, inv->clusters[n->cluster].id))
        return false;
    if (r->n_nodes > 0 && !named(r->nodes, r->n_nodes, n->id))
        return false;
    return !named(r->exclude, r->n_exclude, n->id);
}

/* One entry's size of n nodes, before what is left limits it. */
static uint32_t entry_size(const struct wave_entry *e, uint32_t n)
{
    uint64_t size = e->percent ? (uint64_t)e->number * n / 100 : e->number;

    if (size == 0)
        return 1;
    return size > n ? n : (uint32_t)size;
}

int rollout_cut(const struct rollout *r, uint32_t n, struct arena *a, uint32_t **ret_sizes, uint32_t *ret_n,
                struct err *err)
{
    uint32_t *sizes = ARENA_ARRAY(a, uint32_t, n);
    uint32_t waves = 0;

    if (sizes == NULL)
        return err_set(err, ERR_NOMEM, "cut waves");
    for (uint32_t left = n; left > 0; waves++) {
        uint32_t size = entry_size(&r->waves[waves < r->n_waves ? waves : r->n_waves - 1], n);

        sizes[waves] = size < left ? size : left;
        left -= sizes[waves];
    }
    *ret_sizes = sizes;
    *ret_n = waves;
    return 0;
}
