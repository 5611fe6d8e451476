/* Unknown is not success and not failure: the journal, a witness or a person decides (O17, C.3). */
#include "tests/scenarios/scenario.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2}"

static const char *const effects[] = { "pause",   "move_vm", "move_groups", "stop_vmms",
                                       "install", "reboot",  "start_vmms",  "resume" };

/* The reply is lost and the journal says running by nobody: the witness shows that it was done. */
static void test_witness_says_done(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(effects); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct fault *f = scenario_fault(s, NULL, effects[i], NULL);

        f->silent = f->no_journal = true;
        scenario_start(s);
        scenario_run(s);
        assert_true(f->hits > 0);
        if (engine_run(s->engine).state != RUN_FINISHED)
            fail_msg("%s: run %s (%s)\n%s", effects[i], run_states[engine_run(s->engine).state].name,
                     engine_run(s->engine).hold_reason, buf_text(&s->notes));
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        for (uint32_t n = 0; n < 4; n++)
            assert_int_equal(backend_plan_effects(s->world, n, "install"), 1);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* The same, and it did not happen: the same op is sent once more, under its own id (I19). */
static void test_witness_says_not_done(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(effects); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct fault *f = scenario_fault(s, NULL, effects[i], NULL);

        if (strcmp(effects[i], "reboot") == 0) {
            scenario_free(s); /* a node that went down has rebooted */
            continue;
        }
        f->silent = f->no_journal = f->no_effect = true;
        scenario_start(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        for (uint32_t n = 0; n < 4; n++)
            assert_int_equal(backend_plan_effects(s->world, n, "install"), 1);
        scenario_truth(s);
        scenario_free(s);
    }
}

/* A move that did not take hold, and nobody heard so for minutes: what may go where is looked at anew before it is tried
 * once more, under a new id (I7). */
static void test_a_move_that_came_too_late(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, NULL, "move_vm", NULL);
    uint32_t refuted = 0, seen = 0, again = 0;

    (void)state;
    f->silent = f->no_journal = f->no_effect = true;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    for (uint32_t i = 0; i < s->kept.n; i++) {
        const char *event = s->kept.items[i].event, *commands = s->kept.items[i].commands;

        if (strstr(event, "/move_vm:") != NULL && strstr(event, "\"witness\":\"not_done\"") != NULL)
            refuted = i;
        if (refuted != 0 && seen == 0 && strstr(event, "\"what\":\"cluster\"") != NULL)
            seen = i;
        if (refuted != 0 && again == 0 && strstr(commands, "\"action\":\"move_vm\"") != NULL)
            again = i;
    }
    assert_true(refuted > 0 && refuted < seen && seen <= again);
    scenario_truth(s);
    scenario_free(s);
}

/* A pause that did not take hold, and nobody heard so for minutes: the node is back in service, which is said, and its drain
 * is proved anew (I2, O26). */
static void test_a_pause_that_came_too_late(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    struct fault *f = scenario_fault(s, NULL, "pause", NULL);

    (void)state;
    f->silent = f->no_journal = f->no_effect = true;
    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[first].id, NODE_DRAINING);
    while (engine_node(s->engine, first).phase == NODE_DRAINING)
        assert_true(scenario_step(s));
    assert_false(engine_node(s->engine, first).out);
    assert_non_null(strstr(buf_text(&s->notes), "O26 the pause never reached the node"));
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

#define BEGINS(action) "\"action\":\"" action "\""

/* A step that did not take hold when the run was aborted is not begun anew, whatever its witness or its node says of it: the
 * node comes home (I30). */
