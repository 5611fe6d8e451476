/* The controller's end of the wire (docs/wire.md): one relay channel per node,
 * many requests in flight, each with a time limit, answers in any order.
 *
 * What a caller does per node:
 *
 *   agent_client_new -> agent_client_open -> on_up: call "hello", "claim", then what it likes
 *   ... on_down (connection lost: every pending call has already failed with LOST) ... on_up: "hello" anew ...
 *   agent_client_close
 *
 * It reconnects by itself; it does not repeat requests: after a loss the owner
 * says hello again (the `session` id is new, C.5) and decides what to ask anew.
 * A file goes to the node by payload.h, over a session of its own. */
#ifndef PATCHWAVE_AGENT_CLIENT_H
#define PATCHWAVE_AGENT_CLIENT_H

#include "orchestrator/io/ssh_target.h"
#include "schema/codec.h"
#include "schema/err.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

struct ssh_pool;
struct ssh_hostkey;
struct agent_client;

struct agent_client_config {
    struct ssh_pool *pool;
    const struct ssh_target *target; /* must outlive the client */
    const char *command;             /* NULL: "relay" */
    bool learn;                      /* as in ssh_session.h */
    /* The relay channel is open: calls are taken. Nothing has been said yet. */
    void (*on_up)(void *arg);
    /* Not up (any more): an attempt to connect failed, the connection was lost, or the
     * relay ended. `retry_ms` until the next attempt; LINK_NO_RETRY (ssh_pool.h): a person has to act first
     * (HOSTKEY, AUTH), then agent_client_open(). Comes once per attempt. */
    void (*on_down)(void *arg, const struct err *why, dur_ms retry_ms);
    /* A notification of the agent; valid during the call. May be NULL. */
    void (*on_notify)(void *arg, const struct rpc_message *msg);
    void *arg;
};

/* ERR_NOMEM. Callbacks come from the loop, never from inside these calls (agent_client_drop excepted). */
int agent_client_new(const struct agent_client_config *config, struct agent_client **ret_client,
                     struct err *err);
/* Connect now, or (after a failure) do not wait any longer. Nothing when up or under way. */
void agent_client_open(struct agent_client *c);
/* The node reboots and will be back: try at least every `cap_ms`; 0: normal waits. */
void agent_client_expect(struct agent_client *c, dur_ms cap_ms);
/* Give the connection up and begin anew (for instance after an answer that breaks the protocol). on_down comes from inside. */
void agent_client_drop(struct agent_client *c, const struct err *why);
/* Pending calls fail with CANCELLED from inside this call; then no callback, and the memory goes with the loop's next turns. */
void agent_client_close(struct agent_client *c);

bool agent_client_is_up(const struct agent_client *c);
uint32_t agent_client_pending(const struct agent_client *c);
const struct ssh_target *agent_client_target(const struct agent_client *c);
/* The key the node showed in this connection, or NULL. */
const struct ssh_hostkey *agent_client_hostkey(const struct agent_client *c);

/* Exactly once per call that was accepted. With a result: `reply` is RPC_RESULT, `why` NULL.
 * With the agent's error: `reply` is RPC_ERROR (its data is there to read), `why` is that error with the
 * code of its name. Else `reply` is NULL: LOST (the outcome is not known), TIMEOUT (the same; a late answer is
 * dropped), CANCELLED. `reply` is valid during the call. */
typedef void agent_reply_fn(void *arg, const struct rpc_message *reply, const struct err *why);

/* `params` is a JSON text or NULL; `method` is copied. `limit_ms` are real milliseconds from now. ERR_LOST when not up,
 * ERR_CAPACITY when too much waits to be sent, ERR_INVALID for a request over WIRE_LINE_MAX, ERR_NOMEM: then `fn` is not called. */
int agent_client_call(struct agent_client *c, const char *method, const char *params, dur_ms limit_ms,
                      agent_reply_fn *fn, void *arg, struct err *err);

#endif
