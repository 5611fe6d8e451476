/* What a campaign met. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const probe_names[SIM_PROBE_COUNT] = {
#define X(name) #name,
    SIM_PROBES(X)
#undef X
};

void sim_totals_add(struct sim_totals *t, const struct sim *s)
{
    t->runs++;
    t->valid += !s->plan_refused && (s->fired > 0 || s->opt.calm_only || s->opt.kill_at >= 0);
    t->faults_fired += s->fired;
    t->by_faults[s->fired < SIM_ARMED ? s->fired : SIM_ARMED]++;
    t->events += s->steps;
    for (uint32_t i = 0; i < s->n_logs; i++)
        t->entries += s->logs[i].entries.n;
    for (uint32_t i = 0; i < SIM_PROBE_COUNT; i++)
        t->probes[i] += s->probes[i];
    for (uint32_t i = 0; i <= 30; i++)
        t->checks[i] += s->oracle.checks[i];
}

void sim_totals_print(const struct sim_totals *t)
{
    printf("rollouts %" PRIu64 ", counted %" PRIu64 ", faults %" PRIu64 ", steps %" PRIu64
           ", log entries %" PRIu64 "\n",
           t->runs, t->valid, t->faults_fired, t->events, t->entries);
    printf("rollouts by faults fired:");
    for (uint32_t i = 0; i <= SIM_ARMED; i++)
        printf(" %u:%" PRIu64, i, t->by_faults[i]);
    printf("\nfault hits:");
    for (uint32_t i = 1; i < SIM_FAULTS; i++)
        printf(" %s:%" PRIu64 "%s", sim_fault_rows[i].id, t->fault_hits[i],
               sim_fault_rows[i].why_not != NULL ? "(not played)" : "");
    printf("\ninvariants judged:");
    for (uint32_t i = 1; i <= 30; i++)
        printf(" I%u:%" PRIu64, i, t->checks[i]);
    printf("\nprobes:");
    for (uint32_t i = 0; i < SIM_PROBE_COUNT; i++)
        printf(" %s:%" PRIu64, probe_names[i], t->probes[i]);
    putchar('\n');
}
