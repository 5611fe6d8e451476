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
    struct zone_moments at = { 0 };

    assert_int_equal(zone_to_utc(zone, local, &at, &err), 0);
    assert_int_equal(at.first, utc(wanted));
    assert_int_equal(at.last, at.first);
}

static void check_twice(const char *zone, struct civil local, const char *first, const char *last)
{
    struct zone_moments at = { 0 };

    assert_int_equal(zone_to_utc(zone, local, &at, NULL), 0);
    assert_int_equal(at.first, utc(first));
    assert_int_equal(at.last, utc(last));
}

/* Berlin 2026: clocks jump from 02:00 to 03:00 on 29 March at 01:00 UTC, and from 03:00 back to 02:00 on
 * 25 October at 01:00 UTC. Lord Howe Island changes by half an hour. */
static void test_clocks_put_forward_and_back(void **state)
{
    (void)state;
    check_zone("Europe/Berlin", (struct civil){ 2026, 3, 29, 1, 59, 0 }, "2026-03-29T00:59:00Z");
    check_zone("Europe/Berlin", (struct civil){ 2026, 3, 29, 2, 0, 0 }, "2026-03-29T01:00:00Z");
    check_zone("Europe/Berlin", (struct civil){ 2026, 3, 29, 2, 30, 0 }, "2026-03-29T01:00:00Z");
    check_zone("Europe/Berlin", (struct civil){ 2026, 3, 29, 3, 0, 0 }, "2026-03-29T01:00:00Z");
    check_zone("Europe/Berlin", (struct civil){ 2026, 10, 25, 1, 59, 0 }, "2026-10-24T23:59:00Z");
    check_twice("Europe/Berlin", (struct civil){ 2026, 10, 25, 2, 30, 0 }, "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z");
    check_zone("Europe/Berlin", (struct civil){ 2026, 10, 25, 3, 0, 0 }, "2026-10-25T02:00:00Z");
    check_zone("America/New_York", (struct civil){ 2026, 3, 8, 2, 15, 0 }, "2026-03-08T07:00:00Z");
    check_twice("Australia/Lord_Howe", (struct civil){ 2026, 4, 5, 1, 45, 0 }, "2026-04-04T14:45:00Z",
                "2026-04-04T15:15:00Z");
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
    struct zone_moments at = { 5, 5 };

    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    assert_int_equal(zone_to_utc("Europe/Atlantis", (struct civil){ 2026, 1, 1, 0, 0, 0 }, &at, &err),
                     ERR_INVALID);
    assert_string_equal(err.text, "time zone \"Europe/Atlantis\" is not known to this system");
    assert_int_equal(zone_to_utc("../../etc/passwd", (struct civil){ 2026, 1, 1, 0, 0, 0 }, &at, &err),
                     ERR_INVALID);
    assert_int_equal(at.first, 5);
    check_zone("UTC", (struct civil){ 2026, 1, 1, 0, 0, 0 }, "2026-01-01T00:00:00Z");
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summer_and_winter),
        cmocka_unit_test(test_clocks_put_forward_and_back),
        cmocka_unit_test(test_back_to_civil),
        cmocka_unit_test(test_unknown_zones_are_refused_and_tz_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
