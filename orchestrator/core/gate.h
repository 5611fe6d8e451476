/* Evidence to answer: pure. Drivers return facts, here
 * they are judged, and nowhere else. */
#ifndef PATCHWAVE_GATE_H
#define PATCHWAVE_GATE_H

#include "orchestrator/core/facts.h"
#include "orchestrator/core/rollout.h"
#include "orchestrator/core/wave_sm.h"

/* What is wrong, a bit each: the baseline of a gate is what was wrong before the wave. */
enum {
    BAD_CLOCK = 1u << 0,
    BAD_AGENT = 1u << 1,
    BAD_WRITER = 1u << 2,
    BAD_JOB = 1u << 3,
    BAD_7001 = 1u << 4,
    BAD_NODE = 1u << 5,
    BAD_WITNESS = 1u << 6,
    BAD_GROUP = 1u << 7,
    BAD_RESOURCE = 1u << 8,
    BAD_CSV = 1u << 9,
    BAD_NETWORK = 1u << 10,
    BAD_DISK = 1u << 11,
    BAD_HEARTBEAT = 1u << 12,
};

struct gate_finding {
    enum gate_answer answer;
    uint32_t bad;
    char text[192];
};

/* Which nodes and VMs owe nothing (set aside, stuck, parked by us, down before the wave: O15); a VM that went down just now
 * may be on its way. */
enum gate_owes { GATE_OWES, GATE_OWES_SOON, GATE_OWES_NOTHING };
struct gate_excuse {
    bool (*node)(void *arg, const char *id);
    enum gate_owes (*vm)(void *arg, const char *id);
    void *arg;
};

/* Down, and its cluster wants it online. */
bool gate_group_down(const struct view_group *g);

void gate_judge_time(const struct gate *g, const struct time_facts *f, struct gate_finding *ret);
/* Events of 7001 count when newer than `since` (the baseline's time). */
void gate_judge_backup(const struct backup_facts *f, time_ms since, struct gate_finding *ret);
void gate_judge_cluster(const struct cluster_view *v, const struct storage_view *s,
                        const struct gate_excuse *x, struct gate_finding *ret);
/* No VM with a heartbeat on the node: unknown (O15). */
void gate_judge_heartbeat(const struct heartbeat_facts *f, const struct gate_excuse *x,
                          struct gate_finding *ret);
/* What was bad in the same way before the wave is not the wave's: *fail*
 * becomes *unknown*. */
void gate_weigh(struct gate_finding *f, uint32_t baseline_bad);

/* Samples to answer. */
struct gate_tally {
    uint32_t samples, fails, unknowns;
    uint32_t row;                   /* answers since the last one that was missing */
    time_ms first, last, last_pass; /* of the unbroken row of evidence; 0: none */
};
enum gate_next { GATE_MORE, GATE_SAYS_PASS, GATE_SAYS_FAIL, GATE_SAYS_UNKNOWN };
/* Add one sample, asked for and answered at these times. Over failure_limit: fail; over unknown_limit: unknown; pass after
 * `samples` samples, the soak, and a last one that passed. The soak counts from the first answer to the last question: of many
 * targets one may have answered long before the others. */
enum gate_next gate_count(const struct gate *g, struct gate_tally *t, enum gate_answer sample, time_ms asked,
                          time_ms at);

#endif
