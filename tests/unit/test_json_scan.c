/* What is refused, where, and with which words: through json_parse, because
 * place and pointer are put together there. */
#include "schema/json.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text may hold NULs: its length is the array's. */
#define BAD(text, message)              \
    {                                   \
        text, sizeof(text) - 1, message \
    }
static const struct {
    const char *text;
    size_t len;
    const char *message;
} bad[] = {
    BAD("", "f:1:1: the text ends too early"),
    BAD("  \n ", "f:2:2: the text ends too early"),
    BAD("{", "f:1:2: the text ends too early"),
    BAD("[", "f:1:2: the text ends too early (at /0)"),
    BAD("[1", "f:1:3: the text ends too early (at /0)"),
    BAD("[1,", "f:1:4: the text ends too early (at /1)"),
    BAD("{\"a\"", "f:1:5: the text ends too early (at /a)"),
    BAD("{\"a\":", "f:1:6: the text ends too early (at /a)"),
    BAD("{\"a\":1", "f:1:7: the text ends too early (at /a)"),
    BAD("{\"a\":1,", "f:1:8: the text ends too early"),
    BAD("\"abc", "f:1:5: the text ends inside a string"),
    BAD("\"abc\\", "f:1:6: the text ends too early"),
    BAD("{\"abc", "f:1:6: the text ends inside a string"),
    BAD("-", "f:1:2: the text ends too early"),
    BAD("\xef\xbb\xbf{}", "f:1:1: the text begins with a byte order mark: save it as UTF-8 without one"),
    BAD("{} {}", "f:1:4: there is more text behind the value"),
    BAD("1 // one", "f:1:3: there is more text behind the value"),
    BAD("[1]\0", "f:1:4: there is more text behind the value"),
    BAD("\0", "f:1:1: expected a value"),
    BAD("// one\n1", "f:1:1: expected a value"),
    BAD("[1,]", "f:1:4: expected a value (at /1)"),
    BAD("[,1]", "f:1:2: expected a value (at /0)"),
    BAD("[1 2]", "f:1:4: expected `,` or `]` (at /0)"),
    BAD("[1}", "f:1:3: expected `,` or `]` (at /0)"),
    BAD("{\"a\":1 \"b\":2}", "f:1:8: expected `,` or `}` (at /a)"),
    BAD("{\"a\":1]", "f:1:7: expected `,` or `}` (at /a)"),
    BAD("{\"a\":1,}", "f:1:8: expected a member's name in double quotes"),
    BAD("{'a':1}", "f:1:2: expected a member's name in double quotes"),
    BAD("{a:1}", "f:1:2: expected a member's name in double quotes"),
    BAD("{1:1}", "f:1:2: expected a member's name in double quotes"),
    BAD("{\"a\" 1}", "f:1:6: expected `:` behind the member's name (at /a)"),
    BAD("'a'", "f:1:1: expected a value"),
    BAD("tru", "f:1:1: expected a value"),
    BAD("True", "f:1:1: expected a value"),
    BAD("nul", "f:1:1: expected a value"),
    BAD("truefalse", "f:1:5: there is more text behind the value"),
    BAD("NaN", "f:1:1: expected a value"),
    BAD("Infinity", "f:1:1: expected a value"),
    BAD("+1", "f:1:1: expected a value"),
    BAD(".5", "f:1:1: expected a value"),
    BAD("-a", "f:1:2: a digit is missing behind the minus sign"),
    BAD("--1", "f:1:2: a digit is missing behind the minus sign"),
    BAD("01", "f:1:1: a number must not begin with 0"),
    BAD("-01", "f:1:1: a number must not begin with 0"),
    BAD("00", "f:1:1: a number must not begin with 0"),
    BAD("0x10", "f:1:2: there is more text behind the value"),
    BAD("1.5", "f:1:1: the number has a fraction or an exponent: only integers are allowed"),
    BAD("1.0", "f:1:1: the number has a fraction or an exponent: only integers are allowed"),
    BAD("1e3", "f:1:1: the number has a fraction or an exponent: only integers are allowed"),
    BAD("-2E+3", "f:1:1: the number has a fraction or an exponent: only integers are allowed"),
    BAD("9223372036854775808", "f:1:1: the number does not fit 64 bits"),
    BAD("-9223372036854775809", "f:1:1: the number does not fit 64 bits"),
    BAD("18446744073709551617", "f:1:1: the number does not fit 64 bits"),
    BAD("100000000000000000000000000000000000000", "f:1:1: the number does not fit 64 bits"),
    BAD("\"\\u0000\"", "f:1:2: the character \\u0000 is not allowed"),
    BAD("{\"\\u0000\":1}", "f:1:3: the character \\u0000 is not allowed"),
    BAD("\"a\0b\"", "f:1:3: control character in a string (write it as an escape)"),
    BAD("\"a\nb\"", "f:1:3: control character in a string (write it as an escape)"),
    BAD("\"\x1f\"", "f:1:2: control character in a string (write it as an escape)"),
    BAD("\"\\x41\"", "f:1:2: unknown escape in a string"),
    BAD("\"\\\0\"", "f:1:2: unknown escape in a string"),
    BAD("\"\\u12\"", "f:1:2: \\u must be followed by four hex digits"),
    BAD("\"\\u12g4\"", "f:1:2: \\u must be followed by four hex digits"),
    BAD("\"\\u", "f:1:2: \\u must be followed by four hex digits"),
    BAD("\"\\ud83d\"", "f:1:2: half of a surrogate pair"),
    BAD("\"\\ud83dx\\ude00\"", "f:1:2: half of a surrogate pair"),
    BAD("\"\\ud83d\\u0041\"", "f:1:2: half of a surrogate pair"),
    BAD("\"\\ud83d\\ud83d\"", "f:1:2: half of a surrogate pair"),
    BAD("\"\\ude00\"", "f:1:2: half of a surrogate pair"),
    BAD("\"\\ud83d\\ude", "f:1:2: half of a surrogate pair"),
    BAD("\"\x80\"", "f:1:2: not valid UTF-8"),
    BAD("\"ab\xff\"", "f:1:4: not valid UTF-8"),
    BAD("\"\xc0\xaf\"", "f:1:2: not valid UTF-8"),
    BAD("\"\xed\xa0\x80\"", "f:1:2: not valid UTF-8"),
    BAD("\"\xe2\x82\"", "f:1:2: not valid UTF-8"),
    BAD("\"\xf5\x80\x80\x80\"", "f:1:2: not valid UTF-8"),
    BAD("\xa0[]", "f:1:1: expected a value"),
    BAD("{\"a\":1,\"a\":2}", "f:1:12: the member `a` stands twice (at /a)"),
    BAD("{\"a\":1,\"\\u0061\":2}", "f:1:17: the member `a` stands twice (at /a)"),
    BAD("{\"a\":{\"b\":1,\"c\":2,\"b\":3},\"a\":2}", "f:1:23: the member `b` stands twice (at /a/b)"),
    BAD("{\"z\":1,\"a\":1,\"z\":2,\"a\":2}", "f:1:18: the member `z` stands twice (at /z)"),
    BAD("{\"\":1,\"\":2}", "f:1:10: the member `` stands twice (at /)"),
    BAD("{\n  \"nodes\": [\n    {\"name\": \"HV01\"},\n    {\"name\": 1.5}\n  ]\n}",
        "f:4:14: the number has a fraction or an exponent: only integers are allowed (at /nodes/1/name)"),
    BAD("{\"a/b\":{\"c~d\":[[0,x]]}}", "f:1:19: expected a value (at /a~1b/c~0d/0/1)"),
    BAD("{\"a\":[1,2],\"b\":x}", "f:1:16: expected a value (at /b)"),
    BAD("[[1],[2],[x]]", "f:1:11: expected a value (at /2/0)"),
};

