/* bcrypt_pbkdf, the function that guards OpenSSH's encrypted private keys and
 * that OpenSSL lacks. */
#ifndef PATCHWAVE_SSH_BCRYPT_H
#define PATCHWAVE_SSH_BCRYPT_H

#include "schema/err.h"

#include <stddef.h>
#include <stdint.h>

/* Fill `out` (1 to 1024 bytes) from passphrase and salt. Takes about 10 ms per
 * round: it is meant to be slow. ERR_NOMEM, ERR_INVALID (empty passphrase or
 * salt, no rounds, length). */
int ssh_bcrypt_pbkdf(const void *pass, size_t pass_len, const void *salt, size_t salt_len, uint32_t rounds,
                     uint8_t *out, size_t out_len, struct err *err);

#endif
