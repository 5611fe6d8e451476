#include "schema/codec.h"
#include "tests/lib/check.h"

#include <limits.h>
#include <string.h>

static void check_line(struct line_cutter *c, const char *want)
{
    size_t len = 0;
    const char *line = line_cutter_take(c, &len);

    if (want == NULL) {
        assert_null(line);
        return;
    }
    assert_non_null(line);
    assert_string_equal(line, want);
    assert_int_equal(len, strlen(want));
}

static void test_lines_come_whole_however_they_arrive(void **state)
{
    static const char stream[] = "one\n\ntwo and\r\nthree\nrest";
    struct line_cutter c;
    struct err e;

    (void)state;
    for (size_t piece = 1; piece <= sizeof stream; piece++) {
        static const char *const want[] = { "one", "", "two and\r", "three" };
        unsigned seen = 0;

        line_cutter_init(&c, 100);
        for (size_t at = 0; at < sizeof stream - 1; at += piece) {
            size_t n = sizeof stream - 1 - at < piece ? sizeof stream - 1 - at : piece;
            const char *line;
            size_t len;

            check_ok(line_cutter_feed(&c, stream + at, n, &e), &e);
            while ((line = line_cutter_take(&c, &len)) != NULL)
                assert_string_equal(line, want[seen++]);
        }
        assert_int_equal(seen, TABLE_LEN(want));
        assert_int_equal(c.unfinished, 4);
        line_cutter_clear(&c);
    }
}

/* Lines not yet taken survive the next feed. */
static void test_lines_wait_to_be_taken(void **state)
{
    struct line_cutter c;
    struct err e;

    (void)state;
    line_cutter_init(&c, 100);
    check_line(&c, NULL);
    check_ok(line_cutter_feed(&c, "a\nb\nc", 5, &e), &e);
    check_line(&c, "a");
    check_ok(line_cutter_feed(&c, "d\n", 2, &e), &e);
    check_line(&c, "b");
    check_line(&c, "cd");
    check_line(&c, NULL);
    line_cutter_clear(&c);
}

/* The bound counts the newline: 7 bytes and a newline fit 8, 8 do not. */
static void test_the_bound_is_exact_and_final(void **state)
{
    struct line_cutter c;
    struct err e;

    (void)state;
    line_cutter_init(&c, 8);
    check_ok(line_cutter_feed(&c, "1234567\n1234567", 15, &e), &e);
    check_line(&c, "1234567");
    check_err(line_cutter_feed(&c, "8", 1, &e), &e, ERR_PROTOCOL, "a line is longer than 8 bytes");
    check_err(line_cutter_feed(&c, "\n", 1, &e), &e, ERR_PROTOCOL, "a line is longer than 8 bytes");
    check_line(&c, NULL);
    line_cutter_clear(&c);

    line_cutter_init(&c, 8);
    check_err(line_cutter_feed(&c, "ok\n12345678\n", 12, &e), &e, ERR_PROTOCOL,
              "a line is longer than 8 bytes");
    check_line(&c, "ok"); /* what came whole before the fault is still there */
    check_line(&c, NULL);
    line_cutter_clear(&c);
}

static void parse(const char *line, struct rpc_message *m)
{
    struct err e;

    check_ok(rpc_parse(line, strlen(line), m, &e), &e);
}

static void test_what_is_written_is_what_is_read(void **state)
{
    struct buf out = BUF_INIT;
    struct rpc_message m;

    (void)state;
    rpc_write_request(&out, 9007199254740993, "hello", "{\n  \"v\": [1,\r\n2]\n}");
    assert_string_equal(buf_text(&out), "{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"hello\","
                                        "\"params\":{  \"v\": [1,2]}}\n");
    parse(buf_text(&out), &m);
    assert_int_equal(m.kind, RPC_REQUEST);
    assert_true(m.id == 9007199254740993);
    assert_string_equal(m.method, "hello");
    assert_int_equal(json_count(json_get(m.params, "v")), 2);
    rpc_clear(&m);
    assert_null(m.doc);

    buf_reset(&out);
    rpc_write_request(&out, -1, "claim", NULL);
    assert_string_equal(buf_text(&out), "{\"jsonrpc\":\"2.0\",\"id\":-1,\"method\":\"claim\"}\n");

    buf_reset(&out);
    rpc_write_notification(&out, "op.progress", "{\"pct\":5}");
    parse(buf_text(&out), &m);
    assert_int_equal(m.kind, RPC_NOTIFICATION);
    assert_string_equal(m.method, "op.progress");
    assert_int_equal(json_get_int(m.params, "pct", 0), 5);
    rpc_clear(&m);

    buf_reset(&out);
    rpc_write_result(&out, 5, NULL);
    assert_string_equal(buf_text(&out), "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":null}\n");
    parse(buf_text(&out), &m);
    assert_int_equal(m.kind, RPC_RESULT);
    assert_int_equal(m.id, 5);
    assert_true(json_is_null(m.result));
    rpc_clear(&m);
    buf_clear(&out);
}

