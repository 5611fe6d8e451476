/* Host keys: their text forms, comparing them, and asking a host for its key
 * without logging in. The store of pinned keys is elsewhere. */
#ifndef PATCHWAVE_SSH_HOSTKEYS_H
#define PATCHWAVE_SSH_HOSTKEYS_H

#include "schema/buf.h"
#include "schema/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSH_KEY_TYPE_MAX 40
#define SSH_KEY_BLOB_MAX 600
#define SSH_FINGERPRINT_MAX 52 /* "SHA256:" and 43 digits, with the NUL */

/* A public host key; a value, copied freely. A pin may know type and
 * fingerprint only (blob_len 0). */
struct ssh_hostkey {
    char type[SSH_KEY_TYPE_MAX]; /* "ssh-ed25519", "ecdsa-sha2-nistp256", ... */
    char fingerprint[SSH_FINGERPRINT_MAX];
    uint16_t blob_len;
    uint8_t blob[SSH_KEY_BLOB_MAX];
};

/* From the wire form. ERR_INVALID when it is not a key or over the bound;
 * *ret_key is then untouched. */
int ssh_hostkey_from_blob(const void *blob, size_t len, struct ssh_hostkey *ret_key, struct err *err);
/* From "TYPE BASE64[ comment]" as in known_hosts and .pub files, or
 * "TYPE SHA256:..." for a fingerprint alone. ERR_INVALID. */
int ssh_hostkey_parse(const char *text, struct ssh_hostkey *ret_key, struct err *err);
/* "TYPE BASE64" (or "TYPE SHA256:..." when only that is known). */
void ssh_hostkey_write(struct buf *out, const struct ssh_hostkey *key);
/* By blob where both have one, else by type and fingerprint. */
bool ssh_hostkey_same(const struct ssh_hostkey *a, const struct ssh_hostkey *b);
/* "SHA256:<base64 without padding>", as ssh-keygen -l prints it. */
void ssh_fingerprint(const void *blob, size_t len, char out[SSH_FINGERPRINT_MAX]);

/* What a host's key turned out to be. Three outcomes and no fourth. */
enum ssh_hostkey_verdict { SSH_HOSTKEY_MATCH, SSH_HOSTKEY_UNKNOWN, SSH_HOSTKEY_MISMATCH };
/* `pin` NULL: unknown. */
enum ssh_hostkey_verdict ssh_hostkey_check(const struct ssh_hostkey *pin, const struct ssh_hostkey *seen);

struct loop;
struct ssh_target;
struct ssh_scan;
/* Connect to the target, do the handshake (which proves that the host owns
 * the key), tell the key and hang up: no login is tried. The target's pin only steers
 * which type is asked for first; comparing is the caller's. `on_done` fires once,
 * later, with a key or with why not (CONNECT, TIMEOUT, PROTOCOL). It is for
 * single hosts and small sets: the caller bounds how many run at once. */
typedef void ssh_scan_fn(void *arg, const struct ssh_hostkey *key, const struct err *why);
int ssh_scan_start(struct loop *l, const struct ssh_target *target, ssh_scan_fn *on_done, void *arg,
                   struct ssh_scan **ret_scan, struct err *err);
/* Only before on_done; on_done will then not fire. */
void ssh_scan_cancel(struct ssh_scan *scan);

#endif
