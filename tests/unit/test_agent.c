/* agent/core as a whole: requests, driver answers and time in; records,
 * replies and driver starts out, in the order that keeps the promises. */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

#define PAUSE "r1/HV07/1/pause/1"
#define INSTALL "r1/HV07/1/install/1"
#define REBOOT "r1/HV07/1/reboot/1"
#define MOVE(n) "r1/HV07/1/move_vm:00000000-0000-4000-8000-00000000000" #n "/1"
#define OK_ANSWER "{\"result\":{\"state\":\"x\"}}"
#define EMPTY_ANSWER "{\"result\":{\"empty\":true,\"left\":[]}}"
#define PACKAGE_ARGS                                                                                    \
    "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"aa\",\"kb\":\"KB1\",\"build\":26100,\"ubr\":4349}," \
    "\"parked\":[]}"

static int64_t start(struct bench *b, const char *op, const char *action, const char *args)
{
    return bench_start_op(b, 1, BENCH_CONTROLLER, 1, op, action, args, "");
}

/* An op goes ACCEPT, reply, START, driver, DONE, notification. */
static void test_op_life(void **state)
{
    struct bench *b = *state;
    int64_t id = start(b, PAUSE, "pause", "{\"found_ours\":false}");

    assert_string_equal(json_get_str(bench_result(b, id), "state", ""), "accepted");
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, PAUSE), 1);
    assert_int_equal(bench_count(b, AGENT_REC_START, PAUSE), 1);
    assert_null(bench_done(b, PAUSE));
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    assert_int_equal(bench_count(b, AGENT_REC_DONE, PAUSE), 1);
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "ok");
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "output_tail", ""), "said\n");
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "boot_id", ""), "B1");
}

/* The same op.start again answers the record and starts nothing. */
static void test_start_is_idempotent(void **state)
{
    struct bench *b = *state;
    int64_t again;

    start(b, PAUSE, "pause", "{}");
    again = start(b, PAUSE, "pause", "{}");
    assert_string_equal(json_get_str(bench_result(b, again), "state", ""), "running");
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    again = start(b, PAUSE, "pause", "{}");
    assert_string_equal(json_get_str(bench_result(b, again), "outcome", ""), "ok");
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, PAUSE), 1);
    assert_false(bench_has_run(b, "pause", "run"));
}

/* The same id with other arguments is an error, not another op (C.1). */
static void test_other_arguments_are_refused(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    assert_string_equal(bench_error(b, start(b, PAUSE, "pause", "{\"found_ours\":true}")), "invalid");
    assert_string_equal(bench_error(b, start(b, PAUSE, "resume", "{}")), "invalid");
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, PAUSE), 1);
}

/* A digest that is not that of the arguments is refused before anything. */
static void test_digest_must_match(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(b, 1, "op.start",
                           "{\"op\":\"" PAUSE
                           "\",\"action\":\"pause\",\"args\":{},\"digest\":\"00\",\"limit_ms\":1000,"
                           "\"epoch\":1,\"controller\":\"" BENCH_CONTROLLER
                           "\",\"log\":{\"seq\":1,\"hash\":\"h\"},\"session\":\"$S\"}");

    assert_string_equal(bench_error(b, id), "invalid");
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, PAUSE), 0);
}

/* Ops for another node, of an unknown or read-only action, are refused (I16). */
static void test_wrong_orders(void **state)
{
    struct bench *b = *state;

    assert_string_equal(bench_error(b, start(b, "r1/HV08/1/pause/1", "pause", "{}")), "invalid");
    assert_string_equal(bench_error(b, start(b, "r1/HV07/1/facts/1", "facts", "{}")), "invalid");
    assert_string_equal(bench_error(b, start(b, "r1/HV07/1/dance/1", "dance", "{}")), "invalid");
    assert_string_equal(bench_error(b, start(b, "r1/HV07/1/merge/1", "merge", "{}")), "not_found");
    assert_string_equal(bench_error(b, start(b, "no id", "pause", "{}")), "invalid");
}

/* A request that cites another session is void (C.5). */
static void test_other_session_is_void(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(b, 1, "op.ack", "{\"ops\":[],\"session\":\"00000000000000000000000000000009\"}");

    assert_string_equal(bench_error(b, id), "state");
}

