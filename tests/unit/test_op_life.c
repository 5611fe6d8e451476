/* One op from ACCEPT to DONE when things come late, twice, or from another
 * controller: what is started, what is written, what is answered (I10, I20,
 * O10, C.3, C.4). */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

#define PAUSE "r1/HV07/1/pause/1"
#define STOP "r1/HV07/1/stop_vmms/1"
#define INSTALL "r1/HV07/1/install/1"
#define RESUME "r1/HV07/1/resume/1"
#define REBOOT "r1/HV07/1/reboot/1"
#define EMPTY_ANSWER "{\"result\":{\"empty\":true,\"left\":[]}}"
#define OK_ANSWER "{\"result\":{\"state\":\"x\"}}"
#define PACKAGE_ARGS                                                                                    \
    "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"aa\",\"kb\":\"KB1\",\"build\":26100,\"ubr\":4349}," \
    "\"parked\":[]}"
#define LIMIT_MS 50000 /* of each op here */

static int64_t start(struct bench *b, const char *op, const char *action, const char *args)
{
    return bench_start_op(b, 1, BENCH_CONTROLLER, 1, op, action, args, "");
}

static const char *outcome(struct bench *b, const char *op)
{
    return json_get_str(bench_done(b, op), "outcome", "");
}

static const char *error_of(struct bench *b, const char *op, const char *member)
{
    return json_get_str(json_get(bench_done(b, op), "error"), member, "");
}

static int64_t ask_op(struct bench *b, const char *method, const char *op)
{
    char params[160];

    snprintf(params, sizeof params, "{\"op\":\"%s\",\"session\":\"$S\"}", op);
    return bench_ask(b, 1, method, params);
}

static void ack(struct bench *b, const char *op)
{
    char params[160];

    snprintf(params, sizeof params, "{\"ops\":[\"%s\"],\"session\":\"$S\"}", op);
    bench_ask(b, 1, "op.ack", params);
}

#define MOVE "r1/HV07/1/move_vm:" BENCH_VM "/1"
#define MOVE_ARGS "{\"vm\":\"" BENCH_VM "\",\"to\":\"HV08\"}"

/* A START that cannot be written: the package, too, is hashed again before the next try (O9). */
static void test_package_opened_again(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/private/kb.msu");
    b->fail_appends = 1;
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_wait(b, 5000);
    bench_answer(b, bench_run(b, "package_open", ""), "/private/kb.msu");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_non_null(strstr(bench_run(b, "install", "run")->text, "\"path\":\"/private/kb.msu\""));
}

/* The end of one op cannot be written, in the step in which the checks of another begin: these begin again later. */
static void test_checks_behind_a_full_journal(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    bench_start_op(b, 1, BENCH_CONTROLLER, 1, MOVE, "move_vm", MOVE_ARGS,
                   "\"precondition\":{\"boot_id\":\"B1\"}");
    b->fail_appends = 3; /* the move's START, the pause's DONE, and that once more */
    bench_answer(b, bench_run(b, "facts", "run"), "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"B1\"}}");
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    bench_wait(b, 5000);
    assert_int_equal(b->fail_appends, 0);
    assert_false(bench_has_run(b, "facts", "run"));
    bench_wait(b, 5000);
    bench_answer(b, bench_run(b, "facts", "run"), "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"B1\"}}");
    assert_true(bench_has_run(b, "move_vm", "run"));
}

/* The same where the time of the other is over: it is ended all the same. */
static void test_deadline_behind_a_full_journal(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    start(b, MOVE, "move_vm", MOVE_ARGS);
    bench_wait(b, LIMIT_MS - 5000);
    b->fail_appends = 2;
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    bench_wait(b, 5000);
    assert_int_equal(b->fail_appends, 0);
    bench_wait(b, 1);
    assert_true(bench_run(b, "move_vm", "run")->killed);
}

/* Another controller has the node before the checks are over: nothing is begun for the first (I20). */
static void test_fenced_while_checking(void **state)
{
    struct bench *b = *state;

    start(b, STOP, "stop_vmms", "{}");
    bench_connect(b, 2);
    bench_try_claim(b, 2, BENCH_OTHER, 2);
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_false(bench_has_run(b, "stop_vmms", "run"));
    assert_int_equal(bench_count(b, AGENT_REC_START, STOP), 0);
}

