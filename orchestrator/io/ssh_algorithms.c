#include "orchestrator/io/ssh_algorithms.h"

#include "schema/buf.h"

#include <stdbool.h>
#include <string.h>

/* Key exchange: curve25519 takes 0.2 ms, nistp256 0.6 ms; group exchange and
 * group16 would stall a single-threaded loop for 18 to 32 ms per node, so they
 * are not offered at all; group14 is for servers that have nothing better. */
#define KEX                                                                                 \
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384," \
    "ecdh-sha2-nistp521,diffie-hellman-group14-sha256"
#define CIPHERS                                                                                          \
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr," \
    "aes256-ctr"
#define MACS "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"
#define HOSTKEYS \
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-256,rsa-sha2-512"

static const struct {
    int method;
    const char *names;
} preferences[] = {
    { LIBSSH2_METHOD_KEX, KEX },          { LIBSSH2_METHOD_HOSTKEY, HOSTKEYS },
    { LIBSSH2_METHOD_CRYPT_CS, CIPHERS }, { LIBSSH2_METHOD_CRYPT_SC, CIPHERS },
    { LIBSSH2_METHOD_MAC_CS, MACS },      { LIBSSH2_METHOD_MAC_SC, MACS },
};

static bool supports(const char *const *algorithms, int n, const char *name, size_t len)
{
    for (int i = 0; i < n; i++) {
        if (strlen(algorithms[i]) == len && memcmp(algorithms[i], name, len) == 0)
            return true;
    }
    return false;
}

static void add(struct buf *out, const char *const *algorithms, int n, const char *name, size_t len)
{
    if (!supports(algorithms, n, name, len))
        return;
    if (out->len > 0)
        buf_char(out, ',');
    buf_add(out, name, len);
}

/* Those of `names` that this libssh2 has, `first` (may be "") in front of all. */
static void select_names(struct buf *out, const char *const *algorithms, int n, const char *names,
                         const char *first)
{
    size_t first_len = strlen(first);

    add(out, algorithms, n, first, first_len);
    for (const char *at = names; *at != '\0';) {
        size_t len = strcspn(at, ",");

        if (len != first_len || memcmp(at, first, len) != 0)
            add(out, algorithms, n, at, len);
        at += at[len] == ',' ? len + 1 : len;
    }
}

static int prefer(LIBSSH2_SESSION *lib, int method, const char *names, const char *first, struct err *err)
{
    const char **algorithms = NULL;
    int n = libssh2_session_supported_algs(lib, method, &algorithms);
    struct buf selected = BUF_INIT;
    int rc = 0;

    if (n > 0)
        select_names(&selected, algorithms, n, names, first);
    libssh2_free(lib, algorithms);
    if (n <= 0 || selected.len == 0 || libssh2_session_method_pref(lib, method, selected.data) != 0)
        rc = err_set(err, ERR_PROTOCOL, "this libssh2 (%s) has none of: %s", libssh2_version(0), names);
    buf_clear(&selected);
    return rc;
}

int ssh_algorithms_prefer(LIBSSH2_SESSION *lib, const struct ssh_hostkey *pin, struct err *err)
{
    for (size_t i = 0; i < sizeof preferences / sizeof preferences[0]; i++) {
        bool hostkey = preferences[i].method == LIBSSH2_METHOD_HOSTKEY;
        int rc = prefer(lib, preferences[i].method, preferences[i].names,
                        hostkey && pin != NULL ? pin->type : "", err);

        if (rc != 0)
            return rc;
    }
    return 0;
}
