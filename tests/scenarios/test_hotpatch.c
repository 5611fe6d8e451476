/* Hotpatched nodes (I17): the number they show is above the target's, their newest cumulative update is below it. They are
 * patched as any other, by an agent that looks at the number (C.4), and count as patched by no number of a hotpatch. */
#include "tests/lib/agent_bench.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define AHEAD \
    300 /* of the hotpatch's number before that of the cumulative update: the target is 5 above it */
#define INSTALL "r1/HV07/1/install/1"
#define PACKAGE_ARGS                                                                                    \
    "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"aa\",\"kb\":\"KB1\",\"build\":26100,\"ubr\":4066}," \
    "\"parked\":[]}"
#define WAY_BACK                                                                                   \
    ",\"gates\":[{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":1," \
    "\"interval\":\"30s\",\"soak\":\"0s\",\"on_fail\":\"rollback\"}]"                              \
    ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"

static bool without_packages, way_back;
static uint32_t asked; /* installations that an agent has judged */

/* --- what such a node says --- */

static bool is_hotpatched(const struct scenario *s, uint32_t node)
{
    return build_compare(backend_plan_build(s->world, node), s->plan->rollout->patch.target) < 0;
}

static struct build shown(const struct scenario *s, uint32_t node)
{
    struct build b = backend_plan_build(s->world, node);

    b.ubr += is_hotpatched(s, node) ? AHEAD : 0;
    return b;
}

/* The agent's own core, on a node with that number and that boot: does it let the installation begin? */
static bool agent_installs(struct build os, const char *boot, const char *precondition)
{
    static struct bench b;
    char answer[256], extra[512];
    bool begun;

    bench_open(&b);
    b.boot = boot;
    bench_boot(&b, NULL);
    bench_identify(&b);
    bench_connect(&b, 1);
    bench_claim(&b, 1, BENCH_CONTROLLER, 1);
    snprintf(extra, sizeof extra, "\"precondition\":%s", precondition);
    bench_start_op(&b, 1, BENCH_CONTROLLER, 1, INSTALL, "install", PACKAGE_ARGS, extra);
    bench_answer(&b, bench_run(&b, "package_open", ""), "/p");
    snprintf(answer, sizeof answer,
             "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"%s\",\"os\":{\"build\":%u,\"ubr\":%u},"
             "\"memory_mib\":65536,\"host_reserve_mib\":4096}}",
             boot, os.number, os.ubr);
    bench_answer(&b, bench_run(&b, "facts", "run"), answer);
    if (bench_has_run(&b, "check_empty", "run"))
        bench_answer(&b, bench_run(&b, "check_empty", "run"), "{\"result\":{\"empty\":true,\"left\":[]}}");
    begun = bench_has_run(&b, "install", "run");
    bench_close(&b);
    return begun;
}

/* The latest installation that the engine asked of the node, as the node's agent judges it. */
static bool node_installs(const struct scenario *s, uint32_t node)
{
    struct command_list list = { 0 };
    struct err err = { 0 };
    bool begun = false, found = false;

    for (uint32_t i = s->kept.n; i > 0 && !found; i--) {
        command_list_reset(&list);
        check_ok(commands_read(s->kept.items[i - 1].commands, s->plan->inv, &list, &err), &err);
        for (uint32_t k = 0; k < list.n && !found; k++) {
            const struct command *c = &list.items[k];
            struct json_doc *guard = NULL;

            found = c->type == CMD_OP_START && c->node == node && strcmp(c->action, "install") == 0;
            if (!found)
                continue;
            check_ok(json_parse("guard", c->precondition, strlen(c->precondition), &guard, &err), &err);
            begun = agent_installs(shown(s, node), json_get_str(json_root(guard), "boot_id", ""),
                                   c->precondition);
            json_free(guard);
        }
    }
    command_list_clear(&list);
    assert_true(found);
    return begun;
}

static void see(struct scenario *s, struct plan_answer *a)
{
    struct node_facts *f = &a->ev->u.observed.facts;

    if (a->ev->u.observed.what == OBSERVE_VERIFY)
        a->ev->u.observed.verify.build = shown(s, a->node);
    if (a->ev->u.observed.what != OBSERVE_FACTS || !is_hotpatched(s, a->node))
        return;
    f->hotpatch = true;
    f->level = without_packages ? 0 : f->build.ubr;
    f->build = shown(s, a->node);
}

static void hotpatched(struct scenario *s, struct plan_answer *a)
{
    if (way_back)
        backup_7001(s, a);
    if (a->cause == CMD_OBSERVE && a->ev->type == EV_OBSERVED)
        see(s, a);
    if (a->action == NULL || strcmp(a->action, "install") != 0 || a->ev->type != EV_OP_RESULT)
        return;
    asked++;
    if (node_installs(s, a->node))
        return;
    a->effect = false;
    a->ev->u.op_result.record.outcome = OUTCOME_REFUSED;
    a->ev->u.op_result.record.error_code = "precondition";
}

static struct scenario *begin(const char *more, bool no_packages)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", more);

    without_packages = no_packages;
    way_back = more != NULL;
    asked = 0;
    s->meddle = hotpatched;
    scenario_start(s);
    return s;
}

