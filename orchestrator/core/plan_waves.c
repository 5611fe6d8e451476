/* Phases 2 and 3: waves over clusters, batches inside. */
#include "orchestrator/core/plan_own.h"

/* The cluster whose share of finished nodes is smallest: every wave takes from
 * all clusters in proportion, and from as many as it can (P2). */
static uint32_t next_cluster(const struct planner *pl, const uint32_t *taken)
{
    uint32_t best = IX_NONE;

    for (uint32_t c = 0; c < pl->inv->n_clusters; c++) {
        if (taken[c] == pl->n_orders[c])
            continue;
        if (best == IX_NONE ||
            (uint64_t)taken[c] * pl->n_orders[best] < (uint64_t)taken[best] * pl->n_orders[c])
            best = c;
    }
    return best;
}

static uint32_t count_planned(const struct planner *pl)
{
    uint32_t n = 0;

    for (uint32_t c = 0; c < pl->inv->n_clusters; c++)
        n += pl->n_orders[c];
    return n;
}

int plan_cut_waves(struct planner *pl)
{
    uint32_t n = count_planned(pl), *sizes, n_waves, wave = 0, in_wave = 0;
    uint32_t *taken = ARENA_ARRAY(pl->arena, uint32_t, pl->inv->n_clusters);
    int rc;

    if (taken == NULL)
        return err_set(pl->err, ERR_NOMEM, "cut waves");
    rc = rollout_cut(pl->r, n, pl->arena, &sizes, &n_waves, pl->err);
    if (rc != 0)
        return rc;
    pl->plan->n_waves = n_waves;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t c = next_cluster(pl, taken);

        pl->of[pl->orders[c][taken[c]++]].wave = wave;
        if (++in_wave == sizes[wave]) {
            wave++;
            in_wave = 0;
        }
    }
    return 0;
}

/* From the start again, in the order that was found. */
static void rewind_in_order(struct planner *pl, uint32_t cluster)
{
    plan_rewind_cluster(pl, cluster);
    for (uint32_t i = 0; i < pl->n_orders[cluster]; i++)
        pl->fleet.nodes[pl->orders[cluster][i]].due = i + 1;
}

static int end_batch(struct planner *pl, uint32_t cluster, uint32_t from, uint32_t to)
{
    int rc = 0;

    for (uint32_t i = from; rc == 0 && i < to; i++)
        rc = plan_return(pl, pl->orders[cluster][i]);
    return rc;
}

/* A node that takes VMs of the running batch does not join it. */
static bool is_target(const struct planner *pl, uint32_t cluster, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        const struct plan_node *x = &pl->of[pl->orders[cluster][i]].result;

        for (uint32_t k = 0; k < x->n_moves; k++)
            if (x->moves[k].to == pl->orders[cluster][to])
                return true;
    }
    return false;
}

/* Drain the cluster's nodes in order, as many at once as can be proved. The
 * first of a batch may land anywhere; one that joins must not land on a node
 * still to be drained, so that batches grow with the room on patched nodes and
 * cost no move (P6). *ret_all false: some node failed at its turn. */
static int batch_nodes(struct planner *pl, uint32_t cluster, uint32_t limit, bool *ret_all)
{
    uint32_t batch = 0, start = 0, i = 0;
    int rc = 0;

    *ret_all = true;
    for (; i < pl->n_orders[cluster]; i++) {
        struct candidate *x = &pl->of[pl->orders[cluster][i]];
        bool new_wave = i > 0 && pl->of[pl->orders[cluster][i - 1]].wave != x->wave;
        bool safe = false;

        if (i > start && i - start < limit && !new_wave && !is_target(pl, cluster, start, i))
            rc = plan_drain(pl, pl->orders[cluster][i], true, &safe);
        if (rc == 0 && !safe) {
            rc = end_batch(pl, cluster, start, i);
            batch = new_wave ? 0 : i > 0 ? batch + 1 : 0;
            start = i;
            if (rc == 0)
                rc = plan_drain(pl, pl->orders[cluster][i], false, &safe);
        }
        if (rc != 0 || !safe) {
            *ret_all = false;
            return rc;
        }
        x->batch = batch;
    }
    return end_batch(pl, cluster, start, i);
}

/* One after the other: a batch each, numbered within the wave. */
static void number_serial(struct planner *pl, uint32_t cluster)
{
    for (uint32_t i = 0, batch = 0; i < pl->n_orders[cluster]; i++, batch++) {
        if (i > 0 && pl->of[pl->orders[cluster][i]].wave != pl->of[pl->orders[cluster][i - 1]].wave)
            batch = 0;
        pl->of[pl->orders[cluster][i]].batch = batch;
    }
}

static void number_orders(struct planner *pl, uint32_t cluster)
{
    for (uint32_t i = 0, order = 0; i < pl->n_orders[cluster]; i++, order++) {
        if (i > 0 && pl->of[pl->orders[cluster][i]].wave != pl->of[pl->orders[cluster][i - 1]].wave)
            order = 0;
        pl->of[pl->orders[cluster][i]].order = order;
    }
}

/* What phase 1 found, to fall back on: `keep` has room for the cluster. */
static void keep_results(struct planner *pl, uint32_t cluster, struct plan_node *keep, bool back)
{
    for (uint32_t i = 0; i < pl->n_orders[cluster]; i++) {
        struct plan_node *x = &pl->of[pl->orders[cluster][i]].result;

        if (back)
            *x = keep[i];
        else
            keep[i] = *x;
    }
}

static int batch_cluster(struct planner *pl, uint32_t cluster)
{
    const struct cluster *c = &pl->inv->clusters[cluster];
    uint32_t limit = c->max_out < pl->r->policy.max_out_fleet ? c->max_out : pl->r->policy.max_out_fleet;
    struct plan_node *keep;
    bool all = false;
    int rc;

    number_orders(pl, cluster);
    number_serial(pl, cluster);
    if (limit == 1 || pl->n_orders[cluster] == 0)
        return 0;
    keep = ARENA_ARRAY(pl->arena, struct plan_node, pl->n_orders[cluster]);
    if (keep == NULL)
        return err_set(pl->err, ERR_NOMEM, "batch a cluster");
    keep_results(pl, cluster, keep, false);
    rewind_in_order(pl, cluster);
    rc = batch_nodes(pl, cluster, limit, &all);
    if (rc == 0 && !all) { /* proved one at a time, so done one at a time */
        rewind_in_order(pl, cluster);
        keep_results(pl, cluster, keep, true);
        number_serial(pl, cluster);
    }
    return rc;
}

int plan_batch_clusters(struct planner *pl)
{
    for (uint32_t c = 0; c < pl->inv->n_clusters; c++) {
        int rc = batch_cluster(pl, c);

        if (rc != 0)
            return rc;
    }
    return 0;
}
