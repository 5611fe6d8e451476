/* Who may give orders to this node (C.6). Pure rules; storing is the
 * journal's affair. */
#ifndef PATCHWAVE_CLAIM_H
#define PATCHWAVE_CLAIM_H

#include "schema/err.h"
#include "schema/sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define AGENT_HEX_ID 33 /* 32 hex digits and the NUL: controller, session, journal */
#define AGENT_RUN_MAX 64

/* How far the controller's own log had come: sequence and head hash. */
struct agent_log_position {
    int64_t seq;
    char hash[SHA256_TEXT]; /* "" when seq is 0 */
};

struct agent_claim {
    int64_t epoch; /* 0: never claimed */
    char controller[AGENT_HEX_ID];
    char run[AGENT_RUN_MAX];
    struct agent_log_position log;
};

/* May `asked` replace or renew `held`? ERR_FENCED: the epoch is below the
 * highest seen, or equal and another controller's. ERR_STALE: a higher epoch
 * from a log that ends before what this node has seen, without `takeover`. */
int agent_claim_judge(const struct agent_claim *held, const struct agent_claim *asked, bool takeover,
                      struct err *err);
/* Take an accepted claim over: a new epoch replaces the log pair, a renewal
 * only raises it, of a takeover too: it may be heard late (F17). */
void agent_claim_take(struct agent_claim *held, const struct agent_claim *asked);
/* The pair only grows within an epoch. */
void agent_claim_raise_log(struct agent_claim *held, const struct agent_log_position *log);
/* Is this the holder? */
bool agent_claim_is(const struct agent_claim *held, int64_t epoch, const char *controller);

#endif
