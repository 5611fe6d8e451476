/* The fleet's clock on this node: wall and monotonic time, scaled. A factor
 * other than 1 exists in labs only. */
#ifndef PATCHWAVE_FLEET_TIME_H
#define PATCHWAVE_FLEET_TIME_H

#include "schema/times.h"

#include <stdint.h>

struct fleet_time {
    int64_t factor;
    time_ms anchor_ms;
};
time_ms fleet_time_at(const struct fleet_time *f, time_ms wall_ms);
dur_ms fleet_time_mono(const struct fleet_time *f, dur_ms mono_ms);
/* Real milliseconds until fleet monotonic `due`, at least 0, rounded up. */
dur_ms fleet_time_wait(const struct fleet_time *f, dur_ms now_mono_ms, dur_ms due);

#endif