/* What lay in a dead connection comes through after its time: it begins nothing, and is told as void, not as refused (C.5). */
static void test_an_order_after_its_time_is_void(void **state)
{
    struct bench *b = *state;
    char until[40];

    snprintf(until, sizeof until, "\"until_mono_ms\":%lld", (long long)b->mono + 60000);
    bench_wait(b, 60001);
    assert_string_equal(
        bench_error(b, bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", until)), "timeout");
    assert_string_equal(bench_state(b, PAUSE), "none");
    assert_false(bench_has_run(b, "pause", "run"));
    snprintf(until, sizeof until, "\"until_mono_ms\":%lld", (long long)b->mono);
    assert_non_null(bench_result(b, bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", until)));
    assert_true(bench_has_run(b, "pause", "run"));
}

/* The record of what was admitted in time is told whenever it is asked for. */
static void test_the_record_is_told_after_its_time(void **state)
{
    struct bench *b = *state;
    char until[40];

    snprintf(until, sizeof until, "\"until_mono_ms\":%lld", (long long)b->mono + 1000);
    bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", until);
    bench_wait(b, 2000);
    assert_string_equal(
        json_get_str(bench_result(b, bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", until)),
                     "state", ""),
        "running");
}

/* The hello tells the clock that an order's time is counted on. */
static void test_hello_tells_the_clock(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(b, 1, "hello",
                           "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" BENCH_CONTROLLER
                           "\",\"program\":\"p\"}");

    assert_int_equal(json_get_int(json_get(bench_result(b, id), "clock"), "mono_ms", -1), b->mono);
}

/* One node-level op at a time; moves run beside it within the slots. */
static void test_one_node_level_op(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    assert_string_equal(bench_error(b, start(b, "r1/HV07/1/resume/1", "resume", "{}")), "state");
    assert_non_null(bench_result(b, start(b, MOVE(1), "move_vm", "{\"vm\":\"1\"}")));
    assert_string_equal(bench_error(b, start(b, MOVE(2), "move_vm", "{\"vm\":\"1\"}")), "state");
    assert_non_null(bench_result(b, start(b, MOVE(3), "move_vm", "{\"vm\":\"3\"}")));
    assert_string_equal(bench_error(b, start(b, MOVE(4), "move_vm", "{\"vm\":\"4\"}")), "capacity");
}

/* install is never begun on a node that is not proved empty, whatever the
 * request says (I1, O2); the package is hashed before. */
static void test_guard_before_install(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/private/kb.msu");
    assert_non_null(strstr(bench_run(b, "check_empty", "run")->text, "\"form\":\"processes\""));
    bench_answer(b, bench_run(b, "check_empty", "run"),
                 "{\"result\":{\"empty\":false,\"left\":[{\"kind\":\"vm\",\"id\":\"v\",\"name\":\"n\","
                 "\"why\":\"running\"}]}}");
    assert_false(bench_has_run(b, "install", "run"));
    assert_int_equal(bench_count(b, AGENT_REC_START, INSTALL), 0);
    assert_string_equal(json_get_str(bench_done(b, INSTALL), "outcome", ""), "refused");
    assert_string_equal(json_get_str(json_get(bench_done(b, INSTALL), "error"), "code", ""), "not_empty");
}

/* "empty": true beside something left is no proof. */
static void test_contradicting_check_is_no_proof(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/private/kb.msu");
    bench_answer(b, bench_run(b, "check_empty", "run"),
                 "{\"result\":{\"empty\":true,\"left\":[{\"kind\":\"vm\",\"id\":\"v\",\"name\":\"n\",\"why\":"
                 "\"?\"}]}}");
    assert_string_equal(json_get_str(bench_done(b, INSTALL), "outcome", ""), "refused");
}

/* A check that gives no answer refuses: nothing was begun. */
static void test_check_without_answer_refuses(void **state)
{
    struct bench *b = *state;

    start(b, "r1/HV07/1/stop_vmms/1", "stop_vmms", "{}");
    assert_non_null(strstr(bench_run(b, "check_empty", "run")->text, "\"form\":\"vmms\""));
    bench_answer(b, bench_run(b, "check_empty", "run"), "{\"result\":{}} trailing");
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/stop_vmms/1"), "outcome", ""), "refused");
    assert_false(bench_has_run(b, "stop_vmms", "run"));
}

/* The driver gets the private copy's path inside `package`. */
static void test_package_path_reaches_driver(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/private/kb.msu");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_non_null(strstr(bench_run(b, "install", "run")->text, "\"path\":\"/private/kb.msu\""));
    assert_true(bench_run(b, "install", "run")->leave);
}

/* O9: the target is opened first, then each checkpoint package, into the target's folder; the driver gets the target's path, and
 * one that is missing refuses before anything began. */
static void test_checkpoints_are_opened_beside(void **state)
{
    struct bench *b = *state;
    const char *args = "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"aa\",\"checkpoints\":[{\"name\":\"c1."
                       "msu\",\"sha256\":\"bb\"},"
                       "{\"name\":\"c2.msu\",\"sha256\":\"cc\"}]}}";
    static const char *const digests[] = { "aa", "bb", "cc" }, *const names[] = { "kb.msu", "c1.msu",
                                                                                  "c2.msu" };

    start(b, INSTALL, "install", args);
    for (unsigned i = 0; i < 3; i++) {
        struct bench_run *r = bench_run(b, "package_open", "");

        assert_string_equal(r->text, digests[i]);
        assert_string_equal(r->name, names[i]);
        assert_string_equal(r->with, "aa");
        assert_false(bench_has_run(b, "check_empty", "run"));
        bench_answer(b, r, i == 0 ? "/private/aa/kb.msu" : "/private/aa/c.msu");
    }
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_non_null(strstr(bench_run(b, "install", "run")->text, "\"path\":\"/private/aa/kb.msu\""));
    assert_non_null(strstr(bench_run(b, "install", "run")->text, "\"name\":\"c2.msu\""));
}

static void test_missing_checkpoint_refuses(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install",
          "{\"package\":{\"name\":\"kb.msu\",\"sha256\":\"aa\",\"checkpoints\":[{\"name\":\"c1.msu\","
          "\"sha256\":\"bb\"}]}}");
    bench_answer(b, bench_run(b, "package_open", ""), "/private/aa/kb.msu");
    bench_refuse(b, bench_run(b, "package_open", ""), ERR_NOT_FOUND,
                 "the package is not on this node: stage it first");
    assert_string_equal(json_get_str(bench_done(b, INSTALL), "outcome", ""), "refused");
    assert_false(bench_has_run(b, "install", "run"));
}

/* Preconditions are looked at on the node; one that does not hold refuses. */
static void test_preconditions(void **state)
{
    struct bench *b = *state;

    bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "\"precondition\":{\"boot_id\":\"B0\"}");
    bench_identify(b);
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "refused");
    bench_start_op(b, 1, BENCH_CONTROLLER, 1, "r1/HV07/1/pause/2", "pause", "{}",
                   "\"precondition\":{\"boot_id\":\"B1\",\"build\":\"26100.4060\"}");
    bench_identify(b);
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/pause/2"), "outcome", ""), "refused");
    bench_start_op(b, 1, BENCH_CONTROLLER, 1, "r1/HV07/1/pause/3", "pause", "{}",
                   "\"precondition\":{\"boot_id\":\"B1\",\"build\":\"26100.4061\"}");
    bench_identify(b);
    assert_true(bench_has_run(b, "pause", "run"));
}

/* A driver's error tells whether anything changed. */
static void test_driver_errors(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    bench_answer(b, bench_run(b, "pause", "run"),
                 "{\"error\":{\"code\":\"found_paused\",\"message\":\"m\"}}");
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "refused");
    start(b, "r1/HV07/1/pause/2", "pause", "{}");
    bench_answer(
        b, bench_run(b, "pause", "run"),
        "{\"error\":{\"code\":\"failed\",\"message\":\"m\",\"native\":\"0x80071398\",\"hint\":null}}");
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/pause/2"), "outcome", ""), "failed");
    assert_string_equal(json_get_str(json_get(bench_done(b, "r1/HV07/1/pause/2"), "error"), "native", ""),
                        "0x80071398");
}

/* No answer is no evidence: the op is unknown, and its witness decides. */
static void test_no_evidence_then_witness(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, PAUSE, "pause", "{}");
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_BAD_EXIT, OK_ANSWER);
    assert_string_equal(bench_state(b, PAUSE), "unknown");
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "state", ""), "unknown");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, PAUSE), 0);
    id = bench_ask(b, 1, "op.witness", "{\"op\":\"" PAUSE "\",\"session\":\"$S\"}");
    bench_answer(b, bench_run(b, "pause", "witness"),
                 "{\"witness\":\"done\",\"evidence\":{\"state\":\"paused\"}}");
    assert_string_equal(json_get_str(bench_result(b, id), "witness", ""), "done");
    assert_string_equal(json_get_str(json_get(bench_result(b, id), "record"), "outcome", ""), "ok");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, PAUSE), 1);
}

/* `not_done` lets the same op start once more, and only once. */
static void test_not_done_starts_once_more(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    for (int i = 0; i < 2; i++) {
        bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
        bench_ask(b, 1, "op.witness", "{\"op\":\"" PAUSE "\",\"session\":\"$S\"}");
        bench_answer(b, bench_run(b, "pause", "witness"), "{\"witness\":\"not_done\"}");
        start(b, PAUSE, "pause", "{}");
    }
    assert_int_equal(bench_count(b, AGENT_REC_START, PAUSE), 2);
    assert_false(bench_has_run(b, "pause", "run"));
    assert_string_equal(bench_state(b, PAUSE), "unknown");
}

