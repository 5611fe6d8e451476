/* When nodes may start: windows and freezes (I14). START_MS is 2025-11-24T16:00:00Z. */
#include "tests/scenarios/scenario.h"

#include <string.h>

/* Outside the window nothing starts and the run holds; it opens by itself and goes on, each drain inside. */
static void test_window(void **state)
{
    struct scenario *s = scenario_new(
        NULL, NULL, ",\"windows\":[{\"from\":\"2025-11-24T20:00:00Z\",\"to\":\"2025-11-25T08:00:00Z\"}]");
    bool held = false;

    (void)state;
    scenario_start(s);
    while (scenario_step(s)) {
        held = held || engine_run(s->engine).state == RUN_HOLDING;
        for (uint32_t i = 0; i < 8; i++)
            if (engine_node(s->engine, i).out)
                assert_true(s->now >= START_MS + 4 * HOUR_MS && s->now < START_MS + 16 * HOUR_MS);
    }
    assert_true(held);
    check_run(s, RUN_FINISHED);
    scenario_replays(s);
    scenario_free(s);
}

/* A window closes while a node is out: it goes on to its end, the others wait for the next window. */
static void test_two_windows(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[\"100%\"]",
                     ",\"windows\":[{\"from\":\"2025-11-24T16:00:00Z\",\"to\":\"2025-11-24T17:40:00Z\"},"
                     "{\"from\":\"2025-11-25T16:00:00Z\",\"to\":\"2025-11-26T16:00:00Z\"}]");
    bool held = false;

    (void)state;
    scenario_start(s);
    while (scenario_step(s))
        held = held || engine_run(s->engine).state == RUN_HOLDING;
    check_run(s, RUN_FINISHED);
    assert_true(held);
    for (uint32_t i = 0; i < 8; i++) {
        time_ms out = engine_node(s->engine, i).out_since - START_MS;

        assert_true(out < 100 * MINUTE_MS || out >= DAY_MS);
    }
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Too late for a whole life in the window: held, not squeezed in (I14). */
static void test_window_too_short(void **state)
{
    struct scenario *s = scenario_new(
        NULL, NULL, ",\"windows\":[{\"from\":\"2025-11-24T16:00:00Z\",\"to\":\"2025-11-24T16:10:00Z\"}]");

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(strstr(engine_run(s->engine).hold_reason, "window"));
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "pause"), 0);
    scenario_free(s);
}

static void test_freeze(void **state)
{
    struct scenario *s = scenario_new(
        NULL, NULL, ",\"freezes\":[{\"from\":\"2025-11-24T16:00:00Z\",\"to\":\"2025-11-24T18:00:00Z\"}]");

    (void)state;
    scenario_start(s);
    while (scenario_step(s))
        for (uint32_t i = 0; i < 8; i++)
            if (engine_node(s->engine, i).out)
                assert_true(s->now >= START_MS + 2 * HOUR_MS);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

/* The next window opens while a node is still out, later than anybody thought: the others start then, and the run
 * has held for nothing. */
static void test_window_opens_while_a_node_is_out(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[\"50%\",\"100%\"]",
                     ",\"windows\":[{\"from\":\"2025-11-24T16:00:00Z\",\"to\":\"2025-11-24T17:25:00Z\"},"
                     "{\"from\":\"2025-11-24T17:50:00Z\",\"to\":\"2025-11-26T16:00:00Z\"}]");
    struct fault *f = scenario_fault(s, NULL, "install", NULL);
    time_ms opens = START_MS + 110 * MINUTE_MS;
    bool started = false;

    (void)state;
    f->silent = true; /* its reply is lost: known when its time is over */
    f->skip = 1;
    scenario_start(s);
    while (scenario_step(s))
        for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
            started = started || (engine_node(s->engine, i).out_since >= opens &&
                                  engine_node(s->engine, i).out_since < opens + MINUTE_MS);
    check_run(s, RUN_FINISHED);
    assert_true(started);
    assert_null(strstr(buf_text(&s->notes), "no change window is open"));
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_two_windows),
        cmocka_unit_test(test_window_too_short),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_window_opens_while_a_node_is_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
