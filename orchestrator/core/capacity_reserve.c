/* C4: does the cluster survive one more loss? HA restarts the lost node's VMs
 * with their startup memory and leaves the healthy ones where they are. */
#include "orchestrator/core/capacity_model.h"

#define LOSS_WORK 20000 /* tries for one lost node before the answer is "unknown" */

struct restart {
    struct model *m;
    const uint32_t *vms; /* in hand, longest need first */
    const int64_t *rest; /* rest[i]: needs of vms[i..] together */
    uint32_t n;
    uint32_t lost;
    int64_t work;
};

static bool may_restart(const struct restart *s, uint32_t vm, uint32_t node)
{
    const struct model *m = s->m;

    return node != s->lost && m->nodes[node].receives && m->nodes[node].free_mib >= m->vms[vm].restart &&
           (m->plain || (vm_may_own(&m->f->vms.items[m->vms[vm].vm], m->f->inv, m->nodes[node].node) &&
                         !model_conflict(m, vm, node, true)));
}

/* Does `node` come after `last` in the order of trying: tightest first, then by
 * index? Equal nodes are as good as each other when nothing tells them apart. */
static bool comes_after(const struct model *m, uint32_t node, uint32_t last)
{
    int64_t here = m->nodes[node].free_mib, there;

    if (last == IX_NONE)
        return true;
    there = m->nodes[last].free_mib;
    return here > there || (here == there && node > last && !m->plain);
}

/* The tightest node that takes the VM and comes after the last one tried: best
 * fit first, then the next best. */
static uint32_t next_fit(const struct restart *s, uint32_t vm, uint32_t last)
{
    const struct model_node *nodes = s->m->nodes;
    uint32_t best = IX_NONE;

    for (uint32_t i = 0; i < s->m->n_nodes; i++)
        if (comes_after(s->m, i, last) && may_restart(s, vm, i) &&
            (best == IX_NONE || nodes[i].free_mib < nodes[best].free_mib))
            best = i;
    return best;
}

static int64_t free_elsewhere(const struct restart *s)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < s->m->n_nodes; i++)
        if (i != s->lost && s->m->nodes[i].receives && s->m->nodes[i].free_mib > 0)
            sum += s->m->nodes[i].free_mib;
    return sum;
}

static enum fit restart_from(struct restart *s, uint32_t i)
{
    uint32_t vm, at = IX_NONE;

    if (i == s->n)
        return FIT_YES;
    if (free_elsewhere(s) < s->rest[i])
        return FIT_NO;
    vm = s->vms[i];
    while ((at = next_fit(s, vm, at)) != IX_NONE) {
        enum fit fit;

        s->work -= s->m->n_nodes;
        s->m->work -= s->m->n_nodes;
        if (s->work < 0 || s->m->work < 0)
            return FIT_UNKNOWN;
        model_put(s->m, vm, at, s->m->vms[vm].restart);
        fit = restart_from(s, i + 1);
        model_take(s->m, vm, s->m->vms[vm].restart);
        if (fit != FIT_NO)
            return fit;
    }
    return FIT_NO;
}

static void sort_by_need(const struct model *m, uint32_t *vms, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint32_t vm = vms[i], at = i;

        while (at > 0 && (m->vms[vms[at - 1]].restart < m->vms[vm].restart ||
                          (m->vms[vms[at - 1]].restart == m->vms[vm].restart && vms[at - 1] > vm))) {
            vms[at] = vms[at - 1];
            at--;
        }
        vms[at] = vm;
    }
}

static bool wanted(const struct model_vm *v, enum reserve_rung rung)
{
    return rung == RESERVE_FULL ? v->restarts : v->must_restart;
}

enum fit model_survives_node(struct model *m, enum reserve_rung rung, uint32_t lost)
{
    uint32_t n_all = 0, n = 0, *all = m->lost_all, *vms = m->lost_wanted;
    struct restart s = { .m = m, .lost = lost, .work = LOSS_WORK };
    int64_t *rest = m->lost_rest;
    enum fit fit;

    if (rung == RESERVE_NONE)
        return FIT_YES;
    for (uint32_t v = m->nodes[lost].first; v != IX_NONE; v = m->vms[v].next)
        n_all++;
    if (n_all == 0)
        return FIT_YES;
    for (uint32_t i = 0; i < n_all; i++) {
        all[i] = m->nodes[lost].first;
        if (wanted(&m->vms[all[i]], rung))
            vms[n++] = all[i];
        model_take(m, all[i], 0);
    }
    sort_by_need(m, vms, n);
    rest[n] = 0;
    for (uint32_t i = n; i > 0; i--)
        rest[i - 1] = rest[i] + m->vms[vms[i - 1]].restart;
    s.vms = vms;
    s.rest = rest;
    s.n = n;
    fit = restart_from(&s, 0);
    for (uint32_t i = n_all; i > 0; i--)
        model_put(m, all[i - 1], lost, 0);
    return fit;
}

enum fit model_survives(struct model *m, enum reserve_rung rung, uint32_t *ret_lost)
{
    enum fit worst = FIT_YES;

    if (rung == RESERVE_NONE)
        return FIT_YES;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        enum fit fit = m->nodes[i].may_fail ? model_survives_node(m, rung, i) : FIT_YES;

        if (fit == FIT_YES)
            continue;
        *ret_lost = i;
        if (fit == FIT_NO)
            return FIT_NO;
        worst = FIT_UNKNOWN;
    }
    return worst;
}
