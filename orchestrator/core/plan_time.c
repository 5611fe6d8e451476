/* Phase 4: predicted times, and how far they are from what no plan can beat
 * (lower bounds L1 to L4 of docs/planning.md). */
#include "orchestrator/core/plan_own.h"

#include <stdlib.h>
#include <string.h>

dur_ms plan_gates_ms(const struct rollout *r)
{
    dur_ms before = 0, after = 0;

    for (uint32_t i = 0; i < r->n_gates; i++) {
        const struct gate *g = &r->gates[i];
        dur_ms sampling = (dur_ms)(g->samples - 1) * g->interval_ms;
        dur_ms soak = g->soak_ms > sampling ? g->soak_ms : sampling;

        /* before a wave there is nothing to soak: it takes its samples */
        if ((g->when & GATE_BEFORE) != 0 && sampling > before)
            before = sampling;
        if ((g->when & GATE_AFTER) != 0 && soak > after)
            after = soak;
    }
    return before + after;
}

static struct estimate step(const struct planner *pl, uint32_t node, enum predict_step s, uint32_t times)
{
    return estimate_times(predict_step(pl->predictor, node, s), times);
}

/* The steps of one life, then all of them. */
static void predict_steps(struct planner *pl, struct plan_node *x)
{
    bool s2d = pl->inv->clusters[pl->inv->nodes[x->node].cluster].storage == STORAGE_S2D;
    uint32_t lives = x->lives, back = x->rehearse ? 1 : 0;
    const struct {
        enum predict_step step;
        uint32_t times;
    } rows[] = {
        { PREDICT_STAGE, 1 },
        { PREDICT_PAUSE, lives },
        { PREDICT_MOVE_GROUPS, lives },
        { PREDICT_PARK, lives * x->n_parks },
        { PREDICT_STORAGE, s2d ? 2 * lives : 0 },
        { PREDICT_VMMS, pl->r->policy.stop_vmms ? 2 * lives : 0 },
        { PREDICT_INSTALL, lives - back },
        { PREDICT_REMOVE, back },
        { PREDICT_REBOOT, pl->r->patch.reboot == REBOOT_ALWAYS ? lives : 0 },
        { PREDICT_VERIFY, lives },
        { PREDICT_RESUME, lives },
        { PREDICT_UNPARK, lives * x->n_parks },
        { PREDICT_RESYNC, s2d ? lives : 0 },
    };

    x->life = x->drain;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        x->steps[rows[i].step] = step(pl, x->node, rows[i].step, rows[i].times);
        if (rows[i].step != PREDICT_STAGE) /* ahead of the drain: the node serves meanwhile */
            x->life = estimate_add(x->life, x->steps[rows[i].step]);
    }
}

/* A parked VM is down from its stop until it runs again. At the least it is
 * parked last and the node comes back at once; at most first of all. */
static void predict_parks(struct plan_node *x)
{
    struct estimate down = x->life;

    down.p5 -= x->drain.p5 + x->steps[PREDICT_PAUSE].p5 + x->steps[PREDICT_RESYNC].p5;
    down.p50 -= x->drain.p50 / 2 + x->steps[PREDICT_RESYNC].p50;
    /* several are parked and unparked one after the other */
    if (x->n_parks > 1)
        down.p5 -= (x->steps[PREDICT_PARK].p5 + x->steps[PREDICT_UNPARK].p5) / x->n_parks * (x->n_parks - 1);
    for (uint32_t i = 0; i < x->n_parks; i++)
        x->parks[i].down = down;
}

/* Nodes and batches of one wave, as they will be started. */
struct schedule {
    const struct planner *pl;
    const struct plan_wave *wave;
    dur_ms *slots; /* when each of the fleet's slots is free */
    uint32_t n_slots;
    dur_ms *ready, *last; /* per cluster: when the running batch began to be over; the latest end so far */
    uint32_t *batch;
};

static dur_ms pick_percentile(const struct estimate *e, int which)
{
    return which == 0 ? e->p5 : which == 1 ? e->p50 : e->p95;
}

/* The earliest free slot. */
static uint32_t free_slot(const struct schedule *s)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < s->n_slots; i++)
        if (s->slots[i] < s->slots[best])
            best = i;
    return best;
}

