/* What the checker makes of each condition alone: one thing is changed in an
 * honest plan or in its inventory, and it names the rule, or finds it as good
 * as before (docs/rules.md). */
#include "orchestrator/core/plan.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1795471200000
#define PARKED "00000000-0000-4000-8000-00000000000a"
#define CONSENT                                                                \
    ",\"consents\":[{\"vm\":\"" PARKED "\",\"person\":\"p\",\"ticket\":\"t\"," \
    "\"method\":\"shutdown\",\"checkpoint\":true,\"expires\":\"2030-01-01T00:00:00Z\"}]"

static struct plan *plan_of(const struct fleet_words *words, const char *more_vms, const char *waves,
                            const char *more)
{
    struct buf text = BUF_INIT;
    struct inventory *inv;
    struct plan *p;
    struct err err = { 0 };

    small_fleet_json(words, &text);
    text.len -= strlen("]}");
    buf_printf(&text, "%s]}", more_vms);
    inv = inventory_of(buf_text(&text));
    buf_clear(&text);
    check_ok(plan_build(inv, small_rollout(waves, more), NOW, "tester", &p, &err), &err);
    return p;
}

/* Two clusters of four; one VM with its disk on n00-01, which is parked by consent. */
static struct plan *honest(void)
{
    const struct fleet_words words = { .seed = 21,
                                       .clusters = 2,
                                       .nodes = 4,
                                       .vms = 3,
                                       .node_mib = 512000,
                                       .vm_mib_min = 20000,
                                       .vm_mib_max = 60000 };

    return plan_of(&words,
                   ",{\"id\":\"" PARKED "\",\"node\":\"n00-01\",\"memory\":{\"assigned_mib\":4000},"
                   "\"local_disk\":true}",
                   "[2,\"100%\"]", ",\"policy\":{\"rehearse\":true}" CONSENT);
}

/* S2D over racks, so many nodes of one rack out together by waiver. */
static struct plan *racks(uint32_t nodes, uint32_t max_out)
{
    const struct fleet_words words = { .seed = 6,
                                       .clusters = 1,
                                       .nodes = nodes,
                                       .vms = 2,
                                       .node_mib = 512000,
                                       .vm_mib_min = 4000,
                                       .vm_mib_max = 32000,
                                       .max_out = max_out };
    struct plan *p = plan_of(&words, "", "[\"100%\"]",
                             ",\"waivers\":[{\"what\":\"s2d_rack\",\"cluster\":\"c00\",\"person\":\"p\","
                             "\"ticket\":\"t\"}]");
    struct inventory *inv = (struct inventory *)(uintptr_t)p->inv;

    inv->clusters[0].storage = STORAGE_S2D;
    inv->clusters[0].rack_aware = true;
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        inv->nodes[i].fault_domain = "rack1";
    return p;
}

static struct inventory *inv_of(const struct plan *p)
{
    return (struct inventory *)(uintptr_t)p->inv;
}

static struct rollout *rollout_in(const struct plan *p)
{
    return (struct rollout *)(uintptr_t)p->rollout;
}

static struct plan_node *mover(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i].n_moves > 1)
            return &p->nodes[i];
    fail_msg("no node has moves");
    return NULL;
}

static struct plan_node *parker(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i].n_parks > 0)
            return &p->nodes[i];
    fail_msg("no node has parks");
    return NULL;
}

static struct vm *moved(struct plan *p)
{
    return &inv_of(p)->vms[mover(p)->moves[0].vm];
}

static struct vm *parked(struct plan *p)
{
    return &inv_of(p)->vms[parker(p)->parks[0].vm];
}

static struct node *source(struct plan *p)
{
    return &inv_of(p)->nodes[mover(p)->node];
}

static struct cluster *cluster_of(struct plan *p)
{
    return &inv_of(p)->clusters[source(p)->cluster];
}

static struct plan_node *brought(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i].n_evidence > 0)
            return &p->nodes[i];
    fail_msg("no node gets evidence");
    return NULL;
}

/* --- changes --- */

#define CHANGE(name, what)           \
    static void name(struct plan *p) \
    {                                \
        what;                        \
    }

