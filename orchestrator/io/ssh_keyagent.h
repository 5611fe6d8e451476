/* The user's ssh-agent, spoken to on the loop: libssh2's own functions block
 * (for ever, if the agent is stopped), these only wait. One connection, one
 * question at a time, as the agent answers them. */
#ifndef PATCHWAVE_SSH_KEYAGENT_H
#define PATCHWAVE_SSH_KEYAGENT_H

#include "schema/err.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct ssh_keyagent;
struct ssh_keyagent_ask;

/* ERR_NOMEM. Connects at the first question. */
int ssh_keyagent_new(struct loop *l, const char *path, struct ssh_keyagent **ret_agent, struct err *err);
/* All asks must have been answered or dropped. Accepts NULL. */
void ssh_keyagent_close(struct ssh_keyagent *agent);
const char *ssh_keyagent_path(const struct ssh_keyagent *agent);

/* The answer's body without length and type, valid during the call; or NULL
 * and why not (ERR_AUTH, naming the socket). No time limit of its own: drop it. */
typedef void ssh_keyagent_fn(void *arg, const uint8_t *answer, size_t len, const struct err *why);

/* List what it holds: the answer is a u32 count, then per key string blob,
 * string comment. Answered later, never from inside. */
int ssh_keyagent_list(struct ssh_keyagent *agent, ssh_keyagent_fn *fn, void *arg,
                      struct ssh_keyagent_ask **ret_ask, struct err *err);
/* Sign: the answer is one string, the signature blob. Copies its input. */
int ssh_keyagent_sign(struct ssh_keyagent *agent, const void *blob, size_t blob_len, const void *data,
                      size_t data_len, ssh_keyagent_fn *fn, void *arg, struct ssh_keyagent_ask **ret_ask,
                      struct err *err);
/* Its fn will not be called; the ask is gone for the caller. */
void ssh_keyagent_drop(struct ssh_keyagent_ask *ask);

#endif
