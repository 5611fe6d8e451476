#include "orchestrator/io/zone_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int check_zone(const char *zone, struct err *err)
{
    char path[256];
    int n = snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", zone);

    if (zone[0] == '\0' || zone[0] == '/' || strstr(zone, "..") != NULL || n >= (int)sizeof path ||
        access(path, R_OK) != 0)
        return err_set(err, ERR_INVALID, "time zone \"%s\" is not known to this system", zone);
    return 0;
}

struct zone_saved {
    char *tz;
};

static struct zone_saved zone_enter(const char *zone)
{
    const char *tz = getenv("TZ");
    struct zone_saved saved = { tz == NULL ? NULL : strdup(tz) };

    setenv("TZ", zone, 1);
    tzset();
    return saved;
}

static void zone_leave(struct zone_saved saved)
{
    if (saved.tz != NULL)
        setenv("TZ", saved.tz, 1);
    else
        unsetenv("TZ");
    tzset();
    free(saved.tz);
}

int zone_to_utc(const char *zone, struct civil local, time_ms *ret_at, struct err *err)
{
    struct tm tm = { .tm_year = local.year - 1900,
                     .tm_mon = local.month - 1,
                     .tm_mday = local.day,
                     .tm_hour = local.hour,
                     .tm_min = local.minute,
                     .tm_isdst = -1 };
    struct zone_saved saved;
    int rc = check_zone(zone, err);

    if (rc != 0)
        return rc;
    saved = zone_enter(zone);
    *ret_at = (time_ms)mktime(&tm) * SECOND_MS;
    zone_leave(saved);
    return 0;
}

int zone_from_utc(const char *zone, time_ms at, struct civil *ret_local, struct err *err)
{
    time_t seconds = (time_t)(at / SECOND_MS);
    struct zone_saved saved;
    struct tm tm;
    int rc = check_zone(zone, err);

    if (rc != 0)
        return rc;
    saved = zone_enter(zone);
    localtime_r(&seconds, &tm);
    zone_leave(saved);
    *ret_local =
        (struct civil){ tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_wday };
    return 0;
}
