/* Cluster-wide settings belong to the run: read once, set once before the first drain, put back once, whatever the run
 * comes to; and nobody else's change is overwritten unseen (O18, O19). */
#include "tests/scenarios/scenario.h"

#include "orchestrator/core/backend_plan_world.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BACKUP                                                                                     \
    ",\"gates\":[{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":2," \
    "\"interval\":\"30s\",\"soak\":\"1m\",\"on_fail\":\"rollback\"}]"
#define MANUAL ",\"gates\":[{\"name\":\"word\",\"type\":\"manual\",\"when\":\"after\"}]"
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"

static uint32_t balancer(const struct scenario *s, uint32_t cluster)
{
    return *backend_plan_setting(s->world, cluster, SETTING_BALANCER);
}

static uint32_t times_set(const struct scenario *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        n += backend_plan_effects(s->world, i, "cluster_setting");
    return n;
}

static bool said(const struct scenario *s, const char *what)
{
    return s->notes.len > 0 && strstr(s->notes.data, what) != NULL;
}

static bool starts(const struct plan_answer *a, const char *action)
{
    return a->cause == CMD_OP_START && strcmp(a->action, action) == 0;
}

static uint32_t expected_when_out;

/* Whatever is done to a node is done while its cluster's balancer rests. */
static void look_at_the_balancer(struct scenario *s, struct plan_answer *a)
{
    if (starts(a, "pause") || starts(a, "move_vm") || starts(a, "install") || starts(a, "resume"))
        assert_int_equal(balancer(s, s->plan->inv->nodes[a->node].cluster), expected_when_out);
}

static void test_set_before_the_first_drain_and_put_back(void **state)
{
    struct scenario *s = scenario_new(NULL, "[1,2,\"100%\"]", NULL);
    struct buf plan = BUF_INIT;

    (void)state;
    plan_write(&plan, s->plan, false);
    assert_non_null(strstr(buf_text(&plan), "\"cluster_settings\":[{\"cluster\":"));
    assert_non_null(strstr(buf_text(&plan), "\"name\":\"auto_balancer_mode\",\"value\":0}"));
    s->meddle = look_at_the_balancer;
    expected_when_out = 0;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    assert_int_equal(times_set(s), 4); /* two clusters, there and back */
    assert_true(said(s, "auto_balancer_mode is 0 for the time of the run, was 2"));
    assert_true(said(s, "auto_balancer_mode is back at 2"));
    scenario_truth(s);
    scenario_replays(s);
    buf_clear(&plan);
    scenario_free(s);
}

static void test_kept_when_the_policy_says_so(void **state)
{
    struct scenario *s = scenario_new(NULL, "[\"100%\"]", ",\"policy\":{\"balancer\":\"keep\"}");
    struct buf plan = BUF_INIT;

    (void)state;
    plan_write(&plan, s->plan, false);
    assert_non_null(strstr(buf_text(&plan), "\"cluster_settings\":[]"));
    s->meddle = look_at_the_balancer;
    expected_when_out = 2;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(times_set(s), 0);
    buf_clear(&plan);
    scenario_free(s);
}

/* O19: more migrations at once only because the plan says so. */
static void test_others_as_the_policy_asks(void **state)
{
    struct scenario *s = scenario_new(
        &words, "[\"100%\"]", ",\"policy\":{\"max_parallel_migrations\":5,\"move_type_threshold\":3000}");

    (void)state;
    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id,
                   NODE_STOPPING_VMMS);
    assert_int_equal(*backend_plan_setting(s->world, 0, SETTING_MIGRATIONS), 5);
    assert_int_equal(*backend_plan_setting(s->world, 0, SETTING_MOVE_TYPE), 3000);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(times_set(s), 6);
    scenario_truth(s);
    scenario_free(s);
}

/* Off already: nothing to change, nothing to put back. */
static void test_found_as_wanted(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");

    (void)state;
    *backend_plan_setting(s->world, 0, SETTING_BALANCER) = 0;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(times_set(s), 0);
    assert_int_equal(balancer(s, 0), 0);
    scenario_free(s);
}

