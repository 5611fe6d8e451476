#include "schema/times.h"
#include "tests/lib/check.h"

#include <stdio.h>

/* Points and their texts; the numbers by Python's datetime. */
static const struct {
    time_ms at;
    const char *text;
} points[] = {
    { 0, "1970-01-01T00:00:00.000Z" },
    { 1795441445120, "2026-11-23T13:44:05.120Z" },
    { 951868799999, "2000-02-29T23:59:59.999Z" },
    { -2203977600000, "1900-02-28T00:00:00.000Z" },
    { -2203891200000, "1900-03-01T00:00:00.000Z" },
    { 4107542400000, "2100-03-01T00:00:00.000Z" },
    { -1, "1969-12-31T23:59:59.999Z" },
    { 2147483648000, "2038-01-19T03:14:08.000Z" },
    { -62135596800000, "0001-01-01T00:00:00.000Z" },
    { 253402300799999, "9999-12-31T23:59:59.999Z" },
    { 1735603200000, "2024-12-31T00:00:00.000Z" },
    { 13574563200000, "2400-02-29T00:00:00.000Z" },
};

static void test_points_go_there_and_back(void **state)
{
    char text[TIME_TEXT_MAX];
    struct err e;
    time_ms at;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(points); i++) {
        assert_string_equal(time_text(points[i].at, text), points[i].text);
        check_ok(time_parse(points[i].text, &at, &e), &e);
        assert_true(at == points[i].at);
    }
}

/* Every day of five centuries: the calendar has no gap and no double day. */
static void test_every_day_of_five_centuries(void **state)
{
    char text[TIME_TEXT_MAX];
    struct err e;
    time_ms at;

    (void)state;
    for (int64_t day = -91000; day < 91000; day++) {
        time_text(day * DAY_MS + 1, text);
        check_ok(time_parse(text, &at, &e), &e);
        assert_true(at == day * DAY_MS + 1);
    }
}

static void test_extreme_points_have_a_text(void **state)
{
    char text[TIME_TEXT_MAX];

    (void)state;
    assert_string_equal(time_text(TIME_NEVER, text), "292278994-08-17T07:12:55.807Z");
    assert_string_equal(time_text(INT64_MIN, text), "-292275055-05-16T16:47:04.192Z");
}

static void test_forms_that_are_read(void **state)
{
    static const struct {
        const char *text;
        time_ms at;
    } rows[] = {
        { "1970-01-01T00:00Z", 0 },         { "1970-01-01T00:00:01Z", 1000 },
        { "1970-01-01T00:00:01.5Z", 1500 }, { "1970-01-01T00:00:01.0459999Z", 1045 },
        { "1970-01-01T01:00:00+01:00", 0 }, { "1969-12-31T18:30:00-05:30", 0 },
        { "1970-01-01T00:00-00:00", 0 },
    };
    struct err e;
    time_ms at;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        check_ok(time_parse(rows[i].text, &at, &e), &e);
        assert_true(at == rows[i].at);
    }
}

static void test_forms_that_are_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T13:44:05",
        "2026-11-23 13:44:05Z",
        "2026-11-23T13:44:05z",
        "2026-13-01T00:00Z",
        "2026-00-01T00:00Z",
        "2026-02-29T00:00Z",
        "1900-02-29T00:00Z",
        "2026-04-31T00:00Z",
        "2026-04-00T00:00Z",
        "2026-01-01T24:00Z",
        "2026-01-01T00:60Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Z ",
        "-026-01-01T00:00:00Z",
    };
    struct err e;
    time_ms at = 77;
    char want[128];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        snprintf(want, sizeof want, "`%s` is not a time like 2026-11-23T13:44:05Z", rows[i]);
        check_err(time_parse(rows[i], &at, &e), &e, ERR_INVALID, want);
    }
    assert_true(at == 77);
}

static void test_durations_for_people(void **state)
{
    static const struct {
        dur_ms d;
        const char *text;
    } rows[] = {
        { 0, "0 ms" },
        { 820, "820 ms" },
        { 999, "999 ms" },
        { 1000, "1.0 s" },
        { 12380, "12.4 s" },
        { 59949, "59.9 s" },
        { 59950, "1 min 00 s" },
        { 60000, "1 min 00 s" },
        { 8 * MINUTE_MS + 5 * SECOND_MS, "8 min 05 s" },
        { 3599499, "59 min 59 s" },
        { 3599500, "1 h 00 min" },
        { 3 * HOUR_MS + 2 * MINUTE_MS, "3 h 02 min" },
        { 50 * HOUR_MS, "50 h 00 min" },
        { -1500, "-1.5 s" },
        { INT64_MIN, "-2562047788015 h 13 min" },
        { INT64_MAX, "2562047788015 h 13 min" },
    };
    char text[TIME_TEXT_MAX];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        assert_string_equal(dur_text(rows[i].d, text), rows[i].text);
}

static void test_durations_that_are_read(void **state)
{
    static const struct {
        const char *text;
        dur_ms d;
    } rows[] = {
        { "250ms", 250 },          { "0s", 0 },
        { "90s", 90 * SECOND_MS }, { "15m", 15 * MINUTE_MS },
        { "2h", 2 * HOUR_MS },     { "7d", 7 * DAY_MS },
        { "007s", 7 * SECOND_MS }, { "106751991167d", 106751991167 * DAY_MS },
    };
    struct err e;
    dur_ms d;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        check_ok(dur_parse(rows[i].text, &d, &e), &e);
        assert_true(d == rows[i].d);
    }
}

static void test_durations_that_are_refused(void **state)
{
    static const char *const bad[] = { "", "s", "5", "5 s", "-5s", "1.5h", "5S", "5min", "1h30m", "5w" };
    static const char *const huge[] = { "106751991168d", "99999999999999999999s", "9223372036854775808ms" };
    struct err e;
    dur_ms d = 77;
    char want[128];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(bad); i++) {
        snprintf(want, sizeof want, "`%s` is not a duration like 250ms, 90s, 15m, 2h or 7d", bad[i]);
        check_err(dur_parse(bad[i], &d, &e), &e, ERR_INVALID, want);
    }
    for (unsigned i = 0; i < TABLE_LEN(huge); i++) {
        snprintf(want, sizeof want, "`%s` is too long a duration", huge[i]);
        check_err(dur_parse(huge[i], &d, &e), &e, ERR_INVALID, want);
    }
    assert_true(d == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_go_there_and_back),   cmocka_unit_test(test_every_day_of_five_centuries),
        cmocka_unit_test(test_extreme_points_have_a_text), cmocka_unit_test(test_forms_that_are_read),
        cmocka_unit_test(test_forms_that_are_refused),     cmocka_unit_test(test_durations_for_people),
        cmocka_unit_test(test_durations_that_are_read),    cmocka_unit_test(test_durations_that_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
