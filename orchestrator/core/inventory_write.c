#include "orchestrator/core/inventory.h"

#include "orchestrator/core/inventory_names.h"
#include "orchestrator/core/vm_json.h"
#include "schema/buf.h"

const char *const storage_kind_names[2] = { "shared", "s2d" };
const char *const quorum_witness_names[4] = { "none", "disk", "share", "cloud" };
const char *const reserve_rung_names[3] = { "full", "protected", "none" };

const char *reserve_rung_name(enum reserve_rung r)
{
    return reserve_rung_names[r];
}

static void write_optional(struct json_writer *w, const char *key, const char *text)
{
    if (text != NULL)
        jw_str(w, key, text);
}

static void write_dur(struct json_writer *w, const char *key, dur_ms d)
{
    char text[32];

    if (d == 0)
        return;
    text_into(text, sizeof text, "%lldms", (long long)d);
    jw_str(w, key, text);
}

static void write_ssh(struct json_writer *w, const struct node_ssh *ssh)
{
    jw_object(w, "ssh");
    write_optional(w, "address", ssh->address);
    write_optional(w, "user", ssh->user);
    write_optional(w, "identity", ssh->identity);
    write_optional(w, "proxy_command", ssh->proxy_command);
    if (ssh->port != 0)
        jw_int(w, "port", ssh->port);
    write_dur(w, "connect_limit", ssh->connect_limit_ms);
    write_dur(w, "idle_limit", ssh->idle_limit_ms);
    jw_object_end(w);
}

static void write_cluster(struct json_writer *w, const struct cluster *c)
{
    jw_object(w, NULL);
    jw_str(w, "id", c->id);
    jw_str(w, "name", c->name);
    jw_str(w, "storage", storage_kind_names[c->storage]);
    jw_str(w, "witness", quorum_witness_names[c->witness]);
    jw_bool(w, "rack_aware", c->rack_aware);
    jw_bool(w, "stretched", c->stretched);
    jw_bool(w, "enforced_anti_affinity", c->enforced_anti_affinity);
    jw_bool(w, "optimisation_off", c->optimisation_off);
    jw_str(w, "reserve", reserve_rung_names[c->reserve]);
    jw_int(w, "max_out", c->max_out);
    jw_int(w, "migrations_parallel", c->migrations_parallel);
    jw_int(w, "bandwidth_mib_s", (int64_t)c->bandwidth_mib_s);
    vm_write_strings(w, "anti_affinity_hard", c->hard_classes, c->n_hard);
    jw_object_end(w);
}

static void write_node(struct json_writer *w, const struct inventory *inv, const struct node *n)
{
    char build[32];

    jw_object(w, NULL);
    jw_str(w, "id", n->id);
    jw_str(w, "cluster", inv->clusters[n->cluster].id);
    write_ssh(w, &n->ssh);
    write_optional(w, "model", n->model);
    write_optional(w, "firmware", n->firmware);
    write_optional(w, "cpu", n->cpu);
    write_optional(w, "machine_id", n->machine_id);
    write_optional(w, "bmc", n->bmc);
    write_optional(w, "time_source", n->time_source);
    vm_write_strings(w, "switches", n->switches, n->n_switches);
    jw_int(w, "memory_mib", (int64_t)n->memory_mib);
    jw_int(w, "host_reserve_mib", (int64_t)n->host_reserve_mib);
    jw_int(w, "cpus", n->cpus);
    jw_int(w, "vote", n->vote);
    jw_str(w, "fault_domain", n->fault_domain);
    jw_str(w, "build", build_text(n->build, build));
    if (n->applies_article != KNOWN_NOT || n->applies_microsoft != KNOWN_NOT) {
        jw_object(w, "applies");
        known_write(w, "article", n->applies_article);
        known_write(w, "microsoft", n->applies_microsoft);
        jw_object_end(w);
    }
    jw_object_end(w);
}

static void write_vm(struct json_writer *w, const struct inventory *inv, const struct vm *vm)
{
    jw_object(w, NULL);
    vm_write_members(w, vm);
    jw_str(w, "node", inv->nodes[vm->home].id);
    jw_array(w, "possible_owners");
    for (uint32_t i = 0; i < vm->n_owners; i++)
        jw_str(w, NULL, inv->nodes[vm->owners[i]].id);
    jw_array_end(w);
    jw_object_end(w);
}

static void write_sla(struct json_writer *w, const struct sla_class *s)
{
    jw_object(w, NULL);
    jw_str(w, "name", s->name);
    jw_bool(w, "must_restart", s->must_restart);
    if (s->parked_max != UINT32_MAX)
        jw_int(w, "parked_max", s->parked_max);
    jw_object_end(w);
}

void inventory_write(struct json_writer *w, const char *key, const struct inventory *inv)
{
    jw_object(w, key);
    jw_int(w, "version", 1);
    jw_str(w, "name", inv->name);
    jw_bool(w, "lab", inv->lab);
    jw_object(w, "clock");
    jw_int(w, "factor", inv->clock_factor);
    jw_int(w, "anchor_ms", inv->clock_anchor);
    jw_object_end(w);
    jw_array(w, "sla_classes");
    for (uint32_t i = 0; i < inv->n_sla_classes; i++)
        write_sla(w, &inv->sla_classes[i]);
    jw_array_end(w);
    jw_array(w, "clusters");
    for (uint32_t i = 0; i < inv->n_clusters; i++)
        write_cluster(w, &inv->clusters[i]);
    jw_array_end(w);
    jw_array(w, "nodes");
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        write_node(w, inv, &inv->nodes[i]);
    jw_array_end(w);
    jw_array(w, "vms");
    for (uint32_t i = 0; i < inv->n_vms; i++)
        write_vm(w, inv, &inv->vms[i]);
    jw_array_end(w);
    jw_object_end(w);
}
