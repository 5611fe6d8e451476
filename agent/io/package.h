/* Packages on this node. The store (`packages/SHA256/NAME` under the state
 * folder) is filled by `receive` as the SSH account; what fetch_package brings
 * comes into a folder of its own that is closed to that account, and is moved
 * when its digest is right. What is executed is a copy
 * in `private`, which only the service can write, hashed again right before
 * (O9, I15). All functions block: call them off the loop. */
#ifndef PATCHWAVE_PACKAGE_H
#define PATCHWAVE_PACKAGE_H

#include "schema/err.h"
#include "schema/sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define PACKAGE_PATH_MAX 2048
#define PACKAGE_NAME_MAX 160
#define PACKAGE_FETCHED "fetched" /* the folder in the state folder that fetch_package fills */

/* A file name without any path in it, and 64 hex digits. */
bool package_name_ok(const char *name);
bool package_digest_ok(const char *sha256);

/* Where in the store; makes the folders. ERR_INVALID, ERR_IO. */
int package_store_path(const char *state_dir, const char *sha256, const char *name,
                       char out[PACKAGE_PATH_MAX], struct err *err);
/* Is there room in `folder` for a package of which `held_bytes` are there already: three times its size free (O32),
 * for the private copy and what servicing unpacks? ERR_FULL, ERR_INVALID (no size of a package), ERR_IO. */
int package_check_room(const char *folder, int64_t size_bytes, int64_t held_bytes, struct err *err);
/* Add a whole file to `*state`. */
int package_hash_file(const char *path, struct sha256 *state, int64_t *ret_bytes, struct err *err);

/* Has the file this digest? ERR_CORRUPT, ERR_NOT_FOUND, ERR_IO. */
int package_check(const char *path, const char *sha256, struct err *err);

/* The private copy's path, in the folder of the package `with` (itself, or the
 * target beside which it is a checkpoint package); made from the store when
 * absent or altered. ERR_NOT_FOUND (not staged), ERR_CORRUPT (another digest),
 * ERR_FULL, ERR_IO. */
int package_open(const char *state_dir, const char *with, const char *sha256, const char *name,
                 char out[PACKAGE_PATH_MAX], struct err *err);
/* Where fetch_package is to put it, and room for it unless it is there (package_check_room()). */
int package_place(const char *state_dir, const char *sha256, const char *name, int64_t size_bytes,
                  char out[PACKAGE_PATH_MAX], struct err *err);
/* Is it in the store, with its digest? ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO; what is there is left as it is. */
int package_held(const char *state_dir, const char *sha256, const char *name, char out[PACKAGE_PATH_MAX],
                 struct err *err);
/* Move what fetch_package brought into the store, if its digest is right; with nothing brought, package_held(). What has another digest is
 * removed. */
int package_adopt(const char *state_dir, const char *sha256, const char *name, char out[PACKAGE_PATH_MAX],
                  struct err *err);

#endif
