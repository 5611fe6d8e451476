#include "orchestrator/core/capacity_model.h"

#include <stdlib.h>
#include <string.h>

static uint32_t domain_of(const struct model *m, uint32_t n)
{
    const struct node *nodes = m->f->inv->nodes;

    for (uint32_t i = 0; i < n; i++)
        if (strcmp(nodes[m->nodes[i].node].fault_domain, nodes[m->nodes[n].node].fault_domain) == 0)
            return i;
    return n;
}

static int build_nodes(struct model *m, const struct cluster *c, uint32_t drained)
{
    m->nodes = ARENA_ARRAY(&m->arena, struct model_node, c->n_nodes);
    if (m->nodes == NULL)
        return ERR_NOMEM;
    m->n_nodes = c->n_nodes;
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct fleet_node *n = &m->f->nodes[c->nodes[i]];
        struct model_node *x = &m->nodes[i];

        x->node = c->nodes[i];
        x->free_mib = (int64_t)n->memory_mib - (int64_t)n->host_reserve_mib - (int64_t)n->used_mib;
        x->first = IX_NONE;
        x->receives = fleet_receives(m->f, x->node) && x->node != drained;
        x->may_fail = (n->out & OUT_DOWN) == 0 && x->node != drained;
        x->patched = n->patched;
        x->due = n->due;
        x->domain = domain_of(m, i);
        m->n_vms += n->n_vms;
    }
    return 0;
}

static uint32_t model_class(struct model *m, uint32_t class)
{
    uint32_t i = 0;

    while (i < m->n_classes && m->classes[i].class != class)
        i++;
    if (i == m->n_classes) {
        m->classes[i] =
            (struct model_class){ class, m->f->classes.items[class].hard, m->f->classes.items[class].domain };
        m->n_classes++;
    }
    return i;
}

static int build_vm(struct model *m, uint32_t vm, uint32_t node, struct model_vm *x)
{
    const struct fleet_vm *v = &m->f->vms.items[vm];
    uint32_t *classes = ARENA_ARRAY(&m->arena, uint32_t, v->n_anti);

    if (classes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < v->n_anti; i++)
        classes[i] = model_class(m, v->anti[i]);
    x->vm = vm;
    x->need = (int64_t)vm_demand_mib(&v->vm);
    x->restart = (int64_t)vm_restart_mib(&v->vm);
    x->at = node;
    x->classes = classes;
    x->n_classes = v->n_anti;
    x->restarts = v->vm.clustered && !v->vm.local_disk;
    x->must_restart = x->restarts && (v->vm.priority >= 3000 || v->vm.role != ROLE_NONE ||
                                      (v->sla != IX_NONE && m->f->inv->sla_classes[v->sla].must_restart));
    m->plain = m->plain && v->n_anti == 0 && v->vm.n_owners == 0;
    return 0;
}

static uint32_t count_classes(const struct fleet *f, const struct cluster *c)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_nodes; i++)
        for (uint32_t v = f->nodes[c->nodes[i]].first_vm; v != IX_NONE; v = f->vms.items[v].next)
            n += f->vms.items[v].n_anti;
    return n;
}

static int vm_order(const void *a, const void *b)
{
    uint32_t x = ((const struct model_vm *)a)->vm, y = ((const struct model_vm *)b)->vm;

    return x < y ? -1 : x > y;
}

/* The VMs that hold memory, in id order so that the answer does not hang on
 * the order in which they came to their nodes. */
