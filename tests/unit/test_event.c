/* Events and commands as text: what is written is read back equal, and bad text is refused by name. */
#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include "orchestrator/core/command.h"
#include "orchestrator/core/event.h"

#include <string.h>

static const struct fleet_words words = {
    .seed = 1, .clusters = 1, .nodes = 2, .vms = 1, .node_mib = 4096, .vm_mib_min = 512, .vm_mib_max = 1024
};

static void there_and_back(const struct inventory *inv, const struct event *ev, struct arena *a,
                           struct event *ret)
{
    struct buf once = BUF_INIT, twice = BUF_INIT;
    struct err err;

    event_write(&once, ev, inv, NULL);
    check_ok(event_read(once.data, once.len, inv, NULL, a, ret, &err), &err);
    event_write(&twice, ret, inv, NULL);
    assert_string_equal(buf_text(&once), buf_text(&twice));
    buf_clear(&once);
    buf_clear(&twice);
}

static void test_op_result(void **state)
{
    static const struct down_row rows[] = { { DOWN_VM, "5f0c", CAUSE_SAVED, 1000, TIME_NEVER,
                                              "state change" },
                                            { DOWN_VM, "5f0d", CAUSE_BLACKOUT, 5, 9, "event 20415" } };
    struct inventory *inv = small_fleet(&words);
    struct event ev = { .at = 42, .type = EV_OP_RESULT, .node = 1, .cluster = IX_NONE }, back;
    struct op_record *r = &ev.u.op_result.record;
    struct arena a = ARENA_INIT;

    (void)state;
    r->op = "r1/n00-01/1/install/1";
    r->action = "install";
    r->state = OP_UNKNOWN;
    r->witness = WITNESS_CANNOT_TELL;
    r->error_code = "failed";
    r->error_text = "\xe5\xa4\xb1\xe6\x95\x97 \"quoted\"\n";
    r->rows = rows;
    r->n_rows = 2;
    r->exit_code = -2146498529;
    r->reboot_required = true;
    there_and_back(inv, &ev, &a, &back);
    assert_int_equal(back.node, 1);
    assert_int_equal(back.u.op_result.record.rows[0].end, TIME_NEVER);
    assert_string_equal(back.u.op_result.record.error_text, r->error_text);
    assert_null(back.u.op_result.record.error_hint); /* absent stays absent */
    assert_int_equal(back.u.op_result.record.exit_code, -2146498529);
    arena_clear(&a);
    inventory_free(inv);
}

static void test_claimed(void **state)
{
    struct inventory *inv = small_fleet(&words);
    struct event ev = { .at = 42, .type = EV_NODE_CLAIMED, .node = 1, .cluster = IX_NONE }, back;
    struct arena a = ARENA_INIT;

    (void)state;
    ev.u.claimed.machine_id = "M7";
    for (int blank = 0; blank < 2; blank++) {
        ev.u.claimed.blank = blank == 1;
        memset(&back, 0, sizeof back);
        there_and_back(inv, &ev, &a, &back);
        assert_string_equal(back.u.claimed.machine_id, "M7");
        assert_int_equal(back.u.claimed.blank, blank);
    }
    arena_clear(&a);
    inventory_free(inv);
}

static void test_verb_and_starts(void **state)
{
    struct inventory *inv = small_fleet(&words);
    struct event ev = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE }, back;
    struct arena a = ARENA_INIT;

    (void)state;
    for (int v = 0; v < VERBS; v++) {
        ev.u.verb.verb = (enum verb)v;
        ev.u.verb.person = "anna";
        ev.u.verb.ticket = "CHG-7";
        ev.u.verb.reason = "its disk was changed";
        ev.u.verb.op = "r1/n00-01/1/install/1";
        ev.u.verb.decision = WITNESS_SAYS_DONE;
        ev.u.verb.accept_unknown = v % 2 == 0;
        there_and_back(inv, &ev, &a, &back);
        assert_int_equal(back.u.verb.verb, v);
        assert_string_equal(back.u.verb.reason, "its disk was changed");
        assert_int_equal(verb_by_name(verb_name((enum verb)v)), v);
    }
    memset(&ev, 0, sizeof ev);
    ev.type = EV_RUN_START;
    ev.node = ev.cluster = IX_NONE;
    ev.u.run_start.run = "r1";
    ev.u.run_start.plan_hash = "abc";
    ev.u.run_start.controller = "c1";
    ev.u.run_start.approval_expires = TIME_NEVER;
    there_and_back(inv, &ev, &a, &back);
    assert_true(back.u.run_start.approval_expires == TIME_NEVER);
    arena_clear(&a);
    inventory_free(inv);
}

