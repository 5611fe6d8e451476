#include "orchestrator/core/capacity.h"

#include "schema/prng.h"
#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1000000

/* --- a world in a few words --- */

struct world {
    struct inventory *inv;
    struct rollout *r;
    struct fleet f;
};

static void world_take(struct world *w, struct inventory *inv, struct rollout *r)
{
    struct err err = { 0 };

    w->inv = inv;
    w->r = r;
    check_ok(fleet_init(&w->f, inv, &err), &err);
    for (uint32_t i = 0; i < inv->n_clusters; i++)
        w->f.cluster_seen_at[i] = NOW;
}

static void world_end(struct world *w)
{
    fleet_clear(&w->f);
    inventory_free(w->inv);
    rollout_free(w->r);
}

#define CLUSTER "{\"id\":\"c\",\"storage\":\"shared\",\"witness\":\"disk\",\"optimisation_off\":true%s}"
#define NODE \
    "{\"id\":\"n%u\",\"cluster\":\"c\",\"memory_mib\":100,\"host_reserve_mib\":0,\"build\":\"26100.1\"%s}"

/* Nodes n0.. of 100 MiB in one cluster; `vms` as JSON members of VMs with the
 * placeholders of vm(). */
static void world_make(struct world *w, uint32_t nodes, const char *cluster, const char *node,
                       const char *vms, const char *rollout)
{
    struct buf text = BUF_INIT;

    buf_printf(&text,
               "{\"version\":1,\"name\":\"t\",\"sla_classes\":[{\"name\":\"gold\",\"parked_max\":1}],"
               "\"clusters\":[" CLUSTER "],\"nodes\":[",
               cluster);
    for (uint32_t i = 0; i < nodes; i++)
        buf_printf(&text, "%s" NODE, i == 0 ? "" : ",", i, node);
    buf_printf(&text, "],\"vms\":[%s]}", vms);
    world_take(w, inventory_of(buf_text(&text)), small_rollout("[1]", rollout));
    buf_clear(&text);
}

#define ID(n) "00000000-0000-4000-8000-00000000000" #n
#define VM(n, node, mib, more) \
    "{\"id\":\"" ID(n) "\",\"node\":\"n" #node "\",\"memory\":{\"assigned_mib\":" #mib "}" more "}"

static struct drain_proof prove(struct world *w, uint32_t node)
{
    struct drain_proof p;
    struct err err = { 0 };

    check_ok(capacity_prove_drain(&w->f, w->r, node, NULL, NOW, &p, &err), &err);
    return p;
}

static void check_refused(struct world *w, uint32_t node, enum capacity_verdict verdict, const char *rule)
{
    struct drain_proof p = prove(w, node);

    if (p.verdict != verdict || strcmp(p.rule, rule) != 0)
        fail_msg("wanted %s, got verdict %d by %s: %s", rule, (int)p.verdict, p.rule, p.reason);
    assert_int_not_equal(strlen(p.reason), 0);
    drain_proof_clear(&p);
}

static void check_safe(struct world *w, uint32_t node, uint32_t moves, uint32_t parks)
{
    struct drain_proof p = prove(w, node);

    if (p.verdict != CAPACITY_SAFE)
        fail_msg("refused by %s: %s", p.rule, p.reason);
    assert_int_equal(p.moves.n, moves);
    assert_int_equal(p.parks.n, parks);
    drain_proof_clear(&p);
}

/* --- one rule at a time --- */

/* C9: nodes that are out for whatever reason take the cluster's slots. */
static void test_cluster_cap(void **state)
{
    static const uint32_t why[] = { OUT_OURS, OUT_UNCLAIMED, OUT_DOWN, OUT_PAUSED, OUT_STUCK };
    struct world w;

    (void)state;
    world_make(&w, 5, "", "", VM(1, 0, 10, ""), "");
    check_safe(&w, 0, 1, 0);
    for (unsigned i = 0; i < TABLE_LEN(why); i++) {
        w.f.nodes[3].out = why[i];
        check_refused(&w, 0, CAPACITY_INFEASIBLE, "C9");
    }
    world_end(&w);
}

static void test_fleet_cap(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 6, ",\"max_out\":3", "", VM(1, 0, 10, ""), ",\"policy\":{\"max_out_fleet\":2}");
    w.f.nodes[3].out = OUT_OURS;
    check_safe(&w, 0, 1, 0);
    w.f.nodes[4].out = OUT_OURS;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C9");
    world_end(&w);
}

