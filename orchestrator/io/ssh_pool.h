/* All connections of a controller. A link is one long-lived session to one
 * target: opened, kept, opened again after a loss with growing waits. The pool
 * bounds how many links connect and how many shake hands at once; the others
 * wait their turn, first come first served. A dead node waits for its time limit
 * in the connect phase and so never takes a handshake's place.
 *
 *   idle --> queued --> connecting --> gate --> handshake --> up
 *              ^             |                      |          |
 *              |             +----------+-----------+----------+
 *              |                        v
 *              +-- (wait over) ----- waiting       (CONNECT, TIMEOUT, LOST, ...)
 *                                    refused       (HOSTKEY, AUTH, ...: asking again would change nothing)
 *   ssh_link_open() leads from idle and refused to queued, and cuts waiting short
 */
#ifndef PATCHWAVE_SSH_POOL_H
#define PATCHWAVE_SSH_POOL_H

#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_target.h"
#include "schema/err.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct prng;
struct ssh_pool;
struct ssh_link;
struct ssh_session;

struct ssh_pool_config {
    struct loop *loop;
    struct ssh_keyring *keys; /* must outlive the pool's links */
    uint32_t handshakes_max;  /* at once; 0: 64 */
    uint32_t connects_max;    /* at once; 0: 256 */
    dur_ms backoff_min_ms;    /* 0: 250 ms */
    dur_ms backoff_max_ms;    /* 0: 15 s */
    uint64_t seed;            /* of the jitter */
};
/* ERR_NOMEM. ssh_pool_free() when every link has been closed. */
int ssh_pool_new(const struct ssh_pool_config *config, struct ssh_pool **ret_pool, struct err *err);
void ssh_pool_free(struct ssh_pool *pool);
struct ssh_pool_counts {
    uint32_t links, queued, connecting, gated, handshaking, up;
};
struct ssh_pool_counts ssh_pool_counts(const struct ssh_pool *pool);
struct loop *ssh_pool_loop(const struct ssh_pool *pool);
struct prng *ssh_pool_random(struct ssh_pool *pool); /* for jitter of what runs over its links */

enum ssh_link_state {
    LINK_IDLE,
    LINK_QUEUED,
    LINK_CONNECTING,
    LINK_GATE,
    LINK_HANDSHAKE,
    LINK_UP,
    LINK_WAITING,
    LINK_REFUSED,
    LINK_CLOSED,
    LINK_STATES
};
const char *ssh_link_state_name(enum ssh_link_state state);

#define LINK_NO_RETRY ((dur_ms)-1)
struct ssh_link_config {
    const struct ssh_target *target; /* must outlive the link */
    bool learn;                      /* as in ssh_session.h */
    /* The session is ready; it is the link's, good until on_down. */
    void (*on_up)(void *arg, struct ssh_session *session);
    /* An attempt failed, or the session was lost; workers have heard it already. The
     * next attempt comes in `retry_ms` by itself; LINK_NO_RETRY: not before ssh_link_open(). */
    void (*on_down)(void *arg, const struct err *why, dur_ms retry_ms);
    void *arg;
};
/* A new link, idle. Callbacks come from the loop, never from inside these calls. ERR_NOMEM. */
int ssh_link_new(struct ssh_pool *pool, const struct ssh_link_config *config, struct ssh_link **ret_link,
                 struct err *err);
/* Connect now (see the diagram); nothing in the other states. */
void ssh_link_open(struct ssh_link *link);
/* A node is expected back any moment (it reboots): from now on wait at most `cap_ms` between
 * attempts and give each at most a second to connect. 0: back to normal. */
void ssh_link_expect(struct ssh_link *link, dur_ms cap_ms);
/* Drop the session for a reason seen from outside (no answer to a ping); on_down follows, from inside this call. */
void ssh_link_drop(struct ssh_link *link, const struct err *why);
/* The end; no callback after it. */
void ssh_link_close(struct ssh_link *link);
enum ssh_link_state ssh_link_state(const struct ssh_link *link);
const struct ssh_target *ssh_link_target(const struct ssh_link *link);
/* NULL unless up. */
struct ssh_session *ssh_link_session(const struct ssh_link *link);

#endif
