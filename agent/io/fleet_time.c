#include "agent/io/fleet_time.h"

time_ms fleet_time_at(const struct fleet_time *f, time_ms wall_ms)
{
    return f->anchor_ms + (wall_ms - f->anchor_ms) * f->factor;
}

dur_ms fleet_time_mono(const struct fleet_time *f, dur_ms mono_ms)
{
    return mono_ms * f->factor;
}

dur_ms fleet_time_wait(const struct fleet_time *f, dur_ms now_mono_ms, dur_ms due)
{
    dur_ms left = due - fleet_time_mono(f, now_mono_ms);

    return left <= 0 ? 0 : (left + f->factor - 1) / f->factor;
}