/* What a witness cannot tell leaves the op unknown. */
static void test_witness_cannot_tell(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, PAUSE, "pause", "{}");
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_BAD_EXIT, "");
    id = bench_ask(b, 1, "op.witness", "{\"op\":\"" PAUSE "\",\"session\":\"$S\"}");
    bench_answer(b, bench_run(b, "pause", "witness"), "garbage");
    assert_string_equal(json_get_str(bench_result(b, id), "witness", ""), "cannot_tell");
    assert_string_equal(bench_state(b, PAUSE), "unknown");
    assert_string_equal(bench_error(b, start(b, "r1/HV07/1/resume/1", "resume", "{}")), "state");
}

/* A `kill` action over its limit is killed, then witnessed. */
static void test_deadline_kills_and_asks(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    bench_wait(b, 49999);
    assert_false(bench_run(b, "pause", "run")->killed);
    bench_wait(b, 1);
    assert_true(bench_run(b, "pause", "run")->killed);
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_KILLED, "");
    bench_answer(b, bench_run(b, "pause", "witness"), "{\"witness\":\"not_done\"}");
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "failed");
    assert_string_equal(json_get_str(json_get(bench_done(b, PAUSE), "error"), "code", ""), "timeout");
}

/* A `leave` action over its limit is unknown; its late answer still counts (O10). */
static void test_leave_goes_on(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_wait(b, 60000);
    assert_false(bench_run(b, "install", "run")->killed);
    assert_string_equal(bench_state(b, INSTALL), "unknown");
    id = bench_ask(b, 1, "op.witness", "{\"op\":\"" INSTALL "\",\"session\":\"$S\"}");
    bench_answer(b, bench_run(b, "install", "witness"), "{\"witness\":\"not_done\"}");
    assert_string_equal(json_get_str(bench_result(b, id), "witness", ""), "running");
    assert_int_equal(bench_count(b, AGENT_REC_WITNESS, INSTALL), 0);
    bench_answer(b, bench_run(b, "install", "run"), "{\"result\":{\"exit\":3010}}");
    assert_string_equal(json_get_str(bench_done(b, INSTALL), "outcome", ""), "ok");
}

/* A reboot is done only when the boot id differs, however glad its driver is. */
static void test_reboot_waits_for_boot(void **state)
{
    struct bench *b = *state;

    start(b, REBOOT, "reboot", "{\"boot_id\":\"B1\",\"parked\":[]}");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_answer(b, bench_run(b, "reboot", "run"), OK_ANSWER);
    assert_string_equal(bench_state(b, REBOOT), "running");
    bench_halt(b);
    bench_boot(b, NULL);
    bench_identify(b);
    assert_string_equal(bench_state(b, REBOOT), "unknown"); /* restarted in the same boot */
    bench_halt(b);
    b->boot = "B2";
    bench_boot(b, NULL);
    bench_identify(b);
    assert_string_equal(bench_state(b, REBOOT), "done");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, REBOOT), 1);
}

/* Killed between the boot's own record and the reboot's DONE: the next start decides it (docs/wire.md). */
static void test_killed_before_the_boot_decided(void **state)
{
    struct bench *b = *state;

    for (int stop = 0; stop < 4; stop++) {
        bench_close(b);
        bench_open(b);
        bench_boot(b, NULL);
        bench_identify(b);
        bench_connect(b, 1);
        bench_claim(b, 1, BENCH_CONTROLLER, 1);
        start(b, REBOOT, "reboot", "{\"boot_id\":\"B1\",\"parked\":[]}");
        bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
        bench_answer(b, bench_run(b, "reboot", "run"), OK_ANSWER);
        bench_halt(b);
        b->boot = "B2";
        bench_boot(b, NULL);
        b->effects_done = 0;
        b->stop_after = stop;
        bench_identify(b);
        assert_int_equal(bench_count(b, AGENT_REC_DONE, REBOOT), stop >= 2);
        b->stop_after = -1;
        bench_halt(b);
        bench_boot(b, NULL);
        bench_identify(b);
        assert_string_equal(bench_state(b, REBOOT), "done");
        assert_int_equal(bench_count(b, AGENT_REC_DONE, REBOOT), 1);
    }
}

/* hello waits for the identity; without one it is refused and asked again. */
static void test_hello_waits_for_identity(void **state)
{
    struct bench *b = *state;
    int64_t id;

    bench_halt(b);
    bench_boot(b, NULL);
    bench_connect(b, 2);
    id = bench_ask(b, 2, "hello",
                   "{\"protocol\":{\"min\":1,\"max\":3},\"controller\":\"" BENCH_CONTROLLER
                   "\",\"program\":\"p\"}");
    assert_string_equal(bench_error(b, bench_ask(b, 2, "facts", "{}")), "state");
    assert_null(bench_result(b, id));
    bench_answer(b, bench_run(b, "facts", "run"), "{\"error\":{\"code\":\"busy\",\"message\":\"booting\"}}");
    assert_string_equal(bench_error(b, id), "state");
    bench_wait(b, 1000);
    bench_identify(b);
    id = bench_ask(b, 2, "hello",
                   "{\"protocol\":{\"min\":1,\"max\":3},\"controller\":\"" BENCH_CONTROLLER
                   "\",\"program\":\"p\"}");
    assert_string_equal(json_get_str(bench_result(b, id), "boot_id", ""), "B1");
    assert_string_equal(json_get_str(json_get(bench_result(b, id), "driver"), "name", ""), "bench");
    assert_string_equal(json_get_str(json_get(bench_result(b, id), "driver"), "version", ""), "1");
    assert_string_equal(json_get_str(bench_result(b, id), "os", ""), b->config.os);
}

/* Facts without a machine or a boot identify nobody. */
static void test_half_an_identity(void **state)
{
    struct bench *b = *state;
    const char *const halves[][2] = { { "", "B1" }, { "M1", "" } };
    int64_t id;

    for (int i = 0; i < 2; i++) {
        bench_halt(b);
        b->machine = halves[i][0];
        b->boot = halves[i][1];
        bench_boot(b, NULL);
        bench_connect(b, 2);
        id = bench_ask(b, 2, "hello",
                       "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" BENCH_CONTROLLER
                       "\",\"program\":\"p\"}");
        bench_identify(b);
        assert_non_null(bench_error(b, id));
    }
}

/* Of two connections of one claim the last that claimed hears what ends. */
static void test_last_claim_hears(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_CONTROLLER, 1);
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    assert_non_null(bench_done(b, PAUSE));
    assert_int_equal(b->sent_to[b->n_sent - 1], 2);
}

/* A journal that belongs to another machine serves nobody (F23). */
static void test_foreign_journal(void **state)
{
    struct bench *b = *state;
    int64_t id;

    bench_halt(b);
    b->machine = "M2";
    bench_boot(b, NULL);
    bench_identify(b);
    bench_connect(b, 2);
    id = bench_ask(b, 2, "hello",
                   "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" BENCH_CONTROLLER
                   "\",\"program\":\"p\"}");
    assert_string_equal(bench_error(b, id), "refused");
    assert_non_null(bench_result(b, bench_ask(b, 2, "ping", "{}"))); /* it lives, and says so */
    assert_int_equal(bench_count(b, AGENT_REC_BOOT, ""), 1);
}

