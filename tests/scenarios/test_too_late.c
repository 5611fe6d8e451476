/* What was decided on a picture that is old by now is not begun on it, whatever kept it: the node had accepted it, its agent died
 * before the start, and nobody came back for minutes (C.3, I2, I4, I6, I7). It is called off there, and decided anew when
 * the node says so: until then it may begin it yet. */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4}"

static const struct {
    const char *action;
    enum node_phase at;
    const char *once_more; /* as the command that decides it anew has it */
} late[] = {
    { "move_vm", NODE_DRAINING, "\"action\":\"move_vm\"" },
    { "pause", NODE_DRAINING, "\"action\":\"pause\"" },
    { "reboot", NODE_REBOOTING, "\"action\":\"reboot\"" },
};

static bool commands_it(const struct scenario *s, const char *what, const char *op)
{
    char want[200];

    snprintf(want, sizeof want, "{\"type\":\"%s\",\"node\":\"%s\",\"op\":\"%s\"", what, scenario_first_id(s),
             op);
    return strstr(scenario_commanded(s), want) != NULL;
}

static bool is_open(const struct scenario *s, const char *op)
{
    for (uint32_t i = 0; i < engine_ops_open(s->engine); i++)
        if (strcmp(engine_op_open(s->engine, i).op, op) == 0)
            return true;
    return false;
}

static void claimed_with(struct scenario *s, const char *op, const char *action, enum op_state state)
{
    struct event ev = { .type = EV_NODE_CLAIMED, .node = scenario_first(s), .cluster = IX_NONE };
    struct op_record rec = {
        .op = op, .action = action, .state = state, .boot_id = "b", .accepted = s->now - 3 * MINUTE_MS
    };

    if (state >= OP_RUNNING)
        rec.started = s->now;
    ev.u.claimed.machine_id = scenario_first_id(s);
    ev.u.claimed.ops = &rec;
    ev.u.claimed.n_ops = 1;
    check_ok(scenario_event(s, &ev), &s->err);
}

static void called_off(struct scenario *s, const char *op, const char *action)
{
    struct event ev = { .type = EV_OP_RESULT, .node = scenario_first(s), .cluster = IX_NONE };

    ev.u.op_result.record = (struct op_record){ .op = op,
                                                .action = action,
                                                .state = OP_DONE,
                                                .outcome = OUTCOME_CANCELLED,
                                                .error_code = "cancelled",
                                                .error_text = "before it began",
                                                .boot_id = "b",
                                                .accepted = s->now - 3 * MINUTE_MS };
    check_ok(scenario_event(s, &ev), &s->err);
}

/* The node has accepted it and its agent is gone; a while later it is there again, and has it as it was. */
static struct scenario *accepted_ago(unsigned row, char op[128], dur_ms ago)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, NULL, late[row].action, NULL);
    struct event lost = { .type = EV_NODE_LOST, .node = scenario_first(s), .cluster = IX_NONE };

    f->silent = f->no_journal = f->no_effect = true;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), late[row].at);
    while (engine_ops_open(s->engine) == 0 ||
           strstr(engine_op_open(s->engine, 0).op, late[row].action) == NULL)
        assert_true(scenario_step(s));
    snprintf(op, 128, "%s", engine_op_open(s->engine, 0).op);
    check_ok(scenario_event(s, &lost), &s->err);
    s->now = engine_op_open(s->engine, 0).sent + ago;
    return s;
}

static struct scenario *accepted_long_ago(unsigned row, char op[128])
{
    return accepted_ago(row, op, 3 * MINUTE_MS);
}

/* From that entry on: the first look at the cluster, and the first time that the action is commanded again. */
static void check_looked_first(const struct scenario *s, uint32_t from, unsigned row)
{
    uint32_t seen = 0, again = 0;

    for (uint32_t i = from; i < s->kept.n; i++) {
        if (seen == 0 && strstr(s->kept.items[i].event, "\"what\":\"cluster\"") != NULL)
            seen = i;
        if (again == 0 && strstr(s->kept.items[i].commands, late[row].once_more) != NULL)
            again = i;
    }
    if (seen == 0 || again < seen)
        fail_msg("%s: seen at %u, commanded at %u", late[row].action, seen, again);
}

