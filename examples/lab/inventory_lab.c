#include "examples/lab/inventory_lab.h"

#include "examples/lab/ask.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *user_name(void)
{
    const struct passwd *p = getpwuid(geteuid());

    return p == NULL ? "root" : p->pw_name;
}

static void write_ssh(struct json_writer *w, const struct world *wd, const char *dir)
{
    struct buf identity = BUF_INIT;

    buf_printf(&identity, "%s/keys/id_ed25519", dir);
    jw_object(w, "ssh");
    jw_str(w, "user", user_name());
    jw_int(w, "port", wd->nodes.items[0].port);
    jw_str(w, "identity", buf_text(&identity));
    jw_object_end(w);
    buf_clear(&identity);
}

static void write_cluster(struct json_writer *w, const struct world_cluster *c)
{
    jw_object(w, NULL);
    jw_str(w, "id", c->id);
    jw_str(w, "name", c->name);
    jw_str(w, "storage", c->s2d ? "s2d" : "shared");
    jw_str(w, "witness", c->witness);
    jw_int(w, "migrations_parallel", c->parallel);
    jw_int(w, "bandwidth_mib_s", c->bandwidth_mib_s);
    jw_str(w, "reserve", c->reserve);
    jw_int(w, "max_out", c->max_out);
    jw_bool(w, "enforced_anti_affinity", c->enforced_anti_affinity);
    jw_bool(w, "optimisation_off", true);
    jw_object_end(w);
}

static void write_node(struct json_writer *w, const struct world *wd, const struct world_node *n)
{
    char text[48];

    jw_object(w, NULL);
    jw_str(w, "id", n->id);
    jw_str(w, "cluster", wd->clusters.items[n->cluster].id);
    jw_object(w, "ssh");
    jw_str(w, "address", n->address);
    jw_object_end(w);
    jw_str(w, "model", n->model);
    jw_str(w, "firmware", n->firmware);
    jw_str(w, "machine_id", n->machine_id);
    jw_str(w, "bmc", n->bmc);
    snprintf(text, sizeof text, "%s:%lld", wd->nodes.items[0].address, (long long)n->sntp_port);
    jw_str(w, "time_source", text);
    jw_array(w, "switches");
    jw_str(w, NULL, "vSwitch1");
    jw_array_end(w);
    jw_int(w, "memory_mib", n->memory_mib);
    jw_int(w, "host_reserve_mib", n->host_reserve_mib);
    jw_int(w, "cpus", n->cpus);
    jw_int(w, "vote", n->vote);
    jw_str(w, "fault_domain", n->fault_domain);
    snprintf(text, sizeof text, "%lld.%lld", (long long)wd->meta.build, (long long)n->ubr);
    jw_str(w, "build", text);
    jw_object_end(w);
}

static void write_lists(struct json_writer *w, const struct world *wd)
{
    jw_array(w, "sla_classes");
    jw_object(w, NULL);
    jw_str(w, "name", "gold");
    jw_bool(w, "must_restart", true);
    jw_object_end(w);
    jw_array_end(w);
    jw_array(w, "clusters");
    for (uint32_t i = 0; i < wd->clusters.n; i++)
        write_cluster(w, &wd->clusters.items[i]);
    jw_array_end(w);
    jw_array(w, "nodes");
    for (uint32_t i = 0; i < wd->nodes.n; i++)
        write_node(w, wd, &wd->nodes.items[i]);
    jw_array_end(w);
    jw_array(w, "vms");
    for (uint32_t i = 0; i < wd->vms.n; i++)
        vm_write(w, wd, i, true);
    jw_array_end(w);
}

void inventory_write_lab(const struct world *wd, const char *dir, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    w.pretty = true;
    jw_object(&w, NULL);
    jw_int(&w, "version", 1);
    jw_str(&w, "name", wd->meta.name);
    jw_bool(&w, "lab", true);
    jw_object(&w, "clock");
    jw_int(&w, "factor", wd->meta.factor);
    jw_int(&w, "anchor_ms", wd->meta.anchor_ms);
    jw_object_end(&w);
    write_ssh(&w, wd, dir);
    write_lists(&w, wd);
    jw_object_end(&w);
    buf_char(out, '\n');
}
