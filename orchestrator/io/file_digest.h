/* The SHA-256 of a file's bytes. */
#ifndef PATCHWAVE_FILE_DIGEST_H
#define PATCHWAVE_FILE_DIGEST_H

#include "schema/err.h"
#include "schema/sha256.h"

#include <stdint.h>

/* ERR_NOT_FOUND, ERR_INVALID (a folder, unreadable). */
int file_digest(const char *path, char out[SHA256_TEXT], uint64_t *ret_bytes, struct err *err);

#endif
