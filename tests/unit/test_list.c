#include "schema/list.h"
#include "tests/lib/check.h"

struct move {
    uint32_t vm, target;
};
struct move_list LIST_OF(struct move);

static void test_items_keep_their_values_while_it_grows(void **state)
{
    struct move_list l = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct move *m = list_push(&l);

        assert_non_null(m);
        assert_int_equal(m->vm, 0);
        assert_int_equal(m->target, 0);
        *m = (struct move){ i, i * 2 };
    }
    assert_int_equal(l.n, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(l.items[i].vm, i);
        assert_int_equal(l.items[i].target, i * 2);
    }
    list_clear(&l);
    assert_null(l.items);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.cap, 0);
}

/* A place used before is zeroed again. */
static void test_pushed_items_are_zeroed(void **state)
{
    struct move_list l = { 0 };
    struct move *m = list_push(&l);

    (void)state;
    *m = (struct move){ 1, 2 };
    l.n = 0;
    m = list_push(&l);
    assert_int_equal(m->vm, 0);
    list_clear(&l);
}

static void test_too_many_is_refused(void **state)
{
    struct move_list l = { 0 };
    uint32_t cap = UINT32_MAX / 2 + 1;

    (void)state;
    assert_false(list_grow(&l.items, cap, &cap, 1));
    assert_int_equal(cap, UINT32_MAX / 2 + 1);
    cap = 1u << 30;
    assert_false(list_grow(&l.items, cap, &cap, SIZE_MAX / 4));
    assert_null(l.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_keep_their_values_while_it_grows),
        cmocka_unit_test(test_pushed_items_are_zeroed),
        cmocka_unit_test(test_too_many_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