static void backup_fails(struct scenario *s, struct plan_answer *a)
{
    static struct event_7001 e = { .service = "BackupExecAgent", .depends_on = "RpcSs" };

    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_BACKUP ||
        backend_plan_effects(s->world, a->node, "reboot") == 0)
        return;
    e.at = a->at;
    a->ev->u.observed.backup.events = &e;
    a->ev->u.observed.backup.n_events = 1;
}

/* Halted, rolled back, aborted at every phase: put back each time. */
static void test_put_back_on_every_end(void **state)
{
    static const struct {
        const char *more;
        enum run_state comes_to;
    } rows[] = { { BACKUP, RUN_HALTED }, { BACKUP WAIVED, RUN_ROLLED_BACK } };

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", rows[i].more);

        s->meddle = backup_fails;
        scenario_start(s);
        scenario_run(s);
        check_run(s, rows[i].comes_to);
        assert_int_equal(times_set(s), 2);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
    for (int p = NODE_DRAINING; p < NODE_ENDED; p++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");

        if (p == NODE_REMOVING || p == NODE_EMPTIED || p == NODE_STORAGE_OUT || p == NODE_STORAGE_IN) {
            scenario_free(s);
            continue;
        }
        scenario_start(s);
        scenario_until(s, s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id,
                       (enum node_phase)p);
        assert_int_equal(balancer(s, 0), 0);
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        scenario_run(s);
        check_run(s, RUN_ABORTED);
        assert_int_equal(times_set(s), 2);
        scenario_truth(s);
        scenario_free(s);
    }
}

/* Rolled back after its end: set and put back once more. */
static void test_set_again_for_a_rollback_after_the_end(void **state)
{
    struct scenario *s = scenario_new(
        &words, "[\"100%\"]", ",\"policy\":{\"rollback\":\"run\",\"rollback_moves_per_vm\":9}" WAIVED);

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    s->runner.ended = false;
    s->meddle = look_at_the_balancer;
    expected_when_out = 0;
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    assert_int_equal(times_set(s), 4);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Somebody turns it on again while a node is out: theirs from then on. */
static void test_somebody_changes_it_in_mid_run(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");

    (void)state;
    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id,
                   NODE_INSTALLING);
    *backend_plan_setting(s->world, 0, SETTING_BALANCER) = 1;
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_int_equal(balancer(s, 0), 1);
    assert_int_equal(times_set(s), 1);
    assert_true(
        said(s, "auto_balancer_mode is 1, not 0 as this run set it (before: 2): somebody changed it"));
    scenario_replays(s);
    scenario_free(s);
}

static uint32_t changes_seen;

/* Changed in the moment between our look and our hand: the first op finds something else. */
static void change_under_our_hand(struct scenario *s, struct plan_answer *a)
{
    if (starts(a, "cluster_setting") && changes_seen++ == 0)
        *backend_plan_setting(s->world, 0, SETTING_BALANCER) = 1;
}

static void test_changed_between_look_and_hand(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");

    (void)state;
    changes_seen = 0;
    s->meddle = change_under_our_hand;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_true(said(s, "auto_balancer_mode is 0 for the time of the run, was 1")); /* looked at again */
    assert_int_equal(balancer(s, 0), 1);
    scenario_replays(s);
    scenario_free(s);
}

static void change_before_it_is_put_back(struct scenario *s, struct plan_answer *a)
{
    if (starts(a, "cluster_setting") && changes_seen++ == 1)
        *backend_plan_setting(s->world, 0, SETTING_BALANCER) = 1;
}

static void test_changed_before_it_is_put_back(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");

    (void)state;
    changes_seen = 0;
    s->meddle = change_before_it_is_put_back;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(balancer(s, 0), 1); /* not overwritten */
    assert_true(said(s, "somebody changed it"));
    scenario_replays(s);
    scenario_free(s);
}

static struct {
    uint32_t after; /* ops of settings that go through before */
    bool done;      /* it happens all the same */
} loss;

/* The node that was asked to set it is gone for good, with or without the effect. */
static void lose_the_voice(struct scenario *s, struct plan_answer *a)
{
    if (!starts(a, "cluster_setting") || changes_seen++ != loss.after)
        return;
    a->effect = loss.done;
    a->silent = true;
    backend_plan_cut(s->world, a->node, TIME_NEVER);
}

