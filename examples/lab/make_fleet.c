#include "examples/lab/make_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 1000u
#define HOST_RESERVE_MIB (16 << 10)

/* Clusters as they come, until there are enough nodes. */
static const struct shape {
    uint32_t nodes;
    bool s2d;
    int64_t max_out;
} shapes[] = {
    { 4, true, 1 }, { 12, false, 2 }, { 6, true, 1 }, { 12, false, 2 },
    { 6, true, 1 }, { 12, false, 2 }, { 8, true, 1 }, { 12, false, 2 },
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static const struct hardware {
    const char *model, *firmware;
    int64_t memory_mib, cpus;
} models[] = {
    { "ProLiant DL380 Gen11", "U54 2.10", 256 << 10, 64 },
    { "PowerEdge R760", "2.3.5", 256 << 10, 64 },
    { "ThinkSystem SR650 V3", "ESE124B", 256 << 10, 96 },
    { "PRIMERGY RX2540 M7", "R1.22.0", 256 << 10, 64 },
};
#define MODELS (sizeof models / sizeof models[0])

static int64_t dice(const struct world *w, const char *what, uint64_t nth, int64_t lo, int64_t hi)
{
    return world_draw(w, what, "fleet", nth, lo, hi);
}

/* --- nodes --- */

/* Each model has its own pace, hidden from everybody but the world. */
static void hide_factors(const struct world *w, struct world_node *n, uint32_t model, uint64_t nth)
{
    n->install_factor = dice(w, "model-install", model, 850, 1350) + dice(w, "node-install", nth, -30, 30);
    n->reboot_factor = dice(w, "model-reboot", model, 750, 1500) + dice(w, "node-reboot", nth, -40, 40);
    n->migrate_factor = dice(w, "model-migrate", model, 900, 1150);
    n->resync_factor = dice(w, "model-resync", model, 850, 1200);
}

/* 250 nodes to a block; the third number goes up for more. */
static void write_address(const char *net, uint32_t at, char out[16])
{
    const char *third = strrchr(net, '.');
    unsigned long block = third == NULL ? 0 : strtoul(third + 1, NULL, 10) + at / 250;
    int head = third == NULL ? 0 : third - net > 7 ? 7 : (int)(third - net); /* "127.200" at most */

    snprintf(out, 16, "%.*s.%u.%u", head, net, (unsigned)block & 255, 2 + at % 250);
}

static int add_node(struct world *w, const struct fleet_wish *wish, uint32_t cluster, uint32_t in_cluster)
{
    struct world_node *n = list_push(&w->nodes);
    uint32_t at = w->nodes.n - 1, model;
    char guid[WORLD_GUID];

    if (n == NULL)
        return -1;
    model = (uint32_t)dice(w, "model", cluster * 2 + (in_cluster & 1), 0, MODELS - 1);
    snprintf(n->id, sizeof n->id, wish->nodes > 99 ? "HV%03u" : "HV%02u", at + 1);
    n->cluster = cluster;
    write_address(wish->net, at, n->address);
    n->port = wish->port;
    n->sntp_port = wish->port + 1;
    snprintf(n->model, sizeof n->model, "%s", models[model].model);
    snprintf(n->firmware, sizeof n->firmware, "%s", models[model].firmware);
    snprintf(n->bmc, sizeof n->bmc, "10.0.%u.%u", at / 250, 2 + at % 250);
    world_guid(w, "machine", at, guid);
    for (size_t i = 0, k = 0; guid[i] != 0; i++)
        if (guid[i] != '-')
            n->machine_id[k++] = guid[i];
    snprintf(n->fault_domain, sizeof n->fault_domain, "rack%u", 1 + in_cluster);
    n->memory_mib = n->memory_now_mib = models[model].memory_mib;
    n->host_reserve_mib = HOST_RESERVE_MIB;
    n->cpus = models[model].cpus;
    n->free_disk_bytes = dice(w, "disk", at, 60, 400) << 30;
    n->storage_paths = 4;
    n->vote = 1;
    hide_factors(w, n, model, at);
    n->member = MEMBER_JOINED;
    world_guid(w, n->machine_id, 0, n->boot_id);
    n->boot_ms = w->meta.anchor_ms - dice(w, "uptime", at, 5, 90) * DAY_MS;
    n->vmms = n->backup = SERVICE_RUNNING;
    n->vmms_answers = true;
    n->ubr = n->base_ubr = 4061;
    return 0;
}

static int add_package(struct world *w, uint32_t node, const char *kb, int64_t ubr, enum package_state state)
{
    struct world_package *p = list_push(&w->packages);

    if (p == NULL)
        return -1;
    p->node = node;
    snprintf(p->kb, sizeof p->kb, "%s", kb);
    p->build = w->meta.build;
    p->ubr = ubr;
    p->state = state;
    p->permanent = true;
    return 0;
}

/* --- clusters --- */

static int add_group(struct world *w, uint32_t cluster, enum group_type type, const char *name,
                     uint32_t owner)
{
    struct world_group *g = list_push(&w->groups);

    if (g == NULL)
        return -1;
    world_guid(w, "group", w->groups.n, g->id);
    snprintf(g->name, sizeof g->name, "%s", name);
    g->cluster = cluster;
    g->type = type;
    g->owner = owner;
    g->healthy = true;
    g->moving_to = g->asked_from = WORLD_NONE;
    return 0;
}

static int add_groups(struct world *w, uint32_t cluster)
{
    const struct world_cluster *c = &w->clusters.items[cluster];
    char name[WORLD_NAME];
    int rc = add_group(w, cluster, GROUP_CLUSTER, "Cluster Group", c->first_node);

    if (rc == 0)
        rc =
            add_group(w, cluster, GROUP_AVAILABLE_STORAGE, "Available Storage", c->first_node + c->nodes - 1);
    if (rc == 0 && c->s2d)
        rc = add_group(w, cluster, GROUP_POOL, "S2D Pool", c->first_node + 1 % c->nodes);
    if (rc == 0 && !c->s2d)
        rc = add_group(w, cluster, GROUP_FILE_SERVER, "File Server", c->first_node + 2 % c->nodes);
    for (uint32_t i = 0; rc == 0 && i < (c->nodes + 1) / 2; i++) {
        struct world_disk *d = list_push(&w->disks);
        snprintf(name, sizeof name, "Volume%02u", i + 1);
        rc = add_group(w, cluster, GROUP_CSV, name, c->first_node + (i * 2) % c->nodes);
        if (d == NULL)
            return -1;
        world_guid(w, "disk", w->disks.n, d->id);
        snprintf(d->name, sizeof d->name, "%s", name);
        d->cluster = cluster;
        if (!c->s2d)
            w->disks.n--; /* virtual disks are S2D's */
    }
    return rc;
}

static int add_cluster(struct world *w, const struct fleet_wish *wish, const struct shape *s, uint32_t nodes)
{
    struct world_cluster *c = list_push(&w->clusters);
    uint32_t at = w->clusters.n - 1;
    int rc = 0;

    if (c == NULL)
        return -1;
    snprintf(c->id, sizeof c->id, "clu-%c%c", 'a' + (char)(at / 26), 'a' + (char)(at % 26));
    snprintf(c->name, sizeof c->name, "%s cluster %u", s->s2d ? "Storage Spaces Direct" : "SAN", at + 1);
    c->s2d = s->s2d;
    strcpy(c->witness, "disk");
    if (s->s2d)
        strcpy(c->witness, "share");
    strcpy(c->witness_state, "online");
    c->parallel = 1;
    c->bandwidth_mib_s = 1100;
    c->move_type_threshold = 2000;
    c->auto_balancer_mode = 2;
    c->quarantine_threshold = 3;
    c->max_out = nodes >= 8 ? s->max_out : 1;
    strcpy(c->reserve, nodes >= 3 ? "full" : "none");
    c->first_node = w->nodes.n;
    c->nodes = nodes;
    for (uint32_t i = 0; rc == 0 && i < nodes; i++)
        rc = add_node(w, wish, at, i);
    for (uint32_t i = 0; rc == 0 && i < nodes; i++) {
        rc = add_package(w, c->first_node + i, "KB5055523", 3775, PACKAGE_SUPERSEDED);
        if (rc == 0)
            rc = add_package(w, c->first_node + i, "KB5058411", 4061, PACKAGE_INSTALLED);
    }
    return rc == 0 ? add_groups(w, at) : rc;
}

/* --- VMs --- */

/* Memory in use at the start, in thousandths of what a node can give: N+1
 * holds with one node out (C3: (n-2)/n), with room for the packing. */
static int64_t load_permille(uint32_t nodes)
{
    int64_t most = nodes <= 2 ? 250 : (int64_t)(nodes - 2) * 1000 / nodes - 90;

    return most > 600 ? 600 : most;
}

static void name_vm(const struct world *w, struct world_vm *v, uint32_t at)
{
    static const char *const stems[] = { "db",  "web",  "app", "file", "mail", "\xe9\xa1\xa7\xe5\xae\xa2",
                                         "erp", "build" };
    static const char *const twins[] = { "legacy-print", "test" };

    if (dice(w, "twin", at, 0, 59) == 0)
        snprintf(v->name, sizeof v->name, "%s", twins[at % 2]); /* names may repeat (O29) */
    else
        snprintf(v->name, sizeof v->name, "%s%u", stems[dice(w, "stem", at, 0, 7)], at + 1);
}

static void size_vm(const struct world *w, struct world_vm *v, uint32_t at, int64_t mib)
{
    v->startup_mib = v->assigned_mib = v->maximum_mib = mib;
    v->dynamic = dice(w, "dynamic", at, 0, 3) == 0;
    if (v->dynamic)
        v->maximum_mib = mib * 5 / 4;
    v->cpus = mib >= (16 << 10) ? 8 : mib >= (8 << 10) ? 4 : 2;
    v->dirty_mib_s = dice(w, "dirty", at, 2, 60);
    if (dice(w, "busy", at, 0, 24) == 0)
        v->dirty_mib_s = dice(w, "dirty", at, 150, 420);
}

static void set_habits(const struct world *w, struct world_vm *v, uint32_t at)
{
    static const int64_t priorities[] = { 2000, 2000, 2000, 3000, 1000 };

    v->priority = priorities[dice(w, "priority", at, 0, 4)];
    strcpy(v->isolation, dice(w, "isolation", at, 0, 7) == 0 ? "trusted_launch" : "none");
    strcpy(v->version, dice(w, "version", at, 0, 9) == 0 ? "9.3" : "12.0");
    strcpy(v->stop_action, "save");
    strcpy(v->start_action, "start_if_running");
    if (v->priority == 3000)
        strcpy(v->sla, "gold");
}

static int add_vm(struct world *w, uint32_t node, int64_t mib)
{
    struct world_vm *v = list_push(&w->vms);
    uint32_t at = w->vms.n - 1;
    const struct world_cluster *c;

    if (v == NULL)
        return -1;
    c = world_cluster_of(w, node);
    world_guid(w, "vm", at, v->id);
    world_guid(w, "vmgroup", at, v->group);
    name_vm(w, v, at);
    v->cluster = w->nodes.items[node].cluster;
    v->node = v->home = node;
    v->state = VM_RUNNING;
    v->since = v->started_ms = v->running_ms = w->meta.anchor_ms - dice(w, "vm-uptime", at, 1, 60) * DAY_MS;
    v->clustered = v->wanted_online = v->cpu_compat = true;
    v->possible = c->nodes >= 64 ? UINT64_MAX : ((uint64_t)1 << c->nodes) - 1;
    v->preferred = v->move_to = v->moved_last_from = v->open_truth = WORLD_NONE;
    size_vm(w, v, at, mib);
    set_habits(w, v, at);
    return 0;
}

/* 8 to 11 VMs of whole GiB whose sum is the wanted load. */
static int fill_node(struct world *w, uint32_t node)
{
    const struct world_node *n = &w->nodes.items[node];
    int64_t load = load_permille(world_cluster_of(w, node)->nodes) + dice(w, "load", node, -25, 25);
    int64_t want = (n->memory_mib - n->host_reserve_mib) * load / 1000 >> 10, shares[16], all = 0;
    uint32_t count = (uint32_t)dice(w, "vms", node, 8, 11);

    for (uint32_t i = 0; i < count; i++)
        all += shares[i] = dice(w, "share", node * 16 + i, 2, 9);
    for (uint32_t i = 0; i < count; i++) {
        int64_t gib = want * shares[i] / all;
        if (add_vm(w, node, (gib < 2 ? 2 : gib) << 10) != 0)
            return -1;
    }
    return 0;
}

/* --- what makes some VMs special --- */

static struct world_vm *nth_of(struct world *w, uint32_t node, uint32_t nth)
{
    for (uint32_t i = 0; i < w->vms.n; i++)
        if (w->vms.items[i].node == node && nth-- == 0)
            return &w->vms.items[i];
    return NULL;
}

static void set_kin(struct world *w, const struct world_cluster *c, const char *class)
{
    for (uint32_t i = 0; i < 2 && i < c->nodes; i++) {
        struct world_vm *v = nth_of(w, c->first_node + i * (c->nodes / 2), 0);
        if (v != NULL)
            snprintf(v->anti_affinity, sizeof v->anti_affinity, "%s-%.20s", class, c->id);
    }
}

static void set_roles(struct world *w, const struct world_cluster *c)
{
    for (uint32_t i = 0; i < 2 && i < c->nodes && c->nodes >= 4; i++) {
        struct world_vm *v = nth_of(w, c->first_node + 1 + i * (c->nodes / 2), 1);
        if (v == NULL)
            continue;
        strcpy(v->role, "domain_controller");
        snprintf(v->name, sizeof v->name, "dc%u-%.20s", i + 1, c->id);
        snprintf(v->anti_affinity, sizeof v->anti_affinity, "dc-%.20s", c->id);
        v->dynamic = false;
        v->maximum_mib = v->startup_mib;
    }
}

static void set_failback(struct world *w, const struct world_cluster *c)
{
    struct world_vm *v = nth_of(w, c->first_node + c->nodes - 1, 2);

    if (v == NULL || c->nodes < 4)
        return;
    v->auto_failback = true;
    v->preferred = v->node;
}

/* Those that cannot move: with an assigned device (0), isolated (1), with disks
 * of their host (2, 3). Only the isolated one is clustered: it can be started on
 * another node, so that N+1 stays provable; its group leaves while it is off. */
static void set_stuck(struct world *w, uint32_t node, uint32_t kind)
{
    static const char *const names[] = { "gpu-render", "confidential", "local-cache", "local-licence" };
    struct world_vm *v = nth_of(w, node, 3);

    if (v == NULL)
        return;
    v->dynamic = false;
    v->maximum_mib = v->startup_mib;
    strcpy(v->version, "12.0");
    v->clustered = kind == 1;
    v->dda = kind == 0;
    v->local_disk = kind >= 2;
    if (kind == 0)
        strcpy(v->stop_action, "turn_off");
    if (kind == 1)
        strcpy(v->isolation, "snp");
    if (kind == 3)
        strcpy(v->start_action, "nothing");
    snprintf(v->name, sizeof v->name, "%s-%.8s", names[kind], w->nodes.items[node].id);
}

static int fill(struct world *w, bool mixed)
{
    for (uint32_t i = 0; i < w->nodes.n; i++)
        if (fill_node(w, i) != 0)
            return -1;
    for (uint32_t i = 0; i < w->clusters.n; i++) {
        set_kin(w, &w->clusters.items[i], "pair");
        set_roles(w, &w->clusters.items[i]);
        set_failback(w, &w->clusters.items[i]);
    }
    for (uint32_t i = 0; mixed && i < w->nodes.n; i += 6)
        set_stuck(w, i + (uint32_t)dice(w, "stuck", i, 0, 1) * (i + 1 < w->nodes.n),
                  (uint32_t)dice(w, "stuck-kind", i, 0, 3));
    return 0;
}

int fleet_make(const struct fleet_wish *wish, struct world *w, struct err *err)
{
    uint32_t left = wish->nodes;

    if (wish->nodes < 1 || wish->nodes > NODES_MAX)
        return err_set(err, ERR_INVALID, "a lab has 1 to %u nodes", NODES_MAX);
    snprintf(w->meta.name, sizeof w->meta.name, "lab-%u", wish->nodes);
    w->meta.seed = wish->seed;
    w->meta.factor = wish->factor;
    w->meta.build = 26100;
    w->meta.removable = wish->removable;
    w->meta.anchor_ms = w->now = wish->anchor_ms;
    for (uint32_t i = 0; left > 0; i++) {
        const struct shape *s = &shapes[i % SHAPES];
        uint32_t take = s->nodes < left ? s->nodes : left;
        if (left - take < 3 && left - take > 0)
            take = left; /* no crumbs: the last one takes them */
        if (add_cluster(w, wish, s, take) != 0)
            return err_set(err, ERR_NOMEM, "make a fleet");
        left -= take;
    }
    if (fill(w, wish->mixed) != 0)
        return err_set(err, ERR_NOMEM, "make a fleet");
    world_life_begin(w);
    return 0;
}