/* Who paused a node, and whether it is ours to take, comes before everything. */
static void test_node_not_ours(void **state)
{
    static const struct {
        uint32_t out;
        const char *rule;
    } rows[] = { { OUT_UNCLAIMED, "O20" }, { OUT_DOWN, "O26" }, { OUT_PAUSED, "O7" }, { OUT_STUCK, "O12" } };
    struct world w;

    (void)state;
    world_make(&w, 4, "", "", VM(1, 0, 10, ""), "");
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        w.f.nodes[0].out = rows[i].out;
        check_refused(&w, 0, CAPACITY_INFEASIBLE, rows[i].rule);
    }
    w.f.nodes[0].out = OUT_OURS; /* our own drain goes on */
    check_safe(&w, 0, 1, 0);
    world_end(&w);
}

/* Old or missing observation is no knowledge. */
static void test_stale_is_unknown(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 4, "", "", VM(1, 0, 10, ""), ",\"policy\":{\"fresh\":\"2s\"}");
    w.f.cluster_seen_at[0] = NOW - 2000;
    check_safe(&w, 0, 1, 0);
    w.f.cluster_seen_at[0] = NOW - 2001;
    check_refused(&w, 0, CAPACITY_UNKNOWN, "I3");
    w.f.cluster_seen_at[0] = TIME_NEVER;
    check_refused(&w, 0, CAPACITY_UNKNOWN, "I3");
    world_end(&w);
}

static void test_cluster_at_work(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 4, "", "", VM(1, 0, 10, ""), "");
    w.f.health[0].busy = "cau";
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O26");
    w.f.health[0].busy = NULL;
    w.f.health[0].stretched = true;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O26");
    w.f.health[0].stretched = false;
    w.inv->clusters[0].optimisation_off = false;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O26");
    world_end(&w);
}

static void test_vm_at_work(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 4, "", "", VM(1, 0, 10, ",\"busy\":\"backup\"") "," VM(2, 1, 10, ",\"replication\":true"),
               "");
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O26");
    check_refused(&w, 1, CAPACITY_INFEASIBLE, "O26");
    check_safe(&w, 2, 0, 0);
    world_end(&w);
}

/* C7: majority of configured votes, and after one more loss where the topology
 * could give that. nodes, witness, other nodes out -> may one more go? */
static void test_quorum(void **state)
{
    static const struct {
        uint32_t nodes, out;
        const char *witness;
        bool may;
    } rows[] = {
        { 2, 0, "none", false }, { 2, 0, "disk", true },  { 3, 0, "none", true }, { 3, 0, "disk", true },
        { 3, 1, "disk", false }, { 4, 0, "none", true },  { 4, 0, "disk", true }, { 4, 1, "disk", false },
        { 5, 0, "none", true },  { 5, 1, "none", false }, { 6, 1, "disk", true }, { 6, 1, "none", false },
        { 8, 2, "disk", true },  { 8, 3, "disk", false },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char cluster[80];
        struct buf text = BUF_INIT;
        struct drain_proof p;
        struct world w;

        snprintf(cluster, sizeof cluster, ",\"max_out\":9,\"reserve\":\"none\"");
        buf_printf(&text,
                   "{\"version\":1,\"name\":\"t\",\"clusters\":[{\"id\":\"c\",\"storage\":\"shared\","
                   "\"witness\":\"%s\",\"optimisation_off\":true%s}],\"nodes\":[",
                   rows[i].witness, cluster);
        for (uint32_t k = 0; k < rows[i].nodes; k++)
            buf_printf(&text, "%s" NODE, k == 0 ? "" : ",", k, "");
        buf_str(&text, "]}");
        world_take(&w, inventory_of(buf_text(&text)),
                   small_rollout("[1]", ",\"policy\":{\"reserve_min\":\"none\"}"));
        for (uint32_t k = 0; k < rows[i].out; k++)
            w.f.nodes[k + 1].out = OUT_OURS;
        p = prove(&w, 0);
        if ((p.verdict == CAPACITY_SAFE) != rows[i].may)
            fail_msg("%u nodes, witness %s, %u out: %s", rows[i].nodes, rows[i].witness, rows[i].out,
                     p.reason);
        if (!rows[i].may)
            assert_string_equal(p.rule, "C7");
        drain_proof_clear(&p);
        world_end(&w);
        buf_clear(&text);
    }
}

static void test_witness_offline(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 5, "", "", VM(1, 0, 10, ""), "");
    w.f.health[0].witness_online = false;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O20");
    world_end(&w);
}

/* C8: one node of an S2D cluster at a time, and only on clean storage. */
static void test_s2d(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 5, ",\"max_out\":3", "", VM(1, 0, 10, ""), "");
    w.inv->clusters[0].storage = STORAGE_S2D;
    check_safe(&w, 0, 1, 0);
    w.f.nodes[2].out = OUT_OURS;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C8");
    w.f.nodes[2].out = 0;
    w.f.health[0].known = true;
    w.f.health[0].votes_all = w.f.health[0].votes_up = 6;
    check_refused(&w, 0, CAPACITY_UNKNOWN, "O21");
    w.f.health[0].storage_known = true;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O21");
    w.f.health[0].storage_clean = true;
    check_safe(&w, 0, 1, 0);
    world_end(&w);
}

