/* One node's view of its cluster, and the cluster's storage. */
#include "orchestrator/core/facts.h"
#include "orchestrator/core/facts_names.h"
#include "orchestrator/core/fields.h"
#include "orchestrator/core/inventory_names.h"

#include <string.h>

const char *const node_state_names[5] = { "up", "down", "paused", "joining", "unknown" };
const char *const package_state_names[7] = { "absent",    "staged",     "install_pending",
                                             "installed", "superseded", "uninstall_pending",
                                             "other" };
const char *const disk_health_names[4] = { "healthy", "warning", "unhealthy", "unknown" };
const char *const storage_job_names[5] = { "repair", "regeneration", "optimize", "rebalance", "other" };
const char *const group_type_names[7] = { "vm",  "cluster", "available_storage", "pool", "file_server",
                                          "cau", "other" };
const char *const group_state_names[5] = { "online", "offline", "failed", "partial", "pending" };

static void read_nodes(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *list = fields_array(f, v, "nodes", JSON_REQUIRED);
    uint32_t n = 0;

    c->nodes = fields_items(f, list, sizeof *c->nodes, &c->n_nodes);
    for (const json *o = json_first(list); n < c->n_nodes && f->rc == 0; o = json_next(o), n++) {
        struct view_node *x = &c->nodes[n];

        x->id = fields_str(f, o, "id", JSON_REQUIRED);
        x->state = (enum node_state_seen)fields_enum(f, o, "state", JSON_REQUIRED,
                                                     FIELDS_NAMES(node_state_names), 0);
        x->vote = fields_u32(f, o, "vote", JSON_REQUIRED, 1, 0);
        x->dynamic_vote = fields_u32(f, o, "dynamic_vote", JSON_REQUIRED, 1, 0);
        x->fault_domain = fields_nullable(f, o, "fault_domain");
    }
}

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

static void read_groups(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *list = fields_array(f, v, "groups", JSON_REQUIRED);
    uint32_t n = 0;

    c->groups = fields_items(f, list, sizeof *c->groups, &c->n_groups);
    for (const json *o = json_first(list); n < c->n_groups && f->rc == 0; o = json_next(o), n++) {
        struct view_group *x = &c->groups[n];

        x->id = fields_str(f, o, "id", JSON_REQUIRED);
        x->name = fields_str(f, o, "name", JSON_REQUIRED);
        x->owner = fields_str(f, o, "owner", JSON_REQUIRED);
        x->vm = fields_str(f, o, "vm", JSON_OPTIONAL);
        x->type =
            (enum group_type)fields_enum(f, o, "type", JSON_REQUIRED, FIELDS_NAMES(group_type_names), 0);
        x->state =
            (enum group_state)fields_enum(f, o, "state", JSON_REQUIRED, FIELDS_NAMES(group_state_names), 0);
        x->wanted_online = fields_bool(f, o, "wanted_online", JSON_REQUIRED, true);
        x->locked = fields_bool(f, o, "locked", JSON_REQUIRED, false);
        x->pinned = fields_bool(f, o, "pinned", JSON_REQUIRED, false);
    }
}

static void read_volumes(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *list = fields_array(f, v, "csvs", JSON_REQUIRED);
    uint32_t n = 0;

    c->csvs = fields_items(f, list, sizeof *c->csvs, &c->n_csvs);
    for (const json *o = json_first(list); n < c->n_csvs && f->rc == 0; o = json_next(o), n++) {
        c->csvs[n].id = fields_str(f, o, "id", JSON_REQUIRED);
        c->csvs[n].name = fields_str(f, o, "name", JSON_REQUIRED);
        c->csvs[n].owner = fields_str(f, o, "owner", JSON_REQUIRED);
        c->csvs[n].healthy = fields_bool(f, o, "healthy", JSON_REQUIRED, false);
    }
}

