/* The agent's journal on a disk that fails at every operation, and whose power fails (F9 to F12, F22, F27): a record is
 * there when append said so and whole or absent when it did not; what is acknowledged goes whole or not at all; the
 * journal folds; the error is clear; and when the disk is well the same deed goes through. */
#include "agent/io/journal.h"
#include "schema/prng.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"
#include "tests/torture/fault_disk.h"
#include "tests/torture/fault_fork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DB DISK_ROOT "journal.db"
#define ID DISK_ROOT "journal.id"
#define C "cccccccccccccccccccccccccccccccc"
#define OPS 12 /* node-level ops of the story */
#define CUTS 8

/* Deeds: an append of a record, or one of these. */
enum deed { OPEN, APPEND, FORGET, REOPEN };

static struct {
    struct journal *j;
    struct journal_fold fold;
    int64_t at[400]; /* what is acknowledged: the records' times, which are unique */
    uint32_t n, forgotten;
    /* the deed under way: what it adds, or whose records it drops */
    enum deed deed;
    struct agent_record rec;
    char op[40], body[600];
} now;

static const char *const bodies[AGENT_REC_KINDS] = {
    [AGENT_REC_BOOT] = "{\"machine_id\":\"M1\"}",
    [AGENT_REC_CLAIM] = "{\"run\":\"r1\",\"controller\":\"" C
                        "\",\"epoch\":1,\"log\":{\"seq\":1,\"hash\":\"h\"},\"takeover\":false}",
    [AGENT_REC_ACCEPT] = "{\"action\":\"pause\",\"args\":{},\"digest\":\"d\",\"limit_ms\":1000,"
                         "\"precondition\":{},\"epoch\":1,"
                         "\"controller\":\"" C "\",\"log\":{\"seq\":9,\"hash\":\"i\"},\"mono_ms\":5}",
    [AGENT_REC_START] = "{\"found\":{}}",
    [AGENT_REC_DONE] =
        "{\"outcome\":\"ok\",\"error\":null,\"result\":null,\"downtime\":[],\"output_bytes\":0,"
        "\"output_tail\":\"\"}",
    [AGENT_REC_ACK] = "{}",
};

static int do_deed(struct err *err)
{
    if (now.deed == APPEND)
        return journal_append(now.j, &now.rec, err);
    if (now.deed == FORGET)
        return journal_forget(now.j, now.op, err);
    if (now.j != NULL) {
        journal_fold_clear(&now.fold);
        journal_close(now.j);
        now.j = NULL;
    }
    return journal_open(DB, ID, "1", &now.j, &now.fold, err);
}

/* The deed went through: what is acknowledged from now on. */
static void note(void)
{
    if (now.deed == APPEND)
        now.at[now.n++] = now.rec.at;
    if (now.deed != FORGET)
        return;
    now.forgotten++;
    now.n = 0;
    for (int64_t at = 1; at <= now.rec.at; at++) /* records 1 and 2 stay; an op's are four in a row */
        if (at <= 2 || (at - 3) / 4 >= now.forgotten)
            now.at[now.n++] = at;
}

/* --- looking --- */

static uint32_t read_all(struct journal *j, int64_t *at, uint32_t max)
{
    struct buf page = BUF_INIT;
    struct json_doc *doc = NULL;
    struct err err = { 0 };
    uint32_t n = 0;

    if (journal_page(j, 0, 1000, 1u << 20, &page, &err) != 0 ||
        json_parse("page", buf_text(&page), page.len, &doc, &err) != 0)
        trial_fail("the records cannot be read: %s", err.text);
    for (const json *r = json_first(json_get(json_root(doc), "records")); r != NULL && n < max;
         r = json_next(r))
        at[n++] = json_get_int(r, "at_ms", 0);
    json_free(doc);
    buf_clear(&page);
    return n;
}

static bool same(const int64_t *at, uint32_t n)
{
    return n == now.n && memcmp(at, now.at, n * sizeof *at) == 0;
}

/* The journal is as before the deed, or (if nobody can know) as after it; nothing between. */
static void check(bool doubtful)
{
    struct journal *j = NULL;
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    struct err err = { 0 };
    int64_t at[400];
    uint32_t n;

    if (journal_open(DB, ID, "1", &j, &fold, &err) != 0)
        trial_fail("cannot be opened afterwards: %s", err.text);
    n = read_all(j, at, 400);
    if (!same(at, n)) {
        if (!doubtful)
            trial_fail("%u records, not the %u acknowledged", n, now.n);
        note();
        if (!same(at, n))
            trial_fail("%u records: neither as before nor as after", n);
    }
    journal_fold_clear(&fold);
    journal_close(j);
}

static enum err_code documented(enum fault_mode m)
{
    if (m == FAULT_DISK_FULL || m == FAULT_FULL_SHORT)
        return ERR_FULL;
    return m == FAULT_BUSY ? ERR_LOCKED : m == FAULT_NOMEM ? ERR_NOMEM : ERR_IO;
}