/* More than one from a rack only by waiver, rack-aware, never more than two,
 * and only where the pool survives it. */
static void test_s2d_rack(void **state)
{
    static const char waiver[] =
        ",\"waivers\":[{\"what\":\"s2d_rack\",\"cluster\":\"c\",\"person\":\"p\",\"ticket\":\"t\"}]";
    struct world w;

    (void)state;
    world_make(&w, 8, ",\"max_out\":4,\"rack_aware\":true", ",\"fault_domain\":\"r1\"", VM(1, 0, 10, ""),
               waiver);
    w.inv->clusters[0].storage = STORAGE_S2D;
    w.f.nodes[2].out = OUT_OURS;
    check_safe(&w, 0, 1, 0);
    w.inv->nodes[2].fault_domain = "r2";
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C8");
    w.inv->nodes[2].fault_domain = "r1";
    w.f.nodes[3].out = OUT_OURS;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C8");
    world_end(&w);
}

/* With two of a rack out the pool keeps its majority from four nodes and a witness on, or from five; the cluster's own votes are
 * counted apart (C7). */
static void test_s2d_pool(void **state)
{
    static const struct {
        uint32_t nodes;
        enum quorum_witness witness;
        const char *rule; /* NULL: allowed */
    } rows[] = { { 3, WITNESS_DISK, "C8" },
                 { 4, WITNESS_NONE, "C8" },
                 { 4, WITNESS_DISK, "C7" },
                 { 5, WITNESS_NONE, "C7" },
                 { 7, WITNESS_NONE, NULL } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct world w;

        world_make(
            &w, rows[i].nodes, ",\"max_out\":2,\"rack_aware\":true", ",\"fault_domain\":\"r1\"",
            VM(1, 0, 10, ""),
            ",\"waivers\":[{\"what\":\"s2d_rack\",\"cluster\":\"c\",\"person\":\"p\",\"ticket\":\"t\"}]");
        w.inv->clusters[0].storage = STORAGE_S2D;
        w.inv->clusters[0].witness = rows[i].witness;
        w.f.nodes[2].out = OUT_OURS;
        if (rows[i].rule == NULL)
            check_safe(&w, 0, 1, 0);
        else
            check_refused(&w, 0, CAPACITY_INFEASIBLE, rows[i].rule);
        world_end(&w);
    }
}

/* The racks have to be told by the storage itself too, once it has been looked at (O21). */
static void test_s2d_rack_as_observed(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 8, ",\"max_out\":2,\"rack_aware\":true", ",\"fault_domain\":\"r1\"", VM(1, 0, 10, ""),
               ",\"waivers\":[{\"what\":\"s2d_rack\",\"cluster\":\"c\",\"person\":\"p\",\"ticket\":\"t\"}]");
    w.inv->clusters[0].storage = STORAGE_S2D;
    w.f.nodes[2].out = OUT_OURS;
    w.f.health[0] = (struct fleet_health){ .known = true,
                                           .votes_all = 9,
                                           .votes_up = 8,
                                           .witness_online = true,
                                           .storage_known = true,
                                           .storage_clean = true,
                                           .storage_rack_aware = true };
    check_safe(&w, 0, 1, 0);
    w.f.health[0].storage_rack_aware = false;
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C8");
    world_end(&w);
}

/* O5, O6, O4, O25: what cannot move is parked by consent or refused by name. */
static void test_parking(void **state)
{
    static const char *const ties[] = {
        ",\"clustered\":false",   ",\"isolation\":\"snp\"",
        ",\"isolation\":\"tdx\"", ",\"dda\":true",
        ",\"gpu\":true",          ",\"local_disk\":true",
        ",\"passthrough\":true",  ",\"iso\":\"C:\\\\iso\\\\a.iso\"",
        ",\"dirty_mib_s\":1100",  ",\"possible_owners\":[\"n0\"]",
    };
    static const char consent[] = ",\"consents\":[{\"vm\":\"" ID(
        1) "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true,\"expires\":\"2030-01-01T00:00:00Z\"}]";
    struct world w;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(ties); i++) {
        struct buf vm = BUF_INIT;

        buf_printf(&vm, "{\"id\":\"" ID(1) "\",\"node\":\"n0\",\"memory\":{\"assigned_mib\":10}%s}", ties[i]);
        world_make(&w, 4, "", "", buf_text(&vm), "");
        check_refused(&w, 0, CAPACITY_INFEASIBLE, "O4");
        world_end(&w);
        world_make(&w, 4, "", "", buf_text(&vm), consent);
        check_safe(&w, 0, 0, 1);
        ((struct rollout *)w.r)->consents[0].expires = NOW;
        check_refused(&w, 0, CAPACITY_INFEASIBLE, "O4");
        world_end(&w);
        buf_clear(&vm);
    }
}

