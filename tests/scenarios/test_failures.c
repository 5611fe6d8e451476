/* One step of one node goes wrong, in each way there is; where the node ends, and what the run makes of it. */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words s2d_words = { .seed = 3,
                                              .clusters = 1,
                                              .nodes = 5,
                                              .vms = 2,
                                              .node_mib = 65536,
                                              .vm_mib_min = 2048,
                                              .vm_mib_max = 4096,
                                              .s2d = true };

struct row {
    const char *action, *code;
    enum op_outcome outcome;
    uint32_t times;
    bool s2d;
    enum node_end end;
    const char *rule; /* which rule says so */
};

static const struct row rows[] = {
    { "pause", "found_paused", OUTCOME_REFUSED, 9, false, NODE_SET_ASIDE, "O7" },
    { "pause", "failed", OUTCOME_FAILED, 9, false, NODE_SET_ASIDE, "O12" },
    { "pause", "busy", OUTCOME_REFUSED, 1, false, NODE_DONE, "I19" },
    { "move_vm", "refused", OUTCOME_REFUSED, 1, false, NODE_DONE, "C2" },
    { "move_vm", "refused", OUTCOME_REFUSED, 99, false, NODE_RETURNED, "O4" },
    { "move_vm", "busy", OUTCOME_REFUSED, 2, false, NODE_DONE, "O26" },
    { "move_groups", "failed", OUTCOME_FAILED, 1, false, NODE_DONE, "O1" },
    { "move_groups", "failed", OUTCOME_FAILED, 9, false, NODE_RETURNED, "O1" },
    { "storage_out", "refused", OUTCOME_REFUSED, 9, true, NODE_SET_ASIDE, "O3" },
    { "stop_vmms", "failed", OUTCOME_FAILED, 9, false, NODE_SET_ASIDE, "O8" },
    { "install", "failed", OUTCOME_FAILED, 9, false, NODE_SET_ASIDE, "O10" },
    { "install", "not_empty", OUTCOME_REFUSED, 9, false, NODE_SET_ASIDE, "I1" },
    { "reboot", "refused", OUTCOME_REFUSED, 1, false, NODE_DONE, "I19" },
    { "start_vmms", "failed", OUTCOME_FAILED, 1, false, NODE_DONE, "O8" },
    { "start_vmms", "failed", OUTCOME_FAILED, 9, false, NODE_STUCK, "O8" },
    { "storage_in", "failed", OUTCOME_FAILED, 9, true, NODE_STUCK, "O3" },
    { "resume", "failed", OUTCOME_FAILED, 1, false, NODE_DONE, "I29" },
    { "resume", "failed", OUTCOME_FAILED, 9, false, NODE_STUCK, "I29" },
};

static struct scenario *begin(const struct row *row)
{
    struct scenario *s = scenario_new(row->s2d ? &s2d_words : NULL, NULL,
                                      ",\"policy\":{\"failures_per_wave\":5,\"failures_per_run\":5}");
    const char *first = s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id;
    struct fault *f = scenario_fault(s, first, row->action, row->code);

    f->outcome = row->outcome;
    f->times = row->times;
    return s;
}

static void test_every_step_can_fail(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = begin(&rows[i]);
        struct node_view v;
        uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, first);
        if (v.end != rows[i].end || engine_run(s->engine).state != RUN_FINISHED)
            fail_msg("%s %s x%u (%s): ended %s (%s), run %s (%s)\n%s", rows[i].action, rows[i].code,
                     rows[i].times, rows[i].rule, node_end_names[v.end], v.reason,
                     run_states[engine_run(s->engine).state].name, engine_run(s->engine).end_text,
                     buf_text(&s->notes));
        assert_int_equal(engine_run(s->engine).failures, rows[i].end == NODE_DONE ? 0 : 1);
        assert_int_equal(engine_run(s->engine).unfinished, rows[i].end != NODE_DONE);
        if (rows[i].end != NODE_STUCK)
            scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A pause that was found is not ours: the node is not resumed by us (O7). */
static void test_found_pause_is_left_alone(void **state)
{
    struct scenario *s =
        scenario_new(NULL, NULL, ",\"policy\":{\"failures_per_wave\":5,\"failures_per_run\":5}");
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    struct fault *f = scenario_fault(s, s->plan->inv->nodes[first].id, "pause", "found_paused");

    (void)state;
    f->outcome = OUTCOME_REFUSED;
    scenario_start(s);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, first, "resume"), 0);
    scenario_free(s);
}

/* Before the reboot the cluster shows the first node in service: somebody has ended our pause. */
static void shown_up_once(struct scenario *s, struct plan_answer *a)
{
    if (scenario_is_picture(a) && engine_node(s->engine, scenario_first(s)).phase == NODE_REBOOTING)
        scenario_shows_first(s, a, SEEN_UP);
}

/* Our pause was ended by others, and the pause that is found on the way home is theirs: it is left alone, by name (O7). */
static void test_a_pause_that_others_ended_is_not_ours(void **state)
{
    struct scenario *s =
        scenario_new(NULL, NULL, ",\"policy\":{\"failures_per_wave\":5,\"failures_per_run\":5}");

    (void)state;
    s->meddle = shown_up_once;
    scenario_start(s);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "resume"), 0);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason, "O7: paused by somebody else"));
    assert_non_null(strstr(buf_text(&s->notes), "O7 somebody else has put the node back in service"));
    scenario_replays(s);
    scenario_free(s);
}

