/* What the drivers tell of this world, in the words of docs/driver.md. Kept
 * small: the simulator's speed is mostly JSON. */
#include "tests/sim/oracle/sim_world.h"

#include "schema/json.h"

#include <assert.h>
#include <string.h>

/* Most questions name neither: "" is looked for nowhere. */
uint32_t world_vm_find(const struct sim_world *w, const char *id)
{
    for (uint32_t i = 0; i < w->n_vms && id[0] != '\0'; i++)
        if (strcmp(w->vms[i].id, id) == 0)
            return i;
    return WORLD_NONE;
}

uint32_t world_node_find(const struct sim_world *w, const char *id)
{
    for (uint32_t i = 0; i < w->n_nodes && id[0] != '\0'; i++)
        if (strcmp(w->nodes[i].id, id) == 0)
            return i;
    return WORLD_NONE;
}

const char *world_boot_name(const struct sim_world *w, uint32_t node, char out[24])
{
    const struct world_node *n = &w->nodes[node];

    memcpy(out, "boot-", 5);
    memcpy(out + 5, n->id, 4);
    out[9] = '-';
    out[10] = (char)('0' + n->boot / 100 % 10);
    out[11] = (char)('0' + n->boot / 10 % 10);
    out[12] = (char)('0' + n->boot % 10);
    out[13] = '\0';
    return out;
}

void world_write_facts(const struct sim_world *w, uint32_t node, struct buf *out)
{
    const struct world_node *n = &w->nodes[node];
    char boot[24];

    buf_printf(
        out,
        "{\"node\":\"%s\",\"machine_id\":\"%s\",\"boot_id\":\"%s\",\"boot_ms\":%lld,\"now_ms\":%lld,"
        "\"cluster\":"
        "\"%s\",\"model\":\"M\",\"firmware\":null,\"bmc\":null,\"os\":{\"build\":%u,\"ubr\":%u,\"server\":"
        "true,"
        "\"caption\":null},\"memory_mib\":%lld,\"host_reserve_mib\":%lld,\"cpus\":64,\"free_disk_bytes\":"
        "99999999999,"
        "\"packages\":[],\"hotfixes\":[],\"pending\":{\"reboot\":%s,\"marks\":[]},\"servicing_idle\":%s,",
        n->id, n->machine, world_boot_name(w, node, boot), (long long)n->boot_at, (long long)w->now,
        w->clusters[n->cluster].id, WORLD_BUILD, n->ubr, (long long)n->memory_mib, (long long)n->reserve_mib,
        n->pending_in || n->pending_out ? "true" : "false", n->servicing_until > w->now ? "false" : "true");
    buf_printf(
        out,
        "\"services\":[{\"name\":\"vmms\",\"state\":\"%s\",\"start\":\"automatic\"}],\"switches\":[\"s\"],"
        "\"interfaces\":[],\"storage_paths\":%d,\"bitlocker\":{\"os_volume\":\"off\",\"protectors\":[],"
        "\"escrowed\":null},\"attestation\":null,\"vbs\":2,\"tpm\":true,\"hotpatch\":false,\"clock_error_"
        "ms\":%lld,"
        "\"time_source\":\"10.0.0.1:123\"}",
        n->vmms ? "running" : "stopped", n->path_lost ? 3 : 4, (long long)n->clock_error_ms);
}

static const char *state_word(const struct world_vm *v)
{
    static const char *const words[] = { "running", "off", "saved", "migrating", "starting" };

    return words[v->state];
}

static void write_owners(const struct sim_world *w, const struct world_vm *v, struct buf *out)
{
    bool first = true;

    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (v->owners >> i & 1u) {
            buf_printf(out, "%s\"%s\"", first ? "" : ",", w->nodes[i].id);
            first = false;
        }
}

