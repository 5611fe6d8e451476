/* What goes wrong in a run, and when: drawn from the seed before it begins, so
 * that most of it comes to pass while there is still something to disturb. */
#include "tests/sim/sim.h"

static bool playable(const struct sim *s, uint32_t fault)
{
    bool s2d = false;

    if (sim_fault_rows[fault].why_not != NULL)
        return false;
    if (s->opt.fault_mask != 0 && !(s->opt.fault_mask >> fault & 1u))
        return false;
    if (fault == 8 && s->opt.timed)
        return false; /* was not played when these seeds were found */
    if (fault != 42 || s->opt.timed)
        return true;
    for (uint32_t i = 0; i < s->world.n_clusters; i++)
        s2d = s2d || s->world.clusters[i].s2d;
    return s2d; /* there is storage to break */
}

static uint32_t pick_fault(struct sim *s, struct prng *p)
{
    for (uint32_t tries = 0; tries < 1000; tries++) {
        uint32_t f = 1 + (uint32_t)prng_below(p, SIM_FAULTS - 1);

        if (playable(s, f))
            return f;
    }
    return 0;
}

/* How often an opportunity comes by: in nine runs of ten so often for each node of the plan. */
static uint32_t opportunities(uint32_t fault, uint32_t nodes)
{
    static const uint32_t each[SIM_FAULTS] = { [1] = 140, [9] = 33,  [10] = 33, [11] = 33, [15] = 75,
                                               [16] = 80, [17] = 80, [22] = 85, [25] = 70, [27] = 42 };

    if (fault == 2)
        return 6;
    if (fault == 39)
        return nodes;
    return each[fault] == 0 ? 100 : each[fault] * nodes;
}

static void arm(struct sim *s, uint32_t i)
{
    const struct sim_armed *a = &s->armed[i];

    if (a->left_out)
        return;
    if (!sim_fault_rows[a->fault].by_chance)
        sim_put(s, a->at, SIM_Q_FAULT, i, 0, 0, NULL, 0);
    if (a->fault == 2) /* a death first, else there is no recovery to die in */
        sim_put(s, a->at, SIM_Q_FAULT, i, 1, 0, NULL, 0);
}

/* As long as nine runs of ten take at least. */
static dur_ms span_of(const struct sim *s)
{
    return (600 + 650 * (dur_ms)s->plan->n_nodes) * SECOND_MS;
}

static void arm_by_opportunity(struct sim *s, struct prng *p)
{
    uint32_t n = 1 + (uint32_t)(prng_below(p, 3) + prng_below(p, 3)); /* median 3; nine of ten come to pass */

    for (uint32_t i = 0; i < n; i++) {
        struct sim_armed *a = &s->armed[s->n_armed];

        *a = (struct sim_armed){ .fault = pick_fault(s, p) };
        a->at = WORLD_START + (time_ms)prng_below(p, (uint64_t)span_of(s));
        a->nth = 1 + (uint32_t)prng_below(p, opportunities(a->fault, s->plan->n_nodes));
        a->left_out = (s->opt.drop_mask >> i & 1u) != 0;
        if (a->fault != 0)
            arm(s, s->n_armed++);
    }
}

/* At fixed times and counts, fired or not: the regressions of early seeds keep what they were found with. */
static void arm_by_time(struct sim *s, struct prng *p)
{
    static const uint32_t often[SIM_FAULTS] = {
        [1] = 1200, [2] = 6,    [9] = 500,  [10] = 500, [11] = 500, [15] = 900,
        [16] = 900, [17] = 900, [22] = 250, [25] = 600, [27] = 250, [39] = 8
    };
    uint32_t n = 1 + (uint32_t)(prng_below(p, 3) + prng_below(p, 3)), span = 10 + 25 * s->world.n_nodes;

    for (uint32_t i = 0; i < n; i++) {
        struct sim_armed *a = &s->armed[s->n_armed];

        *a = (struct sim_armed){ .fault = pick_fault(s, p) };
        a->at = WORLD_START + (time_ms)prng_below(p, span * 60) * SECOND_MS;
        if (prng_permille(p, 300))
            a->at = WORLD_START + (time_ms)prng_below(p, span * 12) * SECOND_MS;
        a->nth = 1 + (uint32_t)prng_below(p, often[a->fault] == 0 ? 100 : often[a->fault]);
        a->left_out = (s->opt.drop_mask >> i & 1u) != 0;
        if (a->fault != 0)
            arm(s, s->n_armed++);
    }
}

void sim_faults_arm(struct sim *s)
{
    struct prng p;

    prng_init(&p, s->opt.seed ^ 0xfa017);
    s->n_armed = s->fired = 0;
    if (s->opt.calm_only || (s->opt.kill_at >= 0 && !s->opt.with_faults))
        return;
    if (s->opt.timed)
        arm_by_time(s, &p);
    else
        arm_by_opportunity(s, &p);
}