static void test_accepted_and_late(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(late); i++) {
        char op[128];
        struct scenario *s = accepted_long_ago(i, op);
        uint32_t from;

        claimed_with(s, op, late[i].action, OP_ACCEPTED);
        assert_true(commands_it(s, "op_cancel", op));
        assert_false(commands_it(s, "op_start", op));
        assert_true(is_open(s, op));
        called_off(s, op, late[i].action);
        assert_true(commands_it(s, "op_ack", op));
        assert_false(is_open(s, op));
        from = s->kept.n - 1;
        if (strcmp(late[i].action, "pause") ==
            0) { /* back in service, and it is known by whom it was not paused */
            assert_false(engine_node(s->engine, scenario_first(s)).out);
            assert_non_null(strstr(buf_text(&s->notes), "O26 the pause came too late and was not begun"));
        }
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        check_looked_first(s, from, i);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The agent was alive after all, and had begun before it heard: the op goes on as it is, and nothing is begun beside it. */
static void test_begun_before_it_was_called_off(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(late); i++) {
        char op[128];
        struct scenario *s = accepted_long_ago(i, op);

        claimed_with(s, op, late[i].action, OP_ACCEPTED);
        claimed_with(s, op, late[i].action, OP_RUNNING);
        assert_true(is_open(s, op));
        assert_null(strstr(scenario_commanded(s), late[i].once_more));
        claimed_with(s, op, late[i].action, OP_ACCEPTED); /* the order got lost: it is given once more */
        assert_true(commands_it(s, "op_cancel", op));
        assert_true(is_open(s, op));
        scenario_free(s);
    }
}

/* What counts is when the cluster was seen, not when that was decided: a picture may be as old as that by then. */
static void test_the_picture_counts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(late); i++) {
        char op[128];
        struct scenario *s = accepted_ago(i, op, 2 * MINUTE_MS);

        claimed_with(s, op, late[i].action, OP_ACCEPTED);
        assert_true(commands_it(s, "op_cancel", op));
        assert_false(commands_it(s, "op_start", op));
        scenario_free(s);
    }
}

/* Within the time for which a picture is good it is begun: the same op once more (C.3). */
static void test_accepted_in_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(late); i++) {
        char op[128];
        struct scenario *s = accepted_long_ago(i, op);

        s->now -= 2 * MINUTE_MS;
        claimed_with(s, op, late[i].action, OP_ACCEPTED);
        assert_true(commands_it(s, "op_start", op));
        assert_false(commands_it(s, "op_cancel", op));
        scenario_free(s);
    }
}

/* The run was aborted meanwhile: it is not begun, however young it is, but called off, and the node comes home (I12, I30). */
static void test_accepted_and_stopped(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(late); i++) {
        bool reboot =
            strcmp(late[i].action, "reboot") == 0; /* what was installed still goes through its boot */
        char op[128];
        struct scenario *s = accepted_ago(i, op, 10 * SECOND_MS);

        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        claimed_with(s, op, late[i].action, OP_ACCEPTED);
        assert_int_equal(commands_it(s, "op_start", op), reboot);
        assert_int_equal(commands_it(s, "op_cancel", op), !reboot);
        if (!reboot) {
            called_off(s, op, late[i].action);
            assert_false(is_open(s, op));
        }
        scenario_run(s);
        check_run(s, RUN_ABORTED);
        check_end(s, scenario_first_id(s), reboot ? NODE_DONE : NODE_RETURNED);
        assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), reboot);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void first_has_left(struct scenario *s, struct plan_answer *a)
{
    if (scenario_is_picture(a))
        scenario_shows_first(s, a, SEEN_DOWN);
}

/* Evicted while its drain waited: nothing more leaves it, and nobody takes it for drained (I16). */
static void test_evicted_in_mid_drain(void **state)
{
    char op[128];
    struct scenario *s = accepted_long_ago(0, op);
    uint32_t from;

    (void)state;
    s->meddle = first_has_left;
    claimed_with(s, op, "move_vm", OP_ACCEPTED);
    called_off(s, op, "move_vm");
    from = s->kept.n - 1;
    scenario_run(s);
    for (uint32_t i = from; i < s->kept.n; i++) {
        assert_null(strstr(s->kept.items[i].commands, "\"action\":\"move_vm\""));
        assert_null(strstr(s->kept.items[i].commands, "\"action\":\"install\""));
    }
    check_end(s, scenario_first_id(s), NODE_STUCK); /* not resumed either: the cluster does not have it */
    scenario_replays(s);
    scenario_free(s);
}