/* The last check answers when the op's time is over. */
static void test_time_over_before_start(void **state)
{
    struct bench *b = *state;

    start(b, STOP, "stop_vmms", "{}");
    b->mono += LIMIT_MS; /* nobody told the agent of the time */
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_false(bench_has_run(b, "stop_vmms", "run"));
    assert_int_equal(bench_count(b, AGENT_REC_START, STOP), 0);
    assert_string_equal(outcome(b, STOP), "cancelled");
    assert_string_equal(error_of(b, STOP, "code"), "timeout");
}

/* The op's own time is over while a check still runs: the check is ended with it. */
static void test_time_over_in_second_check(void **state)
{
    struct bench *b = *state;

    bench_start_op(b, 1, BENCH_CONTROLLER, 1, STOP, "stop_vmms", "{}",
                   "\"precondition\":{\"boot_id\":\"B1\"}");
    bench_wait(b, 29000);
    bench_identify(b);
    bench_wait(b, LIMIT_MS - 29000);
    assert_true(bench_run(b, "check_empty", "run")->killed);
    assert_string_equal(outcome(b, STOP), "cancelled");
    bench_end(b, bench_run(b, "check_empty", "run"), AGENT_DRIVER_KILLED, "");
    assert_false(bench_has_run(b, "stop_vmms", "run"));
}

/* There is no room for START until the op's time is over. */
static void test_time_over_without_room(void **state)
{
    struct bench *b = *state;

    start(b, STOP, "stop_vmms", "{}");
    b->fail_appends = 1;
    bench_wait(b, 29000);
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    b->mono += LIMIT_MS;
    bench_wait(b, 1);
    if (bench_has_run(b, "check_empty", "run"))
        bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_false(bench_has_run(b, "stop_vmms", "run"));
    assert_string_equal(outcome(b, STOP), "cancelled");
    assert_string_equal(error_of(b, STOP, "code"), "timeout");
}

static void install_runs_late(struct bench *b)
{
    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_wait(b, LIMIT_MS);
    assert_string_equal(bench_state(b, INSTALL), "unknown");
}

/* A driver that was left at its deadline ends after all: what it says counts, once, and only as evidence. */
static void test_late_without_evidence(void **state)
{
    struct bench *b = *state;

    install_runs_late(b);
    bench_end(b, bench_run(b, "install", "run"), AGENT_DRIVER_BAD_EXIT, "");
    assert_string_equal(bench_state(b, INSTALL), "unknown");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, INSTALL), 0);
}

static void test_late_after_ack(void **state)
{
    struct bench *b = *state;
    int64_t id;

    install_runs_late(b);
    ack(b, INSTALL);
    id = start(b, PAUSE, "pause", "{}"); /* the driver of the first is at it still (I10) */
    assert_string_equal(bench_error(b, id), "state");
    bench_answer(b, bench_run(b, "install", "run"), "{\"result\":{\"exit\":3010}}");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, INSTALL), 0); /* a person has decided it */
    start(b, PAUSE, "pause", "{}");
    assert_true(bench_has_run(b, "pause", "run"));
}

static void test_late_after_its_witness(void **state)
{
    struct bench *b = *state;

    install_runs_late(b);
    ask_op(b, "op.witness", INSTALL);
    bench_answer(b, bench_run(b, "install", "witness"), "{\"witness\":\"done\"}");
    assert_string_equal(outcome(b, INSTALL), "ok");
    bench_answer(b, bench_run(b, "install", "run"), "{\"error\":{\"code\":\"failed\",\"message\":\"m\"}}");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, INSTALL), 1);
    assert_string_equal(bench_state(b, INSTALL), "done");
}

