/* Files that are not what they were (F13): cut short anywhere, overwritten anywhere, taken for one another. A damaged
 * database or journal is refused with a clear code and its name, or holds what it can hold; it is never silently
 * short of anything, and no damage takes the program down. */
#include "tests/torture/store_story.h"

#include "agent/io/journal.h"
#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_rebuild.h"
#include "schema/prng.h"
#include "tests/lib/check.h"
#include "tests/torture/fault_vfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAL STORY_DB "-wal"
#define FLIPS 150 /* seeds */

static struct disk *played_on; /* where the story has its files open */
static struct disk *whole;     /* a run half-way: one file, and the log beside it, as after kill -9 */
static struct story story;

void story_fail(const char *fmt, ...)
{
    char text[1500];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fprintf(stderr, "# %s\n", text);
    abort();
}

static int make_story(void **state)
{
    struct err err = { 0 };
    uint32_t events = 0;

    (void)state;
    story_begin(&story);
    for (uint32_t i = 0; i < story_n_steps && strcmp(story_steps[i].name, "mirror") != 0; i++)
        do {
            check_ok(story_steps[i].play(&story, &err), &err);
            story_note(&story);
        } while (story_steps[i].repeats && ++events < 60);
    played_on = disk_now;
    whole = disk_kill(disk_now);
    disk_now = NULL;
    return 0;
}

static int drop_story(void **state)
{
    (void)state;
    story_end(&story);
    disk_free(disk_now);
    disk_free(whole);
    disk_free(played_on);
    return 0;
}

/* Opening, checking and replaying say nothing, or say it clearly. True when everything is as it was. */
static bool survives(const char *what, int64_t at)
{
    struct store *s = NULL;
    struct buf text = BUF_INIT;
    struct err err = { 0 };
    uint32_t faults = 0;
    int rc = store_open(STORY_DB, STORE_READ, &s, &err);
    bool as_it_was;

    if (rc == 0)
        rc = store_check(s, &text, &faults, &err);
    if (rc != 0 && rc != ERR_CORRUPT && rc != ERR_VERSION)
        fail_msg("%s at %lld: %s: %s", what, (long long)at, err_name((enum err_code)rc), err.text);
    if (rc != 0 && strstr(err.text, STORY_DB) == NULL)
        fail_msg("%s at %lld: the error does not name the file: %s", what, (long long)at, err.text);
    as_it_was = rc == 0 && faults == 0 && store_position(s).seq == story_acked &&
                strcmp(store_position(s).hash, story_seen[story_acked].hash) == 0;
    buf_clear(&text);
    store_close(s);
    return as_it_was;
}

static struct disk_file *fresh(const char *name)
{
    disk_free(disk_now);
    disk_now = disk_kill(whole);
    return disk_find(name);
}

static void test_the_file_as_it_is(void **state)
{
    (void)state;
    fresh(STORY_DB);
    assert_true(survives("nothing", 0));
}

/* Without its last pages a database does not pass for whole. */
static void test_a_database_cut_short(void **state)
{
    int64_t size = fresh(STORY_DB)->size;

    (void)state;
    assert_true(size > 10 * 4096);
    for (int64_t to = 1; to < size; to += to < 4096 ? 113 : 4096 + 512) {
        disk_truncate(fresh(STORY_DB), to);
        disk_unlink(WAL);
        assert_false(survives("cut", to));
    }
}

