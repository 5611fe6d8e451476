#include "orchestrator/core/plan.h"

#include "orchestrator/core/plan_own.h"
#include "schema/list.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool plan_grow(struct planner *pl, void *items, uint32_t n, uint32_t *cap, size_t size)
{
    void **list = items;
    void *grown;

    if (n < *cap)
        return true;
    grown = arena_array(pl->arena, *cap == 0 ? 4 : (size_t)*cap * 2, size);
    if (grown == NULL)
        return false;
    if (n > 0)
        memcpy(grown, *list, n * size);
    *cap = *cap == 0 ? 4 : *cap * 2;
    *list = grown;
    return true;
}

int plan_say(struct planner *pl, struct text_list *list, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list args;
    const char *kept = NULL;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    if (!text.failed && plan_grow(pl, &list->items, list->n, &list->cap, sizeof *list->items))
        kept = arena_str(pl->arena, buf_text(&text));
    buf_clear(&text);
    if (kept == NULL)
        return err_set(pl->err, ERR_NOMEM, "explain a plan");
    list->items[list->n++] = kept;
    return 0;
}

/* Names in the rollout that name nothing are mistakes, not wishes. */
static int check_names(const struct inventory *inv, const struct rollout *r, struct err *err)
{
    for (uint32_t i = 0; i < r->n_clusters; i++)
        if (inventory_cluster(inv, r->clusters[i]) == IX_NONE)
            return err_set(err, ERR_INVALID, "the scope names the unknown cluster `%s`", r->clusters[i]);
    for (uint32_t i = 0; i < r->n_nodes; i++)
        if (inventory_node(inv, r->nodes[i]) == IX_NONE)
            return err_set(err, ERR_INVALID, "the scope names the unknown node `%s`", r->nodes[i]);
    for (uint32_t i = 0; i < r->n_exclude; i++)
        if (inventory_node(inv, r->exclude[i]) == IX_NONE)
            return err_set(err, ERR_INVALID, "the scope excludes the unknown node `%s`", r->exclude[i]);
    for (uint32_t i = 0; i < r->n_consents; i++)
        if (inventory_vm(inv, r->consents[i].vm) == IX_NONE)
            return err_set(err, ERR_INVALID, "a consent names the unknown VM `%s`", r->consents[i].vm);
    for (uint32_t i = 0; i < r->n_waivers; i++)
        if (r->waivers[i].cluster != NULL && inventory_cluster(inv, r->waivers[i].cluster) == IX_NONE)
            return err_set(err, ERR_INVALID, "a waiver names the unknown cluster `%s`",
                           r->waivers[i].cluster);
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void find_confidential(struct planner *pl)
{
    for (uint32_t i = 0; i < pl->inv->n_vms; i++) {
        const struct vm *v = &pl->inv->vms[i];

        if (v->isolation == ISOLATION_SNP || v->isolation == ISOLATION_TDX || v->isolation == ISOLATION_VBS ||
            v->key_protector != NULL)
            pl->of[v->home].confidential = true;
    }
}

/* Number the strata by first sight; `first` holds one node of each. */
static int number_strata(struct planner *pl)
{
    uint32_t *first = ARENA_ARRAY(pl->arena, uint32_t, pl->inv->n_nodes), s;

    for (uint32_t c = 0; c < pl->inv->n_clusters; c++)
        if (pl->inv->clusters[c].n_nodes > pl->ranks)
            pl->ranks = pl->inv->clusters[c].n_nodes;
    for (uint32_t i = 0; first != NULL && i < pl->inv->n_nodes; i++) {
        const struct node *n = &pl->inv->nodes[i];

        for (s = 0; s < pl->n_strata; s++)
            if (same_text(pl->inv->nodes[first[s]].model, n->model) &&
                same_text(pl->inv->nodes[first[s]].firmware, n->firmware) &&
                pl->of[first[s]].confidential == pl->of[i].confidential)
                break;
        if (s == pl->n_strata)
            first[pl->n_strata++] = i;
        pl->of[i].stratum = s;
    }
    pl->strata_all = ARENA_ARRAY(pl->arena, uint32_t, pl->n_strata);
    pl->strata_early = ARENA_ARRAY(pl->arena, uint32_t, (size_t)pl->n_strata * pl->ranks);
    if (first == NULL || pl->strata_all == NULL || pl->strata_early == NULL)
        return err_set(pl->err, ERR_NOMEM, "number strata");
    for (uint32_t i = 0; i < pl->inv->n_nodes; i++)
        pl->strata_all[pl->of[i].stratum]++;
    return 0;
}

static int judge_nodes(struct planner *pl)
{
    pl->of = ARENA_ARRAY(pl->arena, struct candidate, pl->inv->n_nodes);
    pl->orders = ARENA_ARRAY(pl->arena, uint32_t *, pl->inv->n_clusters);
    pl->n_orders = ARENA_ARRAY(pl->arena, uint32_t, pl->inv->n_clusters);
    if (pl->of == NULL || pl->orders == NULL || pl->n_orders == NULL)
        return err_set(pl->err, ERR_NOMEM, "plan");
    for (uint32_t i = 0; i < pl->inv->n_nodes; i++) {
        struct build build = pl->inv->nodes[i].build, target = pl->r->patch.target;
        struct candidate *x = &pl->of[i];

        x->in_scope = rollout_covers(pl->r, pl->inv, i);
        x->compliant = build.number == target.number && build.ubr >= target.ubr;
        if (build.number != target.number) {
            x->out_of_plan = true;
            x->rule = "I15";
            x->refusal = "the package is for another Windows build than the node has";
        }
        pl->fleet.nodes[i].patched = x->compliant;
    }
    find_confidential(pl);
    return number_strata(pl);
}

/* The plan is about the run to come, not about this moment: what is busy now
 * is looked at again before each drain (O26). */
static void assume_quiet(struct planner *pl)
{
    for (uint32_t i = 0; i < pl->inv->n_clusters; i++)
        pl->fleet.cluster_seen_at[i] = pl->now;
    for (uint32_t i = 0; i < pl->fleet.vms.n; i++)
        pl->fleet.vms.items[i].vm.busy = VM_IDLE;
}

/* Start order in a wave: by batch, and of equals the cluster with the longest
 * way to go first (longest chain first under the fleet's slots). */
struct start {
    uint32_t node, wave, batch, chain, cluster, order;
};

static int start_order(const void *a, const void *b)
{
    const struct start *x = a, *y = b;
    const uint32_t keys[][2] = { { x->wave, y->wave },       { x->batch, y->batch }, { y->chain, x->chain },
                                 { x->cluster, y->cluster }, { x->order, y->order }, { x->node, y->node } };

    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

static uint32_t chain_of(const struct planner *pl, uint32_t node)
{
    uint32_t c = pl->inv->nodes[node].cluster, n = 0;

    for (uint32_t i = 0; i < pl->n_orders[c]; i++)
        n += pl->of[pl->orders[c][i]].wave == pl->of[node].wave;
    return n;
}

static uint32_t list_starts(const struct planner *pl, struct start *list)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < pl->inv->n_nodes; i++) {
        const struct candidate *x = &pl->of[i];

        if (x->planned)
            list[n++] =
                (struct start){ i, x->wave, x->batch, chain_of(pl, i), pl->inv->nodes[i].cluster, x->order };
        else if (x->in_scope && x->compliant)
            list[n++] = (struct start){ i, IX_NONE, 0, 0, pl->inv->nodes[i].cluster, 0 };
    }
    qsort(list, n, sizeof *list, start_order);
    return n;
}