static void test_abort_begins_nothing_anew(void **state)
{
    static const struct {
        const char *step, *begins;
    } rows[] = { { "pause", BEGINS("pause") },
                 { "move_vm", BEGINS("move_vm") },
                 { "move_groups", BEGINS("move_groups") },
                 { "stop_vmms", BEGINS("stop_vmms") },
                 { "install", BEGINS("install") } };

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct fault *f = scenario_fault(s, NULL, rows[i].step, NULL);
        uint32_t aborted;

        f->silent = f->no_journal = f->no_effect = true;
        scenario_start(s);
        while (strstr(scenario_commanded(s), rows[i].begins) == NULL)
            assert_true(scenario_step(s));
        check_ok(scenario_verb(s, VERB_ABORT, NULL), &s->err);
        aborted = s->kept.n;
        scenario_run(s);
        check_run(s, RUN_ABORTED);
        for (uint32_t k = aborted; k < s->kept.n; k++)
            assert_null(strstr(s->kept.items[k].commands, rows[i].begins));
        assert_int_equal(scenario_ended(s, NODE_STUCK), 0);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* A reply lost on the way: the deadline asks, and the journal answers. */
static void test_lost_reply(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(effects); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        struct fault *f = scenario_fault(s, NULL, effects[i], NULL);

        f->silent = true;
        scenario_start(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        scenario_truth(s);
        scenario_free(s);
    }
}

/* What a live node says as it goes down: the driver told no end, the journal has its START; then the connection goes. */
static struct op_view goes_down(struct scenario *s, const char *id)
{
    struct event ev = { .at = s->now, .type = EV_OP_RESULT, .node = node_ix(s, id), .cluster = IX_NONE };
    struct op_view op = { .action = "" };

    scenario_until(s, id, NODE_REBOOTING);
    while (strcmp(op.action, "reboot") != 0) {
        assert_true(scenario_step(s));
        for (uint32_t i = 0; i < engine_ops_open(s->engine); i++)
            if (engine_op_open(s->engine, i).node == node_ix(s, id))
                op = engine_op_open(s->engine, i);
    }
    ev.at = s->now;
    ev.u.op_result.record = (struct op_record){
        .op = op.op, .action = "reboot", .state = OP_UNKNOWN, .accepted = s->now, .started = s->now
    };
    check_ok(scenario_event(s, &ev), &s->err);
    return op;
}

static void never_back(struct scenario *s, struct plan_answer *a)
{
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    if (a->node == first && a->cause == CMD_OP_START && strcmp(a->action, "reboot") == 0)
        backend_plan_cut(s->world, first, TIME_NEVER);
}

/* A node that never comes back is unknown, keeps its slot, and the run holds for a person; set-aside makes it stuck. */
static void test_never_comes_back(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    const char *id = s->plan->inv->nodes[first].id;

    (void)state;
    s->meddle = never_back;
    scenario_start(s);
    (void)goes_down(s, id);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_non_null(strstr(buf_text(&s->notes), "O17"));
    assert_string_equal(engine_run(s->engine).hold_verb, "decide");
    assert_true(scenario_node(s, id).unknown);
    assert_true(scenario_node(s, id).out);
    assert_string_equal(node_phases[scenario_node(s, id).phase].name, "rebooting");
    check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
    scenario_run(s);
    check_end(s, id, NODE_STUCK);
    /* N+1 with one of four nodes gone for good still lets the others go one by one, or says why not */
    assert_int_equal(scenario_ended(s, NODE_DONE) + scenario_ended(s, NODE_NOT_STARTED), 3);
    scenario_replays(s);
    scenario_free(s);
}

/* The way back waits for a node that nobody knows of; given up, it is no longer held for: neither run nor nodes say so. */
static void test_rolled_back_without_the_lost_node(void **state)
{
    struct scenario *s =
        scenario_new(&words, "[1,\"100%\"]",
                     ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":2},\"waivers\":[{\"what\":"
                     "\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]");
    uint32_t lost = s->plan->nodes[s->plan->waves[1].nodes[0]].node;
    const char *id = s->plan->inv->nodes[lost].id;

    (void)state;
    scenario_start(s);
    scenario_until(s, id, NODE_DRAINING);
    backend_plan_cut(s->world, lost, TIME_NEVER);
    check_ok(scenario_verb(s, VERB_ROLLBACK, NULL), &s->err);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_string_equal(engine_run(s->engine).hold_verb, "decide");
    check_ok(scenario_verb(s, VERB_SET_ASIDE, id), &s->err);
    check_run(s, RUN_ROLLING_BACK);
    assert_string_equal(engine_run(s->engine).hold_reason, "");
    scenario_run(s);
    assert_true((run_states[engine_run(s->engine).state].flags & SM_FINAL) != 0);
    check_end(s, id, NODE_STUCK);
    scenario_replays(s);
    scenario_free(s);
}

/* What became of a node is not forgotten over a doubt that came and went on its way home. */
static void test_a_doubt_does_not_erase_the_reason(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    const char *id = s->plan->inv->nodes[first].id;

    (void)state;
    (void)scenario_fault(s, id, "install", "failed");
    scenario_start(s);
    scenario_until(s, id, NODE_STARTING_VMMS);
    backend_plan_cut(s->world, first, s->now + 7 * MINUTE_MS);
    scenario_until_unknown(s, id);
    assert_non_null(strstr(scenario_node(s, id).reason, "O17"));
    scenario_run(s);
    check_end(s, id, NODE_SET_ASIDE);
    assert_non_null(strstr(scenario_node(s, id).reason, "install"));
    scenario_replays(s);
    scenario_free(s);
}

/* A node that was told to reboot is away because of it: no warning, no charge, and its slot is taken all the time. */
static void test_awaited_boot_is_not_unknown(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", ""); /* a budget of one failure */
    const char *id = s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id;

    (void)state;
    scenario_start(s);
    (void)goes_down(s, id);
    assert_string_equal(scenario_node(s, id).waits_for, "its return from the reboot");
    while (scenario_node(s, id).phase == NODE_REBOOTING) {
        assert_false(scenario_node(s, id).unknown);
        assert_true(scenario_node(s, id).out);
        assert_true(scenario_step(s));
    }
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_null(strstr(buf_text(&s->notes), "O17"));
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* It was only slow: unknown once its time is over and not before; back later, it goes on where it was. */
static void test_slow_boot_goes_on(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    const char *id = s->plan->inv->nodes[first].id;
    struct op_view op;

    (void)state;
    scenario_start(s);
    op = goes_down(s, id);
    backend_plan_cut(s->world, first, s->now + 3 * HOUR_MS);
    while (!scenario_node(s, id).unknown) {
        assert_null(strstr(buf_text(&s->notes), "O17"));
        assert_true(scenario_node(s, id).out);
        assert_true(scenario_step(s));
    }
    assert_true(s->now >= op.deadline);
    assert_true(s->now < op.deadline + MINUTE_MS);
    assert_non_null(strstr(buf_text(&s->notes), "O17"));
    assert_int_equal(engine_run(s->engine).failures, 0); /* not failed, only unknown */
    while (s->runner.ended || scenario_node(s, id).unknown) {
        s->runner.ended = false;
        scenario_step(s);
    }
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    scenario_truth(s);
    scenario_free(s);
}

/* Lost before its first effect: set aside (O17). */
static void test_lost_before_first_effect(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    (void)state;
    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[first].id, NODE_STAGING);
    backend_plan_cut(s->world, first, TIME_NEVER);
    while (scenario_node(s, s->plan->inv->nodes[first].id).phase != NODE_ENDED)
        assert_true(scenario_step(s));
    check_end(s, s->plan->inv->nodes[first].id, NODE_SET_ASIDE);
    assert_int_equal(backend_plan_effects(s->world, first, "pause"), 0);
    scenario_free(s);
}

/* Lost long before its turn: it is waited for from then on, and then set aside (O17). */
static void test_lost_before_its_turn(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t later = s->plan->nodes[s->plan->waves[1].nodes[0]].node;

    (void)state;
    scenario_start(s);
    scenario_until(s, s->plan->inv->nodes[s->plan->nodes[s->plan->waves[0].nodes[0]].node].id, NODE_STAGING);
    backend_plan_cut(s->world, later, TIME_NEVER);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    check_end(s, s->plan->inv->nodes[later].id, NODE_SET_ASIDE);
    assert_non_null(strstr(engine_node(s->engine, later).reason, "unreachable"));
    scenario_replays(s);
    scenario_free(s);
}

/* A cut in the middle of each phase, a minute long: nothing is lost, nothing is done twice. */
static void test_short_cuts(void **state)
{
    (void)state;
    for (int p = NODE_CHECKING; p < NODE_ENDED; p++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
        uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
        const char *id = s->plan->inv->nodes[first].id;

        scenario_start(s);
        while (scenario_node(s, id).phase < (enum node_phase)p && scenario_step(s)) {
        }
        backend_plan_cut(s->world, first, s->now + MINUTE_MS);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        assert_int_equal(scenario_ended(s, NODE_DONE), 4);
        assert_int_equal(backend_plan_effects(s->world, first, "install"), 1);
        assert_int_equal(backend_plan_effects(s->world, first, "reboot"), 1);
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void cannot_tell(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OP_PROBE && a->ev->u.op_result.record.state == OP_UNKNOWN)
        a->ev->u.op_result.record.witness = WITNESS_CANNOT_TELL;
}

static void witness_says(struct scenario *s, uint32_t node, enum op_witness w)
{
    struct event ev = { .at = s->now, .type = EV_OP_RESULT, .node = node, .cluster = IX_NONE };

    ev.u.op_result.record = (struct op_record){
        .op = engine_op_open(s->engine, 0).op, .action = "install", .state = OP_UNKNOWN, .witness = w
    };
    check_ok(scenario_event(s, &ev), &s->err);
}

/* No witness can tell: the run holds, and a person's word is an event that decides. */
static void test_a_person_decides(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct fault *f = scenario_fault(s, NULL, "install", NULL);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
    struct event ev = { .type = EV_VERB, .node = first, .cluster = IX_NONE };

    (void)state;
    f->silent = f->no_journal = true;
    s->meddle = cannot_tell;
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_HOLDING);
    assert_string_equal(engine_run(s->engine).hold_verb, "decide");
    ev.u.verb.verb = VERB_DECIDE;
    ev.u.verb.person = "tester";
    assert_int_equal(scenario_event(s, &ev), ERR_INVALID); /* neither done nor not done */
    ev.u.verb.decision = WITNESS_SAYS_DONE;
    witness_says(s, first, WITNESS_SAYS_RUNNING);
    assert_int_equal(scenario_event(s, &ev), ERR_STATE); /* the node itself knows better */
    witness_says(s, first, WITNESS_CANNOT_TELL);
    check_ok(scenario_event(s, &ev), &s->err);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 4);
    assert_int_equal(backend_plan_effects(s->world, first, "install"), 1);
    scenario_replays(s);
    scenario_free(s);
}

