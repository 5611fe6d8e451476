/* One node's view of its cluster. */
#include "orchestrator/core/facts_list.h"
#include "orchestrator/core/facts_names.h"
#include "orchestrator/core/inventory_names.h"

#include <string.h>

const char *const node_state_names[5] = { "up", "down", "paused", "joining", "unknown" };
const char *const package_state_names[7] = { "absent",    "staged",     "install_pending",
                                             "installed", "superseded", "uninstall_pending",
                                             "other" };
const char *const group_type_names[7] = { "vm",  "cluster", "available_storage", "pool", "file_server",
                                          "cau", "other" };
const char *const group_state_names[5] = { "online", "offline", "failed", "partial", "pending" };

static void read_node(struct fields *f, const json *o, void *item)
{
    struct view_node *x = item;

    x->id = fields_str(f, o, "id", JSON_REQUIRED);
    x->state =
        (enum node_state_seen)fields_enum(f, o, "state", JSON_REQUIRED, FIELDS_NAMES(node_state_names), 0);
    x->vote = fields_u32(f, o, "vote", JSON_REQUIRED, 1, 0);
    x->dynamic_vote = fields_u32(f, o, "dynamic_vote", JSON_REQUIRED, 1, 0);
    x->fault_domain = fields_nullable(f, o, "fault_domain");
}

static void write_node(struct json_writer *w, const void *item)
{
    const struct view_node *x = item;

    jw_str(w, "id", x->id);
    jw_str(w, "state", node_state_names[x->state]);
    jw_int(w, "vote", x->vote);
    jw_int(w, "dynamic_vote", x->dynamic_vote);
    jw_str(w, "fault_domain", x->fault_domain);
}

static bool same_node(const void *one, const void *other)
{
    struct view_node a = *(const struct view_node *)one, b = *(const struct view_node *)other;

    return facts_same_text(&a.id, &b.id) && facts_same_text(&a.fault_domain, &b.fault_domain) &&
           facts_same_rest(&a, &b, sizeof a);
}

const struct facts_kind facts_view_nodes = { sizeof(struct view_node), read_node, write_node, NULL,
                                             same_node };

static void read_group(struct fields *f, const json *o, void *item)
{
    struct view_group *x = item;

    x->id = fields_str(f, o, "id", JSON_REQUIRED);
    x->name = fields_str(f, o, "name", JSON_REQUIRED);
    x->owner = fields_str(f, o, "owner", JSON_REQUIRED);
    x->vm = fields_str(f, o, "vm", JSON_OPTIONAL);
    x->type = (enum group_type)fields_enum(f, o, "type", JSON_REQUIRED, FIELDS_NAMES(group_type_names), 0);
    x->state =
        (enum group_state)fields_enum(f, o, "state", JSON_REQUIRED, FIELDS_NAMES(group_state_names), 0);
    x->wanted_online = fields_bool(f, o, "wanted_online", JSON_REQUIRED, true);
    x->locked = fields_bool(f, o, "locked", JSON_REQUIRED, false);
    x->pinned = fields_bool(f, o, "pinned", JSON_REQUIRED, false);
}

static void write_group(struct json_writer *w, const void *item)
{
    const struct view_group *x = item;

    jw_str(w, "id", x->id);
    jw_str(w, "name", x->name);
    jw_str(w, "type", group_type_names[x->type]);
    jw_str(w, "state", group_state_names[x->state]);
    jw_str(w, "owner", x->owner);
    jw_str(w, "vm", x->vm);
    jw_bool(w, "wanted_online", x->wanted_online);
    jw_bool(w, "locked", x->locked);
    jw_bool(w, "pinned", x->pinned);
}

static bool same_group(const void *one, const void *other)
{
    struct view_group a = *(const struct view_group *)one, b = *(const struct view_group *)other;

    return facts_same_text(&a.id, &b.id) && facts_same_text(&a.name, &b.name) &&
           facts_same_text(&a.owner, &b.owner) && facts_same_text(&a.vm, &b.vm) &&
           facts_same_rest(&a, &b, sizeof a);
}

const struct facts_kind facts_view_groups = { sizeof(struct view_group), read_group, write_group, NULL,
                                              same_group };

static void read_volume(struct fields *f, const json *o, void *item)
{
    struct view_csv *x = item;

    x->id = fields_str(f, o, "id", JSON_REQUIRED);
    x->name = fields_str(f, o, "name", JSON_REQUIRED);
    x->owner = fields_str(f, o, "owner", JSON_REQUIRED);
    x->healthy = fields_bool(f, o, "healthy", JSON_REQUIRED, false);
}

