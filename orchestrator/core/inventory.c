#include "orchestrator/core/inventory.h"

#include "orchestrator/core/fields.h"
#include "orchestrator/core/inventory_names.h"
#include "orchestrator/core/vm_json.h"
#include "schema/ids.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_FACTOR_MAX 100000

/* An element of the file and the id it is sorted by. */
struct element {
    const char *id;
    const json *at;
};

static int element_order(const void *a, const void *b)
{
    return strcmp(((const struct element *)a)->id, ((const struct element *)b)->id);
}

/* The elements of a list by id; each id well-formed and once. */
static struct element *elements_by_id(struct fields *f, const json *array, bool guids, const char *key,
                                      uint32_t *ret_n)
{
    struct element *list = fields_items(f, array, sizeof *list, ret_n);
    uint32_t n = 0;

    if (list == NULL)
        return NULL;
    for (const json *v = json_first(array); v != NULL && f->rc == 0; v = json_next(v), n++) {
        list[n] = (struct element){ fields_str(f, v, key, JSON_REQUIRED), v };
        if (f->rc == 0 && !(guids ? id_is_guid(list[n].id) : id_is_name(list[n].id)))
            fields_fault(f, json_get(v, key), guids ? "must be a GUID in lower case" : "must be a name");
    }
    if (f->rc != 0)
        return NULL;
    qsort(list, n, sizeof *list, element_order);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(list[i - 1].id, list[i].id) == 0) {
            f->rc = json_fault(f->doc, json_get(list[i].at, key), f->err, "`%s` is here twice", list[i].id);
            return NULL;
        }
    return list;
}

/* Ways to a node: the node's own words over its cluster's over the file's. */
static void read_ssh(struct fields *f, const json *o, struct node_ssh *ssh)
{
    static const char *const known[] = { "address", "user",          "identity",   "proxy_command",
                                         "port",    "connect_limit", "idle_limit", NULL };
    const json *s = fields_object(f, o, "ssh", JSON_OPTIONAL);
    const char *text;

    if (s == NULL)
        return;
    fields_known(f, s, known);
    if ((text = fields_str(f, s, "address", JSON_OPTIONAL)) != NULL)
        ssh->address = text;
    if ((text = fields_str(f, s, "user", JSON_OPTIONAL)) != NULL)
        ssh->user = text;
    if ((text = fields_str(f, s, "identity", JSON_OPTIONAL)) != NULL)
        ssh->identity = text;
    if ((text = fields_str(f, s, "proxy_command", JSON_OPTIONAL)) != NULL)
        ssh->proxy_command = text;
    ssh->port = fields_u32(f, s, "port", JSON_OPTIONAL, 65535, ssh->port);
    ssh->connect_limit_ms = fields_dur(f, s, "connect_limit", JSON_OPTIONAL, ssh->connect_limit_ms);
    ssh->idle_limit_ms = fields_dur(f, s, "idle_limit", JSON_OPTIONAL, ssh->idle_limit_ms);
}

static void read_cluster(struct fields *f, const json *o, struct cluster *c)
{
    static const char *const known[] = { "id",
                                         "name",
                                         "storage",
                                         "witness",
                                         "ssh",
                                         "rack_aware",
                                         "stretched",
                                         "reserve",
                                         "enforced_anti_affinity",
                                         "max_out",
                                         "optimisation_off",
                                         "migrations_parallel",
                                         "bandwidth_mib_s",
                                         "anti_affinity_hard",
                                         NULL };

    fields_known(f, o, known);
    c->id = fields_str(f, o, "id", JSON_REQUIRED);
    c->name = fields_str(f, o, "name", JSON_OPTIONAL);
    if (c->name == NULL)
        c->name = c->id;
    c->storage =
        (enum storage_kind)fields_enum(f, o, "storage", JSON_REQUIRED, FIELDS_NAMES(storage_kind_names), 0);
    c->witness = (enum quorum_witness)fields_enum(f, o, "witness", JSON_REQUIRED,
                                                  FIELDS_NAMES(quorum_witness_names), 0);
    c->rack_aware = fields_bool(f, o, "rack_aware", JSON_OPTIONAL, false);
    c->stretched = fields_bool(f, o, "stretched", JSON_OPTIONAL, false);
    c->enforced_anti_affinity = fields_bool(f, o, "enforced_anti_affinity", JSON_OPTIONAL, false);
    c->optimisation_off = fields_bool(f, o, "optimisation_off", JSON_OPTIONAL, false);
    c->reserve = (enum reserve_rung)fields_enum(f, o, "reserve", JSON_OPTIONAL,
                                                FIELDS_NAMES(reserve_rung_names), RESERVE_FULL);
    c->max_out = (uint32_t)fields_int(f, o, "max_out", JSON_OPTIONAL, 1, 64, 1);
    c->migrations_parallel = (uint32_t)fields_int(f, o, "migrations_parallel", JSON_OPTIONAL, 1, 64, 1);
    c->bandwidth_mib_s = (uint64_t)fields_int(f, o, "bandwidth_mib_s", JSON_OPTIONAL, 1, 1 << 20, 1100);
    c->hard_classes = fields_strings(f, o, "anti_affinity_hard", JSON_OPTIONAL, &c->n_hard);
}

