#include "agent/io/package.h"

#include "agent/io/os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 65536
#define FREE_TIMES 3 /* O32 */
#define SIZE_MAX_BYTES ((int64_t)1 << 40)

bool package_name_ok(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+()~";
    size_t len = strlen(name);

    return len > 0 && len < PACKAGE_NAME_MAX && strspn(name, plain) == len && name[0] != '.';
}

bool package_digest_ok(const char *sha256)
{
    return strlen(sha256) == 2 * SHA256_BYTES && strspn(sha256, "0123456789abcdef") == 2 * SHA256_BYTES;
}

static int place(const char *state_dir, const char *folder, bool shared, const char *sha256, const char *name,
                 const char *suffix, char out[PACKAGE_PATH_MAX], struct err *err)
{
    int (*make)(const char *, struct err *) = shared ? os_sub_dir : os_private_dir;
    int n, rc;

    if (!package_name_ok(name) || !package_digest_ok(sha256))
        return err_set(err, ERR_INVALID, "a package is named by a plain file name and its SHA-256");
    n = snprintf(out, PACKAGE_PATH_MAX, "%s/%s", state_dir, folder);
    if (n < 0 || n + 2 * PACKAGE_NAME_MAX + 2 * SHA256_BYTES > PACKAGE_PATH_MAX)
        return err_set(err, ERR_INVALID, "path too long: %s", state_dir);
    rc = make(out, err);
    snprintf(out + n, (size_t)(PACKAGE_PATH_MAX - n), "/%s", sha256);
    if (rc == 0)
        rc = make(out, err);
    n = (int)strlen(out);
    snprintf(out + n, (size_t)(PACKAGE_PATH_MAX - n), "/%s%s", name, suffix);
    return rc;
}

int package_store_path(const char *state_dir, const char *sha256, const char *name,
                       char out[PACKAGE_PATH_MAX], struct err *err)
{
    return place(state_dir, "packages", true, sha256, name, "", out, err);
}

static double mib(int64_t bytes)
{
    return (double)bytes / 1048576;
}

int package_check_room(const char *folder, int64_t size_bytes, int64_t held_bytes, struct err *err)
{
    int64_t avail = 0;
    int rc;

    if (size_bytes < 0 || size_bytes > SIZE_MAX_BYTES)
        return err_set(err, ERR_INVALID, "a package of %lld bytes", (long long)size_bytes);
    rc = os_free_bytes(folder, &avail, err);
    if (rc == 0 && avail + held_bytes < FREE_TIMES * size_bytes)
        rc = err_set(
            err, ERR_FULL,
            "too little room in %s: %.1f MiB are free, %.1f MiB are wanted, three times the package (O32)",
            folder, mib(avail), mib(FREE_TIMES * size_bytes - held_bytes));
    return rc;
}

int package_place(const char *state_dir, const char *sha256, const char *name, int64_t size_bytes,
                  char out[PACKAGE_PATH_MAX], struct err *err)
{
    char folder[PACKAGE_PATH_MAX];
    int rc = place(state_dir, PACKAGE_FETCHED, false, sha256, name, "", out, err);

    if (rc != 0 || os_exists(out))
        return rc;
    snprintf(folder, sizeof folder, "%s", out);
    *strrchr(folder, '/') = '\0';
    return package_check_room(folder, size_bytes, 0, err);
}

static int open_file(const char *path, const char *mode, FILE **ret, struct err *err)
{
    *ret = fopen(path, mode);
    if (*ret != NULL)
        return 0;
    return err_set(err,
                   errno == ENOENT   ? ERR_NOT_FOUND
                   : errno == ENOSPC ? ERR_FULL
                                     : ERR_IO,
                   "open %s: %s", path, strerror(errno));
}

/* Read all of `from` into the hash, and into `to` if there is one. */
static int pump(FILE *from, FILE *to, struct sha256 *state, int64_t *ret_bytes, struct err *err)
{
    uint8_t *block = malloc(BLOCK_BYTES);
    size_t n;
    int rc = 0;

    if (block == NULL)
        return err_set(err, ERR_NOMEM, "package");
    while (rc == 0 && (n = fread(block, 1, BLOCK_BYTES, from)) > 0) {
        sha256_add(state, block, n);
        *ret_bytes += (int64_t)n;
        if (to != NULL && fwrite(block, 1, n, to) != n)
            rc = err_set(err, errno == ENOSPC ? ERR_FULL : ERR_IO, "write package: %s", strerror(errno));
    }
    if (rc == 0 && ferror(from))
        rc = err_set(err, ERR_IO, "read package: %s", strerror(errno));
    free(block);
    return rc;
}

