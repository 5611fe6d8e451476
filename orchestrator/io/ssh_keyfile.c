#include "orchestrator/io/ssh_keyfile.h"

#include "orchestrator/io/ssh_bcrypt.h"
#include "orchestrator/io/ssh_wire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYFILE_MAX_BYTES 65536
#define PASSPHRASE_MAX 1024
#define BCRYPT_ROUNDS_MAX 4096

static const struct ssh_keytype keytypes[] = {
    { "ssh-ed25519", NULL, NULL, NULL },
    { "ecdsa-sha2-nistp256", "nistp256", "prime256v1", "SHA256" },
    { "ecdsa-sha2-nistp384", "nistp384", "secp384r1", "SHA384" },
    { "ecdsa-sha2-nistp521", "nistp521", "secp521r1", "SHA512" },
};
#define KEYTYPES (sizeof keytypes / sizeof keytypes[0])

const struct ssh_keytype *ssh_keytype_find(const char *name, size_t len)
{
    for (size_t i = 0; i < KEYTYPES; i++) {
        if (strlen(keytypes[i].name) == len && memcmp(keytypes[i].name, name, len) == 0)
            return &keytypes[i];
    }
    return NULL;
}

/* One load in progress. */
struct keyfile {
    const char *file;
    struct buf text; /* wiped at the end */
    ssh_passphrase_fn *ask;
    void *ask_arg;
    bool asked;
};

static int fail_type(const struct keyfile *f, const char *type, size_t len, struct err *err)
{
    if (len >= 3 && (strncmp(type, "ssh-rsa", len) == 0 || strncmp(type, "RSA", len) == 0))
        return err_set(
            err, ERR_AUTH,
            "key %s is an RSA key: servers since OpenSSH 8.8 refuse the only RSA signature libssh2 knows; "
            "make another with: ssh-keygen -t ed25519 -f FILE",
            f->file);
    return err_set(
        err, ERR_AUTH,
        "key %s has type %.*s, only ed25519 and ecdsa are supported; make one with: ssh-keygen -t ed25519",
        f->file, (int)len, type);
}

/* ---- OpenSSL keys from their parts ---- */

static int make_ed25519(struct ssh_key *key, struct ssh_string secret)
{
    if (secret.len != 64) /* seed, then the public half again */
        return -1;
    key->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret.data, 32);
    return key->pkey != NULL ? 0 : -1;
}

static int make_ecdsa(struct ssh_key *key, struct ssh_string point, struct ssh_string secret)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *d = BN_bin2bn(secret.data, (int)secret.len, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    int good = bld != NULL && d != NULL && ctx != NULL &&
               OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, key->type->group, 0) == 1 &&
               OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) == 1 &&
               OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1 &&
               (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
               EVP_PKEY_fromdata(ctx, &key->pkey, EVP_PKEY_KEYPAIR, params) == 1;

    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(d);
    EVP_PKEY_CTX_free(ctx);
    return good ? 0 : -1;
}

/* ---- OpenSSH's own format ---- */

struct openssh_cipher {
    const char *name;
    const char *evp; /* NULL: not encrypted */
    size_t key_bytes, iv_bytes;
};
static const struct openssh_cipher openssh_ciphers[] = {
    { "none", NULL, 0, 0 },
    { "aes256-ctr", "AES-256-CTR", 32, 16 },
    { "aes192-ctr", "AES-192-CTR", 24, 16 },
    { "aes128-ctr", "AES-128-CTR", 16, 16 },
    { "aes256-cbc", "AES-256-CBC", 32, 16 },
};

static const struct openssh_cipher *openssh_cipher_find(struct ssh_string name)
{
    for (size_t i = 0; i < sizeof openssh_ciphers / sizeof openssh_ciphers[0]; i++) {
        if (ssh_string_is(name, openssh_ciphers[i].name))
            return &openssh_ciphers[i];
    }
    return NULL;
}

static int ask_passphrase(struct keyfile *f, char out[PASSPHRASE_MAX], struct err *err)
{
    f->asked = true;
    if (f->ask != NULL && f->ask(f->ask_arg, f->file, out, PASSPHRASE_MAX) && *out != '\0')
        return 0;
    return err_set(err, ERR_AUTH,
                   "key %s is encrypted and there is no passphrase; load it into ssh-agent with: ssh-add %s",
                   f->file, f->file);
}

