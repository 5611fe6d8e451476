#include "agent/io/op_folder.h"

#include "agent/core/driver_proto.h"
#include "agent/io/os.h"
#include "schema/json.h"
#include "schema/sha256.h"
#include "schema/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_READ_MAX (16u << 20)

int op_folder_name(const char *ops_dir, const char *op, struct op_folder *ret, struct err *err)
{
    char key[SHA256_TEXT];

    sha256_text(op, strlen(op), key);
    key[32] = '\0'; /* op ids hold slashes and colons; half a digest is name enough */
    if (snprintf(ret->path, sizeof ret->path, "%s/%s", ops_dir, key) >= (int)sizeof ret->path)
        return err_set(err, ERR_INVALID, "path too long: %s", ops_dir);
    snprintf(ret->pid, sizeof ret->pid, "%s/pid", ret->path);
    snprintf(ret->answer, sizeof ret->answer, "%s/answer", ret->path);
    snprintf(ret->output, sizeof ret->output, "%s/output", ret->path);
    return 0;
}

int op_folder_make(const struct op_folder *f, struct err *err)
{
    int rc = os_private_dir(f->path, err);

    os_remove(f->pid);
    os_remove(f->answer); /* of an earlier start of the same op */
    return rc;
}

void op_folder_remove(const struct op_folder *f)
{
    os_remove(f->pid);
    os_remove(f->answer);
    os_remove(f->output);
    os_remove(f->path);
}

int op_folder_write_pid(const struct op_folder *f, int64_t pid, int64_t start, struct err *err)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%" PRId64 " %" PRId64 "\n", pid, start);

    return os_write_file(f->pid, text, (size_t)n, err);
}

bool op_folder_read_pid(const struct op_folder *f, int64_t *ret_pid, int64_t *ret_start)
{
    struct buf text = BUF_INIT;
    char *at;
    bool ok = os_read_file(f->pid, 64, &text, NULL) == 0;

    if (ok) {
        *ret_pid = strtoll(buf_text(&text), &at, 10);
        *ret_start = strtoll(at, NULL, 10);
        ok = *ret_pid > 1 && *ret_start != 0;
    }
    buf_clear(&text);
    return ok;
}

bool progress_line_read(const char *line, size_t len, int32_t *ret_percent, char *text, size_t text_size)
{
    struct json_doc *d = NULL;
    const json *progress;
    bool ok = false;

    if (len < 2 || line[0] != '{' || json_parse("progress", line, len, &d, NULL) != 0)
        return false;
    progress = json_get(json_root(d), "progress");
    if (json_is_object(progress) && json_is_int(json_get(progress, "percent"))) {
        int64_t percent = json_get_int(progress, "percent", 0);
        const char *said = json_get_str(progress, "text", "");
        size_t n = utf8_cut(said, text_size - 1);

        *ret_percent = (int32_t)(percent < 0 ? 0 : percent > 100 ? 100 : percent);
        memcpy(text, said, n);
        text[n] = '\0';
        ok = true;
    }
    json_free(d);
    return ok;
}

void op_folder_tail(const struct op_folder *f, size_t max, struct buf *out)
{
    struct buf all = BUF_INIT;
    char said[256];
    int32_t percent;

    if (os_read_file(f->output, OUTPUT_READ_MAX, &all, NULL) == 0) {
        size_t from = all.len > 4 * max ? all.len - 4 * max : 0; /* some room for progress lines */
        const char *at = buf_text(&all) + from, *end = buf_text(&all) + all.len;

        while (at < end) {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            size_t n = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at) + 1;

            if (!progress_line_read(at, n, &percent, said, sizeof said))
                buf_add(out, at, n);
            at += n;
        }
        if (out->len > max)
            buf_drop(out, out->len - max);
    }
    buf_clear(&all);
}

int op_folder_page(const struct op_folder *f, int64_t offset, int64_t max, struct buf *out, struct err *err)
{
    struct buf all = BUF_INIT, clean = BUF_INIT;
    struct json_writer w;
    int rc = os_exists(f->output) ? os_read_file(f->output, OUTPUT_READ_MAX, &all, err) : 0;
    size_t from, len;

    if (rc != 0) {
        buf_clear(&all);
        return rc;
    }
    from = (uint64_t)offset < all.len ? (size_t)offset : all.len;
    len = all.len - from < (size_t)max ? all.len - from : (size_t)max;
    jw_init(&w, out);
    jw_object(&w, NULL);
    driver_text_clean(&clean, buf_text(&all) + from, len);
    jw_str(&w, "text", buf_text(&clean));
    jw_int(&w, "offset", (int64_t)from);
    jw_int(&w, "total_bytes", (int64_t)all.len);
    jw_bool(&w, "more", from + len < all.len);
    jw_object_end(&w);
    buf_clear(&all);
    rc = clean.failed || out->failed ? err_set(err, ERR_NOMEM, "output") : 0;
    buf_clear(&clean);
    return rc;
}
