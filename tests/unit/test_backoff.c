#include "orchestrator/io/backoff.h"
#include "tests/lib/check.h"

/* Each wait lies between half of and the whole of min * 2^failures, never over the maximum. */
static void test_waits_double_up_to_the_maximum(void **state)
{
    struct backoff b = { .min_ms = 250, .max_ms = 15000 };
    struct prng random;
    dur_ms full = 250;

    (void)state;
    prng_init(&random, 7);
    for (int i = 0; i < 100; i++) {
        dur_ms wait = backoff_next(&b, &random);

        assert_in_range(wait, full / 2, full);
        full = full * 2 < 15000 ? full * 2 : 15000;
    }
    backoff_reset(&b);
    assert_in_range(backoff_next(&b, &random), 125, 250);
}

/* A fleet that fell together does not rise together: a thousand third waits spread over their half. */
static void test_jitter_spreads(void **state)
{
    struct prng random;
    unsigned tenths[10] = { 0 };

    (void)state;
    prng_init(&random, 8);
    for (int i = 0; i < 1000; i++) {
        struct backoff b = { .min_ms = 1000, .max_ms = 60000, .failures = 2 };

        tenths[(backoff_next(&b, &random) - 2000) / 200]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], 50, 150);
}

static void test_the_same_seed_waits_the_same(void **state)
{
    struct prng one, two;
    struct backoff a = { .min_ms = 20, .max_ms = 900 }, b = a;

    (void)state;
    prng_init(&one, 3);
    prng_init(&two, 3);
    for (int i = 0; i < 50; i++)
        assert_int_equal(backoff_next(&a, &one), backoff_next(&b, &two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_double_up_to_the_maximum),
        cmocka_unit_test(test_jitter_spreads),
        cmocka_unit_test(test_the_same_seed_waits_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
