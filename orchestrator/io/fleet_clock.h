/* Fleet time: what events, deadlines and reports are in. It runs `factor`
 * times as fast as the wall clock since `anchor` (1 unless the inventory says
 * `lab`). SSH's own limits are real time and do not come here.
 * The wall clock is read once per process; from there on time goes as the
 * machine counts it. Who sets the clock back or forth meanwhile neither puts
 * timers off nor fires them all, opens no window and revives no approval. */
#ifndef PATCHWAVE_FLEET_CLOCK_H
#define PATCHWAVE_FLEET_CLOCK_H

#include "orchestrator/core/inventory.h"
#include "schema/times.h"

struct fleet_clock {
    uint32_t factor;
    time_ms anchor;
    dur_ms ahead; /* of what the wall clock says: the log was that far when this process began */
};

struct fleet_clock fleet_clock_of(const struct inventory *inv);
/* The wall clock as it stood at the first call, and what has passed since; ms since 1970. Not to be called first by two threads. */
time_ms wall_now(void);
/* From `last` on, where the clock is behind it: time does not go back, and does not stand still either. */
void fleet_clock_not_before(struct fleet_clock *c, time_ms last);
time_ms fleet_now(const struct fleet_clock *c);
time_ms fleet_from_wall(const struct fleet_clock *c, time_ms wall);
/* How long to wait for real; rounded up, never below 0. */
dur_ms fleet_to_real(const struct fleet_clock *c, dur_ms fleet);

#endif
