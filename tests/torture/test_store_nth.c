/* Every operation of the store's life fails once, one by one (F5, F9, F10, F11): the error has the documented code
 * and names the file, nobody is told of a step that is not durable, the file is whole afterwards and stands at the
 * last acknowledged entry (or has the one after it whole), and the same step goes through when the disk is well. */
#include "tests/torture/store_story.h"

#include "orchestrator/io/store_impl.h"
#include "orchestrator/io/store_rebuild.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"
#include "tests/torture/fault_fork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void story_fail(const char *fmt, ...)
{
    char text[1500];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (fault_trial != NULL)
        trial_fail("%s", text);
    fprintf(stderr, "# %s\n", text);
    abort();
}

static enum err_code documented(enum fault_mode m)
{
    if (m == FAULT_DISK_FULL || m == FAULT_FULL_SHORT)
        return ERR_FULL;
    return m == FAULT_BUSY ? ERR_LOCKED : m == FAULT_NOMEM ? ERR_NOMEM : ERR_IO;
}

static void check_error(int rc, const struct err *err)
{
    enum err_code want = documented(fault_trial->mode);

    if (rc != (int)err->code || rc != (int)want)
        trial_fail("the code is %s (%s), not %s: %s", err_name((enum err_code)rc), err_name(err->code),
                   err_name(want), err->text);
    if (want != ERR_NOMEM && strstr(err->text, DISK_ROOT) == NULL)
        trial_fail("the error does not name the file: %s", err->text);
}

/* I25: what could not be written is not acted on, nor anything after it. */
static void check_stopped(struct story *s, uint32_t submitted_before)
{
    struct err err = { 0 };

    if (!s->runner.stopped)
        trial_fail("the runner goes on");
    if (runner_feed(&s->runner, &s->next, &err) != ERR_STATE)
        trial_fail("the stopped runner takes an event");
    if (s->submitted != submitted_before)
        trial_fail("%u commands went out", (unsigned)(s->submitted - submitted_before));
}

/* While the disk is still broken an attempt fails clearly or works; it spoils nothing. */
static void try_while_broken(void)
{
    struct store *store = NULL;
    struct err err = { 0 };
    int rc = store_open(STORY_DB, STORE_WRITE, &store, &err);

    if (rc != 0 && rc != ERR_NOT_FOUND && rc != (int)documented(fault_trial->mode))
        trial_fail("opening meanwhile gives %s: %s", err_name((enum err_code)rc), err.text);
    store_close(store);
}

/* The three ways on: the program ends in order, is killed, or the power fails. */
static void part(struct story *s)
{
    switch (fault_trial->at % 3) {
    case 0:
        story_drop(s);
        if (fault_trial->lasting)
            try_while_broken();
        break;
    case 1:
        disk_now = disk_kill(disk_now);
        break;
    default:
        disk_now = disk_cut(disk_now, fault_trial->at);
        break;
    }
    fault_heal();
    s->store = NULL;
    s->log = NULL;
    s->engine = NULL;
}

/* A copy is whole under its name, or is not there. */
static void check_copy(const char *path)
{
    struct store *store = NULL;
    struct err err = { 0 };
    struct buf text = BUF_INIT;
    uint32_t faults = 0;

    if (disk_find(path) == NULL)
        return;
    if (store_open(path, STORE_READ, &store, &err) != 0 || store_check(store, &text, &faults, &err) != 0)
        trial_fail("the copy %s cannot be read: %s", path, err.text);
    if (faults > 0 || store_position(store).seq != story_acked)
        trial_fail("the copy %s is not whole: %s", path, buf_text(&text));
    store_close(store);
    buf_clear(&text);
}

static void check_made_or_not(const struct story_step *step)
{
    struct err err = { 0 };
    struct story none = { 0 };

    if (disk_find(STORY_DB) == NULL && step->play(&none, &err) != 0)
        trial_fail("cannot be made afterwards: %s", err.text);
    store_close(story_check(STORY_DB, 0, false));
    trial_pass(false);
}

