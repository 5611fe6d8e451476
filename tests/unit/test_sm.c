#include "schema/sm.h"
#include "tests/lib/check.h"

/* closed <-> open -> broken */
enum { CLOSED, OPEN, BROKEN, STATES };
static const struct sm_state door[STATES] = {
    [CLOSED] = { "closed", 1u << OPEN, SM_INITIAL },
    [OPEN] = { "open", 1u << CLOSED | 1u << BROKEN, 0 },
    [BROKEN] = { "broken", 0, SM_FINAL },
};

static void test_only_the_tables_moves_are_allowed(void **state)
{
    static const bool want[STATES][STATES] = {
        [CLOSED] = { false, true, false },
        [OPEN] = { true, false, true },
        [BROKEN] = { false, false, false },
    };

    (void)state;
    for (uint32_t from = 0; from < STATES; from++)
        for (uint32_t to = 0; to < STATES; to++)
            assert_int_equal(sm_may(door, from, to), want[from][to]);
    assert_false(sm_may(door, OPEN, 32));
    assert_false(sm_may(door, OPEN, UINT32_MAX));
}

static void test_states_are_found_by_name(void **state)
{
    (void)state;
    assert_int_equal(sm_by_name(door, STATES, "broken"), BROKEN);
    assert_int_equal(sm_by_name(door, STATES, "closed"), CLOSED);
    assert_int_equal(sm_by_name(door, STATES, "Closed"), -1);
    assert_int_equal(sm_by_name(door, STATES, ""), -1);
    assert_int_equal(sm_by_name(door, 2, "broken"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_tables_moves_are_allowed),
        cmocka_unit_test(test_states_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
