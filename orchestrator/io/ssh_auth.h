/* Logging in with a key: which keys to show, and signing with a file's key at
 * once or with ssh-agent's later. Part of ssh_session.c's machine, apart
 * because it has a state of its own. */
#ifndef PATCHWAVE_SSH_AUTH_H
#define PATCHWAVE_SSH_AUTH_H

#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_target.h"
#include "schema/buf.h"
#include "schema/err.h"

#include <libssh2.h>
#include <stdbool.h>

#define SSH_AUTH_KEYS_MAX 5 /* one less than sshd's MaxAuthTries */

struct ssh_auth_key {
    struct buf blob;
    char type[SSH_KEY_TYPE_MAX];
    const struct ssh_key *key; /* NULL: ssh-agent signs */
};

enum ssh_signing { SSH_SIGN_IDLE, SSH_SIGN_ASKED, SSH_SIGN_DONE, SSH_SIGN_FAILED };

struct ssh_auth {
    const struct ssh_target *target;
    struct ssh_keyring *ring;
    const bool *peer_gone;   /* the session's: the connection broke */
    void (*wake)(void *arg); /* something that we waited for has come */
    void *wake_arg;
    struct ssh_auth_key keys[SSH_AUTH_KEYS_MAX];
    unsigned n_keys, at, n_unusable, n_left_out;
    bool listed;
    struct ssh_keyagent_ask *ask; /* a question to ssh-agent is out */
    enum ssh_signing signing;
    struct buf signature;
    struct err why; /* what ssh-agent or a key said */
};

void ssh_auth_init(struct ssh_auth *a, const struct ssh_target *target, struct ssh_keyring *ring,
                   const bool *peer_gone, void (*wake)(void *arg), void *wake_arg);
void ssh_auth_clear(struct ssh_auth *a);
/* Results of both: 1 wait for wake (or for the socket), 0 done, -1 failed. */
enum ssh_auth_result { SSH_AUTH_DONE = 0, SSH_AUTH_WAIT = 1, SSH_AUTH_FAILED = -1 };
/* Collect the keys to show. Fails with ERR_AUTH and the remedy. */
enum ssh_auth_result ssh_auth_collect(struct ssh_auth *a, struct err *err);
/* One step of the login; `lib` failures that are not about the key leave
 * *ret_rc to be translated and `err` untouched. */
enum ssh_auth_result ssh_auth_step(struct ssh_auth *a, LIBSSH2_SESSION *lib, int *ret_rc, struct err *err);
/* True while only ssh-agent can move us: the socket is not watched then. */
bool ssh_auth_waits_for_agent(const struct ssh_auth *a);

#endif
