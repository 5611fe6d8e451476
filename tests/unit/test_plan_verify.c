/* The checker against planted faults: an honest plan passes, each lie is found
 * under the rule it breaks. */
#include "orchestrator/core/plan.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1795471200000
#define PARKED "00000000-0000-4000-8000-00000000000a"

/* Two clusters of four nodes; one VM that cannot move, with consent; one node
 * compliant, one refused would need more words: see the rows. */
static struct plan *honest(void)
{
    struct fleet_words words = { .seed = 21,
                                 .clusters = 2,
                                 .nodes = 4,
                                 .vms = 3,
                                 .node_mib = 512000,
                                 .vm_mib_min = 20000,
                                 .vm_mib_max = 60000,
                                 .anti_percent = 30 };
    struct buf text = BUF_INIT;
    struct rollout *r = small_rollout(
        "[2,\"100%\"]", ",\"policy\":{\"rehearse\":true},\"consents\":[{\"vm\":\"" PARKED
                        "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"2030-01-01T00:00:00Z\"}]");
    struct inventory *inv;
    struct plan *p;
    struct err err = { 0 };

    small_fleet_json(&words, &text);
    text.data[text.len - 2] = ','; /* one VM more, at the end of the list */
    text.len--;
    buf_str(&text,
            "{\"id\":\"" PARKED "\",\"node\":\"n00-01\",\"memory\":{\"assigned_mib\":4000},\"dda\":true}]}");
    inv = inventory_of(buf_text(&text));
    buf_clear(&text);
    inv->nodes[7].build.ubr = 4066;
    check_ok(plan_build(inv, r, NOW, "tester", &p, &err), &err);
    return p;
}

static struct inventory *inventory_in(const struct plan *p)
{
    return (struct inventory *)(uintptr_t)p->inv;
}

static struct rollout *rollout_in(const struct plan *p)
{
    return (struct rollout *)(uintptr_t)p->rollout;
}

/* The first node with moves (and, if asked, parks). */
static struct plan_node *node_with(struct plan *p, bool parks)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i].n_moves > 1 && (!parks || p->nodes[i].n_parks > 0))
            return &p->nodes[i];
    fail_msg("the plan has no such node");
    return NULL;
}

static struct node *home_of(struct plan *p, const struct plan_node *x)
{
    return &inventory_in(p)->nodes[x->node];
}

static struct vm *vm_of(struct plan *p, const struct plan_move *m)
{
    return &inventory_in(p)->vms[m->vm];
}

/* --- the lies --- */

static void wave_too_big(struct plan *p)
{
    rollout_in(p)->waves[0].number = 3;
}

static void node_in_no_wave(struct plan *p)
{
    p->waves[p->n_waves - 1].n_nodes--;
}

static void node_twice(struct plan *p)
{
    p->nodes[1].node = p->nodes[0].node;
}

static void node_not_in_scope(struct plan *p)
{
    static const char *names[1];

    names[0] = p->inv->nodes[p->nodes[1].node].id;
    rollout_in(p)->exclude = names;
    rollout_in(p)->n_exclude = 1;
}

static void node_forgotten(struct plan *p)
{
    p->n_nodes--;
    if (!p->nodes[p->n_nodes].compliant)
        fail_msg("the last entry should be the compliant one");
}

static void not_compliant_after_all(struct plan *p)
{
    inventory_in(p)->nodes[7].build.ubr = 1;
}

static void other_windows(struct plan *p)
{
    home_of(p, &p->nodes[2])->build.number = 20348;
}

static void out_of_order(struct plan *p)
{
    uint32_t n = p->waves[1].nodes[0];

    p->waves[1].nodes[0] = p->waves[1].nodes[p->waves[1].n_nodes - 1];
    p->waves[1].nodes[p->waves[1].n_nodes - 1] = n;
}

static void vm_left_behind(struct plan *p)
{
    node_with(p, false)->n_moves--;
    p->moves--;
    p->moves_bound = 0;
}

static void vm_moved_twice(struct plan *p)
{
    struct plan_node *x = node_with(p, false);

    x->moves[1] = x->moves[0];
}

static void target_is_itself(struct plan *p)
{
    struct plan_node *x = node_with(p, false);

    x->moves[0].to = x->node;
}

static void target_in_other_cluster(struct plan *p)
{
    struct plan_node *x = node_with(p, false);

    x->moves[0].to = p->inv->nodes[x->node].cluster == 0 ? 7 : 0;
}