static dur_ms run_schedule(struct schedule *s, int which)
{
    const struct inventory *inv = s->pl->inv;
    dur_ms end = 0, rehearsed = 0;

    memset(s->slots, 0, s->n_slots * sizeof *s->slots);
    for (uint32_t c = 0; c < inv->n_clusters; c++) {
        s->ready[c] = s->last[c] = 0;
        s->batch[c] = 0;
    }
    for (uint32_t i = 0; i < s->wave->n_nodes; i++) {
        const struct plan_node *x = &s->pl->plan->nodes[s->wave->nodes[i]];
        uint32_t c = inv->nodes[x->node].cluster, slot = free_slot(s);
        dur_ms at;

        if (x->batch != s->batch[c]) {
            s->batch[c] = x->batch;
            s->ready[c] = s->last[c];
        }
        at = s->slots[slot] > s->ready[c] ? s->slots[slot] : s->ready[c];
        at = at > rehearsed ? at : rehearsed;
        at += pick_percentile(&x->life, which);
        s->slots[slot] = at;
        rehearsed = x->rehearse ? at : rehearsed; /* O14: before any second node */
        if (at > s->last[c])
            s->last[c] = at;
        if (at > end)
            end = at;
    }
    return end;
}

static int schedule_wave(const struct planner *pl, struct plan_wave *w)
{
    struct schedule s = { .pl = pl, .wave = w };
    uint32_t n = pl->inv->n_clusters;
    int rc = 0;

    s.n_slots = pl->r->policy.max_out_fleet < w->n_nodes ? pl->r->policy.max_out_fleet : w->n_nodes;
    s.slots = calloc(s.n_slots + (size_t)1, sizeof *s.slots);
    s.ready = calloc(n + (size_t)1, sizeof *s.ready);
    s.last = calloc(n + (size_t)1, sizeof *s.last);
    s.batch = calloc(n + (size_t)1, sizeof *s.batch);
    if (s.slots == NULL || s.ready == NULL || s.last == NULL || s.batch == NULL)
        rc = err_set(pl->err, ERR_NOMEM, "schedule a wave");
    else
        w->took = (struct estimate){ run_schedule(&s, 0), run_schedule(&s, 1), run_schedule(&s, 2) };
    free(s.slots);
    free(s.ready);
    free(s.last);
    free(s.batch);
    return rc;
}

/* Sums over one cluster's nodes of one wave. */
struct bound {
    dur_ms longest, sum, domains;
    uint64_t area; /* tau x capacity, in seconds x MiB */
};

static uint64_t capacity_of(const struct inventory *inv, uint32_t node)
{
    return inv->nodes[node].memory_mib - inv->nodes[node].host_reserve_mib;
}

/* L4: the smallest reserve with which one more loss can be survived at all. */
static uint64_t least_reserve(const struct inventory *inv, const struct cluster *c, uint64_t slack)
{
    uint64_t best = UINT64_MAX;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        uint64_t m = capacity_of(inv, c->nodes[i]), larger = 0;

        for (uint32_t k = 0; k < c->n_nodes; k++)
            larger += capacity_of(inv, c->nodes[k]) > m ? capacity_of(inv, c->nodes[k]) : 0;
        if (m < best && m <= slack && larger <= slack - m)
            best = m;
    }
    return best == UINT64_MAX ? slack : best;
}

static uint64_t used_on(const struct inventory *inv, const struct cluster *c, uint32_t node)
{
    uint64_t used = 0;

    for (uint32_t i = 0; i < c->n_vms; i++) {
        const struct vm *v = &inv->vms[c->vms[i]];

        if (v->home == node && v->state != VM_OFF && v->state != VM_SAVED && v->clustered)
            used += v->startup_mib;
    }
    return used;
}

/* L4 counts on it that every VM needs its room at all times: then none is parked, none ends with its node, and no node
 * holds more than it has. */
static bool all_need_room(const struct planner *pl, const struct plan_wave *w, uint32_t cluster)
{
    const struct inventory *inv = pl->inv;
    const struct cluster *c = &inv->clusters[cluster];

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct plan_node *x = &pl->plan->nodes[w->nodes[i]];

        if (inv->nodes[x->node].cluster == cluster && x->n_parks > 0)
            return false;
    }
    for (uint32_t i = 0; i < c->n_vms; i++)
        if (inv->vms[c->vms[i]].local_disk)
            return false;
    for (uint32_t i = 0; i < c->n_nodes; i++)
        if (used_on(inv, c, c->nodes[i]) > capacity_of(inv, c->nodes[i]))
            return false;
    return true;
}