/* A log cut short ends at an earlier entry, whole: what was behind it is gone, and the nodes will tell (F4). */
static void test_a_log_cut_short(void **state)
{
    int64_t size = fresh(WAL)->size;

    (void)state;
    assert_true(size > 10 * 4096);
    for (int64_t to = 0; to < size; to += 4096 + 333) {
        struct store *s = NULL;
        struct err err = { 0 };
        struct buf text = BUF_INIT;
        uint32_t faults = 0;

        disk_truncate(fresh(WAL), to);
        if (store_open(STORY_DB, STORE_WRITE, &s, &err) != 0) {
            assert_int_equal(err.code, ERR_CORRUPT);
            continue;
        }
        check_ok(store_check(s, &text, &faults, &err), &err);
        if (faults != 0 || (store_position(s).seq > 0 &&
                            strcmp(store_position(s).hash, story_seen[store_position(s).seq].hash) != 0))
            fail_msg("log cut at %lld: %s", (long long)to, buf_text(&text));
        assert_true(store_position(s).seq <= story_acked);
        buf_clear(&text);
        store_close(s);
    }
}

/* Bytes overwritten at seeded places: found, or of no consequence to what is read; never a crash, never another log. */
static void test_a_database_overwritten(void **state)
{
    unsigned noticed = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= FLIPS; seed++) {
        struct disk_file *f = fresh(STORY_DB);
        struct prng prng;
        uint8_t junk[600];
        int64_t at;

        prng_init(&prng, seed);
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = (uint8_t)prng_next(&prng);
        at = (int64_t)prng_below(&prng, (uint64_t)f->size - sizeof junk);
        disk_write(f, junk, 1 + (uint32_t)prng_below(&prng, sizeof junk - 1), at);
        disk_unlink(WAL);
        noticed += !survives("overwritten", at);
    }
    assert_true(noticed > FLIPS / 2);
}

static int64_t rows(const char *path)
{
    struct store *s = NULL;
    struct err err = { 0 };
    int64_t n = 0;

    check_ok(store_open(path, STORE_READ, &s, &err), &err);
    check_ok(store_int(s, 0, &n, &err, "SELECT count(*) FROM log", ""), &err);
    store_close(s);
    return n;
}

/* The journal is no database of the controller's, nor the other way round; what is neither is told apart too. */
static void test_files_taken_for_one_another(void **state)
{
    static const char *const nonsense[] = { "", "x", "SQLite format 3",
                                            "this is a text file of some length\n" };
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    struct journal *j = NULL;
    struct store *s = NULL;
    struct err err = { 0 };

    (void)state;
    fresh(STORY_DB);
    check_ok(journal_open(DISK_ROOT "journal.db", NULL, "1", &j, &fold, &err), &err);
    journal_fold_clear(&fold);
    journal_close(j);
    assert_int_equal(store_open(DISK_ROOT "journal.db", STORE_WRITE, &s, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "journal.db is not a patchwave database"));
    assert_int_equal(journal_open(STORY_DB, NULL, "1", &j, &fold, &err), ERR_CORRUPT);
    assert_int_equal(rows(STORY_DB), story_acked); /* and it is left as it was */
    for (size_t i = 0; i < TABLE_LEN(nonsense); i++) {
        disk_plant(DISK_ROOT "other", nonsense[i], (int64_t)strlen(nonsense[i]));
        assert_int_equal(store_open(DISK_ROOT "other", STORE_WRITE, &s, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, DISK_ROOT "other"));
        assert_int_equal(store_open(DISK_ROOT "other", STORE_READ, &s, &err), ERR_CORRUPT);
    }
}

/* A log without its database is not taken for a new one's. */
static void test_a_log_without_its_database(void **state)
{
    struct err err = { 0 };

    (void)state;
    fresh(STORY_DB);
    disk_unlink(STORY_DB);
    assert_int_equal(store_create(STORY_DB, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "-wal is there without its database"));
    assert_non_null(disk_find(WAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_as_it_is),
        cmocka_unit_test(test_a_database_cut_short),
        cmocka_unit_test(test_a_log_cut_short),
        cmocka_unit_test(test_a_database_overwritten),
        cmocka_unit_test(test_files_taken_for_one_another),
        cmocka_unit_test(test_a_log_without_its_database),
    };

    fault_vfs_install();
    return cmocka_run_group_tests(tests, make_story, drop_story);
}