static void target_too_small(struct plan *p)
{
    struct plan_node *x = node_with(p, false);

    inventory_in(p)->nodes[x->moves[0].to].memory_mib = vm_of(p, &x->moves[0])->assigned_mib;
}

static void vm_is_tied(struct plan *p)
{
    vm_of(p, &node_with(p, false)->moves[0])->passthrough = true;
}

static void vm_lacks_switch(struct plan *p)
{
    static const char *const has[] = { "a" }, *const needs[] = { "b" };
    struct plan_node *x = node_with(p, false);

    inventory_in(p)->nodes[x->moves[0].to].switches = has;
    inventory_in(p)->nodes[x->moves[0].to].n_switches = 1;
    vm_of(p, &x->moves[0])->switches = needs;
    vm_of(p, &x->moves[0])->n_switches = 1;
}

static void vm_lacks_owner(struct plan *p)
{
    static uint32_t owners[1];
    struct plan_node *x = node_with(p, false);

    owners[0] = x->node;
    vm_of(p, &x->moves[0])->owners = owners;
    vm_of(p, &x->moves[0])->n_owners = 1;
}

static void anti_affinity_broken(struct plan *p)
{
    static const char *const class[] = { "x" };
    struct plan_node *x = node_with(p, false);

    x->moves[1].to = x->moves[0].to;
    for (int i = 0; i < 2; i++) {
        vm_of(p, &x->moves[i])->anti_affinity = class;
        vm_of(p, &x->moves[i])->n_anti = 1;
    }
}

static void vm_is_replicated(struct plan *p)
{
    vm_of(p, &node_with(p, false)->moves[0])->replication = true;
}

static void marked_unproved(struct plan *p)
{
    node_with(p, false)->moves[0].unproved = true;
}

static void too_many_moves(struct plan *p)
{
    rollout_in(p)->policy.moves_per_vm = 0;
}

static void consent_expired(struct plan *p)
{
    rollout_in(p)->consents[0].expires = NOW;
}

static void consent_for_other_method(struct plan *p)
{
    node_with(p, true)->parks[0].method = PARK_SAVE;
}

static void consent_missing(struct plan *p)
{
    rollout_in(p)->n_consents = 0;
}

static void checkpoint_not_allowed(struct plan *p)
{
    node_with(p, true)->parks[0].checkpoint = true;
}

static void parked_though_movable(struct plan *p)
{
    inventory_in(p)->vms[node_with(p, true)->parks[0].vm].dda = false;
}

static void infrastructure_parked(struct plan *p)
{
    inventory_in(p)->vms[node_with(p, true)->parks[0].vm].role = ROLE_DNS;
}

static void no_quorum(struct plan *p)
{
    inventory_in(p)->clusters[0].witness = WITNESS_NONE;
    for (uint32_t i = 1; i < 4; i++)
        inventory_in(p)->nodes[i].vote = 0;
}

static void two_of_s2d(struct plan *p)
{
    inventory_in(p)->clusters[0].storage = STORAGE_S2D;
    inventory_in(p)->clusters[0].max_out = 2;
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (!p->nodes[i].compliant && p->nodes[i].wave == 1)
            p->nodes[i].batch = 0;
}

static void above_the_cap(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (!p->nodes[i].compliant && p->nodes[i].wave == 1)
            p->nodes[i].batch = 0;
}

static void no_reserve(struct plan *p)
{
    for (uint32_t i = 0; i < 4; i++)
        inventory_in(p)->nodes[i].memory_mib = 190000;
}

static void reserve_below_policy(struct plan *p)
{
    node_with(p, false)->reached = RESERVE_NONE;
}

static void stretched(struct plan *p)
{
    inventory_in(p)->clusters[1].stretched = true;
}

static void optimised_by_others(struct plan *p)
{
    inventory_in(p)->clusters[1].optimisation_off = false;
}

static void moves_miscounted(struct plan *p)
{
    p->moves++;
}

static void bound_above_moves(struct plan *p)
{
    p->moves_bound = p->moves + 1;
}

static void evidence_miscounted(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i].n_evidence > 0) {
            p->nodes[i].evidence[0].early = !p->nodes[i].evidence[0].early;
            p->moves += p->nodes[i].evidence[0].early ? 1u : UINT32_MAX;
            p->evidence_moves += p->nodes[i].evidence[0].early ? UINT32_MAX : 1u;
            p->moves_bound = 0;
            return;
        }
    fail_msg("the plan has no evidence");
}