static void read_failed(struct fields *f, const json *v, struct cluster_view *c)
{
    const json *list = fields_array(f, v, "resources_failed", JSON_REQUIRED);
    const char **ids = fields_items(f, list, sizeof *ids, &c->n_resources_failed);
    uint32_t n = 0;

    for (const json *o = json_first(list); n < c->n_resources_failed && f->rc == 0; o = json_next(o), n++)
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

    c->busy = fields_items(f, list, sizeof *c->busy, &c->n_busy);
    for (const json *o = json_first(list); n < c->n_busy && f->rc == 0; o = json_next(o), n++) {
        c->busy[n].kind = fields_str(f, o, "kind", JSON_REQUIRED);
        c->busy[n].text = fields_nullable(f, o, "text");
    }
}

int facts_read_cluster(const struct json_doc *d, const json *v, struct arena *a, struct cluster_view *ret,
                       struct err *err)
{
    struct fields f = { d, a, err, 0 };
    struct cluster_view c = { 0 };

    c.cluster = fields_str(&f, v, "cluster", JSON_REQUIRED);
    read_nodes(&f, v, &c);
    read_quorum(&f, v, &c);
    read_groups(&f, v, &c);
    read_volumes(&f, v, &c);
    read_failed(&f, v, &c);
    read_properties(&f, v, &c);
    c.s2d = fields_bool(&f, v, "s2d", JSON_REQUIRED, false);
    c.stretched = fields_bool(&f, v, "stretched", JSON_REQUIRED, false);
    c.networks_down = fields_u32(&f, v, "networks_down", JSON_REQUIRED, UINT32_MAX, 0);
    read_busy(&f, v, &c);
    if (f.rc == 0)
        *ret = c;
    return f.rc;
}

static void write_nodes(struct json_writer *w, const struct cluster_view *c)
{
    jw_array(w, "nodes");
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", c->nodes[i].id);
        jw_str(w, "state", node_state_names[c->nodes[i].state]);
        jw_int(w, "vote", c->nodes[i].vote);
        jw_int(w, "dynamic_vote", c->nodes[i].dynamic_vote);
        jw_str(w, "fault_domain", c->nodes[i].fault_domain);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object(w, "quorum");
    jw_str(w, "witness", quorum_witness_names[c->witness]);
    jw_str(w, "witness_state", c->witness_online ? "online" : NULL);
    jw_int(w, "witness_vote", c->witness_vote);
    jw_object_end(w);
}