static void test_bad_texts_are_refused_with_their_place(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(bad); i++) {
        /* an exact copy on the heap: reading past the end would be seen */
        char *text = malloc(bad[i].len == 0 ? 1 : bad[i].len);
        struct json_doc *doc = NULL;
        struct err e = { ERR_OK, "" };
        int rc;

        memcpy(text, bad[i].text, bad[i].len);
        rc = json_parse("f", text, bad[i].len, &doc, &e);
        if (rc != ERR_INVALID)
            fail_msg("accepted: %s", bad[i].text);
        check_err(rc, &e, ERR_INVALID, bad[i].message);
        assert_null(doc);
        free(text);
    }
}

static const struct {
    const char *text, *written;
} good[] = {
    { "{}", "{}" },
    { " [ ] ", "[]" },
    { "\t\r\n 1 \n", "1" },
    { "true", "true" },
    { "[true,false,null]", "[true,false,null]" },
    { "0", "0" },
    { "-0", "0" },
    { "9223372036854775807", "9223372036854775807" },
    { "-9223372036854775808", "-9223372036854775808" },
    { "[9007199254740993,-9007199254740993]", "[9007199254740993,-9007199254740993]" },
    { "\"\"", "\"\"" },
    { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
    { "\"\\u00e9\\u20AC\\ud83D\\uDe00\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
    { "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
    { "\"\\u0001\\u001f\x7f\"", "\"\\u0001\\u001f\x7f\"" },
    { "{\"\":{\"\":[]}}", "{\"\":{\"\":[]}}" },
    { "{\"b\":1,\"a\":2,\"B\":3}", "{\"b\":1,\"a\":2,\"B\":3}" },
    { "\"\xe6\x97\xa5\xe6\x9c\xac\"", "\"\xe6\x97\xa5\xe6\x9c\xac\"" },
};

static void test_good_texts_keep_their_values(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(good); i++) {
        struct buf out = BUF_INIT;
        struct json_doc *doc;
        struct err e;

        check_ok(json_parse("f", good[i].text, strlen(good[i].text), &doc, &e), &e);
        json_write(&out, json_root(doc), false);
        assert_string_equal(buf_text(&out), good[i].written);
        buf_clear(&out);
        json_free(doc);
    }
}

/* `depth` arrays in one another */
static int parse_nested(unsigned depth, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf text = BUF_INIT;
    int rc;

    for (unsigned i = 0; i < depth; i++)
        buf_char(&text, '[');
    for (unsigned i = 0; i < depth; i++)
        buf_char(&text, ']');
    rc = json_parse("f", text.data, text.len, &doc, e);
    json_free(doc);
    buf_clear(&text);
    return rc;
}

static void test_depth_is_bounded(void **state)
{
    struct err e;

    (void)state;
    check_ok(parse_nested(JSON_DEPTH_MAX, &e), &e);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX + 1, &e), ERR_INVALID);
    assert_memory_equal(e.text, "f:1:33: nested too deeply (at /0/0/0", 36);
    assert_int_equal(parse_nested(1000000, &e), ERR_INVALID);
}

static void test_size_is_bounded(void **state)
{
    struct json_doc *doc = NULL;
    struct err e;

    (void)state;
    check_err(json_parse("f", "1", JSON_TEXT_MAX + 1, &doc, &e), &e, ERR_INVALID,
              "f: larger than 67108864 bytes");
}

/* Every prefix of a text that uses all of the grammar is refused, and never
 * read past its end. */
static void test_every_prefix_is_refused(void **state)
{
    static const char whole[] =
        "{\"a\":[1,-22,true,null,{\"b\":\"\\u00e9\\ud83d\\ude00\xc3\xa9\"}],\"c\":false}";

    (void)state;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        struct json_doc *doc = NULL;
        char *text = malloc(n == 0 ? 1 : n);

        memcpy(text, whole, n);
        assert_int_equal(json_parse("f", text, n, &doc, NULL), ERR_INVALID);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_texts_are_refused_with_their_place),
        cmocka_unit_test(test_good_texts_keep_their_values),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
        cmocka_unit_test(test_every_prefix_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
