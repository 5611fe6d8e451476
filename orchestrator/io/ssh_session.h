/* One SSH connection, from dialling to its end: a state machine around
 * libssh2 in non-blocking mode. What runs over it (channels) are workers.
 *
 *   dial --> gate --> handshake --> hostkey --> identities --> auth --> ready
 *                                      |
 *                                      +--> end (scan: the key was all we came for)
 *   every state may enter end: by failure, by time limit, by ssh_session_close()
 */
#ifndef PATCHWAVE_SSH_SESSION_H
#define PATCHWAVE_SSH_SESSION_H

#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_target.h"
#include "schema/err.h"

#include <libssh2.h>
#include <stdbool.h>

struct loop;
struct ssh_session;

enum ssh_state {
    SSH_DIAL,       /* no connection yet */
    SSH_GATE,       /* connected; waits for ssh_session_proceed() */
    SSH_HANDSHAKE,  /* versions and key exchange */
    SSH_HOSTKEY,    /* is it the host we know? */
    SSH_IDENTITIES, /* which keys may we show? */
    SSH_AUTH,
    SSH_READY,
    SSH_END,
    SSH_STATES
};

struct ssh_session_config {
    struct loop *loop;
    struct ssh_keyring *keys;        /* not needed for a scan */
    const struct ssh_target *target; /* must outlive the session */
    bool learn;                 /* no pin: take the key that is shown (first contact, asked for by name) */
    bool scan;                  /* end after the host key; ssh_session_hostkey() has it */
    void (*on_gate)(void *arg); /* connected; NULL: go straight on */
    void (*on_ready)(void *arg);
    /* Once, unless ssh_session_close() came first; the session is gone for the
     * owner when it returns. ERR_CONNECT, ERR_TIMEOUT, ERR_HOSTKEY, ERR_AUTH, ERR_LOST (after
     * ready), ERR_PROTOCOL; ERR_CANCELLED for a scan that has its key. The text names node, address, and what to do. */
    void (*on_end)(void *arg, const struct err *why);
    void *arg;
};

/* No callback comes from inside. ERR_NOMEM. */
int ssh_session_open(const struct ssh_session_config *config, struct ssh_session **ret_session,
                     struct err *err);
/* Out of the gate. */
void ssh_session_proceed(struct ssh_session *s);
/* No callback after this; workers still attached hear ERR_CANCELLED. Says goodbye when it can be said at once. */
void ssh_session_close(struct ssh_session *s);
/* The same as a failure seen from outside (no answer to a ping): workers and owner hear `why`. */
void ssh_session_fail(struct ssh_session *s, const struct err *why);
enum ssh_state ssh_session_state(const struct ssh_session *s);
const char *ssh_state_name(enum ssh_state state);
const struct ssh_target *ssh_session_target(const struct ssh_session *s);
/* The key that the host proved to own, from the state after SSH_HOSTKEY on; else NULL. */
const struct ssh_hostkey *ssh_session_hostkey(const struct ssh_session *s);
/* Once per process, before the first session; ssh_library_end() at the end. ERR_IO. */
int ssh_library_begin(struct err *err);
void ssh_library_end(void);

/* ---- for workers (ssh_exec.c) ----
 *
 * libssh2 has two rules that are not in its manual, and they shape this part.
 * One send per session: a call that came back EAGAIN with a packet half out
 * must be repeated before any other call that sends; ssh_session_waits()
 * notes it, and until it is through only that worker gets turns.
 * One queue per session: any read takes the packets of all channels off the
 * socket, so every worker gets turns until a whole round brought nothing new. */
struct ssh_worker {
    struct ssh_worker *next;
    /* Do what can be done now; -1 and `err` (an LIBSSH2 failure by ssh_session_error()) ends the session.
     * Bounded: a worker with more to do says so by ssh_session_again(). */
    int (*turn)(struct ssh_worker *w, struct err *err);
    /* The session ended; the worker is detached. Fires once unless detached before. */
    void (*lost)(struct ssh_worker *w, const struct err *why);
};
void ssh_session_attach(struct ssh_session *s, struct ssh_worker *w);
void ssh_session_detach(struct ssh_session *s, struct ssh_worker *w);
LIBSSH2_SESSION *ssh_session_lib(struct ssh_session *s);
/* Look at a libssh2 result: true when it is EAGAIN. Call it after every libssh2 call of a worker. */
bool ssh_session_waits(struct ssh_session *s, struct ssh_worker *w, ssize_t rc);
/* True while w has a packet half out. */
bool ssh_session_sends(const struct ssh_session *s, const struct ssh_worker *w);
/* Channels are opened one at a time: libssh2 keeps the state of opening in the session. */
bool ssh_session_may_open(struct ssh_session *s, struct ssh_worker *w);
void ssh_session_opened(struct ssh_session *s);
/* Something to send has come up: turns soon, or in this round if one is running. */
void ssh_session_wake(struct ssh_session *s);
/* The budget of this turn is used up: another in the next turn of the loop. */
void ssh_session_again(struct ssh_session *s);
/* Translate libssh2's last error. */
int ssh_session_error(struct ssh_session *s, const char *doing, int rc, struct err *err);

#endif
