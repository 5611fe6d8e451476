/* A driver's downtime rows and its output at their bounds: what is still taken,
 * what is no evidence any more. */
#include "agent/core/driver_proto.h"
#include "tests/lib/check.h"

static enum driver_answer_kind kind_of(const struct buf *text)
{
    struct driver_answer a;
    enum driver_answer_kind kind;

    driver_answer_read(DRIVER_RUN, text->data, text->len, &a);
    kind = a.kind;
    driver_answer_clear(&a);
    return kind;
}

static void row(struct buf *out, size_t id, size_t how)
{
    buf_printf(out,
               "{\"subject\":\"vm\",\"id\":\"%0*d\",\"cause\":\"saved\",\"start_ms\":5,\"end_ms\":null,"
               "\"how\":\"%0*d\"}",
               (int)id, 0, (int)how, 0);
}

static void test_texts_of_a_row(void **state)
{
    static const struct {
        size_t id, how;
        enum driver_answer_kind kind;
    } rows[] = { { DRIVER_ROW_TEXT_MAX, DRIVER_ROW_TEXT_MAX, DRIVER_RESULT },
                 { DRIVER_ROW_TEXT_MAX + 1, 1, DRIVER_NO_EVIDENCE },
                 { 1, DRIVER_ROW_TEXT_MAX + 1, DRIVER_NO_EVIDENCE } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf text = BUF_INIT;

        buf_str(&text, "{\"result\":{},\"downtime\":[");
        row(&text, rows[i].id, rows[i].how);
        buf_str(&text, "]}");
        if (kind_of(&text) != rows[i].kind)
            fail_msg("row %u: %d", i, (int)kind_of(&text));
        buf_clear(&text);
    }
}

static void test_number_of_rows(void **state)
{
    (void)state;
    for (uint32_t n = DRIVER_ROWS_MAX; n <= DRIVER_ROWS_MAX + 1; n++) {
        struct buf text = BUF_INIT;

        buf_str(&text, "{\"result\":{},\"downtime\":[");
        for (uint32_t i = 0; i < n; i++) {
            buf_str(&text, i == 0 ? "" : ",");
            row(&text, 1, 1);
        }
        buf_str(&text, "]}");
        assert_int_equal(kind_of(&text), n > DRIVER_ROWS_MAX ? DRIVER_NO_EVIDENCE : DRIVER_RESULT);
        buf_clear(&text);
    }
}

/* What a program printed becomes text that JSON can hold. */
static void test_clean(void **state)
{
    static const struct {
        const char *said;
        size_t len;
        const char *kept;
    } rows[] = { { "plain\n", 6, "plain\n" },           { "a\0b", 3, "a?b" },    { "\xff\xfe", 2, "??" },
                 { "\xe3\x83\x95", 3, "\xe3\x83\x95" }, { "\xe3\x83", 2, "??" }, { "", 0, "" } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf out = BUF_INIT;

        driver_text_clean(&out, rows[i].said, rows[i].len);
        assert_string_equal(buf_text(&out), rows[i].kept);
        buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_texts_of_a_row),
                                        cmocka_unit_test(test_number_of_rows), cmocka_unit_test(test_clean) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
