#include "agent/io/receive.h"

#include "agent/io/os.h"
#include "agent/io/package.h"
#include "schema/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES 4096
#define BLOCK_BYTES 65536

struct receive {
    FILE *in, *out;
    char name[PACKAGE_NAME_MAX], sha256[SHA256_TEXT];
    int64_t size_bytes, held_bytes;
    char path[PACKAGE_PATH_MAX], part[PACKAGE_PATH_MAX + 8], folder[PACKAGE_PATH_MAX];
    struct sha256 state;
    struct os_lock lock;
};

static int read_line(FILE *in, struct buf *line, struct err *err)
{
    int c;

    while ((c = fgetc(in)) != EOF && c != '\n' && line->len < REQUEST_BYTES)
        buf_char(line, (char)c);
    if (c != '\n' || line->failed)
        return err_set(err, ERR_PROTOCOL, "the request must be one line of at most %d bytes", REQUEST_BYTES);
    return 0;
}

static int read_members(struct receive *r, const struct json_doc *d, struct err *err)
{
    static const char *const known[] = { "name", "size_bytes", "sha256", NULL };
    const char *name = NULL, *sha256 = NULL;
    const json *root = json_root(d);
    int rc;

    if (!json_is_object(root))
        return json_fault(d, root, err, "must be an object");
    rc = json_want_known(d, root, known, err);
    if (rc == 0)
        rc = json_want_str(d, root, "name", JSON_REQUIRED, &name, err);
    if (rc == 0)
        rc = json_want_str(d, root, "sha256", JSON_REQUIRED, &sha256, err);
    if (rc == 0)
        rc = json_want_int(d, root, "size_bytes", JSON_REQUIRED, 1, (int64_t)1 << 40, &r->size_bytes, err);
    if (rc == 0 && (!package_name_ok(name) || !package_digest_ok(sha256)))
        rc = err_set(err, ERR_INVALID, "a package is named by a plain file name and its SHA-256");
    if (rc != 0)
        return rc;
    memcpy(r->name, name, strlen(name) + 1);
    memcpy(r->sha256, sha256, strlen(sha256) + 1);
    return 0;
}

static int read_request(struct receive *r, struct err *err)
{
    struct buf line = BUF_INIT;
    struct json_doc *d = NULL;
    int rc = read_line(r->in, &line, err);

    if (rc == 0)
        rc = json_parse("request", buf_text(&line), line.len, &d, err);
    if (rc == 0)
        rc = read_members(r, d, err);
    json_free(d);
    buf_clear(&line);
    return rc;
}

static int name_paths(struct receive *r, const char *state_dir, struct err *err)
{
    char lock[PACKAGE_PATH_MAX + 8];
    int rc = package_store_path(state_dir, r->sha256, r->name, r->path, err);

    if (rc != 0)
        return rc;
    snprintf(r->part, sizeof r->part, "%s.part", r->path);
    snprintf(lock, sizeof lock, "%s.lock", r->path);
    snprintf(r->folder, sizeof r->folder, "%s", r->path);
    *strrchr(r->folder, '/') = '\0';
    return os_lock_take(lock, &r->lock, err);
}

/* Hash what is held of it already. A part that is too long is no part of it. */
static int take_up(struct receive *r, struct err *err)
{
    int64_t bytes = 0;
    int rc = 0;

    sha256_init(&r->state);
    if (os_file_bytes(r->part) > r->size_bytes)
        os_remove(r->part);
    if (os_exists(r->part))
        rc = package_hash_file(r->part, &r->state, &bytes, err);
    r->held_bytes = bytes;
    return rc;
}

static void answer(const struct receive *r, const struct buf *text)
{
    fwrite(buf_text(text), 1, text->len, r->out);
    fputc('\n', r->out);
    fflush(r->out);
}

static void answer_offset(const struct receive *r)
{
    struct buf text = BUF_INIT;

    buf_printf(&text, "{\"offset\":%lld}", (long long)r->held_bytes);
    answer(r, &text);
    buf_clear(&text);
}

