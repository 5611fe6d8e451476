#include "orchestrator/core/plan.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795471200000

static struct plan *plan_it(struct inventory *inv, struct rollout *r)
{
    struct plan *p;
    struct err err = { 0 };

    check_ok(plan_build(inv, r, NOW, "tester", &p, &err), &err);
    return p;
}

static void check_verified(const struct plan *p)
{
    struct buf faults = BUF_INIT;

    if (plan_verify(p, &faults) != 0)
        fail_msg("%s", buf_text(&faults));
    buf_clear(&faults);
}

/* The founding case: 72 nodes, 12 -> 24 -> all, at the least moves there can
 * be; each wave takes from every cluster, so no cluster is asked twice before
 * all were asked once. */
static void test_72_nodes(void **state)
{
    struct fleet_words words = { .seed = 3,
                                 .clusters = 9,
                                 .nodes = 8,
                                 .vms = 10,
                                 .node_mib = 524288,
                                 .vm_mib_min = 4096,
                                 .vm_mib_max = 32768 };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[12,24,\"100%\"]", ""));
    uint32_t per_cluster[9] = { 0 };

    (void)state;
    assert_int_equal(p->n_waves, 3);
    assert_int_equal(p->waves[0].n_nodes, 12);
    assert_int_equal(p->waves[1].n_nodes, 24);
    assert_int_equal(p->waves[2].n_nodes, 36);
    assert_int_equal(p->n_refusals, 0);
    assert_int_equal(p->moves, p->moves_bound);
    for (uint32_t i = 0; i < 12; i++)
        per_cluster[p->inv->nodes[p->nodes[p->waves[0].nodes[i]].node].cluster]++;
    for (uint32_t c = 0; c < 9; c++)
        assert_in_range(per_cluster[c], 1, 2);
    assert_true(p->took_bound_ms <= p->took.p50);
    assert_true(p->took.p50 <= p->took_bound_ms + p->took_bound_ms / 10);
    check_verified(p);
    plan_free(p);
}

/* Random clusters, one node out at a time: the lower bound is met; with hard
 * anti-affinity, which the bound does not know, within one per cent in all. */
static void test_moves_meet_the_bound(void **state)
{
    static const uint32_t sizes[] = { 4, 5, 6, 8, 12, 16 };
    unsigned planned = 0, moves = 0, bound = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        uint32_t nodes = sizes[seed % TABLE_LEN(sizes)];
        /* up to nine tenths of what N+1 allows: (n-2)/n */
        uint32_t limit = 100 * (nodes - 2) / nodes * 9 / 10;
        struct fleet_words words = { .seed = seed,
                                     .clusters = 1,
                                     .nodes = nodes,
                                     .node_mib = 512000,
                                     .vm_mib_min = 4000,
                                     .vm_mib_max = 60000,
                                     .percent_full = limit - (uint32_t)(seed % 4) * 8,
                                     .anti_percent = seed % 3 == 0 ? 30 : 0,
                                     .uneven = seed % 5 == 0 };
        struct plan *p = plan_it(small_fleet(&words), small_rollout("[1,\"100%\"]", ""));

        if (p->n_refusals == 0) {
            planned++;
            moves += p->moves;
            bound += p->moves_bound;
            if (words.anti_percent == 0 && p->moves != p->moves_bound)
                fail_msg("seed %llu: %u moves, the bound is %u", (unsigned long long)seed, p->moves,
                         p->moves_bound);
        }
        check_verified(p);
        plan_free(p);
    }
    assert_true(planned >= 100);
    assert_true(moves <= bound + bound / 100);
}

struct small_vm {
    unsigned node, mib;
};