static void write_volume(struct json_writer *w, const void *item)
{
    const struct view_csv *x = item;

    jw_str(w, "id", x->id);
    jw_str(w, "name", x->name);
    jw_str(w, "owner", x->owner);
    jw_bool(w, "healthy", x->healthy);
}

static bool same_volume(const void *one, const void *other)
{
    struct view_csv a = *(const struct view_csv *)one, b = *(const struct view_csv *)other;

    return facts_same_text(&a.id, &b.id) && facts_same_text(&a.name, &b.name) &&
           facts_same_text(&a.owner, &b.owner) && facts_same_rest(&a, &b, sizeof a);
}

const struct facts_kind facts_view_csvs = { sizeof(struct view_csv), read_volume, write_volume, NULL,
                                            same_volume };

static void read_quorum(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *q = fields_object(f, v, "quorum", JSON_REQUIRED);
    const char *state;

    c->witness = (enum quorum_witness)fields_enum(f, q, "witness", JSON_REQUIRED,
                                                  FIELDS_NAMES(quorum_witness_names), 0);
    state = f->rc == 0 ? fields_nullable(f, q, "witness_state") : NULL;
    c->witness_online = state != NULL && strcmp(state, "online") == 0;
    c->witness_vote = fields_u32(f, q, "witness_vote", JSON_REQUIRED, 1, 0);
}

static void read_failed(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *list = fields_array(f, v, "resources_failed", JSON_REQUIRED);
    const char **ids = fields_items(f, list, sizeof *ids, &c->n_resources_failed);
    uint32_t n = 0;

    for (const json *o = json_first(list); n < c->n_resources_failed; o = json_next(o), n++)
        ids[n] = fields_str(f, o, "id", JSON_REQUIRED);
    c->resources_failed = ids;
}

static void read_properties(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *p = fields_object(f, v, "properties", JSON_REQUIRED);

    c->max_parallel_migrations = fields_u32(f, p, "max_parallel_migrations", JSON_REQUIRED, 1000, 1);
    c->bandwidth_mib_s = fields_mib(f, p, "migration_bandwidth_mib_s", JSON_REQUIRED, 0);
    c->auto_balancer_mode = fields_u32(f, p, "auto_balancer_mode", JSON_REQUIRED, 2, 0);
    c->move_type_threshold = fields_u32(f, p, "move_type_threshold", JSON_REQUIRED, UINT32_MAX, 0);
    c->enforced_anti_affinity = fields_bool(f, p, "enforced_anti_affinity", JSON_REQUIRED, false);
}

static void read_busy(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *list = fields_array(f, v, "busy", JSON_REQUIRED);
    uint32_t n = 0;
    struct view_busy *items = fields_items(f, list, sizeof *items, &c->n_busy);

    for (const json *o = json_first(list); n < c->n_busy; o = json_next(o), n++) {
        items[n].kind = fields_str(f, o, "kind", JSON_REQUIRED);
        items[n].text = fields_nullable(f, o, "text");
    }
    c->busy = items;
}

/* What is no list of its own, or changes too seldom to be told in steps. */
static void read_rest(struct fields *f, const json *o, void *item)
{
    struct cluster_view *c = item;

    c->cluster = fields_str(f, o, "cluster", JSON_REQUIRED);
    read_quorum(f, o, c);
    read_failed(f, o, c);
    read_properties(f, o, c);
    c->s2d = fields_bool(f, o, "s2d", JSON_REQUIRED, false);
    c->stretched = fields_bool(f, o, "stretched", JSON_REQUIRED, false);
    c->networks_down = fields_u32(f, o, "networks_down", JSON_REQUIRED, UINT32_MAX, 0);
    read_busy(f, o, c);
}

