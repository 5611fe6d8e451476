/* What the board signed besides the waves: rehearsal, deviations, proofs, caps. Windows and freezes have test_windows.c. */
#include "orchestrator/core/engine_state.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

/* O9: what goes to the node is the target with its listed checkpoint packages, by their digests. */
static void test_checkpoints_reach_the_node(void **state)
{
    static const struct checkpoint checkpoints[] = { { "c1.msu", "bb", NULL, 7 },
                                                     { "c2.msu", "cc", NULL, 8 } };
    struct scenario *s = scenario_new(NULL, NULL, "");
    uint32_t installs = 0;

    (void)state;
    s->plan->own.rollout->patch.checkpoints = checkpoints;
    s->plan->own.rollout->patch.n_checkpoints = 2;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    for (uint32_t i = 0; i < s->kept.n; i++)
        installs +=
            strstr(
                s->kept.items[i].commands,
                "\"ubr\":4066,\"checkpoints\":[{\"name\":\"c1.msu\",\"sha256\":\"bb\"},{\"name\":\"c2.msu\","
                "\"sha256\":\"cc\"}]},\"tool\":\"dism\"") != NULL;
    assert_int_equal(installs, 8);
    scenario_replays(s);
    scenario_free(s);
}

/* How many of these effects go to a node with the proof that they were decided on, to be looked at again there. */
static uint32_t guarded(const struct scenario *s, const char *action, const char *proof)
{
    char start[64];
    uint32_t n = 0;

    snprintf(start, sizeof start, "\"action\":\"%s\"", action);
    for (uint32_t i = 0; i < s->kept.n; i++) {
        const char *at = strstr(s->kept.items[i].commands, start);

        n +=
            at != NULL && strstr(at, "\"precondition\":{\"boot_id\":\"") != NULL && strstr(at, proof) != NULL;
    }
    return n;
}

/* C.4, O2: the effect happens on the node that was looked at, and on an empty one, or not at all. */
static void test_proofs_reach_the_node(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, "");

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(guarded(s, "stop_vmms", "\"empty\":\"vmms\",\"parked\":[]"), 8);
    assert_int_equal(guarded(s, "install", "\"empty\":\"processes\",\"parked\":[],\"build\":\"26100.4061\""),
                     8);
    assert_int_equal(guarded(s, "reboot", "\"empty\":\"processes\",\"parked\":[]"), 8);
    scenario_free(s);
}

