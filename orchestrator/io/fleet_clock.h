/* Fleet time: what events, deadlines and reports are in. It runs `factor`
 * times as fast as the wall clock since `anchor` (1 unless the inventory says
 * `lab`). SSH's own limits are real time and do not come here. */
#ifndef PATCHWAVE_FLEET_CLOCK_H
#define PATCHWAVE_FLEET_CLOCK_H

#include "orchestrator/core/inventory.h"
#include "schema/times.h"

struct fleet_clock {
    uint32_t factor;
    time_ms anchor;
};

struct fleet_clock fleet_clock_of(const struct inventory *inv);
/* The wall clock, ms since 1970. */
time_ms wall_now(void);
time_ms fleet_now(const struct fleet_clock *c);
time_ms fleet_from_wall(const struct fleet_clock *c, time_ms wall);
/* How long to wait for real; rounded up, never below 0. */
dur_ms fleet_to_real(const struct fleet_clock *c, dur_ms fleet);

#endif
