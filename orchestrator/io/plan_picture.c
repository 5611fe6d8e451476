#include "orchestrator/io/plan_picture.h"

/* Slots of one cluster, and of the fleet: when each is free again. */
struct slots {
    dur_ms *free_at;
    uint32_t n;
};

static int slots_new(struct arena *a, uint32_t n, dur_ms from, struct slots *ret, struct err *err)
{
    ret->n = n == 0 ? 1 : n;
    ret->free_at = ARENA_ARRAY(a, dur_ms, ret->n);
    if (ret->free_at == NULL)
        return err_set(err, ERR_NOMEM, "draw plan");
    for (uint32_t i = 0; i < ret->n; i++)
        ret->free_at[i] = from;
    return 0;
}

static uint32_t first_free(const struct slots *s)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < s->n; i++)
        if (s->free_at[i] < s->free_at[best])
            best = i;
    return best;
}

static dur_ms gate_time(const struct plan *p, enum gate_when side)
{
    dur_ms longest = 0;

    for (uint32_t i = 0; i < p->rollout->n_gates; i++) {
        const struct gate *g = &p->rollout->gates[i];
        dur_ms took = g->soak_ms > (dur_ms)g->samples * g->interval_ms
                          ? g->soak_ms
                          : (dur_ms)(g->samples - 1) * g->interval_ms;

        if (((unsigned)g->when & (unsigned)side) != 0 && g->type != GATE_MANUAL && took > longest)
            longest = took;
    }
    return longest;
}

/* One node: as soon as its cluster and the fleet have a slot. */
static void place(const struct plan *p, struct plan_picture *pic, uint32_t at, struct slots *clusters,
                  struct slots *fleet)
{
    const struct plan_node *n = &p->nodes[at];
    struct slots *c = &clusters[p->inv->nodes[n->node].cluster];
    uint32_t slot = first_free(c), global = first_free(fleet);
    dur_ms start = c->free_at[slot] > fleet->free_at[global] ? c->free_at[slot] : fleet->free_at[global];

    pic->nodes[at].start = start;
    pic->nodes[at].end = start + (n->compliant ? 0 : n->life.p50);
    if (n->compliant)
        return;
    c->free_at[slot] = pic->nodes[at].end;
    fleet->free_at[global] = pic->nodes[at].end;
}

static uint32_t most_out(const struct plan *p, const struct plan_picture *pic, const struct plan_wave *w)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        uint32_t out = 0;
        dur_ms at = pic->nodes[w->nodes[i]].start;

        for (uint32_t j = 0; j < w->n_nodes; j++)
            out += !p->nodes[w->nodes[j]].compliant && pic->nodes[w->nodes[j]].start <= at &&
                   pic->nodes[w->nodes[j]].end > at;
        most = out > most ? out : most;
    }
    return most;
}

static int draw_wave(const struct plan *p, struct plan_picture *pic, uint32_t wave, dur_ms from,
                     struct err *err)
{
    struct slots *clusters = ARENA_ARRAY(&pic->arena, struct slots, p->inv->n_clusters);
    const struct plan_wave *w = &p->waves[wave];
    struct slots fleet;
    dur_ms end = from;
    int rc = slots_new(&pic->arena, p->rollout->policy.max_out_fleet, from, &fleet, err);

    if (clusters == NULL)
        return err_set(err, ERR_NOMEM, "draw plan");
    for (uint32_t i = 0; rc == 0 && i < p->inv->n_clusters; i++)
        rc = slots_new(&pic->arena, p->inv->clusters[i].max_out, from, &clusters[i], err);
    for (uint32_t i = 0; rc == 0 && i < w->n_nodes; i++) {
        place(p, pic, w->nodes[i], clusters, &fleet);
        if (pic->nodes[w->nodes[i]].end > end)
            end = pic->nodes[w->nodes[i]].end;
    }
    if (rc == 0) {
        pic->waves[wave].start = from;
        pic->waves[wave].end = end;
        pic->waves[wave].gate_end = end + gate_time(p, GATE_AFTER);
        pic->waves[wave].out_max = most_out(p, pic, w);
    }
    return rc;
}

int plan_picture_draw(const struct plan *p, struct plan_picture *ret, struct err *err)
{
    struct plan_picture pic = { 0 };
    dur_ms at = 0, before = gate_time(p, GATE_BEFORE);
    int rc = 0;

    pic.nodes = arena_array(&pic.arena, p->n_nodes, sizeof *pic.nodes);
    pic.waves = arena_array(&pic.arena, p->n_waves, sizeof *pic.waves);
    if (pic.nodes == NULL || pic.waves == NULL)
        rc = err_set(err, ERR_NOMEM, "draw plan");
    for (uint32_t i = 0; rc == 0 && i < p->n_waves; i++) {
        rc = draw_wave(p, &pic, i, at + before, err);
        at = pic.waves[i].gate_end;
    }
    pic.end = at;
    if (rc != 0) {
        arena_clear(&pic.arena);
        return rc;
    }
    *ret = pic;
    return 0;
}

void plan_picture_clear(struct plan_picture *pic)
{
    arena_clear(&pic->arena);
    *pic = (struct plan_picture){ 0 };
}
