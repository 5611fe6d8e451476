#include "schema/utf8.h"
#include "tests/lib/check.h"

#include <string.h>

static void test_characters(void **state)
{
    static const struct {
        const char *bytes;
        size_t len; /* 0: not valid */
        uint32_t number;
    } rows[] = {
        { "a", 1, 'a' },
        { "\x7f", 1, 0x7f },
        { "\xc2\x80", 2, 0x80 },
        { "\xdf\xbf", 2, 0x7ff },
        { "\xe0\xa0\x80", 3, 0x800 },
        { "\xed\x9f\xbf", 3, 0xd7ff },
        { "\xee\x80\x80", 3, 0xe000 },
        { "\xef\xbf\xbf", 3, 0xffff },
        { "\xf0\x90\x80\x80", 4, 0x10000 },
        { "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
        { "\xf4\x90\x80\x80", 0, 0 }, /* above the last character */
        { "\xf8\x88\x80\x80\x80", 0, 0 },
        { "\xc0\x80", 0, 0 }, /* overlong forms */
        { "\xc1\xbf", 0, 0 },
        { "\xe0\x9f\xbf", 0, 0 },
        { "\xf0\x8f\xbf\xbf", 0, 0 },
        { "\xed\xa0\x80", 0, 0 }, /* surrogates */
        { "\xed\xbf\xbf", 0, 0 },
        { "\x80", 0, 0 }, /* no first byte */
        { "\xff", 0, 0 },
        { "\xe2\x82", 0, 0 }, /* cut short */
        { "\xe2\x82x", 0, 0 },
        { "\xe2x\xac", 0, 0 },
        { "", 0, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        uint32_t c = 0;

        assert_int_equal(utf8_read(rows[i].bytes, strlen(rows[i].bytes), &c), rows[i].len);
        assert_int_equal(c, rows[i].number);
    }
}

static void test_cut_keeps_characters_whole(void **state)
{
    static const size_t want[] = { 0, 1, 1, 1, 4, 5, 5, 5 };

    (void)state;
    for (size_t max = 0; max < TABLE_LEN(want); max++)
        assert_int_equal(utf8_cut("a\xe2\x82\xac"
                                  "b",
                                  max),
                         want[max]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_cut_keeps_characters_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
