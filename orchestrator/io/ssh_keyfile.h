/* The inside of a key and its file formats, shared by ssh_keys.c and
 * ssh_keyfile.c only. */
#ifndef PATCHWAVE_SSH_KEYFILE_H
#define PATCHWAVE_SSH_KEYFILE_H

#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_openssl.h"

struct ssh_keytype {
    const char *name;   /* on the wire */
    const char *curve;  /* its name in a key blob; NULL: ed25519 */
    const char *group;  /* the curve's name in OpenSSL */
    const char *digest; /* signed over; NULL: the key type has its own */
};

struct ssh_key {
    const struct ssh_keytype *type;
    EVP_PKEY *pkey; /* NULL: public half only */
    struct buf blob;
};

/* The row of a usable type, or NULL. */
const struct ssh_keytype *ssh_keytype_find(const char *name, size_t len);

#endif