static void write_failed(struct json_writer *w, const struct cluster_view *c)
{
    jw_array(w, "resources_failed");
    for (uint32_t i = 0; i < c->n_resources_failed; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", c->resources_failed[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_busy(struct json_writer *w, const struct cluster_view *c)
{
    jw_array(w, "busy");
    for (uint32_t i = 0; i < c->n_busy; i++) {
        jw_object(w, NULL);
        jw_str(w, "kind", c->busy[i].kind);
        jw_str(w, "text", c->busy[i].text);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_rest(struct json_writer *w, const void *item)
{
    const struct cluster_view *c = item;

    jw_str(w, "cluster", c->cluster);
    jw_object(w, "quorum");
    jw_str(w, "witness", quorum_witness_names[c->witness]);
    jw_str(w, "witness_state", c->witness_online ? "online" : NULL);
    jw_int(w, "witness_vote", c->witness_vote);
    jw_object_end(w);
    write_failed(w, c);
    jw_object(w, "properties");
    jw_int(w, "max_parallel_migrations", c->max_parallel_migrations);
    jw_int(w, "migration_bandwidth_mib_s", (int64_t)c->bandwidth_mib_s);
    jw_int(w, "auto_balancer_mode", c->auto_balancer_mode);
    jw_int(w, "move_type_threshold", c->move_type_threshold);
    jw_bool(w, "enforced_anti_affinity", c->enforced_anti_affinity);
    jw_object_end(w);
    jw_bool(w, "s2d", c->s2d);
    jw_bool(w, "stretched", c->stretched);
    jw_int(w, "networks_down", c->networks_down);
    write_busy(w, c);
}

#define NO_ITEMS ((struct facts_items){ NULL, 0 })

static void set_lists(struct cluster_view *c, struct facts_items nodes, struct facts_items groups,
                      struct facts_items csvs)
{
    c->nodes = nodes.items;
    c->n_nodes = nodes.n;
    c->groups = groups.items;
    c->n_groups = groups.n;
    c->csvs = csvs.items;
    c->n_csvs = csvs.n;
}

static bool same_rest(const void *one, const void *other)
{
    struct cluster_view a = *(const struct cluster_view *)one, b = *(const struct cluster_view *)other;

    if (a.n_busy > 0 || b.n_busy > 0)
        return false; /* seldom */
    set_lists(&a, NO_ITEMS, NO_ITEMS, NO_ITEMS);
    set_lists(&b, NO_ITEMS, NO_ITEMS, NO_ITEMS);
    a.busy = b.busy = NULL;
    return facts_same_text(&a.cluster, &b.cluster) &&
           facts_same_texts(&a.resources_failed, &b.resources_failed, a.n_resources_failed,
                            b.n_resources_failed) &&
           facts_same_rest(&a, &b, sizeof a);
}

static const struct facts_kind rest = { sizeof(struct cluster_view), read_rest, write_rest, NULL, same_rest };

#define NODES(c) ((struct facts_items){ (c)->nodes, (c)->n_nodes })
#define GROUPS(c) ((struct facts_items){ (c)->groups, (c)->n_groups })
#define CSVS(c) ((struct facts_items){ (c)->csvs, (c)->n_csvs })

void facts_read_view(struct fields *f, const json *o, struct arena *lists, struct cluster_view *ret)
{
    struct cluster_view c = { 0 };
    struct facts_items nodes = facts_read_list(f, o, "nodes", &facts_view_nodes, lists);
    struct facts_items groups = facts_read_list(f, o, "groups", &facts_view_groups, lists);
    struct facts_items csvs = facts_read_list(f, o, "csvs", &facts_view_csvs, lists);

    read_rest(f, o, &c);
    set_lists(&c, nodes, groups, csvs);
    if (f->rc == 0)
        *ret = c;
}

int facts_read_cluster(const struct json_doc *d, const json *v, struct arena *a, struct cluster_view *ret,
                       struct err *err)
{
    struct fields f = { d, a, err, 0 };

    facts_read_view(&f, v, a, ret);
    return f.rc;
}

void facts_write_cluster(struct json_writer *w, const char *key, const struct cluster_view *c)
{
    jw_object(w, key);
    write_rest(w, c);
    facts_write_list(w, "nodes", &facts_view_nodes, NODES(c));
    facts_write_list(w, "groups", &facts_view_groups, GROUPS(c));
    facts_write_list(w, "csvs", &facts_view_csvs, CSVS(c));
    jw_object_end(w);
}

void facts_write_view_changes(struct json_writer *w, const struct cluster_view *old,
                              const struct cluster_view *now)
{
    if (!facts_alike(&rest, old, now)) {
        jw_object(w, "view");
        write_rest(w, now);
        jw_object_end(w);
    }
    facts_write_steps(w, "nodes", &facts_view_nodes, NODES(old), NODES(now), 0);
    facts_write_steps(w, "groups", &facts_view_groups, GROUPS(old), GROUPS(now), 0);
    facts_write_steps(w, "csvs", &facts_view_csvs, CSVS(old), CSVS(now), 0);
}

void facts_read_view_changes(struct fields *f, const json *o, const struct cluster_view *old,
                             struct arena *lists, struct cluster_view *ret)
{
    const json *view = fields_object(f, o, "view", JSON_OPTIONAL);
    struct cluster_view c = *old;
    struct facts_items nodes = facts_read_steps(f, o, "nodes", &facts_view_nodes, NODES(old), 0, lists);
    struct facts_items groups = facts_read_steps(f, o, "groups", &facts_view_groups, GROUPS(old), 0, lists);
    struct facts_items csvs = facts_read_steps(f, o, "csvs", &facts_view_csvs, CSVS(old), 0, lists);

    if (view != NULL)
        read_rest(f, view, &c);
    set_lists(&c, nodes, groups, csvs);
    if (f->rc == 0)
        *ret = c;
}