/* A movable VM is moved although somebody would consent to its parking; an ISO
 * on shared storage ties nothing; what is off is nobody's move. */
static void test_not_tied(void **state)
{
    static const char consent[] = ",\"consents\":[{\"vm\":\"" ID(
        1) "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"2030-01-01T00:00:00Z\"}]";
    struct world w;

    (void)state;
    world_make(&w, 4, "", "",
               VM(1, 0, 10, "") "," VM(2, 0, 10, ",\"iso\":\"\\\\\\\\share\\\\a.iso\"") "," VM(
                   3, 0, 10, ",\"isolation\":\"vbs\"") "," VM(4, 0, 10, ",\"state\":\"off\",\"dda\":true"),
               consent);
    check_safe(&w, 0, 3, 0);
    world_end(&w);
}

static void test_infrastructure_never_parked(void **state)
{
    static const char consent[] = ",\"consents\":[{\"vm\":\"" ID(
        1) "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"2030-01-01T00:00:00Z\"}]";
    struct world w;

    (void)state;
    world_make(&w, 4, "", "", VM(1, 0, 10, ",\"dda\":true,\"role\":\"domain_controller\""), consent);
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "O25");
    world_end(&w);
}

/* No checkpoint of a VM with such disks or devices, whatever its consent says; each alone. */
static void test_checkpoint_of_what_may_have_none(void **state)
{
    static const struct {
        const char *what;
        bool checkpoint;
    } rows[] = { { ",\"clustered\":false", true },
                 { ",\"passthrough\":true", false },
                 { ",\"dda\":true", false },
                 { ",\"clustered\":false,\"shared_disk\":true", false } };
    static const char consent[] = ",\"consents\":[{\"vm\":\"" ID(
        1) "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true,\"expires\":\"2030-01-01T00:00:00Z\"}]";

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf vm = BUF_INIT;
        struct drain_proof p;
        struct world w;

        buf_printf(&vm, "{\"id\":\"" ID(1) "\",\"node\":\"n0\",\"memory\":{\"assigned_mib\":10}%s}",
                   rows[i].what);
        world_make(&w, 4, "", "", buf_text(&vm), consent);
        p = prove(&w, 0);
        assert_int_equal(p.parks.n, 1);
        assert_int_equal(p.parks.items[0].checkpoint, rows[i].checkpoint);
        drain_proof_clear(&p);
        world_end(&w);
        buf_clear(&vm);
    }
}

/* No checkpoint where none may be; no save of an assigned device. */
static void test_checkpoint_and_save(void **state)
{
    static const char consents[] = ",\"consents\":[{\"vm\":\"" ID(
        1) "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true,\"method\":\"save\",\"expires\":\"2030-"
           "01-01T00:00:00Z\"},"
           "{\"vm\":\"" ID(2) "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true,\"expires\":\"2030-"
                              "01-01T00:00:00Z\"},"
                              "{\"vm\":\"" ID(3) "\",\"person\":\"p\",\"ticket\":\"t\",\"method\":\"save\","
                                                 "\"expires\":\"2030-01-01T00:00:00Z\"}]";
    struct drain_proof p;
    struct world w;

    (void)state;
    world_make(&w, 4, "", "",
               VM(1, 0, 10, ",\"clustered\":false") "," VM(2, 1, 10, ",\"passthrough\":true") "," VM(
                   3, 2, 10, ",\"dda\":true"),
               consents);
    p = prove(&w, 0);
    assert_true(p.parks.items[0].checkpoint);
    assert_int_equal(p.parks.items[0].method, PARK_SAVE);
    drain_proof_clear(&p);
    p = prove(&w, 1);
    assert_false(p.parks.items[0].checkpoint);
    drain_proof_clear(&p);
    check_refused(&w, 2, CAPACITY_INFEASIBLE, "O4");
    world_end(&w);
}

/* C9: a class has a number of VMs that may be parked at once. */
static void test_class_budget(void **state)
{
    static const char consents[] = ",\"consents\":[{\"vm\":\"" ID(
        1) "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"2030-01-01T00:00:00Z\"},"
           "{\"vm\":\"" ID(2) "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"2030-01-01T00:00:00Z\"}]";
    struct world w;

    (void)state;
    world_make(
        &w, 4, "", "",
        VM(1, 0, 10, ",\"dda\":true,\"sla\":\"gold\"") "," VM(2, 1, 10, ",\"dda\":true,\"sla\":\"gold\""),
        consents);
    check_safe(&w, 0, 0, 1);
    fleet_park(&w.f, fleet_vm_by_id(&w.f, ID(2)), true);
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C9");
    fleet_park(&w.f, fleet_vm_by_id(&w.f, ID(2)), false);
    check_safe(&w, 0, 0, 1);
    world_end(&w);
}