/* An S2D cluster of nodes n0, n1, ... and VMs numbered from 0; `more` is said of each VM. */
static struct inventory *s2d_cluster(const unsigned *nodes_mib, size_t n_nodes, unsigned reserve_mib,
                                     const struct small_vm *vms, size_t n_vms, const char *more)
{
    struct buf text = BUF_INIT;
    struct inventory *inv;

    buf_str(&text, "{\"version\":1,\"name\":\"f\",\"clusters\":[{\"id\":\"c\",\"storage\":\"s2d\","
                   "\"witness\":\"disk\",\"optimisation_off\":true}],\"nodes\":[");
    for (size_t i = 0; i < n_nodes; i++)
        buf_printf(&text,
                   "%s{\"id\":\"n%u\",\"cluster\":\"c\",\"memory_mib\":%u,\"host_reserve_mib\":%u,"
                   "\"build\":\"26100.4061\"}",
                   i == 0 ? "" : ",", (unsigned)i, nodes_mib[i], reserve_mib);
    buf_str(&text, "],\"vms\":[");
    for (size_t i = 0; i < n_vms; i++)
        buf_printf(&text,
                   "%s{\"id\":\"00000000-0000-4000-8000-%012x\",\"node\":\"n%u\","
                   "\"memory\":{\"assigned_mib\":%u}%s}",
                   i == 0 ? "" : ",", (unsigned)i, vms[i].node, vms[i].mib, more);
    buf_str(&text, "]}");
    inv = inventory_of(buf_text(&text));
    buf_clear(&text);
    return inv;
}

/* A node may hold more than it has (so it was found): what its VMs take too much of is no room that others lack, and
 * the bound on a wave's time must not count it. */
static void test_bound_with_an_overfull_node(void **state)
{
    static const unsigned nodes_mib[] = { 100, 200, 100, 100 };
    static const struct small_vm vms[] = { { 0, 10 }, { 0, 14 }, { 1, 11 }, { 1, 15 },
                                           { 2, 16 }, { 3, 56 }, { 3, 66 }, { 3, 17 } };
    struct plan *p = plan_it(s2d_cluster(nodes_mib, TABLE_LEN(nodes_mib), 0, vms, TABLE_LEN(vms), ""),
                             small_rollout("[1,\"100%\"]", ""));

    (void)state;
    assert_true(p->n_waves > 0);
    check_verified(p);
    for (uint32_t w = 0; w < p->n_waves; w++)
        assert_true(p->waves[w].lower_bound_ms <= p->waves[w].took.p50);
    plan_free(p);
}

/* A parked VM gives its memory back while its node is out, and one on the disks of a lost node is not started elsewhere: the
 * bound once made room for both, and was above the time itself. */
static void test_bound_with_a_parked_vm(void **state)
{
    static const unsigned nodes_mib[] = { 100, 100, 100 };
    static const struct small_vm vms[] = { { 0, 12 }, { 1, 1024 }, { 2, 12 } };
    struct plan *p =
        plan_it(s2d_cluster(nodes_mib, TABLE_LEN(nodes_mib), 4, vms, TABLE_LEN(vms), ",\"dda\":true"),
                small_rollout("[1,\"100%\"]",
                              ",\"consents\":[{\"vm\":\"00000000-0000-4000-8000-000000000001\",\"person\":"
                              "\"p\",\"ticket\":\"t\",\"method\":\"shutdown\",\"expires\":"
                              "\"2027-01-31T00:00:00Z\"}]"));

    (void)state;
    assert_int_equal(p->n_nodes, 1);
    assert_int_equal(p->nodes[0].n_parks, 1);
    check_verified(p);
    assert_true(p->waves[0].lower_bound_ms <= p->waves[0].took.p50);
    plan_free(p);
}

/* A VM that one drain had moved to a node still to be drained came on from there as evidence: one move more than it has. */
static void test_evidence_within_the_budget(void **state)
{
    static const unsigned nodes_mib[] = { 100, 100, 100, 100 };
    static const struct small_vm vms[] = { { 0, 10 }, { 1, 11 }, { 2, 12 }, { 3, 13 },
                                           { 0, 14 }, { 1, 15 }, { 2, 16 }, { 3, 1 } };
    struct plan *p = plan_it(s2d_cluster(nodes_mib, TABLE_LEN(nodes_mib), 0, vms, TABLE_LEN(vms), ""),
                             small_rollout("[\"100%\"]", ",\"policy\":{\"moves_per_vm\":1}"));

    (void)state;
    assert_true(p->evidence_moves > 0);
    check_verified(p);
    plan_free(p);
}

