#include "orchestrator/core/facts_list.h"
#include "orchestrator/core/facts_names.h"
#include "orchestrator/core/vm_json.h"
#include "schema/ids.h"

#include <limits.h>
#include <string.h>

static struct fields fields_of(const struct json_doc *d, struct arena *a, struct err *err)
{
    return (struct fields){ d, a, err, 0 };
}

static struct build read_build(struct fields *f, const json *o)
{
    struct build b;

    b.number = fields_u32(f, o, "build", JSON_REQUIRED, 999999999, 0);
    b.ubr = fields_u32(f, o, "ubr", JSON_REQUIRED, 999999999, 0);
    return b;
}

static struct named_state *read_states(struct fields *f, const json *o, const char *key, uint32_t *ret_n)
{
    const json *list = fields_array(f, o, key, JSON_REQUIRED);
    struct named_state *items = fields_items(f, list, sizeof *items, ret_n);
    uint32_t n = 0;

    for (const json *v = json_first(list); n < *ret_n; v = json_next(v), n++) {
        items[n].name = fields_str(f, v, "name", JSON_REQUIRED);
        items[n].state = fields_str(f, v, "state", JSON_REQUIRED);
    }
    return items;
}

/* A hotpatch counts the UBR on and brings security fixes only, so that number does not say which cumulative update is in: the
 * newest one of this build that is installed does (I17). None above the number is: that one is not running. */
static void read_level(struct fields *f, const json *v, struct node_facts *n)
{
    const json *packages = fields_array(f, v, "packages", JSON_OPTIONAL);

    for (const json *p = json_first(packages); p != NULL; p = json_next(p)) {
        const char *state = fields_str(f, p, "state", JSON_REQUIRED);
        uint32_t build = fields_u32(f, p, "build", JSON_OPTIONAL, 999999999, 0);
        uint32_t ubr = fields_u32(f, p, "ubr", JSON_REQUIRED, 999999999, 0);

        if (state != NULL && strcmp(state, "installed") == 0 && build == n->build.number &&
            ubr <= n->build.ubr && ubr > n->level)
            n->level = ubr;
    }
}

/* As the driver would say it, so that what was written is read as it was. */
static void write_level(struct json_writer *w, const struct node_facts *n)
{
    jw_array(w, "packages");
    if (n->level > 0) {
        jw_object(w, NULL);
        jw_int(w, "build", n->build.number);
        jw_int(w, "ubr", n->level);
        jw_str(w, "state", "installed");
        jw_object_end(w);
    }
    jw_array_end(w);
}

bool facts_listed(const struct verify_facts *f)
{
    return f->package == PACKAGE_INSTALLED || f->package == PACKAGE_SUPERSEDED;
}

struct build facts_level(const struct node_facts *f)
{
    return f->hotpatch ? (struct build){ f->build.number, f->level } : f->build;
}

static void read_node_parts(struct fields *f, const json *v, struct node_facts *n)
{
    const json *os = fields_object(f, v, "os", JSON_REQUIRED);
    const json *pending = fields_object(f, v, "pending", JSON_REQUIRED);
    const json *bitlocker = fields_object(f, v, "bitlocker", JSON_OPTIONAL);
    const json *applies = fields_object(f, v, "applicability", JSON_OPTIONAL);

    n->build = read_build(f, os);
    n->server = fields_bool(f, os, "server", JSON_REQUIRED, false);
    n->pending_reboot = fields_bool(f, pending, "reboot", JSON_REQUIRED, true);
    if (bitlocker != NULL)
        n->bitlocker_os_volume = fields_nullable(f, bitlocker, "os_volume");
    n->applies_article = known_read(f, applies, "article");
    n->applies_microsoft = known_read(f, applies, "microsoft");
    n->services = read_states(f, v, "services", &n->n_services);
    n->interfaces = read_states(f, v, "interfaces", &n->n_interfaces);
    n->switches = fields_strings(f, v, "switches", JSON_REQUIRED, &n->n_switches);
}

/* The member has to be there, and is null where the driver does not know. */
static enum json_need or_unknown(const json *o, const char *key)
{
    return json_is_null(json_get(o, key)) ? JSON_OPTIONAL : JSON_REQUIRED;
}