/* Gives the elements, for what nodes inherit. */
static const struct element *read_clusters(struct fields *f, const json *root, struct inventory *inv)
{
    uint32_t n;
    struct element *list =
        elements_by_id(f, fields_array(f, root, "clusters", JSON_REQUIRED), false, "id", &n);

    inv->clusters = list == NULL ? NULL : ARENA_ARRAY(f->arena, struct cluster, n);
    if (inv->clusters == NULL) {
        if (f->rc == 0 && list != NULL)
            f->rc = err_set(f->err, ERR_NOMEM, "read clusters");
        return NULL;
    }
    inv->n_clusters = n;
    for (uint32_t i = 0; i < n; i++)
        read_cluster(f, list[i].at, &inv->clusters[i]);
    return list;
}

static struct build read_build(struct fields *f, const json *o, const char *key)
{
    struct build b = { 0, 0 };
    const char *text = fields_str(f, o, key, JSON_REQUIRED);

    if (text != NULL && build_parse(text, &b, NULL) != 0)
        fields_fault(f, json_get(o, key), "must be a build such as \"26100.4061\"");
    return b;
}

static void read_node(struct fields *f, const json *o, const struct inventory *inv, struct node *n)
{
    static const char *const known[] = { "id",          "cluster",  "ssh",          "model",
                                         "firmware",    "cpu",      "machine_id",   "bmc",
                                         "time_source", "switches", "memory_mib",   "host_reserve_mib",
                                         "cpus",        "vote",     "fault_domain", "build",
                                         "applies",     NULL };
    const json *applies = fields_object(f, o, "applies", JSON_OPTIONAL);
    const char *cluster;

    fields_known(f, o, known);
    n->id = fields_str(f, o, "id", JSON_REQUIRED);
    cluster = fields_str(f, o, "cluster", JSON_REQUIRED);
    n->cluster = cluster == NULL ? IX_NONE : inventory_cluster(inv, cluster);
    if (n->cluster == IX_NONE)
        fields_fault(f, json_get(o, "cluster"), "names a cluster that is not in this inventory");
    n->model = fields_str(f, o, "model", JSON_OPTIONAL);
    n->firmware = fields_str(f, o, "firmware", JSON_OPTIONAL);
    n->cpu = fields_str(f, o, "cpu", JSON_OPTIONAL);
    n->machine_id = fields_str(f, o, "machine_id", JSON_OPTIONAL);
    n->bmc = fields_str(f, o, "bmc", JSON_OPTIONAL);
    n->time_source = fields_str(f, o, "time_source", JSON_OPTIONAL);
    n->switches = fields_strings(f, o, "switches", JSON_OPTIONAL, &n->n_switches);
    n->memory_mib = fields_mib(f, o, "memory_mib", JSON_REQUIRED, 0);
    n->host_reserve_mib = fields_mib(f, o, "host_reserve_mib", JSON_REQUIRED, 0);
    if (n->host_reserve_mib > n->memory_mib)
        fields_fault(f, json_get(o, "host_reserve_mib"), "is more than the node's memory");
    n->cpus = fields_u32(f, o, "cpus", JSON_OPTIONAL, 4096, 1);
    n->vote = fields_u32(f, o, "vote", JSON_OPTIONAL, 1, 1);
    n->fault_domain = fields_str(f, o, "fault_domain", JSON_OPTIONAL);
    if (n->fault_domain == NULL)
        n->fault_domain = n->id; /* a node without one is its own */
    n->build = read_build(f, o, "build");
    n->applies_article = known_read(f, applies, "article");
    n->applies_microsoft = known_read(f, applies, "microsoft");
}