static void again(struct story *s, const struct story_step *step, struct store *store)
{
    struct err err = { 0 };

    if (step->repeats) {
        if (fault_trial->at % 7 == 0)
            story_check_finish(s, store);
        else
            story_check_resume(s, store);
        return;
    }
    s->store = store;
    if (step->play(s, &err) != 0)
        trial_fail("does not go through afterwards: %s", err.text);
    if (strcmp(step->name, "backup") == 0)
        check_copy(STORY_COPY);
    if (strcmp(step->name, "mirror") == 0)
        check_copy(STORY_MIRROR "/pw.db");
}

static bool needs_run(const struct story_step *step)
{
    return strcmp(step->name, "mirror") == 0;
}

static _Noreturn void judge(struct story *s, const struct story_step *step, int rc, const struct err *err,
                            uint32_t submitted_before)
{
    uint64_t acked = story_acked;
    bool made = strcmp(step->name, "create") == 0, migrated = strcmp(step->name, "migrate") == 0;
    struct store *store;

    if (rc == 0 && !made && !migrated) { /* SQLite got round it: then it is as good as done */
        fault_heal();
        story_note(s);
        acked = story_acked;
    }
    if (rc != 0)
        check_error(rc, err);
    if (rc != 0 && step->repeats)
        check_stopped(s, submitted_before);
    part(s);
    if (made && rc != 0 && fault_trial->op != FAULT_UNLINK && disk_count() != 0 && fault_trial->at % 3 == 0)
        trial_fail("%u files are left behind", disk_count());
    if (made)
        check_made_or_not(step);
    check_copy(STORY_COPY);
    check_copy(STORY_MIRROR "/pw.db");
    if (disk_find(STORY_DB) == NULL)
        trial_fail("the database is gone");
    store = story_check(STORY_DB, acked, rc != 0);
    if (rc == 0 && step->repeats)
        story_check_resume(s, store); /* what went round a fault has decided as without it */
    if (rc != 0 && !needs_run(step))
        again(s, step, store);
    trial_pass(rc == 0);
}

static void play(struct story *s, const struct story_step *step)
{
    struct err err = { 0 };
    uint32_t submitted = s->submitted;
    const char *only = getenv("PW_TORTURE_STEP"); /* to look into one thing */
    int rc;

    fault_walk_step(step->name);
    fault_walk_pause(only != NULL && strcmp(only, step->name) != 0);
    rc = step->play(s, &err);
    fault_walk_pause(true);
    if (fault_trial != NULL)
        judge(s, step, rc, &err, submitted);
    if (rc != 0)
        story_fail("step %s: %s", step->name, err.text);
    story_note(s);
}

static void walk(enum fault_op first, enum fault_op last, unsigned stride, const char *what)
{
    unsigned long trials, failed;
    struct story s;

    disk_now = disk_new();
    story_begin(&s);
    fault_walk_begin(first, last, stride);
    fault_walk_pause(true);
    for (uint32_t i = 0; i < story_n_steps; i++)
        do
            play(&s, &story_steps[i]);
        while (story_steps[i].repeats && !s.run_over);
    fault_walk_end(&trials, &failed);
    fault_walk_report(what);
    story_end(&s);
    assert_int_equal(failed, 0);
    assert_true(trials > 100);
}

static void test_every_disk_operation(void **state)
{
    (void)state;
    walk(FAULT_OPEN, FAULT_CREATE, fault_walk_stride(13), "disk");
}

static void test_every_sqlite_call(void **state)
{
    (void)state;
    walk(FAULT_PREPARE, FAULT_BACKUP, fault_walk_stride(47), "calls");
}

static void test_every_allocation_of_sqlite(void **state)
{
    (void)state;
    walk(FAULT_SQLITE_ALLOC, FAULT_SQLITE_ALLOC, fault_walk_stride(211), "SQLite's memory");
}

static void test_every_allocation_of_ours(void **state)
{
    (void)state;
    walk(FAULT_OWN_ALLOC, FAULT_OWN_ALLOC, fault_walk_stride(41), "own memory");
}

static bool own_alloc_fails(void)
{
    return disk_quiet == 0 && fault_here(FAULT_OWN_ALLOC) != FAULT_NONE;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_disk_operation),
        cmocka_unit_test(test_every_sqlite_call),
        cmocka_unit_test(test_every_allocation_of_sqlite),
        cmocka_unit_test(test_every_allocation_of_ours),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    fault_vfs_install();
    alloc_fault_ask(own_alloc_fails);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
