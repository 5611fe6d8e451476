#include "orchestrator/core/fleet_own.h"

#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

#define DOMAIN_CLASS "domain:"

uint64_t vm_demand_mib(const struct vm *v)
{
    return v->assigned_mib > v->startup_mib ? v->assigned_mib : v->startup_mib;
}

uint64_t vm_restart_mib(const struct vm *v)
{
    return v->startup_mib;
}

bool vm_holds_memory(const struct fleet_vm *v)
{
    return !v->gone && !v->parked && v->vm.state != VM_OFF && v->vm.state != VM_SAVED;
}

static uint64_t weight(const struct fleet_vm *v)
{
    return vm_holds_memory(v) ? vm_demand_mib(&v->vm) : 0;
}

/* Put a VM's memory on its nodes' books, or take it off: every change of a VM
 * is "off, change, on". */
static void books(struct fleet *f, const struct fleet_vm *v, bool on)
{
    uint64_t mib = weight(v);
    const uint32_t where[2] = { v->place, v->at == v->place ? IX_NONE : v->at };

    for (unsigned i = 0; i < 2; i++) {
        if (where[i] == IX_NONE)
            continue;
        if (on)
            f->nodes[where[i]].used_mib += mib;
        else
            f->nodes[where[i]].used_mib -= mib;
    }
    if (v->parked && !v->gone && v->sla != IX_NONE)
        f->sla_parked[v->sla] += on ? 1u : UINT32_MAX; /* unsigned -1 */
}

static void unlink_vm(struct fleet *f, uint32_t vm)
{
    struct fleet_vm *v = &f->vms.items[vm];

    if (v->place == IX_NONE)
        return;
    if (v->prev == IX_NONE)
        f->nodes[v->place].first_vm = v->next;
    else
        f->vms.items[v->prev].next = v->next;
    if (v->next != IX_NONE)
        f->vms.items[v->next].prev = v->prev;
    f->nodes[v->place].n_vms--;
}

static void link_vm(struct fleet *f, uint32_t vm)
{
    struct fleet_vm *v = &f->vms.items[vm];

    v->prev = v->next = IX_NONE;
    if (v->place == IX_NONE)
        return;
    v->next = f->nodes[v->place].first_vm;
    if (v->next != IX_NONE)
        f->vms.items[v->next].prev = vm;
    f->nodes[v->place].first_vm = vm;
    f->nodes[v->place].n_vms++;
}

static void take_off(struct fleet *f, uint32_t vm)
{
    books(f, &f->vms.items[vm], false);
    unlink_vm(f, vm);
}

static void put_on(struct fleet *f, uint32_t vm)
{
    struct fleet_vm *v = &f->vms.items[vm];

    v->place = v->gone ? IX_NONE : v->moving_to != IX_NONE ? v->moving_to : v->at;
    if (v->gone)
        v->at = IX_NONE;
    link_vm(f, vm);
    books(f, v, true);
}

void fleet_promise(struct fleet *f, uint32_t vm, uint32_t to)
{
    take_off(f, vm);
    f->vms.items[vm].moving_to = to == f->vms.items[vm].at ? IX_NONE : to;
    put_on(f, vm);
}

void fleet_arrive(struct fleet *f, uint32_t vm, uint32_t node)
{
    struct fleet_vm *v = &f->vms.items[vm];

    take_off(f, vm);
    v->at = node;
    v->gone = false;
    if (v->moving_to == node)
        v->moving_to = IX_NONE;
    put_on(f, vm);
}

void fleet_park(struct fleet *f, uint32_t vm, bool parked)
{
    take_off(f, vm);
    f->vms.items[vm].parked = parked;
    put_on(f, vm);
}

void fleet_set_vm(struct fleet *f, uint32_t vm, const struct vm *seen)
{
    take_off(f, vm);
    f->vms.items[vm].vm = *seen;
    put_on(f, vm);
}

