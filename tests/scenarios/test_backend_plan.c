/* The dry run's own loop: who is told of each event, and what ends it before the run does. */
#include "tests/scenarios/scenario.h"

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};

static struct event first(const struct scenario *s)
{
    struct event ev = { .at = START_MS, .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };

    ev.u.run_start.run = "r1";
    ev.u.run_start.plan_hash = s->plan->hash;
    ev.u.run_start.person = "tester";
    ev.u.run_start.controller = "00000000000000000000000000000001";
    ev.u.run_start.revision = ENGINE_REVISION;
    ev.u.run_start.epoch = 1;
    ev.u.run_start.approval_expires = TIME_NEVER;
    return ev;
}

static uint32_t told;
static time_ms last;

static void each(void *arg, const struct event *ev)
{
    assert_ptr_equal(arg, &told);
    assert_true(told > 0 || ev->type == EV_RUN_START);
    assert_true(ev->at >= last);
    last = ev->at;
    told++;
}

/* Each event once, in the order of time; the last one, which ended it, is told by its end. */
static void test_each_is_told(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);
    struct event ev = first(s);

    (void)state;
    told = 0;
    last = START_MS;
    check_ok(backend_plan_play(s->world, &s->runner, &ev, 100000, each, &told, &s->err), &s->err);
    check_run(s, RUN_FINISHED);
    assert_int_equal(told + 1, s->kept.n);
    scenario_truth(s);
    scenario_free(s);
}

static void test_too_many_events(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);
    struct event ev = first(s);

    (void)state;
    assert_int_equal(backend_plan_play(s->world, &s->runner, &ev, 50, NULL, NULL, &s->err), ERR_STATE);
    assert_string_equal(s->err.text, "the run does not come to rest: 50 events");
    assert_int_equal(s->kept.n, 51);
    scenario_free(s);
}

/* A first event that the engine refuses ends it at once; so does a run that has started already. */
static void test_refused(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);
    struct event ev = first(s);

    (void)state;
    ev.u.run_start.plan_hash = "another";
    assert_int_equal(backend_plan_play(s->world, &s->runner, &ev, 50, NULL, NULL, &s->err), ERR_INVALID);
    assert_int_equal(s->kept.n, 0);
    scenario_free(s);
}

/* Nothing is waited for, nothing is under way: there is no next event. */
static void test_nothing_comes(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);
    struct event ev;

    (void)state;
    assert_false(backend_plan_next(s->world, TIME_NEVER, &ev));
    assert_true(backend_plan_next(s->world, START_MS + 5, &ev));
    assert_int_equal(ev.type, EV_TIMEOUT);
    assert_true(ev.at == START_MS + 5);
    assert_true(backend_plan_next(s->world, START_MS, &ev)); /* never backwards */
    assert_true(ev.at == START_MS + 5);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_is_told),
                                        cmocka_unit_test(test_too_many_events),
                                        cmocka_unit_test(test_refused),
                                        cmocka_unit_test(test_nothing_comes) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