/* The driver ends while its witness is asked: the op is done, whatever the witness saw. */
static void test_done_before_its_witness(void **state)
{
    struct bench *b = *state;
    int64_t id;

    install_runs_late(b);
    id = ask_op(b, "op.witness", INSTALL);
    bench_answer(b, bench_run(b, "install", "run"), "{\"result\":{\"exit\":3010}}");
    bench_answer(b, bench_run(b, "install", "witness"), "{\"witness\":\"not_done\"}");
    assert_string_equal(json_get_str(bench_result(b, id), "witness", ""), "done");
    assert_int_equal(bench_count(b, AGENT_REC_WITNESS, INSTALL), 0);
    assert_int_equal(bench_count(b, AGENT_REC_DONE, INSTALL), 1);
}

/* Who asked is gone: what the witness saw is written all the same. */
static void test_witness_asker_is_gone(void **state)
{
    struct bench *b = *state;
    uint32_t sent;

    start(b, PAUSE, "pause", "{}");
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
    ask_op(b, "op.witness", PAUSE);
    bench_disconnect(b, 1);
    sent = b->n_sent;
    bench_answer(b, bench_run(b, "pause", "witness"), "{\"witness\":\"not_done\"}");
    assert_int_equal(b->n_sent, sent);
    assert_int_equal(bench_count(b, AGENT_REC_WITNESS, PAUSE), 1);
}

/* Asked twice at once: one record says so. And what a person has decided is not begun again. */
static void test_refuted_once(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, PAUSE, "pause", "{}");
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
    for (int i = 0; i < 2; i++) {
        ask_op(b, "op.witness", PAUSE);
        bench_answer(b, bench_run(b, "pause", "witness"), "{\"witness\":\"not_done\"}");
    }
    assert_int_equal(bench_count(b, AGENT_REC_WITNESS, PAUSE), 1);
    ack(b, PAUSE);
    id = start(b, PAUSE, "pause", "{}");
    assert_string_equal(json_get_str(bench_result(b, id), "state", ""), "unknown");
    assert_false(bench_has_run(b, "pause", "run"));
    assert_int_equal(bench_count(b, AGENT_REC_START, PAUSE), 1);
}

/* A reboot's driver that ends late proves nothing (C.4). */
static void test_late_reboot(void **state)
{
    struct bench *b = *state;

    start(b, REBOOT, "reboot", "{\"boot_id\":\"B1\",\"parked\":[]}");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_wait(b, LIMIT_MS);
    assert_string_equal(bench_state(b, REBOOT), "unknown");
    bench_answer(b, bench_run(b, "reboot", "run"), OK_ANSWER);
    assert_string_equal(bench_state(b, REBOOT), "unknown");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, REBOOT), 0);
}

/* A reboot that had happened already needs no other boot. */
static void test_reboot_already(void **state)
{
    struct bench *b = *state;

    start(b, REBOOT, "reboot", "{\"boot_id\":\"B1\",\"parked\":[]}");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_answer(b, bench_run(b, "reboot", "run"), "{\"result\":{\"already\":true}}");
    assert_string_equal(outcome(b, REBOOT), "ok");
}

/* An answer that nobody waits for, progress of nothing: ignored. */
static void test_answers_of_no_run(void **state)
{
    struct bench *b = *state;
    struct agent_effects out = AGENT_EFFECTS_INIT;
    static const struct agent_event none[] = {
        { .type = AGENT_EV_DRIVER_DONE, .run = 999, .text = OK_ANSWER, .len = sizeof OK_ANSWER - 1 },
        { .type = AGENT_EV_ANSWER, .run = 999, .text = "" },
        { .type = AGENT_EV_PROGRESS, .run = 999, .percent = 5, .text = "x" },
    };
    struct err err;

    for (unsigned i = 0; i < TABLE_LEN(none); i++) {
        struct agent_event ev = none[i];

        ev.at = b->at;
        ev.mono = b->mono;
        check_ok(agent_step(b->agent, &ev, &out, &err), &err);
        assert_int_equal(out.n, 0);
    }
    start(b, STOP, "stop_vmms", "{}");
    bench_progress(b, bench_run(b, "check_empty", "run"), 50); /* of a check: nobody is told */
    assert_string_equal(bench_state(b, STOP), "accepted");
    agent_effects_clear(&out);
}

