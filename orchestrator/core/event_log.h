/* Where events are kept. `append` is durable when it returns 0: event,
 * commands and projections in one transaction; the chain hash of entry n is
 * SHA-256(hash of n-1, event text, commands text). */
#ifndef PATCHWAVE_EVENT_LOG_H
#define PATCHWAVE_EVENT_LOG_H

#include "orchestrator/core/command.h"
#include "orchestrator/core/engine.h"
#include "orchestrator/core/event.h"
#include "schema/sha256.h"

struct log_position {
    uint64_t seq;
    char hash[SHA256_TEXT];
};

struct event_log {
    /* On failure nothing was written and the runner stops (I25). `engine` has
     * taken the event already: projections are read from its views. */
    int (*append)(struct event_log *l, const struct event *ev, const struct command_list *commands,
                  const struct engine *engine, struct err *err);
    struct log_position (*position)(const struct event_log *l);
};

void log_chain(const char prev_hash[SHA256_TEXT], const char *event_text, const char *commands_text,
               char out[SHA256_TEXT]);

#endif
