/* Every method with every member of its params missing, of a wrong type or of
 * a wrong form: refused by name, nothing written, nothing started. */
#include "tests/lib/agent_bench.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

#define SESSION "\"session\":\"$S\""
#define LOG "\"log\":{\"seq\":900,\"hash\":\"h\"}"
#define EMPTY_DIGEST "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

/* `need`: members that may not be missing. */
static const struct {
    const char *method, *params;
    const char *const need[12];
} good[] = {
    { "hello",
      "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" BENCH_CONTROLLER "\",\"program\":\"p\"}",
      { "protocol", "controller", "program", NULL } },
    { "claim",
      "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER "\",\"epoch\":2," LOG
      ",\"takeover\":false," SESSION "}",
      { "run", "controller", "epoch", "log", "session", NULL } },
    { "observe", "{\"what\":\"vms\",\"args\":{},\"cursor\":null}", { "what", NULL } },
    { "move.accept",
      "{\"op\":\"r1/HV06/1/move_vm:" BENCH_VM "/1\",\"vm\":\"" BENCH_VM
      "\",\"memory_mib\":5,\"from\":\"HV06\"," SESSION "}",
      { "op", "vm", "memory_mib", "from", "session", NULL } },
    { "op.start",
      "{\"op\":\"r1/HV07/1/pause/1\",\"action\":\"pause\",\"args\":{},\"digest\":\"" EMPTY_DIGEST
      "\",\"limit_ms\":9,\"precondition\":{\"boot_id\":\"B1\",\"empty\":\"vmms\",\"parked\":[],\"build\":\"1."
      "1\"},\"epoch\":1,"
      "\"controller\":\"" BENCH_CONTROLLER "\"," LOG "," SESSION ",\"until_mono_ms\":99999999}",
      { "op", "action", "args", "digest", "limit_ms", "epoch", "controller", "log", "session", NULL } },
    { "op.status", "{\"op\":\"r1/HV07/1/pause/1\"}", { "op", NULL } },
    { "op.witness", "{\"op\":\"r1/HV07/1/pause/7\"," SESSION "}", { "op", "session", NULL } },
    { "op.cancel", "{\"op\":\"r1/HV07/1/pause/7\"," SESSION "}", { "op", "session", NULL } },
    { "op.ack", "{\"ops\":[]," SESSION "}", { "ops", "session", NULL } },
    { "op.output", "{\"op\":\"r1/HV07/1/pause/7\",\"offset\":0,\"max_bytes\":5}", { "op", NULL } },
    { "package.held", "{\"name\":\"kb.msu\",\"sha256\":\"" EMPTY_DIGEST "\"}", { "name", "sha256", NULL } },
    { "package.fetch",
      "{\"source\":\"//share/kb.msu\",\"name\":\"kb.msu\",\"sha256\":\"" EMPTY_DIGEST
      "\",\"size_bytes\":9,\"bytes_per_second\":5}",
      { "source", "name", "sha256", "size_bytes", NULL } },
    { "journal.read", "{\"from\":0,\"max\":5}", { NULL } },
};

/* Values that are right for no member that has this type. */
static const char *wrong_value(const json *v, int turn)
{
    static const char *const wrongs[] = { "[[]]", "-1", "true", "{\"x\":1}", "\"\"", "null" };
    const char *w = wrongs[turn];

    if (json_is_bool(v) && w[0] == 't')
        return NULL;
    return w;
}
#define WRONGS 6

static void setup_bench(struct bench *b)
{
    bench_open(b);
    bench_boot(b, NULL);
    bench_identify(b);
    bench_connect(b, 1);
    bench_claim(b, 1, BENCH_CONTROLLER, 1);
}

/* `params` with member `key` replaced by `value`, or without it (NULL). */
static void write_changed(struct buf *out, const json *params, const char *key, const char *value)
{
    struct json_writer w;

    jw_init(&w, out);
    jw_object(&w, NULL);
    for (const json *m = json_first(params); m != NULL; m = json_next(m))
        if (strcmp(json_key(m), key) != 0)
            jw_value(&w, json_key(m), m);
        else if (value != NULL)
            jw_raw(&w, key, value);
    jw_object_end(&w);
}

