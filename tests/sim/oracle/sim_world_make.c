/* A small fleet out of a seed: 1 to 3 clusters, 3 to 8 nodes, 6 to 40 VMs. */
#include "tests/sim/oracle/sim_world.h"

#include <stdlib.h>
#include <string.h>

static uint32_t below(struct sim_world *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->rng, n);
}

static uint32_t least_of(struct sim_world *w, uint32_t n, uint32_t draws)
{
    uint32_t least = below(w, n);

    for (uint32_t i = 1; i < draws; i++) {
        uint32_t x = below(w, n);

        least = x < least ? x : least;
    }
    return least;
}

static void name_node(char *out, uint32_t i)
{
    memcpy(out, "HV00", 5);
    out[3] = (char)('1' + i);
}

static void make_node(struct sim_world *w, uint32_t i, uint32_t cluster)
{
    struct world_node *n = &w->nodes[i];

    *n = (struct world_node){ .cluster = cluster,
                              .boot = 1,
                              .power = POWER_ON,
                              .up_at = TIME_NEVER,
                              .vmms = true,
                              .boot_at = w->now - DAY_MS,
                              .ubr = WORLD_UBR_OLD,
                              .reserve_mib = 4096 };
    name_node(n->id, i);
    memcpy(n->machine, "machine-HV00", 13);
    n->machine[11] = n->id[3];
    memcpy(n->machine_plan, n->machine, sizeof n->machine);
    memcpy(n->rack, "rack0", 6);
    n->rack[4] = (char)('1' + i % 4);
    n->speed_permille = (uint32_t)prng_between(&w->rng, 700, 1600);
    if (prng_permille(&w->rng, 30)) {
        n->ubr = WORLD_UBR_NEW;
        n->has_package = true;
        n->compliant_at_start = true;
    }
}

static void make_cluster(struct sim_world *w, uint32_t c, uint32_t first, uint32_t n)
{
    struct world_cluster *k = &w->clusters[c];

    *k = (struct world_cluster){ .s2d = prng_permille(&w->rng, 400),
                                 .slots = 1 + below(w, 3),
                                 .balancer = 2,
                                 .balancer_theirs = 2,
                                 .bandwidth_mib_s = 500 + 100 * below(w, 8),
                                 .core_owner = first + below(w, n) };
    memcpy(k->id, "clu-a", 6);
    k->id[4] = (char)('a' + c);
    k->witness = n == 2 || n % 2 == 0 || prng_permille(&w->rng, 500);
    k->witness_online = k->witness;
    k->csv_owner[0] = first + below(w, n);
    k->csv_owner[1] = first + below(w, n);
    k->max_out = n >= 4 && !k->s2d ? 1 + below(w, 2) : 1;
    k->waive_none = n == 2 || (k->s2d && n <= 3);
    k->reserve = "full";
    for (uint32_t i = first; i < first + n; i++)
        make_node(w, i, c);
}

static void make_vm(struct sim_world *w, uint32_t i, uint32_t node)
{
    static const uint32_t sizes[] = { 2048, 4096, 4096, 8192 };
    struct world_vm *v = &w->vms[i];

    *v = (struct world_vm){ .node = node,
                            .to = WORLD_NONE,
                            .state = GUEST_RUNNING,
                            .clustered = true,
                            .memory_mib = sizes[below(w, 4)],
                            .here_since = w->now - DAY_MS,
                            .consent_method = "shutdown",
                            .slow_permille = 1000,
                            .must_restart = prng_permille(&w->rng, 300) };
    memcpy(v->id, "00000000-0000-4000-8000-000000000000", 37);
    v->id[34] = (char)('0' + i / 10);
    v->id[35] = (char)('0' + i % 10);
    memcpy(v->name, "vm", 3);
    v->name[2] = (char)('0' + i / 20); /* names may repeat */
    v->dda = prng_permille(&w->rng, 30);
    v->clustered = v->dda || !prng_permille(&w->rng, 20);
    if (v->dda || !v->clustered) {
        v->consent = prng_permille(&w->rng, 800);
        v->consent_method = prng_permille(&w->rng, 500) && !v->dda ? "save" : "shutdown";
    } else if (prng_permille(&w->rng, 20)) {
        v->role = "domain_controller";
    }
}

/* Pairs that must not meet, where they do not already. */
static void make_pairs(struct sim_world *w)
{
    for (uint32_t i = 0; i + 1 < w->n_vms; i++) {
        struct world_vm *a = &w->vms[i], *b = &w->vms[i + 1];
        bool roomy;

        if (!prng_permille(&w->rng, 150) || a->anti != 0 || b->anti != 0 || a->node == b->node)
            continue;
        if (w->nodes[a->node].cluster != w->nodes[b->node].cluster || a->dda || b->dda || !a->clustered ||
            !b->clustered)
            continue;
        roomy = !w->clusters[w->nodes[a->node].cluster].waive_none;
        a->anti = b->anti = i + 1;
        a->hard = b->hard = roomy;
    }
}

/* `each`, and more where a node carries more than that. */
static void give_memory(struct sim_world *w, uint32_t first, uint32_t n, int64_t each)
{
    for (uint32_t i = first; i < first + n; i++) {
        int64_t here = 0;

        for (uint32_t v = 0; v < w->n_vms; v++)
            here += w->vms[v].node == i ? w->vms[v].memory_mib : 0;
        w->nodes[i].memory_mib = w->nodes[i].reserve_mib + (each > here ? each : here) + 1024;
    }
}

