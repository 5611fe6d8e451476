#include "orchestrator/io/rate.h"
#include "tests/lib/check.h"

#include "schema/prng.h"

/* Whatever the rhythm of asking, what goes out in a long time is the cap, to the byte and the first bucket. */
static void test_no_byte_is_lost_or_won(void **state)
{
    static const uint64_t caps[] = { 1000, 65536, 4194304, 1000000007 };

    (void)state;
    for (size_t c = 0; c < TABLE_LEN(caps); c++) {
        struct rate r;
        struct prng random;
        uint64_t sent = 0, first;
        int64_t now = 5;

        prng_init(&random, c);
        rate_init(&r, caps[c], now);
        first = r.burst;
        while (now < 100005) {
            size_t n = rate_room(&r, now);

            rate_spend(&r, n);
            sent += n;
            now += now < 100000 ? (int64_t)prng_below(&random, 9)
                                : 100005 - now; /* often enough not to run over */
        }
        sent += rate_room(&r, now);
        assert_in_range(sent, first + caps[c] * 100 - 1, first + caps[c] * 100);
    }
}

static void test_waiting_as_told_is_enough_and_not_too_long(void **state)
{
    struct rate r;
    dur_ms wait;

    (void)state;
    rate_init(&r, 1000000, 0);
    assert_int_equal(rate_wait_ms(&r, 50000, 0), 0);
    rate_spend(&r, rate_room(&r, 0));
    wait = rate_wait_ms(&r, 50000, 0);
    assert_int_equal(wait, 50);
    assert_true(rate_room(&r, wait - 1) < 50000);
    assert_true(rate_room(&r, wait) >= 50000);
}

/* Idle time is not saved up beyond the bucket. */
static void test_the_bucket_has_a_bottom(void **state)
{
    struct rate r;

    (void)state;
    rate_init(&r, 1000000, 0);
    assert_int_equal(rate_room(&r, 3600000), 100000);
    assert_int_equal(rate_room(&r, INT64_MAX / 2), 100000);
    rate_spend(&r, 200000); /* more than there is: empty, not negative */
    assert_int_equal(rate_room(&r, INT64_MAX / 2), 0);
}

static void test_no_cap(void **state)
{
    struct rate r;

    (void)state;
    rate_init(&r, 0, 0);
    rate_spend(&r, 123456);
    assert_true(rate_room(&r, 0) == SIZE_MAX);
    assert_int_equal(rate_wait_ms(&r, SIZE_MAX, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_byte_is_lost_or_won),
        cmocka_unit_test(test_waiting_as_told_is_enough_and_not_too_long),
        cmocka_unit_test(test_the_bucket_has_a_bottom),
        cmocka_unit_test(test_no_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
