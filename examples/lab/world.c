#include "examples/lab/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void world_clear(struct world *w)
{
    list_clear(&w->clusters);
    list_clear(&w->nodes);
    list_clear(&w->vms);
    list_clear(&w->groups);
    list_clear(&w->disks);
    list_clear(&w->packages);
    list_clear(&w->logs);
    list_clear(&w->truth);
    list_clear(&w->effects);
    list_clear(&w->damage);
    list_clear(&w->faults);
    list_clear(&w->queue);
}

uint32_t world_node_by_id(const struct world *w, const char *id)
{
    for (uint32_t i = 0; i < w->nodes.n; i++)
        if (strcmp(w->nodes.items[i].id, id) == 0)
            return i;
    return WORLD_NONE;
}

uint32_t world_vm_by_id(const struct world *w, const char *id)
{
    for (uint32_t i = 0; i < w->vms.n; i++)
        if (strcmp(w->vms.items[i].id, id) == 0)
            return i;
    return WORLD_NONE;
}

uint32_t world_cluster_by_id(const struct world *w, const char *id)
{
    for (uint32_t i = 0; i < w->clusters.n; i++)
        if (strcmp(w->clusters.items[i].id, id) == 0)
            return i;
    return WORLD_NONE;
}

struct world_cluster *world_cluster_of(struct world *w, uint32_t node)
{
    return &w->clusters.items[w->nodes.items[node].cluster];
}

bool world_in_cluster(const struct world *w, uint32_t node, uint32_t cluster)
{
    return node < w->nodes.n && w->nodes.items[node].cluster == cluster;
}

bool world_vm_may_own(const struct world *w, const struct world_vm *v, uint32_t node)
{
    uint32_t local = node - w->clusters.items[v->cluster].first_node;

    return world_in_cluster(w, node, v->cluster) && (v->possible >> local & 1) != 0;
}

bool world_vm_is_stuck(const struct world_vm *v)
{
    return !v->clustered || v->dda || v->local_disk || v->passthrough || strcmp(v->isolation, "snp") == 0 ||
           strcmp(v->isolation, "tdx") == 0;
}

bool world_vm_active(const struct world_vm *v)
{
    return v->state != VM_OFF && v->state != VM_SAVED;
}

const char *world_vm_state_text(enum vm_state s)
{
    static const char *const names[] = { "running",  "off",      "saved",  "paused",
                                         "starting", "stopping", "saving", "migrating" };

    return names[s];
}

const char *world_service_text(enum service s)
{
    static const char *const names[] = { "stopped", "start_pending", "running", "stop_pending" };

    return names[s];
}

const char *world_cause_text(enum cause c)
{
    static const char *const names[] = { "blackout",   "quick",        "saved",    "shut_down",
                                         "turned_off", "vmms_stopped", "node_out", "crash" };

    return names[c];
}

bool world_node_serves(const struct world_node *n)
{
    return n->power == POWER_ON && n->member == MEMBER_JOINED;
}

bool world_node_open(const struct world_node *n)
{
    return world_node_serves(n) && !n->paused;
}

/* A running migration holds memory on both ends. */
int64_t world_node_used_mib(const struct world *w, uint32_t node)
{
    int64_t used = 0;

    for (uint32_t i = 0; i < w->vms.n; i++) {
        const struct world_vm *v = &w->vms.items[i];
        if ((v->node == node && world_vm_active(v)) || (v->move_running && v->move_to == node))
            used += v->assigned_mib;
    }
    return used;
}

int64_t world_node_free_mib(const struct world *w, uint32_t node)
{
    const struct world_node *n = &w->nodes.items[node];

    return n->memory_now_mib - n->host_reserve_mib - world_node_used_mib(w, node);
}

int world_refuse(struct refusal *r, const char *code, const char *native, const char *message, ...)
{
    va_list args;

    memset(r, 0, sizeof *r);
    snprintf(r->code, sizeof r->code, "%s", code);
    snprintf(r->native, sizeof r->native, "%s", native == NULL ? "" : native);
    va_start(args, message);
    vsnprintf(r->message, sizeof r->message, message, args);
    va_end(args);
    return -1;
}
