#include "orchestrator/io/ssh_auth.h"

#include "orchestrator/io/ssh_keyagent.h"
#include "orchestrator/io/ssh_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ssh_auth_init(struct ssh_auth *a, const struct ssh_target *target, struct ssh_keyring *ring,
                   const bool *peer_gone, void (*wake)(void *arg), void *wake_arg)
{
    memset(a, 0, sizeof *a);
    a->target = target;
    a->ring = ring;
    a->peer_gone = peer_gone;
    a->wake = wake;
    a->wake_arg = wake_arg;
}

void ssh_auth_clear(struct ssh_auth *a)
{
    if (a->ask != NULL)
        ssh_keyagent_drop(a->ask);
    a->ask = NULL;
    for (unsigned i = 0; i < a->n_keys; i++)
        buf_clear(&a->keys[i].blob);
    a->n_keys = 0;
    buf_clear(&a->signature);
}

bool ssh_auth_waits_for_agent(const struct ssh_auth *a)
{
    return a->ask != NULL;
}

static void auth_add(struct ssh_auth *a, const void *blob, size_t len, const struct ssh_key *key)
{
    struct ssh_reader r = ssh_reader_over(blob, len);
    struct ssh_string type = ssh_read_string(&r);
    struct ssh_auth_key *k;
    char name[SSH_KEY_TYPE_MAX];

    (void)snprintf(name, sizeof name, "%.*s", (int)(type.len < sizeof name ? type.len : 0),
                   (const char *)type.data);
    if (r.bad || !ssh_key_type_usable(name)) {
        a->n_unusable++;
        return;
    }
    if (a->n_keys == SSH_AUTH_KEYS_MAX) {
        a->n_left_out++;
        return;
    }
    k = &a->keys[a->n_keys++];
    memset(k, 0, sizeof *k);
    memcpy(k->type, name, sizeof k->type);
    buf_add(&k->blob, blob, len);
    k->key = key;
}

/* ---- which keys ---- */

static void on_agent_list(void *arg, const uint8_t *answer, size_t len, const struct err *why)
{
    struct ssh_auth *a = arg;
    struct ssh_reader r = ssh_reader_over(answer, len);
    uint32_t n = why == NULL ? ssh_read_u32(&r) : 0;

    a->ask = NULL;
    a->listed = true;
    if (why != NULL)
        a->why = *why;
    for (uint32_t i = 0; i < n && !r.bad; i++) {
        struct ssh_string blob = ssh_read_string(&r);

        (void)ssh_read_string(&r); /* comment */
        if (!r.bad)
            auth_add(a, blob.data, blob.len, NULL);
    }
    a->wake(a->wake_arg);
}

static enum ssh_auth_result collect_from_agent(struct ssh_auth *a, struct ssh_keyagent *agent,
                                               struct err *err)
{
    if (a->ask != NULL)
        return SSH_AUTH_WAIT;
    if (!a->listed)
        return ssh_keyagent_list(agent, on_agent_list, a, &a->ask, err) == 0 ? SSH_AUTH_WAIT
                                                                             : SSH_AUTH_FAILED;
    if (a->why.code != ERR_OK) {
        *err = a->why;
        return SSH_AUTH_FAILED;
    }
    if (a->n_keys == 0) {
        (void)err_set(
            err, ERR_AUTH,
            "ssh-agent at %s holds no ed25519 or ecdsa key (%u of other types); add one with: ssh-add FILE",
            ssh_keyagent_path(agent), a->n_unusable);
        return SSH_AUTH_FAILED;
    }
    return SSH_AUTH_DONE;
}

static enum ssh_auth_result collect_from_file(struct ssh_auth *a, struct err *err)
{
    const struct ssh_key *key;
    const uint8_t *blob;
    size_t len;

    if (ssh_keyring_file(a->ring, a->target->key_file, &key, err) != 0)
        return SSH_AUTH_FAILED;
    blob = ssh_key_blob(key, &len);
    if (!ssh_key_signs(key) && ssh_keyring_agent(a->ring) == NULL) {
        (void)err_set(err, ERR_AUTH,
                      "%s is a public key and there is no ssh-agent to sign with: name the private key, or "
                      "set SSH_AUTH_SOCK",
                      a->target->key_file);
        return SSH_AUTH_FAILED;
    }
    auth_add(a, blob, len, ssh_key_signs(key) ? key : NULL);
    return SSH_AUTH_DONE;
}

enum ssh_auth_result ssh_auth_collect(struct ssh_auth *a, struct err *err)
{
    if (a->target->key_file != NULL)
        return collect_from_file(a, err);
    if (ssh_keyring_agent(a->ring) == NULL) {
        (void)err_set(err, ERR_AUTH, "no key for %s: name a key file in the inventory, or set SSH_AUTH_SOCK",
                      a->target->node);
        return SSH_AUTH_FAILED;
    }
    return collect_from_agent(a, ssh_keyring_agent(a->ring), err);
}