/* Where more than one may be out, batches grow, and cost no move. */
static void test_growing_batches(void **state)
{
    struct fleet_words words = { .seed = 5,
                                 .clusters = 1,
                                 .nodes = 16,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000,
                                 .percent_full = 50,
                                 .max_out = 8 };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[\"100%\"]", ""));
    uint32_t sizes[16] = { 0 }, batches = 0;

    (void)state;
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        sizes[p->nodes[i].batch]++;
        batches = p->nodes[i].batch + 1 > batches ? p->nodes[i].batch + 1 : batches;
    }
    assert_int_equal(sizes[0], 1);
    for (uint32_t i = 1; i + 1 < batches; i++)
        assert_true(sizes[i] >= sizes[i - 1]);
    assert_true(sizes[batches - 2] >= 3);
    assert_true(batches <= 8);
    assert_int_equal(p->moves, p->moves_bound);
    check_verified(p);
    plan_free(p);
}

/* S2D: one after the other, whatever the cap says. */
static void test_s2d_is_serial(void **state)
{
    struct fleet_words words = { .seed = 6,
                                 .clusters = 2,
                                 .nodes = 6,
                                 .vms = 4,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000,
                                 .max_out = 4,
                                 .s2d = true };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[\"100%\"]", ""));

    (void)state;
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        assert_int_equal(p->nodes[i].batch, p->nodes[i].order);
        assert_true(p->nodes[i].steps[PREDICT_RESYNC].p50 > 0);
    }
    check_verified(p);
    plan_free(p);
}

/* A 3-node S2D cluster cannot keep N+1 with one node out when it is full: it is
 * refused by name until a waiver names it, and then the plan says what is lost. */
static void test_waiver_for_a_small_cluster(void **state)
{
    struct fleet_words words = { .seed = 7,
                                 .clusters = 1,
                                 .nodes = 3,
                                 .node_mib = 100000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 9000,
                                 .percent_full = 60,
                                 .s2d = true,
                                 .witness = "cloud" };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[1]", ""));
    bool said = false;

    (void)state;
    assert_int_equal(p->n_refusals, 3);
    assert_int_equal(p->n_waves, 0);
    assert_string_equal(p->refusals[0].rule, "C3");
    check_verified(p);
    plan_free(p);
    p = plan_it(small_fleet(&words),
                small_rollout("[1]", ",\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":\"c00\","
                                     "\"person\":\"p\",\"ticket\":\"t\"}]"));
    assert_int_equal(p->n_refusals, 0);
    for (uint32_t i = 0; i < p->n_warnings; i++)
        said = said || strncmp(p->warnings[i], "O23: cluster c00 is below the full reserve", 42) == 0;
    assert_true(said);
    check_verified(p);
    plan_free(p);
}

/* What is at the target already is listed and left alone. */
static void test_compliant_nodes(void **state)
{
    struct fleet_words words = { .seed = 8,
                                 .clusters = 1,
                                 .nodes = 5,
                                 .vms = 3,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000 };
    struct inventory *inv = small_fleet(&words);
    struct plan *p;

    (void)state;
    inv->nodes[2].build.ubr = 4066;
    inv->nodes[3].build.ubr = 9000;
    inv->nodes[4].build.number = 25398; /* the package is not for it */
    p = plan_it(inv, small_rollout("[\"100%\"]", ""));
    assert_int_equal(p->n_nodes, 4);
    assert_true(p->nodes[plan_node_of(p, 2)].compliant);
    assert_true(p->nodes[plan_node_of(p, 3)].compliant);
    assert_int_equal(p->nodes[plan_node_of(p, 2)].wave, IX_NONE);
    assert_int_equal(p->waves[0].n_nodes, 2);
    assert_int_equal(p->n_refusals, 1);
    assert_string_equal(p->refusals[0].rule, "I15");
    /* with patched receivers nothing moves twice */
    assert_int_equal(p->moves, p->moves_bound);
    assert_int_equal(p->moves, p->inv->clusters[0].n_vms * 2 / 5);
    check_verified(p);
    plan_free(p);
}