static void test_no_common_version(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(b, 1, "hello",
                           "{\"protocol\":{\"min\":2,\"max\":3},\"controller\":\"" BENCH_CONTROLLER
                           "\",\"program\":\"p\"}");

    assert_string_equal(bench_error(b, id), "version");
}

/* A claim that was replaced is told on the next order; nothing of it starts (I20). */
static void test_fenced_after_takeover(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, "r1/HV07/1/stop_vmms/1", "stop_vmms", "{}"); /* in its checks */
    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_OTHER, 2);
    id = start(b, PAUSE, "pause", "{}");
    assert_string_equal(bench_error(b, id), "fenced");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_string_equal(bench_state(b, "r1/HV07/1/stop_vmms/1"), "accepted");
    assert_false(bench_has_run(b, "stop_vmms", "run"));
    /* the new controller takes it up, under its own epoch */
    bench_start_op(b, 2, BENCH_OTHER, 2, "r1/HV07/1/stop_vmms/1", "stop_vmms", "{}", "");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_true(bench_has_run(b, "stop_vmms", "run"));
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, "r1/HV07/1/stop_vmms/1"), 2);
}

/* What runs is told to whoever holds the claim, and answered to it. */
static void test_claim_lists_open_ops(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, PAUSE, "pause", "{}");
    bench_disconnect(b, 1);
    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_OTHER, 2);
    id = bench_ask(b, 2, "claim",
                   "{\"run\":\"r1\",\"controller\":\"" BENCH_OTHER
                   "\",\"epoch\":2,\"log\":{\"seq\":9,\"hash\":\"x\"},\"session\":\"$S\"}");
    assert_string_equal(json_get_str(json_first(json_get(bench_result(b, id), "ops")), "state", ""),
                        "running");
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "ok");
}

static void test_cancel(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, "r1/HV07/1/stop_vmms/1", "stop_vmms", "{}");
    id = bench_ask(b, 1, "op.cancel", "{\"op\":\"r1/HV07/1/stop_vmms/1\",\"session\":\"$S\"}");
    assert_string_equal(json_get_str(bench_result(b, id), "outcome", ""), "cancelled");
    bench_end(b, bench_run(b, "check_empty", "run"), AGENT_DRIVER_KILLED, "");
    assert_false(bench_has_run(b, "stop_vmms", "run"));
    start(b, PAUSE, "pause", "{}"); /* running ones are not cancelled */
    id = bench_ask(b, 1, "op.cancel", "{\"op\":\"" PAUSE "\",\"session\":\"$S\"}");
    assert_string_equal(json_get_str(bench_result(b, id), "state", ""), "running");
}

/* A full journal refuses new work and forgets that it was asked. */
static void test_full_journal_refuses(void **state)
{
    struct bench *b = *state;

    b->fail_appends = 1;
    assert_string_equal(bench_error(b, start(b, PAUSE, "pause", "{}")), "full");
    assert_string_equal(bench_state(b, PAUSE), "none");
    assert_false(bench_has_run(b, "pause", "run"));
    assert_string_equal(json_get_str(bench_result(b, start(b, PAUSE, "pause", "{}")), "state", ""),
                        "accepted");
    assert_true(bench_has_run(b, "pause", "run"));
}

/* The line of an op.start that was refused is heard once more (F17): its controller has gone on from the refusal. */
static void test_the_same_line_again_begins_nothing(void **state)
{
    struct bench *b = *state;

    b->fail_appends = 1;
    assert_string_equal(bench_error(b, start(b, PAUSE, "pause", "{}")), "full");
    b->next_id--; /* not another request: that one */
    start(b, PAUSE, "pause", "{}");
    assert_string_equal(bench_state(b, PAUSE), "none");
    assert_false(bench_has_run(b, "pause", "run"));
    start(b, PAUSE, "pause", "{}");
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, PAUSE), 1);
}

/* START that cannot be written: no driver; once more when there is room. */
static void test_start_waits_for_room(void **state)
{
    struct bench *b = *state;

    start(b, "r1/HV07/1/stop_vmms/1", "stop_vmms", "{}");
    b->fail_appends = 1;
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    assert_false(bench_has_run(b, "stop_vmms", "run"));
    assert_string_equal(bench_state(b, "r1/HV07/1/stop_vmms/1"), "accepted");
    bench_wait(b, 5000);
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER); /* looked at again */
    assert_true(bench_has_run(b, "stop_vmms", "run"));
}

/* DONE that cannot be written is not told; the result is kept and written later. */
static void test_done_waits_for_room(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    b->fail_appends = 2;
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    assert_null(bench_done(b, PAUSE));
    assert_string_equal(bench_state(b, PAUSE), "running");
    bench_wait(b, 5000);
    assert_null(bench_done(b, PAUSE));
    bench_wait(b, 5000);
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "ok");
}

/* A claim that cannot be written is not held. */
static void test_claim_needs_journal(void **state)
{
    struct bench *b = *state;
    int64_t id;

    b->fail_appends = 1;
    id = bench_ask(b, 1, "claim",
                   "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER
                   "\",\"epoch\":7,\"log\":{\"seq\":900,\"hash\":\"x\"},\"session\":\"$S\"}");
    assert_string_equal(bench_error(b, id), "full");
    assert_int_equal(agent_fold(b->agent)->claim.epoch, 1);
    assert_string_equal(bench_error(b, start(b, PAUSE, "pause", "{}")), "fenced");
}

/* A driver that cannot be started has changed nothing. */
static void test_driver_not_begun(void **state)
{
    struct bench *b = *state;

    start(b, PAUSE, "pause", "{}");
    bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_NOT_BEGUN, "");
    assert_string_equal(json_get_str(bench_done(b, PAUSE), "outcome", ""), "refused");
}

/* After a restart: a driver that lives is running, one that is gone is unknown. */
static void test_adopted_driver(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_halt(b);
    bench_boot(b, INSTALL);
    bench_identify(b);
    assert_string_equal(bench_state(b, INSTALL), "running");
    bench_end(b, bench_run(b, "adopted", ""), AGENT_DRIVER_LOST, "");
    assert_string_equal(bench_state(b, INSTALL), "unknown");
}

/* One whose op has ended by its witness meanwhile is nobody's any more. */
static void test_driver_outlives_its_op(void **state)
{
    struct bench *b = *state;

    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
    bench_wait(b, 60000);
    bench_ask(b, 1, "op.witness", "{\"op\":\"" INSTALL "\",\"session\":\"$S\"}");
    bench_answer(b, bench_run(b, "install", "witness"), "{\"witness\":\"done\"}");
    assert_string_equal(bench_state(b, INSTALL), "done");
    bench_halt(b);
    bench_boot(b, INSTALL);
    bench_identify(b);
    assert_string_equal(bench_state(b, INSTALL), "done");
    assert_int_equal(bench_count(b, AGENT_REC_DONE, INSTALL), 1);
}

