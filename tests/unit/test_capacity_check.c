/* Placements that somebody else made, and single VMs' places: what is believed
 * and by which rule it is not (docs/rules.md C2 to C9, O4, O6, I7). */
#include "orchestrator/core/capacity.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <string.h>

#define NOW 1000000
#define ID(n) "00000000-0000-4000-8000-00000000000" #n
#define VM(n, node, mib, more) \
    "{\"id\":\"" ID(n) "\",\"node\":\"" node "\",\"memory\":{\"assigned_mib\":" #mib "}" more "}"
#define NODE(id, cluster, more)                                                                 \
    "{\"id\":\"" id "\",\"cluster\":\"" cluster "\",\"memory_mib\":100,\"host_reserve_mib\":0," \
    "\"build\":\"26100.1\"" more "}"
#define CONSENT                                                               \
    ",\"consents\":[{\"vm\":\"" ID(3) "\",\"person\":\"p\",\"ticket\":\"t\"," \
                                      "\"expires\":\"2030-01-01T00:00:00Z\"}]"

struct world {
    struct inventory *inv;
    struct rollout *r;
    struct fleet f;
};

/* Cluster c: n0 to n3 with VM 1 and 3 on n0 (3 is tied to it), 2 on n1 (80 of 100); cluster k: m0. */
static void make(struct world *w, const char *cluster, const char *vm1, const char *rollout)
{
    struct buf text = BUF_INIT;
    struct err err = { 0 };

    buf_printf(
        &text,
        "{\"version\":1,\"name\":\"t\",\"clusters\":["
        "{\"id\":\"c\",\"storage\":\"shared\",\"witness\":\"disk\",\"optimisation_off\":true%s},"
        "{\"id\":\"k\",\"storage\":\"shared\",\"witness\":\"disk\",\"optimisation_off\":true}],"
        "\"nodes\":[" NODE("n0", "c", ",\"fault_domain\":\"r1\"") "," NODE("n1", "c", ",\"fault_domain\":\"r1\"") "," NODE(
            "n2", "c",
            ",\"fault_domain\":\"r2\"") "," NODE("n3", "c",
                                                 ",\"fault_domain\":\"r3\"") "," NODE("m0", "k",
                                                                                      "") "],"
                                                                                          "\"vms\":[" VM(1, "n0", 30, "%s") "," VM(
                                                                                              2, "n1", 80,
                                                                                              "%s") "," VM(3,
                                                                                                           "n"
                                                                                                           "0",
                                                                                                           10,
                                                                                                           ","
                                                                                                           "\"dda\":true") "]}",
        cluster, vm1, vm1);
    w->inv = inventory_of(buf_text(&text));
    w->r = small_rollout("[1]", rollout);
    check_ok(fleet_init(&w->f, w->inv, &err), &err);
    for (uint32_t i = 0; i < w->inv->n_clusters; i++)
        w->f.cluster_seen_at[i] = NOW;
    buf_clear(&text);
}

static void end(struct world *w)
{
    fleet_clear(&w->f);
    inventory_free(w->inv);
    rollout_free(w->r);
}

static uint32_t node(const struct world *w, const char *id)
{
    return inventory_node(w->inv, id);
}

static uint32_t vm(const struct world *w, const char *id)
{
    return fleet_vm_by_id(&w->f, id);
}

/* One claim of a placement: who moves where, who is parked. */
struct claim {
    const char *move, *to, *park;
    enum capacity_verdict verdict;
    const char *rule;
};

static void check_claim(struct world *w, const struct claim *c)
{
    struct drain_move move = { .vm = c->move == NULL ? 0 : vm(w, c->move),
                               .to = c->to == NULL ? 0 : node(w, c->to) };
    struct drain_park park = { .vm = c->park == NULL ? 0 : vm(w, c->park) };
    struct drain_proof p = { .moves = { &move, c->move != NULL, 0 }, .parks = { &park, c->park != NULL, 0 } },
                       ret;
    struct err err = { 0 };

    check_ok(capacity_check_drain(&w->f, w->r, node(w, "n0"), &p, NOW, &ret, &err), &err);
    if (ret.verdict != c->verdict || strcmp(ret.rule, c->rule) != 0)
        fail_msg("%s to %s, %s parked: verdict %d by `%s`: %s", c->move, c->to, c->park, (int)ret.verdict,
                 ret.rule, ret.reason);
    drain_proof_clear(&ret);
}

