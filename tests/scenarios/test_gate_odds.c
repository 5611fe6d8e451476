/* Gates beside each other, asked of whole clusters, of nodes that are not there, answered late or about what is no more. */
#include "tests/scenarios/scenario.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define ONE(type, more)                                                                                 \
    "{\"type\":\"" type "\",\"when\":\"after\",\"samples\":1,\"interval\":\"30s\",\"soak\":\"0s\"" more \
    ",\"unknown_limit\":0}"
#define GATES(list) ",\"gates\":[" list "]"
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"

/* In what was commanded before the last event. */
static uint32_t count(const struct scenario *s, const char *what)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i + 1 < s->kept.n; i++)
        for (const char *at = strstr(s->kept.items[i].commands, what); at != NULL; at = strstr(at + 1, what))
            n++;
    return n;
}

/* A failure decides over what only waits for a person or was not answered, and its own consequence is taken. */
static void test_which_answer_decides(void **state)
{
    static const struct {
        const char *gates;
        enum run_state comes_to;
        const char *text;
    } rows[] = {
        { GATES("{\"type\":\"manual\",\"when\":\"after\"}," ONE("backup_agent", "")) WAIVED, RUN_HALTED,
          "gate backup_agent after wave 1 is fail" },
        { GATES("{\"type\":\"manual\",\"when\":\"after\"}," ONE("backup_agent", ",\"on_fail\":\"rollback\""))
              WAIVED,
          RUN_ROLLED_BACK, "gate backup_agent after wave 1 is fail" },
        { GATES("{\"type\":\"manual\",\"when\":\"after\"}," ONE("vm_heartbeat", "")) WAIVED, RUN_HOLDING,
          "gate manual after wave 1 is unknown: waits for promote" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", rows[i].gates);

        s->meddle = backup_7001;
        scenario_start(s);
        scenario_run(s);
        check_run(s, rows[i].comes_to);
        if (strstr(engine_run(s->engine).end_text, rows[i].text) == NULL &&
            strstr(engine_run(s->engine).hold_reason, rows[i].text) == NULL)
            fail_msg("%u: %s, %s", i, engine_run(s->engine).end_text, engine_run(s->engine).hold_reason);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Of scope cluster: every node in service is asked, not the wave's alone; one that is out is not. */
static void test_scope_cluster(void **state)
{
    static const struct {
        const char *scope;
        bool stuck;
        uint32_t asked; /* after the first wave, of one node */
    } rows[] = { { "", false, 1 },
                 { ",\"scope\":\"cluster\"", false, 4 },
                 { ",\"scope\":\"cluster\"", true, 3 } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf more = BUF_INIT;
        uint32_t baseline, asked;
        struct scenario *s;

        buf_printf(&more,
                   ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2},\"gates\":[{\"type\":"
                   "\"backup_agent\",\"when\":\"after\",\"samples\":1,\"soak\":\"0s\"%s}]",
                   rows[i].scope);
        s = scenario_new(&words, "[1,\"100%\"]", buf_text(&more));
        buf_clear(&more);
        if (rows[i].stuck)
            scenario_fault(s, scenario_first_id(s), "start_vmms", "failed")->times = 99;
        scenario_start(s);
        while (engine_wave(s->engine, 0).state != WAVE_RUNNING)
            assert_true(scenario_step(s));
        baseline = count(s, "\"what\":\"backup\"");
        while (engine_wave(s->engine, 0).state != WAVE_PASSED)
            assert_true(scenario_step(s));
        asked = count(s, "\"what\":\"backup\"") - baseline;
        if (asked != rows[i].asked)
            fail_msg("%u: %u asked", i, asked);
        scenario_free(s);
    }
}

/* Of the wave's node that is out of reach there is no evidence: unknown, and the run holds (O15, I13). */
static void test_node_out_of_reach(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", GATES(ONE("backup_agent", "")));

    (void)state;
    scenario_start(s);
    while (engine_node(s->engine, scenario_first(s)).phase != NODE_ENDED)
        assert_true(scenario_step(s));
    backend_plan_cut(s->world, scenario_first(s), TIME_NEVER);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(strstr(engine_run(s->engine).hold_reason, "n00-01: not connected"));
    scenario_free(s);
}

static dur_ms late_ms;
static bool of_cluster, no_text;

static void late(struct scenario *s, struct plan_answer *a)
{
    static uint64_t held;
    enum observe_what what = of_cluster ? OBSERVE_CLUSTER : OBSERVE_BACKUP;

    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != what ||
        engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
        return;
    if (late_ms == 0) {
        a->ev->u.observed.ok = false;
        a->ev->u.observed.text = no_text ? NULL : "the driver says nothing";
    } else if (a->ev->u.observed.ask != held) {
        held = a->ev->u.observed.ask;
        a->late_ms = late_ms;
    }
}

/* Old evidence is none, and a refusal to tell is none, from a node and from a cluster alike (I13). */
static void test_no_evidence(void **state)
{
    static const struct {
        const char *gate;
        bool cluster, no_text;
        dur_ms late;
        const char *why; /* NULL: it is in time */
    } rows[] = {
        { GATES(ONE("backup_agent", ",\"max_age\":\"2m\"")), false, false, 3 * MINUTE_MS,
          "the evidence came too late" },
        { GATES(ONE("backup_agent", ",\"max_age\":\"2m\"")), false, false, MINUTE_MS, NULL },
        { GATES(ONE("backup_agent", ",\"max_age\":\"0s\"")), false, false, 3 * MINUTE_MS, NULL },
        { GATES(ONE("cluster_health", ",\"max_age\":\"2m\"")), true, false, 3 * MINUTE_MS,
          "the evidence came too late" },
        { GATES(ONE("backup_agent", "")), false, false, 0, "the driver says nothing" },
        { GATES(ONE("backup_agent", "")), false, true, 0, "no answer" },
        { GATES(ONE("cluster_health", "")), true, false, 0, "the driver says nothing" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", rows[i].gate);

        late_ms = rows[i].late;
        of_cluster = rows[i].cluster;
        no_text = rows[i].no_text;
        s->meddle = late;
        scenario_start(s);
        scenario_run(s);
        if ((engine_run(s->engine).state == RUN_HOLDING) != (rows[i].why != NULL) ||
            (rows[i].why != NULL && strstr(engine_run(s->engine).hold_reason, rows[i].why) == NULL))
            fail_msg("%u: %s (%s)", i, run_states[engine_run(s->engine).state].name,
                     engine_run(s->engine).hold_reason);
        scenario_free(s);
    }
}

static void without_a_list(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OBSERVE && a->ev->u.observed.what == OBSERVE_CLUSTER)
        a->ev->u.observed.n_vms_nodes--;
}

/* A node that is Up and lists no VMs, its service stopped by somebody else: no picture is whole. The gate that asks for one does
 * not wait without end, it has no answer and says whose fault that is (I13, I28). */
static void test_no_whole_picture(void **state)
{
    struct scenario *s =
        scenario_new(&words, "[1,\"100%\"]",
                     ",\"gates\":[{\"type\":\"cluster_health\",\"when\":\"before\",\"samples\":1,"
                     "\"interval\":\"30s\",\"soak\":\"0s\",\"unknown_limit\":2}]");

    (void)state;
    s->meddle = without_a_list;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(strstr(engine_run(s->engine).hold_reason, "did not list its VMs"));
    assert_int_equal(engine_gate(s->engine, 0).samples, 3);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "pause"), 0);
    scenario_replays(s);
    scenario_free(s);
}

