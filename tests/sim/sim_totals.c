/* What a campaign met, whether that was enough, and how it goes on another day. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const probe_names[SIM_PROBE_COUNT] = {
#define X(name) #name,
    SIM_PROBES(X)
#undef X
};

#define JUDGE_FROM 5000u  /* rollouts; fewer say little about what is rare */
#define FAULT_FLOOR 1000u /* hits in a million rollouts */
#define PROBE_FLOOR 100u  /* in a million: the rarest situations take three faults in a row */

static bool counts(const struct sim *s)
{
    if (s->plan_refused || s->plan->n_waves < 2)
        return false;
    return s->fired >= 2 || s->opt.calm_only || s->opt.kill_at >= 0 || s->opt.fault_mask != 0;
}

void sim_totals_add(struct sim_totals *t, const struct sim *s)
{
    t->runs++;
    if (!counts(s))
        return;
    t->valid++;
    t->faults_fired += s->fired;
    t->by_faults[s->fired < SIM_ARMED ? s->fired : SIM_ARMED]++;
    t->events += s->steps;
    for (uint32_t i = 0; i < s->n_logs; i++)
        t->entries += s->logs[i].entries.n;
    for (uint32_t i = 0; i < SIM_FAULTS; i++)
        t->fault_hits[i] += s->fault_hits[i];
    for (uint32_t i = 0; i < SIM_PROBE_COUNT; i++)
        t->probes[i] += s->probes[i];
    for (uint32_t i = 0; i <= 30; i++)
        t->checks[i] += s->oracle.checks[i];
}

/* By the rollouts that count. */
static uint32_t median_faults(const struct sim_totals *t)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i <= SIM_ARMED; i++) {
        seen += t->by_faults[i];
        if (2 * seen >= t->valid)
            return i;
    }
    return 0;
}

void sim_totals_print(const struct sim_totals *t)
{
    printf("rollouts %" PRIu64 ", counted %" PRIu64 ", violations %" PRIu64 ", faults %" PRIu64
           " (median %u), steps %" PRIu64 ", log entries %" PRIu64 "\n",
           t->runs, t->valid, t->broken, t->faults_fired, median_faults(t), t->events, t->entries);
    if (t->cpu_ms > 0)
        printf("%.1f s of CPU, %.2f ms a rollout, %.0f rollouts a minute and core\n",
               (double)t->cpu_ms / 1000, (double)t->cpu_ms / (double)t->runs,
               60000.0 * (double)t->runs / (double)t->cpu_ms);
    printf("rollouts by faults fired:");
    for (uint32_t i = 0; i <= SIM_ARMED; i++)
        printf(" %u:%" PRIu64, i, t->by_faults[i]);
    printf("\nfault hits:");
    for (uint32_t i = 1; i < SIM_FAULTS; i++)
        if (sim_fault_rows[i].why_not == NULL)
            printf(" %s:%" PRIu64, sim_fault_rows[i].id, t->fault_hits[i]);
    printf("\ninvariants judged:");
    for (uint32_t i = 1; i <= 30; i++)
        printf(" I%u:%" PRIu64, i, t->checks[i]);
    printf("\nprobes:");
    for (uint32_t i = 0; i < SIM_PROBE_COUNT; i++)
        printf(" %s:%" PRIu64, probe_names[i], t->probes[i]);
    putchar('\n');
}

static bool enough(const struct sim_totals *t, const char *what, uint64_t hits, uint64_t floor)
{
    if (hits * 1000000 >= floor * t->valid)
        return true;
    printf("TOO RARE: %s: %" PRIu64 " in %" PRIu64 " rollouts, wanted %" PRIu64 " in a million\n", what, hits,
           t->valid, floor);
    return false;
}

bool sim_totals_judge(const struct sim_totals *t)
{
    bool good = true;

    if (t->valid < JUDGE_FROM)
        return true;
    if (median_faults(t) < 3) {
        printf("TOO FEW faults: the median is %u\n", median_faults(t));
        good = false;
    }
    for (uint32_t i = 1; i < SIM_FAULTS; i++)
        if (sim_fault_rows[i].why_not == NULL)
            good = enough(t, sim_fault_rows[i].id, t->fault_hits[i], FAULT_FLOOR) && good;
    for (uint32_t i = 0; i < SIM_PROBE_COUNT; i++)
        good = enough(t, probe_names[i], t->probes[i], PROBE_FLOOR) && good;
    return good;
}

/* ---- a campaign that goes on ---- */

typedef bool visit_fn(FILE *f, const char *name, uint64_t *value);

static bool save_one(FILE *f, const char *name, uint64_t *value)
{
    return fprintf(f, "%s %" PRIu64 "\n", name, *value) > 0;
}

static bool load_one(FILE *f, const char *name, uint64_t *value)
{
    char word[64], number[32], *end;

    if (fscanf(f, "%63s %31s", word, number) != 2 || strcmp(word, name) != 0)
        return false;
    *value = strtoull(number, &end, 10);
    return *end == '\0';
}

static bool visit_list(FILE *f, visit_fn *visit, const char *prefix, uint64_t *values, uint32_t n)
{
    bool ok = true;

    for (uint32_t i = 0; i < n && ok; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s%u", prefix, (unsigned)i);
        ok = visit(f, name, &values[i]);
    }
    return ok;
}

static bool visit_all(FILE *f, visit_fn *visit, struct sim_totals *t)
{
    bool ok =
        visit(f, "next", &t->next) && visit(f, "broken", &t->broken) && visit(f, "cpu_ms", &t->cpu_ms) &&
        visit(f, "runs", &t->runs) && visit(f, "valid", &t->valid) && visit(f, "events", &t->events) &&
        visit(f, "entries", &t->entries) && visit(f, "faults_fired", &t->faults_fired) &&
        visit_list(f, visit, "by_faults", t->by_faults, SIM_ARMED + 1) &&
        visit_list(f, visit, "F", t->fault_hits, SIM_FAULTS) && visit_list(f, visit, "I", t->checks, 31);

    for (uint32_t i = 0; i < SIM_PROBE_COUNT && ok; i++)
        ok = visit(f, probe_names[i], &t->probes[i]);
    return ok;
}

bool sim_totals_save(const struct sim_totals *t, const char *path)
{
    struct sim_totals copy = *t;
    char beside[4096];
    bool ok;
    FILE *f;

    snprintf(beside, sizeof beside, "%s.new", path);
    f = fopen(beside, "w");
    if (f == NULL)
        return false;
    ok = visit_all(f, save_one, &copy);
    return fclose(f) == 0 && ok && rename(beside, path) == 0;
}

bool sim_totals_load(struct sim_totals *t, const char *path)
{
    FILE *f = fopen(path, "r");
    bool ok = f != NULL && visit_all(f, load_one, t);

    if (f != NULL)
        fclose(f);
    return ok;
}
