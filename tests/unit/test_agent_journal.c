/* The journal's file: records are only added, what is needed is not dropped,
 * schemas go forward only, damage is refused. */
#include "agent/io/journal.h"
#include "tests/lib/check.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define C "cccccccccccccccccccccccccccccccc"
#define OP "r1/HV07/1/pause/1"

struct world {
    char dir[64], path[96], id_path[96];
    struct journal *j;
    struct journal_fold fold;
};

static const struct agent_record story[] = {
    { AGENT_REC_BOOT, 1, "", "B1", "{\"machine_id\":\"M1\"}" },
    { AGENT_REC_CLAIM, 2, "", "B1",
      "{\"run\":\"r1\",\"controller\":\"" C
      "\",\"epoch\":1,\"log\":{\"seq\":1,\"hash\":\"h\"},\"takeover\":false}" },
    { AGENT_REC_ACCEPT, 3, OP, "B1",
      "{\"action\":\"pause\",\"args\":{},\"digest\":\"d\",\"limit_ms\":1000,\"precondition\":{},\"epoch\":1,"
      "\"controller\":\"" C "\",\"log\":{\"seq\":9,\"hash\":\"i\"},\"mono_ms\":5}" },
    { AGENT_REC_START, 4, OP, "B1", "{\"found\":{}}" },
    { AGENT_REC_DONE, 8, OP, "B1",
      "{\"outcome\":\"ok\",\"error\":null,\"result\":null,\"downtime\":[],\"output_bytes\":0,\"output_tail\":"
      "\"\"}" },
    { AGENT_REC_ACK, 9, OP, "B1", "{}" },
};

static int open_it(struct world *w, const char *version, struct err *err)
{
    return journal_open(w->path, w->id_path, version, &w->j, &w->fold, err);
}

static void close_it(struct world *w)
{
    journal_close(w->j);
    journal_fold_clear(&w->fold);
    w->j = NULL;
}

static void tell(struct world *w, uint32_t n)
{
    struct err err;

    for (uint32_t i = 0; i < n; i++)
        check_ok(journal_append(w->j, &story[i], &err), &err);
}

static int setup(void **state)
{
    static struct world w;
    struct err err;

    w = (struct world){ .dir = "/tmp/pw-journal-XXXXXX" };
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.path, sizeof w.path, "%s/journal.db", w.dir);
    snprintf(w.id_path, sizeof w.id_path, "%s/journal.id", w.dir);
    check_ok(open_it(&w, "1", &err), &err);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];

    if (w->j != NULL)
        close_it(w);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    return system(command);
}

static void test_read_back(void **state)
{
    struct world *w = *state;
    struct err err;
    char id[AGENT_HEX_ID];

    tell(w, TABLE_LEN(story));
    memcpy(id, journal_id(w->j), sizeof id);
    close_it(w);
    check_ok(open_it(w, "1", &err), &err);
    assert_string_equal(journal_id(w->j), id);
    assert_int_equal(w->fold.n_ops, 1);
    assert_string_equal(agent_op_state_name(journal_fold_find(&w->fold, OP)->state), "done");
    assert_true(journal_fold_find(&w->fold, OP)->acked);
}

/* With the same schema an open op bars nobody: it is what a restart is for. */
static void test_open_op_outlives_a_restart(void **state)
{
    struct world *w = *state;
    struct err err;

    tell(w, 4);
    close_it(w);
    check_ok(open_it(w, "1", &err), &err);
    assert_int_equal(w->fold.n_ops, 1);
    assert_int_equal(journal_fold_find(&w->fold, OP)->starts, 1);
}

static int direct(const struct world *w, const char *sql)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(w->path, &db);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return rc;
}

/* Whoever writes to the file: no record is changed, none that is needed goes. */
static void test_append_only(void **state)
{
    struct world *w = *state;

    tell(w, TABLE_LEN(story) - 1);
    assert_int_equal(direct(w, "UPDATE record SET body = '{}' WHERE n = 1"), SQLITE_CONSTRAINT);
    assert_int_equal(direct(w, "DELETE FROM record WHERE kind = 'done'"), SQLITE_CONSTRAINT);
    assert_int_equal(direct(w, "DELETE FROM record WHERE kind = 'claim'"), SQLITE_CONSTRAINT);
    assert_int_equal(direct(w, "DELETE FROM record WHERE kind = 'boot'"), SQLITE_CONSTRAINT);
}

/* Only an acknowledged op can be dropped, and then all of it (C.8). */
static void test_forget(void **state)
{
    struct world *w = *state;
    struct err err;
    struct journal_fold f = JOURNAL_FOLD_INIT;

    tell(w, TABLE_LEN(story) - 1);
    assert_int_equal(journal_forget(w->j, OP, &err), ERR_STATE);
    check_ok(journal_append(w->j, &story[TABLE_LEN(story) - 1], &err), &err);
    check_ok(journal_forget(w->j, OP, &err), &err);
    check_ok(journal_load(w->j, &f, &err), &err);
    assert_int_equal(f.n_ops, 0);
    assert_int_equal(f.claim.epoch, 1); /* for ever */
    assert_string_equal(f.boot_id, "B1");
    journal_fold_clear(&f);
}

