#include "orchestrator/io/fleet_clock.h"

#include <time.h>

struct fleet_clock fleet_clock_of(const struct inventory *inv)
{
    return (struct fleet_clock){ .factor = inv->clock_factor == 0 ? 1 : inv->clock_factor,
                                 .anchor = inv->clock_anchor };
}

time_ms wall_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (time_ms)ts.tv_sec * SECOND_MS + (time_ms)(ts.tv_nsec / 1000000);
}

time_ms fleet_from_wall(const struct fleet_clock *c, time_ms wall)
{
    return c->factor <= 1 ? wall : c->anchor + (wall - c->anchor) * (time_ms)c->factor;
}

time_ms fleet_now(const struct fleet_clock *c)
{
    return fleet_from_wall(c, wall_now());
}

dur_ms fleet_to_real(const struct fleet_clock *c, dur_ms fleet)
{
    dur_ms factor = c->factor == 0 ? 1 : (dur_ms)c->factor;

    return fleet <= 0 ? 0 : (fleet + factor - 1) / factor;
}