/* Memory for N+1 with one node out, with some play; one world in twenty is too small. */
static void make_memory(struct sim_world *w, uint32_t c, uint32_t first, uint32_t n)
{
    int64_t used = 0, each, most = 0;
    bool tight = prng_permille(&w->rng, 50);

    for (uint32_t i = 0; i < w->n_vms; i++)
        if (w->nodes[w->vms[i].node].cluster == c) {
            used += w->vms[i].memory_mib;
            most = w->vms[i].memory_mib > most ? w->vms[i].memory_mib : most;
        }
    each = n >= 3 && !w->clusters[c].waive_none ? used / (n - 2) : used / (n > 1 ? n - 1 : 1);
    each = tight ? each : each * (int64_t)(12 + below(w, 10)) / 10 + 2 * most;
    if (w->clusters[c].max_out == 2)
        each = each * 3 / 2;
    if (prng_permille(&w->rng, 250)) /* roomy: nothing but the rules keeps more nodes from going out */
        each = each * 3;
    give_memory(w, first, n, each);
}

/* Room for one node out and not for everything at one more loss: what must restart decides. */
static void make_protected(struct sim_world *w, uint32_t c, uint32_t first, uint32_t n)
{
    int64_t used = 0, most = 0, each;

    w->clusters[c].reserve = "protected";
    for (uint32_t i = 0; i < w->n_vms; i++) {
        struct world_vm *v = &w->vms[i];

        if (w->nodes[v->node].cluster != c)
            continue;
        v->must_restart = v->must_restart || prng_permille(&w->rng_cruel, 500);
        used += v->memory_mib;
        most = v->memory_mib > most ? v->memory_mib : most;
    }
    each = used * prng_between(&w->rng_cruel, 1000, 1300) / 1000 / (n - 1) + most / 2;
    give_memory(w, first, n, each);
}

/* What else a cluster may hold to. */
static void make_policy(struct sim_world *w, uint32_t c, uint32_t first, uint32_t n)
{
    struct world_cluster *k = &w->clusters[c];

    if (!k->waive_none && prng_permille(&w->rng_cruel, 250))
        make_protected(w, c, first, n);
    k->anti_enforced = prng_permille(&w->rng_cruel, 250);
    for (uint32_t i = 0; i < w->n_vms && k->anti_enforced; i++)
        if (w->nodes[w->vms[i].node].cluster == c)
            w->vms[i].hard = w->vms[i].anti != 0;
}

/* Where the rules alone keep things apart: caps that would allow more, memory for just so many out, or for any number. */
static void make_cruel(struct sim_world *w, uint32_t c, uint32_t first, uint32_t n, bool plain)
{
    struct world_cluster *k = &w->clusters[c];
    struct prng *p = &w->rng_cruel;
    int64_t used = 0, each, most = 0;

    if (n < 3)
        return;
    k->max_out = k->s2d ? 2 : n < 4 ? 1 : n > 5 && prng_permille(p, 500) ? 3 : 2;
    k->waive_none = k->waive_none || prng_permille(p, 400);
    for (uint32_t i = 0; i < w->n_vms; i++)
        if (w->nodes[w->vms[i].node].cluster == c) {
            used += w->vms[i].memory_mib;
            most = w->vms[i].memory_mib > most ? w->vms[i].memory_mib : most;
        }
    each = used / (n > k->max_out ? n - k->max_out : 1);
    each = prng_permille(p, 400) ? each * 4 + 2 * most : each * prng_between(p, 1000, 1400) / 1000 + most;
    give_memory(w, first, n, each);
    if (!plain)
        make_policy(w, c, first, n);
}

void world_make(struct sim_world *w, uint64_t seed, const struct world_shape *shape)
{
    struct world_hooks hooks = w->hooks;
    struct buf scratch = w->scratch;
    uint32_t nodes, vms, first[WORLD_CLUSTERS + 1] = { 0 };

    memset(w, 0, sizeof *w);
    w->hooks = hooks;
    w->scratch = scratch;
    prng_init(&w->rng, seed ^ 0x77d5a1);
    prng_init(&w->rng_cruel, seed ^ 0xc12e1);
    w->cruel = !shape->mild && prng_permille(&w->rng_cruel, 500);
    w->now = WORLD_START;
    w->removable = !prng_permille(&w->rng, 300);
    nodes = 3 + least_of(w, 6, 2); /* small worlds are the most: they are quick and find the most */
    vms = 6 + least_of(w, 35, 4);
    if (shape->nodes_max != 0 && nodes > shape->nodes_max)
        nodes = shape->nodes_max < 2 ? 2 : shape->nodes_max;
    if (shape->vms_max != 0 && vms > shape->vms_max)
        vms = shape->vms_max;
    w->n_nodes = nodes;
    w->n_clusters = nodes >= 6 ? 1 + below(w, 3) : nodes >= 4 ? 1 + below(w, 2) : 1;
    if (w->cruel && nodes < 7 && prng_permille(&w->rng_cruel, 700))
        w->n_clusters = 1;
    for (uint32_t c = 0; c < w->n_clusters; c++) {
        uint32_t n = c + 1 == w->n_clusters ? nodes - first[c] : nodes / w->n_clusters;

        first[c + 1] = first[c] + n;
        make_cluster(w, c, first[c], n);
    }
    for (uint32_t i = 0; i < vms; i++)
        make_vm(w, i, below(w, nodes));
    w->n_vms = vms;
    make_pairs(w);
    for (uint32_t c = 0; c < w->n_clusters; c++)
        make_memory(w, c, first[c], first[c + 1] - first[c]);
    for (uint32_t c = 0; c < w->n_clusters && w->cruel; c++)
        make_cruel(w, c, first[c], first[c + 1] - first[c], shape->plain);
}

void world_clear(struct sim_world *w)
{
    buf_clear(&w->scratch);
}
