#include "orchestrator/cli.h"
#include "orchestrator/io/store_lock.h"
#include "orchestrator/io/store_rebuild.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run_path(struct cli *c, int *ret_exit, struct err *err)
{
    char *real = realpath(c->db, NULL);
    int holder = store_lock_holder(c->db);
    struct buf out = BUF_INIT;
    struct json_writer w;

    (void)ret_exit;
    if (real == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s is not there (`patchwave init` makes one)", c->db);
    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "path", real);
        jw_int(&w, "writer_pid", holder);
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out, "%s\n", real);
    }
    free(real);
    cli_print(&out);
    return 0;
}

static int run_check(struct cli *c, int *ret_exit, struct err *err)
{
    struct buf faults_text = BUF_INIT, out = BUF_INIT;
    struct store *s = NULL;
    struct json_writer w;
    uint32_t faults = 0;
    int rc = store_open(c->db, STORE_READ, &s, err);

    if (rc == 0)
        rc = store_check(s, &faults_text, &faults, err);
    if (rc == 0) {
        if (c->json) {
            jw_init(&w, &out);
            jw_object(&w, NULL);
            jw_int(&w, "faults", faults);
            jw_int(&w, "entries", (int64_t)store_position(s).seq);
            jw_str(&w, "head", store_position(s).hash);
            jw_str(&w, "text", buf_text(&faults_text));
            jw_object_end(&w);
            buf_char(&out, '\n');
        } else {
            buf_str(&out, buf_text(&faults_text));
            buf_printf(&out, "%llu log entries, head %.12s: %s\n", (unsigned long long)store_position(s).seq,
                       store_position(s).hash, faults == 0 ? "file and chain are whole" : "DAMAGED");
        }
        *ret_exit = faults == 0 ? EXIT_DONE : EXIT_CHECK;
        cli_print(&out);
    }
    buf_clear(&faults_text);
    store_close(s);
    return rc;
}

static int run_rebuild(struct cli *c, int *ret_exit, struct err *err)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct buf out = BUF_INIT;
    struct store *s = NULL;
    int rc = store_open(c->db, STORE_WRITE, &s, err);
    bool same;

    (void)ret_exit;
    if (rc == 0)
        rc = store_projections_hash(s, before, err);
    if (rc == 0)
        rc = store_rebuild(s, err);
    if (rc == 0)
        rc = store_projections_hash(s, after, err);
    if (rc == 0) {
        same = strcmp(before, after) == 0;
        if (c->json)
            buf_printf(&out, "{\"same\":%s,\"hash\":\"%s\"}\n", same ? "true" : "false", after);
        else
            buf_printf(&out, "projections made again from %llu log entries: %s\n",
                       (unsigned long long)store_position(s).seq,
                       same ? "equal to what was there" : "they DIFFERED from the log and were put right");
        cli_print(&out);
    }
    store_close(s);
    return rc;
}

/* Through a reader: a running controller is not disturbed. The copy is a
 * copy: nodes that see newer entries than it holds will refuse it. */
static int run_backup(struct cli *c, int *ret_exit, struct err *err)
{
    const char *to = cli_operand(c, 0);
    struct buf out = BUF_INIT;
    struct store *s = NULL;
    int rc;

    (void)ret_exit;
    if (access(to, F_OK) == 0)
        return err_set(err, ERR_EXISTS, "%s is there already", to);
    rc = store_open(c->db, STORE_READ, &s, err);
    if (rc == 0)
        rc = store_backup(s, to, err);
    if (rc == 0) {
        if (c->json)
            buf_printf(&out, "{\"entries\":%llu}\n", (unsigned long long)store_position(s).seq);
        else
            buf_printf(&out, "copied to %s, up to log entry %llu\n", to,
                       (unsigned long long)store_position(s).seq);
        cli_print(&out);
    }
    store_close(s);
    return rc;
}

static int run_migrate(struct cli *c, int *ret_exit, struct err *err)
{
    struct buf out = BUF_INIT;
    struct store *s = NULL;
    int rc = store_open(c->db, STORE_WRITE, &s, err);

    (void)ret_exit;
    store_close(s);
    if (rc != 0)
        return rc;
    if (c->json)
        buf_printf(&out, "{\"version\":%d}\n", STORE_VERSION);
    else
        buf_printf(&out, "%s is at schema version %d\n", c->db, STORE_VERSION);
    cli_print(&out);
    return 0;
}

const struct command_spec cmd_db_path = { "db", "path", "",      0, 0, "print where the database is",
                                          NULL, NULL,   run_path };
const struct command_spec cmd_db_check = {
    "db", "check", "", 0, 0, "check the file and the chain of the log", NULL, NULL, run_check,
};
const struct command_spec cmd_db_rebuild = {
    "db", "rebuild", "", 0, 0, "make all tables again from the log", NULL, NULL, run_rebuild,
};
const struct command_spec cmd_backup = {
    NULL, "backup", "FILE",     1, 1, "copy the database, also beside a running controller",
    NULL, NULL,     run_backup,
};
const struct command_spec cmd_db_migrate = {
    "db", "migrate", "",          0, 0, "bring the schema up to date (a copy is kept beside it)",
    NULL, NULL,      run_migrate,
};