CHANGE(not_clustered, moved(p)->clustered = false)
CHANGE(snp, moved(p)->isolation = ISOLATION_SNP)
CHANGE(tdx, moved(p)->isolation = ISOLATION_TDX)
CHANGE(vbs, moved(p)->isolation = ISOLATION_VBS)
CHANGE(dda, moved(p)->dda = true)
CHANGE(gpu, moved(p)->gpu = true)
CHANGE(local_disk, moved(p)->local_disk = true)
CHANGE(iso_local, moved(p)->iso = "D:\\boot.iso")
CHANGE(iso_on_a_share, moved(p)->iso = "\\\\files\\boot.iso")
CHANGE(iso_on_a_csv, moved(p)->iso = "C:\\ClusterStorage\\Volume1\\boot.iso")
CHANGE(too_dirty, moved(p)->dirty_mib_s = (int64_t)cluster_of(p)->bandwidth_mib_s)
CHANGE(just_clean, moved(p)->dirty_mib_s = (int64_t)cluster_of(p)->bandwidth_mib_s - 1)

static void cpus(struct plan *p, const char *from, const char *to, bool compat)
{
    moved(p)->cpu_compat = compat;
    for (uint32_t i = 0; i < p->inv->n_nodes; i++)
        inv_of(p)->nodes[i].cpu = to;
    source(p)->cpu = from;
}

CHANGE(other_cpu, cpus(p, "old", "new", false))
CHANGE(other_cpu_compatible, cpus(p, "old", "new", true))
CHANGE(same_cpu, cpus(p, "new", "new", false))
CHANGE(cpu_not_known_here, cpus(p, NULL, "new", false))
CHANGE(cpu_not_known_there, cpus(p, "old", NULL, false))

static const char *const has[] = { "a", "b" }, *const needs[] = { "b" }, *const needs_c[] = { "c" };

static void switches(struct plan *p, const char *const *vm, const char *const *node, uint32_t n)
{
    moved(p)->switches = vm;
    moved(p)->n_switches = 1;
    for (uint32_t i = 0; i < p->inv->n_nodes; i++) {
        inv_of(p)->nodes[i].switches = node;
        inv_of(p)->nodes[i].n_switches = n;
    }
}

CHANGE(switch_there, switches(p, needs, has, 2))
CHANGE(switch_missing, switches(p, needs_c, has, 2))
CHANGE(switches_not_known, switches(p, needs_c, NULL, 0))

/* Both VMs that the first node moves are of one class; where they land is one fault domain, or one node. */
static void class_of_both(struct plan *p, const char *const *class, bool hard, bool one_node)
{
    struct plan_node *x = mover(p);

    cluster_of(p)->enforced_anti_affinity = false;
    cluster_of(p)->hard_classes = class;
    cluster_of(p)->n_hard = hard ? 1 : 0;
    for (uint32_t i = 0; i < p->inv->n_nodes; i++)
        inv_of(p)->nodes[i].fault_domain = "rack";
    if (one_node)
        x->moves[1].to = x->moves[0].to;
    for (int i = 0; i < 2; i++) {
        inv_of(p)->vms[x->moves[i].vm].anti_affinity = class;
        inv_of(p)->vms[x->moves[i].vm].n_anti = 1;
    }
}

static const char *const plain[] = { "x" }, *const domain[] = { "domain:x" };

CHANGE(hard_class_on_one_node, class_of_both(p, plain, true, true))
CHANGE(domain_class_in_one_rack, class_of_both(p, domain, true, false))

static struct consent *consent(struct plan *p)
{
    return (struct consent *)(uintptr_t)&rollout_in(p)->consents[0];
}

CHANGE(checkpoint_by_consent, parker(p)->parks[0].checkpoint = true)
CHANGE(checkpoint_without, parker(p)->parks[0].checkpoint = true; consent(p)->checkpoint = false)
CHANGE(checkpoint_passthrough, parker(p)->parks[0].checkpoint = true; parked(p)->passthrough = true)
CHANGE(checkpoint_shared_disk, parker(p)->parks[0].checkpoint = true; parked(p)->shared_disk = true)
CHANGE(checkpoint_dda, parker(p)->parks[0].checkpoint = true; parked(p)->dda = true)
CHANGE(saved_by_consent, parker(p)->parks[0].method = consent(p)->method = PARK_SAVE)
CHANGE(saved_with_device, saved_by_consent(p); parked(p)->dda = true)
CHANGE(parked_elsewhere, parked(p)->home = parker(p)->moves[0].to)
CHANGE(parked_though_off, parked(p)->state = VM_OFF)
CHANGE(controller_parked, parked(p)->role = ROLE_CONTROLLER)