int facts_read_node(const struct json_doc *d, const json *v, struct arena *a, struct node_facts *ret,
                    struct err *err)
{
    struct fields f = fields_of(d, a, err);
    struct node_facts n = { 0 };

    n.node = fields_str(&f, v, "node", JSON_REQUIRED);
    n.machine_id = fields_str(&f, v, "machine_id", JSON_REQUIRED);
    n.boot_id = fields_str(&f, v, "boot_id", JSON_REQUIRED);
    n.cluster = fields_nullable(&f, v, "cluster");
    n.model = fields_nullable(&f, v, "model");
    n.firmware = fields_nullable(&f, v, "firmware");
    n.bmc = fields_nullable(&f, v, "bmc");
    n.servicing_idle = fields_bool(&f, v, "servicing_idle", JSON_REQUIRED, false);
    n.tpm = fields_bool(&f, v, "tpm", or_unknown(v, "tpm"), false);
    n.hotpatch = fields_bool(&f, v, "hotpatch", JSON_REQUIRED, false);
    n.memory_mib = fields_mib(&f, v, "memory_mib", JSON_REQUIRED, 0);
    n.host_reserve_mib = fields_mib(&f, v, "host_reserve_mib", or_unknown(v, "host_reserve_mib"), 0);
    n.free_disk_bytes = (uint64_t)fields_int(&f, v, "free_disk_bytes", JSON_REQUIRED, 0, INT64_MAX, 0);
    n.cpus = fields_u32(&f, v, "cpus", JSON_REQUIRED, 65536, 0);
    n.storage_paths = fields_u32(&f, v, "storage_paths", or_unknown(v, "storage_paths"), UINT32_MAX, 0);
    n.vbs = fields_int(&f, v, "vbs", JSON_OPTIONAL, -1, INT32_MAX, -1);
    n.clock_error_ms = fields_int(&f, v, "clock_error_ms", JSON_OPTIONAL, INT64_MIN, INT64_MAX, 0);
    n.time_source = fields_nullable(&f, v, "time_source");
    n.attestation = fields_nullable(&f, v, "attestation");
    read_node_parts(&f, v, &n);
    if (n.hotpatch)
        read_level(&f, v, &n);
    if (f.rc == 0)
        *ret = n;
    return f.rc;
}

