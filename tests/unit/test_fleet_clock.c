/* The controller's time while somebody sets the machine's clock. The clocks are played here (linked with --wrap). */
#include "orchestrator/io/fleet_clock.h"
#include "tests/lib/check.h"

#include <time.h>

#define HOUR_S 3600
#define BEGUN_S ((time_t)1764000000)

static struct {
    time_t wall, passed; /* s; the second: of the machine's own count */
} world = { .wall = BEGUN_S, .passed = 500 };

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    assert_true(id == CLOCK_REALTIME ||
                id == CLOCK_BOOTTIME); /* that stands still while the machine sleeps: no other */
    ts->tv_sec = id == CLOCK_REALTIME ? world.wall : world.passed;
    ts->tv_nsec = 0;
    return 0;
}

static void pass(time_t seconds)
{
    world.wall += seconds;
    world.passed += seconds;
}

/* Set back an hour no timer is put off, set forth none comes early: a minute is a minute. */
static void test_the_clock_is_set(void **state)
{
    static const time_t sets[] = { 0, -HOUR_S, 3 * HOUR_S, -BEGUN_S, 0 };
    const struct fleet_clock real = { .factor = 1 },
                             lab = { .factor = 60, .anchor = (time_ms)BEGUN_S * SECOND_MS };
    time_ms expected = (time_ms)BEGUN_S * SECOND_MS;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(sets); i++) {
        world.wall += sets[i];
        assert_int_equal(fleet_now(&real), expected);
        assert_int_equal(fleet_now(&lab) - lab.anchor, 60 * (expected - lab.anchor));
        pass(60);
        expected += MINUTE_MS;
    }
}

/* Begun behind the log's last entry it goes on from there: neither back, nor does it wait for the clock to catch up. */
static void test_begun_behind_the_log(void **state)
{
    static const uint32_t factors[] = { 1, 60 };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(factors); i++) {
        struct fleet_clock c = { .factor = factors[i], .anchor = (time_ms)BEGUN_S * SECOND_MS };
        time_ms last = fleet_now(&c) + HOUR_MS;

        fleet_clock_not_before(&c, last);
        assert_int_equal(fleet_now(&c), last);
        assert_int_equal(c.ahead, HOUR_MS);
        pass(60);
        assert_int_equal(fleet_now(&c), last + factors[i] * MINUTE_MS);
        fleet_clock_not_before(&c, last); /* it is past that by now */
        assert_int_equal(c.ahead, HOUR_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_clock_is_set),
                                        cmocka_unit_test(test_begun_behind_the_log) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