/* Over the budget nothing new starts anywhere, what is out comes home, the run is halted (I12). */
static void test_budget_halts(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[4,\"100%\"]", ",\"policy\":{\"failures_per_wave\":0,\"failures_per_run\":0}");
    struct fault *f = scenario_fault(s, NULL, "install", "failed");

    (void)state;
    f->times = 1;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    assert_int_equal(scenario_ended(s, NODE_SET_ASIDE), 1);
    assert_true(scenario_ended(s, NODE_NOT_STARTED) >= 4);
    assert_non_null(strstr(engine_run(s->engine).end_text, "failure budget"));
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void differ_after_boot(struct scenario *s, struct plan_answer *a)
{
    struct event *ev = a->ev;

    if (a->cause == CMD_OBSERVE && ev->u.observed.what == OBSERVE_FACTS &&
        engine_node(s->engine, a->node).phase == NODE_RESUMING)
        ev->u.observed.facts.memory_mib /= 2; /* a memory module did not come up */
}

/* A node that did not come back whole stays out: paused, stuck, named (O12). */
static void test_comes_back_whole_or_stays_out(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"policy\":{\"failures_per_wave\":1,\"failures_per_run\":3}");
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    s->meddle = differ_after_boot;
    scenario_start(s);
    while (engine_wave(s->engine, 0).state == WAVE_RUNNING || engine_wave(s->engine, 0).state < WAVE_RUNNING)
        assert_true(scenario_step(s));
    assert_string_equal(node_end_names[engine_node(s->engine, first).end], "stuck");
    assert_true(engine_node(s->engine, first).out);
    assert_int_equal(backend_plan_effects(s->world, first, "resume"), 0);
    assert_non_null(strstr(engine_node(s->engine, first).reason, "O12"));
    scenario_free(s);
}

static void not_there(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_VERIFY) {
        a->ev->u.observed.verify.package = PACKAGE_ABSENT;
        a->ev->u.observed.verify.build.ubr = 1;
    }
}

/* Exit codes never count: a node that rebooted without the package is set aside, in service (I17). */
static void test_verify_decides(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"policy\":{\"failures_per_wave\":0,\"failures_per_run\":9}");

    (void)state;
    s->meddle = not_there;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    assert_int_equal(scenario_ended(s, NODE_SET_ASIDE), 1);
    assert_int_equal(scenario_ended(s, NODE_DONE), 0);
    scenario_truth(s);
    scenario_free(s);
}

static void second_reboot(struct scenario *s, struct plan_answer *a)
{
    uint32_t reboots = backend_plan_effects(s->world, a->node, "reboot");

    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_VERIFY && reboots == 1)
        a->ev->u.observed.verify.pending = true;
}

/* A second reboot is preceded by the whole way to empty again: a boot may have started VMs. */
static void test_second_reboot(void **state)
{
    struct scenario *s = scenario_new(NULL, "[1,\"100%\"]", NULL);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    s->meddle = second_reboot;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(backend_plan_effects(s->world, first, "reboot"), 2);
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 1);
    assert_int_equal(backend_plan_effects(s->world, first, "pause"), 2);
    assert_int_equal(backend_plan_effects(s->world, first, "stop_vmms"), 2);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void pending_before(struct scenario *s, struct plan_answer *a)
{
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_FACTS &&
        backend_plan_effects(s->world, a->node, "reboot") == 0)
        a->ev->u.observed.facts.pending_reboot = true;
}

/* O11: refused by default, a planned reboot where the policy says so. */
static void test_pending_reboot(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"policy\":{\"failures_per_wave\":9,\"failures_per_run\":9}");
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    s->meddle = pending_before;
    scenario_start(s);
    scenario_run(s);
    assert_int_equal(scenario_ended(s, NODE_SET_ASIDE), 8);
    scenario_free(s);

    s = scenario_new(NULL, "[1,\"100%\"]", ",\"policy\":{\"pending_reboot\":\"reboot_first\"}");
    s->meddle = pending_before;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    assert_int_equal(backend_plan_effects(s->world, first, "reboot"), 2);
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 1);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void patched_already(struct scenario *s, struct plan_answer *a)
{
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_FACTS && a->node == 0)
        a->ev->u.observed.facts.build = s->plan->rollout->patch.target;
}

/* A node that somebody patched meanwhile is compliant and not touched. */
static void test_compliant_is_not_touched(void **state)
{
    struct scenario *s = scenario_new(NULL, "[\"100%\"]", NULL);

    (void)state;
    s->meddle = patched_already;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, s->plan->inv->nodes[0].id, NODE_COMPLIANT);
    assert_int_equal(backend_plan_effects(s->world, 0, "pause"), 0);
    assert_false(engine_run(s->engine).unfinished);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_can_fail),
        cmocka_unit_test(test_found_pause_is_left_alone),
        cmocka_unit_test(test_a_pause_that_others_ended_is_not_ours),
        cmocka_unit_test(test_budget_halts),
        cmocka_unit_test(test_comes_back_whole_or_stays_out),
        cmocka_unit_test(test_verify_decides),
        cmocka_unit_test(test_second_reboot),
        cmocka_unit_test(test_pending_reboot),
        cmocka_unit_test(test_compliant_is_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