static void refuse(struct bench *b, const char *method, const struct buf *params, const char *what)
{
    uint32_t records = b->n_records, runs = b->n_runs;
    int64_t id = bench_ask(b, 1, method, buf_text(params));

    if (strcmp(bench_error(b, id), "none") == 0)
        fail_msg("%s: %s was taken: %s", method, what, buf_text(params));
    assert_int_equal(b->n_records, records);
    assert_int_equal(b->n_runs, runs);
}

static bool is_needed(const char *const *need, const char *key)
{
    for (; *need != NULL; need++)
        if (strcmp(*need, key) == 0)
            return true;
    return false;
}

/* Optional members may be null-like where the wire says so. */
static bool may_be(const char *method, const char *key, const char *value)
{
    if (strcmp(key, "cursor") == 0)
        return strcmp(value, "null") == 0;
    if (strcmp(method, "observe") == 0 && strcmp(key, "args") == 0)
        return value[0] == '{';
    if (strcmp(key, "hash") == 0 || strcmp(key, "program") == 0 || strcmp(key, "from") == 0)
        return value[0] == '"';
    return false;
}

static void spoil(struct bench *b, const char *method, const json *params, const char *const *need)
{
    for (const json *m = json_first(params); m != NULL; m = json_next(m)) {
        struct buf changed = BUF_INIT;

        if (is_needed(need, json_key(m))) {
            write_changed(&changed, params, json_key(m), NULL);
            refuse(b, method, &changed, "a missing member");
        }
        for (int turn = 0; turn < WRONGS; turn++) {
            const char *value = wrong_value(m, turn);

            if (value == NULL || may_be(method, json_key(m), value))
                continue;
            buf_reset(&changed);
            write_changed(&changed, params, json_key(m), value);
            refuse(b, method, &changed, value);
        }
        buf_clear(&changed);
    }
}

static void test_params(void **state)
{
    static struct bench b;

    (void)state;
    setup_bench(&b);
    for (size_t i = 0; i < TABLE_LEN(good); i++) {
        struct json_doc *d = NULL;
        struct err err;

        check_ok(json_parse("params", good[i].params, strlen(good[i].params), &d, &err), &err);
        spoil(&b, good[i].method, json_root(d), good[i].need);
        json_free(d);
    }
    bench_close(&b);
}