/* The value is the op's own witness, and the other nodes tell it: the run neither stands still nor does it twice. */
static void test_the_asked_node_is_lost(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct fleet_words five = words;
        struct scenario *s;

        five.nodes = 5;
        s = scenario_new(&five, "[\"100%\"]", ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2}");
        changes_seen = 0;
        loss.after = i / 2;
        loss.done = i % 2 == 0;
        s->meddle = lose_the_voice;
        scenario_start(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(balancer(s, 0), 2);
        assert_int_equal(times_set(s), i == 1 ? 0 : 2);
        if (i >= 2) /* in a small cluster nothing else may go out while one is gone (C9) */
            assert_int_equal(scenario_ended(s, NODE_DONE), 5);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It cannot be set: no node of the cluster goes out, and it is said why. */
static void test_refused(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");
    struct fault *f = scenario_fault(s, NULL, "cluster_setting", "access");

    (void)state;
    f->times = 9;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_NOT_STARTED), 4);
    assert_non_null(
        strstr(engine_node(s->engine, 0).reason, "O18: auto_balancer_mode cannot be set: access"));
    assert_int_equal(backend_plan_effects(s->world, 0, "pause"), 0);
    scenario_truth(s);
    scenario_free(s);
}

/* Somebody has mended what refused it: `retry` of a node, or a rollback that is said once more, asks again. */
static void test_refused_and_asked_again(void **state)
{
    (void)state;
    for (unsigned back = 0; back < 2; back++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", back ? WAIVED : MANUAL);
        struct fault *f = scenario_fault(s, NULL, "cluster_setting", "access");

        f->skip = back ? 2 : 0;
        f->times = 2;
        scenario_start(s);
        scenario_run(s);
        if (back) {
            check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
            scenario_goes_on(s);
            check_run(s, RUN_HALTED);
            check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
            scenario_goes_on(s);
            check_run(s, RUN_ROLLED_BACK);
        } else {
            check_run(s, RUN_HOLDING);
            check_end(s, scenario_first_id(s), NODE_NOT_STARTED);
            check_ok(scenario_verb(s, VERB_RETRY, scenario_first_id(s)), &s->err);
            scenario_goes_on(s);
            check_end(s, scenario_first_id(s), NODE_DONE);
        }
        scenario_replays(s);
        scenario_free(s);
    }
}