#define OTHER_VM "00000000-0000-4000-8000-000000000002"
#define ROOM_FOR(vm, mib)                                                                                \
    "{\"op\":\"r1/HV06/1/move_vm:" vm "/1\",\"vm\":\"" vm "\",\"memory_mib\":" mib ",\"from\":\"HV06\"," \
    "\"session\":\"$S\"}"

/* move.accept counts the fresh free memory and what was promised to others. */
static void test_move_accept(void **state)
{
    struct bench *b = *state;
    const char *ask = ROOM_FOR(BENCH_VM, "40000");
    const char *other = ROOM_FOR(OTHER_VM, "20000");
    const char *vms =
        "{\"result\":{\"vms\":[{\"id\":\"x\",\"state\":\"running\",\"memory\":{\"assigned_mib\":10000}},"
        "{\"id\":\"y\",\"state\":\"off\",\"memory\":{\"assigned_mib\":90000}}],\"next\":null}}";
    int64_t id = bench_ask(b, 1, "move.accept", ask);

    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), vms);
    assert_int_equal(json_get_int(bench_result(b, id), "free_mib", 0), 65536 - 4096 - 10000 - 40000);
    id = bench_ask(b, 1, "move.accept", other);
    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), vms);
    assert_string_equal(bench_error(b, id), "capacity");
    id = bench_ask(b, 1, "move.accept", ask); /* the same VM again: one promise */
    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), vms);
    assert_non_null(bench_result(b, id));
    id = bench_ask(b, 1, "move.accept", ask);
    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), "{\"result\":{\"vms\":[]}}"); /* no cursor: that was all */
    assert_non_null(bench_result(b, id));
}

/* A VM that has come and goes again is owed no memory, though nobody asked for room while it was here. */
static void test_promise_ends_with_the_vm(void **state)
{
    struct bench *b = *state;
    const char *ask = ROOM_FOR(BENCH_VM, "40000");
    const char *other = ROOM_FOR(OTHER_VM, "40000");
    int64_t id = bench_ask(b, 1, "move.accept", ask);

    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), "{\"result\":{\"vms\":[]}}");
    assert_non_null(bench_result(b, id));
    start(b, MOVE(3), "move_vm",
          "{\"vm\":\"00000000-0000-4000-8000-000000000003\"}"); /* another's going frees nothing */
    id = bench_ask(b, 1, "move.accept", other);
    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), "{\"result\":{\"vms\":[]}}");
    assert_string_equal(bench_error(b, id), "capacity");
    start(b, MOVE(1), "move_vm", "{\"vm\":\"" BENCH_VM "\"}");
    bench_answer(b, bench_run(b, "move_vm", "run"), OK_ANSWER);
    id = bench_ask(b, 1, "move.accept", other);
    bench_identify(b);
    bench_answer(b, bench_run(b, "vms", "run"), "{\"result\":{\"vms\":[]}}");
    assert_non_null(bench_result(b, id));
}

/* A large answer comes in pages of one moment; nothing is lost or doubled. */
static void test_observe_pages(void **state)
{
    struct bench *b = *state;
    struct buf answer = BUF_INIT;
    int64_t id = bench_ask(b, 1, "observe", "{\"what\":\"cluster_health\",\"args\":{}}");
    uint32_t seen = 0, pages = 0;
    const json *result;
    char ask[128];

    assert_non_null(strstr(bench_run(b, "gate_facts", "run")->text, "\"type\":\"cluster_health\""));
    buf_str(&answer, "{\"result\":{\"cluster\":\"clu-a\",\"groups\":[");
    for (uint32_t i = 0; i < 5000; i++)
        buf_printf(&answer, "%s{\"id\":%u,\"name\":\"%0100u\"}", i == 0 ? "" : ",", i, i);
    buf_str(&answer, "]}}");
    bench_answer(b, bench_run(b, "gate_facts", "run"), buf_text(&answer));
    for (;;) {
        const char *next;

        result = bench_result(b, id);
        assert_non_null(result);
        assert_int_equal(json_get(json_get(result, "data"), "cluster") != NULL, pages == 0);
        for (const json *g = json_first(json_get(json_get(result, "data"), "groups")); g != NULL;
             g = json_next(g))
            assert_int_equal(json_get_int(g, "id", -1), seen++);
        pages++;
        next = json_get_str(result, "next", NULL);
        if (next == NULL)
            break;
        snprintf(ask, sizeof ask, "{\"what\":\"cluster_health\",\"args\":{},\"cursor\":\"%s\"}", next);
        id = bench_ask(b, 1, "observe", ask);
    }
    assert_int_equal(seen, 5000);
    assert_int_equal(pages, 3);
    assert_string_equal(bench_error(b, bench_ask(b, 1, "observe", ask)),
                        "state"); /* it was read to its end */
    buf_clear(&answer);
}

/* A driver's own cursor is handed on after its page. */
static void test_vms_driver_cursor(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(b, 1, "observe", "{\"what\":\"vms\"}");

    bench_answer(b, bench_run(b, "vms", "run"), "{\"result\":{\"vms\":[],\"next\":\"17\"}}");
    assert_string_equal(json_get_str(bench_result(b, id), "next", ""), "d17");
    id = bench_ask(b, 1, "observe", "{\"what\":\"vms\",\"cursor\":\"d17\"}");
    assert_non_null(strstr(bench_run(b, "vms", "run")->text, "\"cursor\":\"17\""));
    bench_answer(b, bench_run(b, "vms", "run"), "{\"result\":{\"vms\":[],\"next\":null}}");
    assert_null(json_get_str(bench_result(b, id), "next", NULL));
}

/* time_sync adds the lab's clock error, which the driver tells. */
static void test_time_sync(void **state)
{
    struct bench *b = *state;
    int64_t id = bench_ask(
        b, 1, "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"127.0.0.1:123\"],\"samples\":2}}");

    bench_answer(b, bench_run(b, "facts", "run"),
                 "{\"result\":{\"machine_id\":\"M1\",\"boot_id\":\"B1\",\"clock_error_ms\":250}}");
    assert_int_equal(bench_run(b, "sntp", "")->offset_ms, 250);
    bench_answer(b, bench_run(b, "sntp", ""), "{\"servers\":[]}");
    assert_non_null(json_get(bench_result(b, id), "data"));
    assert_string_equal(
        bench_error(b, bench_ask(b, 1, "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[]}}")),
        "invalid");
}

/* Reads above the bound wait; above the next bound they are refused. */
static void test_reads_are_bounded(void **state)
{
    struct bench *b = *state;
    int64_t last = 0;

    for (int i = 0; i < 65; i++)
        last = bench_ask(b, 1, "facts", "{}");
    assert_string_equal(bench_error(b, last), "capacity");
    assert_int_equal(b->n_runs, 8);
    for (int i = 0; i < 64; i++)
        bench_identify(b);
    assert_int_equal(b->n_runs, 0);
    assert_non_null(bench_result(b, last - 1));
}