/* Up to its uptime. What stands in docs/driver.md for people only is left out; the members stand as they are asked for. */
static void write_seen(const struct sim_world *w, const struct world_vm *v, struct buf *out)
{
    buf_printf(
        out,
        "{\"id\":\"%s\",\"name\":\"%s\",\"state\":\"%s\",\"clustered\":%s,\"group\":\"g-%s\",\"memory\":{"
        "\"assigned_mib\":%lld,\"startup_mib\":%lld,\"maximum_mib\":%lld,\"dynamic\":false},\"cpus\":2,"
        "\"dirty_mib_s\":20,\"priority\":2000,\"heartbeat\":%s,\"busy\":%s,\"isolation\":\"none\",\"dda\":%s,"
        "\"gpu\":false,\"local_disk\":false,\"passthrough\":false,\"shared_disk\":false,\"iso\":null,"
        "\"key_protector\":null,\"cpu_compat\":true,\"switches\":[\"s\"],\"anti_affinity\":[",
        v->id, v->name, state_word(v), v->clustered ? "true" : "false", v->id + 28, (long long)v->memory_mib,
        (long long)v->memory_mib, (long long)v->memory_mib,
        v->state != GUEST_RUNNING ? "null"
        : v->no_heartbeat         ? "\"lost\""
                                  : "\"ok\"",
        v->state == GUEST_MIGRATING ? "\"migration\"" : "null", v->dda ? "true" : "false");
    if (v->anti != 0)
        buf_printf(out, "\"pair%u\"", v->anti);
    buf_printf(out,
               "],\"auto_failback\":false,\"replication\":false,\"role\":%s%s%s,\"node\":\"%s\",\"possible_"
               "owners\":[",
               v->role == NULL ? "" : "\"", v->role == NULL ? "null" : v->role, v->role == NULL ? "" : "\"",
               w->nodes[v->node].id);
    write_owners(w, v, out);
    buf_str(out, "],\"uptime_ms\":");
}

static void write_group(const struct sim_world *w, const struct world_vm *v, struct buf *out)
{
    buf_printf(
        out,
        ",{\"id\":\"g-%s\",\"name\":\"%s\",\"owner\":\"%s\",\"vm\":\"%s\",\"type\":\"vm\",\"state\":\"%s\","
        "\"wanted_online\":%s,\"locked\":%s,\"pinned\":%s}",
        v->id + 28, v->name, w->nodes[v->node].id, v->id,
        v->state == GUEST_RUNNING || v->state == GUEST_MIGRATING ? "online" : "offline",
        v->down == DOWN_PARKED ? "false" : "true", v->state == GUEST_MIGRATING ? "true" : "false",
        v->dda ? "true" : "false");
}

static uint32_t keep_words(char *out, size_t room, struct buf *words)
{
    uint32_t n = (uint32_t)words->len;

    assert(!words->failed && n <= room);
    memcpy(out, words->data, n);
    buf_clear(words);
    return n;
}

/* Most VMs are as they were when they were told of before. */
static const struct world_told *told(struct sim_world *w, uint32_t vm)
{
    struct world_told *t = &w->told[vm];
    struct buf words = BUF_INIT;

    if (t->n_seen > 0 && memcmp(&t->vm, &w->vms[vm], sizeof t->vm) == 0)
        return t;
    t->vm = w->vms[vm];
    write_seen(w, &t->vm, &words);
    t->n_seen = keep_words(t->seen, sizeof t->seen, &words);
    write_group(w, &t->vm, &words);
    t->n_group = keep_words(t->group, sizeof t->group, &words);
    return t;
}

static void write_vm(struct sim_world *w, uint32_t vm, struct buf *out)
{
    const struct world_vm *v = &w->vms[vm];
    const struct world_told *t = told(w, vm);

    buf_add(out, t->seen, t->n_seen);
    buf_int(out, world_vm_live(v) ? w->now - v->here_since : 0);
    buf_char(out, '}');
}

void world_write_vms(struct sim_world *w, uint32_t node, struct buf *out)
{
    bool first = true;

    buf_str(out, "{\"vms\":[");
    for (uint32_t i = 0; i < w->n_vms; i++) {
        if (w->vms[i].gone || w->vms[i].node != node)
            continue;
        if (!first)
            buf_char(out, ',');
        first = false;
        write_vm(w, i, out);
    }
    buf_str(out, "],\"next\":null}");
}

static const char *node_word(const struct sim_world *w, uint32_t node)
{
    if (!world_node_up(w, node))
        return "down";
    return w->nodes[node].paused ? "paused" : "up";
}

static void write_nodes(const struct sim_world *w, uint32_t cluster, struct buf *out)
{
    bool first = true;

    buf_str(out, "\"nodes\":[");
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        if (w->nodes[i].cluster != cluster || w->nodes[i].evicted)
            continue;
        buf_printf(
            out,
            "%s{\"id\":\"%s\",\"state\":\"%s\",\"drain\":\"not_initiated\",\"vote\":1,\"dynamic_vote\":1,"
            "\"fault_domain\":\"%s\"}",
            first ? "" : ",", w->nodes[i].id, node_word(w, i), w->nodes[i].rack);
        first = false;
    }
    buf_str(out, "],");
}

