/* The engine's timers: each comes out once, in the order of their times, equal ones in the order in which they were set. */
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"

#include "orchestrator/core/engine_timer.h"
#include "schema/prng.h"

#include <stdlib.h>

#define TIMERS 200

static void test_in_order(void **state)
{
    struct timer_heap h = { 0 };
    struct timer timers[TIMERS] = { 0 }, *t, *last = NULL;
    uint32_t set = TIMERS, taken = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    for (uint32_t i = 0; i < TIMERS; i++)
        assert_true(timer_set(&h, &timers[i], prng_between(&p, 1, 50)));
    for (uint32_t i = 0; i < TIMERS; i += 3)
        assert_true(timer_set(&h, &timers[i], prng_between(&p, 1, 50))); /* moved, not set twice */
    for (uint32_t i = 0; i < TIMERS; i += 7, set--)
        timer_stop(&h, &timers[i]);
    timer_stop(&h, &timers[0]); /* not set: nothing happens */
    assert_null(timer_take(&h, 0));
    for (; (t = timer_take(&h, timer_next(&h))) != NULL; last = t, taken++) {
        assert_int_equal(t->pos, 0);
        if (last != NULL)
            assert_true(last->at < t->at || (last->at == t->at && last->order < t->order));
    }
    assert_int_equal(taken, set);
    assert_true(timer_next(&h) == TIME_NEVER);
    timer_heap_clear(&h);
}

/* Without memory it is said, the timer is not set, and those before it stand. */
static void test_without_memory(void **state)
{
    struct timer_heap h = { 0 };
    struct timer timers[TIMERS] = { 0 };
    uint32_t failed = 0, set = 0;

    (void)state;
    for (uint32_t i = 0; i < TIMERS; i++) {
        bool done;

        alloc_fault_at(1);
        done = timer_set(&h, &timers[i], (time_ms)i);
        assert_int_equal(done, !alloc_fault_hit());
        alloc_fault_at(0);
        assert_int_equal(timers[i].pos != 0, done);
        failed += !done;
        set += done;
        if (!done && i % 2 == 0)
            set += timer_set(&h, &timers[i], (time_ms)i);
    }
    assert_true(failed > 2);
    for (; timer_take(&h, TIMERS) != NULL; set--)
        ;
    assert_int_equal(set, 0);
    timer_heap_clear(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_in_order),
                                        cmocka_unit_test(test_without_memory) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