/* Infrastructure VMs go first, then the largest (O25). */
static void test_order_of_moves(void **state)
{
    struct drain_proof p;
    struct world w;

    (void)state;
    world_make(&w, 5, "", "", VM(1, 0, 5, "") "," VM(2, 0, 30, "") "," VM(3, 0, 10, ",\"role\":\"dns\""), "");
    p = prove(&w, 0);
    assert_int_equal(p.moves.n, 3);
    assert_string_equal(w.f.vms.items[p.moves.items[0].vm].vm.id, ID(3));
    assert_string_equal(w.f.vms.items[p.moves.items[1].vm].vm.id, ID(2));
    assert_string_equal(w.f.vms.items[p.moves.items[2].vm].vm.id, ID(1));
    drain_proof_clear(&p);
    world_end(&w);
}

/* P5: patched receivers first; what the plan prefers is kept where it holds. */
static void test_receivers(void **state)
{
    uint32_t prefer[1] = { 3 };
    struct drain_proof p;
    struct err err = { 0 };
    struct world w;

    (void)state;
    world_make(&w, 5, "", "", VM(1, 0, 5, ""), "");
    w.f.nodes[2].patched = true;
    p = prove(&w, 0);
    assert_int_equal(p.moves.items[0].to, 2);
    assert_false(p.moves.items[0].unproved);
    drain_proof_clear(&p);
    check_ok(capacity_prove_drain(&w.f, w.r, 0, prefer, NOW, &p, &err), &err);
    assert_int_equal(p.moves.items[0].to, 3);
    drain_proof_clear(&p);
    w.f.nodes[3].receives = false;
    check_ok(capacity_prove_drain(&w.f, w.r, 0, prefer, NOW, &p, &err), &err);
    assert_int_equal(p.moves.items[0].to, 2);
    drain_proof_clear(&p);
    w.f.nodes[0].patched = true; /* a rollback: patched to unpatched is unproved (O16) */
    w.f.nodes[2].patched = false;
    p = prove(&w, 0);
    assert_true(p.moves.items[0].unproved);
    drain_proof_clear(&p);
    world_end(&w);
}

/* The refusals of fit name their inequality. */
static void test_certificates(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, 3, ",\"reserve\":\"none\"", "", VM(1, 0, 90, "") "," VM(2, 1, 60, "") "," VM(3, 2, 60, ""),
               ",\"policy\":{\"reserve_min\":\"none\"}");
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C1");
    world_end(&w);
    world_make(&w, 3, ",\"reserve\":\"none\"", "", VM(1, 0, 70, "") "," VM(2, 1, 50, "") "," VM(3, 2, 50, ""),
               ",\"policy\":{\"reserve_min\":\"none\"}");
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C2");
    world_end(&w);
    world_make(&w, 4, "", "", VM(1, 0, 70, "") "," VM(2, 1, 70, "") "," VM(3, 2, 70, ""), "");
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C3");
    world_end(&w);
    world_make(&w, 3, ",\"reserve\":\"none\",\"enforced_anti_affinity\":true", "",
               VM(1, 0, 5, ",\"anti_affinity\":[\"a\"]") "," VM(2, 1, 5, ",\"anti_affinity\":[\"a\"]") "," VM(
                   3, 2, 5, ",\"anti_affinity\":[\"a\"]"),
               ",\"policy\":{\"reserve_min\":\"none\"}");
    check_refused(&w, 0, CAPACITY_INFEASIBLE, "C6");
    world_end(&w);
}

/* O23: the highest rung that holds is proved; below policy only by waiver. */
static void test_reserve_ladder(void **state)
{
    static const char vms[] = VM(1, 0, 60, "") "," VM(2, 1, 60, ",\"priority\":3000") "," VM(3, 2, 30, "");
    struct drain_proof p;
    struct world w;

    (void)state;
    world_make(&w, 4, "", "", vms, "");
    p = prove(&w, 2);
    assert_int_equal(p.verdict, CAPACITY_SAFE);
    assert_int_equal(p.reached, RESERVE_FULL);
    drain_proof_clear(&p);
    w.f.nodes[3].memory_mib = 40;
    check_refused(&w, 2, CAPACITY_INFEASIBLE, "C3");
    world_end(&w);
    world_make(
        &w, 4, "", "", vms,
        ",\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":\"c\",\"person\":\"p\",\"ticket\":\"t\"}]");
    w.f.nodes[3].memory_mib = 40;
    p = prove(&w, 2);
    assert_int_equal(p.verdict, CAPACITY_SAFE);
    assert_int_equal(p.reached, RESERVE_NONE);
    drain_proof_clear(&p);
    w.f.nodes[3].memory_mib = 65; /* now the high-priority one could restart, not every VM */
    w.f.nodes[0].memory_mib = 61;
    p = prove(&w, 2);
    assert_int_equal(p.verdict, CAPACITY_SAFE);
    assert_int_equal(p.reached, RESERVE_PROTECTED);
    drain_proof_clear(&p);
    world_end(&w);
}