CHANGE(drain_upside_down, mover(p)->drain.p50 = mover(p)->drain.p95 + 1)
CHANGE(below_zero, mover(p)->drain.p5 = -1)
CHANGE(step_upside_down, mover(p)->steps[PREDICT_REBOOT].p5 = mover(p)->steps[PREDICT_REBOOT].p50 + 1)
CHANGE(move_upside_down, mover(p)->moves[0].took.p5 = mover(p)->moves[0].took.p50 + 1)
CHANGE(blackout_upside_down, mover(p)->moves[0].blackout.p50 = mover(p)->moves[0].blackout.p95 + 1)
CHANGE(park_upside_down, parker(p)->parks[0].down.p5 = parker(p)->parks[0].down.p50 + 1)
CHANGE(parked_longer_than_life, parker(p)->parks[0].down.p95 = parker(p)->life.p95 + 1)
CHANGE(wave_upside_down, p->waves[0].took.p95 = p->waves[0].took.p50 - 1)
CHANGE(bound_above_wave, p->waves[0].lower_bound_ms = p->waves[0].took.p50 + 1)
CHANGE(bound_not_the_sum, p->took_bound_ms--)
CHANGE(too_few_moves, p->moves--; p->moves_bound = 0)
CHANGE(evidence_not_counted, p->evidence_moves++)
CHANGE(another_is_rehearsed, p->nodes[0].rehearse = false; p->nodes[1].rehearse = true)
CHANGE(two_are_rehearsed, p->nodes[1].rehearse = true)

static const char *one_name[1];

static void scope(struct plan *p, bool clusters)
{
    one_name[0] = clusters ? "c00" : p->inv->nodes[0].id;
    if (clusters) {
        rollout_in(p)->clusters = one_name;
        rollout_in(p)->n_clusters = 1;
    } else {
        rollout_in(p)->nodes = one_name;
        rollout_in(p)->n_nodes = 1;
    }
}

static struct plan_refusal refused[2];

static void refuse(struct plan *p, uint32_t first, uint32_t second)
{
    refused[0] = (struct plan_refusal){ first, "C2", "r" };
    refused[1] = (struct plan_refusal){ second, "C2", "r" };
    p->refusals = refused;
    p->n_refusals = first == second ? 2 : 1;
}

static void drop_last(struct plan *p)
{
    p->n_nodes--;
    p->waves[p->n_waves - 1].n_nodes--;
}

CHANGE(cluster_not_in_scope, scope(p, true))
CHANGE(node_not_in_scope, scope(p, false))
CHANGE(refused_and_planned, refuse(p, p->nodes[0].node, IX_NONE))
CHANGE(refused_twice, uint32_t n = p->nodes[p->n_nodes - 1].node; drop_last(p); refuse(p, n, n))
CHANGE(says_another_wave, p->nodes[0].wave = 1)
CHANGE(compliant_in_a_wave, p->nodes[0].compliant = true)
CHANGE(order_repeats, p->nodes[p->waves[1].nodes[p->waves[1].n_nodes - 1]].order = 0)
CHANGE(batch_jumps, p->nodes[p->waves[1].nodes[p->waves[1].n_nodes - 1]].batch += 9)

CHANGE(no_witness, cluster_of(p)->witness = WITNESS_NONE)
CHANGE(reserve_lower_wanted, mover(p)->reached = RESERVE_PROTECTED)
CHANGE(reserve_lower_declared, mover(p)->reached = cluster_of(p)->reserve = RESERVE_PROTECTED)
CHANGE(reserve_lower_by_policy, mover(p)->reached = rollout_in(p)->policy.reserve_min = RESERVE_PROTECTED)
CHANGE(reserve_lower_by_both, reserve_lower_declared(p); reserve_lower_by_policy(p))

static void waive(struct plan *p, const char *what)
{
    static struct waiver w;

    w = (struct waiver){ .what = what, .cluster = cluster_of(p)->id, .person = "p", .ticket = "t" };
    rollout_in(p)->waivers = &w;
    rollout_in(p)->n_waivers = 1;
}

