/* Phase 1: each cluster's own order, found by draining its nodes in thought
 * one at a time. Rules P2 to P5 of docs/rules.md. */
#include "orchestrator/core/plan_own.h"

#include <string.h>

/* What a node costs to drain. */
struct weight {
    uint32_t vms;
    uint64_t mib;
};

static struct weight weight_of(const struct planner *pl, uint32_t node)
{
    struct weight w = { 0 };

    for (uint32_t i = pl->fleet.nodes[node].first_vm; i != IX_NONE; i = pl->fleet.vms.items[i].next) {
        const struct fleet_vm *v = &pl->fleet.vms.items[i];

        if (!vm_holds_memory(v) || vm_is_pinned(&pl->fleet, v) != NULL)
            continue;
        w.vms++;
        w.mib += vm_demand_mib(&v->vm);
    }
    return w;
}

/* Fewest VMs, then lightest, then by id. */
static bool lighter(const struct planner *pl, uint32_t a, uint32_t b)
{
    struct weight x = weight_of(pl, a), y = weight_of(pl, b);

    if (x.vms != y.vms)
        return x.vms < y.vms;
    if (x.mib != y.mib)
        return x.mib < y.mib;
    return a < b;
}

/* How far stratum `s` is represented among the first rank+1 of every cluster. */
static uint64_t represented(const struct planner *pl, uint32_t s, uint32_t rank)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i <= rank; i++)
        n += pl->strata_early[(size_t)s * pl->ranks + i];
    return n;
}

/* The better next node of a cluster. The first decides how many VMs must move
 * twice, so it is the lightest; later ones make early waves representative. */
static bool goes_before(const struct planner *pl, uint32_t a, uint32_t b, uint32_t rank)
{
    const struct candidate *x = &pl->of[a], *y = &pl->of[b];

    if (rank > 0 && x->stratum != y->stratum) {
        uint64_t l = represented(pl, x->stratum, rank) * pl->strata_all[y->stratum];
        uint64_t r = represented(pl, y->stratum, rank) * pl->strata_all[x->stratum];

        if (l != r)
            return l < r;
        if (x->confidential != y->confidential)
            return x->confidential;
    }
    return lighter(pl, a, b);
}

/* The rest of a cluster's nodes; the best that proves is next. */
struct round {
    uint32_t *left, n_left;
    bool *blocked; /* tried in vain this time */
};

static uint32_t pick(const struct planner *pl, const struct round *round, uint32_t rank)
{
    uint32_t best = IX_NONE;

    for (uint32_t i = 0; i < round->n_left; i++)
        if (!round->blocked[i] &&
            (best == IX_NONE || goes_before(pl, round->left[i], round->left[best], rank)))
            best = i;
    return best;
}

/* Receivers that are drained late are the better ones: heavy nodes last. */
static void number_due(struct planner *pl, const struct round *round)
{
    for (uint32_t i = 0; i < round->n_left; i++) {
        uint32_t due = 1;

        for (uint32_t k = 0; k < round->n_left; k++)
            due += k != i && lighter(pl, round->left[k], round->left[i]);
        pl->fleet.nodes[round->left[i]].due = due;
    }
}

static void take_out(struct planner *pl, struct round *round, uint32_t at, uint32_t cluster)
{
    uint32_t node = round->left[at], rank = pl->n_orders[cluster]++;

    pl->orders[cluster][rank] = node;
    pl->of[node].planned = true;
    pl->of[node].rank = rank;
    pl->strata_early[(size_t)pl->of[node].stratum * pl->ranks + rank]++;
    memmove(round->left + at, round->left + at + 1, (round->n_left - at - 1) * sizeof *round->left);
    round->n_left--;
}

#define SETTLED_TRIES 8

