/* Durable before visible (I18, I25): nothing is sent before it is in the log, and a log that fails stops everything. */
#include "tests/scenarios/scenario.h"

#include "orchestrator/core/backend_replay.h"

#include <string.h>

static uint32_t sent;
static bool appended;

static void count(struct backend *b, const struct command *c)
{
    (void)b, (void)c;
    assert_true(appended);
    sent++;
}

static int append_ok(struct event_log *l, const struct event *ev, const struct command_list *c,
                     const struct engine *e, struct err *err)
{
    (void)l, (void)ev, (void)c, (void)e, (void)err;
    appended = true;
    return 0;
}

static int append_fails(struct event_log *l, const struct event *ev, const struct command_list *c,
                        const struct engine *e, struct err *err)
{
    (void)l, (void)ev, (void)c, (void)e;
    return err_set(err, ERR_FULL, "disk full");
}

static void test_log_first(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    struct backend b = { count };

    (void)state;
    sent = 0;
    appended = false;
    s->log.append = append_ok;
    s->runner.backend = &b;
    scenario_start(s);
    assert_int_equal(sent, 8); /* every node is claimed */
    scenario_free(s);
}

static void test_a_full_disk_stops(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    struct backend b = { count };
    struct event ev = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };

    (void)state;
    scenario_start(s);
    sent = 0;
    s->runner.backend = &b;
    s->log.append = append_fails;
    assert_int_equal(scenario_event(s, &ev), ERR_FULL);
    assert_non_null(strstr(s->err.text, "append to the event log"));
    assert_true(s->runner.stopped);
    s->log.append = append_ok;
    assert_int_equal(scenario_event(s, &ev), ERR_STATE); /* rebuild from the log */
    assert_int_equal(sent, 0);
    scenario_free(s);
}

/* A refused event is not logged, and the runner goes on. */
static void test_refused_event_changes_nothing(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    char before[SHA256_TEXT], after[SHA256_TEXT];
    uint32_t kept;

    (void)state;
    scenario_start(s);
    for (int i = 0; i < 50; i++)
        scenario_step(s);
    kept = s->kept.n;
    engine_hash(s->engine, before);
    assert_int_equal(scenario_verb(s, VERB_PROMOTE, NULL), ERR_STATE);
    assert_int_equal(scenario_verb(s, VERB_RETRY, s->plan->inv->nodes[0].id), ERR_STATE);
    assert_int_equal(scenario_verb(s, VERB_RETURN, s->plan->inv->nodes[0].id), ERR_STATE);
    assert_int_equal(scenario_verb(s, VERB_DECIDE, s->plan->inv->nodes[0].id), ERR_INVALID);
    engine_hash(s->engine, after);
    assert_string_equal(before, after);
    assert_int_equal(s->kept.n, kept);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    scenario_free(s);
}

/* A recorded decision that this engine would not make is named, and the replay stops there. */
static void test_replay_finds_the_difference(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    struct event_pictures pictures = { 0 };
    struct backend_replay nowhere;
    struct engine *again;
    struct runner r;
    int rc = 0;
    uint32_t at = 0;

    (void)state;
    scenario_start(s);
    scenario_run(s);
    s->kept.items[20].commands[3]++;
    backend_replay_init(&nowhere);
    check_ok(engine_new(s->plan, &again, &s->err), &s->err);
    runner_init(&r, again, &s->log, &nowhere.backend);
    for (; at < s->kept.n && rc == 0; at++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        check_ok(event_read(s->kept.items[at].event, strlen(s->kept.items[at].event), s->plan->inv, &pictures,
                            &a, &ev, &s->err),
                 &s->err);
        rc = runner_replay(&r, &ev, s->kept.items[at].commands, &s->err);
        arena_clear(&a);
    }
    assert_int_equal(rc, ERR_DIVERGED);
    assert_int_equal(at, 21);
    event_pictures_clear(&pictures);
    runner_clear(&r);
    engine_free(again);
    scenario_free(s);
}

/* Replies that fit no question or operation of ours change nothing (I21). */
static void test_strange_replies(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    struct event ev = { .type = EV_OP_RESULT, .node = 0, .cluster = IX_NONE };

    (void)state;
    scenario_start(s);
    for (int i = 0; i < 100; i++)
        scenario_step(s);
    ev.u.op_result.record.op = "not an id";
    ev.u.op_result.record.state = OP_DONE;
    ev.u.op_result.record.outcome = OUTCOME_OK;
    check_ok(scenario_event(s, &ev), &s->err);
    memset(&ev.u, 0, sizeof ev.u);
    ev.type = EV_OBSERVED;
    ev.u.observed.ask = 123456789;
    ev.u.observed.ok = true;
    check_ok(scenario_event(s, &ev), &s->err);
    memset(&ev.u, 0, sizeof ev.u);
    ev.type = EV_STAGED;
    ev.u.staged.ok = false;
    check_ok(scenario_event(s, &ev), &s->err);
    ev.node = IX_NONE;
    assert_int_equal(scenario_event(s, &ev), ERR_INVALID);
    scenario_run(s);
    check_run(s, RUN_FINISHED);
    assert_int_equal(scenario_ended(s, NODE_DONE), 8);
    scenario_free(s);
}

/* A command has its own words: its op may end, and its slot be used again, in the step that gave it (I23). */
static void test_a_command_keeps_its_words(void **state)
{
    struct scenario *s = scenario_new(NULL, NULL, NULL);
    uint32_t started = 0;

    (void)state;
    scenario_start(s);
    while (scenario_step(s)) {
        const struct command_list *list = &s->runner.commands;

        for (uint32_t i = 0; i < list->n; i++)
            for (uint32_t k = 0; k < engine_ops_open(s->engine); k++) {
                const char *op = list->items[i].op, *held = engine_op_open(s->engine, k).op;

                if (op == NULL || strcmp(op, held) != 0)
                    continue;
                assert_ptr_not_equal(op, held);
                started += list->items[i].type == CMD_OP_START;
            }
    }
    assert_true(started > 8);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_first),
        cmocka_unit_test(test_a_full_disk_stops),
        cmocka_unit_test(test_refused_event_changes_nothing),
        cmocka_unit_test(test_replay_finds_the_difference),
        cmocka_unit_test(test_strange_replies),
        cmocka_unit_test(test_a_command_keeps_its_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