static void test_pages(void **state)
{
    struct world *w = *state;
    int64_t from = 0, seen = 0;
    struct err err;

    tell(w, TABLE_LEN(story));
    while (from >= 0) {
        struct buf out = BUF_INIT;
        struct json_doc *d = NULL;

        check_ok(journal_page(w->j, from, 4, 100000, &out, &err), &err);
        check_ok(json_parse("page", buf_text(&out), out.len, &d, &err), &err);
        for (const json *r = json_first(json_get(json_root(d), "records")); r != NULL; r = json_next(r))
            assert_int_equal(json_get_int(r, "at_ms", 0), story[seen++].at);
        from = json_get_int(json_root(d), "next", -1);
        json_free(d);
        buf_clear(&out);
    }
    assert_int_equal(seen, TABLE_LEN(story));
}

/* However little room there is: one record, and where the next is. */
static void test_pages_are_bounded(void **state)
{
    struct world *w = *state;
    struct buf out = BUF_INIT;
    struct json_doc *d = NULL;
    struct err err;

    tell(w, TABLE_LEN(story));
    check_ok(journal_page(w->j, 0, 100, 1, &out, &err), &err);
    check_ok(json_parse("page", buf_text(&out), out.len, &d, &err), &err);
    assert_int_equal(json_count(json_get(json_root(d), "records")), 1);
    assert_true(json_get_int(json_root(d), "next", -1) > 0);
    json_free(d);
    buf_clear(&out);
}

static void test_database_of_another_program(void **state)
{
    struct world *w = *state;
    struct err err;

    close_it(w);
    assert_int_equal(unlink(w->path), 0);
    assert_int_equal(direct(w, "CREATE TABLE theirs(x)"), SQLITE_OK);
    assert_int_equal(open_it(w, "1", &err), ERR_CORRUPT);
    assert_int_equal(direct(w, "SELECT * FROM record"), SQLITE_ERROR); /* and left as it is */
}

static void test_newer_schema(void **state)
{
    struct world *w = *state;
    struct err err;
    struct journal *reader = NULL;

    close_it(w);
    assert_int_equal(direct(w, "PRAGMA user_version = 99"), SQLITE_OK);
    assert_int_equal(open_it(w, "1", &err), ERR_VERSION);
    assert_int_equal(journal_open_read(w->path, &reader, &err), ERR_VERSION);
}

/* A further migration waits for open ops, and goes through after them. */
static void test_migration_waits(void **state)
{
    static const char *const more[] = { "-- as it is", "CREATE TABLE more(x INTEGER) STRICT" };
    struct world *w = *state;
    struct err err;

    tell(w, 4);
    assert_int_equal(journal_migrate(w->j, more, 2, &err), ERR_STATE);
    check_ok(journal_append(w->j, &story[4], &err), &err);
    check_ok(journal_migrate(w->j, more, 2, &err), &err);
    close_it(w);
    assert_int_equal(open_it(w, "1", &err), ERR_VERSION); /* and never back */
}

/* A step that fails leaves the schema as it was. */
static void test_migration_is_whole(void **state)
{
    static const char *const broken[] = { "-- as it is",
                                          "CREATE TABLE more(x INTEGER) STRICT; CREATE TABLE more(x)" };
    struct world *w = *state;
    struct err err;

    assert_int_not_equal(journal_migrate(w->j, broken, 2, &err), 0);
    close_it(w);
    check_ok(open_it(w, "1", &err), &err);
}

/* Records that cannot follow one another are damage, not news. */
static void test_impossible_story(void **state)
{
    struct world *w = *state;
    struct err err;

    tell(w, 2);
    check_ok(journal_append(w->j, &story[3], &err), &err); /* START of what was never accepted */
    close_it(w);
    assert_int_equal(open_it(w, "1", &err), ERR_CORRUPT);
}

static void test_readonly(void **state)
{
    struct world *w = *state;
    struct err err;

    close_it(w);
    if (geteuid() == 0) {
        struct journal *reader = NULL;

        check_ok(journal_open_read(w->path, &reader, &err), &err);
        assert_int_not_equal(journal_forget(reader, OP, &err), 0);
        journal_close(reader);
        return;
    }
    chmod(w->path, 0400);
    assert_int_equal(open_it(w, "1", &err), ERR_READONLY);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_read_back),
        T(test_open_op_outlives_a_restart),
        T(test_append_only),
        T(test_forget),
        T(test_pages),
        T(test_pages_are_bounded),
        T(test_database_of_another_program),
        T(test_newer_schema),
        T(test_migration_waits),
        T(test_migration_is_whole),
        T(test_impossible_story),
        T(test_readonly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
