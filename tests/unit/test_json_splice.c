#include "orchestrator/io/json_splice.h"
#include "tests/lib/check.h"

#include <string.h>

static void check_splice(const char *text, const char *key, const char *value, const char *wanted)
{
    struct buf out = BUF_INIT;

    json_splice(&out, text, strlen(text), key, value);
    assert_string_equal(buf_text(&out), wanted);
    buf_clear(&out);
}

static void test_a_value_is_replaced_in_its_place(void **state)
{
    (void)state;
    check_splice("{\"a\": 1, \"b\": \"x\"}", "a", "{}", "{\"a\": {}, \"b\": \"x\"}");
    check_splice("{\"a\": 1, \"b\": \"x\"}", "b", "[1]", "{\"a\": 1, \"b\": [1]}");
    check_splice("{\"a\":{\"b\":\"}\\\"]\"},\"b\":true}", "b", "0", "{\"a\":{\"b\":\"}\\\"]\"},\"b\":0}");
}

/* What stands below keeps its line. */
static void test_lines_stay(void **state)
{
    (void)state;
    check_splice("{\n \"a\": [\n  1,\n  2\n ],\n \"b\": 2\n}\n", "a", "[]",
                 "{\n \"a\": []\n\n\n,\n \"b\": 2\n}\n");
}

static void test_a_missing_member_goes_to_the_end(void **state)
{
    (void)state;
    check_splice("{\n \"a\": 1\n}", "z", "[]", "{\n \"a\": 1\n,\"z\":[]}");
    check_splice("{ }", "z", "1", "{ \"z\":1}");
}

/* All else keeps line and column, on its own line, too. */
static void test_a_member_goes_to_the_end(void **state)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        { "{\"z\": \"K\", \"a\": 0}", "{          \"a\": 0,\"z\":{}}" },
        { "{\"a\": 0, \"z\": {\n\"k\": 1}, \"b\": 1}\n", "{\"a\": 0,       \n         \"b\": 1,\"z\":{}}\n" },
        { "{\"a\": 0, \"z\": \"K\" }", "{\"a\": 0,          \"z\":{}}" },
        { "{\"z\": \"K\"}", "{        \"z\":{}}" },
        { "{\"a\": 0}", "{\"a\": 0,\"z\":{}}" },
        { "{}", "{\"z\":{}}" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf out = BUF_INIT;

        json_splice_last(&out, rows[i].text, strlen(rows[i].text), "z", "{}");
        assert_string_equal(buf_text(&out), rows[i].wanted);
        buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_is_replaced_in_its_place),
        cmocka_unit_test(test_lines_stay),
        cmocka_unit_test(test_a_missing_member_goes_to_the_end),
        cmocka_unit_test(test_a_member_goes_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
