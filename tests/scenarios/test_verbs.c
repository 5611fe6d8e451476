/* What operators say, at every phase of a node: what becomes of it, what stays. */
#include "tests/scenarios/scenario.h"

#include <string.h>

static const struct fleet_words words = { .seed = 5,
                                          .clusters = 1,
                                          .nodes = 5,
                                          .vms = 2,
                                          .node_mib = 65536,
                                          .vm_mib_min = 2048,
                                          .vm_mib_max = 4096,
                                          .s2d = true };
#define BUDGET ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2}"

static struct scenario *at_phase(enum node_phase phase, uint32_t *ret_first)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    *ret_first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    scenario_start(s);
    while (engine_node(s->engine, *ret_first).phase < phase)
        assert_true(scenario_step(s));
    return s;
}

static bool is_before_effect(enum node_phase p)
{
    return p < NODE_INSTALLING;
}

/* Pause: nothing new starts, what is out comes home; resume: the same end as without. */
static void test_pause_and_resume_at_each_phase(void **state)
{
    (void)state;
    for (int p = NODE_CHECKING; p < NODE_ENDED; p++) {
        uint32_t first, out = 0;
        struct scenario *s;

        if (p == NODE_REMOVING)
            continue;
        s = at_phase((enum node_phase)p, &first);
        out = engine_node(s->engine, first).out;
        check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
        assert_int_equal(scenario_verb(s, VERB_PAUSE, NULL), ERR_STATE);
        assert_non_null(strstr(s->err.text, "resume"));
        scenario_run(s);
        check_run(s, RUN_HOLDING);
        assert_string_equal(engine_run(s->engine).hold_verb, "resume");
        assert_int_equal(scenario_ended(s, NODE_DONE), out ? 1 : 0);
        check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 5);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Abort: an install without START is not begun; one with START goes through to the end; nothing is rolled back. */
static void test_abort_at_each_phase(void **state)
{
    (void)state;
    for (int p = NODE_CHECKING; p < NODE_ENDED; p++) {
        uint32_t first;
        struct scenario *s;

        if (p == NODE_REMOVING)
            continue;
        s = at_phase((enum node_phase)p, &first);
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        scenario_run(s);
        check_run(s, RUN_ABORTED);
        assert_int_equal(backend_plan_effects(s->world, first, "install"),
                         is_before_effect((enum node_phase)p) ? 0 : 1);
        assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), 0);
        assert_int_equal(scenario_ended(s, NODE_NOT_STARTED) + scenario_ended(s, NODE_RETURNED) +
                             scenario_ended(s, NODE_DONE),
                         5);
        assert_int_equal(scenario_ended(s, NODE_DONE), is_before_effect((enum node_phase)p) ? 0 : 1);
        scenario_truth(s);
        assert_int_equal(scenario_verb(s, VERB_RESUME, NULL), ERR_STATE);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The controller dies while it aborts: the next one finishes the abort. */
static void test_abort_survives_a_crash(void **state)
{
    uint32_t first;
    struct scenario *s = at_phase(NODE_STOPPING_VMMS, &first);

    (void)state;
    check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    scenario_crash(s);
    scenario_run(s);
    check_run(s, RUN_ABORTED);
    check_end(s, s->plan->inv->nodes[first].id, NODE_RETURNED);
    scenario_truth(s);
    scenario_free(s);
}

/* SIGINT: the controller stops at once and leaves a resumable state. */
static void test_stop_and_go_on(void **state)
{
    (void)state;
    for (int p = NODE_CHECKING; p < NODE_ENDED; p += 2) {
        uint32_t first;
        struct scenario *s = at_phase(p == NODE_REMOVING ? NODE_INSTALLING : (enum node_phase)p, &first);
        struct event ev = { .type = EV_CONTROLLER_STOP, .node = IX_NONE, .cluster = IX_NONE };

        ev.u.controller_stop.reason = "SIGINT";
        check_ok(scenario_event(s, &ev), &s->err);
        assert_true(s->runner.ended);
        assert_true(engine_run(s->engine).stopped);
        scenario_crash(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 5);
        scenario_truth(s);
        scenario_free(s);
    }
}

/* Closed by force with a node out: stuck, named; `return` puts it back. */
static void test_force_and_return(void **state)
{
    uint32_t first;
    struct scenario *s = at_phase(NODE_STOPPING_VMMS, &first);
    const char *id = s->plan->inv->nodes[first].id;

    (void)state;
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_run(s, RUN_ABORTED);
    check_end(s, id, NODE_STUCK);
    assert_non_null(strstr(engine_run(s->engine).end_text, id));
    scenario_crash(s);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_goes_on(s);
    check_end(s, id, NODE_RETURNED);
    check_run(s, RUN_ABORTED);
    assert_int_equal(scenario_verb(s, VERB_RETURN, s->plan->inv->nodes[(first + 1) % 5].id), ERR_STATE);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Put back after the end, and it never comes, or another machine answers: stuck as before, and the run rests (I16, I27). */
static void test_return_of_a_node_that_never_comes(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        uint32_t first;
        struct scenario *s = at_phase(NODE_STOPPING_VMMS, &first);
        const char *id = s->plan->inv->nodes[first].id;
        struct event ev = { .type = EV_NODE_REFUSED, .node = first, .cluster = IX_NONE };

        check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
        backend_plan_cut(s->world, first, TIME_NEVER);
        scenario_crash(s);
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        s->runner.ended = false;
        ev.at = s->now;
        ev.u.refused.code = ERR_HOSTKEY;
        ev.u.refused.text = "another host key";
        if (k == 1)
            check_ok(scenario_event(s, &ev), &s->err);
        scenario_run(s);
        check_end(s, id, NODE_STUCK);
        assert_non_null(strstr(scenario_node(s, id).reason, "not put back"));
        assert_true(engine_run(s->engine).at_rest);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A node that was set aside is tried again within its wave, under new ids. */
static void test_retry(void **state)
{
    struct scenario *s = scenario_new(NULL, "[4,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, NULL, "install", "failed");
    const char *id = NULL;

    (void)state;
    f->times = 1;
    scenario_start(s);
    while (scenario_ended(s, NODE_SET_ASIDE) == 0)
        assert_true(scenario_step(s));
    for (uint32_t i = 0; i < 8; i++)
        if (engine_node(s->engine, i).end == NODE_SET_ASIDE)
            id = s->plan->inv->nodes[i].id;
    check_ok(scenario_verb(s, VERB_RETRY, id), &s->err);
    assert_int_equal(engine_run(s->engine).failures, 0);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, id, NODE_DONE);
    assert_int_equal(scenario_node(s, id).attempt, 2);
    assert_int_equal(scenario_verb(s, VERB_RETRY, id), ERR_STATE);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void test_set_aside_by_hand(void **state)
{
    (void)state;
    for (int p = NODE_CHECKING; p < NODE_INSTALLING; p++) {
        uint32_t first;
        struct scenario *s = at_phase((enum node_phase)p, &first);
        const char *id = s->plan->inv->nodes[first].id;

        check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, id, NODE_SET_ASIDE);
        assert_int_equal(backend_plan_effects(s->world, first, "install"), 0);
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        scenario_truth(s);
        scenario_free(s);
    }
}

/* A node of a later wave, and the budget of that wave is spent before it begins: the run comes to its end and says why (I28). */
static void test_set_aside_before_its_wave(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[1,\"100%\"]", ",\"policy\":{\"failures_per_wave\":0,\"failures_per_run\":1}");
    uint32_t later = s->plan->nodes[s->plan->n_nodes - 1].node;
    const char *id = s->plan->inv->nodes[later].id;

    (void)state;
    scenario_start(s);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
    scenario_run(s);
    check_run(s, RUN_HALTED);
    check_end(s, id, NODE_SET_ASIDE);
    assert_int_equal(scenario_ended(s, NODE_DONE), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* Paused while the gates before a wave are asked of which every node is set aside: it is over as it begins, and so is the run. */
static void test_paused_at_the_gate_of_an_empty_wave(void **state)
{
    struct scenario *s = scenario_new(NULL, "[7,1]",
                                      ",\"gates\":[{\"type\":\"cluster_health\"}],"
                                      "\"policy\":{\"failures_per_wave\":1,\"failures_per_run\":1}");
    uint32_t later = s->plan->nodes[s->plan->n_nodes - 1].node;

    (void)state;
    scenario_start(s);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, s->plan->inv->nodes[later].id), &s->err);
    while (engine_wave(s->engine, 1).state != WAVE_GATE_BEFORE)
        assert_true(scenario_step(s));
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    scenario_while_holding(s);
    check_run(s, RUN_HOLDING);
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 7);
    scenario_replays(s);
    scenario_free(s);
}

/* A finished run is rolled back by a verb, in reverse order; without proof or waiver it is refused. */
static void test_rollback_of_an_ended_run(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);

    (void)state;
    scenario_start(s);
    scenario_run(s);
    assert_int_equal(scenario_verb(s, VERB_ROLLBACK, NULL), ERR_STATE);
    scenario_free(s);

    s = scenario_new(NULL, NULL,
                     ",\"policy\":{\"rollback\":\"run\"},\"waivers\":[{\"what\":\"rollback_unproved\","
                     "\"person\":\"board\",\"ticket\":\"C1\"}]");
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    check_run(s, RUN_ROLLING_BACK);
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    check_run(s, RUN_HOLDING);
    assert_int_equal(scenario_verb(s, VERB_ROLLBACK, NULL), ERR_STATE); /* held, and under way all the same */
    assert_non_null(strstr(s->err.text, "resume leads on"));
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    check_run(s, RUN_ROLLING_BACK);
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    assert_int_equal(scenario_ended(s, NODE_ROLLED_BACK), 8);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

#define WAIVED                                                                                              \
    ",\"policy\":{\"rollback\":\"run\"},\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\"," \
    "\"ticket\":\"C1\"}]"

/* A node that `return` is putting back has our package in: a rollback would pass it over, and say that all is out. It waits. */
static void test_rollback_while_a_node_is_put_back(void **state)
{
    struct scenario *s = scenario_new(NULL, "[1,\"100%\"]", WAIVED);
    const char *id = scenario_first_id(s);

    (void)state;
    scenario_start(s);
    scenario_until(s, id, NODE_STARTING_VMMS);
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_end(s, id, NODE_STUCK);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    assert_int_equal(scenario_verb(s, VERB_ROLLBACK, NULL), ERR_STATE);
    scenario_goes_on(s);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_goes_on(s);
    check_run(s, RUN_ROLLED_BACK);
    check_end(s, id, NODE_ROLLED_BACK);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Rollback in the middle of a wave: the node in flight goes to its safe point first, and comes back too if patched. */
static void test_rollback_at_each_phase(void **state)
{
    (void)state;
    for (int p = NODE_CHECKING; p < NODE_ENDED; p++) {
        struct scenario *s = scenario_new(
            &words, "[1,\"100%\"]",
            ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]");
        uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

        scenario_start(s);
        while (engine_node(s->engine, first).phase < (enum node_phase)p)
            assert_true(scenario_step(s));
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        if (p % 2 == 0)
            scenario_crash(s);
        scenario_run(s);
        check_run(s, RUN_ROLLED_BACK);
        assert_int_equal(build_compare(backend_plan_build(s->world, first), s->plan->inv->nodes[first].build),
                         0);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Set aside and tried again before its wave's gate has passed: it waits for the gate like the others (I11). */
static void test_retry_before_the_gate(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[\"100%\"]", ",\"gates\":[{\"type\":\"manual\",\"when\":\"before\"}]");
    const char *id = s->plan->inv->nodes[0].id;

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
    check_ok(scenario_verb(s, VERB_RETRY, id), &s->err);
    check_run(s, RUN_HOLDING);
    assert_int_equal(engine_wave(s->engine, 0).state, WAVE_GATE_BEFORE);
    assert_string_equal(node_phases[scenario_node(s, id).phase].name, "pending");
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause_and_resume_at_each_phase),
        cmocka_unit_test(test_abort_at_each_phase),
        cmocka_unit_test(test_abort_survives_a_crash),
        cmocka_unit_test(test_stop_and_go_on),
        cmocka_unit_test(test_force_and_return),
        cmocka_unit_test(test_return_of_a_node_that_never_comes),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_set_aside_by_hand),
        cmocka_unit_test(test_set_aside_before_its_wave),
        cmocka_unit_test(test_paused_at_the_gate_of_an_empty_wave),
        cmocka_unit_test(test_rollback_of_an_ended_run),
        cmocka_unit_test(test_rollback_at_each_phase),
        cmocka_unit_test(test_rollback_while_a_node_is_put_back),
        cmocka_unit_test(test_retry_before_the_gate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
