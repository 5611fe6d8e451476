/* The controller dies after each event of a run, and another one goes on: the same end, no op done twice (I19, I22). */
#include "tests/scenarios/scenario.h"

#include "orchestrator/core/backend_plan_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};

#define GATES                                                                                           \
    ",\"gates\":[{\"name\":\"health\",\"type\":\"cluster_health\",\"samples\":2,\"interval\":\"10s\"}," \
    "{\"name\":\"beat\",\"type\":\"vm_heartbeat\",\"when\":\"after\",\"samples\":2,\"interval\":\"10s\"}]"

static uint32_t phases_hit[NODE_PHASES];

static void note_phases(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        phases_hit[engine_node(s->engine, i).phase]++;
}

/* One VM that cannot move, and may be shut down. */
#define CONSENT                                                                                           \
    ",\"consents\":[{\"vm\":\"00000000-0000-4000-8000-000000000000\",\"method\":\"shutdown\",\"person\":" \
    "\"owner\",\"ticket\":\"C2\",\"expires\":\"2030-01-01T00:00:00Z\"}]"

/* Dies after event number `at`; false when the run was over by then. */
static bool die_at(uint32_t at, struct inventory *inv, const char *more)
{
    struct scenario *s = scenario_of(inv, "[1,\"100%\"]", more);
    uint32_t settings = 0;

    scenario_start(s);
    for (uint32_t i = 0; i < at; i++) {
        if (!scenario_step(s)) {
            scenario_free(s);
            return false;
        }
    }
    note_phases(s);
    scenario_crash(s);
    scenario_run(s);
    if (engine_run(s->engine).state != RUN_FINISHED || scenario_ended(s, NODE_DONE) != s->plan->inv->n_nodes)
        fail_msg("dead after event %u: run %s (%s, %s), %u done\n%s", at,
                 run_states[engine_run(s->engine).state].name, engine_run(s->engine).end_text,
                 engine_run(s->engine).hold_reason, scenario_ended(s, NODE_DONE), buf_text(&s->notes));
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++) {
        settings += backend_plan_effects(s->world, i, "cluster_setting");
        assert_int_equal(backend_plan_effects(s->world, i, "install"), 1);
        assert_int_equal(backend_plan_effects(s->world, i, "reboot"), 1);
        assert_int_equal(backend_plan_effects(s->world, i, "pause"), 1);
    }
    assert_int_equal(settings, 2); /* set once, put back once */
    scenario_truth(s);
    if (at % 50 == 0)
        scenario_replays(s);
    scenario_free(s);
    return true;
}

static void test_dies_after_each_event(void **state)
{
    uint32_t at = 0;

    (void)state;
    while (die_at(at, small_fleet(&words), ""))
        at += 2;
    for (at = 1; die_at(at, small_fleet(&words), GATES);)
        at += 7;
    assert_true(at > 100);
    for (int p = NODE_CHECKING; p < NODE_PHASES; p++)
        if (phases_hit[p] == 0 && p != NODE_EMPTIED && p != NODE_STORAGE_OUT && p != NODE_REMOVING &&
            p != NODE_STORAGE_IN)
            fail_msg("no controller died while a node was %s", node_phases[p].name);
}

static void test_dies_on_s2d(void **state)
{
    struct fleet_words s2d = words;
    uint32_t at = 0;

    (void)state;
    s2d.s2d = true;
    s2d.nodes = 5;
    while (die_at(at, fleet_with_pinned_vm(&s2d), CONSENT))
        at += 2;
    assert_true(at > 100);
    assert_true(phases_hit[NODE_STORAGE_OUT] > 0 && phases_hit[NODE_STORAGE_IN] > 0);
}

/* Five controllers, one after the other, each dying soon. */
static void test_dies_again_and_again(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");

    (void)state;
    scenario_start(s);
    for (uint32_t i = 0; i < 60; i++) {
        for (uint32_t k = 0; k < 5; k++)
            scenario_step(s);
        if (s->runner.ended)
            break;
        scenario_crash(s);
    }
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Hours pass before somebody goes on: that nobody looked at the node meanwhile is no reason to leave it out (I22). */
static void dead_for_hours(enum node_phase phase, uint32_t more, struct inventory *inv)
{
    struct scenario *s = scenario_of(inv, "[1,\"100%\"]", CONSENT);

    scenario_start(s);
    scenario_until(s, scenario_first_id(s), phase);
    for (uint32_t k = 0; k < more; k++)
        scenario_step(s);
    s->world->now = s->now += 9 * HOUR_MS;
    scenario_crash(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->inv->n_nodes);
    scenario_free(s);
}

/* From the reboot on. On S2D the storage is whole again by then: looked at before the parked VM is back, and after. */
static void test_dead_for_hours(void **state)
{
    static const enum node_phase phases[] = { NODE_REBOOTING, NODE_VERIFYING, NODE_STARTING_VMMS,
                                              NODE_RESUMING, NODE_SETTLING };
    struct fleet_words s2d = words;

    (void)state;
    s2d.s2d = true;
    s2d.nodes = 5;
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        for (uint32_t more = 0; more < 8; more++) {
            dead_for_hours(phases[i], more, small_fleet(&words));
            dead_for_hours(phases[i], more, fleet_with_pinned_vm(&s2d));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dies_after_each_event),
        cmocka_unit_test(test_dies_on_s2d),
        cmocka_unit_test(test_dies_again_and_again),
        cmocka_unit_test(test_dead_for_hours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
