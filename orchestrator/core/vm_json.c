#include "orchestrator/core/vm_json.h"

#include "schema/ids.h"

static const char *const state_names[] = { "running",  "off",    "saved",     "paused", "starting",
                                           "stopping", "saving", "migrating", "other" };
static const char *const isolation_names[] = { "none", "trusted_launch", "vbs", "snp", "tdx" };
/* index 0 is null in JSON */
static const char *const busy_names[] = { "", "backup", "checkpoint", "merge", "migration", "export" };
static const char *const heartbeat_names[] = { "",      "ok",       "no_contact", "lost",
                                               "error", "disabled", "paused",     "unknown" };
static const char *const role_names[] = { "",    "domain_controller", "dns",       "witness_host",
                                          "hgs", "jump_host",         "controller" };

const char *const vm_json_known[] = { "id",
                                      "name",
                                      "node",
                                      "state",
                                      "clustered",
                                      "group",
                                      "memory",
                                      "cpus",
                                      "dirty_mib_s",
                                      "priority",
                                      "heartbeat",
                                      "busy",
                                      "isolation",
                                      "dda",
                                      "gpu",
                                      "local_disk",
                                      "passthrough",
                                      "shared_disk",
                                      "iso",
                                      "switches",
                                      "key_protector",
                                      "cpu_compat",
                                      "version",
                                      "stop_action",
                                      "start_action",
                                      "possible_owners",
                                      "preferred_owners",
                                      "anti_affinity",
                                      "auto_failback",
                                      "uptime_ms",
                                      "replication",
                                      "role",
                                      "sla",
                                      NULL };

/* A word that is null where there is none. */
static int nullable_enum(struct fields *f, const json *o, const char *key, enum json_need need,
                         const char *const *names, unsigned n)
{
    const json *v = f->rc != 0 ? NULL : json_get(o, key);
    int value;

    if (v != NULL && json_is_null(v))
        return 0;
    value = fields_enum(f, o, key, need, names, n, 0);
    if (f->rc == 0 && v != NULL && value == 0)
        fields_fault(f, v, "must be null or a word");
    return value;
}

static const char *nullable_str(struct fields *f, const json *o, const char *key, enum json_need need)
{
    return need == JSON_REQUIRED ? fields_nullable(f, o, key) : fields_str(f, o, key, need);
}

static void read_memory(struct fields *f, const json *o, enum json_need need, struct vm *vm)
{
    static const char *const known[] = { "assigned_mib", "startup_mib", "maximum_mib", "dynamic", NULL };
    const json *m = fields_object(f, o, "memory", JSON_REQUIRED);

    if (m == NULL)
        return;
    if (need == JSON_OPTIONAL)
        fields_known(f, m, known);
    vm->assigned_mib = fields_mib(f, m, "assigned_mib", JSON_REQUIRED, 0);
    vm->startup_mib = fields_mib(f, m, "startup_mib", need, vm->assigned_mib);
    vm->maximum_mib = fields_mib(f, m, "maximum_mib", need,
                                 vm->startup_mib > vm->assigned_mib ? vm->startup_mib : vm->assigned_mib);
    vm->dynamic_memory = fields_bool(f, m, "dynamic", need, false);
}

/* What decides whether it can move (O6). */
static void read_ties(struct fields *f, const json *o, enum json_need need, struct vm *vm)
{
    vm->isolation = (enum vm_isolation)fields_enum(f, o, "isolation", need, FIELDS_NAMES(isolation_names), 0);
    vm->dda = fields_bool(f, o, "dda", need, false);
    vm->gpu = fields_bool(f, o, "gpu", need, false);
    vm->local_disk = fields_bool(f, o, "local_disk", need, false);
    vm->passthrough = fields_bool(f, o, "passthrough", need, false);
    vm->shared_disk = fields_bool(f, o, "shared_disk", need, false);
    vm->iso = nullable_str(f, o, "iso", need);
    vm->key_protector = nullable_str(f, o, "key_protector", need);
    vm->cpu_compat = fields_bool(f, o, "cpu_compat", need, true);
    vm->switches = fields_strings(f, o, "switches", need, &vm->n_switches);
    vm->anti_affinity = fields_strings(f, o, "anti_affinity", need, &vm->n_anti);
    vm->auto_failback = fields_bool(f, o, "auto_failback", need, false);
    vm->replication = fields_bool(f, o, "replication", need, false);
}

void vm_read_beat(struct fields *f, const json *o, enum vm_state *ret_state, enum vm_heartbeat *ret_beat)
{
    *ret_state = (enum vm_state)fields_enum(f, o, "state", JSON_REQUIRED, FIELDS_NAMES(state_names), 0);
    *ret_beat =
        (enum vm_heartbeat)nullable_enum(f, o, "heartbeat", JSON_REQUIRED, FIELDS_NAMES(heartbeat_names));
}

