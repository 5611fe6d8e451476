/* A program of another engine revision takes a run over: at any moment, in any state, and more than once. */
#include "tests/scenarios/scenario.h"

#include "orchestrator/core/handover.h"

#include <string.h>

static const struct fleet_words words = { .clusters = 1, .nodes = 4, .vms = 2 };
static uint32_t phases_hit[NODE_PHASES];

#define GATES                                                                                           \
    ",\"gates\":[{\"name\":\"after\",\"type\":\"backup_agent\",\"scope\":\"node\",\"interval\":\"1m\"," \
    "\"samples\":2,"                                                                                    \
    "\"failure_limit\":0,\"unknown_limit\":1,\"when\":\"after\",\"on_fail\":\"halt\"}]"

/* Takes over after `at` events; false when the run was over before. */
static bool upgrade_at(struct scenario *s, uint32_t at)
{
    scenario_start(s);
    for (uint32_t i = 0; i < at; i++)
        if (!scenario_step(s))
            return false;
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        phases_hit[engine_node(s->engine, i).phase]++;
    scenario_upgrade(s);
    return true;
}

static bool finishes_after(uint32_t at, const struct fleet_words *w, const char *more)
{
    struct scenario *s = scenario_new(w, "[1,\"100%\"]", more);
    bool there = upgrade_at(s, at);

    if (there) {
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->n_nodes);
        scenario_truth(s);
        scenario_replays(s);
        for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
            assert_int_equal(backend_plan_effects(s->world, i, "install"), 1);
    }
    scenario_free(s);
    return there;
}

/* Whatever it was at: nothing is installed twice, nothing is forgotten, every node is done in the end. */
static void test_at_each_event(void **state)
{
    struct fleet_words s2d = words;
    uint32_t at;

    (void)state;
    for (at = 0; finishes_after(at, &words, "");)
        at += 2;
    assert_true(at > 100);
    for (at = 1; finishes_after(at, &words, GATES);)
        at += 5;
    s2d.s2d = true;
    for (at = 0; finishes_after(at, &s2d, "");)
        at += 1;
    for (int p = NODE_CHECKING; p < NODE_PHASES; p++)
        if (phases_hit[p] == 0 && p != NODE_EMPTIED && p != NODE_REMOVING)
            fail_msg("nobody took over while a node was %s", node_phases[p].name);
}

/* Six revisions, one after the other; the fold begins anew at each. */
static void test_again_and_again(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");

    (void)state;
    scenario_start(s);
    for (uint32_t i = 0; i < 6; i++) {
        for (uint32_t k = 0; k < 17; k++)
            scenario_step(s);
        scenario_upgrade(s);
    }
    scenario_crash(s); /* and a plain one, which replays from the last upgrade on */
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static uint32_t upgrades_after_verb(enum verb verb, enum run_state want, uint32_t every, const char *more)
{
    uint32_t taken = 0;

    for (uint32_t at = 20;; at += every) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", more);
        bool over = false;

        scenario_start(s);
        for (uint32_t i = 0; i < at && !over; i++)
            over = !scenario_step(s);
        if (!over && scenario_verb(s, verb, NULL) == 0) {
            for (uint32_t i = 0; i < at % 7; i++)
                scenario_step(s);
            scenario_upgrade(s);
            scenario_run(s);
            check_run(s, want);
            if (want != RUN_HOLDING)
                scenario_truth(s);
            scenario_replays(s);
            taken++;
        }
        scenario_free(s);
        if (over)
            return taken;
    }
}

/* Before the reboot the cluster shows the first node in service: somebody has ended our pause. */
static void shown_up(struct scenario *s, struct plan_answer *a)
{
    if (scenario_is_picture(a) && engine_node(s->engine, scenario_first(s)).phase == NODE_REBOOTING)
        scenario_shows_first(s, a, SEEN_UP);
}

