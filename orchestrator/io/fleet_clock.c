#include "orchestrator/io/fleet_clock.h"

#include <time.h>

struct fleet_clock fleet_clock_of(const struct inventory *inv)
{
    return (struct fleet_clock){ .factor = inv->clock_factor == 0 ? 1 : inv->clock_factor,
                                 .anchor = inv->clock_anchor };
}

static time_ms read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (time_ms)ts.tv_sec * SECOND_MS + (time_ms)(ts.tv_nsec / 1000000);
}

/* What passes while the machine sleeps counts too. */
time_ms wall_now(void)
{
    static time_ms wall_begun, boot_begun;

    if (wall_begun == 0) {
        wall_begun = read_clock(CLOCK_REALTIME);
        boot_begun = read_clock(CLOCK_BOOTTIME);
    }
    return wall_begun + (read_clock(CLOCK_BOOTTIME) - boot_begun);
}

time_ms fleet_from_wall(const struct fleet_clock *c, time_ms wall)
{
    return c->factor <= 1 ? wall : c->anchor + (wall - c->anchor) * (time_ms)c->factor;
}

time_ms fleet_now(const struct fleet_clock *c)
{
    return fleet_from_wall(c, wall_now()) + c->ahead;
}

void fleet_clock_not_before(struct fleet_clock *c, time_ms last)
{
    time_ms now = fleet_now(c);

    if (now < last)
        c->ahead += last - now;
}

dur_ms fleet_to_real(const struct fleet_clock *c, dur_ms fleet)
{
    dur_ms factor = c->factor == 0 ? 1 : (dur_ms)c->factor;

    return fleet <= 0 ? 0 : (fleet + factor - 1) / factor;
}
