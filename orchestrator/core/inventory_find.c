#include "orchestrator/core/inventory.h"

#include <string.h>

/* Lists are sorted by their first member, the id. */
static uint32_t find(const void *items, uint32_t n, size_t size, const char *id)
{
    uint32_t lo = 0, hi = n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const char *const *at = (const void *)((const char *)items + mid * size);
        int order = strcmp(id, *at);

        if (order == 0)
            return mid;
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return IX_NONE;
}

uint32_t inventory_node(const struct inventory *inv, const char *id)
{
    return find(inv->nodes, inv->n_nodes, sizeof *inv->nodes, id);
}

uint32_t inventory_cluster(const struct inventory *inv, const char *id)
{
    return find(inv->clusters, inv->n_clusters, sizeof *inv->clusters, id);
}

uint32_t inventory_vm(const struct inventory *inv, const char *id)
{
    return find(inv->vms, inv->n_vms, sizeof *inv->vms, id);
}

const struct sla_class *inventory_sla(const struct inventory *inv, const char *name)
{
    uint32_t at = find(inv->sla_classes, inv->n_sla_classes, sizeof *inv->sla_classes, name);

    return at == IX_NONE ? NULL : &inv->sla_classes[at];
}