/* Facts that are asked for right before START. */
static void test_facts_check(void **state)
{
    static const struct {
        const char *answer, *code, *text;
    } rows[] = {
        { "{\"result\":{\"boot_id\":\"B1\"}}", "precondition", "lack this node's identity" },
        { "{\"result\":{\"machine_id\":\"\",\"boot_id\":\"B1\"}}", "precondition",
          "lack this node's identity" },
        { "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"\"}}", "precondition",
          "lack this node's identity" },
        { "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"B2\"}}", "precondition", "has booted since" },
        { "{\"result\":{\"machine_id\":\"M2\",\"boot_id\":\"B1\"}}", "precondition", "another machine" },
        { "{\"error\":{\"code\":\"failed\",\"message\":\"no facts\"}}", "no_evidence", "no facts" },
        { "nonsense", "no_evidence", "" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct bench *b;
        void *bed = NULL;

        bench_set_up(&bed);
        b = bed;
        bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}",
                       "\"precondition\":{\"boot_id\":\"B1\"}");
        bench_answer(b, bench_run(b, "facts", "run"), rows[i].answer);
        if (strcmp(outcome(b, PAUSE), "refused") != 0 ||
            strcmp(error_of(b, PAUSE, "code"), rows[i].code) != 0 ||
            strstr(error_of(b, PAUSE, "message"), rows[i].text) == NULL)
            fail_msg("%u: %s %s %s", i, outcome(b, PAUSE), error_of(b, PAUSE, "code"),
                     error_of(b, PAUSE, "message"));
        assert_int_equal(bench_count(b, AGENT_REC_START, PAUSE), 0);
        bench_tear_down(&bed);
    }
}

static void rename_action(struct bench *b, const char *action)
{
    for (uint32_t i = 0; i < b->manifest.n_actions; i++)
        if (strcmp(b->manifest.actions[i].name, action) == 0)
            b->manifest.actions[i].name = "other";
}

/* Another driver was installed: what it lacks is said, and nothing is begun without the guard. */
static void test_driver_lacks_actions(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, PAUSE, "pause", "{}");
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
    rename_action(b, "pause");
    id = ask_op(b, "op.witness", PAUSE);
    assert_string_equal(bench_error(b, id), "not_found");
    ack(b, PAUSE);
    rename_action(b, "check_empty");
    start(b, STOP, "stop_vmms", "{}");
    assert_string_equal(outcome(b, STOP), "refused");
    assert_string_equal(error_of(b, STOP, "code"), "unsupported");
    assert_false(bench_has_run(b, "stop_vmms", "run"));
}

/* Accepted, and the agent died: cancelled without anything to end. */
static void test_cancel_after_restart(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, STOP, "stop_vmms", "{}");
    bench_halt(b);
    bench_boot(b, NULL);
    bench_identify(b);
    bench_connect(b, 1);
    bench_claim(b, 1, BENCH_CONTROLLER, 1);
    assert_string_equal(bench_state(b, STOP), "accepted");
    id = ask_op(b, "op.cancel", STOP);
    assert_string_equal(json_get_str(bench_result(b, id), "outcome", ""), "cancelled");
    id = ask_op(b, "op.cancel", "r1/HV07/1/pause/9");
    assert_string_equal(json_get_str(bench_result(b, id), "state", ""), "none");
}

/* While its package is opened: the hashing goes on to its end, its answer leads nowhere. */
static void test_cancel_while_package_opens(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    ask_op(b, "op.cancel", INSTALL);
    assert_false(bench_run(b, "package_open", "")->killed);
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    assert_false(bench_has_run(b, "check_empty", "run"));
    assert_string_equal(bench_state(b, INSTALL), "done");
}

/* A driver that lives is adopted for an op that this journal began and has not ended, for no other. */
static void test_adopts_only_its_own(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    bench_halt(b);
    bench_boot(b, PAUSE); /* done already */
    bench_identify(b);
    assert_string_equal(bench_state(b, PAUSE), "done");
    assert_int_equal(b->n_runs, 0);
    bench_halt(b);
    bench_boot(b, "r1/HV07/1/pause/77"); /* never heard of */
    bench_identify(b);
    assert_int_equal(b->n_runs, 0);
    bench_connect(b, 1);
}

