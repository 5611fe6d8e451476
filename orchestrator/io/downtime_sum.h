/* Sums over the downtime table. Three figures stand side by side (O35): how
 * long VMs were without service, how long nodes were out, how long vmms was
 * stopped. Overlapping spans of one subject count once. */
#ifndef PATCHWAVE_DOWNTIME_SUM_H
#define PATCHWAVE_DOWNTIME_SUM_H

#include "orchestrator/io/store.h"
#include "schema/buf.h"
#include "schema/json.h"
#include "schema/times.h"

enum downtime_by { BY_VM, BY_NODE, BY_CLUSTER, BY_WAVE, BY_CAUSE, BY_RUN, BY_COUNT };
extern const char *const downtime_by_names[BY_COUNT];

struct downtime_line {
    const char *key, *name;
    uint32_t rows, vms; /* VMs with a span longer than nothing */
    dur_ms vm_ms, node_out_ms, vmms_ms;
    dur_ms predicted_ms; /* of VMs, P50 */
    dur_ms longest_vm_ms;
    const char *longest_vm;
};
struct downtime_sums {
    struct arena arena;
    struct downtime_line *items;
    uint32_t n;
    struct downtime_line all;
    uint32_t over_goal; /* VMs that lost more than the goal allows in a month */
    dur_ms goal_ms;     /* what it allows */
};

/* `now` ends what is still open. `goal_ppm`: availability in parts per million
 * (999900 is 99.99 %) over 30 days. */
int downtime_sum(struct store *s, const char *run, enum downtime_by by, time_ms now, uint32_t goal_ppm,
                 struct downtime_sums *ret, struct err *err);
void downtime_sums_clear(struct downtime_sums *d);
/* "99.99" -> 999900. ERR_INVALID. */
int downtime_goal_parse(const char *text, uint32_t *ret_ppm, struct err *err);

#endif
