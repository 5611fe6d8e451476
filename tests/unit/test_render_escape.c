#include "orchestrator/io/render_escape.h"
#include "tests/lib/check.h"

struct row {
    const char *in, *out;
};

static void check_rows(const struct row *rows, size_t n, void (*escape)(struct buf *, const char *))
{
    struct buf out = BUF_INIT;

    for (size_t i = 0; i < n; i++) {
        buf_reset(&out);
        escape(&out, rows[i].in);
        assert_string_equal(buf_text(&out), rows[i].out);
    }
    buf_clear(&out);
}

/* A VM's name must not move the cursor, set a title or hide text. */
static void test_terminal(void **state)
{
    static const struct row rows[] = {
        { "db01", "db01" },
        { "\xe4\xbb\xae\xe6\x83\xb3 01", "\xe4\xbb\xae\xe6\x83\xb3 01" },
        { "a\x1b[2Jb", "a\\x1b[2Jb" },
        { "a\nb\tc\r", "a\\nb\\tc\\x0d" },
        { "x\xc2\x9b"
          "31m",
          "x\\x9b31m" },              /* C1 control as UTF-8 */
        { "\x80\xff", "\\x80\\xff" }, /* not UTF-8 */
        { "gpj.\xe2\x80\xae"
          "exe",
          "gpj.\\u{202e}exe" }, /* right to left */
        { "a\xe2\x80\x8b"
          "b",
          "a\\u{200b}b" },                     /* zero width */
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* surrogate */
        { "\x7f", "\\x7f" },
    };

    (void)state;
    check_rows(rows, TABLE_LEN(rows), escape_terminal);
}

static void test_markdown(void **state)
{
    static const struct row rows[] = {
        { "plain text", "plain text" },
        { "a|b", "a\\|b" },
        { "<script>&", "&lt;script&gt;&amp;" },
        { "[x](http://y)", "\\[x\\](http://y)" },
        { "*b* _i_ `c` #h !", "\\*b\\* \\_i\\_ \\`c\\` \\#h \\!" },
        { "line\nbreak\r\n", "line break  " },
        { "- item", "\\- item" },
        { "a-b", "a-b" },
        { "\x1b[0m", "\\\\x1b\\[0m" },
        { "\xff", "\\\\xff" },
        { "\xe2\x80\xae", "\\\\u{202e}" },
    };

    (void)state;
    check_rows(rows, TABLE_LEN(rows), escape_markdown);
}

static void test_columns(void **state)
{
    (void)state;
    assert_int_equal(text_columns("abc"), 3);
    assert_int_equal(text_columns("\xe4\xbb\xae\xe6\x83\xb3"), 4);
    assert_int_equal(text_columns("e\xcc\x81"), 1); /* combining accent */
    assert_int_equal(text_columns(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