/* What the former revision paused and others ended since: a pause that is found on the way home is theirs (O7). */
static void test_a_pause_that_others_ended_since(void **state)
{
    struct scenario *s =
        scenario_new(&words, "[1,\"100%\"]", ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}");

    (void)state;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    scenario_upgrade(s);
    s->meddle = shown_up;
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "resume"), 0);
    check_end(s, scenario_first_id(s),
              NODE_SET_ASIDE); /* as without a takeover: its journal has told all there is */
    assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason, "O7: paused by somebody else"));
    scenario_replays(s);
    scenario_free(s);
}

static void test_an_abort_goes_on(void **state)
{
    (void)state;
    assert_true(upgrades_after_verb(VERB_ABORT, RUN_ABORTED, 7, "") > 10);
}

static void test_a_pause_holds_on(void **state)
{
    (void)state;
    assert_true(upgrades_after_verb(VERB_PAUSE, RUN_HOLDING, 9, "") > 5);
}

#define UNPROVED                                                                                            \
    ",\"policy\":{\"rollback\":\"run\"},\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\"," \
    "\"ticket\":\"C1\"}]"

/* No removal begins on another engine's word; `rollback` begins it again, and then it comes to its end. */
static void test_a_way_back_waits_for_a_person(void **state)
{
    uint32_t halted = 0, removing = 0;

    (void)state;
    for (uint32_t more = 0; more < 60; more += 4) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", UNPROVED);

        scenario_start(s);
        while (scenario_ended(s, NODE_DONE) < 2)
            assert_true(scenario_step(s));
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        for (uint32_t k = 0; k < more; k++)
            scenario_step(s);
        for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
            removing += engine_node(s->engine, i).phase == NODE_REMOVING;
        if (!s->runner.ended) {
            scenario_upgrade(s);
            scenario_run(s);
            if (engine_run(s->engine).state == RUN_HALTED) {
                assert_non_null(strstr(engine_run(s->engine).end_text, "`rollback` begins it again"));
                scenario_truth(s);
                check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
                scenario_run(s);
                halted++;
            }
            check_run(s, RUN_ROLLED_BACK);
            assert_int_equal(scenario_ended(s, NODE_DONE), 0);
            scenario_truth(s);
            scenario_replays(s);
        }
        scenario_free(s);
    }
    assert_true(halted > 5 && removing > 0);
}

/* A boot has taken the patch of the first node back. */
static void rolled_back_at_boot(struct scenario *s, struct plan_answer *a)
{
    struct verify_facts *v = &a->ev->u.observed.verify;

    if (a->ev->type != EV_OBSERVED || a->ev->u.observed.what != OBSERVE_VERIFY ||
        a->node != scenario_first(s) || engine_node(s->engine, a->node).back)
        return;
    v->package = PACKAGE_ABSENT;
    v->build.ubr = 1;
}

#define WITHIN_BUDGET                                                                                  \
    ",\"policy\":{\"rollback\":\"run\",\"failures_per_wave\":1,\"failures_per_run\":1},\"waivers\":[{" \
    "\"what\":"                                                                                        \
    "\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]"

/* Nothing of ours is in it: a rollback after a takeover leaves it alone (I12). */
static void test_a_way_back_only_of_what_is_patched(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", WITHIN_BUDGET);
    const char *first = scenario_first_id(s);

    (void)state;
    s->meddle = rolled_back_at_boot;
    scenario_start(s);
    while (scenario_ended(s, NODE_DONE) < 2)
        assert_true(scenario_step(s));
    check_end(s, first, NODE_SET_ASIDE);
    scenario_upgrade(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    check_end(s, first, NODE_SET_ASIDE);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "pause"), 1);
    assert_int_equal(scenario_ended(s, NODE_ROLLED_BACK), 3);
    scenario_replays(s);
    scenario_free(s);
}

