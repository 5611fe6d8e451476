/* What a store could know of the VMs of its nodes. Only the node that has a VM tells what it is and where it may go; a node that
 * may not be spoken to counts as out, and its VMs as what they were when it told of them last. */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

void oracle_spoken_to(struct sim_oracle *o, uint32_t store, uint32_t node, time_ms at, bool now)
{
    struct oracle_store *s = &o->stores[store];

    s->spoken_at[node] = s->spoken_to[node] ? s->spoken_at[node] : at;
    s->spoken_to[node] = now;
    s->distrusted[node] = !now && s->distrusted[node];
}

void oracle_distrusted(struct sim_oracle *o, uint32_t store, uint32_t node)
{
    o->stores[store].distrusted[node] = true;
}

void oracle_vms_told(struct sim_oracle *o, uint32_t store, uint32_t node, time_ms at)
{
    o->stores[store].told_vms[node] = at;
}

uint64_t oracle_unseen(const struct sim_oracle *o, uint32_t store)
{
    const struct oracle_store *s = &o->stores[store];
    uint64_t unseen = 0;

    for (uint32_t i = 0; i < o->w->n_vms; i++) {
        const struct world_vm *v = &o->w->vms[i];
        bool told = v->set_at + o->policy.slack_ms < s->told_vms[v->node];

        if (v->set_at != 0 && !told && !s->spoken_to[v->node])
            unseen |= (uint64_t)1 << i;
    }
    return unseen;
}

static bool had_its_service(const struct sim_oracle *o, uint32_t store, uint32_t node)
{
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *x = &o->intents.items[i];

        if (x->store == store && x->node == node &&
            (strcmp(x->action, "stop_vmms") == 0 || strcmp(x->action, "start_vmms") == 0))
            return true;
    }
    return false;
}

bool oracle_whole_picture(const struct sim_oracle *o, uint32_t store, uint32_t cluster, time_ms taken)
{
    const struct oracle_store *s = &o->stores[store];

    for (uint32_t i = 0; i < o->w->n_nodes; i++)
        if (o->w->nodes[i].cluster == cluster && world_node_up(o->w, i) && !o->w->nodes[i].paused &&
            s->spoken_to[i] && s->told_vms[i] != taken && !had_its_service(o, store, i))
            return false;
    return true;
}