/* While its package is opened the op's time is over: the hashing goes on to its end, its answer leads nowhere. */
static void test_time_over_while_package_opens(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_wait(b, LIMIT_MS);
    assert_false(bench_run(b, "package_open", "")->killed);
    assert_string_equal(outcome(b, INSTALL), "cancelled");
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    assert_int_equal(b->n_runs, 0);
    assert_int_equal(bench_count(b, AGENT_REC_START, INSTALL), 0);
}

/* No room for START, and the op's time is over before it is tried again: nothing was begun. */
static void test_time_over_before_the_second_try(void **state)
{
    struct bench *b = *state;

    start(b, STOP, "stop_vmms", "{}");
    bench_wait(b, 29000);
    bench_wait(b, LIMIT_MS - 29000 - 1);
    b->fail_appends = 1;
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_string_equal(bench_state(b, STOP), "accepted");
    bench_wait(b, 1);
    assert_string_equal(outcome(b, STOP), "cancelled");
    assert_int_equal(bench_count(b, AGENT_REC_START, STOP), 0);
    assert_int_equal(b->n_runs, 0);
}

/* No room for the end of an op whose time was over in its check: the check is ended when it can be written. */
static void test_no_room_for_the_end_of_a_check(void **state)
{
    struct bench *b = *state;

    bench_start_op(b, 1, BENCH_CONTROLLER, 1, STOP, "stop_vmms", "{}",
                   "\"precondition\":{\"boot_id\":\"B1\"}");
    bench_wait(b, 29000);
    bench_identify(b);
    b->fail_appends = 1;
    bench_wait(b, LIMIT_MS - 29000);
    assert_false(bench_run(b, "check_empty", "run")->killed);
    assert_int_equal(bench_count(b, AGENT_REC_DONE, STOP), 0);
    bench_wait(b, 30000);
    assert_true(bench_run(b, "check_empty", "run")->killed);
    bench_end(b, bench_run(b, "check_empty", "run"), AGENT_DRIVER_KILLED, "");
    assert_false(bench_has_run(b, "stop_vmms", "run"));
}

/* No room for ACCEPT of an op that is refused in the same breath: it was never there. */
static void test_no_room_for_what_is_refused_at_once(void **state)
{
    struct bench *b = *state;
    int64_t id;

    rename_action(b, "check_empty");
    b->fail_appends = 1;
    id = start(b, STOP, "stop_vmms", "{}");
    assert_string_equal(bench_error(b, id), "full");
    assert_string_equal(bench_state(b, STOP), "none");
    start(b, STOP, "stop_vmms", "{}");
    assert_string_equal(error_of(b, STOP, "code"), "unsupported");
}

/* The driver was exchanged while the one before was at it: ended at its time limit all the same, and without a witness it is
 * unknown. */
static void test_driver_exchanged_while_at_it(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    rename_action(b, "pause");
    bench_wait(b, LIMIT_MS);
    assert_true(bench_run(b, "pause", "run")->killed);
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_KILLED, "");
    assert_int_equal(b->n_runs, 0);
    assert_string_equal(bench_state(b, PAUSE), "unknown");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, PAUSE), 0);
}

/* The agent's own witness cannot decide; asked twice at once, the first that says done ends it, and the second says nothing new. */
static void test_two_witnesses_at_once(void **state)
{
    struct bench *b = *state;
    struct bench_run *own;

    start(b, PAUSE, "pause", "{}");
    bench_wait(b, LIMIT_MS);
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_KILLED, "");
    own = bench_run(b, "pause", "witness");
    bench_answer(b, own, "{\"witness\":\"running\"}");
    assert_string_equal(bench_state(b, PAUSE), "unknown");
    ask_op(b, "op.witness", PAUSE);
    ask_op(b, "op.witness", PAUSE);
    bench_answer(b, bench_run(b, "pause", "witness"), "{\"witness\":\"done\"}");
    bench_answer(b, bench_run(b, "pause", "witness"), "{\"witness\":\"not_done\"}");
    assert_string_equal(outcome(b, PAUSE), "ok");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, PAUSE), 1);
    assert_int_equal(bench_count(b, AGENT_REC_WITNESS, PAUSE), 0);
}