static void write_groups(struct sim_world *w, uint32_t cluster, struct buf *out)
{
    const struct world_cluster *c = &w->clusters[cluster];

    buf_printf(out,
               "\"groups\":[{\"id\":\"core-%s\",\"name\":\"Cluster "
               "Group\",\"type\":\"cluster\",\"state\":\"online\","
               "\"owner\":\"%s\",\"wanted_online\":true,\"locked\":false,\"pinned\":false}",
               c->id, w->nodes[c->core_owner].id);
    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];
        const struct world_told *t;

        if (v->gone || !v->clustered || w->nodes[v->node].cluster != cluster)
            continue;
        t = told(w, i);
        buf_add(out, t->group, t->n_group);
    }
    buf_str(out, "],");
}

static void write_cluster(struct sim_world *w, uint32_t cluster, struct buf *out)
{
    const struct world_cluster *c = &w->clusters[cluster];

    buf_printf(out, "{\"cluster\":\"%s\",", c->id);
    write_nodes(w, cluster, out);
    buf_printf(out, "\"quorum\":{\"witness\":\"%s\",\"witness_state\":%s,\"witness_vote\":%d},",
               c->witness ? "disk" : "none",
               !c->witness         ? "null"
               : c->witness_online ? "\"online\""
                                   : "\"failed\"",
               c->witness && c->witness_online ? 1 : 0);
    write_groups(w, cluster, out);
    buf_printf(out,
               "\"csvs\":[{\"id\":\"csv1\",\"name\":\"v1\",\"owner\":\"%s\",\"state\":\"direct\",\"healthy\":"
               "true},{\"id\":"
               "\"csv2\",\"name\":\"v2\",\"owner\":\"%s\",\"state\":\"direct\",\"healthy\":true}],"
               "\"resources_failed\":[],",
               w->nodes[c->csv_owner[0]].id, w->nodes[c->csv_owner[1]].id);
    buf_printf(out,
               "\"properties\":{\"max_parallel_migrations\":%u,\"migration_bandwidth_mib_s\":%lld,\"auto_"
               "balancer_mode\":%u,"
               "\"move_type_threshold\":2000,\"enforced_anti_affinity\":%s,\"quarantine_threshold\":3},"
               "\"s2d\":%s,\"busy\":["
               "%s],\"stretched\":false,\"networks_down\":0}",
               c->slots, (long long)c->bandwidth_mib_s, c->balancer, c->anti_enforced ? "true" : "false",
               c->s2d ? "true" : "false", c->busy_cau ? "{\"kind\":\"cau\",\"text\":\"updating run\"}" : "");
}

bool world_backup_broken(const struct sim_world *w, uint32_t node)
{
    const struct world_node *n = &w->nodes[node];

    return n->backup_broken || (n->gate == GATE_FLAPS && (w->now - n->gate_at) / (45 * SECOND_MS) % 2 == 0);
}

static void write_backup(const struct sim_world *w, uint32_t node, struct buf *out)
{
    const struct world_node *n = &w->nodes[node];
    bool broken = world_backup_broken(w, node);

    if (n->gate == GATE_EMPTY || n->gate == GATE_NAN) {
        buf_printf(out, "{\"agents\":%s,\"last_job\":null,\"writers\":[],\"events_7001\":[]}",
                   n->gate == GATE_NAN ? "NaN" : "[]");
        return;
    }
    buf_printf(
        out,
        "{\"agents\":[{\"product\":\"Backup\",\"service\":\"bksvc\",\"state\":\"%s\",\"expected\":"
        "\"running\"}],"
        "\"last_job\":null,\"writers\":[{\"id\":\"w1\",\"state\":1,\"stable\":true}],\"events_7001\":[",
        broken ? "stopped" : "running");
    if (broken)
        buf_printf(out, "{\"at_ms\":%lld,\"service\":\"bksvc\",\"depends_on\":\"vmms\"}",
                   (long long)(n->backup_broken ? n->backup_broken_at : n->gate_at));
    buf_str(out, "]}");
}

static void write_beats(const struct sim_world *w, uint32_t node, struct buf *out)
{
    bool first = true;

    buf_str(out, "{\"vms\":[");
    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];

        if (v->gone || v->node != node)
            continue;
        buf_printf(out, "%s{\"id\":\"%s\",\"name\":\"%s\",\"state\":\"%s\",\"heartbeat\":%s}",
                   first ? "" : ",", v->id, v->name, state_word(v),
                   v->state != GUEST_RUNNING ? "null"
                   : v->no_heartbeat         ? "\"lost\""
                                             : "\"ok\"");
        first = false;
    }
    buf_str(out, "]}");
}