/* Acknowledged ops are the first to go when the journal has grown large (C.8). */
static void test_ack(void **state)
{
    struct bench *b = *state;
    int64_t id;

    start(b, PAUSE, "pause", "{}");
    id = bench_ask(b, 1, "op.ack", "{\"ops\":[\"" PAUSE "\",\"r1/HV07/1/none/1\"],\"session\":\"$S\"}");
    assert_int_equal(json_get_int(bench_result(b, id), "acked", -1), 0); /* it runs */
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    id = bench_ask(b, 1, "op.ack", "{\"ops\":[\"" PAUSE "\"],\"session\":\"$S\"}");
    assert_int_equal(json_get_int(bench_result(b, id), "acked", -1), 1);
    id = bench_ask(b, 1, "op.status", "{\"op\":\"" PAUSE "\"}");
    assert_true(json_get_bool(bench_result(b, id), "acked", false));
}

/* Progress goes to whoever holds the claim, and of effects only. */
static void test_progress(void **state)
{
    struct bench *b = *state;
    uint32_t sent;

    start(b, PAUSE, "pause", "{}");
    bench_progress(b, bench_run(b, "pause", "run"), 40);
    assert_string_equal(json_get_str(json_root(b->sent[b->n_sent - 1]), "method", ""), "op.progress");
    assert_int_equal(json_get_int(json_get(json_root(b->sent[b->n_sent - 1]), "params"), "percent", 0), 40);
    bench_ask(b, 1, "facts", "{}");
    sent = b->n_sent;
    bench_progress(b, bench_run(b, "facts", "run"), 50);
    bench_disconnect(b, 1);
    bench_progress(b, bench_run(b, "pause", "run"), 60);
    assert_int_equal(b->n_sent, sent);
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* fetch_package is told where to put the package, and believed by digest only. */
static void test_fetch_package(void **state)
{
    struct bench *b = *state;
    const char *args =
        "{\"source\":\"//share\",\"name\":\"kb.msu\",\"sha256\":\"" DIGEST "\",\"size_bytes\":9}";

    start(b, "r1/HV07/1/fetch_package/5", "fetch_package", args);
    assert_int_equal(bench_run(b, "package_place", "")->size_bytes, 9);
    bench_refuse(b, bench_run(b, "package_place", ""), ERR_FULL, "too little room");
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/fetch_package/5"), "outcome", ""), "refused");
    start(b, "r1/HV07/1/fetch_package/1", "fetch_package", args);
    bench_answer(b, bench_run(b, "package_place", ""), "");
    assert_non_null(strstr(bench_run(b, "fetch_package", "run")->text, "\"to\":\"/store/" DIGEST "\""));
    bench_answer(b, bench_run(b, "fetch_package", "run"), "{\"result\":{\"path\":\"p\"}}");
    assert_null(bench_done(b, "r1/HV07/1/fetch_package/1"));
    bench_answer(b, bench_run(b, "package_adopt", ""), "/store/kb.msu");
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/fetch_package/1"), "outcome", ""), "ok");
    start(b, "r1/HV07/1/fetch_package/2", "fetch_package", args);
    bench_answer(b, bench_run(b, "package_place", ""), "");
    bench_answer(b, bench_run(b, "fetch_package", "run"), "{\"result\":{\"path\":\"p\"}}");
    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_CORRUPT, "another digest");
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/fetch_package/2"), "outcome", ""), "failed");
    start(b, "r1/HV07/1/fetch_package/3", "fetch_package", args);
    bench_answer(b, bench_run(b, "package_place", ""), "");
    bench_end(b, bench_run(b, "fetch_package", "run"), AGENT_DRIVER_BAD_EXIT, "");
    bench_ask(b, 1, "op.witness", "{\"op\":\"r1/HV07/1/fetch_package/3\",\"session\":\"$S\"}");
    assert_non_null(strstr(bench_run(b, "fetch_package", "witness")->text, "/store/" DIGEST));
    bench_answer(b, bench_run(b, "fetch_package", "witness"), "{\"witness\":\"not_done\"}");
    start(b, "r1/HV07/1/fetch_package/4", "fetch_package", "{\"sha256\":\"../../etc\",\"name\":\"x\"}");
    assert_string_equal(json_get_str(bench_done(b, "r1/HV07/1/fetch_package/4"), "outcome", ""), "refused");
}

/* package.fetch: no claim, one at a time, what is held stays, room first, believed by digest only. */
static void test_package_fetch(void **state)
{
    static const char params[] =
        "{\"source\":\"//share/kb.msu\",\"name\":\"kb.msu\",\"sha256\":\"" DIGEST "\",\"size_bytes\":9}";
    struct bench *b = *state;
    int64_t first = bench_ask(b, 1, "package.fetch", params), second;

    second = bench_ask(b, 1, "package.fetch",
                       "{\"source\":\"//share/kb2.msu\",\"name\":\"kb2.msu\",\"sha256\":\"" DIGEST
                       "\",\"size_bytes\":9}");
    assert_string_equal(bench_error(b, second), "locked");
    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_NOT_FOUND, "not there");
    assert_int_equal(bench_run(b, "package_place", "")->size_bytes, 9);
    bench_refuse(b, bench_run(b, "package_place", ""), ERR_FULL, "too little room");
    assert_string_equal(bench_error(b, first), "full");

    first = bench_ask(b, 1, "package.fetch", params);
    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_NOT_FOUND, "not there");
    bench_answer(b, bench_run(b, "package_place", ""), "");
    assert_non_null(strstr(bench_run(b, "fetch_package", "run")->text, "\"to\":\"/store/" DIGEST "\""));
    assert_false(bench_run(b, "fetch_package", "run")->effect); /* no op, no journal */
    bench_answer(b, bench_run(b, "fetch_package", "run"),
                 "{\"error\":{\"code\":\"failed\",\"message\":\"no such share\"}}");
    assert_string_equal(bench_error(b, first), "refused");

    first = bench_ask(b, 1, "package.fetch", params);
    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_NOT_FOUND, "not there");
    bench_answer(b, bench_run(b, "package_place", ""), "");
    bench_answer(b, bench_run(b, "fetch_package", "run"), "{\"result\":{\"path\":\"p\"}}");
    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_CORRUPT, "another digest");
    assert_string_equal(bench_error(b, first), "corrupt");

    first = bench_ask(b, 1, "package.fetch", params);
    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_NOT_FOUND, "not there");
    bench_answer(b, bench_run(b, "package_place", ""), "");
    bench_answer(b, bench_run(b, "fetch_package", "run"), "{\"result\":{\"path\":\"p\"}}");
    bench_answer(b, bench_run(b, "package_adopt", ""), "/store/kb.msu");
    assert_true(json_get_bool(bench_result(b, first), "fetched", false));

    first = bench_ask(b, 1, "package.fetch", params); /* held already: nobody is asked for it */
    bench_answer(b, bench_run(b, "package_adopt", ""), "/store/kb.msu");
    assert_true(json_get_bool(bench_result(b, first), "fetched", false));
    assert_false(bench_has_run(b, "fetch_package", "run"));
}

/* A fetch goes on without its connection. Who asks for the same again, from wherever, joins it: hears its progress and its end, and
 * nothing is begun a second time. */