/* Models and firmware of the fleet are represented in the first wave. */
static void test_stratified(void **state)
{
    struct fleet_words words = { .seed = 9,
                                 .clusters = 4,
                                 .nodes = 12,
                                 .vms = 4,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000 };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[8,\"100%\"]", ""));
    uint32_t of[3][2] = { { 0 } };

    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        const struct node *n = &p->inv->nodes[p->nodes[p->waves[0].nodes[i]].node];

        of[n->model[6] - '0'][n->firmware[2] - '0']++;
    }
    for (unsigned m = 0; m < 3; m++)
        for (unsigned f = 0; f < 2; f++)
            assert_true(of[m][f] >= 1);
    plan_free(p);
}

/* O15: every patched node carries VMs at the end, and those off nodes still to
 * be drained cost no extra move. */
static void test_evidence(void **state)
{
    struct fleet_words words = { .seed = 10,
                                 .clusters = 1,
                                 .nodes = 4,
                                 .vms = 4,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000 };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[1,\"100%\"]", ""));

    (void)state;
    assert_true(p->nodes[0].n_evidence >= 2);
    for (uint32_t i = 0; i < p->nodes[0].n_evidence; i++)
        assert_true(p->nodes[0].evidence[i].early);
    assert_int_equal(p->moves, p->moves_bound);
    plan_free(p);
    p = plan_it(small_fleet(&words),
                small_rollout("[1,\"100%\"]", ",\"policy\":{\"evidence_percent\":0,\"evidence_vms_min\":0}"));
    for (uint32_t i = 0; i < p->n_nodes; i++)
        assert_int_equal(p->nodes[i].n_evidence, 0);
    assert_int_equal(p->evidence_moves, 0);
    plan_free(p);
}

/* O14: three lives of the very first node, its times among them. */
static void test_rehearsal(void **state)
{
    struct fleet_words words = { .seed = 11,
                                 .clusters = 2,
                                 .nodes = 4,
                                 .vms = 3,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000 };
    struct plan *p =
        plan_it(small_fleet(&words), small_rollout("[2,\"100%\"]", ",\"policy\":{\"rehearse\":true}"));
    const struct plan_node *first = &p->nodes[p->waves[0].nodes[0]];

    (void)state;
    assert_true(first->rehearse);
    assert_int_equal(first->lives, 3);
    assert_int_equal(first->steps[PREDICT_REBOOT].p50, 3 * p->nodes[1].steps[PREDICT_REBOOT].p50);
    assert_int_equal(first->steps[PREDICT_INSTALL].p50, 2 * p->nodes[1].steps[PREDICT_INSTALL].p50);
    assert_true(first->steps[PREDICT_REMOVE].p50 > 0);
    assert_true(p->waves[0].took.p50 >= first->life.p50 + p->nodes[1].life.p50); /* before any second node */
    assert_non_null(strstr(p->way_back_text, p->inv->nodes[first->node].id));
    check_verified(p);
    plan_free(p);
}

static void test_way_back_text(void **state)
{
    struct fleet_words words = { .seed = 12,
                                 .clusters = 1,
                                 .nodes = 4,
                                 .vms = 1,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000 };
    struct plan *p = plan_it(small_fleet(&words), small_rollout("[1]", ""));

    (void)state;
    assert_string_equal(p->way_back, "unproved");
    assert_non_null(strstr(p->way_back_text, "none is rehearsed"));
    plan_free(p);
}