static uint32_t boots(const struct scenario *s)
{
    return backend_plan_effects(s->world, scenario_first(s), "reboot");
}

/* After its boot another one is due; the first boot of the first node is the one that counts. */
static void another_boot(struct scenario *s, struct plan_answer *a)
{
    if (a->cause == CMD_OBSERVE && a->ev->type == EV_OBSERVED && a->node == scenario_first(s) &&
        a->ev->u.observed.what == OBSERVE_VERIFY && boots(s) == 1)
        a->ev->u.observed.verify.pending = true;
}

static time_ms joins_at; /* the cluster does not have it between its first boot and then */

static void joins_late(struct scenario *s, struct plan_answer *a)
{
    another_boot(s, a);
    if (boots(s) > 0 && a->at < joins_at)
        first_has_left(s, a);
}

static void put_in_service(struct scenario *s, struct plan_answer *a)
{
    another_boot(s, a);
    if (boots(s) > 0 && scenario_is_picture(a))
        scenario_shows_first(s, a, SEEN_UP);
}

static uint32_t paused_for_the_boot(const struct scenario *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->kept.n; i++)
        n += strstr(s->kept.items[i].commands, "/1/pause/2\",\"action\"") != NULL &&
             strstr(s->kept.items[i].commands, scenario_first_id(s)) != NULL;
    return n;
}

/* Evicted while it was out: it is not drained for another boot, whatever is still due (I16). */
static void test_evicted_before_another_boot(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    s->meddle = joins_late;
    joins_at = START_MS * 2;
    scenario_start(s);
    scenario_run(s);
    assert_int_equal(paused_for_the_boot(s), 0);
    assert_int_equal(boots(s), 1);
    check_end(s, scenario_first_id(s), NODE_STUCK); /* not resumed either */
    scenario_replays(s);
    scenario_free(s);
}

/* Others have put it back in service while it was out, and a picture shows it: it is not taken out again for another boot. */
static void test_in_service_before_another_boot(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    s->meddle = put_in_service;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_VERIFYING);
    while (strstr(buf_text(&s->notes), "O7 somebody else has put the node back in service") == NULL)
        assert_true(scenario_step(s));
    scenario_run(s);
    assert_int_equal(boots(s), 1);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "resume"), 0);
    check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    scenario_replays(s);
    scenario_free(s);
}

/* The cluster needs a while to have it back after a boot: that is waited for. */
static void test_joins_a_while_after_its_boot(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    (void)state;
    s->meddle = joins_late;
    joins_at = START_MS * 2;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_VERIFYING);
    joins_at = s->now + 10 * MINUTE_MS;
    scenario_run(s);
    assert_int_equal(paused_for_the_boot(s), 1);
    assert_int_equal(boots(s), 2);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* The pause before another boot, too, is called off when it came too late, and begun by a look of its own. */
static void test_accepted_and_late_before_another_boot(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, NULL, "pause", NULL);
    struct event lost = { .type = EV_NODE_LOST, .node = scenario_first(s), .cluster = IX_NONE };
    char op[128];
    uint32_t from;

    (void)state;
    f->silent = f->no_journal = f->no_effect = true;
    f->skip = 1;
    s->meddle = another_boot;
    scenario_start(s);
    while (engine_ops_open(s->engine) == 0 || strstr(engine_op_open(s->engine, 0).op, "/pause/2") == NULL)
        assert_true(scenario_step(s));
    snprintf(op, sizeof op, "%s", engine_op_open(s->engine, 0).op);
    check_ok(scenario_event(s, &lost), &s->err);
    s->now += 3 * MINUTE_MS;
    claimed_with(s, op, "pause", OP_ACCEPTED);
    assert_true(commands_it(s, "op_cancel", op));
    assert_false(commands_it(s, "op_start", op));
    called_off(s, op, "pause");
    assert_true(engine_node(s->engine, scenario_first(s)).out); /* it is paused by us all the while */
    from = s->kept.n - 1;
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_looked_first(s, from, 1);
    assert_int_equal(boots(s), 2);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* Refused as busy, and the controller was away for an hour when it wanted to try again: the drain is proved anew first. */