void vm_read(struct fields *f, const json *o, enum json_need need, struct vm *ret_vm)
{
    struct vm *vm = ret_vm;

    vm->id = fields_str(f, o, "id", JSON_REQUIRED);
    if (vm->id != NULL && !id_is_guid(vm->id))
        fields_fault(f, json_get(o, "id"), "must be a GUID in lower case");
    vm->name = fields_str(f, o, "name", need);
    if (vm->name == NULL)
        vm->name = vm->id;
    vm->state = (enum vm_state)fields_enum(f, o, "state", need, FIELDS_NAMES(state_names), VM_RUNNING);
    vm->clustered = fields_bool(f, o, "clustered", need, true);
    vm->group = nullable_str(f, o, "group", need);
    read_memory(f, o, need, vm);
    vm->cpus = fields_u32(f, o, "cpus", need, 4096, 1);
    vm->dirty_mib_s = fields_int(f, o, "dirty_mib_s", JSON_OPTIONAL, 0, 1 << 30, -1);
    vm->priority = fields_u32(f, o, "priority", need, 1u << 20, 2000);
    vm->heartbeat = (enum vm_heartbeat)nullable_enum(f, o, "heartbeat", need, FIELDS_NAMES(heartbeat_names));
    vm->busy = (enum vm_busy)nullable_enum(f, o, "busy", need, FIELDS_NAMES(busy_names));
    read_ties(f, o, need, vm);
    /* Declared, not seen: a driver may leave them out. */
    vm->role = (enum vm_role)nullable_enum(f, o, "role", JSON_OPTIONAL, FIELDS_NAMES(role_names));
    vm->sla = fields_str(f, o, "sla", JSON_OPTIONAL);
}

void vm_write_strings(struct json_writer *w, const char *key, const char *const *texts, uint32_t n)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < n; i++)
        jw_str(w, NULL, texts[i]);
    jw_array_end(w);
}

static const char *or_null(const char *const *names, unsigned i)
{
    return i == 0 ? NULL : names[i];
}

static void write_memory(struct json_writer *w, const struct vm *vm)
{
    jw_object(w, "memory");
    jw_int(w, "assigned_mib", (int64_t)vm->assigned_mib);
    jw_int(w, "startup_mib", (int64_t)vm->startup_mib);
    jw_int(w, "maximum_mib", (int64_t)vm->maximum_mib);
    jw_bool(w, "dynamic", vm->dynamic_memory);
    jw_object_end(w);
}

static void write_ties(struct json_writer *w, const struct vm *vm)
{
    jw_str(w, "isolation", isolation_names[vm->isolation]);
    jw_bool(w, "dda", vm->dda);
    jw_bool(w, "gpu", vm->gpu);
    jw_bool(w, "local_disk", vm->local_disk);
    jw_bool(w, "passthrough", vm->passthrough);
    jw_bool(w, "shared_disk", vm->shared_disk);
    jw_str(w, "iso", vm->iso);
    vm_write_strings(w, "switches", vm->switches, vm->n_switches);
    jw_str(w, "key_protector", vm->key_protector);
    jw_bool(w, "cpu_compat", vm->cpu_compat);
    vm_write_strings(w, "anti_affinity", vm->anti_affinity, vm->n_anti);
    jw_bool(w, "auto_failback", vm->auto_failback);
    jw_bool(w, "replication", vm->replication);
}

void vm_write_members(struct json_writer *w, const struct vm *vm)
{
    jw_str(w, "id", vm->id);
    jw_str(w, "name", vm->name);
    jw_str(w, "state", state_names[vm->state]);
    jw_bool(w, "clustered", vm->clustered);
    jw_str(w, "group", vm->group);
    write_memory(w, vm);
    jw_int(w, "cpus", vm->cpus);
    if (vm->dirty_mib_s < 0)
        jw_null(w, "dirty_mib_s");
    else
        jw_int(w, "dirty_mib_s", vm->dirty_mib_s);
    jw_int(w, "priority", vm->priority);
    jw_str(w, "heartbeat", or_null(heartbeat_names, vm->heartbeat));
    jw_str(w, "busy", or_null(busy_names, vm->busy));
    write_ties(w, vm);
    jw_str(w, "role", or_null(role_names, vm->role));
    if (vm->sla != NULL)
        jw_str(w, "sla", vm->sla);
}

const char *vm_state_name(enum vm_state s)
{
    return state_names[s];
}

const char *vm_role_name(enum vm_role r)
{
    return role_names[r];
}

const char *vm_busy_name(enum vm_busy b)
{
    return busy_names[b];
}

const char *vm_heartbeat_name(enum vm_heartbeat h)
{
    return heartbeat_names[h];
}