/* Names that name nothing are mistakes. */
static void test_unknown_names(void **state)
{
    static const struct {
        const char *more, *want;
    } rows[] = {
        { ",\"scope\":{\"clusters\":[\"q\"]}", "the scope names the unknown cluster `q`" },
        { ",\"scope\":{\"nodes\":[\"q\"]}", "the scope names the unknown node `q`" },
        { ",\"scope\":{\"exclude\":[\"q\"]}", "the scope excludes the unknown node `q`" },
        { ",\"consents\":[{\"vm\":\"00000000-0000-4000-8000-0000000000ff\",\"person\":\"p\",\"ticket\":\"t\","
          "\"expires\":\"2030-01-01T00:00:00Z\"}]",
          "a consent names the unknown VM `00000000-0000-4000-8000-0000000000ff`" },
        { ",\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":\"q\",\"person\":\"p\",\"ticket\":\"t\"}]",
          "a waiver names the unknown cluster `q`" },
    };
    struct fleet_words words = {
        .clusters = 1, .nodes = 4, .vms = 1, .node_mib = 512000, .vm_mib_min = 4000, .vm_mib_max = 5000
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct plan *p = NULL;
        struct err err = { 0 };

        check_err(plan_build(small_fleet(&words), small_rollout("[1]", rows[i].more), NOW, "t", &p, &err),
                  &err, ERR_INVALID, rows[i].want);
        assert_null(p);
    }
}

/* An empty scope is a plan of nothing, not a crash. */
static void test_nothing_to_do(void **state)
{
    struct inventory *inv = inventory_of("{\"version\":1,\"name\":\"t\",\"clusters\":[],\"nodes\":[]}");
    struct plan *p = plan_it(inv, small_rollout("[1]", ",\"policy\":{\"rehearse\":true}"));

    (void)state;
    assert_int_equal(p->n_waves, 0);
    assert_int_equal(p->n_nodes, 0);
    check_verified(p);
    plan_free(p);
}

/* --- as a file --- */

static struct plan *read_plan(const char *text, size_t len, int *ret_rc, struct err *err)
{
    struct json_doc *doc = NULL;
    struct plan *p = NULL;

    *ret_rc = json_parse("plan.json", text, len, &doc, err);
    if (*ret_rc == 0)
        *ret_rc = plan_read(doc, &p, err);
    json_free(doc);
    return p;
}

static struct plan *sample(void)
{
    struct fleet_words words = { .seed = 13,
                                 .clusters = 2,
                                 .nodes = 4,
                                 .vms = 4,
                                 .node_mib = 512000,
                                 .vm_mib_min = 4000,
                                 .vm_mib_max = 32000,
                                 .anti_percent = 20 };

    return plan_it(small_fleet(&words), small_rollout("[2,\"100%\"]", ""));
}

/* The same inputs give the same bytes; a plan read back has the same hash,
 * from the compact and from the pretty form. */
static void test_round_trip(void **state)
{
    struct plan *a = sample(), *b = sample();

    (void)state;
    assert_string_equal(a->hash, b->hash);
    assert_int_equal(strlen(a->hash), 64);
    for (int pretty = 0; pretty < 2; pretty++) {
        struct buf first = BUF_INIT, second = BUF_INIT;
        struct err err = { 0 };
        struct plan *c;
        int rc;

        plan_write(&first, a, pretty == 1);
        c = read_plan(first.data, first.len, &rc, &err);
        check_ok(rc, &err);
        assert_string_equal(c->hash, a->hash);
        check_verified(c);
        plan_write(&second, c, pretty == 1);
        assert_string_equal(buf_text(&first), buf_text(&second));
        buf_clear(&first);
        buf_clear(&second);
        plan_free(c);
    }
    plan_free(a);
    plan_free(b);
}

/* Change one word that means something and the plan is no longer the one that
 * was approved. */
