#include "schema/arena.h"
#include "tests/lib/check.h"

#include <string.h>

static int start(void **state)
{
    static struct arena a;

    a = (struct arena)ARENA_INIT;
    *state = &a;
    return 0;
}

static int end(void **state)
{
    arena_clear(*state);
    return 0;
}

/* Items of many sizes, also larger than a block, do not overlap, are zeroed and
 * aligned. */
static void test_items_are_apart_zeroed_and_aligned(void **state)
{
    static const size_t sizes[] = { 0, 1, 7, 16, 17, 100, 4000, 5000, 1, 70000, 3, 300000, 9 };
    unsigned char *items[TABLE_LEN(sizes)];

    for (size_t i = 0; i < TABLE_LEN(sizes); i++) {
        items[i] = arena_alloc(*state, sizes[i]);
        assert_non_null(items[i]);
        assert_int_equal((uintptr_t)items[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(items[i][j], 0);
        memset(items[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < TABLE_LEN(sizes); i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(items[i][j], i + 1);
}

static void test_overflow_is_refused(void **state)
{
    struct arena *a = *state;

    assert_null(arena_array(a, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 64));
    assert_null(arena_strn(a, "", SIZE_MAX));
    assert_int_equal(a->bytes, 0);
}

static void test_texts(void **state)
{
    char cut[] = { 'a', 'b', 'c', 'd' };
    char *copy = arena_strn(*state, cut, 3);

    cut[0] = 'x';
    assert_string_equal(copy, "abc");
    assert_string_equal(arena_str(*state, "node"), "node");
    assert_string_equal(arena_str(*state, ""), "");
    assert_string_equal(arena_printf(*state, "%s-%d", "hv", 7), "hv-7");
}

static void test_bytes_are_counted_and_clear_starts_anew(void **state)
{
    struct arena *a = *state;
    uint64_t *v;

    assert_non_null(ARENA_ARRAY(a, uint64_t, 10));
    assert_int_equal(a->bytes, 80);
    arena_clear(a);
    assert_int_equal(a->bytes, 0);
    v = ARENA_NEW(a, uint64_t);
    assert_int_equal(*v, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_items_are_apart_zeroed_and_aligned, start, end),
        cmocka_unit_test_setup_teardown(test_overflow_is_refused, start, end),
        cmocka_unit_test_setup_teardown(test_texts, start, end),
        cmocka_unit_test_setup_teardown(test_bytes_are_counted_and_clear_starts_anew, start, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