/* Room for n nodes, and for as many in each wave. */
static bool make_room(struct planner *pl, uint32_t n)
{
    struct plan *p = pl->plan;

    p->nodes = ARENA_ARRAY(pl->arena, struct plan_node, n);
    p->waves = ARENA_ARRAY(pl->arena, struct plan_wave, p->n_waves);
    if (p->nodes == NULL || p->waves == NULL)
        return false;
    for (uint32_t w = 0; w < p->n_waves; w++) {
        p->waves[w].nodes = ARENA_ARRAY(pl->arena, uint32_t, n);
        if (p->waves[w].nodes == NULL)
            return false;
    }
    return true;
}

static int write_nodes(struct planner *pl)
{
    struct plan *p = pl->plan;
    struct start *list = calloc(pl->inv->n_nodes + (size_t)1, sizeof *list);
    uint32_t n = list == NULL ? 0 : list_starts(pl, list);

    if (list == NULL || !make_room(pl, n)) {
        free(list);
        return err_set(pl->err, ERR_NOMEM, "write a plan's nodes");
    }
    p->n_nodes = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct candidate *c = &pl->of[list[i].node];
        struct plan_node *x = &p->nodes[i];

        *x = c->result;
        x->node = list[i].node;
        x->wave = list[i].wave;
        x->order = c->order;
        x->batch = c->batch;
        x->compliant = !c->planned;
        x->lives = 1;
        if (!x->compliant)
            p->waves[x->wave].nodes[p->waves[x->wave].n_nodes++] = i;
    }
    if (n > 0 && !p->nodes[0].compliant && pl->r->policy.rehearse) {
        p->nodes[0].rehearse = true;
        p->nodes[0].lives = 3;
    }
    free(list);
    return 0;
}