/* What the witness of a given-up installation says, one answer after the other; the last one for good. */
static struct {
    enum op_witness says[4];
    uint32_t told, start_vmms; /* the latter: begun so far */
} given_up;

static void witness_in_turn(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    if (a->cause == CMD_OP_PROBE && a->ev->u.op_result.record.state == OP_UNKNOWN)
        a->ev->u.op_result.record.witness = given_up.says[given_up.told < 3 ? given_up.told++ : 3];
    given_up.start_vmms += a->cause == CMD_OP_START && strcmp(a->action, "start_vmms") == 0;
}

/* Closed by force while the outcome of an installation is not known; then a person says `return`. */
static struct scenario *given_up_and_returned(uint32_t node, enum op_witness last)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    const char *id = s->plan->inv->nodes[node].id;
    struct fault *f = scenario_fault(s, id, "install", NULL);

    memset(&given_up, 0, sizeof given_up);
    given_up.says[0] = WITNESS_CANNOT_TELL;
    given_up.says[1] = given_up.says[2] = WITNESS_SAYS_RUNNING;
    given_up.says[3] = last;
    f->silent = f->no_journal = true;
    s->meddle = witness_in_turn;
    scenario_start(s);
    scenario_until(s, id, NODE_INSTALLING);
    scenario_until_unknown(s, id);
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_end(s, id, NODE_STUCK);
    given_up.told = 1;
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    s->runner.ended = false;
    return s;
}

