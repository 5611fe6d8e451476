#include "orchestrator/core/predict.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <string.h>

static struct inventory *inv;
static struct fleet f;
static struct predictor *p;

static int set_up(void **state)
{
    struct fleet_words words = { .seed = 1,
                                 .clusters = 2,
                                 .nodes = 6,
                                 .vms = 2,
                                 .node_mib = 512000,
                                 .vm_mib_min = 16384,
                                 .vm_mib_max = 16384 };
    struct err err = { 0 };

    (void)state;
    inv = small_fleet(&words);
    check_ok(fleet_init(&f, inv, &err), &err);
    check_ok(predictor_new(inv, &p, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    predictor_free(p);
    fleet_clear(&f);
    inventory_free(inv);
    return 0;
}

static bool ordered(struct estimate e)
{
    return 0 <= e.p5 && e.p5 <= e.p50 && e.p50 <= e.p95;
}

/* 16 GiB at 1,100 MiB/s, 20 MiB/s dirty: rounds of 16384, 297, 5 MiB; the last
 * one stands still. */
static void test_precopy(void **state)
{
    struct estimate took, blackout;

    (void)state;
    f.vms.items[0].vm.dirty_mib_s = 20;
    f.health[0].bandwidth_mib_s = 1100;
    took = predict_move(p, &f, 0);
    blackout = predict_blackout(p, &f, 0);
    /* (16384 + 297 + 5) MiB / 1100 MiB/s = 15169 ms; + 3000 of overhead; x 1.21 */
    assert_in_range(took.p50, 18169 * 121 / 100 - 30, 18169 * 121 / 100 + 30);
    /* 5 MiB / 1100 MiB/s = 4 ms + 300 */
    assert_in_range(blackout.p50, 300, 310);
    assert_true(ordered(took) && ordered(blackout));
}

/* More memory, more dirt, less bandwidth: never faster. */
static void test_monotone(void **state)
{
    struct estimate last = { 0 };

    (void)state;
    for (uint64_t mib = 1024; mib <= 1048576; mib *= 2) {
        f.vms.items[0].vm.assigned_mib = mib;
        assert_true(predict_move(p, &f, 0).p50 >= last.p50);
        last = predict_move(p, &f, 0);
    }
    for (int64_t dirty = 0; dirty < 1100; dirty += 50) {
        f.vms.items[0].vm.dirty_mib_s = dirty;
        assert_true(predict_move(p, &f, 0).p50 + 20 >= last.p50 || dirty == 0);
        last = predict_move(p, &f, 0);
        assert_true(ordered(last));
    }
}

/* The largest values that a file may hold do not overflow. */
static void test_extremes(void **state)
{
    (void)state;
    f.vms.items[0].vm.assigned_mib = 1u << 30;
    f.vms.items[0].vm.dirty_mib_s = 1 << 30;
    f.health[0].bandwidth_mib_s = 1;
    assert_true(ordered(predict_move(p, &f, 0)));
    f.health[0].bandwidth_mib_s = 1u << 30;
    assert_true(ordered(predict_move(p, &f, 0)));
    f.vms.items[0].vm.assigned_mib = 0;
    assert_true(ordered(predict_move(p, &f, 0)));
}

/* Measured values replace the start values of that hardware model only. */
static void test_calibration_of_steps(void **state)
{
    struct estimate before = predict_step(p, 0, PREDICT_INSTALL);

    (void)state;
    predictor_measured(p, 0, PREDICT_INSTALL, 1000000);
    assert_int_equal(predict_step(p, 0, PREDICT_INSTALL).p50, 1000000);
    assert_int_equal(predict_step(p, 0, PREDICT_INSTALL).p95, before.p95); /* one does not narrow the band */
    assert_int_equal(predict_step(p, 3, PREDICT_INSTALL).p50, 1000000);    /* same model */
    assert_int_equal(predict_step(p, 1, PREDICT_INSTALL).p50, before.p50); /* another */
    assert_int_equal(predict_step(p, 0, PREDICT_REBOOT).p50, predict_step(p, 1, PREDICT_REBOOT).p50);
    predictor_measured(p, 0, PREDICT_INSTALL, 900000);
    predictor_measured(p, 0, PREDICT_INSTALL, 1100000);
    assert_int_equal(predict_step(p, 0, PREDICT_INSTALL).p50, 1000000);
    assert_int_equal(predict_step(p, 0, PREDICT_INSTALL).p95, 1250000);
    assert_int_equal(predict_step(p, 0, PREDICT_INSTALL).p5, 850000);
    predictor_measured(p, 0, PREDICT_INSTALL, -1); /* not measured */
    assert_int_equal(predict_step(p, 0, PREDICT_INSTALL).p50, 1000000);
}

/* After twelve migrations with a hidden factor the next are predicted within
 * ten per cent. */
static void test_calibration_of_moves(void **state)
{
    struct estimate plain = predict_move(p, &f, 0), now;
    dur_ms truth = plain.p50 * 17 / 10;

    (void)state;
    for (int i = 0; i < 12; i++)
        predictor_moved(p, &f, 0, truth + (i % 3 - 1) * truth / 50, 700);
    now = predict_move(p, &f, 0);
    assert_in_range(now.p50, truth * 9 / 10, truth * 11 / 10);
    assert_in_range(predict_blackout(p, &f, 0).p50, 690, 710);
    assert_true(ordered(now));
    /* the other cluster has its own */
    assert_int_equal(predict_move(p, &f, inv->clusters[1].vms[0]).p50 == now.p50, 0);
}

/* Old measurements give way to new ones. */
static void test_newest_count(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        predictor_measured(p, 0, PREDICT_REBOOT, 1000);
    for (int i = 0; i < 100; i++)
        predictor_measured(p, 0, PREDICT_REBOOT, 5000);
    assert_int_equal(predict_step(p, 0, PREDICT_REBOOT).p50, 5000);
}

static void test_every_step_has_a_start(void **state)
{
    (void)state;
    for (int s = 0; s < PREDICT_STEPS; s++) {
        struct estimate e = predict_step(p, 0, (enum predict_step)s);

        assert_true(ordered(e) && e.p5 > 0);
    }
}

static void test_arithmetic(void **state)
{
    struct estimate a = { 1, 5, 9 }, b = { 2, 4, 10 }, sum = estimate_add(a, b), max = estimate_max(a, b);

    (void)state;
    assert_int_equal(sum.p5, 3);
    assert_int_equal(sum.p50, 9);
    assert_int_equal(sum.p95, 19);
    assert_int_equal(max.p5, 2);
    assert_int_equal(max.p50, 5);
    assert_int_equal(max.p95, 10);
    assert_int_equal(estimate_times(a, 3).p95, 27);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_precopy),
        T(test_monotone),
        T(test_extremes),
        T(test_calibration_of_steps),
        T(test_calibration_of_moves),
        T(test_newest_count),
        T(test_every_step_has_a_start),
        T(test_arithmetic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