static int decrypt(const struct openssh_cipher *c, const uint8_t *key_iv, struct ssh_string in, uint8_t *out)
{
    EVP_CIPHER *evp = EVP_CIPHER_fetch(NULL, c->evp, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    int good = evp != NULL && ctx != NULL &&
               EVP_DecryptInit_ex2(ctx, evp, key_iv, key_iv + c->key_bytes, NULL) == 1 &&
               EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
               EVP_DecryptUpdate(ctx, out, &len, in.data, (int)in.len) == 1 && (size_t)len == in.len;

    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(evp);
    return good ? 0 : -1;
}

/* Decrypt the private section into `out` (as long as the section). */
static int open_section(struct keyfile *f, const struct openssh_cipher *c, struct ssh_string kdf_options,
                        struct ssh_string section, uint8_t *out, struct err *err)
{
    struct ssh_reader r = ssh_reader_over(kdf_options.data, kdf_options.len);
    struct ssh_string salt = ssh_read_string(&r);
    uint32_t rounds = ssh_read_u32(&r);
    char pass[PASSPHRASE_MAX];
    uint8_t key_iv[32 + 16];
    int rc;

    if (c->evp == NULL) {
        memcpy(out, section.data, section.len);
        return 0;
    }
    if (r.bad || rounds > BCRYPT_ROUNDS_MAX || section.len % 16 != 0)
        return err_set(err, ERR_INVALID, "key %s: bad encryption parameters", f->file);
    rc = ask_passphrase(f, pass, err);
    if (rc == 0)
        rc = ssh_bcrypt_pbkdf(pass, strlen(pass), salt.data, salt.len, rounds, key_iv,
                              c->key_bytes + c->iv_bytes, err);
    if (rc == 0 && decrypt(c, key_iv, section, out) != 0)
        rc = err_set(err, ERR_INVALID, "key %s: cannot decrypt", f->file);
    OPENSSL_cleanse(pass, sizeof pass);
    OPENSSL_cleanse(key_iv, sizeof key_iv);
    return rc;
}

/* The decrypted section: two equal check numbers, the type, its parts. */
static int read_section(const struct keyfile *f, const uint8_t *data, size_t len, struct ssh_key *key,
                        struct err *err)
{
    struct ssh_reader r = ssh_reader_over(data, len);
    uint32_t check = ssh_read_u32(&r);
    struct ssh_string type, first, second;
    int made;

    assert(key->type != NULL); /* read_blob_type() found it */
    if (ssh_read_u32(&r) != check || r.bad)
        return err_set(err, f->asked ? ERR_AUTH : ERR_INVALID, "key %s: %s", f->file,
                       f->asked ? "wrong passphrase" : "damaged");
    type = ssh_read_string(&r);
    if (!ssh_string_is(type, key->type->name))
        return err_set(err, ERR_INVALID, "key %s: its halves differ in type", f->file);
    if (key->type->curve != NULL)
        (void)ssh_read_string(&r); /* the curve again */
    first = ssh_read_string(&r);   /* the public half: key or point */
    second = ssh_read_string(&r);  /* the secret */
    made = r.bad ? -1 : key->type->curve == NULL ? make_ed25519(key, second) : make_ecdsa(key, first, second);
    return made == 0 ? 0 : err_set(err, ERR_INVALID, "key %s: damaged", f->file);
}

static int read_blob_type(const struct keyfile *f, struct ssh_string blob, struct ssh_key *key,
                          struct err *err)
{
    struct ssh_reader r = ssh_reader_over(blob.data, blob.len);
    struct ssh_string type = ssh_read_string(&r);

    if (r.bad)
        return err_set(err, ERR_INVALID, "key %s: damaged", f->file);
    key->type = ssh_keytype_find((const char *)type.data, type.len);
    if (key->type == NULL)
        return fail_type(f, (const char *)type.data, type.len, err);
    buf_add(&key->blob, blob.data, blob.len);
    return 0;
}

static int read_openssh(struct keyfile *f, const struct buf *raw, struct ssh_key *key, struct err *err)
{
    static const char magic[] = "openssh-key-v1"; /* with its NUL */
    struct ssh_reader r = ssh_reader_over(raw->data, raw->len);
    struct ssh_string cipher_name, kdf_options, blob, section;
    const struct openssh_cipher *cipher;
    uint8_t *plain;
    int rc;

    if (raw->len < sizeof magic || memcmp(raw->data, magic, sizeof magic) != 0)
        return err_set(err, ERR_INVALID, "key %s: damaged", f->file);
    r = ssh_reader_over(raw->data + sizeof magic, raw->len - sizeof magic);
    cipher_name = ssh_read_string(&r);
    (void)ssh_read_string(&r); /* key derivation: bcrypt wherever there is a cipher */
    kdf_options = ssh_read_string(&r);
    if (ssh_read_u32(&r) != 1)
        return err_set(err, ERR_INVALID, "key %s: holds not exactly one key", f->file);
    blob = ssh_read_string(&r);
    section = ssh_read_string(&r);
    if (r.bad || section.len == 0)
        return err_set(err, ERR_INVALID, "key %s: damaged", f->file);
    rc = read_blob_type(f, blob, key, err);
    if (rc != 0)
        return rc;
    cipher = openssh_cipher_find(cipher_name);
    if (cipher == NULL)
        return err_set(
            err, ERR_AUTH,
            "key %s is encrypted with %.*s, which is not supported; load it into ssh-agent with: ssh-add %s",
            f->file, (int)cipher_name.len, (const char *)cipher_name.data, f->file);
    plain = malloc(section.len);
    if (plain == NULL)
        return err_set(err, ERR_NOMEM, "load key %s", f->file);
    rc = open_section(f, cipher, kdf_options, section, plain, err);
    if (rc == 0)
        rc = read_section(f, plain, section.len, key, err);
    OPENSSL_cleanse(plain, section.len);
    free(plain);
    return rc;
}

/* ---- PEM, as OpenSSL reads it ---- */

static int on_pem_passphrase(char *out, int out_max, int writing, void *arg)
{
    struct keyfile *f = arg;

    (void)writing;
    f->asked = true;
    if (f->ask == NULL || out_max <= 0 || !f->ask(f->ask_arg, f->file, out, (size_t)out_max))
        return -1;
    return (int)strlen(out);
}

static const struct ssh_keytype *pem_type(EVP_PKEY *pkey)
{
    char group[64];
    size_t len;

    if (EVP_PKEY_is_a(pkey, "ED25519"))
        return &keytypes[0];
    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof group, &len) != 1)
        return NULL;
    for (size_t i = 1; i < KEYTYPES; i++) {
        if (strcmp(keytypes[i].group, group) == 0)
            return &keytypes[i];
    }
    return NULL;
}

