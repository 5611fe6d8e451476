/* A driver's answer is read strictly: exactly one object of the contract is
 * evidence, everything else is none. */
#include "agent/core/driver_proto.h"
#include "tests/lib/check.h"

#include <stdlib.h>
#include <string.h>

#define ROW \
    "{\"subject\":\"vm\",\"id\":\"v\",\"cause\":\"blackout\",\"start_ms\":5,\"end_ms\":9,\"how\":\"event\"}"

static void test_evidence(void **state)
{
    static const struct {
        enum driver_mode mode;
        const char *text;
        enum driver_answer_kind kind;
    } rows[] = {
        { DRIVER_RUN, "{\"result\":{}}", DRIVER_RESULT },
        { DRIVER_RUN, "  {\"result\":{\"blackout_ms\":600},\"downtime\":[" ROW "]}\r\n", DRIVER_RESULT },
        { DRIVER_RUN,
          "{\"result\":{},\"downtime\":[{\"subject\":\"vm\",\"id\":\"v\",\"cause\":\"saved\",\"start_ms\":5,"
          "\"end_ms\":null,\"how\":\"x\"}]}",
          DRIVER_RESULT },
        { DRIVER_RUN, "{\"error\":{\"code\":\"refused\",\"message\":\"m\"}}", DRIVER_ERROR },
        { DRIVER_RUN, "{\"error\":{\"code\":\"failed\",\"message\":\"m\",\"native\":\"0x1\",\"hint\":null}}",
          DRIVER_ERROR },
        { DRIVER_WITNESS, "{\"witness\":\"done\",\"evidence\":{\"owner\":\"HV03\"},\"downtime\":[" ROW "]}",
          DRIVER_WITNESSED },
        { DRIVER_WITNESS, "{\"witness\":\"cannot_tell\"}", DRIVER_WITNESSED },
        { DRIVER_WITNESS, "{\"error\":{\"code\":\"busy\",\"message\":\"\"}}", DRIVER_ERROR },
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        struct driver_answer a;

        driver_answer_read(rows[i].mode, rows[i].text, strlen(rows[i].text), &a);
        if (a.kind != rows[i].kind)
            fail_msg("%s: %s", rows[i].text, a.why);
        driver_answer_clear(&a);
    }
}

static void test_no_evidence(void **state)
{
    static const struct {
        enum driver_mode mode;
        const char *text;
    } rows[] = {
        { DRIVER_RUN, "" },
        { DRIVER_RUN, "\n" },
        { DRIVER_RUN, "ok" },
        { DRIVER_RUN, "null" },
        { DRIVER_RUN, "[]" },
        { DRIVER_RUN, "{}" },
        { DRIVER_RUN, "{\"result\":{}" },
        { DRIVER_RUN, "{\"result\":{}}{\"result\":{}}" },
        { DRIVER_RUN, "{\"result\":{}}\n{\"result\":{}}" },
        { DRIVER_RUN, "noise {\"result\":{}}" },
        { DRIVER_RUN, "\xef\xbb\xbf{\"result\":{}}" },
        { DRIVER_RUN, "{\"result\":true}" },
        { DRIVER_RUN, "{\"result\":null}" },
        { DRIVER_RUN, "{\"result\":{},\"error\":{\"code\":\"failed\",\"message\":\"m\"}}" },
        { DRIVER_RUN, "{\"result\":{},\"success\":true}" },
        { DRIVER_RUN, "{\"result\":{},\"result\":{}}" },
        { DRIVER_RUN, "{\"result\":{\"a\":\"\xff\"}}" },
        { DRIVER_RUN, "{\"witness\":\"done\"}" },
        { DRIVER_RUN, "{\"error\":\"failed\"}" },
        { DRIVER_RUN, "{\"error\":{\"code\":\"failed\"}}" },
        { DRIVER_RUN, "{\"error\":{\"code\":\"whatever\",\"message\":\"m\"}}" },
        { DRIVER_RUN, "{\"error\":{\"code\":\"failed\",\"message\":\"m\",\"native\":5}}" },
        { DRIVER_RUN, "{\"error\":{\"code\":\"failed\",\"message\":\"m\",\"more\":1}}" },
        { DRIVER_RUN, "{\"result\":{},\"downtime\":{}}" },
        { DRIVER_RUN, "{\"result\":{},\"downtime\":[1]}" },
        { DRIVER_RUN, "{\"result\":{},\"downtime\":[{\"subject\":\"vm\"}]}" },
        { DRIVER_RUN, "{\"result\":{},\"downtime\":[{\"subject\":\"cat\",\"id\":\"v\",\"cause\":\"blackout\","
                      "\"start_ms\":5,"
                      "\"end_ms\":9,\"how\":\"e\"}]}" },
        { DRIVER_RUN, "{\"result\":{},\"downtime\":[{\"subject\":\"vm\",\"id\":\"v\",\"cause\":\"boredom\","
                      "\"start_ms\":5,"
                      "\"end_ms\":9,\"how\":\"e\"}]}" },
        { DRIVER_RUN,
          "{\"result\":{},\"downtime\":[{\"subject\":\"vm\",\"id\":\"v\",\"cause\":\"quick\",\"start_ms\":9,"
          "\"end_ms\":5,\"how\":\"e\"}]}" },
        { DRIVER_RUN, "{\"result\":{},\"downtime\":[{\"subject\":\"vm\",\"id\":\"v\",\"cause\":\"quick\","
                      "\"start_ms\":1.5,"
                      "\"end_ms\":5,\"how\":\"e\"}]}" },
        { DRIVER_WITNESS, "{\"result\":{}}" },
        { DRIVER_WITNESS, "{\"witness\":\"yes\"}" },
        { DRIVER_WITNESS, "{\"witness\":true}" },
        { DRIVER_WITNESS, "{\"witness\":\"done\",\"evidence\":\"seen\"}" },
        { DRIVER_WITNESS, "{\"evidence\":{}}" },
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        struct driver_answer a;

        driver_answer_read(rows[i].mode, rows[i].text, strlen(rows[i].text), &a);
        if (a.kind != DRIVER_NO_EVIDENCE)
            fail_msg("taken as evidence: %s", rows[i].text);
        assert_string_not_equal(a.why, "");
        assert_null(a.doc);
    }
}

