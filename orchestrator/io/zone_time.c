#include "orchestrator/io/zone_time.h"

#include <stdbool.h>
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

/* Seconds that the zone's clocks are ahead of UTC at that moment. */
static long offset_at(time_t at)
{
    struct tm tm;

    localtime_r(&at, &tm);
    return tm.tm_gmtoff;
}

/* The first second with the later offset; between `before` and `after` there is one change. */
static time_t jump_between(time_t before, time_t after)
{
    long later = offset_at(after);

    while (after - before > 1) {
        time_t middle = before + (after - before) / 2;

        if (offset_at(middle) == later)
            after = middle;
        else
            before = middle;
    }
    return after;
}

/* `shown`: the clocks' time read as if it were UTC. The offsets a day before and after are the
 * only ones it can have been shown with. */
static struct zone_moments moments_of(time_t shown)
{
    enum { DAY_S = 86400 };
    time_t old = shown - offset_at(shown - DAY_S), new = shown - offset_at(shown + DAY_S), at;
    bool is_old = old + offset_at(old) == shown, is_new = new + offset_at(new) == shown;

    if (is_old || is_new)
        return (struct zone_moments){ (is_old ? old : new) * SECOND_MS, (is_new ? new : old) * SECOND_MS };
    at = jump_between(shown - DAY_S, shown + DAY_S);
    return (struct zone_moments){ at * SECOND_MS, at * SECOND_MS };
}

int zone_to_utc(const char *zone, struct civil local, struct zone_moments *ret, struct err *err)
{
    struct tm tm = { .tm_year = local.year - 1900,
                     .tm_mon = local.month - 1,
                     .tm_mday = local.day,
                     .tm_hour = local.hour,
                     .tm_min = local.minute };
    struct zone_saved saved;
    int rc = check_zone(zone, err);

    if (rc != 0)
        return rc;
    saved = zone_enter(zone);
    *ret = moments_of(timegm(&tm));
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