static void read_nodes(struct fields *f, const json *root, const struct element *clusters,
                       struct inventory *inv)
{
    uint32_t n;
    struct element *list = elements_by_id(f, fields_array(f, root, "nodes", JSON_REQUIRED), false, "id", &n);
    struct node_ssh all = { 0 };

    inv->nodes = list == NULL ? NULL : ARENA_ARRAY(f->arena, struct node, n);
    if (inv->nodes == NULL) {
        if (f->rc == 0 && list != NULL)
            f->rc = err_set(f->err, ERR_NOMEM, "read nodes");
        return;
    }
    inv->n_nodes = n;
    read_ssh(f, root, &all);
    for (uint32_t i = 0; i < n && f->rc == 0; i++) {
        struct node *node = &inv->nodes[i];

        read_node(f, list[i].at, inv, node);
        if (f->rc != 0)
            return;
        node->ssh = all;
        read_ssh(f, clusters[node->cluster].at, &node->ssh);
        read_ssh(f, list[i].at, &node->ssh);
    }
}

static int index_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void read_owners(struct fields *f, const json *o, const struct inventory *inv, struct vm *vm)
{
    uint32_t n;
    const char *const *ids = fields_strings(f, o, "possible_owners", JSON_OPTIONAL, &n);
    uint32_t *owners;

    if (n == 0)
        return;
    owners = ARENA_ARRAY(f->arena, uint32_t, n);
    if (owners == NULL) {
        f->rc = err_set(f->err, ERR_NOMEM, "read owners");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        owners[i] = inventory_node(inv, ids[i]);
        if (owners[i] == IX_NONE || inv->nodes[owners[i]].cluster != vm->cluster) {
            f->rc = json_fault(f->doc, json_get(o, "possible_owners"), f->err,
                               "`%s` is not a node of the VM's cluster", ids[i]);
            return;
        }
    }
    qsort(owners, n, sizeof *owners, index_order);
    vm->owners = owners;
    vm->n_owners = n;
}

static void read_vm(struct fields *f, const json *o, const struct inventory *inv, struct vm *vm)
{
    const char *node;

    fields_known(f, o, vm_json_known);
    vm_read(f, o, JSON_OPTIONAL, vm);
    node = fields_str(f, o, "node", JSON_REQUIRED);
    if (node == NULL)
        return;
    vm->home = inventory_node(inv, node);
    if (vm->home == IX_NONE) {
        f->rc = json_fault(f->doc, json_get(o, "node"), f->err, "VM `%s` is on the unknown node `%s`",
                           vm->name, node);
        return;
    }
    assert(inv->nodes != NULL);
    vm->cluster = inv->nodes[vm->home].cluster;
    read_owners(f, o, inv, vm);
    if (f->rc == 0 && vm->sla != NULL && inventory_sla(inv, vm->sla) == NULL)
        fields_fault(f, json_get(o, "sla"), "names a class that is not among `sla_classes`");
}

static void read_vms(struct fields *f, const json *root, struct inventory *inv)
{
    uint32_t n;
    struct element *list = elements_by_id(f, fields_array(f, root, "vms", JSON_OPTIONAL), true, "id", &n);

    inv->vms = list == NULL ? NULL : ARENA_ARRAY(f->arena, struct vm, n);
    if (inv->vms == NULL) {
        if (f->rc == 0 && list != NULL)
            f->rc = err_set(f->err, ERR_NOMEM, "read VMs");
        return;
    }
    inv->n_vms = n;
    for (uint32_t i = 0; i < n && f->rc == 0; i++)
        read_vm(f, list[i].at, inv, &inv->vms[i]);
}

static void read_sla(struct fields *f, const json *root, struct inventory *inv)
{
    static const char *const known[] = { "name", "must_restart", "parked_max", NULL };
    uint32_t n;
    struct element *list =
        elements_by_id(f, fields_array(f, root, "sla_classes", JSON_OPTIONAL), false, "name", &n);

    inv->sla_classes = list == NULL ? NULL : ARENA_ARRAY(f->arena, struct sla_class, n);
    if (inv->sla_classes == NULL) {
        if (f->rc == 0 && list != NULL)
            f->rc = err_set(f->err, ERR_NOMEM, "read service classes");
        return;
    }
    inv->n_sla_classes = n;
    for (uint32_t i = 0; i < n; i++) {
        fields_known(f, list[i].at, known);
        inv->sla_classes[i] = (struct sla_class){
            .name = list[i].id,
            .must_restart = fields_bool(f, list[i].at, "must_restart", JSON_OPTIONAL, false),
            .parked_max = fields_u32(f, list[i].at, "parked_max", JSON_OPTIONAL, UINT32_MAX, UINT32_MAX),
        };
    }
}