static void answer_text(const struct receive *r, const char *said)
{
    struct buf text = BUF_INIT;

    buf_str(&text, said);
    answer(r, &text);
    buf_clear(&text);
}

static void answer_error(const struct receive *r, const struct err *e)
{
    struct buf text = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_object(&w, "error");
    jw_str(&w, "name", err_name(e->code));
    jw_str(&w, "message", e->text);
    jw_object_end(&w);
    jw_object_end(&w);
    answer(r, &text);
    buf_clear(&text);
}

static int take_bytes(struct receive *r, FILE *part, uint8_t *block, struct err *err)
{
    while (r->held_bytes < r->size_bytes) {
        int64_t left = r->size_bytes - r->held_bytes;
        size_t n = fread(block, 1, left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES, r->in);

        if (n > 0 && fwrite(block, 1, n, part) != n)
            return err_set(err, errno == ENOSPC ? ERR_FULL : ERR_IO, "write: %s", strerror(errno));
        sha256_add(&r->state, block, n);
        r->held_bytes += (int64_t)n;
        if (n == 0)
            return err_set(err, ERR_LOST, "cut after %lld of %lld bytes; the part is kept",
                           (long long)r->held_bytes, (long long)r->size_bytes);
    }
    return 0;
}

static int take_rest(struct receive *r, struct err *err)
{
    FILE *part = fopen(r->part, "ab");
    uint8_t *block = malloc(BLOCK_BYTES);
    int rc = block == NULL ? err_set(err, ERR_NOMEM, "receive") : 0;

    if (rc == 0 && part == NULL)
        rc = err_set(err, errno == ENOSPC ? ERR_FULL : ERR_IO, "open %s: %s", r->part, strerror(errno));
    if (rc == 0)
        rc = take_bytes(r, part, block, err);
    if (part != NULL && fflush(part) != 0 && rc == 0)
        rc = err_set(err, errno == ENOSPC ? ERR_FULL : ERR_IO, "write: %s", strerror(errno));
    if (rc == 0)
        rc = os_sync_stream(part, err);
    if (part != NULL)
        fclose(part);
    free(block);
    return rc;
}

/* The file gets its name only when its digest is the approved one. */
static int settle(struct receive *r, struct err *err)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_TEXT];

    sha256_end(&r->state, digest);
    if (strcmp(sha256_hex(digest, hex), r->sha256) != 0) {
        os_remove(r->part);
        return err_set(err, ERR_CORRUPT, "what came has digest %s, not %s; the part is deleted", hex,
                       r->sha256);
    }
    if (os_rename(r->part, r->path, err) != 0)
        return (int)err->code;
    return os_sync_dir(r->folder, err);
}

static int receive_rest(struct receive *r, struct err *err)
{
    struct buf done = BUF_INIT;
    int rc = take_up(r, err);

    if (rc == 0)
        rc = package_check_room(r->folder, r->size_bytes, r->held_bytes, err);
    if (rc != 0)
        return rc;
    answer_offset(r);
    rc = take_rest(r, err);
    if (rc == 0)
        rc = settle(r, err);
    if (rc != 0)
        return rc;
    buf_printf(&done, "{\"done\":true,\"sha256\":\"%s\"}", r->sha256);
    answer(r, &done);
    buf_clear(&done);
    return 0;
}

/* What has its name already is believed by its digest only. */
static bool holds_it(const struct receive *r)
{
    struct err why = { 0 };

    if (!os_exists(r->path))
        return false;
    if (package_check(r->path, r->sha256, &why) == 0)
        return true;
    if (why.code == ERR_CORRUPT)
        os_remove(r->path);
    return false;
}

int receive_package(const char *state_dir, FILE *in, FILE *out, struct err *err)
{
    struct receive r = { .in = in, .out = out };
    int rc = read_request(&r, err);

    if (rc == 0)
        rc = name_paths(&r, state_dir, err);
    if (rc == 0 && holds_it(&r))
        answer_text(&r, "{\"have\":true}");
    else if (rc == 0)
        rc = receive_rest(&r, err);
    if (rc != 0)
        answer_error(&r, err);
    return rc;
}
