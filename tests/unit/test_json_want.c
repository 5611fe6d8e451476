#include "schema/json.h"
#include "tests/lib/check.h"

#include <string.h>

static const char text[] = "{\"s\":\"x\",\"i\":7,\"b\":true,\"n\":null,\"a\":[1],\"o\":{\"in\":1}}";

static int start(void **state)
{
    return json_parse("f", text, sizeof text - 1, (struct json_doc **)state, NULL);
}

static int end(void **state)
{
    json_free(*state);
    return 0;
}

static void test_members_of_the_right_kind(void **state)
{
    const struct json_doc *d = *state;
    const json *root = json_root(d), *v = NULL;
    const char *s = NULL;
    int64_t i = 0;
    bool b = false;
    struct err e;

    check_ok(json_want_str(d, root, "s", JSON_REQUIRED, &s, &e), &e);
    assert_string_equal(s, "x");
    check_ok(json_want_int(d, root, "i", JSON_REQUIRED, 7, 7, &i, &e), &e);
    assert_int_equal(i, 7);
    check_ok(json_want_bool(d, root, "b", JSON_OPTIONAL, &b, &e), &e);
    assert_true(b);
    check_ok(json_want_array(d, root, "a", JSON_REQUIRED, &v, &e), &e);
    assert_int_equal(json_count(v), 1);
    check_ok(json_want_object(d, root, "o", JSON_REQUIRED, &v, &e), &e);
    assert_int_equal(json_get_int(v, "in", 0), 1);
}

/* A missing optional member leaves the caller's default alone. */
static void test_missing_members(void **state)
{
    const struct json_doc *d = *state;
    const json *root = json_root(d), *v = root;
    const char *s = "default";
    int64_t i = 42;
    bool b = true;
    struct err e;

    check_ok(json_want_str(d, root, "x", JSON_OPTIONAL, &s, &e), &e);
    check_ok(json_want_int(d, root, "x", JSON_OPTIONAL, 0, 1, &i, &e), &e);
    check_ok(json_want_bool(d, root, "x", JSON_OPTIONAL, &b, &e), &e);
    check_ok(json_want_array(d, root, "x", JSON_OPTIONAL, &v, &e), &e);
    check_ok(json_want_object(d, root, "x", JSON_OPTIONAL, &v, &e), &e);
    assert_string_equal(s, "default");
    assert_int_equal(i, 42);
    assert_true(b);
    assert_ptr_equal(v, root);
    check_err(json_want_str(d, root, "x", JSON_REQUIRED, &s, &e), &e, ERR_INVALID,
              "f:1:1: the member `x` is missing");
    check_err(json_want_int(d, json_get(root, "o"), "x", JSON_REQUIRED, 0, 1, &i, &e), &e, ERR_INVALID,
              "f:1:46: the member `x` is missing (at /o)");
    assert_string_equal(s, "default");
    assert_int_equal(i, 42);
}

static void test_wrong_kinds(void **state)
{
    const struct json_doc *d = *state;
    const json *root = json_root(d), *v = NULL;
    const char *s = NULL;
    int64_t i = 42;
    bool b = false;
    struct err e;

    check_err(json_want_str(d, root, "i", JSON_OPTIONAL, &s, &e), &e, ERR_INVALID,
              "f:1:14: must be a string, is a number (at /i)");
    check_err(json_want_int(d, root, "s", JSON_REQUIRED, 0, 9, &i, &e), &e, ERR_INVALID,
              "f:1:6: must be an integer, is a string (at /s)");
    check_err(json_want_bool(d, root, "n", JSON_OPTIONAL, &b, &e), &e, ERR_INVALID,
              "f:1:29: must be true or false, is null (at /n)");
    check_err(json_want_array(d, root, "o", JSON_REQUIRED, &v, &e), &e, ERR_INVALID,
              "f:1:46: must be an array, is an object (at /o)");
    check_err(json_want_object(d, root, "a", JSON_REQUIRED, &v, &e), &e, ERR_INVALID,
              "f:1:38: must be an object, is an array (at /a)");
    check_err(json_want_str(d, json_get(root, "b"), "x", JSON_OPTIONAL, &s, &e), &e, ERR_INVALID,
              "f:1:20: must be an object, is a boolean (at /b)");
    assert_null(s);
    assert_null(v);
    assert_int_equal(i, 42);
}

static void test_integers_out_of_range(void **state)
{
    const struct json_doc *d = *state;
    int64_t i = 42;
    struct err e;

    check_err(json_want_int(d, json_root(d), "i", JSON_REQUIRED, 8, 100, &i, &e), &e, ERR_INVALID,
              "f:1:14: must be from 8 to 100, is 7 (at /i)");
    check_err(json_want_int(d, json_root(d), "i", JSON_OPTIONAL, -5, 6, &i, &e), &e, ERR_INVALID,
              "f:1:14: must be from -5 to 6, is 7 (at /i)");
    assert_int_equal(i, 42);
}

static void check_unknown(const char *body, const char *want)
{
    static const char *const known[] = { "interval",      "samples", "failure_limit",
                                         "unknown_limit", "on_fail", NULL };
    struct json_doc *d;
    struct err e;

    check_ok(json_parse("f", body, strlen(body), &d, &e), &e);
    if (want == NULL)
        check_ok(json_want_known(d, json_root(d), known, &e), &e);
    else
        check_err(json_want_known(d, json_root(d), known, &e), &e, ERR_INVALID, want);
    json_free(d);
}

static void test_unknown_members_come_with_a_hint(void **state)
{
    (void)state;
    check_unknown("{}", NULL);
    check_unknown("{\"samples\":1,\"on_fail\":2}", NULL);
    check_unknown("{\"samples\":1,\"intervall\":2}",
                  "f:1:26: unknown member `intervall`, did you mean `interval`? (at /intervall)");
    check_unknown(
        "{\"failure-limit\":1}",
        "f:1:18: unknown member `failure-limit`, did you mean `failure_limit`? (at /failure-limit)");
    check_unknown(
        "{\"unknown_limits\":1}",
        "f:1:19: unknown member `unknown_limits`, did you mean `unknown_limit`? (at /unknown_limits)");
    check_unknown("{\"colour\":1}", "f:1:11: unknown member `colour` (at /colour)");
    check_unknown("{\"\":1}", "f:1:5: unknown member `` (at /)");
    check_unknown("{\"a_name_that_is_longer_than_forty_characters_is_not_compared\":1}",
                  "f:1:64: unknown member `a_name_that_is_longer_than_forty_characters_is_not_compared` (at "
                  "/a_name_that_is_longer_than_forty_characters_is_not_compared)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_members_of_the_right_kind, start, end),
        cmocka_unit_test_setup_teardown(test_missing_members, start, end),
        cmocka_unit_test_setup_teardown(test_wrong_kinds, start, end),
        cmocka_unit_test_setup_teardown(test_integers_out_of_range, start, end),
        cmocka_unit_test(test_unknown_members_come_with_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