/* O14: before any second node the first is installed, removed and installed again; then automatic rollback is allowed. */
static void test_rehearsal(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, ",\"policy\":{\"rehearse\":true,\"rollback\":\"run\"}");
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    assert_true(s->plan->nodes[s->plan->waves[0].nodes[0]].rehearse);
    scenario_start(s);
    while (engine_node(s->engine, first).phase != NODE_ENDED) {
        assert_true(scenario_step(s));
        for (uint32_t i = 0; i < 8; i++)
            if (i != first)
                assert_false(engine_node(s->engine, i).out);
    }
    if (engine_node(s->engine, first).life != 3 || backend_plan_effects(s->world, first, "install") != 2)
        fail_msg("%s %s\n%s", node_end_names[engine_node(s->engine, first).end],
                 engine_node(s->engine, first).reason, buf_text(&s->notes));
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 2);
    assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), 1);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err); /* proved: no waiver is needed */
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* The rehearsal is refused: patched and in service, the run holds for promote, and nothing is ever rolled back. */
static void test_rehearsal_refused(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, ",\"policy\":{\"rehearse\":true}");
    struct fault *f = scenario_fault(s, NULL, "uninstall", "not_removable");

    (void)state;
    f->outcome = OUTCOME_REFUSED;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_string_equal(engine_run(s->engine).hold_verb, "promote");
    assert_int_equal(scenario_ended(s, NODE_DONE), 1);
    assert_int_equal(scenario_verb(s, VERB_ROLLBACK, NULL), ERR_STATE);
    check_ok(scenario_verb(s, VERB_PROMOTE, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    scenario_replays(s);
    scenario_free(s);
}

static void paused_since(struct scenario *s, struct plan_answer *a)
{
    if (scenario_is_picture(a))
        scenario_shows_first(s, a, SEEN_PAUSED);
}

static void no_picture(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (scenario_is_picture(a))
        a->ev->u.observed.ok = false;
}

/* Each is old when it comes. */
static void slow_picture(struct scenario *s, struct plan_answer *a)
{
    static bool held;

    (void)s;
    if (!scenario_is_picture(a))
        return;
    held = !held;
    a->late_ms = held ? 3 * MINUTE_MS : 0;
}

/* Aborted hours after its first life, while the run holds: it is what a fresh picture says, or nobody vouches for it (I17). */
static void test_rehearsal_aborted_before_its_way_back(void **state)
{
    static const struct {
        void (*meddle)(struct scenario *s, struct plan_answer *a);
        bool s2d;
        enum node_end end;
    } rows[] = { { NULL, false, NODE_DONE },
                 { NULL, true, NODE_DONE },
                 { slow_picture, false, NODE_DONE },
                 { paused_since, false, NODE_SET_ASIDE },
                 { no_picture, false, NODE_SET_ASIDE } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        const struct fleet_words fleet = { .seed = 5,
                                           .clusters = 1,
                                           .nodes = 4,
                                           .vms = 2,
                                           .node_mib = 65536,
                                           .vm_mib_min = 2048,
                                           .vm_mib_max = 4096,
                                           .s2d = rows[i].s2d };
        struct scenario *s = scenario_new(&fleet, NULL, ",\"policy\":{\"rehearse\":true}");

        scenario_start(s);
        while (engine_node(s->engine, scenario_first(s)).life < 2)
            assert_true(scenario_step(s));
        check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
        scenario_while_holding(s);
        s->now += 3 * HOUR_MS;
        s->meddle = rows[i].meddle;
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        scenario_run(s);
        check_run(s, RUN_ABORTED);
        check_end(s, scenario_first_id(s), rows[i].end);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "pause"), 1);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Aborted between the second life and the third: the node was serviced and is as it was before, which is no `not started`. */
static void test_rehearsal_aborted_before_its_third_life(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, ",\"policy\":{\"rehearse\":true}");
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    scenario_start(s);
    while (engine_node(s->engine, first).life < 3)
        assert_true(scenario_step(s));
    check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_ABORTED);
    assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), 1);
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 1);
    assert_string_equal(node_end_names[engine_node(s->engine, first).end], node_end_names[NODE_ROLLED_BACK]);
    assert_int_equal(scenario_ended(s, NODE_NOT_STARTED), 7);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

static void witness_offline(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_CLUSTER)
        a->ev->u.observed.view.witness_online = false;
}

/* Its third life is refused for so long that it never comes (O20): the node is as it was before, which is what stands there. Tried
 * again, it is not given up by the first look, which shows what was the matter still; it is rehearsed anew, from its first life on. */
static void test_rehearsal_whose_third_life_never_comes(void **state)
{
    struct scenario *s =
        scenario_new(NULL, "[2,\"100%\"]", ",\"policy\":{\"rehearse\":true,\"attempts_max\":2}");
    uint32_t first = scenario_first(s);

    (void)state;
    scenario_start(s);
    while (engine_node(s->engine, first).life < 3)
        assert_true(scenario_step(s));
    s->meddle = witness_offline;
    while (engine_node(s->engine, first).phase != NODE_ENDED)
        assert_true(scenario_step(s));
    check_end(s, scenario_first_id(s), NODE_ROLLED_BACK);
    assert_non_null(strstr(scenario_node(s, scenario_first_id(s)).reason, "O20"));
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 1);
    s->meddle = NULL;
    check_ok(scenario_verb(s, VERB_RETRY, scenario_first_id(s)), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 3);
    assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), 2);
    assert_true(backend_plan_in_service(s->world, first));
    scenario_replays(s);
    scenario_free(s);
}