static int build_vms(struct model *m, const struct cluster *c)
{
    uint32_t n = 0;

    m->vms = ARENA_ARRAY(&m->arena, struct model_vm, m->n_vms);
    m->classes = ARENA_ARRAY(&m->arena, struct model_class, count_classes(m->f, c));
    if (m->vms == NULL || m->classes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        for (uint32_t v = m->f->nodes[m->nodes[i].node].first_vm; v != IX_NONE; v = m->f->vms.items[v].next)
            if (vm_holds_memory(&m->f->vms.items[v]) && build_vm(m, v, i, &m->vms[n++]) != 0)
                return ERR_NOMEM;
    m->n_vms = n;
    qsort(m->vms, n, sizeof *m->vms, vm_order);
    m->members = ARENA_ARRAY(&m->arena, uint32_t, (size_t)m->n_classes * m->n_nodes);
    m->may_move = ARENA_ARRAY(&m->arena, uint8_t, (size_t)m->n_vms * m->n_nodes);
    m->lost_all = ARENA_ARRAY(&m->arena, uint32_t, n);
    m->lost_wanted = ARENA_ARRAY(&m->arena, uint32_t, n);
    m->lost_rest = ARENA_ARRAY(&m->arena, int64_t, n + (size_t)1);
    return m->members == NULL || m->may_move == NULL || m->lost_all == NULL || m->lost_wanted == NULL ||
                   m->lost_rest == NULL
               ? ERR_NOMEM
               : 0;
}

static void link_vm(struct model *m, uint32_t vm, uint32_t node)
{
    struct model_vm *v = &m->vms[vm];

    v->at = node;
    v->next = m->nodes[node].first;
    m->nodes[node].first = vm;
    for (uint32_t i = 0; i < v->n_classes; i++)
        m->members[(size_t)v->classes[i] * m->n_nodes + node]++;
}

int model_build(struct model *m, const struct fleet *f, uint32_t cluster, uint32_t drained)
{
    const struct cluster *c = &f->inv->clusters[cluster];

    *m = (struct model){ .f = f, .plain = true };
    if (build_nodes(m, c, drained) != 0 || build_vms(m, c) != 0) {
        model_clear(m);
        return ERR_NOMEM;
    }
    for (uint32_t i = m->n_vms; i > 0; i--)
        link_vm(m, i - 1, m->vms[i - 1].at);
    return 0;
}

void model_clear(struct model *m)
{
    arena_clear(&m->arena);
    *m = (struct model){ 0 };
}

uint32_t model_node_of(const struct model *m, uint32_t node)
{
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->nodes[i].node == node)
            return i;
    return IX_NONE;
}

uint32_t model_vm_of(const struct model *m, uint32_t vm)
{
    uint32_t lo = 0, hi = m->n_vms;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (m->vms[mid].vm == vm)
            return mid;
        if (m->vms[mid].vm > vm)
            hi = mid;
        else
            lo = mid + 1;
    }
    return IX_NONE;
}

void model_take(struct model *m, uint32_t vm, int64_t mib)
{
    struct model_vm *v = &m->vms[vm];
    uint32_t *link = &m->nodes[v->at].first;

    while (*link != vm)
        link = &m->vms[*link].next;
    *link = v->next;
    for (uint32_t i = 0; i < v->n_classes; i++)
        m->members[(size_t)v->classes[i] * m->n_nodes + v->at]--;
    m->nodes[v->at].free_mib += mib;
    v->at = IX_NONE;
}

void model_put(struct model *m, uint32_t vm, uint32_t node, int64_t mib)
{
    link_vm(m, vm, node);
    m->nodes[node].free_mib -= mib;
}

static bool class_near(const struct model *m, const struct model_class *c, uint32_t node)
{
    const uint32_t *members = m->members + (size_t)(c - m->classes) * m->n_nodes;

    if (!c->domain)
        return members[node] > 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (members[i] > 0 && m->nodes[i].domain == m->nodes[node].domain)
            return true;
    return false;
}

bool model_conflict(const struct model *m, uint32_t vm, uint32_t node, bool hard_only)
{
    for (uint32_t i = 0; i < m->vms[vm].n_classes; i++) {
        const struct model_class *c = &m->classes[m->vms[vm].classes[i]];

        if ((c->hard || !hard_only) && class_near(m, c, node))
            return true;
    }
    return false;
}

bool model_may_move(struct model *m, uint32_t vm, uint32_t node)
{
    uint8_t *known = &m->may_move[(size_t)vm * m->n_nodes + node];

    if (*known == 0)
        *known = vm_cannot_move(m->f, &m->f->vms.items[m->vms[vm].vm], m->nodes[node].node) == NULL ? 1 : 2;
    return *known == 1;
}