static void write_groups(struct json_writer *w, const struct cluster_view *c)
{
    jw_array(w, "groups");
    for (uint32_t i = 0; i < c->n_groups; i++) {
        const struct view_group *x = &c->groups[i];

        jw_object(w, NULL);
        jw_str(w, "id", x->id);
        jw_str(w, "name", x->name);
        jw_str(w, "type", group_type_names[x->type]);
        jw_str(w, "state", group_state_names[x->state]);
        jw_str(w, "owner", x->owner);
        jw_str(w, "vm", x->vm);
        jw_bool(w, "wanted_online", x->wanted_online);
        jw_bool(w, "locked", x->locked);
        jw_bool(w, "pinned", x->pinned);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_resources(struct json_writer *w, const struct cluster_view *c)
{
    jw_array(w, "csvs");
    for (uint32_t i = 0; i < c->n_csvs; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", c->csvs[i].id);
        jw_str(w, "name", c->csvs[i].name);
        jw_str(w, "owner", c->csvs[i].owner);
        jw_bool(w, "healthy", c->csvs[i].healthy);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array(w, "resources_failed");
    for (uint32_t i = 0; i < c->n_resources_failed; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", c->resources_failed[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
}

void facts_write_cluster(struct json_writer *w, const char *key, const struct cluster_view *c)
{
    jw_object(w, key);
    jw_str(w, "cluster", c->cluster);
    write_nodes(w, c);
    write_groups(w, c);
    write_resources(w, c);
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
    jw_array(w, "busy");
    for (uint32_t i = 0; i < c->n_busy; i++) {
        jw_object(w, NULL);
        jw_str(w, "kind", c->busy[i].kind);
        jw_str(w, "text", c->busy[i].text);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static void read_disks(struct fields *f, const json *v, struct storage_view *s)
{
    const json *list = fields_array(f, v, "virtual_disks", JSON_REQUIRED);
    uint32_t n = 0;

    s->disks = fields_items(f, list, sizeof *s->disks, &s->n_disks);
    for (const json *o = json_first(list); n < s->n_disks && f->rc == 0; o = json_next(o), n++) {
        s->disks[n].id = fields_str(f, o, "id", JSON_REQUIRED);
        s->disks[n].name = fields_nullable(f, o, "name");
        s->disks[n].health =
            (enum disk_health)fields_enum(f, o, "health", JSON_REQUIRED, FIELDS_NAMES(disk_health_names), 0);
    }
}

static void read_jobs(struct fields *f, const json *v, struct storage_view *s)
{
    static const char *const over[] = { "completed", "terminated", "killed", "exception" };
    const json *list = fields_array(f, v, "jobs", JSON_REQUIRED);
    uint32_t n = 0;

    s->jobs = fields_items(f, list, sizeof *s->jobs, &s->n_jobs);
    for (const json *o = json_first(list); n < s->n_jobs && f->rc == 0; o = json_next(o), n++) {
        struct view_job *j = &s->jobs[n];
        const char *state;

        j->id = fields_str(f, o, "id", JSON_REQUIRED);
        j->kind =
            (enum storage_job)fields_enum(f, o, "kind", JSON_REQUIRED, FIELDS_NAMES(storage_job_names), 0);
        state = fields_str(f, o, "state", JSON_REQUIRED);
        j->percent = fields_u32(f, o, "percent", JSON_OPTIONAL, 100, 0);
        j->running = true; /* a suspended or unknown job still blocks (O21) */
        for (unsigned i = 0; state != NULL && i < sizeof over / sizeof *over; i++)
            if (strcmp(over[i], state) == 0)
                j->running = false;
    }
}

int facts_read_storage(const struct json_doc *d, const json *v, struct arena *a, struct storage_view *ret,
                       struct err *err)
{
    struct fields f = { d, a, err, 0 };
    struct storage_view s = { 0 };

    s.s2d = fields_bool(&f, v, "s2d", JSON_REQUIRED, false);
    s.rack_aware = fields_bool(&f, v, "rack_aware", JSON_REQUIRED, false);
    read_disks(&f, v, &s);
    read_jobs(&f, v, &s);
    if (f.rc == 0)
        *ret = s;
    return f.rc;
}

void facts_write_storage(struct json_writer *w, const char *key, const struct storage_view *s)
{
    jw_object(w, key);
    jw_bool(w, "s2d", s->s2d);
    jw_array(w, "virtual_disks");
    for (uint32_t i = 0; i < s->n_disks; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", s->disks[i].id);
        jw_str(w, "name", s->disks[i].name);
        jw_str(w, "health", disk_health_names[s->disks[i].health]);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array(w, "jobs");
    for (uint32_t i = 0; i < s->n_jobs; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", s->jobs[i].id);
        jw_str(w, "kind", storage_job_names[s->jobs[i].kind]);
        jw_str(w, "state", s->jobs[i].running ? "running" : "completed");
        jw_int(w, "percent", s->jobs[i].percent);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_bool(w, "rack_aware", s->rack_aware);
    jw_object_end(w);
}

bool storage_view_clean(const struct storage_view *v)
{
    for (uint32_t i = 0; i < v->n_disks; i++)
        if (v->disks[i].health != DISK_HEALTHY)
            return false;
    for (uint32_t i = 0; i < v->n_jobs; i++)
        if (v->jobs[i].running && (v->jobs[i].kind == JOB_REPAIR || v->jobs[i].kind == JOB_REGENERATION))
            return false;
    return true;
}