int package_hash_file(const char *path, struct sha256 *state, int64_t *ret_bytes, struct err *err)
{
    FILE *f = NULL;
    int rc = open_file(path, "rb", &f, err);

    *ret_bytes = 0;
    if (rc != 0)
        return rc;
    rc = pump(f, NULL, state, ret_bytes, err);
    fclose(f);
    return rc;
}

int package_check(const char *path, const char *sha256, struct err *err)
{
    struct sha256 state;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_TEXT];
    int64_t bytes;
    int rc;

    sha256_init(&state);
    rc = package_hash_file(path, &state, &bytes, err);
    if (rc != 0)
        return rc;
    sha256_end(&state, digest);
    if (strcmp(sha256_hex(digest, hex), sha256) != 0)
        return err_set(err, ERR_CORRUPT, "%s has digest %s, approved is %s", path, hex, sha256);
    return 0;
}

static int finish_copy(FILE *to, const char *part, const char *path, struct err *err)
{
    int rc = 0;

    if (fflush(to) != 0)
        rc = err_set(err, errno == ENOSPC ? ERR_FULL : ERR_IO, "write %s: %s", part, strerror(errno));
    if (rc == 0)
        rc = os_sync_stream(to, err);
    if (fclose(to) != 0 && rc == 0)
        rc = err_set(err, ERR_IO, "write %s: %s", part, strerror(errno));
    return rc == 0 ? os_rename(part, path, err) : rc;
}

static int copy_file(const char *from_path, const char *part, const char *path, struct err *err)
{
    FILE *from = NULL, *to = NULL;
    struct sha256 state;
    int64_t bytes = 0;
    int rc = open_file(from_path, "rb", &from, err);

    if (rc != 0)
        return rc == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND, "the package is not on this node: stage it first")
                   : rc;
    rc = open_file(part, "wb", &to, err);
    if (rc == 0) {
        sha256_init(&state);
        rc = pump(from, to, &state, &bytes, err);
        if (rc == 0)
            rc = finish_copy(to, part, path, err);
        else
            fclose(to);
    }
    fclose(from);
    if (rc != 0)
        os_remove(part);
    return rc;
}

int package_open(const char *state_dir, const char *with, const char *sha256, const char *name,
                 char out[PACKAGE_PATH_MAX], struct err *err)
{
    char store[PACKAGE_PATH_MAX], part[PACKAGE_PATH_MAX];
    struct err own = { 0 };
    int rc = place(state_dir, "private", false, with, name, "", out, err);

    if (rc == 0)
        rc = place(state_dir, "private", false, with, name, ".part", part, err);
    if (rc == 0)
        rc = package_store_path(state_dir, sha256, name, store, err);
    if (rc != 0)
        return rc;
    if (os_exists(out) && package_check(out, sha256, &own) == 0)
        return 0;
    rc = copy_file(store, part, out, err);
    if (rc == 0)
        rc = package_check(out, sha256, err); /* the copy itself, not what was read for it */
    if (rc != 0)
        os_remove(out);
    return rc;
}

int package_held(const char *state_dir, const char *sha256, const char *name, char out[PACKAGE_PATH_MAX],
                 struct err *err)
{
    int rc = package_store_path(state_dir, sha256, name, out, err);

    return rc != 0 ? rc : package_check(out, sha256, err);
}

static int settle(const char *from, const char *to, struct err *err)
{
    char folder[PACKAGE_PATH_MAX];
    int rc = os_rename(from, to, err);

    snprintf(folder, sizeof folder, "%s", to);
    *strrchr(folder, '/') = '\0';
    return rc != 0 ? rc : os_sync_dir(folder, err);
}

/* What is not the package is no use there, and in the way of the next try. */
static int check_or_remove(const char *path, const char *sha256, struct err *err)
{
    int rc = package_check(path, sha256, err);

    if (rc == ERR_CORRUPT)
        os_remove(path);
    return rc;
}

int package_adopt(const char *state_dir, const char *sha256, const char *name, char out[PACKAGE_PATH_MAX],
                  struct err *err)
{
    char brought[PACKAGE_PATH_MAX];
    int rc = place(state_dir, PACKAGE_FETCHED, false, sha256, name, "", brought, err);

    if (rc == 0)
        rc = package_store_path(state_dir, sha256, name, out, err);
    if (rc != 0)
        return rc;
    if (!os_exists(brought))
        return check_or_remove(out, sha256, err);
    rc = check_or_remove(brought, sha256, err);
    return rc != 0 ? rc : settle(brought, out, err);
}