/* A failure whose baseline the old engine kept may be older than the wave: it is unknown, and rolls nothing back (I13). */
static void test_a_lost_baseline_is_not_a_failure(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", GATES);

    (void)state;
    s->meddle = backup_7001;
    scenario_start(s);
    while (scenario_ended(s, NODE_DONE) < 1)
        assert_true(scenario_step(s));
    scenario_upgrade(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_string_equal(engine_run(s->engine).hold_verb, "promote");
    scenario_replays(s);
    scenario_free(s);
}

/* Only a takeover: a start that says nothing of the run's state is refused, by both revisions. */
static void test_a_plain_start_is_refused(void **state)
{
    struct event ev = { .type = EV_CONTROLLER_START, .node = IX_NONE, .cluster = IX_NONE };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");

    (void)state;
    scenario_start(s);
    scenario_step(s);
    ev.u.controller_start.controller = "00000000000000000000000000000002";
    ev.u.controller_start.revision = s->revision + 1;
    ev.u.controller_start.epoch = 2;
    ev.u.controller_start.takeover = true;
    assert_int_equal(scenario_event(s, &ev), ERR_STATE);
    assert_non_null(strstr(s->err.text, "takeover goes on"));
    scenario_free(s);
}

/* What does not fit is refused whole: the engine has taken nothing, and takes the right one after it. */
static void test_what_does_not_fit_is_refused(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");
    struct handover_fold *f = NULL;
    const struct handover *state_now = NULL;
    struct handover bad;
    struct handover_op op;
    struct engine *e = NULL;
    struct command_list out = { 0 };
    struct event ev = { .type = EV_HANDOVER, .at = START_MS, .node = IX_NONE, .cluster = IX_NONE };

    (void)state;
    scenario_start(s);
    check_ok(handover_fold_new(s->plan, &f, &s->err), &s->err);
    check_ok(handover_view(f, s->engine, &s->err), &s->err);
    check_ok(handover_fold_end(f, &state_now, &s->err), &s->err);
    check_ok(engine_new(s->plan, &e, &s->err), &s->err);
    ev.u.handover.run = "r1";
    ev.u.handover.plan_hash = s->plan->hash;
    ev.u.handover.controller = "00000000000000000000000000000003";
    ev.u.handover.revision = ENGINE_REVISION;
    ev.u.handover.epoch = 9;
    ev.u.handover.state = &bad;
    op = (struct handover_op){ .id = "r1/HV01/1/move_vm:x/1",
                               .args = "{}",
                               .precondition = "",
                               .action = ACT_MOVE_VM,
                               .vm = "x",
                               .receiver = IX_NONE };

    bad = *state_now;
    bad.wave = 99;
    assert_int_equal(engine_step(e, &ev, &out, &s->err), ERR_INVALID);
    bad = *state_now;
    bad.state = RUN_APPROVED;
    assert_int_equal(engine_step(e, &ev, &out, &s->err), ERR_INVALID);
    bad = *state_now;
    bad.ops = &op;
    bad.n_ops = 1;
    assert_int_equal(engine_step(e, &ev, &out, &s->err), ERR_INVALID);
    assert_non_null(strstr(s->err.text, "does not fit the plan"));
    bad = *state_now;
    bad.log.epoch = 9;
    assert_int_equal(engine_step(e, &ev, &out, &s->err), ERR_STATE);
    bad = *state_now;
    ev.u.handover.revision = ENGINE_REVISION + 1;
    assert_int_equal(engine_step(e, &ev, &out, &s->err), ERR_INVALID);
    assert_int_equal(out.n, 0);
    ev.u.handover.revision = ENGINE_REVISION;
    assert_int_equal(engine_step(e, &ev, &out, &s->err), 0);
    command_list_clear(&out);
    engine_free(e);
    handover_fold_free(f);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_each_event),
        cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_a_pause_that_others_ended_since),
        cmocka_unit_test(test_an_abort_goes_on),
        cmocka_unit_test(test_a_pause_holds_on),
        cmocka_unit_test(test_a_way_back_waits_for_a_person),
        cmocka_unit_test(test_a_way_back_only_of_what_is_patched),
        cmocka_unit_test(test_a_lost_baseline_is_not_a_failure),
        cmocka_unit_test(test_a_plain_start_is_refused),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