static void test_package_fetch_joined(void **state)
{
    static const char params[] = "{\"source\":\"//share/kb.msu\",\"name\":\"kb.msu\",\"sha256\":\"" DIGEST
                                 "\",\"size_bytes\":9,\"bytes_per_second\":5}";
    struct bench *b = *state;
    int64_t first = bench_ask(b, 1, "package.fetch", params), second;
    uint32_t sent;

    bench_refuse(b, bench_run(b, "package_adopt", ""), ERR_NOT_FOUND, "not there");
    bench_answer(b, bench_run(b, "package_place", ""), "");
    assert_non_null(strstr(bench_run(b, "fetch_package", "run")->text, "\"bytes_per_second\":5"));
    bench_progress(b, bench_run(b, "fetch_package", "run"), 40);
    assert_string_equal(json_get_str(json_root(b->sent[b->n_sent - 1]), "method", ""), "package.progress");
    assert_int_equal(json_get_int(json_get(json_root(b->sent[b->n_sent - 1]), "params"), "percent", 0), 40);

    (void)bench_ask(b, 1, "package.fetch", params); /* again, although the first is not known to be lost */
    assert_string_equal(bench_error(b, first), "locked");
    bench_disconnect(b, 1);
    sent = b->n_sent;
    bench_progress(b, bench_run(b, "fetch_package", "run"), 50); /* to nobody */
    assert_int_equal(b->n_sent, sent);

    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_CONTROLLER, 2);
    second = bench_ask(b, 2, "package.fetch", params);
    bench_progress(b, bench_run(b, "fetch_package", "run"), 60);
    assert_string_equal(json_get_str(json_root(b->sent[b->n_sent - 1]), "method", ""), "package.progress");
    bench_answer(b, bench_run(b, "fetch_package", "run"), "{\"result\":{\"path\":\"p\"}}");
    bench_answer(b, bench_run(b, "package_adopt", ""), "/store/kb.msu");
    assert_true(json_get_bool(bench_result(b, second), "fetched", false));
    assert_false(bench_has_run(b, "fetch_package", "run"));
}

/* package.held: no claim, by the digest of what is there; what cannot be read has to be sent. */
static void test_package_held(void **state)
{
    static const char params[] = "{\"name\":\"kb.msu\",\"sha256\":\"" DIGEST "\"}";
    struct bench *b = *state;
    int64_t first = bench_ask(b, 1, "package.held", params), second = bench_ask(b, 1, "package.held", params);

    bench_answer(b, bench_run(b, "package_check", ""), "/store/kb.msu");
    assert_true(json_get_bool(bench_result(b, first), "held", false));
    bench_refuse(b, bench_run(b, "package_check", ""), ERR_CORRUPT, "another digest");
    assert_false(json_get_bool(bench_result(b, second), "held", true));
}

/* What the agent's own witness says after a kill. */
static void test_doubt(void **state)
{
    static const struct {
        const char *witness, *state, *outcome;
    } rows[] = {
        { "{\"witness\":\"done\",\"evidence\":{\"state\":\"paused\"}}", "done", "ok" },
        { "{\"witness\":\"not_done\"}", "done", "failed" },
        { "{\"witness\":\"running\"}", "unknown", "" },
        { "nonsense", "unknown", "" },
    };
    struct bench *b = *state;
    char op[64], ack[128];

    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        snprintf(op, sizeof op, "r1/HV07/1/pause/%zu", i + 1);
        start(b, op, "pause", "{}");
        bench_wait(b, 50000);
        bench_end(b, bench_run(b, "pause", "run"), AGENT_DRIVER_KILLED, "");
        bench_answer(b, bench_run(b, "pause", "witness"), rows[i].witness);
        assert_string_equal(json_get_str(bench_done(b, op), "state", ""), rows[i].state);
        assert_string_equal(json_get_str(bench_done(b, op), "outcome", ""), rows[i].outcome);
        snprintf(ack, sizeof ack, "{\"ops\":[\"%s\"],\"session\":\"$S\"}", op);
        bench_ask(b, 1, "op.ack", ack); /* a person has decided the unknown ones: they are in nobody's way */
    }
}

/* Time that runs out before START: nothing was begun, and it says so. */
static void test_deadline_in_checks(void **state)
{
    struct bench *b = *state;
    const char *op = "r1/HV07/1/stop_vmms/1";

    start(b, op, "stop_vmms", "{}");
    bench_wait(b, 30000);
    assert_true(bench_run(b, "check_empty", "run")->killed);
    bench_end(b, bench_run(b, "check_empty", "run"), AGENT_DRIVER_KILLED, "");
    assert_string_equal(json_get_str(bench_done(b, op), "outcome", ""), "refused");
    start(b, INSTALL, "install", PACKAGE_ARGS);
    bench_wait(b, 50000); /* the package is still being hashed */
    assert_string_equal(json_get_str(bench_done(b, INSTALL), "outcome", ""), "cancelled");
    bench_answer(b, bench_run(b, "package_open", ""), "/p");
    assert_int_equal(b->n_runs, 0);
    start(b, "r1/HV07/1/install/2", "install", PACKAGE_ARGS);
    bench_refuse(b, bench_run(b, "package_open", ""), ERR_CORRUPT, "another digest");
    assert_string_equal(json_get_str(json_get(bench_done(b, "r1/HV07/1/install/2"), "error"), "code", ""),
                        "corrupt");
}

/* Every append of a story fails once: nothing is told that is not written, and
 * in the end everything is. */
static void test_every_append_fails_once(void **state)
{
    struct bench *b = *state;

    for (uint32_t n = 0; n < 8; n++) {
        const char *op = "r1/HV07/1/stop_vmms/1";

        bench_close(b);
        bench_open(b);
        b->fail_append_at = n + 1;
        bench_boot(b, NULL);
        bench_identify(b);
        bench_wait(b, 1000);
        if (bench_has_run(b, "facts", "run"))
            bench_identify(b);
        bench_connect(b, 1);
        for (int i = 0; i < 3 && agent_fold(b->agent)->claim.epoch == 0; i++)
            bench_try_claim(b, 1, BENCH_CONTROLLER, 1);
        for (int i = 0; i < 6 && strcmp(bench_state(b, op), "done") != 0; i++) {
            start(b, op, "stop_vmms", "{}");
            if (bench_has_run(b, "check_empty", "run"))
                bench_answer(b, bench_run(b, "check_empty", "run"), EMPTY_ANSWER);
            if (bench_has_run(b, "stop_vmms", "run"))
                bench_answer(b, bench_run(b, "stop_vmms", "run"), OK_ANSWER);
            bench_wait(b, 5000);
        }
        assert_string_equal(bench_state(b, op), "done");
        assert_int_equal(bench_count(b, AGENT_REC_START, op), 1);
        assert_int_equal(bench_count(b, AGENT_REC_DONE, op), 1);
        assert_string_equal(json_get_str(bench_done(b, op), "outcome", ""), "ok");
    }
}