static void test_bad_text(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "{}", "at_ms" },
        { "[]", "an event is an object" },
        { "{\"at_ms\":1,\"type\":\"nonsense\"}", "unknown word" },
        { "{\"at_ms\":1,\"type\":\"node_lost\",\"node\":\"nobody\",\"code\":\"lost\"}",
          "unknown node \"nobody\"" },
        { "{\"at_ms\":1,\"type\":\"node_lost\",\"node\":\"n00-00\",\"code\":\"odd\"}", "unknown error code" },
        { "{\"at_ms\":1,\"type\":\"observed\",\"ask\":1,\"what\":\"facts\",\"ok\":true,\"taken_ms\":1}",
          "facts" },
        { "{\"at_ms\":1,\"at_ms\":2,\"type\":\"timeout\"}", "stands twice" },
    };
    struct inventory *inv = small_fleet(&words);

    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(rows); i++) {
        struct arena a = ARENA_INIT;
        struct event ev = { .at = 77 };
        struct err err;

        assert_int_equal(event_read(rows[i].text, strlen(rows[i].text), inv, NULL, &a, &ev, &err),
                         ERR_INVALID);
        if (strstr(err.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_int_equal(ev.at, 77); /* unchanged on failure */
        arena_clear(&a);
    }
    inventory_free(inv);
}

static void test_commands(void **state)
{
    struct inventory *inv = small_fleet(&words);
    struct command items[] = { { .type = CMD_OP_START,
                                 .node = 0,
                                 .cluster = IX_NONE,
                                 .op = "r1/n00-00/1/pause/1",
                                 .action = "pause",
                                 .args = "{\"found_ours\":false}",
                                 .receiver = IX_NONE,
                                 .limit_ms = 5 },
                               { .type = CMD_NOTE,
                                 .node = IX_NONE,
                                 .cluster = IX_NONE,
                                 .receiver = IX_NONE,
                                 .note = NOTE_DEVIATION,
                                 .rule = "C2",
                                 .text = "x" },
                               { .type = CMD_CLAIM,
                                 .node = 1,
                                 .cluster = IX_NONE,
                                 .receiver = IX_NONE,
                                 .limit_ms = 7,
                                 .journal = true } };
    struct command_list l = { .items = items, .n = 3, .cap = 3 }, back = { 0 };
    struct buf b = BUF_INIT;
    struct err err;

    (void)state;
    commands_write(&b, &l, inv);
    assert_string_equal(
        buf_text(&b),
        "[{\"type\":\"op_start\",\"node\":\"n00-00\",\"op\":\"r1/n00-00/1/pause/1\",\"action\":\"pause\","
        "\"args\":{\"found_ours\":false},\"limit_ms\":5},"
        "{\"type\":\"note\",\"note\":\"deviation\",\"rule\":\"C2\",\"text\":\"x\"},"
        "{\"type\":\"claim\",\"node\":\"n00-01\",\"limit_ms\":7,\"journal\":true}]");
    check_ok(commands_read(buf_text(&b), inv, &back, &err), &err);
    assert_int_equal(back.n, 3);
    assert_false(back.items[0].journal);
    assert_true(back.items[2].journal);
    command_list_clear(&back);
    buf_clear(&b);
    inventory_free(inv);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_op_result), cmocka_unit_test(test_claimed),
                                        cmocka_unit_test(test_verb_and_starts),
                                        cmocka_unit_test(test_bad_text), cmocka_unit_test(test_commands) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