static int write_refusals(struct planner *pl)
{
    struct plan *p = pl->plan;

    p->refusals = ARENA_ARRAY(pl->arena, struct plan_refusal, pl->inv->n_nodes);
    if (p->refusals == NULL)
        return err_set(pl->err, ERR_NOMEM, "write a plan's refusals");
    for (uint32_t i = 0; i < pl->inv->n_nodes; i++) {
        const struct candidate *x = &pl->of[i];

        if (x->in_scope && !x->compliant && !x->planned)
            p->refusals[p->n_refusals++] = (struct plan_refusal){ i, x->rule, x->refusal };
    }
    return 0;
}

static int seal(struct planner *pl)
{
    struct buf text = BUF_INIT;
    int rc = 0;

    plan_write(&text, pl->plan, false);
    if (text.failed)
        rc = err_set(pl->err, ERR_NOMEM, "seal a plan");
    else
        sha256_text(text.data, text.len, pl->plan->hash);
    buf_clear(&text);
    return rc;
}

static int build(struct planner *pl)
{
    int rc = fleet_init(&pl->fleet, pl->inv, pl->err);

    if (rc == 0)
        rc = predictor_new(pl->inv, &pl->predictor, pl->err);
    if (rc == 0)
        rc = judge_nodes(pl);
    if (rc != 0)
        return rc;
    assume_quiet(pl);
    rc = plan_order_clusters(pl);
    if (rc == 0)
        rc = plan_cut_waves(pl);
    if (rc == 0)
        rc = plan_batch_clusters(pl);
    if (rc == 0)
        rc = write_nodes(pl);
    if (rc == 0)
        rc = write_refusals(pl);
    if (rc == 0)
        rc = plan_predict(pl);
    if (rc == 0)
        rc = plan_explain(pl);
    return rc == 0 ? seal(pl) : rc;
}

int plan_build(struct inventory *inv, struct rollout *r, time_ms now, const char *planner,
               struct plan **ret_plan, struct err *err)
{
    struct plan *p = calloc(1, sizeof *p);
    struct planner pl = { .plan = p, .inv = inv, .r = r, .now = now, .err = err };
    int rc;

    if (p == NULL) {
        inventory_free(inv);
        rollout_free(r);
        return err_set(err, ERR_NOMEM, "build a plan");
    }
    p->inv = p->own.inv = inv;
    p->rollout = p->own.rollout = r;
    p->made_at = now;
    pl.arena = &p->arena;
    p->planner = arena_str(&p->arena, planner);
    rc = p->planner == NULL ? err_set(err, ERR_NOMEM, "build a plan") : check_names(inv, r, err);
    if (rc == 0)
        rc = build(&pl);
    fleet_clear(&pl.fleet);
    predictor_free(pl.predictor);
    if (rc != 0) {
        plan_free(p);
        return rc;
    }
    *ret_plan = p;
    return 0;
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    arena_clear(&p->arena);
    inventory_free(p->own.inv);
    rollout_free(p->own.rollout);
    free(p);
}

uint32_t plan_node_of(const struct plan *p, uint32_t node)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i].node == node)
            return i;
    return IX_NONE;
}