CHANGE(reserve_lower_by_waiver, mover(p)->reached = RESERVE_PROTECTED; waive(p, "reserve_protected"))
CHANGE(reserve_none_by_lesser_waiver, mover(p)->reached = RESERVE_NONE; waive(p, "reserve_protected"))
CHANGE(reserve_none_by_waiver, mover(p)->reached = RESERVE_NONE; waive(p, "reserve_none"))

CHANGE(evidence_from_parked, inv_of(p)->vms[brought(p)->evidence[0].vm].state = VM_SAVED)
CHANGE(evidence_to_another, brought(p)->evidence[0].to = brought(p)->moves[0].to)
CHANGE(evidence_not_early, brought(p)->evidence[0].early = !brought(p)->evidence[0].early)

/* of racks() */
CHANGE(waiver_missing, rollout_in(p)->n_waivers = 0)
CHANGE(not_rack_aware, inv_of(p)->clusters[0].rack_aware = false)
CHANGE(fleet_cap, rollout_in(p)->policy.max_out_fleet = 1)
CHANGE(cluster_cap, inv_of(p)->clusters[0].max_out = 1)

static void other_rack(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++) /* whoever is out with another */
        inv_of(p)->nodes[p->nodes[i].node].fault_domain = p->nodes[i].order % 2 == 0 ? "rack1" : "rack2";
}

static void two_together(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        p->nodes[i].batch = p->nodes[i].order == 0 ? 0 : p->nodes[i].order - 1;
}

CHANGE(two_without_witness, two_together(p); no_witness(p))

static void leave(struct plan *p)
{
    (void)p;
}

static const struct row {
    const char *name, *rule; /* "": as good as before */
    void (*change)(struct plan *p);
} rows[] = {
#define ROW(rule, name)   \
    {                     \
#name, rule, name \
    }
    ROW("O6", not_clustered),
    ROW("O6", snp),
    ROW("O6", tdx),
    ROW("", vbs),
    ROW("O6", dda),
    ROW("O6", gpu),
    ROW("O6", local_disk),
    ROW("O6", iso_local),
    ROW("", iso_on_a_share),
    ROW("", iso_on_a_csv),
    ROW("O6", too_dirty),
    ROW("", just_clean),
    ROW("O6", other_cpu),
    ROW("", other_cpu_compatible),
    ROW("", same_cpu),
    ROW("", cpu_not_known_here),
    ROW("", cpu_not_known_there),
    ROW("", switch_there),
    ROW("O6", switch_missing),
    ROW("", switches_not_known),
    ROW("C6", hard_class_on_one_node),
    ROW("C6", domain_class_in_one_rack),
    ROW("", checkpoint_by_consent),
    ROW("O4", checkpoint_without),
    ROW("O4", checkpoint_passthrough),
    ROW("O4", checkpoint_shared_disk),
    ROW("O4", checkpoint_dda),
    ROW("", saved_by_consent),
    ROW("O4", saved_with_device),
    ROW("C2", parked_elsewhere),
    ROW("C2", parked_though_off),
    ROW("O25", controller_parked),
    ROW("O36", drain_upside_down),
    ROW("O36", below_zero),
    ROW("O36", step_upside_down),
    ROW("O36", move_upside_down),
    ROW("O36", blackout_upside_down),
    ROW("O36", park_upside_down),
    ROW("O36", parked_longer_than_life),
    ROW("O36", wave_upside_down),
    ROW("O36", bound_above_wave),
    ROW("O36", bound_not_the_sum),
    ROW("P5", too_few_moves),
    ROW("P5", evidence_not_counted),
    ROW("O14", another_is_rehearsed),
    ROW("O14", two_are_rehearsed),
    ROW("P1", cluster_not_in_scope),
    ROW("P1", node_not_in_scope),
    ROW("P1", refused_and_planned),
    ROW("P1", refused_twice),
    ROW("P1", says_another_wave),
    ROW("P1", compliant_in_a_wave),
    ROW("P6", order_repeats),
    ROW("P6", batch_jumps),
    ROW("", no_witness),
    ROW("O23", reserve_lower_wanted),
    ROW("O23", reserve_lower_declared),
    ROW("O23", reserve_lower_by_policy),
    ROW("", reserve_lower_by_both),
    ROW("", reserve_lower_by_waiver),
    ROW("O23", reserve_none_by_lesser_waiver),
    ROW("", reserve_none_by_waiver),
    ROW("O15", evidence_from_parked),
    ROW("O15", evidence_to_another),
    ROW("P5", evidence_not_early),
}, rack_rows[] = {
    ROW("C8", waiver_missing),
    ROW("C8", not_rack_aware),
    ROW("C8", other_rack),
    ROW("C9", fleet_cap),
    ROW("C9", cluster_cap),
};

