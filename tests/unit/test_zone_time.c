#include "orchestrator/io/zone_time.h"
#include "tests/lib/check.h"

#include <stdlib.h>

static time_ms utc(const char *text)
{
    time_ms at = 0;

    assert_int_equal(time_parse(text, &at, NULL), 0);
    return at;
}

static void check_zone(const char *zone, struct civil local, const char *wanted)
{
    struct err err = { 0 };
    time_ms at = 0;

    assert_int_equal(zone_to_utc(zone, local, &at, &err), 0);
    assert_int_equal(at, utc(wanted));
}

static void test_summer_and_winter(void **state)
{
    (void)state;
    check_zone("Europe/Berlin", (struct civil){ 2026, 11, 23, 22, 0, 0 }, "2026-11-23T21:00:00Z");
    check_zone("Europe/Berlin", (struct civil){ 2026, 7, 1, 22, 0, 0 }, "2026-07-01T20:00:00Z");
    check_zone("Asia/Kolkata", (struct civil){ 2026, 1, 1, 0, 0, 0 }, "2025-12-31T18:30:00Z");
    check_zone("UTC", (struct civil){ 2026, 2, 29, 0, 0, 0 },
               "2026-03-01T00:00:00Z"); /* runs over the month */
}

static void test_back_to_civil(void **state)
{
    struct civil c;

    (void)state;
    assert_int_equal(zone_from_utc("America/New_York", utc("2026-11-24T03:30:00Z"), &c, NULL), 0);
    assert_int_equal(c.day, 23);
    assert_int_equal(c.hour, 22);
    assert_int_equal(c.minute, 30);
    assert_int_equal(c.weekday, 1);
}

static void test_unknown_zones_are_refused_and_tz_is_left_alone(void **state)
{
    struct err err = { 0 };
    time_ms at = 5;

    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    assert_int_equal(zone_to_utc("Europe/Atlantis", (struct civil){ 2026, 1, 1, 0, 0, 0 }, &at, &err),
                     ERR_INVALID);
    assert_string_equal(err.text, "time zone \"Europe/Atlantis\" is not known to this system");
    assert_int_equal(zone_to_utc("../../etc/passwd", (struct civil){ 2026, 1, 1, 0, 0, 0 }, &at, &err),
                     ERR_INVALID);
    assert_int_equal(at, 5);
    check_zone("UTC", (struct civil){ 2026, 1, 1, 0, 0, 0 }, "2026-01-01T00:00:00Z");
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summer_and_winter),
        cmocka_unit_test(test_back_to_civil),
        cmocka_unit_test(test_unknown_zones_are_refused_and_tz_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