static void write_states(struct json_writer *w, const char *key, const struct named_state *items, uint32_t n)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < n; i++) {
        jw_object(w, NULL);
        jw_str(w, "name", items[i].name);
        jw_str(w, "state", items[i].state);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_node_parts(struct json_writer *w, const struct node_facts *n)
{
    jw_object(w, "os");
    jw_int(w, "build", n->build.number);
    jw_int(w, "ubr", n->build.ubr);
    jw_bool(w, "server", n->server);
    jw_object_end(w);
    jw_object(w, "pending");
    jw_bool(w, "reboot", n->pending_reboot);
    jw_object_end(w);
    jw_object(w, "bitlocker");
    jw_str(w, "os_volume", n->bitlocker_os_volume);
    jw_object_end(w);
    if (n->applies_article != KNOWN_NOT || n->applies_microsoft != KNOWN_NOT) {
        jw_object(w, "applicability");
        known_write(w, "article", n->applies_article);
        known_write(w, "microsoft", n->applies_microsoft);
        jw_object_end(w);
    }
    if (n->hotpatch)
        write_level(w, n);
    write_states(w, "services", n->services, n->n_services);
    write_states(w, "interfaces", n->interfaces, n->n_interfaces);
    vm_write_strings(w, "switches", n->switches, n->n_switches);
}

void facts_write_node(struct json_writer *w, const char *key, const struct node_facts *n)
{
    jw_object(w, key);
    jw_str(w, "node", n->node);
    jw_str(w, "machine_id", n->machine_id);
    jw_str(w, "boot_id", n->boot_id);
    jw_str(w, "cluster", n->cluster);
    jw_str(w, "model", n->model);
    jw_str(w, "firmware", n->firmware);
    jw_str(w, "bmc", n->bmc);
    jw_bool(w, "servicing_idle", n->servicing_idle);
    jw_bool(w, "tpm", n->tpm);
    jw_bool(w, "hotpatch", n->hotpatch);
    jw_int(w, "memory_mib", (int64_t)n->memory_mib);
    jw_int(w, "host_reserve_mib", (int64_t)n->host_reserve_mib);
    jw_int(w, "free_disk_bytes", (int64_t)n->free_disk_bytes);
    jw_int(w, "cpus", n->cpus);
    jw_int(w, "storage_paths", n->storage_paths);
    jw_int(w, "vbs", n->vbs);
    jw_int(w, "clock_error_ms", n->clock_error_ms);
    jw_str(w, "time_source", n->time_source);
    jw_str(w, "attestation", n->attestation);
    write_node_parts(w, n);
    jw_object_end(w);
}

static void read_vm(struct fields *f, const json *o, void *item)
{
    struct vm_seen *x = item;

    vm_read(f, o, JSON_REQUIRED, &x->vm);
    x->vm.cluster = x->vm.home = IX_NONE;
    x->node = fields_str(f, o, "node", JSON_REQUIRED);
    x->owner_ids = fields_strings(f, o, "possible_owners", JSON_REQUIRED, &x->n_owner_ids);
    x->uptime_ms = fields_int(f, o, "uptime_ms", JSON_REQUIRED, -1, INT64_MAX, 0);
}

static void write_vm(struct json_writer *w, const void *item)
{
    const struct vm_seen *x = item;

    vm_write_members(w, &x->vm);
    jw_str(w, "node", x->node);
    vm_write_strings(w, "possible_owners", x->owner_ids, x->n_owner_ids);
    jw_int(w, "uptime_ms", x->uptime_ms);
}

/* 0: does not run; -1: not known. A sum that no VM can have is none. */
static void age_vm(void *item, dur_ms later)
{
    struct vm_seen *x = item;

    if (x->uptime_ms <= 0 || (later > 0 && x->uptime_ms > INT64_MAX - later) || x->uptime_ms + later <= 0)
        return;
    x->uptime_ms += later;
}

static bool same_vm(const void *one, const void *other)
{
    struct vm_seen x = *(const struct vm_seen *)one, y = *(const struct vm_seen *)other;
    struct vm *a = &x.vm, *b = &y.vm;

    return facts_same_text(&a->id, &b->id) && facts_same_text(&a->name, &b->name) &&
           facts_same_text(&a->group, &b->group) && facts_same_text(&a->iso, &b->iso) &&
           facts_same_text(&a->key_protector, &b->key_protector) && facts_same_text(&a->sla, &b->sla) &&
           facts_same_text(&x.node, &y.node) &&
           facts_same_texts(&a->switches, &b->switches, a->n_switches, b->n_switches) &&
           facts_same_texts(&a->anti_affinity, &b->anti_affinity, a->n_anti, b->n_anti) &&
           facts_same_texts(&x.owner_ids, &y.owner_ids, x.n_owner_ids, y.n_owner_ids) &&
           facts_same_rest(&x, &y, sizeof x);
}

const struct facts_kind facts_vms = { sizeof(struct vm_seen), read_vm, write_vm, age_vm, same_vm };

int facts_read_vms(const struct json_doc *d, const json *v, struct arena *a, struct vms_seen *ret,
                   struct err *err)
{
    struct fields f = fields_of(d, a, err);
    struct facts_items list = facts_read_list(&f, v, "vms", &facts_vms, a);

    if (f.rc == 0)
        *ret = (struct vms_seen){ list.items, list.n };
    return f.rc;
}

void facts_write_vms(struct json_writer *w, const char *key, const struct vms_seen *s)
{
    jw_object(w, key);
    facts_write_list(w, "vms", &facts_vms, (struct facts_items){ s->items, s->n });
    jw_object_end(w);
}

/* null where nothing is known of the package: a driver never guesses. */
int facts_read_verify(const struct json_doc *d, const json *v, struct arena *a, struct verify_facts *ret,
                      struct err *err)
{
    struct fields f = fields_of(d, a, err);
    const json *hotfix = fields_object(&f, v, "hotfix", JSON_REQUIRED);
    struct verify_facts x = { 0 };

    x.build = read_build(&f, v);
    x.package = (enum package_state)fields_enum(&f, v, "package", JSON_REQUIRED,
                                                FIELDS_NAMES(package_state_names), 0);
    x.predecessor = fields_nullable(&f, v, "predecessor");
    x.pending = fields_bool(&f, v, "pending", JSON_REQUIRED, true);
    x.servicing_idle = fields_bool(&f, v, "servicing_idle", JSON_REQUIRED, false);
    x.boot_id = fields_str(&f, v, "boot_id", JSON_REQUIRED);
    x.hotfix_listed = fields_bool(&f, hotfix, "listed", JSON_REQUIRED, false);
    x.hotfix_installed_on = fields_nullable(&f, hotfix, "installed_on");
    if (f.rc == 0)
        *ret = x;
    return f.rc;
}

void facts_write_verify(struct json_writer *w, const char *key, const struct verify_facts *x)
{
    jw_object(w, key);
    jw_int(w, "build", x->build.number);
    jw_int(w, "ubr", x->build.ubr);
    jw_str(w, "package", package_state_names[x->package]);
    jw_str(w, "predecessor", x->predecessor);
    jw_bool(w, "pending", x->pending);
    jw_bool(w, "servicing_idle", x->servicing_idle);
    jw_str(w, "boot_id", x->boot_id);
    jw_object(w, "hotfix");
    jw_bool(w, "listed", x->hotfix_listed);
    jw_str(w, "installed_on", x->hotfix_installed_on);
    jw_object_end(w);
    jw_object_end(w);
}

int facts_read_empty(const struct json_doc *d, const json *v, struct arena *a, struct empty_facts *ret,
                     struct err *err)
{
    struct fields f = fields_of(d, a, err);
    const json *list = fields_array(&f, v, "left", JSON_REQUIRED);
    struct empty_facts x = { 0 };
    uint32_t n = 0;

    x.empty = fields_bool(&f, v, "empty", JSON_REQUIRED, false);
    x.left = fields_items(&f, list, sizeof *x.left, &x.n_left);
    for (const json *o = json_first(list); n < x.n_left; o = json_next(o), n++) {
        x.left[n].kind = fields_str(&f, o, "kind", JSON_REQUIRED);
        x.left[n].id = fields_str(&f, o, "id", JSON_REQUIRED);
        x.left[n].name = fields_nullable(&f, o, "name");
        x.left[n].why = fields_nullable(&f, o, "why");
    }
    if (f.rc == 0 && x.empty && x.n_left > 0)
        fields_fault(&f, v, "says both empty and what is left");
    if (f.rc == 0)
        *ret = x;
    return f.rc;
}

void facts_write_empty(struct json_writer *w, const char *key, const struct empty_facts *x)
{
    jw_object(w, key);
    jw_bool(w, "empty", x->empty);
    jw_array(w, "left");
    for (uint32_t i = 0; i < x->n_left; i++) {
        jw_object(w, NULL);
        jw_str(w, "kind", x->left[i].kind);
        jw_str(w, "id", x->left[i].id);
        jw_str(w, "name", x->left[i].name);
        jw_str(w, "why", x->left[i].why);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

int facts_read_removability(const struct json_doc *d, const json *v, struct arena *a,
                            struct removability_facts *ret, struct err *err)
{
    static const char *const words[] = { "likely", "no", "unproved" };
    struct fields f = fields_of(d, a, err);
    struct removability_facts x;

    x.removable = words[fields_enum(&f, v, "removable", JSON_REQUIRED, FIELDS_NAMES(words), 2)];
    x.why = fields_nullable(&f, v, "why");
    x.predecessor = fields_nullable(&f, v, "predecessor");
    if (f.rc == 0)
        *ret = x;
    return f.rc;
}

void facts_write_removability(struct json_writer *w, const char *key, const struct removability_facts *x)
{
    jw_object(w, key);
    jw_str(w, "removable", x->removable);
    jw_str(w, "why", x->why);
    jw_str(w, "predecessor", x->predecessor);
    jw_object_end(w);
}