static bool names_rule(const char *faults, const char *rule)
{
    size_t n = strlen(rule);

    for (const char *at = faults; *at != '\0'; at = strchr(at, '\n') + 1)
        if (strncmp(at, rule, n) == 0 && at[n] == ':')
            return true;
    return false;
}

static unsigned wrong;

static void check_row(struct plan *p, const struct row *row)
{
    struct buf faults = BUF_INIT;
    uint32_t n;

    row->change(p);
    n = plan_verify(p, &faults);
    if ((n == 0) != (row->rule[0] == '\0') || (n > 0 && !names_rule(buf_text(&faults), row->rule))) {
        print_message("# %s: wanted `%s`, got %u:\n%s\n", row->name, row->rule, n, buf_text(&faults));
        wrong++;
    }
    buf_clear(&faults);
    plan_free(p);
}

static void test_rows(void **state)
{
    (void)state;
    wrong = 0;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        check_row(honest(), &rows[i]);
    assert_int_equal(wrong, 0);
}

static void test_rack_rows(void **state)
{
    static const struct row as_it_is = ROW("", leave), of_four = ROW("C8", two_without_witness),
                            of_three = ROW("C8", leave);

    (void)state;
    wrong = 0;
    check_row(racks(6, 2), &as_it_is);
    for (unsigned i = 0; i < TABLE_LEN(rack_rows); i++)
        check_row(racks(6, 2), &rack_rows[i]);
    check_row(racks(4, 2), &of_four);
    check_row(racks(12, 3), &of_three);
    assert_int_equal(wrong, 0);
}

/* Four nodes, three of them with a VM that fills more than half of one: with one out and one lost there is no place for a VM that has
 * to restart, and there is one for all the others to wait. */
static struct plan *scarce(void)
{
    const struct fleet_words none = {
        .seed = 1, .clusters = 1, .nodes = 4, .node_mib = 100, .reserve = "protected"
    };
    struct buf vms = BUF_INIT;
    struct plan *p;

    for (unsigned k = 0; k < 3; k++)
        buf_printf(&vms,
                   "%s{\"id\":\"00000000-0000-4000-8000-00000000000%u\",\"node\":\"n00-0%u\",\"memory\":{"
                   "\"assigned_mib\":60}}",
                   k == 0 ? "" : ",", k + 1, k);
    buf_str(&vms, "],\"sla_classes\":[{\"name\":\"gold\",\"must_restart\":true},{\"name\":\"silver\"}");
    p = plan_of(&none, buf_text(&vms), "[1,\"100%\"]", ",\"policy\":{\"reserve_min\":\"protected\"}");
    buf_clear(&vms);
    return p;
}

#define EACH(field, value)                          \
    for (uint32_t i = 0; i < inv_of(p)->n_vms; i++) \
    inv_of(p)->vms[i].field = value

CHANGE(of_silver, EACH(sla, "silver"))
CHANGE(of_gold, EACH(sla, "gold"))
CHANGE(below_high_priority, EACH(priority, 2999))
CHANGE(of_high_priority, EACH(priority, 3000))
CHANGE(infrastructure, EACH(role, ROLE_DNS))

/* At the reserve `protected` one more loss has to be survived by those that must restart: who that is, each reason alone (O23). */
static void test_who_must_restart(void **state)
{
    static const struct row reasons[] = {
        ROW("", leave),
        ROW("", of_silver),
        ROW("C4", of_gold),
        ROW("", below_high_priority),
        ROW("C4", of_high_priority),
        ROW("C4", infrastructure),
    };

    (void)state;
    wrong = 0;
    for (unsigned i = 0; i < TABLE_LEN(reasons); i++)
        check_row(scarce(), &reasons[i]);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_rack_rows),
                                        cmocka_unit_test(test_who_must_restart) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