static void test_claims(void **state)
{
    static const struct claim rows[] = {
        { ID(1), "n2", ID(3), CAPACITY_SAFE, "" },
        { ID(1), "n1", ID(3), CAPACITY_INFEASIBLE, "C2" }, /* no room there */
        { ID(1), "m0", ID(3), CAPACITY_INFEASIBLE, "C2" }, /* of another cluster */
        { ID(1), "n0", ID(3), CAPACITY_INFEASIBLE, "I7" }, /* the very node */
        { ID(1), "n2", NULL, CAPACITY_INFEASIBLE, "C2" },  /* 3 is left */
        { NULL, NULL, ID(3), CAPACITY_INFEASIBLE, "C2" },  /* 1 is left */
        { ID(2), "n2", ID(3), CAPACITY_INFEASIBLE, "C2" }, /* 2 is not there */
        { ID(1), "n2", ID(2), CAPACITY_INFEASIBLE, "C2" },
        { ID(3), "n2", ID(1), CAPACITY_INFEASIBLE, "O4" }, /* nobody consented to parking 1 */
        { ID(3), "n2", NULL, CAPACITY_INFEASIBLE, "O6" },  /* and 3 cannot move */
    };
    struct world w;

    (void)state;
    make(&w, "", "", CONSENT);
    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        check_claim(&w, &rows[i]);
    end(&w);
}

/* Who is off holds nothing and is no move of ours: naming it is a lie. */
static void test_claim_of_a_vm_that_is_off(void **state)
{
    static const struct claim moved = { ID(1), "n2", ID(3), CAPACITY_INFEASIBLE, "C2" },
                              parked = { NULL, NULL, ID(1), CAPACITY_INFEASIBLE, "C2" };
    struct world w;

    (void)state;
    make(&w, "", ",\"state\":\"off\"", CONSENT);
    check_claim(&w, &moved);
    check_claim(&w, &parked);
    end(&w);
}

/* Everybody has a place, and one more loss is not survived: C4, or the rung below by waiver. */
static void test_reserve(void **state)
{
    static const struct claim full = { ID(1), "n2", ID(3), CAPACITY_INFEASIBLE, "C4" },
                              none = { ID(1), "n2", ID(3), CAPACITY_SAFE, "" };
    struct world w;
    bool nomem = false;
    char why[256];

    (void)state;
    make(&w, "", "", CONSENT);
    w.f.nodes[node(&w, "n3")].memory_mib = 40; /* 80 of n1 fit nowhere else beside 30 on n2 */
    check_claim(&w, &full);
    assert_null(
        capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "n2"), &nomem)); /* n0 would take the 80 */
    w.f.nodes[node(&w, "n0")].receives = false;
    assert_string_equal(capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "n2"), &nomem),
                        "the reserve would be lost (N+1)");
    assert_int_equal(capacity_place_vm(&w.f, w.r, vm(&w, ID(2)), why, &nomem), IX_NONE);
    assert_string_equal(why, "no node in service takes it and keeps the reserve");
    end(&w);
    make(&w, "", "",
         CONSENT
         ",\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":\"c\",\"person\":\"p\",\"ticket\":\"t\"}]");
    w.f.nodes[node(&w, "n3")].memory_mib = 40;
    check_claim(&w, &none);
    end(&w);
}

