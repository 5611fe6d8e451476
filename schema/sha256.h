/* SHA-256 (FIPS 180-4), here because core hashes plans and chains the log and
 * may link no crypto library. */
#ifndef PATCHWAVE_SHA256_H
#define PATCHWAVE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_TEXT 65 /* lower-case hex with the NUL */

struct sha256 {
    uint32_t h[8];
    uint64_t len;
    uint8_t block[64];
    uint32_t used;
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_end(struct sha256 *s, uint8_t out[SHA256_BYTES]);
const char *sha256_hex(const uint8_t digest[SHA256_BYTES], char out[SHA256_TEXT]);
/* All in one. */
const char *sha256_text(const void *data, size_t len, char out[SHA256_TEXT]);

#endif
