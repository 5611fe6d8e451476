#include "orchestrator/cli.h"

#include "orchestrator/io/render_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void cli_print(struct buf *out)
{
    fwrite(buf_text(out), 1, out->len, stdout);
    fflush(stdout);
    buf_clear(out);
}

void cli_print_rows(const struct cli *c, struct rows *r, const char *nothing)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        w.pretty = true;
        render_rows_json(&w, NULL, r);
        buf_char(&out, '\n');
    } else {
        render_rows(&out, r, nothing);
    }
    rows_clear(r);
    cli_print(&out);
}

int cli_list(const struct cli *c, const char *sql, const char *nothing, struct err *err)
{
    struct store *s = NULL;
    struct rows r = { 0 };
    int rc = store_open(c->db, STORE_READ, &s, err);

    if (rc == 0)
        rc = store_ask(s, &r, err, sql, "");
    if (rc == 0)
        cli_print_rows(c, &r, nothing);
    store_close(s);
    return rc;
}

int cli_read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "rb");
    char block[65536];
    struct stat st;
    size_t n;
    int rc = 0;

    if (f == NULL)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", path, strerror(errno));
    if (fstat(fileno(f), &st) != 0 || S_ISDIR(st.st_mode))
        rc = err_set(err, ERR_INVALID, "%s is not a file", path);
    while (rc == 0 && (n = fread(block, 1, sizeof block, f)) > 0) {
        buf_add(out, block, n);
        if (out->len > JSON_TEXT_MAX)
            rc = err_set(err, ERR_INVALID, "%s is larger than %u MiB", path, JSON_TEXT_MAX >> 20);
    }
    if (rc == 0 && ferror(f))
        rc = err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
    if (rc == 0 && out->failed)
        rc = err_set(err, ERR_NOMEM, "%s", path);
    fclose(f);
    return rc;
}

int cli_read_json(const char *path, struct json_doc **ret_doc, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc = cli_read_file(path, &text, err);

    if (rc == 0)
        rc = json_parse(path, buf_text(&text), text.len, ret_doc, err);
    buf_clear(&text);
    return rc;
}

static int write_beside(const char *beside, const struct buf *text, struct err *err)
{
    FILE *f = fopen(beside, "wb");
    int failed;

    if (f == NULL)
        return err_set(err, ERR_INVALID, "%s: %s", beside, strerror(errno));
    failed = fwrite(buf_text(text), 1, text->len, f) != text->len;
    failed |= fclose(f) != 0;
    return failed ? err_set(err, errno == ENOSPC ? ERR_FULL : ERR_INVALID, "%s: %s", beside, strerror(errno))
                  : 0;
}

int cli_write_file(const char *path, const struct buf *text, struct err *err)
{
    struct buf beside = BUF_INIT;
    int rc;

    buf_printf(&beside, "%s.new", path);
    rc = write_beside(buf_text(&beside), text, err);
    if (rc == 0 && rename(buf_text(&beside), path) != 0)
        rc = err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
    if (rc != 0)
        remove(buf_text(&beside));
    buf_clear(&beside);
    return rc;
}