static void times_upside_down(struct plan *p)
{
    node_with(p, false)->life.p5 = node_with(p, false)->life.p95 + 1;
}

static void time_not_the_sum(struct plan *p)
{
    p->took.p50--;
}

static void rehearsal_missing(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        p->nodes[i].rehearse = false;
}

static void rehearsal_unasked(struct plan *p)
{
    rollout_in(p)->policy.rehearse = false;
}

static const struct {
    const char *name, *rule;
    void (*tell)(struct plan *p);
} lies[] = {
#define LIE(name, rule)   \
    {                     \
#name, rule, name \
    }
    LIE(wave_too_big, "P1"),
    LIE(node_in_no_wave, "P1"),
    LIE(node_twice, "P1"),
    LIE(node_not_in_scope, "P1"),
    LIE(node_forgotten, "P1"),
    LIE(not_compliant_after_all, "I15"),
    LIE(other_windows, "I15"),
    LIE(out_of_order, "P6"),
    LIE(vm_left_behind, "I1"),
    LIE(vm_moved_twice, "C2"),
    LIE(target_is_itself, "I7"),
    LIE(target_in_other_cluster, "I7"),
    LIE(target_too_small, "C2"),
    LIE(vm_is_tied, "O6"),
    LIE(vm_lacks_switch, "O6"),
    LIE(vm_lacks_owner, "O6"),
    LIE(anti_affinity_broken, "C6"),
    LIE(vm_is_replicated, "O26"),
    LIE(marked_unproved, "O16"),
    LIE(too_many_moves, "I10"),
    LIE(consent_expired, "I9"),
    LIE(consent_for_other_method, "I9"),
    LIE(consent_missing, "I9"),
    LIE(checkpoint_not_allowed, "O4"),
    LIE(parked_though_movable, "O4"),
    LIE(infrastructure_parked, "O25"),
    LIE(no_quorum, "C7"),
    LIE(two_of_s2d, "C8"),
    LIE(above_the_cap, "C9"),
    LIE(no_reserve, "C4"),
    LIE(reserve_below_policy, "O23"),
    LIE(stretched, "O26"),
    LIE(optimised_by_others, "O26"),
    LIE(moves_miscounted, "P5"),
    LIE(bound_above_moves, "P5"),
    LIE(evidence_miscounted, "O15"),
    LIE(times_upside_down, "O36"),
    LIE(time_not_the_sum, "O36"),
    LIE(rehearsal_missing, "O14"),
    LIE(rehearsal_unasked, "O14"),
};

static bool names_rule(const char *faults, const char *rule)
{
    size_t n = strlen(rule);

    for (const char *at = faults; at != NULL && *at != '\0';
         at = strchr(at, '\n') == NULL ? NULL : strchr(at, '\n') + 1)
        if (strncmp(at, rule, n) == 0 && at[n] == ':')
            return true;
    return false;
}

static void test_honest(void **state)
{
    struct plan *p = honest();
    struct buf faults = BUF_INIT;

    (void)state;
    if (plan_verify(p, &faults) != 0)
        fail_msg("%s", buf_text(&faults));
    assert_int_equal(p->n_refusals, 0);
    assert_int_equal(p->n_nodes, 8);
    buf_clear(&faults);
    plan_free(p);
}

static void test_lies(void **state)
{
    unsigned believed = 0;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(lies); i++) {
        struct plan *p = honest();
        struct buf faults = BUF_INIT;
        uint32_t n;

        lies[i].tell(p);
        n = plan_verify(p, &faults);
        if (n == 0 || !names_rule(buf_text(&faults), lies[i].rule)) {
            print_error("%s: wanted %s, got\n%s\n", lies[i].name, lies[i].rule, buf_text(&faults));
            believed++;
        }
        buf_clear(&faults);
        plan_free(p);
    }
    assert_int_equal(believed, 0);
}

/* A consent list may forbid more than the method: a class's budget. */
static void test_class_budget(void **state)
{
    struct plan *p = honest();
    struct buf faults = BUF_INIT;
    static struct sla_class none = { "gold", false, 0 };
    struct plan_node *x = node_with(p, true);

    (void)state;
    inventory_in(p)->sla_classes = &none;
    inventory_in(p)->n_sla_classes = 1;
    inventory_in(p)->vms[x->parks[0].vm].sla = "gold";
    assert_true(plan_verify(p, &faults) > 0);
    assert_true(names_rule(buf_text(&faults), "C9"));
    buf_clear(&faults);
    plan_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_class_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