static void test_errors_carry_their_name(void **state)
{
    struct buf out = BUF_INIT;
    struct rpc_message m;
    struct err e;

    (void)state;
    err_set(&e, ERR_FENCED, "epoch 3 < 4");
    rpc_write_error(&out, 7, &e, " { \"epoch\": 4,\n\"run\": {} } ");
    assert_string_equal(
        buf_text(&out),
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32020,\"message\":\"epoch 3 < 4\","
        "\"data\":{\"name\":\"fenced\",\"epoch\": 4,\"run\": {} }}}\n");
    parse(buf_text(&out), &m);
    assert_int_equal(m.kind, RPC_ERROR);
    assert_int_equal(m.id, 7);
    assert_int_equal(m.error_code, -32000 - ERR_FENCED);
    assert_string_equal(m.error_name, "fenced");
    assert_string_equal(m.error_text, "epoch 3 < 4");
    assert_int_equal(json_get_int(m.error_data, "epoch", 0), 4);
    rpc_clear(&m);

    buf_reset(&out);
    e = (struct err){ ERR_TIMEOUT, "" };
    rpc_write_error(&out, 7, &e, "{ }");
    assert_string_equal(buf_text(&out),
                        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32016,\"message\":"
                        "\"time limit reached\",\"data\":{\"name\":\"timeout\"}}}\n");
    buf_clear(&out);

    parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"m\"}}", &m);
    assert_string_equal(m.error_name, "");
    assert_null(m.error_data);
    rpc_clear(&m);
}

static void test_envelopes_are_strict(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        { "", "message:1:1: the text ends too early" },
        { "[]", "message:1:1: must be an object, is an array" },
        { "{\"id\":1}", "message:1:1: the member `jsonrpc` is missing" },
        { "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", "message:1:12: must be \"2.0\" (at /jsonrpc)" },
        { "{\"jsonrpc\":2,\"id\":1,\"method\":\"m\"}",
          "message:1:12: must be a string, is a number (at /jsonrpc)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"m\"}",
          "message:1:23: must be an integer, is a string (at /id)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}",
          "message:1:23: must be an integer, is null (at /id)" },
        { "{\"jsonrpc\":\"2.0\",\"method\":5}", "message:1:27: must be a string, is a number (at /method)" },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[1]}",
          "message:1:40: must be an object, is an array (at /params)" },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"parms\":{}}",
          "message:1:39: unknown member `parms`, did you mean `params`? (at /parms)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":1}",
          "message:1:47: unknown member `result` (at /result)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1}", "message:1:1: must have a method, a result or an error" },
        { "{\"jsonrpc\":\"2.0\",\"result\":1}", "message:1:1: the member `id` is missing" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{}}",
          "message:1:1: must have a method, a result or an error" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}",
          "message:1:33: the member `code` is missing (at /error)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":2147483648,\"message\":\"m\"}}",
          "message:1:41: must be from -2147483648 to 2147483647, is 2147483648 (at /error/code)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1}}",
          "message:1:33: the member `message` is missing (at /error)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\",\"data\":7}}",
          "message:1:64: must be an object, is a number (at /error/data)" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,\"method\":\"m\"}",
          "message:1:30: the member `id` stands twice (at /id)" },
    };
    struct rpc_message m = { .method = "kept" };
    struct err e;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        check_err(rpc_parse(rows[i].line, strlen(rows[i].line), &m, &e), &e, ERR_PROTOCOL, rows[i].message);
    assert_string_equal(m.method, "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_come_whole_however_they_arrive),
        cmocka_unit_test(test_lines_wait_to_be_taken),
        cmocka_unit_test(test_the_bound_is_exact_and_final),
        cmocka_unit_test(test_what_is_written_is_what_is_read),
        cmocka_unit_test(test_errors_carry_their_name),
        cmocka_unit_test(test_envelopes_are_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
