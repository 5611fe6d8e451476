/* Points in time and durations, in milliseconds. A point is fleet time since
 * 1970-01-01T00:00Z. Pure: nothing here reads a clock. */
#ifndef PATCHWAVE_TIMES_H
#define PATCHWAVE_TIMES_H

#include "schema/err.h"

#include <stdint.h>

typedef int64_t time_ms; /* a point */
typedef int64_t dur_ms;  /* a distance */

#define TIME_NEVER INT64_MAX
#define SECOND_MS ((dur_ms)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

#define TIME_TEXT_MAX 32 /* bytes, with the NUL */
/* "2026-11-23T13:44:05.120Z"; always UTC, always three decimals. */
const char *time_text(time_ms at, char out[TIME_TEXT_MAX]);
/* RFC 3339 with Z or +hh:mm, seconds and decimals optional. ERR_INVALID. */
int time_parse(const char *text, time_ms *ret_at, struct err *err);
/* For people: "820 ms", "12.4 s", "8 min 05 s", "3 h 02 min". */
const char *dur_text(dur_ms d, char out[TIME_TEXT_MAX]);
/* "90s", "15m", "2h", "7d", "250ms". ERR_INVALID. */
int dur_parse(const char *text, dur_ms *ret_d, struct err *err);

#endif