static void part(void)
{
    if (fault_trial->at % 3 == 0) {
        journal_close(now.j);
        journal_fold_clear(&now.fold);
    } else if (fault_trial->at % 3 == 1) {
        disk_now = disk_kill(disk_now);
    } else {
        disk_now = disk_cut(disk_now, fault_trial->at);
    }
    now.j = NULL;
    fault_heal();
}

/* An agent whose append failed goes on serving: the next record must be as durable as any. */
static void goes_on(void)
{
    struct err err = { 0 };
    uint32_t n_before = now.n;

    if (now.j == NULL || fault_trial->lasting)
        return;
    if (do_deed(&err) != 0)
        trial_fail("does not go through when tried again: %s", err.text);
    note();
    disk_now = disk_cut(disk_now, 1 + fault_trial->at); /* at once */
    now.j = NULL;
    check(false);
    (void)n_before;
    trial_pass(false);
}

static _Noreturn void judge(int rc, const struct err *err)
{
    enum err_code want = documented(fault_trial->mode);

    if (rc != 0 && (rc != (int)err->code || rc != (int)want))
        trial_fail("the code is %s (%s), not %s: %s", err_name((enum err_code)rc), err_name(err->code),
                   err_name(want), err->text);
    if (rc != 0 && want != ERR_NOMEM && strstr(err->text, DISK_ROOT) == NULL)
        trial_fail("the error does not name the file: %s", err->text);
    if (rc == 0)
        note();
    if (rc != 0 && fault_trial->at % 2 == 0)
        goes_on();
    part();
    check(rc != 0);
    trial_pass(rc == 0);
}

/* --- the story --- */

static void deed(enum deed what, const char *name)
{
    struct err err = { 0 };
    int rc;

    now.deed = what;
    fault_walk_step(name);
    fault_walk_pause(false);
    rc = do_deed(&err);
    fault_walk_pause(true);
    if (fault_trial != NULL)
        judge(rc, &err);
    if (rc != 0)
        fail_msg("%s: %s", name, err.text);
    note();
}

static void append(enum agent_record_kind kind, const char *op)
{
    snprintf(now.op, sizeof now.op, "%s", op);
    now.rec = (struct agent_record){ kind, now.rec.at + 1, now.op, "B1", bodies[kind] };
    deed(APPEND, agent_record_kind_name(kind));
}

static void play(void)
{
    char op[40];

    memset(&now, 0, sizeof now);
    disk_now = disk_new();
    deed(OPEN, "open");
    append(AGENT_REC_BOOT, "");
    append(AGENT_REC_CLAIM, "");
    for (int i = 0; i < OPS; i++) {
        snprintf(op, sizeof op, "r1/HV07/1/pause/%d", i);
        append(AGENT_REC_ACCEPT, op);
        append(AGENT_REC_START, op);
        if (i % 3 == 1)
            deed(REOPEN, "recover");
        append(AGENT_REC_DONE, op);
        append(AGENT_REC_ACK, op);
        if (i % 2 == 1) { /* the op before this one: two at most are kept */
            for (int k = i - 1; k <= i; k++) {
                snprintf(now.op, sizeof now.op, "r1/HV07/1/pause/%d", k);
                deed(FORGET, "forget");
            }
        }
    }
    deed(REOPEN, "reopen");
    journal_close(now.j);
    journal_fold_clear(&now.fold);
}

static void end(const char *what)
{
    unsigned long trials, failed;

    fault_walk_end(&trials, &failed);
    fault_walk_report(what);
    assert_int_equal(failed, 0);
    assert_true(trials > 100);
}

static void walk(enum fault_op first, enum fault_op last, unsigned stride, const char *what)
{
    fault_walk_begin(first, last, fault_walk_stride(stride));
    fault_walk_pause(true);
    play();
    end(what);
}

static void test_every_disk_operation(void **state)
{
    (void)state;
    walk(FAULT_OPEN, FAULT_CREATE, 2, "disk");
}

static void test_every_sqlite_call(void **state)
{
    (void)state;
    walk(FAULT_PREPARE, FAULT_BACKUP, 1, "calls");
}

static void test_every_allocation(void **state)
{
    (void)state;
    walk(FAULT_SQLITE_ALLOC, FAULT_SQLITE_ALLOC, 11, "SQLite's memory");
    walk(FAULT_OWN_ALLOC, FAULT_OWN_ALLOC, 3, "own memory");
}

static void look(void)
{
    const struct disk *at_the_cut = disk_now;
    uint64_t acked = now.n;

    for (uint64_t i = 0; i < CUTS; i++) {
        int64_t before[400];
        uint32_t forgotten = now.forgotten;

        memcpy(before, now.at, sizeof before);
        disk_now = disk_cut(at_the_cut, fault_trial->at * CUTS + i);
        check(true);
        memcpy(now.at, before, sizeof before); /* a check may have taken the deed as done */
        now.n = (uint32_t)acked;
        now.forgotten = forgotten;
    }
    trial_pass(false);
}

static void test_power_cuts(void **state)
{
    (void)state;
    fault_walk_power(fault_walk_stride(2), look);
    fault_walk_pause(true);
    play();
    end("power");
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
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_power_cuts),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    fault_vfs_install();
    alloc_fault_ask(own_alloc_fails);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