static void test_busy_and_away(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t from;

    (void)state;
    scenario_fault(s, NULL, "pause", "busy")->outcome = OUTCOME_REFUSED;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_DRAINING);
    while (engine_ops_open(s->engine) != 0)
        assert_true(scenario_step(s));
    s->now += 60 * MINUTE_MS;
    scenario_crash(s);
    from = s->kept.n - 1;
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_looked_first(s, from, 1);
    assert_non_null(strstr(buf_text(&s->notes), "O26 the pause came too late and was not begun"));
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* The same while another VM is still on its way: that one is waited for, and then nothing more leaves it. */
static void test_evicted_with_a_move_under_way(void **state)
{
    static const struct fleet_words big = { .seed = 5,
                                            .clusters = 1,
                                            .nodes = 4,
                                            .vms = 4,
                                            .node_mib = 8388608,
                                            .vm_mib_min = 500000,
                                            .vm_mib_max = 900000 };
    struct scenario *s = scenario_new(&big, "[1,\"100%\"]", BUDGET);
    const char *id = scenario_first_id(s);
    uint32_t moved;

    (void)state;
    scenario_start(s);
    scenario_until(s, id, NODE_DRAINING);
    while (backend_plan_effects(s->world, scenario_first(s), "move_vm") == 0)
        assert_true(scenario_step(s));
    assert_int_equal(engine_ops_open(s->engine), 1); /* the second; a third waits for a picture of today */
    s->meddle = first_has_left;
    while (engine_ops_open(s->engine) > 0)
        assert_true(scenario_step(s));
    moved = backend_plan_effects(s->world, scenario_first(s), "move_vm");
    assert_int_equal(moved, 2);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "move_vm"), moved);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 0);
    check_end(s, id, NODE_STUCK);
    scenario_replays(s);
    scenario_free(s);
}

/* Aborted, or taken over by another revision, while it is drained for another boot: it comes home, nothing is begun there again, and
 * with our package in it it did not come back untouched (I12, I17). */
static void stopped_before_another_boot(enum node_phase phase, bool upgrade)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);

    s->meddle = another_boot;
    scenario_start(s);
    scenario_until(s, scenario_first_id(s), NODE_VERIFYING);
    scenario_until(s, scenario_first_id(s), phase);
    if (upgrade)
        scenario_upgrade(s);
    else
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
    scenario_run(s);
    assert_int_equal(backend_plan_effects(s->world, scenario_first(s), "install"), 1);
    assert_true(backend_plan_in_service(s->world, scenario_first(s)));
    if (scenario_node(s, scenario_first_id(s)).end != NODE_DONE) /* its reboot was on its way */
        check_end(s, scenario_first_id(s), NODE_SET_ASIDE);
    scenario_replays(s);
    scenario_free(s);
}

static void test_stopped_before_another_boot(void **state)
{
    static const enum node_phase phases[] = { NODE_DRAINING, NODE_STOPPING_VMMS, NODE_REBOOTING };

    (void)state;
    for (unsigned i = 0; i < 2 * TABLE_LEN(phases); i++)
        stopped_before_another_boot(phases[i / 2], i % 2 == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_accepted_and_late),
                                        cmocka_unit_test(test_begun_before_it_was_called_off),
                                        cmocka_unit_test(test_the_picture_counts),
                                        cmocka_unit_test(test_accepted_in_time),
                                        cmocka_unit_test(test_accepted_and_stopped),
                                        cmocka_unit_test(test_evicted_in_mid_drain),
                                        cmocka_unit_test(test_evicted_with_a_move_under_way),
                                        cmocka_unit_test(test_evicted_before_another_boot),
                                        cmocka_unit_test(test_in_service_before_another_boot),
                                        cmocka_unit_test(test_joins_a_while_after_its_boot),
                                        cmocka_unit_test(test_accepted_and_late_before_another_boot),
                                        cmocka_unit_test(test_busy_and_away),
                                        cmocka_unit_test(test_stopped_before_another_boot) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
