/* A verb that is not possible now changes nothing and says what is; each reason there is, in its words. And the few verbs
 * that are taken in a state of their own. */
#include "orchestrator/core/engine_state.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":3,\"attempts_max\":2}"
#define MANUAL ",\"gates\":[{\"type\":\"manual\",\"when\":\"after\"}]"
#define SILENT                                                                                     \
    ",\"gates\":[{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":1," \
    "\"interval\":\"30s\",\"soak\":\"0s\"}]"
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"

/* One of the second wave. */
static const char *second_id(const struct scenario *s)
{
    return s->plan->inv->nodes[s->plan->nodes[s->plan->waves[1].nodes[0]].node].id;
}

static struct scenario *begin(const char *more)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", more);

    scenario_start(s);
    return s;
}

static void refused_with(struct scenario *s, enum verb verb, const char *node, const char *why)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];

    engine_hash(s->engine, before);
    assert_int_equal(scenario_verb(s, verb, node), ERR_STATE);
    if (strstr(s->err.text, why) == NULL)
        fail_msg("%s: `%s`", verb_name(verb), s->err.text);
    engine_hash(s->engine, after);
    assert_string_equal(before, after);
}

static void test_while_running(void **state)
{
    struct scenario *s = begin(BUDGET);

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    refused_with(s, VERB_PROMOTE, NULL, "the run is running; pause and abort are possible");
    refused_with(s, VERB_RESUME, NULL, "the run is running; pause and abort are possible");
    refused_with(s, VERB_RETRY, scenario_first_id(s), "is draining: only a node that was set aside");
    refused_with(s, VERB_RETURN, scenario_first_id(s), "is draining: only a node that is stuck is put back");
    refused_with(s, VERB_ROLLBACK, NULL, "rollback is not possible: ");
    check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    refused_with(s, VERB_ABORT, NULL, "it is under way; abort --force closes the run as it is");
    refused_with(s, VERB_PAUSE, NULL, "pause and abort are possible");
    refused_with(s, VERB_RETRY, scenario_first_id(s), "retry is not possible");
    scenario_run(s);
    check_run(s, RUN_ABORTED);
    refused_with(s, VERB_ABORT, NULL, "rollback and return are possible");
    refused_with(s, VERB_ABORT_FORCE, NULL, "rollback and return are possible");
    refused_with(s, VERB_RETRY, scenario_first_id(s), "rollback and return are possible");
    refused_with(s, VERB_SET_ASIDE, scenario_first_id(s), "is returned: there is nothing to set aside");
    scenario_free(s);
}

static void test_while_paused(void **state)
{
    struct scenario *s = begin(BUDGET);

    (void)state;
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    refused_with(s, VERB_PROMOTE, NULL, "because paused by an operator: tester; resume leads on");
    scenario_free(s);
}