/* A waiver for `protected` goes so far and no further; one for `none` covers both. */
static void test_reserve_waivers(void **state)
{
    static const char vms[] = VM(1, 0, 60, "") "," VM(2, 1, 60, ",\"priority\":3000") "," VM(3, 2, 30, "");
    static const struct {
        const char *what;
        uint32_t mib; /* of the last node: 65 restarts the high-priority VM, 40 nothing */
        bool safe;
    } rows[] = { { "s2d_rack", 65, false },
                 { "reserve_protected", 65, true },
                 { "reserve_protected", 40, false },
                 { "reserve_none", 65, true },
                 { "reserve_none", 40, true } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf waiver = BUF_INIT;
        struct drain_proof p;
        struct world w;

        buf_printf(&waiver,
                   ",\"waivers\":[{\"what\":\"%s\",\"cluster\":\"c\",\"person\":\"p\",\"ticket\":\"t\"}]",
                   rows[i].what);
        world_make(&w, 4, "", "", vms, buf_text(&waiver));
        w.f.nodes[3].memory_mib = rows[i].mib;
        w.f.nodes[0].memory_mib = rows[i].mib == 65 ? 61 : 100;
        p = prove(&w, 2);
        if ((p.verdict == CAPACITY_SAFE) != rows[i].safe)
            fail_msg("%s with %u MiB: %s", rows[i].what, rows[i].mib, p.reason);
        drain_proof_clear(&p);
        world_end(&w);
        buf_clear(&waiver);
    }
}

/* A promise counts at its target at once, and at the source until it is over. */
static void test_promises_count(void **state)
{
    struct world w;
    uint32_t vm;

    (void)state;
    world_make(&w, 4, ",\"max_out\":2,\"reserve\":\"none\"", "",
               VM(1, 0, 60, "") "," VM(2, 1, 60, "") "," VM(3, 2, 60, ""),
               ",\"policy\":{\"reserve_min\":\"none\"}");
    vm = fleet_vm_by_id(&w.f, ID(1));
    check_safe(&w, 1, 1, 0);
    fleet_promise(&w.f, vm, 3);
    assert_int_equal(fleet_free_mib(&w.f, 3), 40);
    assert_int_equal(fleet_free_mib(&w.f, 0), 40);
    check_refused(&w, 1, CAPACITY_INFEASIBLE, "C2");
    check_refused(&w, 3, CAPACITY_INFEASIBLE, "O26"); /* a VM is arriving there */
    fleet_arrive(&w.f, vm, 3);
    assert_int_equal(fleet_free_mib(&w.f, 0), 100);
    check_safe(&w, 1, 1, 0);
    world_end(&w);
}

static void test_may_land(void **state)
{
    bool nomem = false;
    char reason[256];
    struct world w;
    uint32_t vm;

    (void)state;
    world_make(&w, 4, ",\"max_out\":2", "",
               VM(1, 0, 30, "") "," VM(2, 1, 80, "") "," VM(3, 2, 30, ",\"possible_owners\":[\"n2\",\"n3\"]"),
               "");
    vm = fleet_vm_by_id(&w.f, ID(1));
    assert_null(capacity_may_land(&w.f, w.r, vm, 2, &nomem));
    assert_non_null(capacity_may_land(&w.f, w.r, vm, 1, &nomem));
    assert_non_null(capacity_may_land(&w.f, w.r, fleet_vm_by_id(&w.f, ID(3)), 0, &nomem));
    w.f.nodes[2].out = OUT_PAUSED;
    assert_non_null(capacity_may_land(&w.f, w.r, vm, 2, &nomem));
    w.f.nodes[0].out = OUT_OURS; /* its drain is under way: where now? */
    w.f.nodes[2].out = 0;
    assert_int_equal(capacity_place_vm(&w.f, w.r, vm, reason, &nomem), 2);
    w.f.nodes[2].out = OUT_DOWN;
    w.f.nodes[3].out = OUT_DOWN;
    assert_int_equal(capacity_place_vm(&w.f, w.r, vm, reason, &nomem), IX_NONE);
    assert_int_not_equal(strlen(reason), 0);
    world_end(&w);
}

/* --- against brute force --- */

enum { N = 4 };

struct brute {
    const struct fleet *f;
    uint32_t node;       /* drained */
    uint32_t vms[16], n; /* to place */
    uint32_t at[64];     /* where each VM of the fleet is */
    int64_t free_mib[N];
};