/* Is there a node that is not drained any more, to take VMs for good? */
static bool has_settled(const struct planner *pl, uint32_t cluster)
{
    const struct cluster *c = &pl->inv->clusters[cluster];

    for (uint32_t i = 0; i < c->n_nodes; i++)
        if (pl->fleet.nodes[c->nodes[i]].due == 0)
            return true;
    return false;
}

/* Drain the best node that can go, in thought. First round: only onto nodes
 * that are done, so that nothing moves twice; second round: anywhere. */
static int drain_next(struct planner *pl, uint32_t cluster, struct round *round, bool settled_only,
                      uint32_t *ret_at)
{
    uint32_t tries = settled_only ? SETTLED_TRIES : UINT32_MAX, at;

    *ret_at = IX_NONE;
    memset(round->blocked, 0, round->n_left * sizeof *round->blocked);
    while (tries-- > 0 && (at = pick(pl, round, pl->n_orders[cluster])) != IX_NONE) {
        bool safe;
        int rc = plan_drain(pl, round->left[at], settled_only, &safe);

        if (rc != 0)
            return rc;
        if (safe) {
            *ret_at = at;
            return 0;
        }
        round->blocked[at] = true;
    }
    return 0;
}

static int order_cluster(struct planner *pl, uint32_t cluster, struct round *round)
{
    int rc = 0;

    number_due(pl, round);
    while (rc == 0 && round->n_left > 0) {
        uint32_t at = IX_NONE;

        if (has_settled(pl, cluster))
            rc = drain_next(pl, cluster, round, true, &at);
        if (rc == 0 && at == IX_NONE)
            rc = drain_next(pl, cluster, round, false, &at);
        if (rc != 0 || at == IX_NONE)
            break; /* the rest is refused, each for its own reason */
        rc = plan_return(pl, round->left[at]);
        if (rc == 0)
            take_out(pl, round, at, cluster);
    }
    return rc;
}

/* Forget what an earlier go found, and start with all that may still go. */
static void start_round(struct planner *pl, uint32_t cluster, struct round *round)
{
    const struct cluster *c = &pl->inv->clusters[cluster];

    for (uint32_t i = 0; i < pl->n_orders[cluster]; i++) {
        struct candidate *x = &pl->of[pl->orders[cluster][i]];

        x->planned = false;
        pl->strata_early[(size_t)x->stratum * pl->ranks + x->rank]--;
    }
    pl->n_orders[cluster] = 0;
    plan_rewind_cluster(pl, cluster);
    round->n_left = 0;
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct candidate *x = &pl->of[c->nodes[i]];

        if (x->in_scope && !x->compliant && !x->out_of_plan)
            round->left[round->n_left++] = c->nodes[i];
    }
}

/* A node that is refused keeps its VMs and may take others for good: once that
 * is known, the others are ordered anew. Each go takes one out at least. */
static int order_one(struct planner *pl, uint32_t cluster)
{
    const struct cluster *c = &pl->inv->clusters[cluster];
    struct round round = { ARENA_ARRAY(pl->arena, uint32_t, c->n_nodes), 0,
                           ARENA_ARRAY(pl->arena, bool, c->n_nodes) };

    pl->orders[cluster] = ARENA_ARRAY(pl->arena, uint32_t, c->n_nodes);
    if (round.left == NULL || round.blocked == NULL || pl->orders[cluster] == NULL)
        return err_set(pl->err, ERR_NOMEM, "order a cluster");
    do {
        int rc;

        start_round(pl, cluster, &round);
        rc = order_cluster(pl, cluster, &round);
        if (rc != 0)
            return rc;
        for (uint32_t i = 0; i < round.n_left; i++)
            pl->of[round.left[i]].out_of_plan = true;
    } while (round.n_left > 0 && pl->n_orders[cluster] > 0);
    return 0;
}

int plan_order_clusters(struct planner *pl)
{
    for (uint32_t c = 0; c < pl->inv->n_clusters; c++) {
        int rc = order_one(pl, c);

        if (rc != 0)
            return rc;
    }
    return 0;
}