/* Held for more deviations than the plan allows, or by a rehearsal that found no way back. */
static void test_while_held_for(void **state)
{
    static const struct {
        const char *policy, *action, *code;
        enum verb verb;
        const char *why;
    } rows[] = {
        { "\"deviations_max\":0", "move_vm", "refused", VERB_PROMOTE, "deviations from the plan" },
        { "\"rehearse\":true", "uninstall", "not_removable", VERB_RESUME, "not removable" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char policy[96];
        struct scenario *s;
        struct fault *f;

        snprintf(policy, sizeof policy, ",\"policy\":{%s}", rows[i].policy);
        s = begin(policy);
        f = scenario_fault(s, NULL, rows[i].action, rows[i].code);
        f->outcome = OUTCOME_REFUSED;
        f->no_effect = true;
        scenario_run(s);
        check_run(s, RUN_HOLDING);
        assert_non_null(strstr(engine_run(s->engine).hold_reason, rows[i].why));
        refused_with(s, rows[i].verb, NULL,
                     rows[i].verb == VERB_PROMOTE ? "; resume leads on" : "; promote leads on");
        check_ok(scenario_verb(s, rows[i].verb == VERB_PROMOTE ? VERB_RESUME : VERB_PROMOTE, NULL), &s->err);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        scenario_free(s);
    }
}

static void test_while_a_gate_waits_for_a_person(void **state)
{
    struct scenario *s = begin(MANUAL);

    (void)state;
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    refused_with(s, VERB_RESUME, NULL, "promote leads on");
    refused_with(s, VERB_PAUSE, NULL, "promote leads on");
    refused_with(s, VERB_SET_ASIDE, scenario_first_id(s), "is done: there is nothing to set aside");
    refused_with(s, VERB_RETRY, scenario_first_id(s), "is done: only a node that was set aside");
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    scenario_run(s);
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

/* An unknown gate is accepted by a person with a ticket who says so, by nobody with less. */
static void test_accepting_an_unknown_gate(void **state)
{
    static const struct {
        bool accept;
        const char *person, *ticket;
        int rc;
    } cases[] = { { false, "anna", "CHG2", ERR_STATE },
                  { true, NULL, "CHG2", ERR_STATE },
                  { true, "anna", NULL, ERR_STATE },
                  { true, "anna", "CHG2", 0 } };
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", SILENT);

    (void)state;
    s->meddle = backup_silence;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    for (unsigned i = 0; i < TABLE_LEN(cases); i++) {
        struct event ev = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };

        ev.u.verb.verb = VERB_PROMOTE;
        ev.u.verb.accept_unknown = cases[i].accept;
        ev.u.verb.person = cases[i].person;
        ev.u.verb.ticket = cases[i].ticket;
        assert_int_equal(scenario_event(s, &ev), cases[i].rc);
        if (cases[i].rc != 0)
            assert_non_null(strstr(s->err.text, "promote needs --accept-unknown with person and ticket"));
    }
    check_run(s, RUN_RUNNING);
    assert_non_null(strstr(buf_text(&s->notes), "promoted by anna, CHG2: "));
    scenario_free(s);
}

/* A node's step failed: it is tried again within its wave, and only so often. */
static void test_retry(void **state)
{
    struct scenario *s = begin(BUDGET MANUAL);
    struct fault *f = scenario_fault(s, NULL, "install", "failed");

    (void)state;
    f->times = 9;
    refused_with(s, VERB_RETRY, second_id(s), "is pending: only a node that was set aside");
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    check_ok(scenario_verb(s, VERB_RETRY, scenario_first_id(s)), &s->err);
    assert_int_equal(engine_run(s->engine).failures, 0);
    scenario_run(s);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    refused_with(s, VERB_RETRY, scenario_first_id(s), "had its 2 attempts (I19)");
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    refused_with(s, VERB_RETRY, scenario_first_id(s), "the wave of");
    scenario_free(s);
}

/* Before its turn a node is set aside at once; out of reach, it is stuck, and where its BMC is stands there. */
static void test_set_aside(void **state)
{
    struct scenario *s = begin(BUDGET);
    struct inventory *inv = (struct inventory *)(uintptr_t)s->plan->inv;

    (void)state;
    inv->nodes[scenario_first(s)].bmc = "10.0.0.9";
    check_ok(scenario_verb(s, VERB_SET_ASIDE, second_id(s)), &s->err);
    check_end(s, second_id(s), NODE_SET_ASIDE);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    backend_plan_cut(s->world, scenario_first(s), TIME_NEVER);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    refused_with(s, VERB_PROMOTE, NULL, "decide leads on");
    check_ok(scenario_verb(s, VERB_SET_ASIDE, scenario_first_id(s)), &s->err);
    check_end(s, scenario_first_id(s), NODE_STUCK);
    assert_string_equal(scenario_node(s, scenario_first_id(s)).reason,
                        "set aside by an operator while its state was unknown; BMC 10.0.0.9");
    scenario_free(s);
}

static bool nobody_can_tell;

static void cannot_tell(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause != CMD_OP_PROBE || !nobody_can_tell)
        return;
    a->ev->u.op_result.record.state = OP_UNKNOWN;
    a->ev->u.op_result.record.outcome = OUTCOME_NONE;
    a->ev->u.op_result.record.witness = WITNESS_CANNOT_TELL;
}

/* What nobody could tell is asked for again on resume. */
static void test_resume_asks_again(void **state)
{
    struct scenario *s = begin(BUDGET);

    (void)state;
    scenario_fault(s, NULL, "install", NULL)->silent = true;
    s->meddle = cannot_tell;
    nobody_can_tell = true;
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    refused_with(s, VERB_PROMOTE, NULL, "decide leads on");
    nobody_can_tell = false;
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    assert_non_null(strstr(s->kept.items[s->kept.n - 1].commands, "\"op_probe\""));
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
    scenario_free(s);
}

