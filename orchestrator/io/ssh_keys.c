#include "orchestrator/io/ssh_keys.h"

#include "orchestrator/io/ssh_keyagent.h"
#include "orchestrator/io/ssh_keyfile.h"
#include "orchestrator/io/ssh_wire.h"

#include <stdlib.h>
#include <string.h>

bool ssh_key_type_usable(const char *type)
{
    return ssh_keytype_find(type, strlen(type)) != NULL;
}

const uint8_t *ssh_key_blob(const struct ssh_key *key, size_t *ret_len)
{
    *ret_len = key->blob.len;
    return (const uint8_t *)key->blob.data;
}

const char *ssh_key_type(const struct ssh_key *key)
{
    return key->type->name;
}

bool ssh_key_signs(const struct ssh_key *key)
{
    return key->pkey != NULL;
}

void ssh_key_free(struct ssh_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    buf_clear(&key->blob);
    free(key);
}

static void put_bignum(struct buf *out, const BIGNUM *n)
{
    uint8_t bytes[72];
    int len = BN_num_bytes(n);

    if (len <= (int)sizeof bytes && BN_bn2bin(n, bytes) == len)
        ssh_put_mpint(out, bytes, (size_t)len);
}

/* OpenSSL gives DER; SSH wants r and s as two mpints. */
static int put_ecdsa(struct buf *out, const uint8_t *der, size_t len)
{
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);

    if (sig == NULL)
        return -1;
    put_bignum(out, ECDSA_SIG_get0_r(sig));
    put_bignum(out, ECDSA_SIG_get0_s(sig));
    ECDSA_SIG_free(sig);
    return 0;
}

int ssh_key_sign(const struct ssh_key *key, const void *data, size_t len, struct buf *out, struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = key->type->digest != NULL ? EVP_get_digestbyname(key->type->digest) : NULL;
    uint8_t sig[256];
    size_t sig_len = sizeof sig;
    int good = ctx != NULL && key->pkey != NULL && EVP_DigestSignInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
               EVP_DigestSign(ctx, sig, &sig_len, data, len) == 1;

    EVP_MD_CTX_free(ctx);
    if (good && key->type->curve == NULL)
        buf_add(out, sig, sig_len);
    else if (good)
        good = put_ecdsa(out, sig, sig_len) == 0;
    if (!good)
        return err_set(err, ERR_AUTH, "sign with %s key: OpenSSL refused", key->type->name);
    return out->failed ? err_set(err, ERR_NOMEM, "sign") : 0;
}

/* ---- the ring ---- */

struct ring_entry {
    struct ring_entry *next;
    char *file;
    struct ssh_key *key;
};

struct ssh_keyring {
    struct ssh_keyring_config config;
    struct ring_entry *entries;
    struct ssh_keyagent *agent;
};

int ssh_keyring_new(const struct ssh_keyring_config *config, struct ssh_keyring **ret_ring, struct err *err)
{
    struct ssh_keyring *ring = calloc(1, sizeof *ring);
    const char *path = config->agent_socket != NULL ? config->agent_socket : getenv("SSH_AUTH_SOCK");

    if (ring == NULL)
        return err_set(err, ERR_NOMEM, "make keyring");
    ring->config = *config;
    if (path != NULL && *path != '\0' && ssh_keyagent_new(config->loop, path, &ring->agent, err) != 0) {
        free(ring);
        return err_wrap(err, "make keyring");
    }
    *ret_ring = ring;
    return 0;
}

void ssh_keyring_free(struct ssh_keyring *ring)
{
    if (ring == NULL)
        return;
    while (ring->entries != NULL) {
        struct ring_entry *e = ring->entries;

        ring->entries = e->next;
        ssh_key_free(e->key);
        free(e->file);
        free(e);
    }
    ssh_keyagent_close(ring->agent);
    free(ring);
}

int ssh_keyring_file(struct ssh_keyring *ring, const char *file, const struct ssh_key **ret_key,
                     struct err *err)
{
    struct ring_entry *e;
    int rc;

    for (e = ring->entries; e != NULL; e = e->next) {
        if (strcmp(e->file, file) == 0) {
            *ret_key = e->key;
            return 0;
        }
    }
    e = calloc(1, sizeof *e);
    if (e == NULL || (e->file = strdup(file)) == NULL) {
        free(e);
        return err_set(err, ERR_NOMEM, "load key %s", file);
    }
    rc = ssh_key_load(file, ring->config.ask, ring->config.ask_arg, &e->key, err);
    if (rc != 0) {
        free(e->file);
        free(e);
        return rc;
    }
    e->next = ring->entries;
    ring->entries = e;
    *ret_key = e->key;
    return 0;
}

struct ssh_keyagent *ssh_keyring_agent(struct ssh_keyring *ring)
{
    return ring->agent;
}
