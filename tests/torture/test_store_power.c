/* The power fails at any operation of the store's life (F12): whatever part of what was not synced reached the disk,
 * in whatever order, and torn, the database opens, is whole, and holds every acknowledged entry; also when the power
 * fails again while it recovers. */
#include "tests/torture/store_story.h"

#include "orchestrator/io/store_impl.h"
#include "schema/prng.h"
#include "tests/lib/check.h"
#include "tests/torture/fault_fork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUTS 5 /* at one point, by seed */

static struct story story;
static const struct story_step *step;

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

/* The second cut: taken at one operation of the recovery, looked at afterwards. */
static struct disk *second;
static uint64_t second_at, second_seed;

static enum fault_mode during_recovery(enum fault_op op)
{
    if (op <= FAULT_SHM_LOCK && second_at > 0 && --second_at == 0)
        second = disk_cut(disk_now, second_seed);
    return FAULT_NONE;
}

static void check_copy(const char *path)
{
    struct store *copy = NULL;
    struct err err = { 0 };

    if (disk_find(path) == NULL)
        return;
    if (store_open(path, STORE_READ, &copy, &err) != 0)
        story_fail("the copy is not whole: %s", err.text);
    store_close(copy);
}

static void look_once(bool resume)
{
    struct store *store;

    check_copy(STORY_COPY);
    check_copy(STORY_MIRROR "/pw.db");
    if (disk_find(STORY_DB) == NULL) {
        if (step > &story_steps[0])
            story_fail("the database is gone");
        return;
    }
    store = story_check(STORY_DB, story_acked, true);
    if (resume)
        story_check_resume(&story, store);
    store_close(store);
}

static void look(void)
{
    const struct disk *at_the_cut = disk_now;
    struct prng prng;

    prng_init(&prng, fault_trial->at);
    for (int i = 0; i < CUTS; i++) {
        second_seed = prng_next(&prng);
        second_at = 1 + prng_below(&prng, 60);
        second = NULL;
        disk_now = disk_cut(at_the_cut, prng_next(&prng));
        fault_ask = during_recovery;
        look_once(i == 0);
        fault_ask = NULL;
        if (second != NULL) {
            disk_now = second;
            look_once(false);
        }
    }
    trial_pass(false);
}

static void play(void)
{
    struct err err = { 0 };
    int rc;

    fault_walk_step(step->name);
    fault_walk_pause(false);
    rc = step->play(&story, &err);
    fault_walk_pause(true);
    if (rc != 0)
        story_fail("step %s: %s", step->name, err.text);
    story_note(&story);
}

static void test_power_cuts(void **state)
{
    unsigned long trials, failed;

    (void)state;
    disk_now = disk_new();
    story_begin(&story);
    fault_walk_power(fault_walk_stride(13), look);
    fault_walk_pause(true);
    for (uint32_t i = 0; i < story_n_steps; i++) {
        step = &story_steps[i];
        do
            play();
        while (step->repeats && !story.run_over);
    }
    fault_walk_end(&trials, &failed);
    printf("# %lu points, %d cuts each and one more in each recovery\n", trials, CUTS);
    story_end(&story);
    assert_int_equal(failed, 0);
    assert_true(trials > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_power_cuts) };

    fault_vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