/* One level down: protocol, log, precondition, and values of a wrong form. */
static void test_inner_forms(void **state)
{
    static const struct {
        const char *method, *params;
    } rows[] = {
        { "hello",
          "{\"protocol\":{\"min\":2,\"max\":1},\"controller\":\"" BENCH_CONTROLLER "\",\"program\":\"p\"}" },
        { "hello", "{\"protocol\":{\"min\":1},\"controller\":\"" BENCH_CONTROLLER "\",\"program\":\"p\"}" },
        { "hello", "{\"protocol\":{\"min\":1,\"max\":1,\"x\":1},\"controller\":\"" BENCH_CONTROLLER
                   "\",\"program\":\"p\"}" },
        { "hello", "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"AAAA\",\"program\":\"p\"}" },
        { "hello",
          "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" BENCH_OTHER "\",\"program\":\"p\"}" },
        { "claim",
          "{\"run\":\"no name\",\"controller\":\"" BENCH_CONTROLLER "\",\"epoch\":2," LOG "," SESSION "}" },
        { "claim", "{\"run\":\"r1\",\"controller\":\"" BENCH_OTHER "\",\"epoch\":2," LOG "," SESSION "}" },
        { "claim",
          "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER "\",\"epoch\":0," LOG "," SESSION "}" },
        { "claim", "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER
                   "\",\"epoch\":2,\"log\":{\"seq\":1}," SESSION "}" },
        { "claim", "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER
                   "\",\"epoch\":2,\"log\":{\"seq\":-1,\"hash\":\"\"}," SESSION "}" },
        { "claim",
          "{\"run\":\"r1\",\"controller\":\"" BENCH_CONTROLLER "\",\"epoch\":2,\"log\":{\"seq\":900,\"hash\":"
          "\"00000000000000000000000000000000000000000000000000000000000000000\"}," SESSION "}" },
        { "move.accept",
          "{\"op\":\"r1/HV06/1/move_vm/1\",\"vm\":\"db3\",\"memory_mib\":5,\"from\":\"HV06\"," SESSION "}" },
        { "op.start",
          "{\"op\":\"r1/HV07/1/pause/1\",\"action\":\"pause\",\"args\":{},\"digest\":\"" EMPTY_DIGEST
          "\",\"limit_ms\":9,\"precondition\":{\"empty\":\"full\"},\"epoch\":1,\"controller\":"
          "\"" BENCH_CONTROLLER "\"," LOG "," SESSION "}" },
        { "op.start",
          "{\"op\":\"r1/HV07/1/pause/1\",\"action\":\"pause\",\"args\":{},\"digest\":\"" EMPTY_DIGEST
          "\",\"limit_ms\":9,\"precondition\":{\"moon\":\"full\"},\"epoch\":1,\"controller\":"
          "\"" BENCH_CONTROLLER "\"," LOG "," SESSION "}" },
        { "op.start",
          "{\"op\":\"r1/HV07/1/pause/1\",\"action\":\"pause\",\"args\":{},\"digest\":\"" EMPTY_DIGEST
          "\",\"limit_ms\":9,\"epoch\":2,\"controller\":\"" BENCH_CONTROLLER "\"," LOG "," SESSION "}" },
        { "op.ack", "{\"ops\":[1]," SESSION "}" },
        { "op.witness", "{\"op\":\"r1/HV07/1/pause/7\"," SESSION "}" },
        { "op.output", "{\"op\":\"r1/HV07/1/pause/7\"}" },
        { "observe", "{\"what\":\"vms\",\"cursor\":\"p1:5\"}" },
        { "observe", "{\"what\":\"removability\"}" }, /* this driver has none */
        { "observe", "{\"what\":\"time_sync\"}" },
        { "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[1]}}" },
        { "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"a\"],\"samples\":0}}" },
        { "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"a\"],\"timeout_ms\":0}}" },
        { "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"a\"],\"port\":1}}" },
        { "facts", "{\"x\":1}" },
        { "ping", "{\"x\":1}" },
    };
    static struct bench b;

    (void)state;
    setup_bench(&b);
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        struct buf params = BUF_INIT;

        buf_str(&params, rows[i].params);
        refuse(&b, rows[i].method, &params, "a wrong form");
        buf_clear(&params);
    }
    bench_close(&b);
}

/* Before hello, before the claim: nothing is done. */
static void test_order_of_greeting(void **state)
{
    static struct bench b;

    (void)state;
    setup_bench(&b);
    bench_connect(&b, 2);
    assert_string_equal(bench_error(&b, bench_ask(&b, 2, "facts", "{}")), "state");
    assert_non_null(bench_result(&b, bench_ask(&b, 2, "ping", "{}")));
    bench_ask(&b, 2, "hello",
              "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" BENCH_OTHER "\",\"program\":\"p\"}");
    assert_string_equal(bench_error(&b, bench_ask(&b, 2, "op.ack", "{\"ops\":[]," SESSION "}")), "state");
    bench_close(&b);
}

