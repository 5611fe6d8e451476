/* What the engine takes when: an event that cannot be is refused in words, and nothing has changed. */
#include "orchestrator/core/engine_state.h"
#include "tests/scenarios/scenario.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 2, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};

static struct event start_of(const struct scenario *s)
{
    struct event ev = { .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };

    ev.u.run_start.run = "r1";
    ev.u.run_start.plan_hash = s->plan->hash;
    ev.u.run_start.person = "tester";
    ev.u.run_start.controller = "00000000000000000000000000000001";
    ev.u.run_start.revision = ENGINE_REVISION;
    ev.u.run_start.epoch = 1;
    ev.u.run_start.approval_expires = TIME_NEVER;
    return ev;
}

static void refused(struct scenario *s, struct event *ev, enum err_code code, const char *why)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    uint32_t kept = s->kept.n;

    engine_hash(s->engine, before);
    assert_int_equal(scenario_event(s, ev), code);
    if (strstr(s->err.text, why) == NULL)
        fail_msg("%s: `%s`", event_type_name(ev->type), s->err.text);
    engine_hash(s->engine, after);
    assert_string_equal(before, after);
    assert_int_equal(s->kept.n, kept);
}

/* A run is bound to its plan and its revision. */
static void test_start(void **state)
{
    struct scenario *s = scenario_new(&words, NULL, NULL);
    struct event ev = start_of(s);

    (void)state;
    ev.u.run_start.revision++;
    refused(s, &ev, ERR_INVALID, "takeover goes on");
    ev = start_of(s);
    ev.u.run_start.plan_hash = "0000000000000000000000000000000000000000000000000000000000000000";
    refused(s, &ev, ERR_INVALID, "the run is bound to plan 0000");
    ev = start_of(s);
    ev.u.run_start.run = "a run";
    refused(s, &ev, ERR_INVALID, "`a run` is no name for a run");
    ev = (struct event){ .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };
    refused(s, &ev, ERR_STATE, "the run has not started");
    ev = start_of(s);
    check_ok(scenario_event(s, &ev), &s->err);
    refused(s, &ev, ERR_STATE, "the run has started already");
    scenario_free(s);
}

/* The names of run and nodes together are longer than an id. */
static void test_names_too_long(void **state)
{
    struct inventory *inv = small_fleet(&words);
    static char node[64], run[64];
    struct scenario *s;
    struct event ev;

    (void)state;
    memset(node, 'n', sizeof node - 1);
    memset(run, 'r', sizeof run - 1);
    inv->nodes[0].id = node;
    s = scenario_of(inv, NULL, NULL);
    ev = start_of(s);
    ev.u.run_start.run = run;
    assert_int_equal(scenario_event(s, &ev), ERR_INVALID);
    assert_non_null(strstr(s->err.text, "too long together"));
    scenario_free(s);
}

/* The other cluster is not in the run, and there is no node nine. */
static void test_nodes_of_the_run(void **state)
{
    static const enum event_type types[] = { EV_NODE_CLAIMED, EV_NODE_REFUSED, EV_NODE_LOST, EV_OBSERVED,
                                             EV_OP_RESULT,    EV_STAGED,       EV_VERB };
    static const uint32_t nodes[] = { 4, 8, 99 };
    struct scenario *s = scenario_new(&words, NULL, ",\"scope\":{\"clusters\":[\"c00\"]}");

    (void)state;
    scenario_start(s);
    for (unsigned i = 0; i < TABLE_LEN(types); i++)
        for (unsigned k = 0; k < TABLE_LEN(nodes); k++) {
            struct event ev = { .type = types[i], .node = nodes[k], .cluster = IX_NONE };

            if (ev.type == EV_VERB)
                ev.u.verb.verb = VERB_RETRY;
            refused(s, &ev, ERR_INVALID, "names no node of the run");
        }
    for (unsigned i = 0; i + 1 < TABLE_LEN(types); i++) {
        struct event ev = { .type = types[i], .node = IX_NONE, .cluster = IX_NONE };

        refused(s, &ev, ERR_INVALID, "names no node of the run");
    }
    scenario_free(s);
}

