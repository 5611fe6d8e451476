/* Taking in what a cluster shows. */
#include "orchestrator/core/fleet_own.h"

#include <stdlib.h>
#include <string.h>

struct taker {
    struct fleet *f;
    uint32_t cluster;
    const uint32_t *nodes;
    uint32_t n_nodes;
    fleet_changed *changed;
    void *arg;
    bool nomem;
};

static void tell(const struct taker *t, enum fleet_change what, uint32_t vm, uint32_t node)
{
    if (t->changed != NULL)
        t->changed(t->arg, what, vm, node);
}

/* Texts are copied only when they are new, so that looking often costs no
 * memory. */
static const char *keep(struct taker *t, const char *old, const char *seen)
{
    const char *copy;

    if (seen == NULL || (old != NULL && strcmp(old, seen) == 0))
        return seen == NULL ? NULL : old;
    copy = arena_str(&t->f->arena, seen);
    t->nomem |= copy == NULL;
    return copy;
}

static const char *const *keep_list(struct taker *t, const char *const *old, uint32_t n_old,
                                    const char *const *seen, uint32_t n)
{
    const char **copy;
    uint32_t same = 0;

    while (same < n && n == n_old && strcmp(old[same], seen[same]) == 0)
        same++;
    if (same == n && n == n_old)
        return old;
    copy = ARENA_ARRAY(&t->f->arena, const char *, n);
    t->nomem |= copy == NULL;
    for (uint32_t i = 0; copy != NULL && i < n; i++)
        copy[i] = keep(t, NULL, seen[i]);
    return copy;
}

static int index_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Owners the inventory does not know stay as IX_NONE: a list of strangers must
 * not turn into "any node". */
static void keep_owners(struct taker *t, const struct vm_seen *s, struct vm *vm)
{
    uint32_t n = s->n_owner_ids;
    uint32_t *owners = malloc((n == 0 ? 1 : n) * sizeof *owners), *copy;

    if (owners == NULL) {
        t->nomem = true;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        owners[i] = inventory_node(t->f->inv, s->owner_ids[i]);
    qsort(owners, n, sizeof *owners, index_order);
    if (n != vm->n_owners || (n > 0 && memcmp(owners, vm->owners, n * sizeof *owners) != 0)) {
        copy = ARENA_ARRAY(&t->f->arena, uint32_t, n);
        t->nomem |= copy == NULL;
        if (copy != NULL && n > 0)
            memcpy(copy, owners, n * sizeof *owners);
        vm->owners = copy;
        vm->n_owners = copy == NULL ? 0 : n;
    }
    free(owners);
}

/* What is seen over what was known; role, class and home are declarations. */
static struct vm merge(struct taker *t, const struct vm *known, const struct vm_seen *s)
{
    struct vm vm = s->vm;

    vm.cluster = t->cluster;
    vm.home = known->home;
    vm.role = s->vm.role != ROLE_NONE ? s->vm.role : known->role;
    vm.sla = known->sla;
    if (vm.dirty_mib_s < 0)
        vm.dirty_mib_s = known->dirty_mib_s;
    vm.id = keep(t, known->id, s->vm.id);
    vm.name = keep(t, known->name, s->vm.name);
    vm.group = keep(t, known->group, s->vm.group);
    vm.iso = keep(t, known->iso, s->vm.iso);
    vm.key_protector = keep(t, known->key_protector, s->vm.key_protector);
    vm.switches = keep_list(t, known->switches, known->n_switches, s->vm.switches, s->vm.n_switches);
    vm.anti_affinity = keep_list(t, known->anti_affinity, known->n_anti, s->vm.anti_affinity, s->vm.n_anti);
    vm.owners = known->owners;
    vm.n_owners = known->n_owners;
    keep_owners(t, s, &vm);
    return vm;
}

static void take_new(struct taker *t, const struct vm_seen *s, uint32_t node)
{
    const struct vm nothing = { .home = node, .dirty_mib_s = -1 };
    struct vm vm = merge(t, &nothing, s);
    uint32_t at = t->nomem ? IX_NONE : fleet_add_vm(t->f, &vm, node);

    t->nomem |= at == IX_NONE;
    if (t->nomem)
        return;
    t->f->vms.items[at].seen = t->f->round;
    tell(t, CHANGE_NEW_VM, at, node);
}

static void take_place(struct taker *t, uint32_t at, uint32_t node)
{
    struct fleet_vm *v = &t->f->vms.items[at];
    bool back = v->gone || v->at == IX_NONE;

    if (v->at == node || v->moving_to == node)
        return;
    fleet_arrive(t->f, at, node);
    tell(t, back ? CHANGE_NEW_VM : CHANGE_FOREIGN_MOVE, at, node);
}

static void take_vm(struct taker *t, const struct vm_seen *s, uint32_t node)
{
    uint32_t at = fleet_vm_by_id(t->f, s->vm.id);
    struct fleet_vm *v;
    uint64_t demand;
    struct vm vm;

    if (at == IX_NONE) {
        take_new(t, s, node);
        return;
    }
    v = &t->f->vms.items[at];
    if (v->seen == t->f->round || v->vm.cluster != t->cluster)
        return; /* in motion it may show on both ends */
    v->seen = t->f->round;
    demand = vm_demand_mib(&v->vm);
    vm = merge(t, &v->vm, s);
    if (t->nomem)
        return;
    if (vm.anti_affinity != v->vm.anti_affinity) {
        fleet_set_vm(t->f, at, &vm);
        t->nomem |= fleet_classify(t->f, at) != 0;
    } else {
        fleet_set_vm(t->f, at, &vm);
    }
    take_place(t, at, node);
    if (vm_demand_mib(&vm) > demand)
        tell(t, CHANGE_MEMORY_GREW, at, node);
}

static bool observed(const struct taker *t, uint32_t node)
{
    for (uint32_t i = 0; i < t->n_nodes; i++)
        if (t->nodes[i] == node)
            return true;
    return false;
}

/* VMs of nodes that did not answer: the cluster knows where they are. */
static void take_groups(struct taker *t, const struct cluster_view *view)
{
    for (uint32_t i = 0; i < view->n_groups; i++) {
        const struct view_group *g = &view->groups[i];
        uint32_t at = g->type != GROUP_VM || g->vm == NULL ? IX_NONE : fleet_vm_by_id(t->f, g->vm);
        uint32_t owner;

        if (at == IX_NONE || t->f->vms.items[at].seen == t->f->round)
            continue;
        t->f->vms.items[at].seen = t->f->round;
        owner = inventory_node(t->f->inv, g->owner);
        if (owner == IX_NONE || observed(t, owner) || t->f->inv->nodes[owner].cluster != t->cluster)
            continue;
        if (t->f->vms.items[at].at != owner)
            t->f->vms.items[at].vm.busy = VM_IDLE; /* it has arrived; what it does there its node will say */
        take_place(t, at, owner);
    }
}

static void take_gone(struct taker *t)
{
    for (uint32_t i = 0; i < t->f->vms.n; i++) {
        const struct fleet_vm *v = &t->f->vms.items[i];

        if (v->vm.cluster != t->cluster || v->gone || v->seen == t->f->round || v->moving_to != IX_NONE ||
            !observed(t, v->at))
            continue;
        tell(t, CHANGE_GONE_VM, i, v->at);
        fleet_set_gone(t->f, i);
    }
}

static void take_node(struct taker *t, uint32_t node, enum node_state_seen state)
{
    struct fleet_node *n = &t->f->nodes[node];
    uint32_t before = n->out;
    bool ours = (n->out & (OUT_OURS | OUT_STUCK)) != 0;

    n->out &= ~(uint32_t)(OUT_DOWN | OUT_PAUSED);
    n->receives = state == SEEN_UP;
    if (state == SEEN_PAUSED && !ours)
        n->out |= OUT_PAUSED;
    else if (state != SEEN_UP && state != SEEN_PAUSED)
        n->out |= OUT_DOWN;
    if (n->out != before && !ours)
        tell(t, CHANGE_NODE_STATE, IX_NONE, node);
}

static void take_nodes(struct taker *t, const struct cluster_view *view)
{
    const struct cluster *c = &t->f->inv->clusters[t->cluster];

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        uint32_t node = c->nodes[i], at = 0;

        while (at < view->n_nodes && strcmp(view->nodes[at].id, t->f->inv->nodes[node].id) != 0)
            at++;
        take_node(t, node, at < view->n_nodes ? view->nodes[at].state : SEEN_DOWN);
        if (at < view->n_nodes)
            t->f->nodes[node].vote = view->nodes[at].vote;
    }
}