void world_write_gate(struct sim_world *w, uint32_t node, const char *type, time_ms since, struct buf *out)
{
    (void)since;
    if (strcmp(type, "cluster_health") == 0)
        write_cluster(w, w->nodes[node].cluster, out);
    else if (strcmp(type, "backup_agent") == 0)
        write_backup(w, node, out);
    else if (strcmp(type, "vm_heartbeat") == 0)
        write_beats(w, node, out);
    else
        buf_str(out, "{\"counts\":[]}");
}

void world_write_storage(const struct sim_world *w, uint32_t node, struct buf *out)
{
    const struct world_cluster *c = &w->clusters[w->nodes[node].cluster];

    if (!c->s2d) {
        buf_str(out, "{\"s2d\":false,\"virtual_disks\":[],\"jobs\":[],\"rack_aware\":false}");
        return;
    }
    buf_printf(
        out,
        "{\"s2d\":true,\"virtual_disks\":[{\"id\":\"vd1\",\"name\":\"v1\",\"health\":\"%s\"}],\"jobs\":[",
        c->dirty_since != 0 ? "warning" : "healthy");
    if (c->repair_until != 0)
        buf_str(out,
                "{\"id\":\"j1\",\"kind\":\"repair\",\"state\":\"running\",\"percent\":50,\"bytes_total\":1}");
    buf_str(out, "],\"rack_aware\":false}");
}

void world_write_verify(const struct sim_world *w, uint32_t node, struct buf *out)
{
    const struct world_node *n = &w->nodes[node];
    const char *package = !n->has_package ? "absent" : n->ubr > WORLD_UBR_NEW ? "superseded" : "installed";
    char boot[24];

    if (n->pending_in && n->has_package)
        package = "install_pending";
    if (n->pending_out)
        package = "uninstall_pending";
    buf_printf(out,
               "{\"build\":%u,\"ubr\":%u,\"package\":\"%s\",\"predecessor\":\"26100.4061\",\"pending\":%s,"
               "\"marks\":[],"
               "\"servicing_idle\":%s,\"boot_id\":\"%s\",\"hotfix\":{\"listed\":%s,\"installed_on\":null}}",
               WORLD_BUILD, n->ubr, package, n->pending_in || n->pending_out ? "true" : "false",
               n->servicing_until > w->now ? "false" : "true", world_boot_name(w, node, boot),
               n->has_package ? "true" : "false");
}

static void left(struct buf *out, bool *first, const char *kind, const char *id, const char *why)
{
    buf_printf(out, "%s{\"kind\":\"%s\",\"id\":\"%s\",\"name\":null,\"why\":\"%s\"}", *first ? "" : ",", kind,
               id, why);
    *first = false;
}

static void left_vms(const struct sim_world *w, uint32_t node, const char *form, uint64_t parked,
                     struct buf *out, bool *first)
{
    const char *kind = strcmp(form, "processes") == 0 ? "process" : "vm";

    for (uint32_t i = 0; i < w->n_vms; i++) {
        const struct world_vm *v = &w->vms[i];
        bool arriving = v->state == GUEST_MIGRATING && v->to == node;

        if (v->gone || (v->node != node && !arriving))
            continue;
        if (world_vm_live(v))
            left(out, first, kind, v->id, arriving ? "arriving" : "running");
        else if (v->clustered && !(parked >> i & 1u))
            left(out, first, "group", v->id, "a group that nobody consented to leave");
    }
}

void world_write_empty(const struct sim_world *w, uint32_t node, const char *form, uint64_t parked,
                       struct buf *out)
{
    const struct world_cluster *c = &w->clusters[w->nodes[node].cluster];
    struct buf items = BUF_INIT;
    bool first = true;

    left_vms(w, node, form, parked, &items, &first);
    if (c->core_owner == node)
        left(&items, &first, "group", "core", "owned");
    for (unsigned i = 0; i < 2; i++)
        if (c->csv_owner[i] == node)
            left(&items, &first, "csv", i == 0 ? "csv1" : "csv2", "owned");
    if (!w->nodes[node].paused || w->nodes[node].evicted)
        left(&items, &first, "node", w->nodes[node].id,
             w->nodes[node].evicted ? "no member of a cluster" : "not paused");
    buf_printf(out, "{\"empty\":%s,\"left\":[%s]}", first ? "true" : "false", buf_text(&items));
    buf_clear(&items);
}
