/* Packing for the checker: what fits beside what, and what one loss does. */
#include "orchestrator/core/plan_verify.h"

#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 200000

bool book_owns(const struct book *b, uint32_t vm, uint32_t node)
{
    const struct vm *v = &b->inv->vms[vm];

    if (b->inv->nodes[node].cluster != v->cluster)
        return false;
    for (uint32_t i = 0; i < v->n_owners; i++)
        if (v->owners[i] == node)
            return true;
    return v->n_owners == 0;
}

static bool is_hard(const struct cluster *c, const char *class)
{
    for (uint32_t i = 0; i < c->n_hard; i++)
        if (strcmp(c->hard_classes[i], class) == 0)
            return true;
    return c->enforced_anti_affinity;
}

static bool has_class(const struct vm *v, const char *class)
{
    for (uint32_t i = 0; i < v->n_anti; i++)
        if (strcmp(v->anti_affinity[i], class) == 0)
            return true;
    return false;
}

/* Are two nodes one place for this class? */
static bool same_place(const struct book *b, const char *class, uint32_t x, uint32_t y)
{
    if (strncmp(class, "domain:", 7) == 0)
        return strcmp(b->inv->nodes[x].fault_domain, b->inv->nodes[y].fault_domain) == 0;
    return x == y;
}

bool book_conflict(const struct book *b, uint32_t vm, uint32_t node)
{
    const struct vm *v = &b->inv->vms[vm];
    const struct cluster *c = &b->inv->clusters[v->cluster];

    for (uint32_t k = 0; k < v->n_anti; k++) {
        if (!is_hard(c, v->anti_affinity[k]))
            continue;
        for (uint32_t i = 0; i < c->n_vms; i++) {
            uint32_t other = c->vms[i];

            if (other != vm && !b->down[other] && b->at[other] != IX_NONE &&
                same_place(b, v->anti_affinity[k], b->at[other], node) &&
                has_class(&b->inv->vms[other], v->anti_affinity[k]))
                return true;
        }
    }
    return false;
}

/* The VMs of one lost node, looking for places. */
struct loss {
    struct book *b; /* a copy of the books: places are tried in it */
    const struct cluster *c;
    uint32_t *vms, n;
    uint32_t lost;
    uint32_t tries;
    bool no_memory;
};

static int64_t restart_mib(const struct loss *l, uint32_t i)
{
    return (int64_t)l->b->inv->vms[l->vms[i]].startup_mib;
}

/* Tightest first: sort the nodes anew for each VM, by free memory. */
static uint32_t candidates(const struct loss *l, uint32_t i, uint32_t *nodes)
{
    uint32_t n = 0;

    for (uint32_t k = 0; k < l->c->n_nodes; k++) {
        uint32_t node = l->c->nodes[k], at = n;

        if (node == l->lost || l->b->is_out[node] || l->b->free_mib[node] < restart_mib(l, i) ||
            !book_owns(l->b, l->vms[i], node) || book_conflict(l->b, l->vms[i], node))
            continue;
        for (; at > 0 && l->b->free_mib[nodes[at - 1]] > l->b->free_mib[node]; at--)
            nodes[at] = nodes[at - 1];
        nodes[at] = node;
        n++;
    }
    return n;
}

static bool place_rest(struct loss *l, uint32_t i)
{
    uint32_t *nodes, n;
    bool placed = false;

    if (i == l->n)
        return true;
    nodes = malloc(l->c->n_nodes * sizeof *nodes);
    if (nodes == NULL) {
        l->no_memory = true;
        return true;
    }
    n = candidates(l, i, nodes);
    for (uint32_t k = 0; k < n && !placed && l->tries < TRIES_MAX; k++) {
        l->tries++;
        l->b->at[l->vms[i]] = nodes[k];
        l->b->free_mib[nodes[k]] -= restart_mib(l, i);
        placed = place_rest(l, i + 1);
        l->b->free_mib[nodes[k]] += restart_mib(l, i);
        l->b->at[l->vms[i]] = IX_NONE;
    }
    free(nodes);
    return placed;
}

static bool must_restart(const struct inventory *inv, const struct vm *v)
{
    const struct sla_class *sla = v->sla == NULL ? NULL : inventory_sla(inv, v->sla);

    return v->priority >= 3000 || v->role != ROLE_NONE || (sla != NULL && sla->must_restart);
}

static bool restarts(const struct inventory *inv, const struct vm *v, enum reserve_rung rung)
{
    return v->clustered && !v->local_disk && (rung == RESERVE_FULL || must_restart(inv, v));
}

static int larger_first(const void *a, const void *b, const struct inventory *inv)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    if (inv->vms[x].startup_mib != inv->vms[y].startup_mib)
        return inv->vms[x].startup_mib > inv->vms[y].startup_mib ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* All that run there are in the air: they stand against nobody. `vms` has room for the cluster's. */
static uint32_t lift(struct loss *l, uint32_t *vms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->c->n_vms; i++)
        if (l->b->at[l->c->vms[i]] == l->lost && !l->b->down[l->c->vms[i]]) {
            vms[n++] = l->c->vms[i];
            l->b->at[l->c->vms[i]] = IX_NONE;
        }
    return n;
}

/* Those that have to find a place, in the order to look for one. */
static void sort_out(struct loss *l, const uint32_t *vms, uint32_t n, enum reserve_rung rung)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = l->n;

        if (!restarts(l->b->inv, &l->b->inv->vms[vms[i]], rung))
            continue;
        for (; at > 0 && larger_first(&vms[i], &l->vms[at - 1], l->b->inv) < 0; at--)
            l->vms[at] = l->vms[at - 1];
        l->vms[at] = vms[i];
        l->n++;
    }
}

static bool survives_loss(struct book *b, const struct cluster *c, uint32_t lost, enum reserve_rung rung)
{
    struct book copy = *b;
    struct loss l = { .b = &copy, .c = c, .lost = lost };
    uint32_t *vms = malloc((c->n_vms + (size_t)1) * 2 * sizeof *vms), n;
    bool ok;

    if (vms == NULL) {
        b->no_memory = true;
        return true;
    }
    n = lift(&l, vms);
    l.vms = vms + n;
    sort_out(&l, vms, n, rung);
    ok = place_rest(&l, 0);
    for (uint32_t i = 0; i < n; i++)
        b->at[vms[i]] = lost;
    b->no_memory |= l.no_memory;
    free(vms);
    return ok;
}

bool book_survives(struct book *b, uint32_t cluster, enum reserve_rung rung)
{
    const struct cluster *c = &b->inv->clusters[cluster];

    for (uint32_t i = 0; rung != RESERVE_NONE && i < c->n_nodes; i++)
        if (!b->is_out[c->nodes[i]] && !survives_loss(b, c, c->nodes[i], rung))
            return false;
    return true;
}
