/* The controller is stopped for hours, and goes on where it was: what happened meanwhile waits in its sockets, the timers go first,
 * and no limit has run (I22). */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 6, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":9,\"failures_per_run\":9}"
#define BACKUP                                                                 \
    ",\"gates\":[{\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":2," \
    "\"interval\":\"30s\",\"soak\":\"1m\",\"unknown_limit\":0}]"

static struct scenario *begin(const char *more)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", more);

    scenario_start(s);
    return s;
}

static void sleeps(struct scenario *s)
{
    struct event ev = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };

    s->now += 8 * HOUR_MS;
    s->world->now = s->now;
    check_ok(scenario_event(s, &ev), &s->err);
}

static void ends_well(struct scenario *s)
{
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), words.nodes);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Lost now, and back a while after the sleep. */
static void lose(struct scenario *s, uint32_t node, dur_ms after)
{
    backend_plan_cut(s->world, node, s->now + 8 * HOUR_MS + after);
    while (engine_node(s->engine, node).claimed)
        assert_true(scenario_step(s));
}

/* The reboot was reported, and the new boot not heard of yet. */
static void test_reboot_reported(void **state)
{
    struct scenario *s = begin(BUDGET);
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };
    char op[128];

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_REBOOTING);
    while (engine_ops_open(s->engine) == 0)
        assert_true(scenario_step(s));
    snprintf(op, sizeof op, "%s", engine_op_open(s->engine, 0).op);
    assert_non_null(strstr(op, "/reboot/"));
    ev.u.op_result.record = (struct op_record){ .op = op,
                                                .action = "reboot",
                                                .state = OP_DONE,
                                                .outcome = OUTCOME_OK,
                                                .boot_id = "b",
                                                .accepted = s->now,
                                                .started = s->now,
                                                .ended = s->now };
    check_ok(scenario_event(s, &ev), &s->err);
    sleeps(s);
    ends_well(s);
}

/* A receiver was lost, the move to it being tried again; it is back a minute after that. */
static void test_receiver_lost(void **state)
{
    struct scenario *s = begin(BUDGET);
    struct fault *f = scenario_fault(s, scenario_first_id(s), "move_vm", "busy");
    const struct world_node *n = &s->world->nodes[scenario_first(s)];
    uint32_t to;

    (void)state;
    f->outcome = OUTCOME_REFUSED;
    while (f->hits == 0)
        assert_true(scenario_step(s));
    to = IX_NONE;
    for (uint32_t i = 0; i < n->journal.n; i++)
        if (n->journal.items[i].outcome == OUTCOME_REFUSED)
            to = n->journal.items[i].to;
    lose(s, to, MINUTE_MS);
    sleeps(s);
    scenario_until(s, scenario_first_id(s), NODE_INSTALLING);
    assert_null(strstr(buf_text(&s->notes), "the receiver cannot be reached"));
    ends_well(s);
}

/* A node that is out was unknown, and the run not held for it yet. */
static void test_unknown_before_it_held(void **state)
{
    struct scenario *s = begin(BUDGET);

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_STOPPING_VMMS);
    lose(s, scenario_first(s), 7 * MINUTE_MS);
    scenario_until_unknown(s, scenario_first_id(s));
    sleeps(s);
    check_run(s, RUN_RUNNING);
    ends_well(s);
}

/* A node of the wave was lost while its gate was asked: it is claimed first. */
static void test_lost_at_its_gate(void **state)
{
    struct scenario *s = begin(BUDGET BACKUP);

    (void)state;
    scenario_until(s, scenario_first_id(s), NODE_ENDED); /* it was asked before its wave, too */
    while (strstr(scenario_commanded(s), "\"what\":\"backup\"") == NULL)
        assert_true(scenario_step(s));
    assert_true(scenario_step(s));
    lose(s, scenario_first(s), MINUTE_MS);
    sleeps(s);
    ends_well(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reboot_reported),
                                        cmocka_unit_test(test_receiver_lost),
                                        cmocka_unit_test(test_unknown_before_it_held),
                                        cmocka_unit_test(test_lost_at_its_gate) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