/* A crash in each of the three lives. */
static void test_rehearsal_crash(void **state)
{
    (void)state;
    for (uint32_t life = 1; life <= 3; life++) {
        struct scenario *s = scenario_new(NULL, NULL, ",\"policy\":{\"rehearse\":true}");
        uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

        scenario_start(s);
        while (engine_node(s->engine, first).life < life ||
               engine_node(s->engine, first).phase != NODE_REBOOTING)
            assert_true(scenario_step(s));
        scenario_crash(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(backend_plan_effects(s->world, first, "install"), 2);
        assert_int_equal(backend_plan_effects(s->world, first, "uninstall"), 1);
        scenario_truth(s);
        scenario_free(s);
    }
}

static uint32_t moves_back[64];

static void count_moves_back(struct scenario *s, struct plan_answer *a)
{
    if (a->action != NULL && strcmp(a->action, "move_vm") == 0 && a->effect &&
        engine_run(s->engine).state == RUN_ROLLING_BACK)
        moves_back[a->vm]++;
}

/* A rollback has a budget of moves of its own (I10): what would take a VM too often is not drained, stays patched and is listed. */
static void test_moves_of_a_rollback(void **state)
{
    static const struct {
        const char *budget;
        enum run_state run;
    } rows[] = { { "1", RUN_HALTED }, { "9", RUN_ROLLED_BACK } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char more[256];
        struct scenario *s;
        uint32_t most = 0;

        snprintf(more, sizeof more,
                 ",\"policy\":{\"rollback\":\"run\",\"rollback_moves_per_vm\":%s},\"waivers\":[{\"what\":"
                 "\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]",
                 rows[i].budget);
        s = scenario_new(NULL, NULL, more);
        scenario_start(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        memset(moves_back, 0, sizeof moves_back);
        s->meddle = count_moves_back;
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_run(s);
        check_run(s, rows[i].run);
        for (uint32_t v = 0; v < s->plan->inv->n_vms; v++)
            most = moves_back[v] > most ? moves_back[v] : most;
        assert_true(rows[i].run == RUN_HALTED ? most == 1 : most > 1);
        assert_int_equal(strstr(engine_run(s->engine).end_text, "not rolled back:") != NULL,
                         rows[i].run == RUN_HALTED);
        assert_int_equal(scenario_ended(s, NODE_ROLLED_BACK) == 8, rows[i].run == RUN_ROLLED_BACK);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void others_move(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->action != NULL && strcmp(a->action, "move_vm") == 0 &&
        a->ev->u.op_result.record.outcome == OUTCOME_OK && a->vm % 2 == 0) {
        a->effect = false;
        a->ev->u.op_result.record.outcome = OUTCOME_REFUSED;
        a->ev->u.op_result.record.error_code = "refused";
    }
}

/* More deviations than the plan allows: the run holds and says why; resume allows as many again. */
static void test_deviations(void **state)
{
    struct scenario *s = scenario_new(
        NULL, NULL, ",\"policy\":{\"deviations_max\":0,\"failures_per_wave\":8,\"failures_per_run\":8}");

    (void)state;
    s->meddle = others_move;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(strstr(engine_run(s->engine).hold_reason, "deviations"));
    assert_string_equal(engine_run(s->engine).hold_verb, "resume");
    s->meddle = NULL;
    for (int i = 0; i < 20 && engine_run(s->engine).state == RUN_HOLDING; i++) {
        check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
        scenario_run(s);
    }
    check_run(s, RUN_FINISHED);
    scenario_replays(s);
    scenario_free(s);
}

/* A start that would itself deviate is not made: the run holds before it and says how many deviations that would come to.
 * `resume` lets that one go on, however many it takes; any other verb leaves nothing allowed for later. */
static void holds_before_it_deviates(bool abort)
{
    static const struct fleet_words two_out = { .seed = 3,
                                                .clusters = 1,
                                                .nodes = 6,
                                                .vms = 2,
                                                .node_mib = 65536,
                                                .vm_mib_min = 1024,
                                                .vm_mib_max = 2048,
                                                .max_out = 2 };
    struct scenario *s =
        scenario_new(&two_out, "[\"100%\"]", ",\"policy\":{\"deviations_max\":0,\"unreachable\":\"1h\"}");
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    char how_far[32];

    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[first].id, NODE_STAGING);
    backend_plan_cut(s->world, first, s->now + 20 * MINUTE_MS);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(
        strstr(engine_run(s->engine).hold_reason, "would need more deviations than the plan allows (0)"));
    assert_int_equal(engine_run(s->engine).deviations, 0);
    assert_true(s->engine->deviations_asked > 1);
    snprintf(how_far, sizeof how_far, "(0): %u", (unsigned)s->engine->deviations_asked);
    assert_non_null(strstr(engine_run(s->engine).hold_reason, how_far));
    check_ok(scenario_verb(s, abort ? VERB_ABORT : VERB_RESUME, NULL), &s->err);
    assert_int_equal(s->engine->deviations_asked, 0);
    while (engine_run(s->engine).state == RUN_RUNNING && engine_run(s->engine).deviations == 0)
        assert_true(scenario_step(s));
    assert_int_equal(engine_run(s->engine).deviations > 1, !abort);
    scenario_run(s);
    for (int i = 0; i < 20 && engine_run(s->engine).state == RUN_HOLDING; i++) {
        check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
        scenario_run(s);
    }
    check_run(s, abort ? RUN_ABORTED : RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), abort ? 0 : 6);
    scenario_replays(s);
    scenario_free(s);
}

static void test_holds_before_it_deviates(void **state)
{
    (void)state;
    holds_before_it_deviates(false);
    holds_before_it_deviates(true);
}

/* Never more out than the caps say, in the cluster and in the fleet (C9). */
static void test_caps(void **state)
{
    static const struct fleet_words wide = { .seed = 2,
                                             .clusters = 4,
                                             .nodes = 6,
                                             .vms = 2,
                                             .node_mib = 65536,
                                             .vm_mib_min = 2048,
                                             .vm_mib_max = 3072,
                                             .max_out = 2 };
    struct scenario *s = scenario_new(&wide, "[\"100%\"]", ",\"policy\":{\"max_out_fleet\":3}");
    uint32_t most = 0;

    (void)state;
    scenario_start(s);
    while (scenario_step(s)) {
        uint32_t all = 0;

        for (uint32_t c = 0; c < 4; c++) {
            uint32_t out = 0;

            for (uint32_t i = 0; i < s->plan->inv->clusters[c].n_nodes; i++)
                out += engine_node(s->engine, s->plan->inv->clusters[c].nodes[i]).out;
            assert_true(out <= 2);
            all += out;
        }
        assert_true(all <= 3);
        most = all > most ? all : most;
    }
    assert_int_equal(most, 3);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    scenario_free(s);
}

/* One out in all of the fleet: the clusters take turns, and none is given up for what another has out. */
static void test_one_out_in_the_fleet(void **state)
{
    static const struct fleet_words many = { .seed = 2,
                                             .clusters = 6,
                                             .nodes = 4,
                                             .vms = 2,
                                             .node_mib = 65536,
                                             .vm_mib_min = 2048,
                                             .vm_mib_max = 3072 };
    struct scenario *s = scenario_new(&many, "[\"100%\"]", ",\"policy\":{\"max_out_fleet\":1}");

    (void)state;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->inv->n_nodes);
    scenario_truth(s);
    scenario_free(s);
}

