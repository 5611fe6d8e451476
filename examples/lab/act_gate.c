/* gate_facts: what a gate may look at. Facts only; the engine judges. */
#include "examples/lab/ask.h"

#include <stdio.h>
#include <string.h>

/* --- cluster_health --- */

static const char *node_state(const struct world_node *n)
{
    if (n->power != POWER_ON && n->member == MEMBER_DOWN)
        return "down";
    switch (n->member) {
    case MEMBER_DOWN:
        return "down";
    case MEMBER_JOINING:
        return "joining";
    case MEMBER_JOINED:
        break;
    }
    return n->paused ? "paused" : "up";
}

static void write_nodes(struct ask *a, const struct world_cluster *c)
{
    struct json_writer *w = &a->jw;

    jw_array(w, "nodes");
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++) {
        const struct world_node *n = &a->w->nodes.items[i];
        jw_object(w, NULL);
        jw_str(w, "id", n->id);
        jw_str(w, "state", node_state(n));
        jw_str(w, "drain", n->drain_shown ? "completed" : "not_initiated");
        jw_int(w, "vote", n->vote);
        jw_int(w, "dynamic_vote", world_node_dynamic_vote(a->w, i));
        jw_str(w, "fault_domain", n->fault_domain);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object(w, "quorum");
    jw_str(w, "witness", c->witness);
    jw_str(w, "witness_state", strcmp(c->witness, "none") == 0 ? NULL : c->witness_state);
    jw_int(w, "witness_vote", world_witness_vote(a->w, ask_host(a)->cluster));
    jw_object_end(w);
}

static const char *vm_group_state(const struct world_vm *v)
{
    switch (v->state) {
    case VM_RUNNING:
    case VM_PAUSED:
    case VM_MIGRATING:
        return "online";
    case VM_OFF:
    case VM_SAVED:
        return v->wanted_online ? "failed" : "offline";
    case VM_STARTING:
    case VM_STOPPING:
    case VM_SAVING:
        break;
    }
    return "pending";
}

static void write_group(struct json_writer *w, const char *id, const char *name, const char *type,
                        const char *state, const char *owner, const char *vm, bool wanted, bool locked,
                        bool pinned)
{
    jw_object(w, NULL);
    jw_str(w, "id", id);
    jw_str(w, "name", name);
    jw_str(w, "type", type);
    jw_str(w, "state", state);
    jw_str(w, "owner", owner);
    jw_str(w, "vm", vm);
    jw_bool(w, "wanted_online", wanted);
    jw_bool(w, "locked", locked);
    jw_bool(w, "pinned", pinned);
    jw_object_end(w);
}

static void write_groups(struct ask *a, uint32_t cluster)
{
    static const char *const types[] = { "cluster", "available_storage", "pool", "file_server" };
    struct json_writer *w = &a->jw;

    jw_array(w, "groups");
    for (uint32_t i = 0; i < a->w->groups.n; i++) {
        const struct world_group *g = &a->w->groups.items[i];
        if (g->cluster == cluster && g->type != GROUP_CSV)
            write_group(w, g->id, g->name, types[g->type],
                        !g->healthy                          ? "failed"
                        : g->moving_to != WORLD_NONE         ? "pending"
                        : g->type == GROUP_AVAILABLE_STORAGE ? "offline"
                                                             : "online",
                        a->w->nodes.items[g->owner].id, NULL, g->type != GROUP_AVAILABLE_STORAGE, false,
                        false);
    }
    for (uint32_t i = 0; i < a->w->vms.n; i++) {
        const struct world_vm *v = &a->w->vms.items[i];
        if (v->cluster == cluster && v->clustered)
            write_group(w, v->group, v->name, "vm", vm_group_state(v), a->w->nodes.items[v->node].id, v->id,
                        v->wanted_online, v->busy[0] != 0 || v->move_running,
                        (v->possible & (v->possible - 1)) == 0);
    }
    jw_array_end(w);
}