/* A gate before the wave that had no answer is asked again on resume, and nothing has been drained meanwhile. */
static void test_resume_asks_a_gate_before_the_wave_again(void **state)
{
    struct scenario *s =
        begin(",\"gates\":[{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"before\","
              "\"samples\":1,\"interval\":\"30s\",\"soak\":\"0s\"}]");

    (void)state;
    s->meddle = backup_silence;
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_int_equal(scenario_node(s, scenario_first_id(s)).phase, NODE_PENDING);
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_HOLDING); /* silent still */
    s->meddle = NULL;
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_replays(s);
    scenario_free(s);
}

/* All nodes are through and the cluster's settings are being put back: there is nothing left to abort. */
static void test_abort_while_settings_go_back(void **state)
{
    struct scenario *s = begin(BUDGET);

    (void)state;
    while (!s->engine->closing)
        assert_true(scenario_step(s));
    check_run(s, RUN_RUNNING);
    assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->n_nodes);
    refused_with(s, VERB_ABORT, NULL, "it ends as soon as the cluster settings are back");
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    scenario_free(s);
}

/* A person decides on an op by its id or on the node's only one, and not on what the node itself says still runs. */
static void test_decide(void **state)
{
    struct scenario *s = begin(BUDGET);
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };
    struct event decide = { .type = EV_VERB, .node = scenario_first(s), .cluster = IX_NONE };
    char op[128];

    (void)state;
    scenario_fault(s, NULL, "install", NULL)->silent = true;
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    snprintf(op, sizeof op, "%s", engine_op_open(s->engine, 0).op);
    decide.u.verb.verb = VERB_DECIDE;
    decide.u.verb.decision = WITNESS_SAYS_DONE;
    for (unsigned i = 0; i < 4;
         i++) { /* at work, and nobody doubts it; then in doubt, but named is none of its own */
        decide.u.verb.op = i % 2 == 0 ? "r1/nobody/1/install/1" : i < 2 ? op : "r1/n00-01/2/install/1";
        assert_int_equal(scenario_event(s, &decide), ERR_STATE);
        assert_non_null(strstr(s->err.text, "has no operation whose outcome is unknown"));
        if (i != 1)
            continue;
        ev.u.op_result.record =
            (struct op_record){ .op = op, .action = "install", .state = OP_UNKNOWN, .boot_id = "b" };
        check_ok(scenario_event(s, &ev), &s->err);
    }
    ev = decide;
    ev.u.verb.op = op;
    ev.u.verb.decision = WITNESS_SAYS_RUNNING;
    assert_int_equal(scenario_event(s, &ev), ERR_INVALID);
    assert_string_equal(s->err.text, "decide: done or not_done");
    ev.u.verb.decision = WITNESS_SAYS_DONE;
    check_ok(scenario_event(s, &ev), &s->err);
    assert_non_null(strstr(buf_text(&s->notes), "/install/1: done, says an operator"));
    assert_int_equal(scenario_node(s, scenario_first_id(s)).phase, NODE_REBOOTING);
    scenario_free(s);
}

/* The approval is over: nobody rolls back by it. Rolled back once, there is nothing more to roll back. */
static void test_rollback(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", WAIVED);
    struct event ev = { .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };

    (void)state;
    ev.u.run_start.run = "r1";
    ev.u.run_start.plan_hash = s->plan->hash;
    ev.u.run_start.person = "tester";
    ev.u.run_start.controller = "00000000000000000000000000000001";
    ev.u.run_start.revision = ENGINE_REVISION;
    ev.u.run_start.epoch = 1;
    ev.u.run_start.approval_expires = START_MS + 7 * DAY_MS;
    check_ok(scenario_event(s, &ev), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    s->now = START_MS + 7 * DAY_MS;
    refused_with(s, VERB_ROLLBACK, NULL, "the approval has expired");
    s->now--;
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    refused_with(s, VERB_ROLLBACK, NULL, "rollback is not possible: the run is rolling_back");
    refused_with(s, VERB_RETRY, second_id(s), "retry is not possible: the run is rolling_back");
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    refused_with(s, VERB_RETRY, second_id(s), "retry is not possible: the run is holding");
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_running),
        cmocka_unit_test(test_while_paused),
        cmocka_unit_test(test_while_held_for),
        cmocka_unit_test(test_while_a_gate_waits_for_a_person),
        cmocka_unit_test(test_accepting_an_unknown_gate),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_set_aside),
        cmocka_unit_test(test_resume_asks_again),
        cmocka_unit_test(test_resume_asks_a_gate_before_the_wave_again),
        cmocka_unit_test(test_abort_while_settings_go_back),
        cmocka_unit_test(test_decide),
        cmocka_unit_test(test_rollback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