/* Stopped, only a later controller is listened to; one that is fenced says by whom. */
static void test_stopped(void **state)
{
    struct scenario *s = scenario_new(&words, NULL, NULL);
    struct event stop = { .type = EV_CONTROLLER_STOP, .node = IX_NONE, .cluster = IX_NONE },
                 tick = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE },
                 start = { .type = EV_CONTROLLER_START, .node = IX_NONE, .cluster = IX_NONE },
                 fenced = { .type = EV_NODE_REFUSED, .node = 0, .cluster = IX_NONE };

    (void)state;
    start.u.controller_start.controller = "00000000000000000000000000000002";
    start.u.controller_start.revision = ENGINE_REVISION;
    fenced.u.refused.code = ERR_FENCED;
    fenced.u.refused.text = "claimed by 00000000000000000000000000000009 at epoch 7";
    scenario_start(s);
    check_ok(scenario_event(s, &stop), &s->err);
    assert_true(engine_run(s->engine).stopped);
    assert_non_null(
        strstr(s->kept.items[s->kept.n - 1].commands, "the controller was stopped; resume goes on"));
    refused(s, &tick, ERR_STATE, "this controller has stopped");
    start.u.controller_start.epoch = 1;
    refused(s, &start, ERR_STATE, "epoch 1 is not above 1 (C.6)");
    start.u.controller_start.epoch = 2;
    start.u.controller_start.revision++;
    refused(s, &start, ERR_STATE, "takeover goes on");
    start.u.controller_start.revision = ENGINE_REVISION;
    check_ok(scenario_event(s, &start), &s->err);
    assert_false(engine_run(s->engine).stopped);
    check_ok(scenario_event(s, &fenced), &s->err);
    assert_true(engine_run(s->engine).fenced);
    refused(s, &tick, ERR_STATE, "this controller has stopped: ");
    scenario_free(s);
}

/* Nothing to do is an end, not a fault. */
static void test_nothing_to_do(void **state)
{
    struct inventory *inv = small_fleet(&words);
    struct scenario *s;

    (void)state;
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        inv->nodes[i].build.ubr = 4066;
    s = scenario_of(inv, NULL, NULL);
    scenario_start(s);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_string_equal(engine_run(s->engine).end_text, "the plan has nothing to do");
    assert_int_equal(scenario_ended(s, NODE_COMPLIANT), 8);
    scenario_free(s);
}

/* The right answer to a question about a cluster, if one of these commands asks it. */
static bool answer_of(const struct scenario *s, const char *commands, struct event *ret_ev)
{
    struct command_list l = { 0 };
    struct err err;

    check_ok(commands_read(commands, s->plan->inv, &l, &err), &err);
    *ret_ev = (struct event){ .type = EV_OBSERVED };
    for (uint32_t i = 0; i < l.n && ret_ev->u.observed.ask == 0; i++)
        if (l.items[i].type == CMD_OBSERVE && l.items[i].what == OBSERVE_CLUSTER) {
            ret_ev->node = l.items[i].node;
            ret_ev->cluster = l.items[i].cluster;
            ret_ev->u.observed.ask = l.items[i].ask;
            ret_ev->u.observed.what = OBSERVE_CLUSTER;
            ret_ev->u.observed.text = "no";
        }
    command_list_clear(&l);
    return ret_ev->u.observed.ask != 0;
}

/* An answer that is of another question, another node or another cluster than its number says, or of no question: as if it had
 * never come. The right one is taken after it. */
static void test_answers_of_another_question(void **state)
{
    struct scenario *s = scenario_new(&words, NULL, NULL);
    struct event good, ev;
    char before[SHA256_TEXT], after[SHA256_TEXT];

    (void)state;
    scenario_start(s);
    while (!answer_of(s, s->kept.items[s->kept.n - 1].commands, &good))
        assert_true(scenario_step(s));
    for (int way = 0; way < 5; way++) {
        ev = good;
        if (way == 0)
            ev.u.observed.what = OBSERVE_FACTS;
        if (way == 1)
            ev.node = good.node ^ 1;
        if (way == 2)
            ev.cluster = 1 - good.cluster;
        if (way == 3)
            ev.u.observed.ask = 0;
        if (way == 4)
            ev.u.observed.ask += 1000000;
        engine_hash(s->engine, before);
        check_ok(scenario_event(s, &ev), &s->err);
        engine_hash(s->engine, after);
        assert_string_equal(before, after);
        assert_non_null(s->engine->clusters[good.cluster].ask); /* still waited for */
    }
    check_ok(scenario_event(s, &good), &s->err);
    assert_null(s->engine->clusters[good.cluster].ask);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_names_too_long),
        cmocka_unit_test(test_nodes_of_the_run),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_answers_of_another_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