/* It cannot be put back: said, named in the end, not success; `return` tries again. */
static void test_left_and_put_back_by_return(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");
    struct fault *f = scenario_fault(s, NULL, "cluster_setting", "access");

    (void)state;
    f->skip = 1;
    f->times = 2;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(balancer(s, 0), 0);
    assert_true(engine_run(s->engine).unfinished);
    assert_non_null(strstr(engine_run(s->engine).end_text, "auto_balancer_mode (was 2)"));
    assert_true(said(s, "auto_balancer_mode is not put back to 2: access"));
    assert_false(engine_run(s->engine).puts_back);
    check_ok(scenario_verb(s, VERB_RETURN, s->plan->inv->nodes[0].id), &s->err);
    assert_true(engine_run(s->engine).puts_back); /* or `resume` would refuse to carry it out */
    scenario_goes_on(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(balancer(s, 0), 2);
    assert_false(engine_run(s->engine).unfinished);
    assert_false(engine_run(s->engine).puts_back);
    assert_int_equal(scenario_verb(s, VERB_RETURN, s->plan->inv->nodes[0].id), ERR_STATE);
    scenario_replays(s);
    scenario_free(s);
}

/* Closed by force: named, and `return` of the node puts it back with the node. */
static void test_closed_by_force(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");
    const char *id = s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id;

    (void)state;
    scenario_start(s);
    scenario_until(s, id, NODE_STOPPING_VMMS);
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_run(s, RUN_ABORTED);
    assert_non_null(strstr(engine_run(s->engine).end_text, "auto_balancer_mode (was 2)"));
    assert_int_equal(balancer(s, 0), 0);
    scenario_crash(s);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    scenario_goes_on(s);
    check_end(s, id, NODE_RETURNED);
    assert_int_equal(balancer(s, 0), 2);
    assert_int_equal(times_set(s), 2);
    scenario_replays(s);
    scenario_free(s);
}

static void lose_the_cluster(struct scenario *s, struct plan_answer *a)
{
    if (!starts(a, "cluster_setting") || changes_seen++ != 1)
        return;
    a->effect = false;
    a->silent = true;
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        backend_plan_cut(s->world, i, TIME_NEVER);
}

/* The whole cluster is out of reach at the end: the run ends all the same, and says what it left. */
static void test_nobody_answers_at_the_end(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");

    (void)state;
    changes_seen = 0;
    s->meddle = lose_the_cluster;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_true(said(s, "is not put back to 2: no node of the cluster answers"));
    assert_int_equal(balancer(s, 0), 0);
    scenario_replays(s);
    scenario_free(s);
}

/* The setting was being put back when the controller died, or was stopped. An hour later it is looked at, and not given up in the
 * first step. */
static void test_put_back_an_hour_later(void **state)
{
    struct event timeout = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };

    (void)state;
    for (unsigned dies = 0; dies < 2; dies++) {
        struct scenario *s = scenario_new(&words, "[\"100%\"]", "");

        scenario_start(s);
        while (strstr(scenario_commanded(s), "\"value\":2") == NULL)
            assert_true(scenario_step(s));
        s->world->now = s->now += HOUR_MS;
        if (dies)
            scenario_crash(s);
        else
            check_ok(scenario_event(s, &timeout), &s->err); /* the timers go first */
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(balancer(s, 0), 2);
        assert_false(engine_run(s->engine).unfinished);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Taken up again from an older copy of the log, which ends before anything was set: what the run had set is told. */
static void test_an_older_copy_never_set_it(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", "");

    (void)state;
    scenario_start(s);
    scenario_crash(s);
    *backend_plan_setting(s->world, 0, SETTING_BALANCER) = 0;
    check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_ABORTED);
    assert_int_equal(times_set(s), 0);
    assert_true(said(s, "auto_balancer_mode is 0 and this log, taken up again, does not know who set it"));
    scenario_replays(s);
    scenario_free(s);
}

/* As it is refused for the last time another log has set it. */
static void set_by_another(struct scenario *s, struct plan_answer *a)
{
    if (starts(a, "cluster_setting") && s->faults[0].hits == s->plan->rollout->policy.attempts_max)
        *backend_plan_setting(s->world, 0, SETTING_BALANCER) = 0;
}

/* The same of a copy that wanted to set it, and was refused: that it is set all the same is another log's doing. */
static void test_an_older_copy_could_not_set_it(void **state)
{
    struct scenario *s = scenario_new(&words, "[\"100%\"]", "");
    struct fault *f = scenario_fault(s, NULL, "cluster_setting", "found_other");

    (void)state;
    f->times = 9;
    scenario_start(s);
    scenario_crash(s);
    s->meddle = set_by_another;
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_NOT_STARTED), 4);
    assert_true(f->hits > 0);
    assert_int_equal(times_set(s), 0);
    assert_true(said(s, "auto_balancer_mode is 0 and this log, taken up again, does not know who set it"));
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_before_the_first_drain_and_put_back),
        cmocka_unit_test(test_kept_when_the_policy_says_so),
        cmocka_unit_test(test_others_as_the_policy_asks),
        cmocka_unit_test(test_found_as_wanted),
        cmocka_unit_test(test_put_back_on_every_end),
        cmocka_unit_test(test_set_again_for_a_rollback_after_the_end),
        cmocka_unit_test(test_somebody_changes_it_in_mid_run),
        cmocka_unit_test(test_changed_between_look_and_hand),
        cmocka_unit_test(test_changed_before_it_is_put_back),
        cmocka_unit_test(test_the_asked_node_is_lost),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_and_asked_again),
        cmocka_unit_test(test_left_and_put_back_by_return),
        cmocka_unit_test(test_closed_by_force),
        cmocka_unit_test(test_nobody_answers_at_the_end),
        cmocka_unit_test(test_put_back_an_hour_later),
        cmocka_unit_test(test_an_older_copy_never_set_it),
        cmocka_unit_test(test_an_older_copy_could_not_set_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