static void test_bytes_with_nul(void **state)
{
    static const char text[] = "{\"result\":{}}\0{\"result\":{}}";
    struct driver_answer a;

    (void)state;
    driver_answer_read(DRIVER_RUN, text, sizeof text - 1, &a);
    assert_int_equal(a.kind, DRIVER_NO_EVIDENCE);
}

static void test_too_long(void **state)
{
    size_t len = DRIVER_ANSWER_MAX + 1;
    char *text = calloc(1, len + 1);
    struct driver_answer a;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, "{\"result\":{}}", 13);
    driver_answer_read(DRIVER_RUN, text, len, &a);
    assert_int_equal(a.kind, DRIVER_NO_EVIDENCE);
    driver_answer_read(DRIVER_RUN, text, len - 1, &a);
    assert_int_equal(a.kind, DRIVER_RESULT);
    driver_answer_clear(&a);
    free(text);
}

/* Requests are ASCII (O29) and carry what the agent adds, once. */
static void test_request(void **state)
{
    static const char args[] =
        "{\"package\":{\"name\":\"\xe4\xbb\xae.msu\",\"path\":\"/evil\"},\"tool\":\"dism\"}";
    struct json_doc *d = NULL;
    struct buf out = BUF_INIT;
    struct err err;
    struct driver_request r = { .action = "install", .node = "HV07", .op = "o", .limit_ms = 5 };

    (void)state;
    check_ok(json_parse("args", args, strlen(args), &d, &err), &err);
    r.args = json_root(d);
    r.in_args = "package";
    r.add_key = "path";
    r.add_value = "/private/p";
    driver_request_write(&out, &r);
    assert_string_equal(
        buf_text(&out),
        "{\"contract\":1,\"action\":\"install\",\"mode\":\"run\",\"node\":\"HV07\",\"op\":\"o\","
        "\"limit_ms\":5,\"args\":{\"package\":{\"name\":\"\\u4eee.msu\",\"path\":\"/private/p\"},"
        "\"tool\":\"dism\"}}\n");
    buf_clear(&out);
    json_free(d);
}

static void check_manifest(const char *text, enum err_code want)
{
    struct driver_manifest m;
    struct err err = { 0 };
    int rc = driver_manifest_read("driver.json", text, strlen(text), &m, &err);

    if (rc != (int)want)
        fail_msg("%s: %s", text, err.text);
    driver_manifest_clear(&m);
}

static void test_manifest(void **state)
{
    struct driver_manifest m;
    struct err err;
    static const char good[] =
        "{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[\"./d\",\"x\"],"
        "\"limit_ms\":5,\"resident\":true},\"install\":{\"argv\":[\"d\"],\"limit_ms\":9,\"on_deadline\":"
        "\"leave\"}}}";

    (void)state;
    check_ok(driver_manifest_read("driver.json", good, strlen(good), &m, &err), &err);
    assert_string_equal(driver_manifest_find(&m, "facts")->argv[1], "x");
    assert_null(driver_manifest_find(&m, "facts")->argv[2]);
    assert_false(driver_manifest_find(&m, "facts")->leave);
    assert_true(driver_manifest_find(&m, "facts")->resident);
    assert_true(driver_manifest_find(&m, "install")->leave);
    assert_false(driver_manifest_find(&m, "install")->resident);
    assert_null(driver_manifest_find(&m, "reboot"));
    driver_manifest_clear(&m);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":2,\"actions\":{}}", ERR_VERSION);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{}}", ERR_INVALID);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[],"
                   "\"limit_ms\":5}}}",
                   ERR_INVALID);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[1],"
                   "\"limit_ms\":5}}}",
                   ERR_INVALID);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[\"d\"]"
                   ",\"limit_ms\":0}}}",
                   ERR_INVALID);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{\"fly\":{\"argv\":[\"d\"],"
                   "\"limit_ms\":5}}}",
                   ERR_INVALID);
    check_manifest("{\"name\":\"n\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[\"d\"]"
                   ",\"limit_ms\":5,"
                   "\"on_deadline\":\"wait\"}}}",
                   ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evidence),       cmocka_unit_test(test_no_evidence),
        cmocka_unit_test(test_bytes_with_nul), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_request),        cmocka_unit_test(test_manifest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
