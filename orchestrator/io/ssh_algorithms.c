#include "orchestrator/io/ssh_algorithms.h"

#include "schema/buf.h"

#include <string.h>

/* Key exchange: curve25519 takes 0.2 ms, nistp256 0.6 ms; group exchange and
 * group16 would stall a single-threaded loop for 18 to 32 ms per node, so they
 * are not offered at all; group14 is for servers that have nothing better. */
static const struct {
    int method;
    const char *names;
} preferences[] = {
    { LIBSSH2_METHOD_KEX,
      "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
      "ecdh-sha2-nistp521,diffie-hellman-group14-sha256" },
    { LIBSSH2_METHOD_CRYPT_CS,
      "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,"
      "aes192-ctr,aes256-ctr" },
    { LIBSSH2_METHOD_CRYPT_SC,
      "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,"
      "aes192-ctr,aes256-ctr" },
    { LIBSSH2_METHOD_MAC_CS,
      "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512" },
    { LIBSSH2_METHOD_MAC_SC,
      "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512" },
    { LIBSSH2_METHOD_COMP_CS, "none" },
    { LIBSSH2_METHOD_COMP_SC, "none" },
};

static const char *const hostkey_types[] = { "ssh-ed25519",         "ecdsa-sha2-nistp256",
                                             "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                                             "rsa-sha2-256",        "rsa-sha2-512" };

static int prefer(LIBSSH2_SESSION *lib, int method, const char *names, struct err *err)
{
    if (libssh2_session_method_pref(lib, method, names) == 0)
        return 0;
    return err_set(err, ERR_PROTOCOL, "this libssh2 (%s) has none of: %s", libssh2_version(0), names);
}

int ssh_algorithms_prefer(LIBSSH2_SESSION *lib, const struct ssh_hostkey *pin, struct err *err)
{
    struct buf names = BUF_INIT;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof preferences / sizeof preferences[0]; i++)
        rc = prefer(lib, preferences[i].method, preferences[i].names, err);
    if (pin != NULL)
        buf_str(&names, pin->type);
    for (size_t i = 0; i < sizeof hostkey_types / sizeof hostkey_types[0]; i++) {
        if (pin == NULL || strcmp(pin->type, hostkey_types[i]) != 0)
            buf_printf(&names, "%s%s", names.len > 0 ? "," : "", hostkey_types[i]);
    }
    if (rc == 0)
        rc = names.failed ? err_set(err, ERR_NOMEM, "algorithms")
                          : prefer(lib, LIBSSH2_METHOD_HOSTKEY, buf_text(&names), err);
    buf_clear(&names);
    return rc;
}