/* C6, with the class told by node and by fault domain. */
static void test_classes(void **state)
{
    static const struct claim beside = { ID(1), "n1", ID(3), CAPACITY_INFEASIBLE, "C6" },
                              elsewhere = { ID(1), "n2", ID(3), CAPACITY_SAFE, "" };
    static const char *const classes[] = { ",\"anti_affinity\":[\"h\"]",
                                           ",\"anti_affinity\":[\"domain:h\"]" };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(classes); i++) {
        struct world w;

        make(&w, ",\"enforced_anti_affinity\":true", classes[i], CONSENT);
        w.f.nodes[node(&w, "n1")].memory_mib = 200; /* there is room: the class decides */
        check_claim(&w, &beside);
        w.inv->nodes[node(&w, "n2")].fault_domain = i == 0 ? "r1" : "r2"; /* a plain class knows no racks */
        check_claim(&w, &elsewhere);
        end(&w);
    }
}

static void test_one_vm(void **state)
{
    struct world w;
    bool nomem = false;
    char why[256];

    (void)state;
    make(&w, "", "", CONSENT);
    assert_null(capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "n2"), &nomem));
    assert_string_equal(capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "m0"), &nomem),
                        "the node is of another cluster");
    assert_string_equal(capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "n1"), &nomem),
                        "the node cannot take it");
    w.f.nodes[node(&w, "n2")].receives = false;
    assert_string_equal(capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "n2"), &nomem),
                        "the node cannot take it");
    w.f.nodes[node(&w, "n1")].memory_mib = w.f.nodes[node(&w, "n3")].memory_mib = 200;
    assert_int_equal(capacity_place_vm(&w.f, w.r, vm(&w, ID(1)), why, &nomem), node(&w, "n1"));
    assert_string_equal(why, "");
    fleet_park(&w.f, vm(&w, ID(1)), true);
    assert_string_equal(capacity_may_land(&w.f, w.r, vm(&w, ID(1)), node(&w, "n3"), &nomem),
                        "the VM is not running in this cluster");
    assert_int_equal(capacity_place_vm(&w.f, w.r, vm(&w, ID(1)), why, &nomem), IX_NONE);
    assert_string_equal(why, "the VM is not running in this cluster");
    assert_false(nomem);
    end(&w);
}

/* C9: other clusters' nodes take the fleet's slots where the rollout reaches them, else they are nobody's. */
static void test_fleet_slots(void **state)
{
    static const struct {
        const char *scope;
        enum capacity_verdict verdict;
        const char *rule;
    } rows[] = {
        { "", CAPACITY_INFEASIBLE, "C9" },
        { ",\"scope\":{\"clusters\":[\"c\"]}", CAPACITY_SAFE, "" },
        { ",\"scope\":{\"clusters\":[\"c\",\"k\"]}", CAPACITY_INFEASIBLE, "C9" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct claim c = { ID(1), "n2", ID(3), rows[i].verdict, rows[i].rule };
        struct buf more = BUF_INIT;
        struct world w;

        buf_printf(&more, CONSENT ",\"policy\":{\"max_out_fleet\":1}%s", rows[i].scope);
        make(&w, "", "", buf_text(&more));
        w.f.nodes[node(&w, "m0")].out = OUT_DOWN;
        check_claim(&w, &c);
        buf_clear(&more);
        end(&w);
    }
}

/* C7, C8 as the cluster itself shows them. */
static void test_health(void **state)
{
    static const struct claim good = { ID(1), "n2", ID(3), CAPACITY_SAFE, "" },
                              votes = { ID(1), "n2", ID(3), CAPACITY_INFEASIBLE, "C7" };
    struct world w;

    (void)state;
    make(&w, "", "", CONSENT);
    w.f.health[0].known = true;
    w.f.health[0].witness_online = true;
    w.f.health[0].votes_all = 5;
    w.f.health[0].votes_up = 3;
    check_claim(&w, &good);
    w.f.health[0].votes_up = 2; /* the cluster itself has no majority left to give */
    check_claim(&w, &votes);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),  cmocka_unit_test(test_claim_of_a_vm_that_is_off),
        cmocka_unit_test(test_reserve), cmocka_unit_test(test_classes),
        cmocka_unit_test(test_one_vm),  cmocka_unit_test(test_fleet_slots),
        cmocka_unit_test(test_health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