static void all_are_done(struct scenario *s)
{
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), s->plan->n_nodes);
    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        assert_int_equal(backend_plan_effects(s->world, i, "install"), 1);
    scenario_truth(s);
    scenario_replays(s);
}

static void check_told(const struct scenario *s, const char *want)
{
    const char *at = strstr(buf_text(&s->notes), want);
    uint32_t n = 0;

    for (; at != NULL; at = strstr(at + 1, want))
        n++;
    assert_int_equal(n, s->plan->n_nodes); /* of each node, once */
}

/* --- the stories --- */

/* The agents compare with the number that the node shows; the log says which of its two numbers counted. */
static void test_whole_rollout(void **state)
{
    struct scenario *s = begin(NULL, false);
    struct build level = s->plan->inv->nodes[0].build;
    char text[32], want[96];

    (void)state;
    scenario_run(s);
    all_are_done(s);
    assert_int_equal(asked, s->plan->n_nodes);
    snprintf(want, sizeof want, "I17 hotpatched: counted as %s,", build_text(level, text));
    check_told(s, want);
    scenario_free(s);
}

/* What the story above rests on: an agent that is told another number refuses. */
static void test_agent_refuses_the_level(void **state)
{
    const struct build os = { 26100, 4061 + AHEAD };

    (void)state;
    assert_true(agent_installs(os, "B1", "{\"boot_id\":\"B1\",\"build\":\"26100.4361\"}"));
    assert_false(agent_installs(os, "B1", "{\"boot_id\":\"B1\",\"build\":\"26100.4061\"}"));
}

/* Nobody can tell what is in: its number is no evidence, and it is patched. */
static void test_without_packages_is_not_compliant(void **state)
{
    struct scenario *s = begin(NULL, true);

    (void)state;
    scenario_run(s);
    all_are_done(s);
    check_told(s, "I17 hotpatched, and its cumulative updates are not told: not counted as patched");
    scenario_free(s);
}

static void newer(struct scenario *s, struct plan_answer *a)
{
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_FACTS || a->node != 0)
        return;
    a->ev->u.observed.facts.hotpatch = true;
    a->ev->u.observed.facts.level = s->plan->rollout->patch.target.ubr;
    a->ev->u.observed.facts.build.ubr += AHEAD;
}

/* A hotpatch over the target itself. */
static void test_level_at_target_is_compliant(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);

    (void)state;
    s->meddle = newer;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, s->plan->inv->nodes[0].id, NODE_COMPLIANT);
    assert_int_equal(backend_plan_effects(s->world, 0, "pause"), 0);
    scenario_free(s);
}

/* A removal goes back to the cumulative update, and to the number that was shown over it. */
static void test_way_back(void **state)
{
    struct scenario *s = begin(WAY_BACK, false);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    bool asked_for = false;

    (void)state;
    scenario_run(s);
    check_run(s, RUN_ROLLED_BACK);
    check_end(s, s->plan->inv->nodes[first].id, NODE_ROLLED_BACK);
    for (uint32_t i = 0; i < s->kept.n; i++)
        asked_for |= strstr(s->kept.items[i].commands, "\\\"predecessor\\\":\\\"26100.4061\\\"") != NULL ||
                     strstr(s->kept.items[i].commands, "\"predecessor\":\"26100.4061\"") != NULL;
    assert_true(asked_for);
    scenario_replays(s);
    scenario_free(s);
}

static void test_way_back_without_packages(void **state)
{
    struct scenario *s = begin(WAY_BACK, true);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    scenario_run(s);
    check_run(s, RUN_HALTED);
    check_end(s, s->plan->inv->nodes[first].id, NODE_SET_ASIDE);
    scenario_free(s);
}

/* Another engine goes on after so many events; false: the run was over. */
static bool handed_over(uint32_t at, const char *more, void (*check)(struct scenario *s))
{
    struct scenario *s = begin(more, false);
    bool there = true;

    for (uint32_t i = 0; i < at && there; i++)
        there = scenario_step(s);
    if (there) {
        scenario_upgrade(s);
        scenario_run(s);
        check(s);
    }
    scenario_free(s);
    return there;
}

/* A way back is not begun, nor gone on with, by another engine before a person says so. */
static void is_rolled_back(struct scenario *s)
{
    if (engine_run(s->engine).state != RUN_ROLLED_BACK) {
        check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
        scenario_run(s);
    }
    check_run(s, RUN_ROLLED_BACK);
    check_end(s, s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id, NODE_ROLLED_BACK);
    scenario_replays(s);
}

/* Wherever the run was: both numbers are handed over. */
static void test_handed_over(void **state)
{
    uint32_t at = 5;

    (void)state;
    while (handed_over(at, NULL, all_are_done))
        at += 7;
    assert_true(at > 100);
    for (at = 5; handed_over(at, WAY_BACK, is_rolled_back);)
        at += 2;
    assert_true(at > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_rollout),
        cmocka_unit_test(test_agent_refuses_the_level),
        cmocka_unit_test(test_without_packages_is_not_compliant),
        cmocka_unit_test(test_level_at_target_is_compliant),
        cmocka_unit_test(test_way_back),
        cmocka_unit_test(test_way_back_without_packages),
        cmocka_unit_test(test_handed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
