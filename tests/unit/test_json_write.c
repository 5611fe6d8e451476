#include "schema/json.h"
#include "tests/lib/check.h"

#include <string.h>

/* One value of every kind, in the order of the calls. */
static void write_sample(struct json_writer *w)
{
    jw_object(w, NULL);
    jw_str(w, "s", "x");
    jw_str(w, "absent", NULL);
    jw_int(w, "min", INT64_MIN);
    jw_array(w, "list");
    jw_int(w, NULL, 1);
    jw_bool(w, NULL, true);
    jw_object(w, NULL);
    jw_object_end(w);
    jw_array_end(w);
    jw_array(w, "empty");
    jw_array_end(w);
    jw_null(w, "n");
    jw_raw(w, "raw", "[1,2]");
    jw_object_end(w);
}

static void test_compact_and_pretty(void **state)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    (void)state;
    jw_init(&w, &out);
    write_sample(&w);
    assert_string_equal(buf_text(&out), "{\"s\":\"x\",\"absent\":null,\"min\":-9223372036854775808,"
                                        "\"list\":[1,true,{}],\"empty\":[],\"n\":null,\"raw\":[1,2]}");
    buf_reset(&out);
    jw_init(&w, &out);
    w.pretty = true;
    write_sample(&w);
    assert_string_equal(buf_text(&out), "{\n"
                                        "  \"s\": \"x\",\n"
                                        "  \"absent\": null,\n"
                                        "  \"min\": -9223372036854775808,\n"
                                        "  \"list\": [\n"
                                        "    1,\n"
                                        "    true,\n"
                                        "    {}\n"
                                        "  ],\n"
                                        "  \"empty\": [],\n"
                                        "  \"n\": null,\n"
                                        "  \"raw\": [1,2]\n"
                                        "}");
    buf_clear(&out);
}

static void test_strings_in_both_alphabets(void **state)
{
    static const struct {
        const char *text, *utf8, *ascii;
    } rows[] = {
        { "", "\"\"", "\"\"" },
        { "a\"\\/\b\f\n\r\t", "\"a\\\"\\\\/\\b\\f\\n\\r\\t\"", "\"a\\\"\\\\/\\b\\f\\n\\r\\t\"" },
        { "\x01\x1f", "\"\\u0001\\u001f\"", "\"\\u0001\\u001f\"" },
        { "~\x7f", "\"~\x7f\"", "\"~\\u007f\"" },
        { "\xe6\x97\xa5\xe6\x9c\xac", "\"\xe6\x97\xa5\xe6\x9c\xac\"", "\"\\u65e5\\u672c\"" },
        { "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\"" },
        { "a\xff\xe2\x82z", "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"", "\"a\\ufffd\\ufffd\\ufffdz\"" },
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "\"\\ufffd\\ufffd\\ufffd\"" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf out = BUF_INIT;
        struct json_writer w;

        jw_init(&w, &out);
        jw_str(&w, NULL, rows[i].text);
        assert_string_equal(buf_text(&out), rows[i].utf8);
        buf_reset(&out);
        jw_init(&w, &out);
        w.ascii = true;
        jw_str(&w, NULL, rows[i].text);
        assert_string_equal(buf_text(&out), rows[i].ascii);
        buf_clear(&out);
    }
}

/* Names are escaped like values. */
static void test_member_names(void **state)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    (void)state;
    jw_init(&w, &out);
    w.ascii = true;
    jw_object(&w, NULL);
    jw_int(&w, "a\"\xc3\xa9", 1);
    jw_object_end(&w);
    assert_string_equal(buf_text(&out), "{\"a\\\"\\u00e9\":1}");
    buf_clear(&out);
}

/* A parsed value of the greatest depth fits below our own members. */
static void test_parsed_values_are_copied(void **state)
{
    char deep[2 * JSON_DEPTH_MAX + 1];
    struct buf out = BUF_INIT;
    struct json_writer w;
    struct json_doc *doc;
    struct err e;

    (void)state;
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    deep[sizeof deep - 1] = '\0';
    check_ok(json_parse("f", deep, sizeof deep - 1, &doc, &e), &e);
    jw_init(&w, &out);
    jw_object(&w, NULL);
    jw_value(&w, "v", json_root(doc));
    jw_object_end(&w);
    assert_memory_equal(out.data, "{\"v\":[[", 7);
    assert_memory_equal(out.data + 5, deep, sizeof deep - 1);
    json_free(doc);

    buf_reset(&out);
    check_ok(json_parse("f", "{\"a\":[1,\"\xc3\xa9\",{\"b\":null}],\"c\":true}", 34, &doc, &e), &e);
    json_write(&out, json_root(doc), true);
    assert_string_equal(buf_text(&out), "{\"a\":[1,\"\\u00e9\",{\"b\":null}],\"c\":true}");
    json_free(doc);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact_and_pretty),
        cmocka_unit_test(test_strings_in_both_alphabets),
        cmocka_unit_test(test_member_names),
        cmocka_unit_test(test_parsed_values_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