static void write_csvs(struct ask *a, uint32_t cluster)
{
    struct json_writer *w = &a->jw;

    jw_array(w, "csvs");
    for (uint32_t i = 0; i < a->w->groups.n; i++) {
        const struct world_group *g = &a->w->groups.items[i];
        if (g->cluster != cluster || g->type != GROUP_CSV)
            continue;
        jw_object(w, NULL);
        jw_str(w, "id", g->id);
        jw_str(w, "name", g->name);
        jw_str(w, "owner", a->w->nodes.items[g->owner].id);
        jw_str(w, "state", !g->healthy ? "paused" : g->redirected ? "redirected" : "direct");
        jw_bool(w, "healthy", g->healthy && !g->redirected && !a->w->clusters.items[cluster].lost);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_properties(struct json_writer *w, const struct world_cluster *c)
{
    jw_object(w, "properties");
    jw_int(w, "max_parallel_migrations", c->parallel);
    jw_int(w, "migration_bandwidth_mib_s", c->bandwidth_mib_s);
    jw_int(w, "auto_balancer_mode", c->auto_balancer_mode);
    jw_int(w, "move_type_threshold", c->move_type_threshold);
    jw_bool(w, "enforced_anti_affinity", c->enforced_anti_affinity);
    jw_int(w, "quarantine_threshold", c->quarantine_threshold);
    jw_object_end(w);
    jw_bool(w, "s2d", c->s2d);
    jw_array(w, "busy");
    if (c->cau_active) {
        jw_object(w, NULL);
        jw_str(w, "kind", "cau");
        jw_str(w, "text", "a Cluster-Aware Updating run is active");
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_bool(w, "stretched", false);
}

static bool cluster_health(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    const struct world_cluster *c = world_cluster_of(a->w, a->node);
    int64_t down = 0;

    if (!world_node_serves(n))
        return ask_error(a, "busy", "0x80071718", "the cluster service of %s has not joined yet", n->id);
    for (uint32_t i = c->first_node; i < c->first_node + c->nodes; i++)
        down += a->w->nodes.items[i].nic_down;
    ask_result(a);
    jw_str(&a->jw, "cluster", c->id);
    write_nodes(a, c);
    write_groups(a, n->cluster);
    write_csvs(a, n->cluster);
    jw_array(&a->jw, "resources_failed");
    jw_array_end(&a->jw);
    write_properties(&a->jw, c);
    jw_int(&a->jw, "networks_down", down);
    return ask_finish(a);
}

/* --- backup_agent --- */

static void write_writers(struct ask *a)
{
    struct json_writer *w = &a->jw;

    jw_array(w, "writers");
    if (ask_host(a)->vmms_answers) { /* the Hyper-V writer lives in vmms */
        jw_object(w, NULL);
        jw_str(w, "id", "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de");
        jw_int(w, "state", 1);
        jw_bool(w, "stable", true);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_7001(struct ask *a, time_ms since)
{
    struct json_writer *w = &a->jw;

    jw_array(w, "events_7001");
    for (uint32_t i = 0; i < a->w->logs.n; i++) {
        const struct world_log *l = &a->w->logs.items[i];
        /* by provider: a logon is a 7001 too */
        if (l->node != a->node || l->id != 7001 || l->at < since ||
            strcmp(l->provider, "Service Control Manager") != 0)
            continue;
        jw_object(w, NULL);
        jw_int(w, "at_ms", l->at);
        jw_str(w, "service", l->service);
        jw_str(w, "depends_on", l->depends_on);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static bool backup_agent(struct ask *a)
{
    const struct world_node *n = ask_host(a);
    struct json_writer *w = &a->jw;

    if (n->backup_silent)
        return ask_error(a, "access", "0x80070005", "the service database of %s cannot be read", n->id);
    ask_result(a);
    jw_array(w, "agents");
    jw_object(w, NULL);
    jw_str(w, "product", "Veeam");
    jw_str(w, "service", "VeeamTransportSvc");
    jw_str(w, "state", world_service_text(n->backup));
    jw_str(w, "expected", "running");
    jw_object_end(w);
    jw_array_end(w);
    jw_object(w, "last_job");
    jw_str(w, "state", "ok");
    jw_int(w, "at_ms", a->w->now - a->w->now % DAY_MS - 3 * HOUR_MS);
    jw_object_end(w);
    write_writers(a);
    write_7001(a, json_get_int(a->args, "since_ms", 0));
    return ask_finish(a);
}

/* --- vm_heartbeat, event_log --- */

static bool vm_heartbeats(struct ask *a)
{
    struct json_writer *w = &a->jw;

    if (!ask_host(a)->vmms_answers)
        return ask_error(a, "busy", "0x800706ba",
                         "the virtual machine management service of %s does not answer", ask_host(a)->id);
    ask_result(a);
    jw_array(w, "vms");
    for (uint32_t i = 0; i < a->w->vms.n; i++) {
        const struct world_vm *v = &a->w->vms.items[i];
        if (v->node != a->node)
            continue;
        jw_object(w, NULL);
        jw_str(w, "id", v->id);
        jw_str(w, "name", v->name);
        jw_str(w, "state", world_vm_state_text(v->state));
        jw_str(w, "heartbeat", vm_heartbeat(a->w, v));
        jw_object_end(w);
    }
    jw_array_end(w);
    return ask_finish(a);
}

#define KINDS_MAX 64

static bool event_log(struct ask *a)
{
    struct json_writer *w = &a->jw;
    time_ms since = json_get_int(a->args, "since_ms", 0);
    const struct world_log *kinds[KINDS_MAX];
    int64_t counts[KINDS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->w->logs.n; i++) {
        const struct world_log *l = &a->w->logs.items[i];
        uint32_t k = 0;
        if (l->node != a->node || l->at < since)
            continue;
        while (k < n && (kinds[k]->id != l->id || strcmp(kinds[k]->provider, l->provider) != 0))
            k++;
        if (k == KINDS_MAX)
            continue;
        if (k == n) {
            kinds[n] = l;
            counts[n++] = 0;
        }
        counts[k]++;
    }
    ask_result(a);
    jw_array(w, "counts");
    for (uint32_t k = 0; k < n; k++) {
        jw_object(w, NULL);
        jw_str(w, "channel", kinds[k]->channel);
        jw_str(w, "provider", kinds[k]->provider);
        jw_int(w, "id", kinds[k]->id);
        jw_int(w, "level", kinds[k]->level);
        jw_int(w, "n", counts[k]);
        jw_object_end(w);
    }
    jw_array_end(w);
    return ask_finish(a);
}

bool act_gate_facts(struct ask *a)
{
    static const struct {
        const char *type;
        ask_fn *answer;
    } types[] = {
        { "cluster_health", cluster_health },
        { "backup_agent", backup_agent },
        { "vm_heartbeat", vm_heartbeats },
        { "event_log", event_log },
    };
    const char *type = json_get_str(a->args, "type", "");

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].type, type) == 0)
            return types[i].answer(a);
    return ask_error(a, "bad_request", NULL, "there are no gate facts of type `%s`", type);
}