/* Memory that may be out at once: all of it, without what VMs take, without
 * the reserve where it must hold. */
static uint64_t out_capacity(const struct planner *pl, uint32_t cluster)
{
    const struct cluster *c = &pl->inv->clusters[cluster];
    bool full =
        c->reserve == RESERVE_FULL && pl->r->policy.reserve_min == RESERVE_FULL && pl->r->n_waivers == 0;
    uint64_t all = 0, used = 0, slack;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        all += capacity_of(pl->inv, c->nodes[i]);
        used += used_on(pl->inv, c, c->nodes[i]);
    }
    slack = all > used ? all - used : 0;
    return full ? slack - least_reserve(pl->inv, c, slack) : slack;
}

/* The longest life per fault domain, added up: S2D takes one at a time. */
static dur_ms over_domains(const struct planner *pl, const struct plan_wave *w, uint32_t cluster)
{
    const struct node *nodes = pl->inv->nodes;
    dur_ms sum = 0;

    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct plan_node *x = &pl->plan->nodes[w->nodes[i]];
        bool longest = nodes[x->node].cluster == cluster;

        for (uint32_t k = 0; k < w->n_nodes && longest; k++) {
            const struct plan_node *y = &pl->plan->nodes[w->nodes[k]];

            if (k != i && nodes[y->node].cluster == cluster &&
                strcmp(nodes[y->node].fault_domain, nodes[x->node].fault_domain) == 0 &&
                (y->life.p50 > x->life.p50 || (y->life.p50 == x->life.p50 && k < i)))
                longest = false;
        }
        sum += longest ? x->life.p50 : 0;
    }
    return sum;
}

static dur_ms cluster_bound(const struct planner *pl, const struct plan_wave *w, uint32_t cluster,
                            const struct bound *b)
{
    const struct cluster *c = &pl->inv->clusters[cluster];
    uint64_t out = all_need_room(pl, w, cluster) ? out_capacity(pl, cluster) : 0;
    dur_ms bound = b->longest, l2 = b->sum / c->max_out, l4 = 0;

    if (c->storage == STORAGE_S2D && b->sum > 0)
        bound = over_domains(pl, w, cluster);
    if (out > 0)
        l4 = (dur_ms)(b->area / out) * SECOND_MS;
    bound = l2 > bound ? l2 : bound;
    return l4 > bound ? l4 : bound;
}

static int bound_wave(const struct planner *pl, struct plan_wave *w)
{
    struct bound *of = calloc(pl->inv->n_clusters + (size_t)1, sizeof *of);
    dur_ms sum = 0;

    if (of == NULL)
        return err_set(pl->err, ERR_NOMEM, "bound a wave");
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct plan_node *x = &pl->plan->nodes[w->nodes[i]];
        struct bound *b = &of[pl->inv->nodes[x->node].cluster];

        sum += x->life.p50;
        b->sum += x->life.p50;
        b->longest = x->life.p50 > b->longest ? x->life.p50 : b->longest;
        b->area += (uint64_t)(x->life.p50 / SECOND_MS) * capacity_of(pl->inv, x->node);
    }
    w->lower_bound_ms = sum / pl->r->policy.max_out_fleet;
    for (uint32_t c = 0; c < pl->inv->n_clusters; c++) {
        dur_ms bound = of[c].sum == 0 ? 0 : cluster_bound(pl, w, c, &of[c]);

        if (bound > w->lower_bound_ms)
            w->lower_bound_ms = bound;
    }
    free(of);
    return 0;
}

int plan_predict(struct planner *pl)
{
    struct plan *p = pl->plan;
    int rc = 0;

    for (uint32_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].compliant)
            continue;
        predict_steps(pl, &p->nodes[i]);
        predict_parks(&p->nodes[i]);
    }
    for (uint32_t i = 0; rc == 0 && i < p->n_waves; i++) {
        struct plan_wave *w = &p->waves[i];
        struct estimate gates;

        w->gates_ms = plan_gates_ms(pl->r);
        gates = (struct estimate){ w->gates_ms, w->gates_ms, w->gates_ms };
        rc = schedule_wave(pl, w);
        if (rc == 0)
            rc = bound_wave(pl, w);
        p->took = estimate_add(p->took, estimate_add(w->took, gates));
        p->took_bound_ms += w->lower_bound_ms + w->gates_ms;
    }
    return rc;
}