/* Backup runs in the cluster: no drain until it is over (O26). */
static void busy_for_an_hour(struct scenario *s, struct plan_answer *a)
{
    static struct view_busy busy = { "backup", "nightly" };

    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_CLUSTER &&
        a->at < START_MS + 20 * MINUTE_MS) {
        a->ev->u.observed.view.busy = &busy;
        a->ev->u.observed.view.n_busy = 1;
    }
}

static void test_look_again(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);

    (void)state;
    s->meddle = busy_for_an_hour;
    scenario_start(s);
    while (scenario_step(s))
        for (uint32_t i = 0; i < 8; i++)
            if (engine_node(s->engine, i).out)
                assert_true(s->now >= START_MS + 20 * MINUTE_MS);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

/* A cluster that never lets go: its nodes are not started, with the reason, and the run ends (I27). */
static void busy_for_ever(struct scenario *s, struct plan_answer *a)
{
    static struct view_busy busy = { "cau", "Cluster-Aware Updating" };

    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_CLUSTER &&
        s->plan->inv->nodes[a->node].cluster == 0) {
        a->ev->u.observed.view.busy = &busy;
        a->ev->u.observed.view.n_busy = 1;
    }
}

static void test_gives_up_with_a_reason(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);

    (void)state;
    s->meddle = busy_for_ever;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_NOT_STARTED), 4);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    if (strstr(engine_node(s->engine, 0).reason, "cau") == NULL)
        fail_msg("%s", engine_node(s->engine, 0).reason);
    assert_true(engine_run(s->engine).unfinished);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoints_reach_the_node),
        cmocka_unit_test(test_proofs_reach_the_node),
        cmocka_unit_test(test_rehearsal),
        cmocka_unit_test(test_rehearsal_refused),
        cmocka_unit_test(test_rehearsal_aborted_before_its_way_back),
        cmocka_unit_test(test_rehearsal_aborted_before_its_third_life),
        cmocka_unit_test(test_rehearsal_whose_third_life_never_comes),
        cmocka_unit_test(test_rehearsal_crash),
        cmocka_unit_test(test_moves_of_a_rollback),
        cmocka_unit_test(test_deviations),
        cmocka_unit_test(test_holds_before_it_deviates),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_one_out_in_the_fleet),
        cmocka_unit_test(test_look_again),
        cmocka_unit_test(test_gives_up_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