static uint32_t first_node(void)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;

    scenario_free(s);
    return first;
}

/* An op that was given up goes on on its node, which takes no other: `return` asks its witness, and begins nothing before it has
 * an end. The patch that it brought was never verified (O10, I17, I29). */
static void test_return_waits_for_what_was_given_up(void **state)
{
    uint32_t first = first_node();
    struct scenario *s = given_up_and_returned(first, WITNESS_SAYS_DONE);
    const char *id = s->plan->inv->nodes[first].id;

    (void)state;
    while (given_up.told < 3 || strstr(scenario_node(s, id).waits_for, "/install/1") == NULL) {
        assert_true(scenario_step(s));
        assert_int_equal(given_up.start_vmms, 0);
    }
    scenario_run(s);
    assert_int_equal(given_up.start_vmms, 1);
    check_end(s, id, NODE_SET_ASIDE);
    scenario_truth(s);
    scenario_replays(s);
    scenario_free(s);
}

/* What no witness can tell is a person's to decide, here too; but not while the node says that it runs. */
static void test_a_person_decides_what_was_given_up(void **state)
{
    static const struct {
        enum op_witness decision;
        enum node_end end;
    } rows[] = { { WITNESS_SAYS_DONE, NODE_SET_ASIDE }, { WITNESS_SAYS_NOT_DONE, NODE_RETURNED } };
    uint32_t first = first_node();

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = given_up_and_returned(first, WITNESS_CANNOT_TELL);
        const char *id = s->plan->inv->nodes[first].id;
        struct event ev = { .type = EV_VERB, .node = first, .cluster = IX_NONE };

        ev.u.verb.verb = VERB_DECIDE;
        ev.u.verb.decision = rows[i].decision;
        while (given_up.told < 2)
            assert_true(scenario_step(s));
        ev.at = s->now;
        assert_int_equal(scenario_event(s, &ev), ERR_STATE);
        assert_non_null(strstr(s->err.text, "still runs"));
        for (uint32_t k = 0; k < 12; k++)
            assert_true(scenario_step(s));
        assert_int_equal(given_up.start_vmms, 0);
        ev.at = s->now;
        check_ok(scenario_event(s, &ev), &s->err);
        scenario_run(s);
        check_end(s, id, rows[i].end);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* Nobody decides: it is stuck as before, and says on what (I28). */
static void test_given_up_and_never_decided(void **state)
{
    uint32_t first = first_node();
    struct scenario *s = given_up_and_returned(first, WITNESS_CANNOT_TELL);
    const char *id = s->plan->inv->nodes[first].id;

    (void)state;
    scenario_run(s);
    check_end(s, id, NODE_STUCK);
    assert_non_null(strstr(scenario_node(s, id).reason, "/install/1 has no end there"));
    assert_int_equal(given_up.start_vmms, 0);
    scenario_replays(s);
    scenario_free(s);
}

/* Another controller holds a node: this one stops at once, the run's state stays (I20). */
static void test_fenced(void **state)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", BUDGET);
    struct event ev = { .type = EV_NODE_REFUSED, .node = 0, .cluster = IX_NONE };

    (void)state;
    scenario_start(s);
    for (int i = 0; i < 30; i++)
        scenario_step(s);
    ev.u.refused.code = ERR_FENCED;
    ev.u.refused.text = "held by another controller, epoch 9";
    check_ok(scenario_event(s, &ev), &s->err);
    assert_true(s->runner.ended);
    check_run(s, RUN_RUNNING);
    assert_true(engine_run(s->engine).fenced);
    assert_non_null(strstr(engine_run(s->engine).end_text, "epoch 9"));
    assert_int_equal(scenario_verb(s, VERB_PAUSE, NULL), ERR_STATE);
    assert_true(engine_deadline(s->engine) == TIME_NEVER);
    scenario_replays(s);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_witness_says_done),
        cmocka_unit_test(test_witness_says_not_done),
        cmocka_unit_test(test_a_move_that_came_too_late),
        cmocka_unit_test(test_a_pause_that_came_too_late),
        cmocka_unit_test(test_abort_begins_nothing_anew),
        cmocka_unit_test(test_lost_reply),
        cmocka_unit_test(test_never_comes_back),
        cmocka_unit_test(test_rolled_back_without_the_lost_node),
        cmocka_unit_test(test_a_doubt_does_not_erase_the_reason),
        cmocka_unit_test(test_awaited_boot_is_not_unknown),
        cmocka_unit_test(test_slow_boot_goes_on),
        cmocka_unit_test(test_lost_before_first_effect),
        cmocka_unit_test(test_lost_before_its_turn),
        cmocka_unit_test(test_short_cuts),
        cmocka_unit_test(test_a_person_decides),
        cmocka_unit_test(test_return_waits_for_what_was_given_up),
        cmocka_unit_test(test_a_person_decides_what_was_given_up),
        cmocka_unit_test(test_given_up_and_never_decided),
        cmocka_unit_test(test_fenced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
