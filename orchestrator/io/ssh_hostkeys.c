#include "orchestrator/io/ssh_hostkeys.h"

#include "orchestrator/io/ssh_session.h"
#include "orchestrator/io/ssh_target.h"
#include "orchestrator/io/ssh_wire.h"
#include "schema/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ssh_fingerprint(const void *blob, size_t len, char out[SSH_FINGERPRINT_MAX])
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;
    struct buf text = BUF_INIT;

    sha256_init(&s);
    sha256_add(&s, blob, len);
    sha256_end(&s, digest);
    base64_put(&text, digest, sizeof digest, false);
    (void)snprintf(out, SSH_FINGERPRINT_MAX, "SHA256:%s", buf_text(&text));
    buf_clear(&text);
}

int ssh_hostkey_from_blob(const void *blob, size_t len, struct ssh_hostkey *ret_key, struct err *err)
{
    struct ssh_reader r = ssh_reader_over(blob, len);
    struct ssh_string type = ssh_read_string(&r);

    if (r.bad || type.len == 0 || type.len >= SSH_KEY_TYPE_MAX || memchr(type.data, '\0', type.len) != NULL)
        return err_set(err, ERR_INVALID, "host key: not a public key");
    if (len > SSH_KEY_BLOB_MAX)
        return err_set(err, ERR_INVALID, "host key: %zu bytes is more than %d", len, SSH_KEY_BLOB_MAX);
    memset(ret_key, 0, sizeof *ret_key);
    memcpy(ret_key->type, type.data, type.len);
    memcpy(ret_key->blob, blob, len);
    ret_key->blob_len = (uint16_t)len;
    ssh_fingerprint(blob, len, ret_key->fingerprint);
    return 0;
}

static int parse_fingerprint(const char *type, size_t type_len, const char *text, struct ssh_hostkey *ret_key,
                             struct err *err)
{
    size_t len = strcspn(text, " \t\r\n");

    if (len != strlen("SHA256:") + 43)
        return err_set(err, ERR_INVALID, "host key: a SHA256 fingerprint has 43 digits");
    memset(ret_key, 0, sizeof *ret_key);
    memcpy(ret_key->type, type, type_len);
    memcpy(ret_key->fingerprint, text, len);
    return 0;
}

int ssh_hostkey_parse(const char *text, struct ssh_hostkey *ret_key, struct err *err)
{
    size_t type_len = strcspn(text, " \t");
    const char *rest = text + type_len + strspn(text + type_len, " \t");
    struct buf blob = BUF_INIT;
    int rc;

    if (type_len == 0 || type_len >= SSH_KEY_TYPE_MAX || *rest == '\0')
        return err_set(err, ERR_INVALID, "host key: expected \"TYPE BASE64\" or \"TYPE SHA256:...\"");
    if (strncmp(rest, "SHA256:", 7) == 0)
        return parse_fingerprint(text, type_len, rest, ret_key, err);
    if (!base64_read(&blob, rest, strcspn(rest, " \t\r\n")) || blob.failed || blob.len == 0)
        rc = err_set(err, ERR_INVALID, "host key: not base64");
    else
        rc = ssh_hostkey_from_blob(blob.data, blob.len, ret_key, err);
    buf_clear(&blob);
    if (rc == 0 && (strlen(ret_key->type) != type_len || strncmp(ret_key->type, text, type_len) != 0))
        rc = err_set(err, ERR_INVALID, "host key: text says %.*s, key says %s", (int)type_len, text,
                     ret_key->type);
    return rc;
}

void ssh_hostkey_write(struct buf *out, const struct ssh_hostkey *key)
{
    buf_str(out, key->type);
    buf_char(out, ' ');
    if (key->blob_len > 0)
        base64_put(out, key->blob, key->blob_len, true);
    else
        buf_str(out, key->fingerprint);
}

bool ssh_hostkey_same(const struct ssh_hostkey *a, const struct ssh_hostkey *b)
{
    if (a->blob_len > 0 && b->blob_len > 0)
        return a->blob_len == b->blob_len && memcmp(a->blob, b->blob, a->blob_len) == 0;
    return strcmp(a->type, b->type) == 0 && strcmp(a->fingerprint, b->fingerprint) == 0;
}

enum ssh_hostkey_verdict ssh_hostkey_check(const struct ssh_hostkey *pin, const struct ssh_hostkey *seen)
{
    if (pin == NULL)
        return SSH_HOSTKEY_UNKNOWN;
    return ssh_hostkey_same(pin, seen) ? SSH_HOSTKEY_MATCH : SSH_HOSTKEY_MISMATCH;
}

struct ssh_scan {
    struct ssh_session *session;
    ssh_scan_fn *on_done;
    void *arg;
};

static void on_scanned(void *arg, const struct err *why)
{
    struct ssh_scan *scan = arg;
    struct ssh_hostkey key;
    const struct ssh_hostkey *seen = ssh_session_hostkey(scan->session);
    ssh_scan_fn *on_done = scan->on_done;
    void *on_done_arg = scan->arg;

    if (seen != NULL)
        key = *seen;
    free(scan);
    on_done(on_done_arg, seen != NULL ? &key : NULL, seen != NULL ? NULL : why);
}

int ssh_scan_start(struct loop *l, const struct ssh_target *target, ssh_scan_fn *on_done, void *arg,
                   struct ssh_scan **ret_scan, struct err *err)
{
    struct ssh_scan *scan = calloc(1, sizeof *scan);
    struct ssh_session_config config = {
        .loop = l, .target = target, .scan = true, .on_end = on_scanned, .arg = scan
    };
    int rc;

    if (scan == NULL)
        return err_set(err, ERR_NOMEM, "scan host key of %s", target->node);
    scan->on_done = on_done;
    scan->arg = arg;
    rc = ssh_session_open(&config, &scan->session, err);
    if (rc != 0) {
        free(scan);
        return err_wrap(err, "scan host key of %s", target->node);
    }
    *ret_scan = scan;
    return 0;
}

void ssh_scan_cancel(struct ssh_scan *scan)
{
    ssh_session_close(scan->session);
    free(scan);
}
