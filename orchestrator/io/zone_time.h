/* Local times of IANA zones, from the system's tz database. */
#ifndef PATCHWAVE_ZONE_TIME_H
#define PATCHWAVE_ZONE_TIME_H

#include "schema/err.h"
#include "schema/times.h"

/* A civil date and time; `day` may run over the month's end, `hour` may be 24. */
struct civil {
    int year, month, day, hour, minute, weekday; /* month 1-12; weekday 0 = Sunday, as read */
};

/* When the clocks of a zone show a time: a time that comes twice (clocks put back) has two moments,
 * a time that never comes (clocks put forward) stands for the moment of the jump. */
struct zone_moments {
    time_ms first, last;
};

/* ERR_INVALID when the system knows no such zone. Uses the process's TZ for
 * the call, so it is for the main thread only. */
int zone_to_utc(const char *zone, struct civil local, struct zone_moments *ret, struct err *err);
int zone_from_utc(const char *zone, time_ms at, struct civil *ret_local, struct err *err);

#endif