/* What reads answer when their driver refuses, says nothing of use, or is slow. */
static void test_reads_that_fail(void **state)
{
    static struct bench b;
    int64_t id;

    (void)state;
    setup_bench(&b);
    id = bench_ask(&b, 1, "facts", "{}");
    bench_answer(&b, bench_run(&b, "facts", "run"), "{\"error\":{\"code\":\"access\",\"message\":\"m\"}}");
    assert_string_equal(bench_error(&b, id), "refused");
    id = bench_ask(&b, 1, "observe", "{\"what\":\"verify\",\"args\":{\"build\":1}}");
    bench_answer(&b, bench_run(&b, "verify", "run"), "nonsense");
    assert_string_equal(bench_error(&b, id), "unknown");
    id = bench_ask(&b, 1, "observe", "{\"what\":\"verify\"}");
    bench_wait(&b, 30000);
    assert_true(bench_run(&b, "verify", "run")->killed);
    bench_end(&b, bench_run(&b, "verify", "run"), AGENT_DRIVER_KILLED, "");
    assert_string_equal(bench_error(&b, id), "unknown");
    id = bench_ask(&b, 1, "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"127.0.0.1\"]}}");
    bench_answer(&b, bench_run(&b, "facts", "run"), "{}");
    assert_string_equal(bench_error(&b, id), "unknown");
    id = bench_ask(&b, 1, "move.accept", good[3].params);
    bench_answer(&b, bench_run(&b, "facts", "run"), "{\"result\":{}}");
    assert_string_equal(bench_error(&b, id), "refused");
    id = bench_ask(&b, 1, "move.accept", good[3].params);
    bench_identify(&b);
    bench_answer(&b, bench_run(&b, "vms", "run"), "{\"result\":{\"vms\":[],\"next\":\"2\"}}");
    assert_non_null(strstr(bench_run(&b, "vms", "run")->text, "\"cursor\":\"2\""));
    bench_answer(&b, bench_run(&b, "vms", "run"),
                 "{\"error\":{\"code\":\"busy\",\"message\":\"vmms is down\"}}");
    assert_string_equal(bench_error(&b, id), "refused");
    bench_close(&b);
}

/* Who asked is gone: the answer goes nowhere, and nothing breaks. */
static void test_asker_is_gone(void **state)
{
    static const char *const asks[][2] = {
        { "facts", "{}" },
        { "observe", "{\"what\":\"vms\"}" },
        { "observe", "{\"what\":\"time_sync\",\"args\":{\"servers\":[\"127.0.0.1\"]}}" },
    };
    static struct bench b;
    uint32_t sent;

    (void)state;
    setup_bench(&b);
    for (size_t i = 0; i < TABLE_LEN(asks); i++) {
        bench_connect(&b, 10 + (uint32_t)i);
        bench_claim(&b, 10 + (uint32_t)i, BENCH_CONTROLLER, 2);
        bench_ask(&b, 10 + (uint32_t)i, asks[i][0], asks[i][1]);
        bench_disconnect(&b, 10 + (uint32_t)i);
        sent = b.n_sent;
        if (bench_has_run(&b, "vms", "run"))
            bench_answer(&b, bench_run(&b, "vms", "run"), "{\"result\":{\"vms\":[]}}");
        else
            bench_identify(&b);
        assert_int_equal(b.n_sent, sent);
        assert_int_equal(b.n_runs, 0);
    }
    bench_close(&b);
}

/* What op.witness and op.output answer without asking anybody. */
static void test_settled_questions(void **state)
{
    static struct bench b;
    const char *op = "r1/HV07/1/pause/1";
    int64_t id;

    (void)state;
    setup_bench(&b);
    bench_start_op(&b, 1, BENCH_CONTROLLER, 1, op, "pause", "{}", "");
    id = bench_ask(&b, 1, "op.witness", "{\"op\":\"r1/HV07/1/pause/1\"," SESSION "}");
    assert_string_equal(json_get_str(bench_result(&b, id), "witness", ""), "running");
    bench_answer(&b, bench_run(&b, "pause", "run"), "{\"result\":{}}");
    id = bench_ask(&b, 1, "op.witness", "{\"op\":\"r1/HV07/1/pause/1\"," SESSION "}");
    assert_string_equal(json_get_str(bench_result(&b, id), "witness", ""), "done");
    assert_int_equal(b.n_runs, 0);
    bench_ask(&b, 1, "op.output", "{\"op\":\"r1/HV07/1/pause/1\"}");
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_inner_forms),
        cmocka_unit_test(test_order_of_greeting),
        cmocka_unit_test(test_reads_that_fail),
        cmocka_unit_test(test_asker_is_gone),
        cmocka_unit_test(test_settled_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
