#include "schema/prng.h"
#include "tests/lib/check.h"

/* The reference outputs of splitmix64 for the seed 1234567. */
static void test_seed_goes_through_splitmix64(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 1234567);
    assert_true(p.s[0] == 6457827717110365317u);
    assert_true(p.s[1] == 3203168211198807973u);
    assert_true(p.s[2] == 9817491932198370423u);
    assert_true(p.s[3] == 4593380528125082431u);
}

/* The reference outputs of xoshiro256** from the state 1, 2, 3, 4. */
static void test_numbers_are_xoshiro256starstar(void **state)
{
    static const uint64_t want[] = { 11520,
                                     0,
                                     1509978240,
                                     1215971899390074240u,
                                     1216172134540287360u,
                                     607988272756665600u,
                                     16172922978634559625u,
                                     8476171486693032832u,
                                     10595114339597558777u,
                                     2904607092377533576u };
    struct prng p = { { 1, 2, 3, 4 } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(want); i++)
        assert_true(prng_next(&p) == want[i]);
}

/* Each of 7 values comes 1000 +- 150 times in 7000 (five sigma). */
static void test_below_is_even(void **state)
{
    unsigned seen[7] = { 0 };
    struct prng p;

    (void)state;
    prng_init(&p, 1);
    for (unsigned i = 0; i < 7000; i++)
        seen[prng_below(&p, 7)]++;
    for (unsigned i = 0; i < 7; i++)
        assert_in_range(seen[i], 850, 1150);
    assert_int_equal(prng_below(&p, 1), 0);
}

static void test_between_holds_its_bounds(void **state)
{
    bool lo = false, hi = false, below_zero = false;
    struct prng p;

    (void)state;
    prng_init(&p, 2);
    for (unsigned i = 0; i < 1000; i++) {
        int64_t v = prng_between(&p, -3, 4);

        assert_true(v >= -3 && v <= 4);
        lo |= v == -3;
        hi |= v == 4;
    }
    assert_true(lo && hi);
    for (unsigned i = 0; i < 64; i++)
        below_zero |= prng_between(&p, INT64_MIN, INT64_MAX) < 0;
    assert_true(below_zero);
    assert_true(prng_between(&p, INT64_MIN, INT64_MIN) == INT64_MIN);
    assert_true(prng_between(&p, INT64_MAX, INT64_MAX) == INT64_MAX);
}

static void test_permille(void **state)
{
    unsigned yes = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 3);
    for (unsigned i = 0; i < 10000; i++) {
        assert_false(prng_permille(&p, 0));
        assert_true(prng_permille(&p, 1000));
        yes += prng_permille(&p, 250);
    }
    assert_in_range(yes, 2280, 2720);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed_goes_through_splitmix64),
        cmocka_unit_test(test_numbers_are_xoshiro256starstar),
        cmocka_unit_test(test_below_is_even),
        cmocka_unit_test(test_between_holds_its_bounds),
        cmocka_unit_test(test_permille),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