static bool brute_clash(const struct brute *b, uint32_t vm, uint32_t node)
{
    for (uint32_t i = 0; i < b->f->vms.n; i++)
        if (i != vm && b->at[i] == node)
            for (uint32_t k = 0; k < b->f->vms.items[i].vm.n_anti; k++)
                for (uint32_t m = 0; m < b->f->vms.items[vm].vm.n_anti; m++)
                    if (strcmp(b->f->vms.items[i].vm.anti_affinity[k],
                               b->f->vms.items[vm].vm.anti_affinity[m]) == 0)
                        return true;
    return false;
}

static bool brute_owner(const struct brute *b, uint32_t vm, uint32_t node)
{
    const struct vm *v = &b->f->vms.items[vm].vm;

    for (uint32_t i = 0; i < v->n_owners; i++)
        if (v->owners[i] == node)
            return true;
    return v->n_owners == 0;
}

/* Every way to put list[i..] on nodes but `lost` and the drained one; the last
 * word is `then`'s. */
static bool brute_place(struct brute *b, const uint32_t *list, uint32_t n, uint32_t i, uint32_t lost,
                        bool (*then)(struct brute *b))
{
    if (i == n)
        return then == NULL || then(b);
    for (uint32_t node = 0; node < N; node++) {
        int64_t mib = (int64_t)b->f->vms.items[list[i]].vm.assigned_mib;
        bool ok;

        if (node == lost || node == b->node || b->free_mib[node] < mib || !brute_owner(b, list[i], node) ||
            brute_clash(b, list[i], node))
            continue;
        b->free_mib[node] -= mib;
        b->at[list[i]] = node;
        ok = brute_place(b, list, n, i + 1, lost, then);
        b->free_mib[node] += mib;
        b->at[list[i]] = IX_NONE;
        if (ok)
            return true;
    }
    return false;
}

static bool brute_survives(struct brute *b)
{
    for (uint32_t lost = 0; lost < N; lost++) {
        uint32_t list[64], n = 0;
        bool ok;

        if (lost == b->node)
            continue;
        for (uint32_t i = 0; i < b->f->vms.n; i++)
            if (b->at[i] == lost)
                list[n++] = i;
        for (uint32_t i = 0; i < n; i++)
            b->at[list[i]] = IX_NONE;
        ok = brute_place(b, list, n, 0, lost, NULL);
        for (uint32_t i = 0; i < n; i++)
            b->at[list[i]] = lost;
        if (!ok)
            return false;
    }
    return true;
}

static bool brute_force(const struct fleet *f, uint32_t node)
{
    struct brute b = { .f = f, .node = node };

    for (uint32_t i = 0; i < N; i++)
        b.free_mib[i] = (int64_t)f->nodes[i].memory_mib;
    for (uint32_t i = 0; i < f->vms.n; i++) {
        b.at[i] = f->vms.items[i].at;
        if (b.at[i] == node) {
            b.vms[b.n++] = i;
            b.at[i] = IX_NONE;
        } else {
            b.free_mib[b.at[i]] -= (int64_t)f->vms.items[i].vm.assigned_mib;
        }
    }
    return brute_place(&b, b.vms, b.n, 0, IX_NONE, brute_survives);
}

/* Four nodes, two to four VMs each, filled to about the N+1 limit. */
static void random_cluster(struct prng *prng, bool odd, struct buf *text)
{
    uint32_t n = 0;

    buf_printf(text, "{\"version\":1,\"name\":\"t\",\"clusters\":[" CLUSTER "],\"nodes\":[",
               ",\"enforced_anti_affinity\":true");
    for (uint32_t i = 0; i < N; i++)
        buf_printf(text, "%s" NODE, i == 0 ? "" : ",", i, "");
    buf_str(text, "],\"vms\":[");
    for (uint32_t node = 0; node < N; node++)
        for (uint32_t k = (uint32_t)prng_between(prng, 2, 4); k > 0; k--, n++) {
            char id[40];

            buf_printf(text, "%s{\"id\":\"%s\",\"node\":\"n%u\",\"memory\":{\"assigned_mib\":%u}",
                       n == 0 ? "" : ",", small_vm_id(n, id), node, (uint32_t)prng_between(prng, 5, 25));
            if (odd && prng_permille(prng, 200))
                buf_printf(text, ",\"anti_affinity\":[\"a%u\"]", (uint32_t)prng_below(prng, 3));
            if (odd && prng_permille(prng, 150))
                buf_printf(text, ",\"possible_owners\":[\"n%u\",\"n%u\",\"n%u\"]", node, (node + 1) % N,
                           (node + 2) % N);
            buf_char(text, '}');
        }
    buf_str(text, "]}");
}