void fleet_set_gone(struct fleet *f, uint32_t vm)
{
    take_off(f, vm);
    f->vms.items[vm].gone = true;
    f->vms.items[vm].moving_to = IX_NONE;
    put_on(f, vm);
}

static bool declared_hard(const struct cluster *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_hard; i++)
        if (strcmp(c->hard_classes[i], name) == 0)
            return true;
    return c->enforced_anti_affinity;
}

/* The class's index, made on first sight; IX_NONE: out of memory. Clusters
 * have few classes, but there are many clusters: the search goes from the
 * newest, where the same cluster's are. */
static uint32_t class_of(struct fleet *f, uint32_t cluster, const char *name)
{
    struct fleet_class *c;

    for (uint32_t i = f->classes.n; i > 0; i--)
        if (f->classes.items[i - 1].cluster == cluster && strcmp(f->classes.items[i - 1].name, name) == 0)
            return i - 1;
    c = list_push(&f->classes);
    if (c == NULL)
        return IX_NONE;
    *c = (struct fleet_class){ name, cluster, declared_hard(&f->inv->clusters[cluster], name),
                               strncmp(name, DOMAIN_CLASS, strlen(DOMAIN_CLASS)) == 0 };
    return f->classes.n - 1;
}

int fleet_classify(struct fleet *f, uint32_t vm)
{
    struct fleet_vm *v = &f->vms.items[vm];
    uint32_t *anti;

    v->anti = NULL;
    v->n_anti = 0;
    if (v->vm.n_anti == 0)
        return 0;
    anti = ARENA_ARRAY(&f->arena, uint32_t, v->vm.n_anti);
    if (anti == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < v->vm.n_anti; i++) {
        anti[i] = class_of(f, v->vm.cluster, v->vm.anti_affinity[i]);
        if (anti[i] == IX_NONE)
            return ERR_NOMEM;
    }
    v->anti = anti;
    v->n_anti = v->vm.n_anti;
    return 0;
}

