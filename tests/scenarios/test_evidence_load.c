/* VMs that go back to a patched node as its evidence (O15), and what comes between: the run is stopped, or the node is out of reach.
 * What has not begun by then is not begun (I30, I7); what is on its way arrives. */
#include "orchestrator/core/engine_state.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 3, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define MORE                                                                                             \
    ",\"policy\":{\"evidence_vms_min\":4,\"failures_per_wave\":4,\"failures_per_run\":4},\"waivers\":[{" \
    "\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"C1\"}]"

static uint32_t loads(const struct scenario *s, enum move_state state)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->engine->loads.n; i++)
        n += s->engine->loads.items[i].state == state;
    return n;
}

static struct engine_load waiting(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->engine->loads.n; i++)
        if (s->engine->loads.items[i].state == MOVE_PENDING)
            return s->engine->loads.items[i];
    fail_msg("no load waits");
    return s->engine->loads.items[0];
}

/* The first node is back: two of its loads are on their way, as many as it has slots, and others wait for those. */
static struct scenario *until_loads_wait(void)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", MORE);

    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_ENDED);
    check_end(s, scenario_first_id(s), NODE_DONE);
    assert_int_equal(loads(s, MOVE_FLYING), 2);
    assert_true(loads(s, MOVE_PENDING) > 0);
    return s;
}

static uint32_t moves(const struct scenario *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->plan->inv->n_nodes; i++)
        n += backend_plan_effects(s->world, i, "move_vm");
    return n;
}

/* Aborted, or stopped otherwise: the two arrive, and no other follows them. */
static void test_no_load_begins_after_the_stop(void **state)
{
    static const enum verb stops[] = { VERB_ABORT, VERB_ROLLBACK };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(stops); i++) {
        struct scenario *s = until_loads_wait();
        uint32_t before = moves(s);

        check_ok(scenario_verb(s, stops[i], NULL), &s->err);
        assert_null(strstr(scenario_commanded(s), "move_vm"));
        while (loads(s, MOVE_FLYING) > 0)
            assert_true(scenario_step(s));
        assert_int_equal(loads(s, MOVE_LANDED), 2);
        assert_int_equal(loads(s, MOVE_PENDING), 0);
        assert_int_equal(moves(s), before + 2);
        scenario_run(s);
        if (stops[i] == VERB_ABORT)
            assert_int_equal(moves(s), before + 2);
        check_run(s, stops[i] == VERB_ABORT ? RUN_ABORTED : RUN_ROLLED_BACK);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Its node says that it never saw it: it is begun once more (C.3), but not when the run has been stopped meanwhile. */
static void test_a_load_never_seen(void **state)
{
    (void)state;
    for (unsigned aborted = 0; aborted < 2; aborted++) {
        struct scenario *s = until_loads_wait();
        struct op_view load = engine_op_open(s->engine, 0);
        struct event claim = { .type = EV_NODE_CLAIMED, .node = load.node, .cluster = IX_NONE };
        struct event answer = { .type = EV_OP_RESULT, .node = load.node, .cluster = IX_NONE };
        char op[128];

        assert_string_equal(load.action, "move_vm");
        snprintf(op, sizeof op, "%s", load.op);
        if (aborted)
            check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        claim.u.claimed.machine_id = s->plan->inv->nodes[load.node].id;
        claim.u.claimed.boot_id = "b";
        check_ok(scenario_event(s, &claim), &s->err); /* and tells of no operation at all */
        assert_non_null(strstr(scenario_commanded(s), "\"op_probe\""));
        answer.u.op_result.record = (struct op_record){ .op = op, .action = "move_vm", .state = OP_NONE };
        check_ok(scenario_event(s, &answer), &s->err);
        assert_int_equal(strstr(scenario_commanded(s), op) != NULL, !aborted);
        assert_int_equal(strstr(scenario_commanded(s), "\"op_start\"") != NULL, !aborted);
        assert_int_equal(loads(s, MOVE_FLYING), aborted ? 1 : 2);
        scenario_free(s);
    }
}

/* Who was to receive is out of reach by the time a slot is free: it keeps what has arrived, and nothing is sent to it. */
static void test_no_load_for_a_node_out_of_reach(void **state)
{
    struct scenario *s = until_loads_wait();
    struct engine_load l = waiting(s);
    uint32_t at = backend_plan_vm_at(s->world, l.vm);

    (void)state;
    backend_plan_cut(s->world, l.to, s->now + HOUR_MS);
    while (engine_wave(s->engine, 0).state < WAVE_PASSED)
        assert_true(scenario_step(s));
    assert_int_equal(loads(s, MOVE_LANDED), 2);
    assert_int_equal(loads(s, MOVE_PENDING), 0);
    assert_int_equal(backend_plan_vm_at(s->world, l.vm), at);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_load_begins_after_the_stop),
                                        cmocka_unit_test(test_a_load_never_seen),
                                        cmocka_unit_test(test_no_load_for_a_node_out_of_reach) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
