/* VMs that may not do what others do: infrastructure is never in motion two of a kind (O25), of a class with a bound no more are
 * down at once than it allows (C9). */
#include "tests/scenarios/scenario.h"

#include "orchestrator/core/backend_plan_world.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 4, .clusters = 1, .nodes = 4, .vms = 3, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define FIRST_OF_NODE_0 "\"name\":\"vm0\","
#define SECOND_OF_NODE_0 "\"name\":\"vm1\","
#define FIRST_OF_NODE_1 "\"name\":\"vm3\","

/* The small fleet, `what` said of those two VMs, and `more` of the whole. */
static struct inventory *fleet_with(const char *one, const char *other, const char *what, const char *more)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    const char *ends[2], *from;
    struct inventory *inv;

    small_fleet_json(&words, &text);
    from = buf_text(&text);
    ends[0] = strstr(from, one);
    ends[1] = strstr(from, other);
    assert_true(ends[0] != NULL && ends[1] > ends[0]);
    for (unsigned i = 0; i < 2; i++) {
        buf_add(&out, from, (size_t)(ends[i] - from));
        buf_str(&out, what);
        from = ends[i];
    }
    buf_add(&out, from, strlen(from) - 1); /* without the last brace */
    buf_printf(&out, "%s}", more);
    inv = inventory_of(buf_text(&out));
    buf_clear(&text);
    buf_clear(&out);
    return inv;
}

/* In truth, as the nodes' journals have it. */
static uint32_t in_motion(const struct scenario *s, bool infrastructure)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++) {
        const struct world_node *w = &s->world->nodes[i];

        for (uint32_t k = 0; k < w->journal.n; k++) {
            const struct world_op *op = &w->journal.items[k];

            n += op->action == ACT_MOVE_VM && op->state != OP_DONE &&
                 (s->plan->inv->vms[op->vm].role != ROLE_NONE) == infrastructure;
        }
    }
    return n;
}

/* Two domain controllers on one node that has two slots: one after the other; of the others two are under way at once. */
static void test_one_domain_controller_at_a_time(void **state)
{
    struct scenario *s =
        scenario_of(fleet_with(FIRST_OF_NODE_0, SECOND_OF_NODE_0, "\"role\":\"domain_controller\",", ""),
                    "[\"100%\"]", "");
    uint32_t most = 0, most_others = 0;

    (void)state;
    scenario_start(s);
    while (scenario_step(s)) {
        uint32_t n = in_motion(s, true), others = in_motion(s, false);

        most = n > most ? n : most;
        most_others = others > most_others ? others : most_others;
    }
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_int_equal(most, 1);
    assert_int_equal(most_others, 2);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static uint32_t down(const struct scenario *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->plan->inv->n_vms; i++)
        n += !backend_plan_vm_runs(s->world, i);
    return n;
}

#define CONSENT_TILL(vm, till)                                                             \
    "{\"vm\":\"" vm "\",\"method\":\"shutdown\",\"person\":\"owner\",\"ticket\":\"CHG2\"," \
    "\"checkpoint\":false,\"expires\":\"" till "\"}"
#define CONSENT(vm) CONSENT_TILL(vm, "2026-01-01T00:00:00Z")
#define CONSENTS                                                                   \
    ",\"consents\":[" CONSENT("00000000-0000-4000-8000-000000000000") "," CONSENT( \
        "daa66d13-0000-4000-8000-000000000003") "]"

/* Two of a class of which one may be down: each in its turn, since the first no longer counts when it is back. */
static void test_one_of_a_class_down_at_a_time(void **state)
{
    struct scenario *s =
        scenario_of(fleet_with(FIRST_OF_NODE_0, FIRST_OF_NODE_1, "\"dda\":true,\"sla\":\"heavy\",",
                               ",\"sla_classes\":[{\"name\":\"heavy\",\"parked_max\":1}]"),
                    "[\"100%\"]", CONSENTS);
    uint32_t most = 0;

    (void)state;
    scenario_start(s);
    while (scenario_step(s))
        most = down(s) > most ? down(s) : most;
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_int_equal(most, 1);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "park_vm"), 1);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

#define WITHIN_THE_HOUR                                             \
    ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}," \
    "\"consents\":[" CONSENT_TILL("00000000-0000-4000-8000-000000000000", "2025-11-24T17:00:00Z") "]"

/* A consent that ends in an hour, and a drain that nobody led for two: its VM is not stopped any more (O4, I9). */
static void test_consent_that_ends_in_mid_drain(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct scenario *s = scenario_of(fleet_with_pinned_vm(&words), "[\"100%\"]", WITHIN_THE_HOUR);
        uint32_t home =
            s->plan->inv->vms[inventory_vm(s->plan->inv, "00000000-0000-4000-8000-000000000000")].home;
        const char *id = s->plan->inv->nodes[home].id;

        scenario_start(s);
        scenario_until(s, id, NODE_DRAINING);
        while (backend_plan_effects(s->world, home, "move_vm") == 0)
            assert_true(scenario_step(s));
        assert_int_equal(backend_plan_effects(s->world, home, "park_vm"), 0);
        s->now += late ? 2 * HOUR_MS : 10 * MINUTE_MS;
        scenario_crash(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, late ? NODE_RETURNED : NODE_DONE);
        assert_int_equal(backend_plan_effects(s->world, home, "park_vm"), !late);
        if (late)
            assert_non_null(strstr(scenario_node(s, id).reason, "has expired"));
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_domain_controller_at_a_time),
        cmocka_unit_test(test_one_of_a_class_down_at_a_time),
        cmocka_unit_test(test_consent_that_ends_in_mid_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