static int pem_blob(struct ssh_key *key)
{
    uint8_t point[160];
    size_t len = sizeof point;
    int good;

    ssh_put_string(&key->blob, key->type->name, strlen(key->type->name));
    if (key->type->curve == NULL) {
        good = EVP_PKEY_get_raw_public_key(key->pkey, point, &len);
    } else {
        ssh_put_string(&key->blob, key->type->curve, strlen(key->type->curve));
        good = EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len);
    }
    ssh_put_string(&key->blob, point, len);
    return good == 1 ? 0 : -1;
}

static int read_pem(struct keyfile *f, struct ssh_key *key, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(f->text.data, (int)f->text.len);

    if (bio == NULL)
        return err_set(err, ERR_NOMEM, "load key %s", f->file);
    key->pkey = PEM_read_bio_PrivateKey(bio, NULL, on_pem_passphrase, f);
    BIO_free(bio);
    ERR_clear_error();
    if (key->pkey == NULL && f->asked)
        return err_set(
            err, ERR_AUTH,
            "key %s is encrypted: no passphrase, or a wrong one; load it into ssh-agent with: ssh-add %s",
            f->file, f->file);
    if (key->pkey == NULL)
        return err_set(err, ERR_INVALID, "key %s: not a private key", f->file);
    key->type = pem_type(key->pkey);
    if (key->type == NULL) {
        const char *name = EVP_PKEY_get0_type_name(key->pkey);
        return fail_type(f, name != NULL ? name : "unknown", name != NULL ? strlen(name) : 7, err);
    }
    return pem_blob(key) == 0 ? 0 : err_set(err, ERR_INVALID, "key %s: no public half", f->file);
}

