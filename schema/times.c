#include "schema/times.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Days and dates by the proleptic Gregorian calendar, in eras of 400 years
 * that begin on 1 March (so that the leap day is an era's last day). */
enum { ERA_DAYS = 146097, EPOCH_DAYS = 719468 };

struct date {
    int64_t year;
    int month, day;
};

static int64_t days_of(struct date d)
{
    int64_t y = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (d.month > 2 ? d.month - 3 : d.month + 9) + 2) / 5 + d.day - 1;

    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

static struct date date_of(int64_t days)
{
    int64_t z = days + EPOCH_DAYS;
    int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t day = z - era * ERA_DAYS;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    struct date d = { .day = (int)(of_year - (153 * month + 2) / 5 + 1),
                      .month = (int)(month < 10 ? month + 3 : month - 9) };

    d.year = year + era * 400 + (d.month <= 2 ? 1 : 0);
    return d;
}

const char *time_text(time_ms at, char out[TIME_TEXT_MAX])
{
    int64_t days = at / DAY_MS, rest = at % DAY_MS;
    struct date d;

    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    d = date_of(days);
    snprintf(out, TIME_TEXT_MAX, "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", (long long)d.year, d.month, d.day,
             (int)(rest / HOUR_MS), (int)(rest / MINUTE_MS % 60), (int)(rest / SECOND_MS % 60),
             (int)(rest % SECOND_MS));
    return out;
}

/* Exactly `n` digits, a value of lo .. hi. */
static bool take_digits(const char **at, int n, int lo, int hi, int *ret)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        char c = (*at)[i];

        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (c - '0');
    }
    *at += n;
    *ret = v;
    return v >= lo && v <= hi;
}

static bool take_char(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static bool take_date(const char **at, int64_t *ret_days)
{
    int y, m, d;

    if (!take_digits(at, 4, 0, 9999, &y) || !take_char(at, '-') || !take_digits(at, 2, 1, 12, &m) ||
        !take_char(at, '-') || !take_digits(at, 2, 1, month_days(y, m), &d))
        return false;
    *ret_days = days_of((struct date){ .year = y, .month = m, .day = d });
    return true;
}

/* Decimals of a second; what is finer than a millisecond is cut off. */
static bool take_decimals(const char **at, int *ret_ms)
{
    int n = 0, ms = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++, n++)
        if (n < 3)
            ms = ms * 10 + (**at - '0');
    for (int i = n; i < 3; i++)
        ms *= 10;
    *ret_ms = ms;
    return n >= 1 && n <= 9;
}

static bool take_clock(const char **at, int64_t *ret_ms)
{
    int h, m, s = 0, ms = 0;

    if (!take_digits(at, 2, 0, 23, &h) || !take_char(at, ':') || !take_digits(at, 2, 0, 59, &m))
        return false;
    if (take_char(at, ':')) {
        if (!take_digits(at, 2, 0, 59, &s))
            return false;
        if (take_char(at, '.') && !take_decimals(at, &ms))
            return false;
    }
    *ret_ms = h * HOUR_MS + m * MINUTE_MS + s * SECOND_MS + ms;
    return true;
}

static bool take_zone(const char **at, int64_t *ret_ms)
{
    bool west = **at == '-';
    int h, m;

    *ret_ms = 0;
    if (take_char(at, 'Z'))
        return true;
    if (!take_char(at, '+') && !take_char(at, '-'))
        return false;
    if (!take_digits(at, 2, 0, 23, &h) || !take_char(at, ':') || !take_digits(at, 2, 0, 59, &m))
        return false;
    *ret_ms = h * HOUR_MS + m * MINUTE_MS;
    if (west)
        *ret_ms = -*ret_ms;
    return true;
}

int time_parse(const char *text, time_ms *ret_at, struct err *err)
{
    const char *at = text;
    int64_t days, clock, zone;

    if (!take_date(&at, &days) || !take_char(&at, 'T') || !take_clock(&at, &clock) ||
        !take_zone(&at, &zone) || *at != '\0')
        return err_set(err, ERR_INVALID, "`%.40s` is not a time like 2026-11-23T13:44:05Z", text);
    *ret_at = days * DAY_MS + clock - zone;
    return 0;
}

const char *dur_text(dur_ms d, char out[TIME_TEXT_MAX])
{
    const char *sign = d < 0 ? "-" : "";
    uint64_t ms = d < 0 ? 0 - (uint64_t)d : (uint64_t)d;
    /* Each unit is chosen after rounding, so that 59.96 s reads as a minute. */
    uint64_t tenths = ms / 100 + (ms % 100 >= 50), s = ms / 1000 + (ms % 1000 >= 500);
    uint64_t min = ms / 60000 + (ms % 60000 >= 30000);

    if (ms < 1000)
        snprintf(out, TIME_TEXT_MAX, "%s%d ms", sign, (int)ms);
    else if (tenths < 600)
        snprintf(out, TIME_TEXT_MAX, "%s%d.%d s", sign, (int)(tenths / 10), (int)(tenths % 10));
    else if (s < 3600)
        snprintf(out, TIME_TEXT_MAX, "%s%d min %02d s", sign, (int)(s / 60), (int)(s % 60));
    else
        snprintf(out, TIME_TEXT_MAX, "%s%lld h %02d min", sign, (long long)(min / 60), (int)(min % 60));
    return out;
}

int dur_parse(const char *text, dur_ms *ret_d, struct err *err)
{
    static const struct {
        const char *name;
        dur_ms ms;
    } units[] = { { "ms", 1 }, { "s", SECOND_MS }, { "m", MINUTE_MS }, { "h", HOUR_MS }, { "d", DAY_MS } };
    const char *at = text;
    dur_ms v = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (v > (INT64_MAX - 9) / 10)
            return err_set(err, ERR_INVALID, "`%.40s` is too long a duration", text);
        v = v * 10 + (*at - '0');
    }
    for (unsigned i = 0; at != text && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(at, units[i].name) != 0)
            continue;
        if (v > INT64_MAX / units[i].ms)
            return err_set(err, ERR_INVALID, "`%.40s` is too long a duration", text);
        *ret_d = v * units[i].ms;
        return 0;
    }
    return err_set(err, ERR_INVALID, "`%.40s` is not a duration like 250ms, 90s, 15m, 2h or 7d", text);
}
