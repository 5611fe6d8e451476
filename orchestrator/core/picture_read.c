#include "orchestrator/core/facts_list.h"
#include "orchestrator/core/picture.h"

#include <string.h>

/* The VMs of one node: all of them, or the steps from those it told before. */
typedef struct facts_items read_one(struct fields *f, const json *o, const struct picture *base,
                                    uint32_t node, struct arena *lists);

static struct facts_items read_all(struct fields *f, const json *o, const struct picture *base, uint32_t node,
                                   struct arena *lists)
{
    (void)base, (void)node;
    return facts_read_list(f, fields_object(f, o, "seen", JSON_REQUIRED), "vms", &facts_vms, lists);
}

static struct facts_items read_changed(struct fields *f, const json *o, const struct picture *base,
                                       uint32_t node, struct arena *lists)
{
    dur_ms later = fields_int(f, o, "later_ms", JSON_OPTIONAL, INT64_MIN, INT64_MAX, 0);
    struct facts_items old = { 0 };

    for (uint32_t i = 0; base != NULL && i < base->n_nodes; i++)
        if (base->nodes[i] == node)
            old = (struct facts_items){ base->vms[i].items, base->vms[i].n };
    return facts_read_steps(f, o, "vms", &facts_vms, old, later, lists);
}

static uint32_t read_node(struct fields *f, const json *o, const struct inventory *inv)
{
    const char *id = fields_str(f, o, "node", JSON_REQUIRED);
    uint32_t node = id == NULL ? IX_NONE : inventory_node(inv, id);

    if (id != NULL && node == IX_NONE && f->rc == 0)
        f->rc = json_fault(f->doc, o, f->err, "unknown node \"%s\"", id);
    return node;
}

static void read_vms(struct fields *f, const json *o, const struct inventory *inv, read_one *one,
                     const struct picture *base, struct arena *lists, struct picture *ret)
{
    const json *array = fields_array(f, o, "vms", JSON_REQUIRED);
    struct vms_seen *vms = ARENA_ARRAY(lists, struct vms_seen, json_count(array));
    uint32_t *nodes = ARENA_ARRAY(lists, uint32_t, json_count(array)), n = 0;

    if (f->rc == 0 && (vms == NULL || nodes == NULL))
        f->rc = err_set(f->err, ERR_NOMEM, "read a picture");
    for (const json *v = json_first(array); v != NULL && f->rc == 0; v = json_next(v), n++) {
        struct facts_items list;

        if (!json_is_object(v)) {
            fields_fault(f, v, "must be an object");
            return;
        }
        nodes[n] = read_node(f, v, inv);
        list = one(f, v, base, nodes[n], lists);
        vms[n] = (struct vms_seen){ list.items, list.n };
    }
    ret->vms = vms;
    ret->nodes = nodes;
    ret->n_nodes = n;
}

static void read_changes(struct fields *f, const json *event, const struct inventory *inv,
                         const struct kept_picture *base, struct arena *lists, struct picture *ret)
{
    const char *id = json_get_str(event, "base", "");
    const json *changes = fields_object(f, event, "changes", JSON_REQUIRED);

    if (f->rc == 0 && (base == NULL || base->id[0] == '\0'))
        f->rc = json_fault(f->doc, json_get(event, "base"), f->err,
                           "tells what changed since picture %s, and none is kept", id);
    else if (f->rc == 0 && strcmp(base->id, id) != 0)
        f->rc = json_fault(f->doc, json_get(event, "base"), f->err,
                           "tells what changed since picture %s, and the last one is %s", id, base->id);
    if (f->rc != 0)
        return;
    facts_read_view_changes(f, changes, &base->now.view, lists, &ret->view);
    facts_read_storage_changes(f, changes, &base->now.storage, lists, &ret->storage);
    read_vms(f, changes, inv, read_changed, &base->now, lists, ret);
}

void picture_read(struct fields *f, const json *event, const struct inventory *inv,
                  const struct kept_picture *base, struct arena *lists, struct picture *ret)
{
    if (json_get(event, "base") != NULL) {
        read_changes(f, event, inv, base, lists, ret);
        return;
    }
    facts_read_view(f, fields_object(f, event, "view", JSON_REQUIRED), lists, &ret->view);
    facts_read_disks(f, fields_object(f, event, "storage", JSON_REQUIRED), lists, &ret->storage);
    read_vms(f, event, inv, read_all, NULL, lists, ret);
}
