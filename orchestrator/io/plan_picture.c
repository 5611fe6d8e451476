#include "orchestrator/io/plan_picture.h"

/* One cluster: the next batch starts when the one before it is back. */
struct batching {
    uint32_t batch; /* 0: none yet */
    dur_ms start, end;
};

/* The fleet's slots: when each is free again. */
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

static void place(const struct plan *p, struct plan_picture *pic, uint32_t at, struct batching *clusters,
                  struct slots *fleet)
{
    const struct plan_node *n = &p->nodes[at];
    struct batching *c = &clusters[p->inv->nodes[n->node].cluster];
    uint32_t slot = first_free(fleet);
    dur_ms start;

    if (n->batch != c->batch) {
        c->batch = n->batch;
        c->start = c->end;
    }
    start = c->start > fleet->free_at[slot] ? c->start : fleet->free_at[slot];
    pic->nodes[at].start = start;
    pic->nodes[at].end = start + n->life.p50;
    c->end = pic->nodes[at].end > c->end ? pic->nodes[at].end : c->end;
    fleet->free_at[slot] = pic->nodes[at].end;
}

static uint32_t most_out(const struct plan_picture *pic, const struct plan_wave *w)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        uint32_t out = 0;
        dur_ms at = pic->nodes[w->nodes[i]].start;

        for (uint32_t j = 0; j < w->n_nodes; j++)
            out += pic->nodes[w->nodes[j]].start <= at && pic->nodes[w->nodes[j]].end > at;
        most = out > most ? out : most;
    }
    return most;
}

static int draw_wave(const struct plan *p, struct plan_picture *pic, uint32_t wave, dur_ms from,
                     struct err *err)
{
    struct batching *clusters = ARENA_ARRAY(&pic->arena, struct batching, p->inv->n_clusters);
    const struct plan_wave *w = &p->waves[wave];
    struct slots fleet;
    dur_ms end = from;
    int rc = slots_new(&pic->arena, p->rollout->policy.max_out_fleet, from, &fleet, err);

    if (clusters == NULL)
        return err_set(err, ERR_NOMEM, "draw plan");
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < p->inv->n_clusters; i++)
        clusters[i] = (struct batching){ 0, from, from };
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        place(p, pic, w->nodes[i], clusters, &fleet);
        if (pic->nodes[w->nodes[i]].end > end)
            end = pic->nodes[w->nodes[i]].end;
    }
    pic->waves[wave].start = from;
    pic->waves[wave].end = end;
    pic->waves[wave].gate_end = end + w->gates_ms;
    pic->waves[wave].out_max = most_out(pic, w);
    return 0;
}

int plan_picture_draw(const struct plan *p, struct plan_picture *ret, struct err *err)
{
    struct plan_picture pic = { 0 };
    dur_ms at = 0;
    int rc = 0;

    pic.nodes = arena_array(&pic.arena, p->n_nodes, sizeof *pic.nodes);
    pic.waves = arena_array(&pic.arena, p->n_waves, sizeof *pic.waves);
    if (pic.nodes == NULL || pic.waves == NULL)
        rc = err_set(err, ERR_NOMEM, "draw plan");
    for (uint32_t i = 0; rc == 0 && i < p->n_waves; i++) {
        rc = draw_wave(p, &pic, i, at, err);
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
