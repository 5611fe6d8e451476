/* Downtime as a ledger: every step has a row, zero included. A fold over
 * events: rows from drivers (VM blackouts, saves, shutdowns, crashes), and
 * node-out and vmms-stopped spans from the ops' own times. Predicted beside
 * measured, and how it was measured. */
#ifndef PATCHWAVE_LEDGER_H
#define PATCHWAVE_LEDGER_H

#include "orchestrator/core/event.h"
#include "orchestrator/core/predict.h"

struct ledger_row {
    enum down_subject subject;
    uint32_t node;  /* where it happened, index */
    const char *id; /* VM GUID or node id */
    uint32_t wave;
    enum down_cause cause;
    const char *step, *op, *how;
    time_ms start, end;        /* TIME_NEVER: still down */
    struct estimate predicted; /* 0,0,0: not predicted */
    bool back;                 /* on the way back (rollback) */
};
struct ledger {
    struct arena arena;
    struct ledger_row *items;
    uint32_t n, cap;
};
void ledger_clear(struct ledger *l);

/* Sums in ms over all rows that match; IX_NONE / -1 = any. Overlapping spans
 * of one subject count once. */
struct ledger_ask {
    int subject, cause;
    uint32_t node, wave;
    const char *id;
};
dur_ms ledger_sum(const struct ledger *l, const struct ledger_ask *ask, time_ms now);

#endif