static void test_altered(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        { "\"planner\":\"tester\"", "\"planner\":\"texter\"" },
        { "\"batch\":1,\"order\":1", "\"batch\":2,\"order\":1" },
        { "\"max_out_fleet\":12", "\"max_out_fleet\":13" },
        { "\"memory_mib\":512000", "\"memory_mib\":612000" },
        { "\"target\":\"26100.4066\"", "\"target\":\"26100.4067\"" },
        { "\"waves\":[2,\"100%\"]", "\"waves\":[3,\"100%\"]" },
        { "\"way_back\":\"unproved\"", "\"way_back\":\"removable\"" },
        { "\"moves_per_vm\":2", "\"moves_per_vm\":9" },
        { "\"hash\":\"", "\"hash\":\"f" },
    };
    struct plan *p = sample();
    struct buf text = BUF_INIT;

    (void)state;
    plan_write(&text, p, false);
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        const char *at = strstr(buf_text(&text), rows[i].from);
        struct buf other = BUF_INIT;
        struct err err = { 0 };
        int rc;

        if (at == NULL)
            fail_msg("`%s` is not in the plan", rows[i].from);
        buf_add(&other, text.data, (size_t)(at - text.data));
        buf_str(&other, rows[i].to);
        buf_str(&other, at + strlen(rows[i].from));
        assert_null(read_plan(other.data, other.len, &rc, &err));
        if (rc != ERR_CORRUPT)
            fail_msg("`%s` gives %s: %s", rows[i].to, err_name((enum err_code)rc), err.text);
        buf_clear(&other);
    }
    buf_clear(&text);
    plan_free(p);
}

/* P7: the article's answer and Microsoft's stand side by side, counted; nothing is said where nothing was told. */
static void test_applicability(void **state)
{
    struct fleet_words words = { .seed = 3,
                                 .clusters = 1,
                                 .nodes = 4,
                                 .vms = 3,
                                 .node_mib = 524288,
                                 .vm_mib_min = 4096,
                                 .vm_mib_max = 8192 };
    struct inventory *inv = small_fleet(&words);
    struct plan *p = plan_it(inv, small_rollout("[\"100%\"]", ""));
    char all[2048] = "";

    (void)state;
    for (uint32_t i = 0; i < p->n_notes; i++)
        assert_null(strstr(p->notes[i], "P7"));
    plan_free(p);
    inv = small_fleet(&words);
    inv->nodes[0].applies_article = inv->nodes[1].applies_article = KNOWN_YES;
    inv->nodes[2].applies_article = inv->nodes[0].applies_microsoft = KNOWN_NO;
    inv->nodes[1].applies_microsoft = KNOWN_YES;
    p = plan_it(inv, small_rollout("[\"100%\"]", ""));
    for (uint32_t i = 0; i < p->n_notes; i++)
        if (strncmp(p->notes[i], "P7: ", 4) == 0)
            snprintf(all, sizeof all, "%s", p->notes[i]);
    assert_non_null(strstr(all, "the patch is for 2 node(s), not for 1, not known of 1"));
    assert_non_null(strstr(all, "SNP, TDX) for 1, not for 1, not known of 2"));
    check_verified(p);
    plan_free(p);
}

/* What names a node or VM that is not there is no plan at all. */
static void test_not_a_plan(void **state)
{
    static const char *const texts[] = { "[]", "{}", "{\"version\":1}", "null",
                                         "{\"version\":1,\"inventory\":{},\"rollout\":{}}" };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(texts); i++) {
        struct err err = { 0 };
        int rc;

        assert_null(read_plan(texts[i], strlen(texts[i]), &rc, &err));
        assert_int_equal(rc, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_72_nodes),
        cmocka_unit_test(test_moves_meet_the_bound),
        cmocka_unit_test(test_bound_with_an_overfull_node),
        cmocka_unit_test(test_bound_with_a_parked_vm),
        cmocka_unit_test(test_evidence_within_the_budget),
        cmocka_unit_test(test_growing_batches),
        cmocka_unit_test(test_s2d_is_serial),
        cmocka_unit_test(test_waiver_for_a_small_cluster),
        cmocka_unit_test(test_compliant_nodes),
        cmocka_unit_test(test_stratified),
        cmocka_unit_test(test_evidence),
        cmocka_unit_test(test_rehearsal),
        cmocka_unit_test(test_way_back_text),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_altered),
        cmocka_unit_test(test_not_a_plan),
        cmocka_unit_test(test_applicability),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
