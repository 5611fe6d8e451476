#include "orchestrator/io/store.h"

#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_lock.h"
#include "tests/lib/check.h"
#include "tests/lib/temp_dir.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct temp_dir dir;
static char db[512];

static int make_store(void **state)
{
    struct err err = { 0 };

    (void)state;
    temp_dir_make(&dir);
    snprintf(db, sizeof db, "%s", temp_dir_file(&dir, "patchwave.db"));
    check_ok(store_create(db, &err), &err);
    return 0;
}

static int drop_store(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static struct store *open_as(enum store_mode mode)
{
    struct store *s = NULL;
    struct err err = { 0 };

    check_ok(store_open(db, mode, &s, &err), &err);
    return s;
}

static int append(struct store *s, const char *text, struct err *err)
{
    struct log_position pos;
    int rc = store_begin(s, err);

    if (rc == 0)
        rc = store_append(s, NULL, 1, "test", text, "[]", &pos, err);
    if (rc == 0)
        rc = store_commit(s, err);
    if (rc == 0)
        s->head = pos;
    else
        store_rollback(s);
    return rc;
}

static void test_a_database_is_made_once(void **state)
{
    struct err err = { 0 };
    struct stat st;

    (void)state;
    assert_int_equal(store_create(db, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "is there already"));
    assert_int_equal(stat(db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_no_database_says_how_to_make_one(void **state)
{
    struct store *s = NULL;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(store_open(temp_dir_file(&dir, "none.db"), STORE_READ, &s, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "patchwave init"));
    assert_null(s);
}

static void test_the_writer_is_durable(void **state)
{
    struct store *s = open_as(STORE_WRITE);
    struct rows r = { 0 };

    (void)state;
    check_ok(store_ask(s, &r, NULL, "PRAGMA journal_mode", ""), &(struct err){ 0 });
    assert_string_equal(rows_text(&r, 0, 0), "wal");
    rows_clear(&r);
    check_ok(store_ask(s, &r, NULL, "PRAGMA synchronous", ""), &(struct err){ 0 });
    assert_int_equal(rows_int(&r, 0, 0), 2);
    rows_clear(&r);
    check_ok(store_ask(s, &r, NULL, "PRAGMA foreign_keys", ""), &(struct err){ 0 });
    assert_int_equal(rows_int(&r, 0, 0), 1);
    rows_clear(&r);
    store_close(s);
}

static void test_the_log_is_a_chain_that_survives_closing(void **state)
{
    struct store *s = open_as(STORE_WRITE);
    struct log_position first, second;
    struct err err = { 0 };
    char hash[SHA256_TEXT];

    (void)state;
    assert_int_equal(store_position(s).seq, 0);
    check_ok(append(s, "{\"a\":1}", &err), &err);
    first = store_position(s);
    check_ok(append(s, "{\"a\":2}", &err), &err);
    second = store_position(s);
    store_close(s);

    assert_int_equal(second.seq, 2);
    log_chain(first.hash, "{\"a\":2}", "[]", hash);
    assert_string_equal(second.hash, hash);
    s = open_as(STORE_READ);
    assert_int_equal(store_position(s).seq, 2);
    assert_string_equal(store_position(s).hash, second.hash);
    assert_true(store_holds(s, 1, first.hash));
    assert_false(store_holds(s, 2, first.hash));
    assert_false(store_holds(s, 3, second.hash));
    assert_true(store_holds(s, 0, ""));
    store_close(s);
}

/* The lock is the process's: a second process is told who holds it. */
static void test_a_second_writer_is_refused_by_name(void **state)
{
    struct store *s = open_as(STORE_WRITE);
    int status = 0;
    pid_t child;

    (void)state;
    assert_int_equal(store_lock_holder(db), getpid());
    child = fork();
    if (child == 0) {
        struct store *other = NULL;
        struct err err = { 0 };
        char pid[32];
        int rc = store_open(db, STORE_WRITE, &other, &err);

        snprintf(pid, sizeof pid, "(pid %d)", (int)getppid());
        _exit(rc == ERR_LOCKED && strstr(err.text, pid) != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(s);
    assert_int_equal(store_lock_holder(db), 0);
    store_close(open_as(STORE_WRITE));
}

/* A dead holder holds nothing. */
static void test_the_lock_dies_with_its_holder(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        struct store *s = NULL;

        if (store_open(db, STORE_WRITE, &s, NULL) != 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    store_close(open_as(STORE_WRITE));
}

static void test_readers_and_the_writer_do_not_disturb_each_other(void **state)
{
    struct store *w = open_as(STORE_WRITE), *r = open_as(STORE_READ);
    struct err err = { 0 };
    struct rows rows = { 0 };

    (void)state;
    check_ok(append(w, "{}", &err), &err);
    check_ok(store_ask(r, &rows, &err, "SELECT count(*) FROM log", ""), &err);
    assert_int_equal(rows_int(&rows, 0, 0), 1);
    rows_clear(&rows);
    assert_int_equal(store_exec(r->db, "DELETE FROM log", &err), ERR_READONLY);
    store_close(r);
    store_close(w);
}

static void overwrite(const char *path, long at, const char *text, size_t len)
{
    FILE *f = fopen(path, "r+b");

    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}

static void test_a_corrupt_file_is_named(void **state)
{
    struct store *s = NULL;
    struct err err = { 0 };

    (void)state;
    overwrite(db, 0, "this is not a database at all", 29);
    assert_int_equal(store_open(db, STORE_WRITE, &s, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "not a patchwave database"));
    assert_int_equal(store_open(db, STORE_READ, &s, &err), ERR_CORRUPT);
}

static void test_someone_elses_database_is_refused(void **state)
{
    struct store *s = NULL;
    struct err err = { 0 };
    sqlite3 *other = NULL;
    char path[512];

    (void)state;
    snprintf(path, sizeof path, "%s", temp_dir_file(&dir, "other.db"));
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "CREATE TABLE t (a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(store_open(path, STORE_WRITE, &s, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "is not a patchwave database"));
}

/* A page in the middle is overwritten: opening may work, reading must not lie. */
static void test_a_damaged_page_is_corrupt(void **state)
{
    struct store *s = open_as(STORE_WRITE);
    struct err err = { 0 };
    struct rows r = { 0 };
    char junk[4096];
    struct stat st;

    (void)state;
    for (int i = 0; i < 200; i++)
        check_ok(
            append(s,
                   "{\"long\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
                   &err),
            &err);
    store_close(s);
    assert_int_equal(stat(db, &st), 0);
    memset(junk, 0xa5, sizeof junk);
    for (long at = st.st_size / 2 / 4096 * 4096; at < st.st_size; at += 4096)
        overwrite(db, at, junk, sizeof junk);
    if (store_open(db, STORE_READ, &s, &err) == 0) {
        assert_int_equal(store_ask(s, &r, &err, "SELECT * FROM log", ""), ERR_CORRUPT);
        store_close(s);
    }
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, "put a backup")); /* and how to go on */
}

static int as_nobody(int (*fn)(void))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(99);
        _exit(fn());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int try_write(void)
{
    struct store *s = NULL;
    struct err err = { 0 };

    return store_open(db, STORE_WRITE, &s, &err);
}

static int try_read(void)
{
    struct store *s = NULL;
    struct err err = { 0 };
    int rc = store_open(db, STORE_READ, &s, &err);

    store_close(s);
    return rc;
}

static void test_a_readonly_folder_can_be_read_and_not_written(void **state)
{
    (void)state;
    assert_int_equal(chmod(db, 0444), 0);
    assert_int_equal(chmod(dir.path, 0555), 0);
    assert_int_equal(as_nobody(try_write), ERR_READONLY);
    assert_int_equal(as_nobody(try_read), 0);
    assert_int_equal(chmod(dir.path, 0755), 0);
}

/* On a full disk the append fails with FULL, and nothing of it is there. */
static void test_a_full_disk(void **state)
{
    struct store *s = NULL;
    struct err err = { 0 };
    static char big[300000];
    struct log_position before;
    int rc = 0;

    (void)state;
    if (mount("patchwave-test", dir.path, "tmpfs", 0, "size=1m") != 0) {
        print_message("# SKIP no right to mount a small disk\n");
        skip();
    }
    check_ok(store_create(db, &err), &err);
    check_ok(store_open(db, STORE_WRITE, &s, &err), &err);
    memset(big, 'a', sizeof big - 1);
    for (int i = 0; i < 10 && rc == 0; i++) {
        before = store_position(s);
        rc = append(s, big, &err);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_non_null(strstr(err.text, "the disk is full"));
    assert_int_equal(store_position(s).seq, before.seq);
    store_close(s);
    s = NULL;
    rc = store_open(db, STORE_READ, &s, &err);
    if (rc == 0)
        assert_int_equal(store_position(s).seq, before.seq);
    store_close(s);
    assert_int_equal(rc == 0 || rc == ERR_FULL, 1);
    umount(dir.path);
}

int main(void)
{
#define WITH_STORE(fn) cmocka_unit_test_setup_teardown(fn, make_store, drop_store)
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_a_database_is_made_once),
        WITH_STORE(test_no_database_says_how_to_make_one),
        WITH_STORE(test_the_writer_is_durable),
        WITH_STORE(test_the_log_is_a_chain_that_survives_closing),
        WITH_STORE(test_a_second_writer_is_refused_by_name),
        WITH_STORE(test_the_lock_dies_with_its_holder),
        WITH_STORE(test_readers_and_the_writer_do_not_disturb_each_other),
        WITH_STORE(test_a_corrupt_file_is_named),
        WITH_STORE(test_someone_elses_database_is_refused),
        WITH_STORE(test_a_damaged_page_is_corrupt),
        WITH_STORE(test_a_readonly_folder_can_be_read_and_not_written),
        WITH_STORE(test_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
