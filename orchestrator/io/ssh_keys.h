/* User keys: reading private key files, signing with them, and the keyring
 * that all sessions share. A file is read and decrypted once; an encrypted
 * one would else cost a fifth of a second per node. ed25519 and ecdsa only. */
#ifndef PATCHWAVE_SSH_KEYS_H
#define PATCHWAVE_SSH_KEYS_H

#include "schema/buf.h"
#include "schema/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssh_key;

/* Asked for the passphrase of an encrypted key file, on the loop's thread.
 * Writes it NUL-terminated into out; false: there is none. */
typedef bool ssh_passphrase_fn(void *arg, const char *file, char *out, size_t out_max);

/* Read OpenSSH's own format (plain or encrypted), PEM, or a public key file. `ask` may
 * be NULL. Errors carry the remedy: ERR_AUTH (RSA, wrong or no passphrase, others
 * may read the file), ERR_NOT_FOUND, ERR_IO, ERR_INVALID. The caller ends it with
 * ssh_key_free(), which wipes it. */
int ssh_key_load(const char *file, ssh_passphrase_fn *ask, void *ask_arg, struct ssh_key **ret_key,
                 struct err *err);
void ssh_key_free(struct ssh_key *key);
/* The public half in wire form, owned by the key. */
const uint8_t *ssh_key_blob(const struct ssh_key *key, size_t *ret_len);
/* "ssh-ed25519", ... */
const char *ssh_key_type(const struct ssh_key *key);
/* False: only the public half is here. */
bool ssh_key_signs(const struct ssh_key *key);
/* Append the signature (without the type in front, as libssh2 wants it). */
int ssh_key_sign(const struct ssh_key *key, const void *data, size_t len, struct buf *out, struct err *err);
/* True for a type that we can log in with. */
bool ssh_key_type_usable(const char *type);

struct loop;
struct ssh_keyagent;
struct ssh_keyring;
struct ssh_keyring_config {
    struct loop *loop;
    const char *agent_socket; /* NULL: $SSH_AUTH_SOCK; "": no ssh-agent */
    ssh_passphrase_fn *ask;   /* may be NULL */
    void *ask_arg;
};
/* ERR_NOMEM. End it with ssh_keyring_free() after all sessions have ended. */
int ssh_keyring_new(const struct ssh_keyring_config *config, struct ssh_keyring **ret_ring, struct err *err);
void ssh_keyring_free(struct ssh_keyring *ring);
/* The key of that file, loaded at its first use; owned by the ring. A failure
 * is not remembered: the file may be repaired while we run. */
int ssh_keyring_file(struct ssh_keyring *ring, const char *file, const struct ssh_key **ret_key,
                     struct err *err);
/* The connection to ssh-agent, or NULL when there is none. */
struct ssh_keyagent *ssh_keyring_agent(struct ssh_keyring *ring);

#endif
