#include "orchestrator/io/store_migrate.h"

#include "orchestrator/io/store.h"
#include "orchestrator/io/store_impl.h"
#include "tests/lib/check.h"
#include "tests/lib/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct embedded_text first[] = { { "0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;" },
                                              { NULL, NULL } };
static const struct embedded_text both[] = {
    { "0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;" },
    { "0002_b.sql", "CREATE TABLE b (y INTEGER) STRICT; INSERT INTO b SELECT x + 1 FROM a;" },
    { NULL, NULL },
};
static const struct embedded_text broken[] = {
    { "0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;" },
    { "0002_b.sql", "CREATE TABLE b (y INTEGER) STRICT; INSERT INTO nowhere VALUES (1);" },
    { NULL, NULL },
};

static struct temp_dir dir;
static char db_path[512];
static sqlite3 *db;

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    snprintf(db_path, sizeof db_path, "%s", temp_dir_file(&dir, "m.db"));
    return store_connect(db_path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, NULL);
}

static int teardown(void **state)
{
    (void)state;
    sqlite3_close(db);
    temp_dir_remove(&dir);
    return 0;
}

static int version(void)
{
    int v = -1;

    assert_int_equal(store_schema_version(db, &v, NULL), 0);
    return v;
}

static bool copy_is_there(void)
{
    struct stat st;
    char path[600];

    snprintf(path, sizeof path, "%s.before-v2", db_path);
    return stat(path, &st) == 0;
}

static void test_due_ones_run_in_order_and_once(void **state)
{
    struct err err = { 0 };

    (void)state;
    check_ok(store_migrate(db, db_path, first, &err), &err);
    assert_int_equal(version(), 1);
    check_ok(store_exec(db, "INSERT INTO a VALUES (41)", &err), &err);
    check_ok(store_migrate(db, db_path, both, &err), &err);
    assert_int_equal(version(), 2);
    check_ok(store_exec(db, "UPDATE b SET y = y WHERE y = 42; SELECT 1 / (changes() = 1)", &err), &err);
    check_ok(store_migrate(db, db_path, both, &err), &err);
    assert_int_equal(version(), 2);
}

/* The copy is the file as it was: it opens, and has the old version. */
static void test_the_file_is_copied_first(void **state)
{
    struct err err = { 0 };
    char path[600];
    sqlite3 *copy = NULL;
    int v = 0;

    (void)state;
    check_ok(store_migrate(db, db_path, first, &err), &err);
    assert_false(copy_is_there()); /* a new file has nothing to keep */
    check_ok(store_migrate(db, db_path, both, &err), &err);
    assert_true(copy_is_there());
    snprintf(path, sizeof path, "%s.before-v2", db_path);
    check_ok(store_connect(path, SQLITE_OPEN_READONLY, &copy, &err), &err);
    check_ok(store_schema_version(copy, &v, &err), &err);
    assert_int_equal(v, 1);
    sqlite3_close(copy);
}

static void test_a_failed_one_leaves_the_version_before(void **state)
{
    struct err err = { 0 };

    (void)state;
    check_ok(store_migrate(db, db_path, first, &err), &err);
    assert_int_not_equal(store_migrate(db, db_path, broken, &err), 0);
    assert_non_null(strstr(err.text, "migration 0002_b.sql"));
    assert_int_equal(version(), 1);
    assert_int_not_equal(store_exec(db, "SELECT * FROM b", NULL), 0);
}

static void test_a_newer_schema_is_refused(void **state)
{
    struct err err = { 0 };

    (void)state;
    check_ok(store_migrate(db, db_path, both, &err), &err);
    assert_int_equal(store_migrate(db, db_path, first, &err), ERR_VERSION);
    assert_non_null(
        strstr(err.text, "has schema version 2, this program knows up to 1: use a newer patchwave"));
}

/* STORE_VERSION, which readers compare with, is the newest file's number. */
static void test_the_built_in_ones_are_numbered_without_gaps(void **state)
{
    int n = 0;

    (void)state;
    for (const struct embedded_text *m = store_migrations; m->name != NULL; m++)
        assert_int_equal(atoi(m->name), ++n);
    assert_int_equal(n, STORE_VERSION);
}

int main(void)
{
#define WITH_DB(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_DB(test_due_ones_run_in_order_and_once),
        WITH_DB(test_the_file_is_copied_first),
        WITH_DB(test_a_failed_one_leaves_the_version_before),
        WITH_DB(test_a_newer_schema_is_refused),
        cmocka_unit_test(test_the_built_in_ones_are_numbered_without_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
