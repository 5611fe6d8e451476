/* What goes wrong with the sources of gate evidence in cruel worlds: F47 to F49, told apart. */
#include "tests/sim/sim.h"

/* Drawn once: a play that finds nothing to disturb stays what it is. */
bool sim_by_source(struct sim *s, struct sim_armed *a)
{
    if (a->fault < 47 || !s->world.cruel || s->opt.plain)
        return false;
    if (a->seen == 0)
        a->seen = prng_permille(&s->world.rng_cruel, 600) ? 1 : 2;
    return a->seen == 1;
}

static bool has_passed(const struct sim *s, uint32_t node)
{
    uint32_t wave = s->policy.wave_of[node];

    return wave != WORLD_NONE && wave < ORACLE_WAVES &&
           s->oracle.stores[s->ctls[s->primary].log->store].passed[wave];
}

/* F49 where it is told apart from F47: the alarm comes when the gate is over. */
static uint32_t late_alarm(struct sim *s)
{
    for (uint32_t i = 0; i < s->world.n_nodes; i++)
        if (has_passed(s, i) && s->world.nodes[i].has_package) {
            s->world.nodes[i].backup_broken = true;
            s->world.nodes[i].backup_broken_at = s->now;
            return i;
        }
    return SIM_NONE;
}

static bool repeats(struct sim *s, uint32_t node)
{
    struct sim_agent *a = &s->agents[node];

    a->repeats = a->kept_backup != NULL || a->kept_time != NULL;
    return a->repeats;
}

static enum world_gate gone_bad(struct prng *p, uint32_t fault)
{
    if (fault == 48)
        return prng_permille(p, 500) ? GATE_FAILS : GATE_HANGS;
    if (prng_permille(p, 300))
        return GATE_EMPTY;
    return prng_permille(p, 500) ? GATE_NAN : GATE_FLAPS;
}

bool sim_source_fault(struct sim *s, uint32_t fault, uint32_t node)
{
    struct world_node *n = &s->world.nodes[node];
    struct prng *p = &s->world.rng_cruel;
    bool done = true;

    if (fault == 49) {
        done = (node = late_alarm(s)) != SIM_NONE;
    } else if (fault == 47 && prng_permille(p, 400)) {
        done = repeats(s, node);
    } else {
        n->gate = gone_bad(p, fault);
        n->gate_at = s->now;
    }
    if (done)
        sim_put(s, s->now + prng_between(p, 5, 60) * MINUTE_MS, SIM_Q_FAULT_END, fault, node, 0, NULL, 0);
    return done;
}
