#include "orchestrator/core/capacity_search.h"

#define SEARCH_WORK 400000 /* tries, those of C4 counted, before the answer is "unknown" */

enum { TIGHTEST, LOOSEST };

struct search {
    struct model *m;
    const uint32_t *vms;
    uint32_t n;
    const uint32_t *prefer;
    enum reserve_rung rung;
    int fit;         /* TIGHTEST or LOOSEST */
    bool cut;        /* check C4 after every VM, not only at the end */
    bool first_only; /* no way back: one descent */
    uint32_t *to;
};

/* What makes a receiver better; the first difference decides. */
struct merit {
    bool preferred;
    bool clean;     /* breaks no preferred anti-affinity (O24) */
    uint32_t stays; /* 2 patched, 1 never to be drained, 0 will be drained again */
    uint32_t due;
    int64_t fit;
    uint32_t index;
};

static struct merit merit_of(const struct search *s, uint32_t vm, uint32_t node)
{
    const struct model_node *n = &s->m->nodes[node];
    const struct model_vm *v = &s->m->vms[vm];

    return (struct merit){
        .preferred = s->prefer != NULL && s->prefer[v->vm] == n->node,
        .clean = v->n_classes == 0 || !model_conflict(s->m, vm, node, false),
        .stays = n->patched    ? 2
                 : n->due == 0 ? 1
                               : 0,
        .due = n->patched ? 0 : n->due,
        .fit = s->fit == TIGHTEST ? -n->free_mib : n->free_mib,
        .index = node,
    };
}

static bool better(const struct merit *a, const struct merit *b)
{
    if (a->preferred != b->preferred)
        return a->preferred;
    if (a->clean != b->clean)
        return a->clean;
    if (a->stays != b->stays)
        return a->stays > b->stays;
    if (a->due != b->due)
        return a->due > b->due;
    if (a->fit != b->fit)
        return a->fit > b->fit;
    return a->index < b->index;
}

static bool may_take(struct search *s, uint32_t vm, uint32_t node)
{
    return s->m->nodes[node].receives && s->m->nodes[node].free_mib >= s->m->vms[vm].need &&
           model_may_move(s->m, vm, node) && !model_conflict(s->m, vm, node, true);
}

/* The best receiver that is worse than `last`. */
static uint32_t next_receiver(struct search *s, uint32_t vm, uint32_t last)
{
    struct merit limit = { 0 }, best = { 0 };
    uint32_t at = IX_NONE;

    if (last != IX_NONE)
        limit = merit_of(s, vm, last);
    for (uint32_t i = 0; i < s->m->n_nodes; i++) {
        struct merit here;

        if (!may_take(s, vm, i))
            continue;
        here = merit_of(s, vm, i);
        if ((last != IX_NONE && !better(&limit, &here)) || (at != IX_NONE && !better(&here, &best)))
            continue;
        at = i;
        best = here;
    }
    return at;
}

static enum fit place_from(struct search *s, uint32_t i)
{
    enum fit seen = FIT_NO;
    uint32_t vm, at = IX_NONE, lost;

    if (i == s->n)
        return model_survives(s->m, s->rung, &lost);
    vm = s->vms[i];
    while ((at = next_receiver(s, vm, at)) != IX_NONE) {
        enum fit fit = FIT_YES;

        s->m->work -= s->m->n_nodes;
        if (s->m->work < 0)
            return FIT_UNKNOWN;
        model_put(s->m, vm, at, s->m->vms[vm].need);
        s->to[i] = at;
        /* more VMs never make a loss easier to survive: a failure here is one below too */
        if (s->cut)
            fit = model_survives(s->m, s->rung, &lost);
        if (fit != FIT_NO)
            fit = place_from(s, i + 1);
        if (fit == FIT_YES)
            return FIT_YES;
        model_take(s->m, vm, s->m->vms[vm].need);
        if (fit == FIT_UNKNOWN)
            seen = FIT_UNKNOWN;
        if (s->first_only || s->m->work < 0)
            return FIT_UNKNOWN;
    }
    return seen;
}

enum fit search_place(struct model *m, const uint32_t *vms, uint32_t n, const uint32_t *prefer,
                      enum reserve_rung rung, uint32_t *ret_to)
{
    struct search s = { .m = m, .vms = vms, .n = n, .prefer = prefer, .rung = rung, .to = ret_to };

    s.first_only = true;
    for (s.fit = TIGHTEST; s.fit <= LOOSEST; s.fit++) {
        m->work = SEARCH_WORK;
        if (place_from(&s, 0) == FIT_YES)
            return FIT_YES;
    }
    m->work = SEARCH_WORK;
    s.fit = TIGHTEST;
    s.first_only = false;
    s.cut = rung != RESERVE_NONE;
    return place_from(&s, 0);
}
