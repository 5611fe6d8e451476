/* Connections: who hears of an op's end, what comes from nowhere, what is asked
 * without a word. */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <string.h>

#define PAUSE "r1/HV07/1/pause/1"
#define OK_ANSWER "{\"result\":{\"state\":\"x\"}}"

static uint32_t told_of(struct bench *b, const char *method)
{
    for (uint32_t i = b->n_sent; i-- > 0;)
        if (strcmp(json_get_str(json_root(b->sent[i]), "method", ""), method) == 0)
            return b->sent_to[i];
    return 0;
}

/* The same controller came again beside its old connection: the later one hears of the end; when that goes, the other. */
static void test_who_hears(void **state)
{
    struct bench *b = *state;

    bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_CONTROLLER, 1);
    bench_progress(b, bench_run(b, "pause", "run"), 10);
    assert_int_equal(told_of(b, "op.progress"), 2);
    bench_disconnect(b, 2);
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    assert_int_equal(told_of(b, "op.done"), 1);
}

/* Claimed again on the same connection: it goes on giving orders. */
static void test_claimed_again(void **state)
{
    struct bench *b = *state;

    bench_claim(b, 1, BENCH_CONTROLLER, 1);
    bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    bench_answer(b, bench_run(b, "pause", "run"), OK_ANSWER);
    assert_int_equal(told_of(b, "op.done"), 1);
}

/* What waited in a connection that its controller gave up comes through beside the next one: nobody stands by it any more.
 * That holds when the next one has gone, too, and for its claim. */
static void test_late_on_the_connection_before(void **state)
{
    struct bench *b = *state;
    int64_t id;

    bench_connect(b, 2);
    bench_claim(b, 2, BENCH_CONTROLLER, 1);
    id = bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    assert_string_equal(bench_error(b, id), "state");
    bench_disconnect(b, 2);
    id = bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    assert_string_equal(bench_error(b, id), "state");
    bench_try_claim(b, 1, BENCH_CONTROLLER, 1);
    id = bench_start_op(b, 1, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    assert_string_equal(bench_error(b, id), "state");
    assert_int_equal(bench_count(b, AGENT_REC_ACCEPT, PAUSE), 0);
    assert_int_equal(bench_count(b, AGENT_REC_CLAIM, ""), 2);
    bench_connect(b, 3);
    bench_claim(b, 3, BENCH_CONTROLLER, 1);
    id = bench_start_op(b, 3, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    assert_non_null(bench_result(b, id));
}

/* The claim of a takeover is heard once more when its controller's log has long gone on: what this node has seen of it stays
 * seen, and unmasks a copy that was made before (F4, F17). */
static void test_a_takeover_claimed_again(void **state)
{
    struct bench *b = *state;
    static const char *const claim = "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER
                                     "\",\"epoch\":7,\"log\":{\"seq\":20,\"hash\":\"t\"},\"takeover\":true,"
                                     "\"session\":\"$S\"}";

    assert_non_null(bench_result(b, bench_ask(b, 1, "claim", claim)));
    assert_int_equal(agent_fold(b->agent)->claim.log.seq, 20); /* below what the old log had come to */
    bench_start_op(b, 1, BENCH_CONTROLLER, 7, PAUSE, "pause", "{}", "");
    assert_int_equal(agent_fold(b->agent)->claim.log.seq, 701);
    assert_non_null(bench_result(b, bench_ask(b, 1, "claim", claim)));
    assert_int_equal(agent_fold(b->agent)->claim.log.seq, 701);
}

/* Another controller's connection may be older than the holder's: its claim, and its orders, count. */
static void test_an_older_connection_of_another(void **state)
{
    struct bench *b = *state;
    int64_t id;

    bench_connect(b, 2);
    bench_connect(b, 3);
    bench_claim(b, 3, BENCH_CONTROLLER, 1);
    bench_claim(b, 2, BENCH_OTHER, 2);
    id = bench_start_op(b, 2, BENCH_OTHER, 2, PAUSE, "pause", "{}", "");
    assert_non_null(bench_result(b, id));
    id = bench_start_op(b, 3, BENCH_CONTROLLER, 1, PAUSE, "pause", "{}", "");
    assert_string_equal(bench_error(b, id), "fenced");
}

static void step(struct bench *b, struct agent_event ev, uint32_t effects)
{
    struct agent_effects out = AGENT_EFFECTS_INIT;
    struct err err;

    ev.at = b->at;
    ev.mono = b->mono;
    check_ok(agent_step(b->agent, &ev, &out, &err), &err);
    assert_int_equal(out.n, effects);
    agent_effects_clear(&out);
}

static void say(struct bench *b, uint32_t conn, const char *line, uint32_t effects)
{
    struct rpc_message msg = { 0 };
    struct err err;

    check_ok(rpc_parse(line, strlen(line), &msg, &err), &err);
    step(b, (struct agent_event){ .type = AGENT_EV_REQUEST, .conn = conn, .msg = &msg }, effects);
    rpc_clear(&msg);
}

/* A connection that was never opened, or is closed; an answer or a notification from a controller: no effect (I21). */
static void test_from_nowhere(void **state)
{
    struct bench *b = *state;

    say(b, 99, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"facts\",\"params\":{}}", 0);
    step(b, (struct agent_event){ .type = AGENT_EV_CLOSE, .conn = 99 }, 0);
    say(b, 1, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 0);
    say(b, 1, "{\"jsonrpc\":\"2.0\",\"method\":\"op.done\",\"params\":{}}", 0);
    say(b, 1, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"facts\",\"params\":{}}", 1); /* and this one has */
}

/* Without params a method that needs none is asked, another is refused. */
static void test_without_params(void **state)
{
    struct bench *b = *state;
    struct agent_effects out = AGENT_EFFECTS_INIT;
    struct rpc_message msg = { 0 };
    struct agent_event ev = {
        .type = AGENT_EV_REQUEST, .conn = 1, .at = b->at, .mono = b->mono, .msg = &msg
    };
    static const char claim[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"claim\"}",
                      facts[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"facts\"}";
    struct err err;

    check_ok(rpc_parse(claim, sizeof claim - 1, &msg, &err), &err);
    check_ok(agent_step(b->agent, &ev, &out, &err), &err);
    assert_int_equal(out.n, 1);
    assert_non_null(strstr(out.items[0].text, "params are missing"));
    rpc_clear(&msg);
    check_ok(rpc_parse(facts, sizeof facts - 1, &msg, &err), &err);
    check_ok(agent_step(b->agent, &ev, &out, &err), &err);
    assert_int_equal(out.items[0].type, AGENT_DO_DRIVER_START);
    rpc_clear(&msg);
    agent_effects_clear(&out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = { T(test_who_hears),
                                        T(test_claimed_again),
                                        T(test_late_on_the_connection_before),
                                        T(test_an_older_connection_of_another),
                                        T(test_a_takeover_claimed_again),
                                        T(test_from_nowhere),
                                        T(test_without_params) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