/* The members of each cluster, in id order, counted first. */
static void link_members(struct fields *f, struct inventory *inv)
{
    assert(inv->clusters != NULL || inv->n_nodes == 0); /* each node's cluster was found */
    assert(inv->vms != NULL || inv->n_vms == 0);
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        inv->clusters[inv->nodes[i].cluster].n_nodes++;
    for (uint32_t i = 0; i < inv->n_vms; i++)
        inv->clusters[inv->vms[i].cluster].n_vms++;
    for (uint32_t c = 0; c < inv->n_clusters; c++) {
        struct cluster *cl = &inv->clusters[c];

        cl->nodes = ARENA_ARRAY(f->arena, uint32_t, cl->n_nodes);
        cl->vms = ARENA_ARRAY(f->arena, uint32_t, cl->n_vms);
        if (cl->nodes == NULL || cl->vms == NULL) {
            f->rc = err_set(f->err, ERR_NOMEM, "link a cluster");
            return;
        }
        cl->n_nodes = cl->n_vms = 0;
    }
    for (uint32_t i = 0; i < inv->n_nodes; i++) {
        struct cluster *cl = &inv->clusters[inv->nodes[i].cluster];

        cl->nodes[cl->n_nodes++] = i;
    }
    for (uint32_t i = 0; i < inv->n_vms; i++) {
        struct cluster *cl = &inv->clusters[inv->vms[i].cluster];

        cl->vms[cl->n_vms++] = i;
    }
}

static void read_clock(struct fields *f, const json *root, struct inventory *inv)
{
    static const char *const known[] = { "factor", "anchor_ms", NULL };
    const json *clock = fields_object(f, root, "clock", JSON_OPTIONAL);

    inv->lab = fields_bool(f, root, "lab", JSON_OPTIONAL, false);
    inv->clock_factor = 1;
    if (clock == NULL)
        return;
    fields_known(f, clock, known);
    inv->clock_factor = (uint32_t)fields_int(f, clock, "factor", JSON_OPTIONAL, 1, CLOCK_FACTOR_MAX, 1);
    inv->clock_anchor = fields_int(f, clock, "anchor_ms", JSON_OPTIONAL, 0, INT64_MAX, 0);
    if (!inv->lab && inv->clock_factor != 1)
        fields_fault(f, json_get(clock, "factor"), "only a lab may have a clock factor other than 1");
}

static void read_all(struct fields *f, const json *root, struct inventory *inv)
{
    static const char *const known[] = { "$schema",  "version", "name", "lab",         "clock", "ssh",
                                         "clusters", "nodes",   "vms",  "sla_classes", NULL };
    const struct element *clusters;

    fields_known(f, root, known);
    fields_int(f, root, "version", JSON_REQUIRED, 1, 1, 1);
    inv->name = fields_str(f, root, "name", JSON_REQUIRED);
    if (inv->name != NULL && !id_is_name(inv->name))
        fields_fault(f, json_get(root, "name"), "must be a name");
    read_clock(f, root, inv);
    read_sla(f, root, inv);
    clusters = read_clusters(f, root, inv);
    read_nodes(f, root, clusters, inv);
    read_vms(f, root, inv);
    if (f->rc == 0)
        link_members(f, inv);
}

int inventory_read(const struct json_doc *doc, struct inventory **ret_inv, struct err *err)
{
    return inventory_read_value(doc, json_root(doc), ret_inv, err);
}

int inventory_read_value(const struct json_doc *doc, const json *value, struct inventory **ret_inv,
                         struct err *err)
{
    struct inventory *inv = calloc(1, sizeof *inv);
    struct fields f = { doc, NULL, err, 0 };

    if (inv == NULL)
        return err_set(err, ERR_NOMEM, "read inventory");
    f.arena = &inv->arena;
    if (!json_is_object(value))
        fields_fault(&f, value, "an inventory must be an object");
    else
        read_all(&f, value, inv);
    if (f.rc != 0) {
        inventory_free(inv);
        return f.rc;
    }
    *ret_inv = inv;
    return 0;
}

void inventory_free(struct inventory *inv)
{
    if (inv == NULL)
        return;
    arena_clear(&inv->arena);
    free(inv);
}