static void take_health(struct taker *t, const struct cluster_view *view, const struct storage_view *storage)
{
    struct fleet_health *h = &t->f->health[t->cluster];
    bool declared = t->f->inv->clusters[t->cluster].witness != WITNESS_NONE;

    h->known = true;
    h->stretched = view->stretched || t->f->inv->clusters[t->cluster].stretched;
    h->witness_online = view->witness == WITNESS_NONE ? !declared : view->witness_online;
    h->votes_all = view->witness_vote;
    h->votes_up = h->witness_online ? view->witness_vote : 0;
    for (uint32_t i = 0; i < view->n_nodes; i++) {
        h->votes_all += view->nodes[i].dynamic_vote;
        if (view->nodes[i].state == SEEN_UP || view->nodes[i].state == SEEN_PAUSED)
            h->votes_up += view->nodes[i].dynamic_vote;
    }
    h->busy = view->n_busy == 0 ? NULL : keep(t, h->busy, view->busy[0].kind);
    h->migrations_parallel = view->max_parallel_migrations == 0 ? 1 : view->max_parallel_migrations;
    if (view->bandwidth_mib_s > 0)
        h->bandwidth_mib_s = view->bandwidth_mib_s;
    h->storage_known = storage != NULL;
    h->storage_clean = storage != NULL && storage_view_clean(storage);
    h->storage_rack_aware = storage != NULL && storage->rack_aware;
    for (uint32_t i = 0; i < t->f->classes.n; i++)
        if (t->f->classes.items[i].cluster == t->cluster && view->enforced_anti_affinity)
            t->f->classes.items[i].hard = true;
}

int fleet_observe(struct fleet *f, uint32_t cluster, const struct cluster_view *view,
                  const struct storage_view *storage, const struct vms_seen *vms_per_node,
                  const uint32_t *nodes, uint32_t n_nodes, time_ms at, fleet_changed *changed, void *arg,
                  struct err *err)
{
    struct taker t = { f, cluster, nodes, n_nodes, changed, arg, false };

    f->round++;
    take_nodes(&t, view);
    for (uint32_t i = 0; i < n_nodes && !t.nomem; i++)
        for (uint32_t k = 0; k < vms_per_node[i].n && !t.nomem; k++)
            take_vm(&t, &vms_per_node[i].items[k], nodes[i]);
    if (t.nomem)
        return err_set(err, ERR_NOMEM, "take in cluster `%s`", f->inv->clusters[cluster].id);
    take_groups(&t, view);
    take_gone(&t);
    take_health(&t, view, storage);
    f->cluster_seen_at[cluster] = at;
    return t.nomem ? err_set(err, ERR_NOMEM, "take in cluster `%s`", f->inv->clusters[cluster].id) : 0;
}
