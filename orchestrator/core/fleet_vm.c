/* What may be done with one VM: O6, C5, O24. */
#include "orchestrator/core/fleet.h"

#include <string.h>

bool vm_may_own(const struct fleet_vm *v, const struct inventory *inv, uint32_t node)
{
    if (inv->nodes[node].cluster != v->vm.cluster)
        return false;
    for (uint32_t i = 0; i < v->vm.n_owners; i++)
        if (v->vm.owners[i] == node)
            return true;
    return v->vm.n_owners == 0;
}

/* A path that every node of the cluster sees. */
static bool path_is_shared(const char *path)
{
    static const char csv[] = "C:\\ClusterStorage\\";

    return strncmp(path, "\\\\", 2) == 0 || strncmp(path, csv, sizeof csv - 1) == 0;
}

/* Pre-copy does not converge when memory is written as fast as it is sent. */
static bool writes_too_fast(const struct fleet *f, const struct vm *vm)
{
    return vm->dirty_mib_s > 0 && (uint64_t)vm->dirty_mib_s >= f->health[vm->cluster].bandwidth_mib_s;
}

const char *vm_is_pinned(const struct fleet *f, const struct fleet_vm *v)
{
    const struct vm *vm = &v->vm;
    const struct {
        bool holds;
        const char *reason;
    } ties[] = {
        { !vm->clustered, "is not clustered" },
        { vm->isolation == ISOLATION_SNP || vm->isolation == ISOLATION_TDX,
          "is isolated by its CPU (SEV-SNP or TDX) and cannot move live" },
        { vm->dda, "has an assigned device (DDA)" },
        { vm->gpu, "has a GPU partition" },
        { vm->local_disk, "has a disk on its node's own storage" },
        { vm->passthrough, "has a pass-through disk" },
        { vm->iso != NULL && !path_is_shared(vm->iso), "has an ISO image on its node's own storage" },
        { writes_too_fast(f, vm), "writes memory faster than migration can send it" },
    };

    for (unsigned i = 0; i < sizeof ties / sizeof *ties; i++)
        if (ties[i].holds)
            return ties[i].reason;
    return NULL;
}

/* The names of a node's virtual switches; unknown when there are none. */
static const char *const *switches_of(const struct fleet *f, uint32_t node, uint32_t *ret_n)
{
    if (f->nodes[node].facts != NULL) {
        *ret_n = f->nodes[node].facts->n_switches;
        return f->nodes[node].facts->switches;
    }
    *ret_n = f->inv->nodes[node].n_switches;
    return f->inv->nodes[node].switches;
}

static bool has_switches(const struct fleet *f, const struct vm *vm, uint32_t node)
{
    uint32_t n;
    const char *const *names = switches_of(f, node, &n);

    if (n == 0)
        return true;
    for (uint32_t i = 0; i < vm->n_switches; i++) {
        uint32_t at = 0;

        while (at < n && strcmp(names[at], vm->switches[i]) != 0)
            at++;
        if (at == n)
            return false;
    }
    return true;
}

static bool same_cpu(const struct inventory *inv, uint32_t a, uint32_t b)
{
    const char *x = inv->nodes[a].cpu, *y = inv->nodes[b].cpu;

    return x == NULL || y == NULL || strcmp(x, y) == 0;
}

const char *vm_cannot_move(const struct fleet *f, const struct fleet_vm *v, uint32_t to)
{
    const char *pinned = vm_is_pinned(f, v);

    if (pinned != NULL)
        return pinned;
    if (!vm_may_own(v, f->inv, to))
        return "may not be owned by that node";
    if (!has_switches(f, &v->vm, to))
        return "needs a virtual switch that the node has not";
    if (!v->vm.cpu_compat && v->at != IX_NONE && !same_cpu(f->inv, v->at, to))
        return "needs CPU features that the node has not";
    return NULL;
}

static bool shares_class(const struct fleet_vm *v, uint32_t class)
{
    for (uint32_t i = 0; i < v->n_anti; i++)
        if (v->anti[i] == class)
            return true;
    return false;
}

static bool class_on_node(const struct fleet *f, uint32_t vm, uint32_t class, uint32_t node)
{
    for (uint32_t i = f->nodes[node].first_vm; i != IX_NONE; i = f->vms.items[i].next)
        if (i != vm && vm_holds_memory(&f->vms.items[i]) && shares_class(&f->vms.items[i], class))
            return true;
    return false;
}

static bool class_near(const struct fleet *f, uint32_t vm, uint32_t class, uint32_t node)
{
    const struct cluster *c = &f->inv->clusters[f->inv->nodes[node].cluster];

    if (!f->classes.items[class].domain)
        return class_on_node(f, vm, class, node);
    for (uint32_t i = 0; i < c->n_nodes; i++)
        if (strcmp(f->inv->nodes[c->nodes[i]].fault_domain, f->inv->nodes[node].fault_domain) == 0 &&
            class_on_node(f, vm, class, c->nodes[i]))
            return true;
    return false;
}

const struct fleet_class *fleet_conflict(const struct fleet *f, uint32_t vm, uint32_t node, bool hard_only)
{
    const struct fleet_vm *v = &f->vms.items[vm];

    for (uint32_t i = 0; i < v->n_anti; i++) {
        const struct fleet_class *c = &f->classes.items[v->anti[i]];

        if ((c->hard || !hard_only) && class_near(f, vm, v->anti[i], node))
            return c;
    }
    return NULL;
}