/* ---- signing ---- */

static void on_agent_signed(void *arg, const uint8_t *answer, size_t len, const struct err *why)
{
    struct ssh_auth *a = arg;
    struct ssh_reader r = ssh_reader_over(answer, len);
    struct ssh_string blob, type, signature;

    a->ask = NULL;
    a->signing = SSH_SIGN_FAILED;
    if (why != NULL) {
        a->why = *why;
    } else {
        blob = ssh_read_string(&r);
        r = ssh_reader_over(blob.data, blob.len);
        type = ssh_read_string(&r);
        signature = ssh_read_string(&r); /* libssh2 puts the type in front itself */
        if (r.bad || !ssh_string_is(type, a->keys[a->at].type)) {
            (void)err_set(&a->why, ERR_AUTH, "ssh-agent gave a signature of another type than the key");
        } else {
            buf_reset(&a->signature);
            buf_add(&a->signature, signature.data, signature.len);
            a->signing = SSH_SIGN_DONE;
        }
    }
    a->wake(a->wake_arg);
}

static int sign_begin(struct ssh_auth *a, const uint8_t *data, size_t len)
{
    const struct ssh_auth_key *k = &a->keys[a->at];

    buf_reset(&a->signature);
    if (k->key != NULL) {
        a->signing =
            ssh_key_sign(k->key, data, len, &a->signature, &a->why) == 0 ? SSH_SIGN_DONE : SSH_SIGN_FAILED;
        return 0;
    }
    a->signing = SSH_SIGN_ASKED;
    return ssh_keyagent_sign(ssh_keyring_agent(a->ring), k->blob.data, k->blob.len, data, len,
                             on_agent_signed, a, &a->ask, &a->why);
}

/* Called by libssh2 with the same data until it does not answer EAGAIN. */
static int on_sign(LIBSSH2_SESSION *lib, unsigned char **sig, size_t *sig_len, const unsigned char *data,
                   size_t data_len, void **abstract)
{
    struct ssh_auth *a = *abstract;

    (void)lib;
    if (a->signing == SSH_SIGN_IDLE && sign_begin(a, data, data_len) != 0)
        a->signing = SSH_SIGN_FAILED;
    if (a->signing == SSH_SIGN_ASKED)
        return LIBSSH2_ERROR_EAGAIN;
    if (a->signing == SSH_SIGN_FAILED || a->signature.failed || a->signature.len == 0)
        return -1;
    *sig = malloc(a->signature.len); /* freed by libssh2 */
    if (*sig == NULL)
        return -1;
    memcpy(*sig, a->signature.data, a->signature.len);
    *sig_len = a->signature.len;
    return 0;
}

static enum ssh_auth_result auth_refused(const struct ssh_auth *a, struct err *err)
{
    const char *from = a->target->key_file != NULL ? a->target->key_file : "ssh-agent";

    if (a->why.code != ERR_OK)
        *err = a->why;
    else
        (void)err_set(err, ERR_AUTH,
                      "user %s: the server accepted none of %u key(s) from %s%s; is the public key in the "
                      "account's authorized_keys?",
                      a->target->user, a->n_keys, from,
                      a->n_left_out > 0 ? " (more were left out: name one in the inventory)" : "");
    return SSH_AUTH_FAILED;
}

enum ssh_auth_result ssh_auth_step(struct ssh_auth *a, LIBSSH2_SESSION *lib, int *ret_rc, struct err *err)
{
    while (a->at < a->n_keys) {
        const struct ssh_auth_key *k = &a->keys[a->at];
        void *abstract = a;

        *ret_rc = libssh2_userauth_publickey(lib, a->target->user, (const unsigned char *)k->blob.data,
                                             k->blob.len, on_sign, &abstract);
        if (*ret_rc == LIBSSH2_ERROR_EAGAIN)
            return SSH_AUTH_WAIT;
        if (*ret_rc == 0)
            return SSH_AUTH_DONE;
        /* UNVERIFIED: the signature was refused, or none could be made, or the connection broke meanwhile. */
        if (*a->peer_gone ||
            (*ret_rc != LIBSSH2_ERROR_AUTHENTICATION_FAILED && *ret_rc != LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED))
            return SSH_AUTH_FAILED;
        a->signing = SSH_SIGN_IDLE;
        a->at++;
    }
    *ret_rc = LIBSSH2_ERROR_AUTHENTICATION_FAILED;
    return auth_refused(a, err);
}
