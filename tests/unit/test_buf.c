#include "schema/buf.h"
#include "tests/lib/check.h"

#include <string.h>

static void test_text_grows_and_is_always_terminated(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    assert_string_equal(buf_text(&b), "");
    buf_str(&b, "ab");
    buf_char(&b, 'c');
    buf_add(&b, "d\0e", 3);
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.data, "abcd\0e", 7);
    for (unsigned i = 0; i < 1000; i++)
        buf_printf(&b, "%03u", i);
    assert_int_equal(b.len, 3006);
    assert_int_equal(strlen(b.data + 5), 3001);
    assert_string_equal(b.data + 3000, "998999");
    assert_false(b.failed);
    buf_clear(&b);
    assert_null(b.data);
}

/* Lengths around every capacity: the NUL never writes over the end (the
 * sanitizer build would see it). */
static void test_every_length_leaves_room_for_the_end(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 300; n++) {
        struct buf b = BUF_INIT;

        buf_printf(&b, "%*s", (int)n, "");
        assert_int_equal(strlen(buf_text(&b)), n);
        buf_char(&b, 'x');
        assert_int_equal(strlen(buf_text(&b)), n + 1);
        buf_clear(&b);
    }
}

static void test_drop_takes_from_the_front(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    buf_drop(&b, 0);
    buf_str(&b, "hello world");
    buf_drop(&b, 6);
    assert_string_equal(b.data, "world");
    buf_drop(&b, 5);
    assert_string_equal(b.data, "");
    buf_str(&b, "again");
    buf_reset(&b);
    assert_string_equal(buf_text(&b), "");
    assert_non_null(b.data);
    buf_clear(&b);
}

/* One write that cannot be held makes the buffer failed, and it stays so. */
static void test_failure_sticks(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    buf_str(&b, "kept");
    buf_add(&b, "", SIZE_MAX / 2);
    assert_true(b.failed);
    buf_str(&b, "not written");
    assert_string_equal(buf_text(&b), "kept");
    buf_reset(&b);
    buf_str(&b, "new");
    assert_string_equal(buf_text(&b), "new");
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows_and_is_always_terminated),
        cmocka_unit_test(test_every_length_leaves_room_for_the_end),
        cmocka_unit_test(test_drop_takes_from_the_front),
        cmocka_unit_test(test_failure_sticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
