/* An installation that did not succeed may be in all the same: the node is asked, and what it says is what it ends as, what a rollback
 * takes out, and what the run's end names (I12, I17, O10, O14, O16). */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define MORE                                                                                           \
    ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2,\"rollback\":\"run\"},\"waivers\":[{" \
    "\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]"

static uint32_t effects_of_first(const struct scenario *s, const char *action)
{
    return backend_plan_effects(s->world, scenario_first(s), action);
}

/* The first node's installation ends like this, having taken hold or not. */
static struct scenario *install_says(const char *code, enum op_outcome outcome, bool took_hold)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "install", code);

    f->outcome = outcome;
    f->no_effect = !took_hold;
    return s;
}

static void rolled_back(struct scenario *s)
{
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_goes_on(s);
}

/* It says that it failed, and is in: set aside, and taken out by a rollback, over a takeover by another revision too. */
static void test_failed_and_in(void **state)
{
    (void)state;
    for (int upgrade = 0; upgrade < 2; upgrade++) {
        struct scenario *s = install_says("failed", OUTCOME_FAILED, true);

        scenario_start(s);
        if (upgrade == 1) {
            scenario_until(s, scenario_first_id(s), NODE_VERIFYING);
            scenario_upgrade(s);
        }
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
        assert_non_null(
            strstr(scenario_node(s, scenario_first_id(s)).reason, "still pending; install: failed"));
        rolled_back(s);
        check_end(s, scenario_first_id(s), NODE_ROLLED_BACK);
        assert_null(strstr(engine_run(s->engine).end_text, scenario_first_id(s)));
        assert_int_equal(effects_of_first(s, "uninstall"), 1);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It failed, and is not in: a rollback has nothing to take out there, and drains nothing. */
static void test_failed_and_not_in(void **state)
{
    struct scenario *s = install_says("failed", OUTCOME_FAILED, false);

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    rolled_back(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    assert_null(strstr(engine_run(s->engine).end_text, scenario_first_id(s)));
    assert_int_equal(effects_of_first(s, "uninstall"), 0);
    assert_int_equal(effects_of_first(s, "pause"), 1);
    scenario_replays(s);
    scenario_free(s);
}

static void another_is_pending(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->ev->type == EV_OBSERVED && a->ev->u.observed.what == OBSERVE_VERIFY)
        a->ev->u.observed.verify.pending = true;
}

/* Told as made, and it was not: the node has booted, does not have it, and something waits for one more boot. A rollback has nothing to
 * take out there, and drains nothing; another revision that takes over knows it too. */
static void test_told_as_made_and_not_in(void **state)
{
    (void)state;
    for (int upgrade = 0; upgrade < 2; upgrade++) {
        struct scenario *s = install_says(NULL, OUTCOME_OK, false);
        const char *id = scenario_first_id(s);

        s->meddle = another_is_pending;
        scenario_start(s);
        scenario_until(s, id, upgrade == 1 ? NODE_VERIFYING : NODE_REBOOTING);
        if (upgrade == 1) {
            scenario_until(s, id, NODE_DRAINING); /* for that boot */
            scenario_upgrade(s);
        }
        rolled_back(s);
        check_run(s, RUN_ROLLED_BACK);
        check_end(s, id, NODE_SET_ASIDE);
        assert_int_equal(effects_of_first(s, "uninstall"), 0);
        assert_int_equal(effects_of_first(s, "pause"), 1);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The node's journal is lost: of the installation it has seen nothing. */
static void never_saw(struct scenario *s, struct plan_answer *a)
{
    struct op_record *rec = &a->ev->u.op_result.record;
    const char *op = rec->op;

    if (a->node != scenario_first(s) || s->faults[0].hits == 0)
        return;
    if (a->ev->type == EV_NODE_CLAIMED)
        a->ev->u.claimed.n_ops = 0;
    else if (a->ev->type == EV_OP_RESULT && a->cause != CMD_OP_START && strstr(op, "/install/") != NULL)
        *rec = (struct op_record){ .op = op, .action = "install" };
}

/* Done, and neither its end heard nor its journal kept; then the run is aborted, or another revision takes over. */
static struct scenario *journal_lost_and(bool upgrade, bool took_hold)
{
    struct scenario *s = install_says(NULL, OUTCOME_OK, took_hold);

    s->faults[0].silent = true;
    s->meddle = never_saw;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    while (s->faults[0].hits == 0)
        assert_true(scenario_step(s));
    if (upgrade)
        scenario_upgrade(s);
    else
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    return s;
}

/* It is looked for: with the package in it the node did not come back untouched. */
static void test_journal_lost_and_in(void **state)
{
    (void)state;
    for (int upgrade = 0; upgrade < 2; upgrade++) {
        struct scenario *s = journal_lost_and(upgrade == 1, true);

        scenario_run(s);
        check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
        rolled_back(s);
        check_end(s, scenario_first_id(s), NODE_ROLLED_BACK);
        assert_int_equal(effects_of_first(s, "uninstall"), 1);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It never arrived: back untouched, and after a takeover it has its turn. */
static void test_never_arrived(void **state)
{
    (void)state;
    for (int upgrade = 0; upgrade < 2; upgrade++) {
        struct scenario *s = journal_lost_and(upgrade == 1, false);

        scenario_run(s);
        check_end(s, scenario_first_id(s), upgrade == 1 ? NODE_DONE : NODE_RETURNED);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Installed, and stuck on its way home: the rollback cannot take it out, halts, and says where it was left. */
static void test_stuck_with_it_in(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "resume", "failed");

    (void)state;
    f->times = 9;
    scenario_start(s);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err); /* nobody is sent back: that is its end */
    check_run(s, RUN_HALTED);
    assert_non_null(strstr(engine_run(s->engine).end_text, "not rolled back: "));
    assert_non_null(strstr(engine_run(s->engine).end_text, scenario_first_id(s)));
    scenario_replays(s);
    scenario_free(s);
}

/* It waits for its boot. */
static void pending_there(struct scenario *s, struct plan_answer *a)
{
    if (a->node == scenario_first(s) && a->ev->type == EV_OBSERVED &&
        a->ev->u.observed.what == OBSERVE_FACTS && s->faults[0].hits > 0)
        a->ev->u.observed.facts.pending_reboot = true;
}

/* Closed by force while it is being installed, or waits for its next attempt, and put back: nobody has asked the node whether it is
 * in. What is not is not drained for; what is goes out (I12, O16). */
static void test_closed_by_force_and_put_back(void **state)
{
    static const struct {
        const char *code;
        enum op_outcome outcome;
        bool waits; /* its end is heard */
        void (*meddle)(struct scenario *s, struct plan_answer *a);
        bool in;
    } rows[] = { { "failed", OUTCOME_FAILED, false, NULL, false },
                 { NULL, OUTCOME_OK, false, never_saw, false },
                 { "busy", OUTCOME_REFUSED, true, NULL, false },
                 { "failed", OUTCOME_FAILED, false, pending_there, true } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = install_says(rows[i].code, rows[i].outcome, rows[i].in);
        const char *id = scenario_first_id(s);

        s->faults[0].silent = !rows[i].waits;
        s->meddle = rows[i].meddle;
        scenario_start(s);
        scenario_until(s, id, NODE_INSTALLING);
        while (s->faults[0].hits == 0)
            assert_true(scenario_step(s));
        check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
        check_end(s, id, NODE_STUCK);
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        scenario_goes_on(s);
        check_end(s, id, NODE_SET_ASIDE);
        rolled_back(s);
        check_end(s, id, rows[i].in ? NODE_ROLLED_BACK : NODE_SET_ASIDE);
        assert_int_equal(strstr(scenario_node(s, id).reason, "nothing to take out") != NULL, !rows[i].in);
        assert_int_equal(effects_of_first(s, "pause"), rows[i].in ? 2 : 1);
        assert_int_equal(effects_of_first(s, "uninstall"), rows[i].in);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Its removal waits for one boot after the other. */
static void leaves_with_its_boot(struct scenario *s, struct plan_answer *a)
{
    if (a->node != scenario_first(s) || a->ev->type != EV_OBSERVED || effects_of_first(s, "uninstall") == 0)
        return;
    if (a->ev->u.observed.what == OBSERVE_FACTS)
        a->ev->u.observed.facts.pending_reboot = true;
    if (a->ev->u.observed.what != OBSERVE_VERIFY)
        return;
    a->ev->u.observed.verify.package = PACKAGE_UNINSTALL_PENDING;
    a->ev->u.observed.verify.pending = true;
}

/* Given up between two of them, and put back: not drained for once more (I12), nor told as it was before (I17). */
static void test_removed_and_given_up(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);
    const char *id = scenario_first_id(s);

    (void)state;
    s->meddle = leaves_with_its_boot;
    scenario_start(s);
    scenario_until(s, id, NODE_ENDED);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_until(s, id, NODE_VERIFYING);
    scenario_until(s, id, NODE_DRAINING);
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_end(s, id, NODE_STUCK);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_goes_on(s);
    check_end(s, id, NODE_SET_ASIDE);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err); /* nobody is sent back: that is its end */
    check_run(s, RUN_ROLLED_BACK);
    check_end(s, id, NODE_SET_ASIDE);
    assert_int_equal(effects_of_first(s, "pause"), 2);
    assert_int_equal(effects_of_first(s, "uninstall"), 1);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* After its boot the node is at the target, and its verification comes to nothing. */
static void never_idle(struct scenario *s, struct plan_answer *a)
{
    if (a->node == scenario_first(s) && a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_VERIFY &&
        engine_node(s->engine, a->node).attempt == 1)
        a->ev->u.observed.verify.servicing_idle = false;
}

/* Set aside with our package in it, at the target, and tried again. */
static struct scenario *tried_again(void)
{
    struct scenario *s =
        scenario_new(&words, "[1,\"100%\"]",
                     ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2},"
                     "\"gates\":[{\"name\":\"people\",\"type\":\"manual\",\"when\":\"after\"}]");

    s->meddle = never_idle;
    scenario_start(s);
    while (scenario_node(s, scenario_first_id(s)).end == NODE_END_NONE)
        assert_true(scenario_step(s));
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    check_ok(scenario_verb(s, VERB_RETRY, scenario_first_id(s)), &s->err);
    return s;
}

/* It was we who put it in, so it is not compliant: it goes the whole way once more, and is verified (I17). */
static void test_tried_again(void **state)
{
    struct scenario *s = tried_again();

    (void)state;
    while (scenario_node(s, scenario_first_id(s)).end == NODE_END_NONE)
        assert_true(scenario_step(s));
    check_end(s, scenario_first_id(s), NODE_DONE);
    assert_int_equal(effects_of_first(s, "pause"), 2);
    scenario_replays(s);
    scenario_free(s);
}

/* Stopped before that began: it is set aside as before, not "not started". */
static void test_tried_again_and_stopped(void **state)
{
    struct scenario *s = tried_again();

    (void)state;
    check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    assert_int_equal(effects_of_first(s, "pause"), 1);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_and_in),
        cmocka_unit_test(test_failed_and_not_in),
        cmocka_unit_test(test_told_as_made_and_not_in),
        cmocka_unit_test(test_journal_lost_and_in),
        cmocka_unit_test(test_never_arrived),
        cmocka_unit_test(test_stuck_with_it_in),
        cmocka_unit_test(test_closed_by_force_and_put_back),
        cmocka_unit_test(test_removed_and_given_up),
        cmocka_unit_test(test_tried_again),
        cmocka_unit_test(test_tried_again_and_stopped),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