/* ---- which format ---- */

static int read_public(struct keyfile *f, struct ssh_key *key, struct err *err)
{
    const char *at = strchr(buf_text(&f->text), ' ');
    struct buf raw = BUF_INIT;
    struct ssh_string blob;
    int rc;

    if (at == NULL || !base64_read(&raw, at + 1, strcspn(at + 1, " \r\n")) || raw.len == 0) {
        buf_clear(&raw);
        return err_set(err, ERR_INVALID, "key %s: neither a private nor a public key", f->file);
    }
    blob.data = (const uint8_t *)raw.data;
    blob.len = raw.len;
    rc = read_blob_type(f, blob, key, err);
    buf_clear(&raw);
    return rc;
}

static int read_any(struct keyfile *f, struct ssh_key *key, struct err *err)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    const char *text = buf_text(&f->text);
    const char *body = strstr(text, begin);
    const char *end = strstr(text, "-----END OPENSSH");
    struct buf raw = BUF_INIT;
    int rc;

    if (strstr(text, "-----BEGIN RSA PRIVATE KEY-----") != NULL)
        return fail_type(f, "RSA", 3, err);
    if (body == NULL)
        return strstr(text, "-----BEGIN") != NULL ? read_pem(f, key, err) : read_public(f, key, err);
    body += strlen(begin);
    if (end == NULL || !base64_read(&raw, body, (size_t)(end - body)))
        rc = err_set(err, ERR_INVALID, "key %s: damaged", f->file);
    else
        rc = read_openssh(f, &raw, key, err);
    if (raw.data != NULL)
        OPENSSL_cleanse(raw.data, raw.len);
    buf_clear(&raw);
    return rc;
}

static int read_file(struct keyfile *f, struct err *err)
{
    int fd = open(f->file, O_RDONLY | O_CLOEXEC);
    char chunk[4096];
    struct stat st;
    ssize_t n = -1;

    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open key %s: %s", f->file,
                       strerror(errno));
    if (fstat(fd, &st) == 0) {
        while ((n = read(fd, chunk, sizeof chunk)) > 0 && f->text.len < KEYFILE_MAX_BYTES)
            buf_add(&f->text, chunk, (size_t)n);
    }
    OPENSSL_cleanse(chunk, sizeof chunk);
    (void)close(fd);
    if (n < 0)
        return err_set(err, ERR_IO, "read key %s: %s", f->file, strerror(errno));
    if (n > 0 || f->text.len == 0 || f->text.failed)
        return err_set(err, ERR_INVALID, "key %s: empty, or too large for a key", f->file);
    if (strstr(f->text.data, "PRIVATE KEY") != NULL && (st.st_mode & 077) != 0)
        return err_set(err, ERR_AUTH, "key %s can be read by others (mode %04o): chmod 600 %s", f->file,
                       (unsigned)st.st_mode & 07777, f->file);
    return 0;
}

int ssh_key_load(const char *file, ssh_passphrase_fn *ask, void *ask_arg, struct ssh_key **ret_key,
                 struct err *err)
{
    struct keyfile f = { .file = file, .ask = ask, .ask_arg = ask_arg };
    struct ssh_key *key = calloc(1, sizeof *key);
    int rc;

    if (key == NULL)
        return err_set(err, ERR_NOMEM, "load key %s", file);
    rc = read_file(&f, err);
    if (rc == 0)
        rc = read_any(&f, key, err);
    if (rc == 0 && key->blob.failed)
        rc = err_set(err, ERR_NOMEM, "load key %s", file);
    if (f.text.data != NULL)
        OPENSSL_cleanse(f.text.data, f.text.len);
    buf_clear(&f.text);
    if (rc != 0) {
        ssh_key_free(key);
        return rc;
    }
    *ret_key = key;
    return 0;
}