static uint32_t looks;

static void first_look_late(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_CLUSTER || looks++ > 0)
        return;
    a->late_ms = 30 * SECOND_MS;
    a->ev->u.observed.n_vms_nodes--;
}

/* A node that comes into reach while a cluster is being looked at was not asked for its VMs: that is no missing answer. */
static void test_reached_while_the_cluster_was_asked(void **state)
{
    struct scenario *s =
        scenario_new(&words, "[1,\"100%\"]",
                     ",\"gates\":[{\"type\":\"cluster_health\",\"when\":\"before\",\"samples\":1,"
                     "\"interval\":\"30s\",\"soak\":\"0s\",\"unknown_limit\":0}]");
    struct event ev = { .type = EV_NODE_LOST, .node = scenario_first(s), .cluster = IX_NONE };

    (void)state;
    looks = 0;
    s->meddle = first_look_late;
    scenario_start(s);
    while (strstr(scenario_commanded(s), "\"what\":\"cluster\"") == NULL)
        assert_true(scenario_step(s));
    check_ok(scenario_event(s, &ev), &s->err);
    ev = (struct event){ .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };
    ev.u.claimed.boot_id = "boot";
    check_ok(scenario_event(s, &ev), &s->err);
    scenario_run(s);
    assert_true(looks > 1);
    check_run(s, RUN_FINISHED);
    scenario_replays(s);
    scenario_free(s);
}

/* A retry stops the gate while its question is out: the answer belongs to nobody, the gate begins anew. */
static void test_answer_to_a_stopped_gate(void **state)
{
    struct scenario *s = scenario_new(
        &words, "[2,\"100%\"]",
        GATES(ONE("backup_agent", "")) ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2}");
    const char *first = scenario_first_id(s);

    (void)state;
    scenario_fault(s, first, "install", "failed");
    scenario_start(s);
    while (engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
        assert_true(scenario_step(s));
    check_end(s, first, NODE_SET_ASIDE);
    check_ok(scenario_verb(s, VERB_RETRY, first), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, first, NODE_DONE);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* The gates passed while the run was holding, then a node of the wave was tried again: that answer is about another wave. */
static void test_answer_from_before_a_retry(void **state)
{
    struct scenario *s = scenario_new(
        &words, "[2,\"100%\"]",
        GATES(ONE("backup_agent", "")) ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2}");
    const char *first = scenario_first_id(s);

    (void)state;
    scenario_fault(s, first, "install", "failed");
    scenario_start(s);
    while (engine_wave(s->engine, 0).state != WAVE_GATE_AFTER)
        assert_true(scenario_step(s));
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    while (!engine_gate(s->engine, engine_gates(s->engine) - 1).done) {
        s->runner.ended = false; /* holding is no end to those who are asked */
        assert_true(scenario_step(s));
    }
    check_run(s, RUN_HOLDING);
    check_ok(scenario_verb(s, VERB_RETRY, first), &s->err);
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    while (engine_wave(s->engine, 0).state != WAVE_PASSED)
        assert_true(scenario_step(s));
    check_end(s, first, NODE_DONE);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_answer_decides),
        cmocka_unit_test(test_scope_cluster),
        cmocka_unit_test(test_node_out_of_reach),
        cmocka_unit_test(test_no_evidence),
        cmocka_unit_test(test_no_whole_picture),
        cmocka_unit_test(test_reached_while_the_cluster_was_asked),
        cmocka_unit_test(test_answer_to_a_stopped_gate),
        cmocka_unit_test(test_answer_from_before_a_retry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