/* Where `id` is or belongs in by_id. */
static uint32_t id_slot(const struct fleet *f, uint32_t n, const char *id, bool *ret_found)
{
    uint32_t lo = 0, hi = n;

    *ret_found = false;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int order = strcmp(id, f->vms.items[f->by_id[mid]].vm.id);

        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

uint32_t fleet_vm_by_id(const struct fleet *f, const char *id)
{
    bool found;
    uint32_t slot = id_slot(f, f->vms.n, id, &found);

    return found ? f->by_id[slot] : IX_NONE;
}

uint32_t fleet_add_vm(struct fleet *f, const struct vm *vm, uint32_t at)
{
    bool found;
    uint32_t slot = id_slot(f, f->vms.n, vm->id, &found), n = f->vms.n;
    const struct sla_class *sla = vm->sla == NULL ? NULL : inventory_sla(f->inv, vm->sla);
    struct fleet_vm *v;

    if (!list_grow(&f->by_id, n, &f->by_id_cap, sizeof *f->by_id))
        return IX_NONE;
    v = list_push(&f->vms);
    if (v == NULL)
        return IX_NONE;
    memmove(f->by_id + slot + 1, f->by_id + slot, (n - slot) * sizeof *f->by_id);
    f->by_id[slot] = n;
    *v = (struct fleet_vm){ .vm = *vm, .at = at, .moving_to = IX_NONE, .place = IX_NONE };
    v->sla = sla == NULL ? IX_NONE : (uint32_t)(sla - f->inv->sla_classes);
    put_on(f, n);
    return fleet_classify(f, n) == 0 ? n : IX_NONE;
}

static int init_nodes(struct fleet *f)
{
    f->nodes = ARENA_ARRAY(&f->arena, struct fleet_node, f->inv->n_nodes);
    f->cluster_seen_at = ARENA_ARRAY(&f->arena, time_ms, f->inv->n_clusters);
    f->health = ARENA_ARRAY(&f->arena, struct fleet_health, f->inv->n_clusters);
    f->sla_parked = ARENA_ARRAY(&f->arena, uint32_t, f->inv->n_sla_classes);
    if (f->nodes == NULL || f->cluster_seen_at == NULL || f->health == NULL || f->sla_parked == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < f->inv->n_nodes; i++) {
        const struct node *n = &f->inv->nodes[i];

        f->nodes[i] = (struct fleet_node){ .receives = true,
                                           .vote = n->vote,
                                           .memory_mib = n->memory_mib,
                                           .host_reserve_mib = n->host_reserve_mib,
                                           .first_vm = IX_NONE };
    }
    for (uint32_t i = 0; i < f->inv->n_clusters; i++) {
        f->cluster_seen_at[i] = TIME_NEVER;
        f->health[i] = (struct fleet_health){ .witness_online = true,
                                              .stretched = f->inv->clusters[i].stretched,
                                              .migrations_parallel = f->inv->clusters[i].migrations_parallel,
                                              .bandwidth_mib_s = f->inv->clusters[i].bandwidth_mib_s };
    }
    return 0;
}

int fleet_init(struct fleet *f, const struct inventory *inv, struct err *err)
{
    *f = (struct fleet){ .inv = inv };
    if (init_nodes(f) != 0)
        goto nomem;
    for (uint32_t i = 0; i < inv->n_vms; i++)
        if (fleet_add_vm(f, &inv->vms[i], inv->vms[i].home) == IX_NONE)
            goto nomem;
    return 0;

nomem:
    fleet_clear(f);
    return err_set(err, ERR_NOMEM, "make a fleet");
}

void fleet_clear(struct fleet *f)
{
    list_clear(&f->vms);
    list_clear(&f->classes);
    free(f->by_id);
    arena_clear(&f->arena);
    *f = (struct fleet){ 0 };
}

static void *copy_of(const void *items, size_t n, size_t size)
{
    void *copy = malloc(n * size == 0 ? 1 : n * size);

    if (copy != NULL && n > 0)
        memcpy(copy, items, n * size);
    return copy;
}

int fleet_copy(const struct fleet *from, struct fleet *to, struct err *err)
{
    const struct inventory *inv = from->inv;

    *to = (struct fleet){ .inv = inv, .round = from->round };
    if (init_nodes(to) != 0)
        goto nomem;
    to->vms.items = copy_of(from->vms.items, from->vms.n, sizeof *from->vms.items);
    to->by_id = copy_of(from->by_id, from->vms.n, sizeof *from->by_id);
    to->classes.items = copy_of(from->classes.items, from->classes.n, sizeof *from->classes.items);
    if (to->vms.items == NULL || to->by_id == NULL || to->classes.items == NULL)
        goto nomem;
    to->vms.n = to->vms.cap = to->by_id_cap = from->vms.n;
    to->classes.n = to->classes.cap = from->classes.n;
    memcpy(to->nodes, from->nodes, inv->n_nodes * sizeof *to->nodes);
    memcpy(to->cluster_seen_at, from->cluster_seen_at, inv->n_clusters * sizeof *to->cluster_seen_at);
    memcpy(to->health, from->health, inv->n_clusters * sizeof *to->health);
    memcpy(to->sla_parked, from->sla_parked, inv->n_sla_classes * sizeof *to->sla_parked);
    return 0;

nomem:
    fleet_clear(to);
    return err_set(err, ERR_NOMEM, "copy a fleet");
}

uint64_t fleet_free_mib(const struct fleet *f, uint32_t node)
{
    const struct fleet_node *n = &f->nodes[node];
    uint64_t taken = n->host_reserve_mib + n->used_mib;

    return taken >= n->memory_mib ? 0 : n->memory_mib - taken;
}

bool fleet_receives(const struct fleet *f, uint32_t node)
{
    return f->nodes[node].out == 0 && f->nodes[node].receives;
}
