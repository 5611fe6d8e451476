#include "tests/lib/check.h"

#include <string.h>

/* The same sentence reads outside in, whoever added to it. */
static void test_context_stands_in_front(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_set(&e, ERR_FULL, "disk %d full", 3), ERR_FULL);
    assert_int_equal(err_wrap(&e, "open store"), ERR_FULL);
    assert_int_equal(err_wrap(&e, "resume run %d", 7), ERR_FULL);
    assert_string_equal(e.text, "resume run 7: open store: disk 3 full");
    assert_int_equal(e.code, ERR_FULL);
}

static void test_null_keeps_the_code(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_LOST, "x"), ERR_LOST);
    assert_int_equal(err_wrap(NULL, "x"), ERR_INTERNAL);
}

/* A text of n copies of a three-byte character, cut by the bound, ends behind a
 * whole one: 1023 is 341 times three, 1022 with one byte in front is not. */
static void test_long_texts_end_with_a_whole_character(void **state)
{
    char many[3 * 600 + 1];
    struct err e;

    (void)state;
    for (unsigned i = 0; i < 600; i++)
        memcpy(many + (size_t)i * 3, "\xe2\x82\xac", 3);
    many[sizeof many - 1] = '\0';
    err_set(&e, ERR_IO, "%s", many);
    assert_int_equal(strlen(e.text), 1023);
    err_set(&e, ERR_IO, "x%s", many);
    assert_int_equal(strlen(e.text), 1 + 340 * 3);
    err_set(&e, ERR_IO, "xx%s", many);
    assert_int_equal(strlen(e.text), 2 + 340 * 3);
    err_wrap(&e, "ab");
    assert_memory_equal(e.text, "ab: xx\xe2\x82\xac", 9);
    assert_int_equal(strlen(e.text), 4 + 2 + 339 * 3);
}

/* A context as long as the whole text leaves nothing of the cause, and still
 * ends. */
static void test_long_context_is_cut(void **state)
{
    char many[2000];
    struct err e;

    (void)state;
    memset(many, 'c', sizeof many);
    many[sizeof many - 1] = '\0';
    err_set(&e, ERR_IO, "cause");
    err_wrap(&e, "%s", many);
    assert_int_equal(strlen(e.text), 1023);
    assert_string_equal(e.text + 1019, "cc: ");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_OK), "ok");
    assert_string_equal(err_name(ERR_NOT_FOUND), "not_found");
    assert_string_equal(err_name(ERR_INTERNAL), "internal");
    assert_string_equal(err_name(ERR_CODES), "unknown_code");
    assert_string_equal(err_name((enum err_code) - 1), "unknown_code");
    assert_string_equal(err_sentence(ERR_HOSTKEY), "host key is not the pinned one");
    assert_string_equal(err_sentence(ERR_CODES), "error code out of range");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_stands_in_front),
        cmocka_unit_test(test_null_keeps_the_code),
        cmocka_unit_test(test_long_texts_end_with_a_whole_character),
        cmocka_unit_test(test_long_context_is_cut),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