static void against_brute_force(bool odd, uint64_t seed, unsigned rounds)
{
    unsigned safe = 0, refused = 0;
    struct prng prng;

    prng_init(&prng, seed);
    for (unsigned i = 0; i < rounds; i++) {
        struct buf text = BUF_INIT;
        struct world w;

        random_cluster(&prng, odd, &text);
        world_take(&w, inventory_of(buf_text(&text)), small_rollout("[1]", ""));
        for (uint32_t node = 0; node < N; node++) {
            struct drain_proof p = prove(&w, node), check;
            struct err err = { 0 };
            bool pinned = strcmp(p.rule, "O4") == 0, truth = brute_force(&w.f, node);

            assert_int_not_equal(p.verdict, CAPACITY_UNKNOWN);
            if (!pinned && (p.verdict == CAPACITY_SAFE) != truth)
                fail_msg("seed %llu, round %u, node %u: %s says %s, brute force says %s\n%s",
                         (unsigned long long)seed, i, node, p.rule, p.reason, truth ? "yes" : "no",
                         buf_text(&text));
            if (p.verdict == CAPACITY_SAFE) {
                check_ok(capacity_check_drain(&w.f, w.r, node, &p, NOW, &check, &err), &err);
                assert_int_equal(check.verdict, CAPACITY_SAFE);
                assert_int_equal(check.reached, p.reached);
                drain_proof_clear(&check);
            }
            safe += p.verdict == CAPACITY_SAFE;
            refused += p.verdict == CAPACITY_INFEASIBLE;
            drain_proof_clear(&p);
        }
        world_end(&w);
        buf_clear(&text);
    }
    /* the sizes are chosen so that both answers are common */
    assert_in_range(safe, rounds / 4, 4 * rounds);
    assert_in_range(refused, rounds / 4, 4 * rounds);
}

static void test_brute_force_memory(void **state)
{
    (void)state;
    against_brute_force(false, 1, 400);
}

static void test_brute_force_all(void **state)
{
    (void)state;
    against_brute_force(true, 2, 400);
}

/* The checker of placements finds each lie. */
static void test_check_finds_lies(void **state)
{
    struct drain_proof p, check;
    struct drain_move honest;
    struct err err = { 0 };
    struct world w;

    (void)state;
    world_make(
        &w, 5, ",\"max_out\":2", "",
        VM(1, 0, 30, "") "," VM(2, 1, 80, "") "," VM(3, 0, 10, ",\"possible_owners\":[\"n0\",\"n2\",\"n3\"]"),
        "");
    p = prove(&w, 0);
    assert_int_equal(p.verdict, CAPACITY_SAFE);
    honest = p.moves.items[0];
    for (int lie = 0; lie < 5; lie++) {
        const uint32_t to[] = { 1, 0, 4, honest.to, honest.to };
        uint32_t n = p.moves.n;

        w.f.nodes[4].out = lie == 2 ? OUT_DOWN : 0;
        p.moves.items[0].to = to[lie];
        if (lie == 3)
            p.moves.n--;
        if (lie == 4)
            p.moves.items[0].vm = fleet_vm_by_id(&w.f, ID(2));
        check_ok(capacity_check_drain(&w.f, w.r, 0, &p, NOW, &check, &err), &err);
        if (check.verdict == CAPACITY_SAFE)
            fail_msg("lie %d was believed", lie);
        drain_proof_clear(&check);
        p.moves.n = n;
        p.moves.items[0] = honest;
    }
    w.f.nodes[4].out = 0;
    check_ok(capacity_check_drain(&w.f, w.r, 0, &p, NOW, &check, &err), &err);
    assert_int_equal(check.verdict, CAPACITY_SAFE);
    drain_proof_clear(&check);
    drain_proof_clear(&p);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_cap),
        cmocka_unit_test(test_fleet_cap),
        cmocka_unit_test(test_node_not_ours),
        cmocka_unit_test(test_stale_is_unknown),
        cmocka_unit_test(test_cluster_at_work),
        cmocka_unit_test(test_vm_at_work),
        cmocka_unit_test(test_quorum),
        cmocka_unit_test(test_witness_offline),
        cmocka_unit_test(test_s2d),
        cmocka_unit_test(test_s2d_rack),
        cmocka_unit_test(test_s2d_pool),
        cmocka_unit_test(test_s2d_rack_as_observed),
        cmocka_unit_test(test_checkpoint_of_what_may_have_none),
        cmocka_unit_test(test_reserve_waivers),
        cmocka_unit_test(test_parking),
        cmocka_unit_test(test_not_tied),
        cmocka_unit_test(test_infrastructure_never_parked),
        cmocka_unit_test(test_checkpoint_and_save),
        cmocka_unit_test(test_class_budget),
        cmocka_unit_test(test_order_of_moves),
        cmocka_unit_test(test_receivers),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_reserve_ladder),
        cmocka_unit_test(test_promises_count),
        cmocka_unit_test(test_may_land),
        cmocka_unit_test(test_brute_force_memory),
        cmocka_unit_test(test_brute_force_all),
        cmocka_unit_test(test_check_finds_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