/* Asked twice at once, and by the first answer begun once more: the second was about the start before. What it saw undone says nothing
 * of this one; what it saw done does. */
static void test_a_witness_of_the_start_before(void **state)
{
    struct bench *b = *state;

    for (int done = 0; done < 2; done++) {
        int64_t second;

        start(b, done ? RESUME : PAUSE, done ? "resume" : "pause", "{}");
        bench_end(b, bench_run(b, done ? "resume" : "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
        ask_op(b, "op.witness", done ? RESUME : PAUSE);
        second = ask_op(b, "op.witness", done ? RESUME : PAUSE);
        bench_answer(b, &b->runs[0], "{\"witness\":\"not_done\"}");
        start(b, done ? RESUME : PAUSE, done ? "resume" : "pause", "{}");
        bench_end(b, bench_run(b, done ? "resume" : "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
        bench_answer(b, bench_run(b, done ? "resume" : "pause", "witness"),
                     done ? "{\"witness\":\"done\"}" : "{\"witness\":\"not_done\"}");
        assert_string_equal(json_get_str(bench_result(b, second), "witness", ""),
                            done ? "done" : "cannot_tell");
        assert_int_equal(bench_count(b, AGENT_REC_WITNESS, done ? RESUME : PAUSE), 1);
        assert_string_equal(bench_state(b, done ? RESUME : PAUSE), done ? "done" : "unknown");
        ack(b, PAUSE); /* a person has decided it */
    }
}

#define FETCH "r1/HV07/1/fetch_package/1"

/* What was fetched is hashed when the op's time is over: unknown, and the late answer leads nowhere; its witness looks anew. */
static void test_adopted_too_late(void **state)
{
    struct bench *b = *state;

    start(b, FETCH, "fetch_package",
          "{\"source\":\"//share\",\"name\":\"kb.msu\",\"sha256\":"
          "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"size_bytes\":9}");
    bench_answer(b, bench_run(b, "package_place", ""), "");
    bench_answer(b, bench_run(b, "fetch_package", "run"), "{\"result\":{\"path\":\"p\"}}");
    bench_wait(b, LIMIT_MS);
    assert_string_equal(bench_state(b, FETCH), "unknown");
    bench_answer(b, bench_run(b, "package_adopt", ""), "/store/kb.msu");
    assert_string_equal(bench_state(b, FETCH), "unknown");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, FETCH), 0);
    ask_op(b, "op.witness", FETCH);
    bench_answer(b, bench_run(b, "fetch_package", "witness"), "{\"witness\":\"done\"}");
    assert_string_equal(outcome(b, FETCH), "ok");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_package_opened_again),
        T(test_checks_behind_a_full_journal),
        T(test_deadline_behind_a_full_journal),
        T(test_fenced_while_checking),
        T(test_time_over_before_start),
        T(test_time_over_in_second_check),
        T(test_time_over_without_room),
        T(test_late_without_evidence),
        T(test_late_after_ack),
        T(test_late_after_its_witness),
        T(test_done_before_its_witness),
        T(test_witness_asker_is_gone),
        T(test_refuted_once),
        T(test_late_reboot),
        T(test_reboot_already),
        T(test_answers_of_no_run),
        cmocka_unit_test(test_facts_check),
        T(test_driver_lacks_actions),
        T(test_cancel_after_restart),
        T(test_cancel_while_package_opens),
        T(test_adopts_only_its_own),
        T(test_time_over_while_package_opens),
        T(test_time_over_before_the_second_try),
        T(test_no_room_for_the_end_of_a_check),
        T(test_no_room_for_what_is_refused_at_once),
        T(test_driver_exchanged_while_at_it),
        T(test_two_witnesses_at_once),
        T(test_a_witness_of_the_start_before),
        T(test_adopted_too_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
