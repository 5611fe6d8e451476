#include "orchestrator/core/facts_list.h"
#include "orchestrator/core/picture.h"

struct picture picture_of(const struct event *ev)
{
    return (struct picture){ .view = ev->u.observed.view,
                             .storage = ev->u.observed.storage,
                             .vms = ev->u.observed.vms,
                             .nodes = ev->u.observed.vms_nodes,
                             .n_nodes = ev->u.observed.n_vms_nodes };
}

void picture_into(const struct picture *p, struct event *ev)
{
    ev->u.observed.view = p->view;
    ev->u.observed.storage = p->storage;
    ev->u.observed.vms = p->vms;
    ev->u.observed.vms_nodes = p->nodes;
    ev->u.observed.n_vms_nodes = p->n_nodes;
}

void picture_write(struct json_writer *w, const struct picture *p, const struct inventory *inv)
{
    facts_write_cluster(w, "view", &p->view);
    facts_write_storage(w, "storage", &p->storage);
    jw_array(w, "vms");
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        jw_object(w, NULL);
        jw_str(w, "node", inv->nodes[p->nodes[i]].id);
        facts_write_vms(w, "seen", &p->vms[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static struct facts_items vms_of(const struct picture *p, uint32_t node)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i] == node)
            return (struct facts_items){ p->vms[i].items, p->vms[i].n };
    return (struct facts_items){ 0 };
}

/* The VMs of one node that answered, against those it told before. */
static void write_vms(struct json_writer *w, const struct picture *base, uint32_t node,
                      const struct vms_seen *seen, const struct inventory *inv)
{
    struct facts_items old = vms_of(base, node), now = { seen->items, seen->n };
    dur_ms later = facts_vms_later(old, now);

    jw_object(w, NULL);
    jw_str(w, "node", inv->nodes[node].id);
    if (later != 0)
        jw_int(w, "later_ms", later);
    facts_write_steps(w, "vms", &facts_vms, old, now, later);
    jw_object_end(w);
}

void picture_write_changes(struct json_writer *w, const struct kept_picture *base, const struct picture *p,
                           const struct inventory *inv)
{
    jw_str(w, "base", base->id);
    jw_object(w, "changes");
    facts_write_view_changes(w, &base->now.view, &p->view);
    facts_write_storage_changes(w, &base->now.storage, &p->storage);
    jw_array(w, "vms");
    for (uint32_t i = 0; i < p->n_nodes; i++)
        write_vms(w, &base->now, p->nodes[i], &p->vms[i], inv);
    jw_array_end(w);
    jw_object_end(w);
}