/* Orders `n` ops one after the other, each to its end; acknowledged if told. */
static void run_ops(struct bench *b, int n, bool ack)
{
    char op[64], params[256];

    for (int i = 1; i <= n; i++) {
        snprintf(op, sizeof op, "r1/HV07/1/pause/%d", i);
        if (bench_result(b, start(b, op, "pause", "{}")) == NULL)
            return;
        bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
        snprintf(params, sizeof params, "{\"ops\":[\"%s\"],\"session\":\"$S\"}", op);
        if (ack)
            bench_ask(b, 1, "op.ack", params);
    }
}

/* The journal stays bounded: the oldest acknowledged ops are dropped. */
static void test_old_ops_are_forgotten(void **state)
{
    struct bench *b = *state;

    run_ops(b, AGENT_OPS_MAX + 10, true);
    assert_int_equal(agent_fold(b->agent)->n_ops, AGENT_OPS_MAX);
    assert_int_equal(b->n_forgotten, 10);
    assert_string_equal(b->forgotten[0], "r1/HV07/1/pause/1");
    assert_string_equal(bench_state(b, "r1/HV07/1/pause/1"), "none");
    assert_string_equal(bench_state(b, "r1/HV07/1/pause/11"), "done");
}

/* Nothing that is not acknowledged is dropped: new work is refused instead. */
static void test_unacked_ops_refuse_new_work(void **state)
{
    struct bench *b = *state;

    run_ops(b, AGENT_UNACKED_MAX, false);
    assert_string_equal(bench_error(b, start(b, "r1/HV07/1/resume/1", "resume", "{}")), "full");
    bench_ask(b, 1, "op.ack", "{\"ops\":[\"r1/HV07/1/pause/1\"],\"session\":\"$S\"}");
    assert_non_null(bench_result(b, start(b, "r1/HV07/1/resume/1", "resume", "{}")));
}

/* A driver that talks too much cannot make a record that no line can carry. */
static void test_long_errors_are_cut(void **state)
{
    struct bench *b = *state;
    struct buf answer = BUF_INIT;

    start(b, PAUSE, "pause", "{}");
    buf_str(&answer, "{\"error\":{\"code\":\"failed\",\"message\":\"");
    for (int i = 0; i < 100000; i++)
        buf_str(&answer, "\xc3\xa9");
    buf_str(&answer, "\"}}");
    bench_answer(b, bench_run(b, "pause", "run"), buf_text(&answer));
    assert_int_equal(strlen(json_get_str(json_get(bench_done(b, PAUSE), "error"), "message", "")), 4096);
    buf_clear(&answer);
}

/* Unknown methods, unknown and missing params. */
static void test_strict_requests(void **state)
{
    struct bench *b = *state;

    assert_string_equal(bench_error(b, bench_ask(b, 1, "dance", "{}")), "not_found");
    assert_string_equal(bench_error(b, bench_ask(b, 1, "op.status", "{\"op\":\"" PAUSE "\",\"x\":1}")),
                        "invalid");
    assert_string_equal(bench_error(b, bench_ask(b, 1, "op.status", "{}")), "invalid");
    assert_string_equal(bench_error(b, bench_ask(b, 1, "observe", "{\"what\":\"moon\"}")), "invalid");
    assert_string_equal(bench_error(b, bench_ask(b, 1, "journal.read", "{\"from\":-1}")), "invalid");
}

/* A crash after any number of effects, then a restart: the op is never lost
 * after its answer, never begun without START, never done twice (I18, I19). */
static void test_crash_at_every_effect(void **state)
{
    struct bench *b = *state;

    for (int stop = 0; stop < 12; stop++) {
        const char *now;
        bool told;
        int64_t id;

        bench_close(b);
        bench_open(b);
        b->stop_after = -1;
        bench_boot(b, NULL);
        bench_identify(b);
        bench_connect(b, 1);
        bench_claim(b, 1, BENCH_CONTROLLER, 1);
        b->stop_after = stop;
        b->effects_done = 0;
        id = start(b, PAUSE, "pause", "{}");
        if (bench_has_run(b, "pause", "run")) {
            assert_int_equal(bench_count(b, AGENT_REC_START, PAUSE), 1);
            bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
        }
        told = bench_result(b, id) != NULL;
        if (bench_done(b, PAUSE) != NULL)
            assert_int_equal(bench_count(b, AGENT_REC_DONE, PAUSE), 1);
        b->stop_after = -1;
        bench_halt(b);
        bench_boot(b, NULL);
        bench_identify(b);
        now = bench_state(b, PAUSE);
        assert_string_equal(now, bench_count(b, AGENT_REC_DONE, PAUSE) > 0     ? "done"
                                 : bench_count(b, AGENT_REC_START, PAUSE) > 0  ? "unknown"
                                 : bench_count(b, AGENT_REC_ACCEPT, PAUSE) > 0 ? "accepted"
                                                                               : "none");
        if (told)
            assert_string_not_equal(now, "none");
        /* nobody orders it: nothing starts by itself (C.7) */
        assert_false(bench_has_run(b, "pause", "run"));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_op_life),
        T(test_start_is_idempotent),
        T(test_other_arguments_are_refused),
        T(test_digest_must_match),
        T(test_wrong_orders),
        T(test_other_session_is_void),
        T(test_an_order_after_its_time_is_void),
        T(test_the_record_is_told_after_its_time),
        T(test_hello_tells_the_clock),
        T(test_one_node_level_op),
        T(test_guard_before_install),
        T(test_contradicting_check_is_no_proof),
        T(test_check_without_answer_refuses),
        T(test_package_path_reaches_driver),
        T(test_checkpoints_are_opened_beside),
        T(test_missing_checkpoint_refuses),
        T(test_preconditions),
        T(test_driver_errors),
        T(test_no_evidence_then_witness),
        T(test_not_done_starts_once_more),
        T(test_witness_cannot_tell),
        T(test_deadline_kills_and_asks),
        T(test_leave_goes_on),
        T(test_reboot_waits_for_boot),
        T(test_killed_before_the_boot_decided),
        T(test_hello_waits_for_identity),
        T(test_half_an_identity),
        T(test_last_claim_hears),
        T(test_foreign_journal),
        T(test_no_common_version),
        T(test_fenced_after_takeover),
        T(test_claim_lists_open_ops),
        T(test_cancel),
        T(test_full_journal_refuses),
        T(test_the_same_line_again_begins_nothing),
        T(test_start_waits_for_room),
        T(test_done_waits_for_room),
        T(test_claim_needs_journal),
        T(test_driver_not_begun),
        T(test_adopted_driver),
        T(test_driver_outlives_its_op),
        T(test_move_accept),
        T(test_promise_ends_with_the_vm),
        T(test_observe_pages),
        T(test_vms_driver_cursor),
        T(test_time_sync),
        T(test_reads_are_bounded),
        T(test_ack),
        T(test_progress),
        T(test_fetch_package),
        T(test_package_fetch),
        T(test_package_fetch_joined),
        T(test_package_held),
        T(test_doubt),
        T(test_deadline_in_checks),
        T(test_every_append_fails_once),
        T(test_old_ops_are_forgotten),
        T(test_unacked_ops_refuse_new_work),
        T(test_long_errors_are_cut),
        T(test_strict_requests),
        T(test_crash_at_every_effect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
