#include "agent/core/claim.h"

#include <inttypes.h>
#include <string.h>

bool agent_claim_is(const struct agent_claim *held, int64_t epoch, const char *controller)
{
    return held->epoch != 0 && held->epoch == epoch && strcmp(held->controller, controller) == 0;
}

/* A log that ends before `seen`, or has another hash at its place, cannot be
 * the one that wrote it; a longer one is checked by its owner, from `hello`. */
static bool log_lacks(const struct agent_log_position *log, const struct agent_log_position *seen)
{
    if (log->seq != seen->seq)
        return log->seq < seen->seq;
    return strcmp(log->hash, seen->hash) != 0;
}

int agent_claim_judge(const struct agent_claim *held, const struct agent_claim *asked, bool takeover,
                      struct err *err)
{
    if (agent_claim_is(held, asked->epoch, asked->controller))
        return 0;
    if (asked->epoch <= held->epoch)
        return err_set(err, ERR_FENCED,
                       "epoch %" PRId64 " of controller %s holds this node; epoch %" PRId64 " came too late",
                       held->epoch, held->controller, asked->epoch);
    if (!takeover && log_lacks(&asked->log, &held->log))
        return err_set(err, ERR_STALE,
                       "this node has seen the log at entry %" PRId64 ", the controller's ends at %" PRId64
                       " or differs there; start it by takeover if that is meant",
                       held->log.seq, asked->log.seq);
    return 0;
}

void agent_claim_take(struct agent_claim *held, const struct agent_claim *asked)
{
    if (!agent_claim_is(held, asked->epoch, asked->controller)) {
        *held = *asked;
        return;
    }
    memcpy(held->run, asked->run, sizeof held->run);
    agent_claim_raise_log(held, &asked->log);
}

void agent_claim_raise_log(struct agent_claim *held, const struct agent_log_position *log)
{
    if (log->seq > held->log.seq)
        held->log = *log;
}
