/* Recovery is a fold: over every prefix of a journal it gives the verdicts of
 * table C.3; what cannot follow is corrupt and changes nothing. */
#include "agent/core/journal_fold.h"
#include "tests/lib/check.h"

#include <stdio.h>
#include <string.h>

#define C "cccccccccccccccccccccccccccccccc"
#define CLAIM(epoch, controller)                                                                    \
    "{\"run\":\"r1\",\"controller\":\"" controller "\",\"epoch\":" epoch ",\"log\":{\"seq\":" epoch \
    ",\"hash\":\"h\"},"                                                                             \
    "\"takeover\":false}"
#define ACCEPT(digest)                                       \
    "{\"action\":\"pause\",\"args\":{},\"digest\":\"" digest \
    "\",\"limit_ms\":1000,\"precondition\":{},\"epoch\":1,"  \
    "\"controller\":\"" C "\",\"log\":{\"seq\":9,\"hash\":\"i\"},\"mono_ms\":5}"
#define DONE                                                                                               \
    "{\"outcome\":\"ok\",\"error\":null,\"result\":{\"a\":1},\"downtime\":[],\"output_bytes\":3,\"output_" \
    "tail\":\"t\"}"
#define OP "r1/HV07/1/pause/1"

static const struct agent_record story[] = {
    { AGENT_REC_BOOT, 1, "", "B1", "{\"machine_id\":\"M1\"}" },
    { AGENT_REC_CLAIM, 2, "", "B1", CLAIM("1", C) },
    { AGENT_REC_ACCEPT, 3, OP, "B1", ACCEPT("d") },
    { AGENT_REC_START, 4, OP, "B1", "{\"found\":{}}" },
    { AGENT_REC_WITNESS, 5, OP, "B1", "{\"verdict\":\"not_done\"}" },
    { AGENT_REC_ACCEPT, 6, OP, "B1", ACCEPT("d") },
    { AGENT_REC_START, 7, OP, "B1", "{\"found\":{}}" },
    { AGENT_REC_DONE, 8, OP, "B1", DONE },
    { AGENT_REC_ACK, 9, OP, "B1", "{}" },
};

static void fold(struct journal_fold *f, uint32_t n)
{
    struct err err;

    *f = (struct journal_fold)JOURNAL_FOLD_INIT;
    for (uint32_t i = 0; i < n; i++)
        check_ok(journal_fold_apply(f, &story[i], &err), &err);
    journal_fold_recover(f);
}

static void test_every_prefix(void **state)
{
    static const struct {
        const char *verdict;
        bool not_done;
        uint32_t starts, unacked;
    } want[] = {
        { "none", false, 0, 0 },     { "none", false, 0, 0 },    { "none", false, 0, 0 },
        { "accepted", false, 0, 1 }, { "unknown", false, 1, 1 }, { "unknown", true, 1, 1 },
        { "accepted", true, 1, 1 },  { "unknown", false, 2, 1 }, { "done", false, 2, 1 },
        { "done", false, 2, 0 },
    };

    (void)state;
    for (uint32_t n = 0; n < TABLE_LEN(want); n++) {
        struct journal_fold f;
        const struct agent_op *op;

        fold(&f, n);
        op = journal_fold_find(&f, OP);
        assert_string_equal(agent_op_state_name(op == NULL ? AGENT_OP_NONE : op->state), want[n].verdict);
        assert_int_equal(op == NULL ? 0 : op->starts, want[n].starts);
        assert_int_equal(op != NULL && op->not_done, want[n].not_done);
        assert_int_equal(journal_fold_unacked(&f), want[n].unacked);
        assert_int_equal(f.claim.epoch, n >= 2 ? 1 : 0);
        assert_int_equal(f.claim.log.seq, n >= 3 ? 9 : n >= 2 ? 1 : 0);
        journal_fold_clear(&f);
    }
}

static void test_done_is_read_back(void **state)
{
    struct journal_fold f;
    const struct agent_op *op;

    (void)state;
    fold(&f, TABLE_LEN(story));
    op = journal_fold_find(&f, OP);
    assert_string_equal(op->result, "{\"a\":1}");
    assert_string_equal(op->error, "null");
    assert_string_equal(op->output_tail, "t");
    assert_int_equal(op->accepted_at, 6);
    assert_int_equal(op->started_at, 7);
    assert_int_equal(op->ended_at, 8);
    assert_string_equal(f.machine_id, "M1");
    journal_fold_clear(&f);
}

/* Whatever record comes after whatever prefix: it is applied, or it is refused
 * as corrupt and the fold is as before. */
static void test_every_record_after_every_prefix(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= TABLE_LEN(story); n++)
        for (uint32_t i = 0; i < TABLE_LEN(story); i++) {
            struct journal_fold f;
            struct err err;
            const struct agent_op *op;
            enum agent_op_state before;
            int rc;

            fold(&f, n);
            op = journal_fold_find(&f, OP);
            before = op == NULL ? AGENT_OP_NONE : op->state;
            rc = journal_fold_apply(&f, &story[i], &err);
            op = journal_fold_find(&f, OP);
            if (rc != 0) {
                assert_int_equal(rc, ERR_CORRUPT);
                assert_int_equal(err.code, ERR_CORRUPT);
                assert_int_equal(op == NULL ? AGENT_OP_NONE : op->state, before);
            }
            if (story[i].kind == AGENT_REC_START)
                assert_int_equal(rc == 0, before == AGENT_OP_ACCEPTED);
            if (story[i].kind == AGENT_REC_DONE)
                assert_int_equal(rc == 0, before == AGENT_OP_ACCEPTED || before == AGENT_OP_UNKNOWN);
            journal_fold_clear(&f);
        }
}

/* Undoing the last record gives the fold before it. */
static void test_undo(void **state)
{
    (void)state;
    for (uint32_t n = 2; n < TABLE_LEN(story); n++) {
        struct journal_fold f, g;
        struct err err;
        const struct agent_op *a, *b;

        fold(&f, n);
        fold(&g, n);
        check_ok(journal_fold_apply(&f, &story[n], &err), &err);
        journal_fold_undo(&f, &story[n]);
        a = journal_fold_find(&f, OP);
        b = journal_fold_find(&g, OP);
        assert_int_equal(a == NULL, b == NULL);
        if (a != NULL) {
            assert_string_equal(agent_op_state_name(a->state), agent_op_state_name(b->state));
            assert_int_equal(a->starts, b->starts);
            assert_int_equal(a->acked, b->acked);
        }
        journal_fold_clear(&f);
        journal_fold_clear(&g);
    }
}

static void test_corrupt_records(void **state)
{
    static const struct agent_record rows[] = {
        { AGENT_REC_BOOT, 1, "", "B1", "{}" },
        { AGENT_REC_BOOT, 1, "", "B1", "[1]" },
        { AGENT_REC_BOOT, 1, "", "B1", "{\"machine_id\":" },
        { AGENT_REC_BOOT, 1, "", "B1", "" },
        { AGENT_REC_CLAIM, 2, "", "B1", CLAIM("1", "d") },                            /* not the holder */
        { AGENT_REC_CLAIM, 2, "", "B1", CLAIM("0", C) },                              /* no such epoch */
        { AGENT_REC_ACCEPT, 3, OP, "B1", ACCEPT("other") },                           /* other arguments */
        { AGENT_REC_ACCEPT, 3, "r1/HV07/1/pause/2", "B1", "{\"action\":\"pause\"}" }, /* half a record */
        { AGENT_REC_START, 4, "r1/HV07/1/pause/2", "B1", "{\"found\":{}}" },          /* never accepted */
        { AGENT_REC_DONE, 5, OP, "B1",
          "{\"outcome\":\"perhaps\",\"error\":null,\"result\":null,\"downtime\":[],"
          "\"output_bytes\":0,\"output_tail\":\"\"}" },
        { AGENT_REC_ACK, 5, "r1/HV07/1/pause/2", "B1", "{}" },
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(rows); i++) {
        struct journal_fold f;
        struct err err = { 0 };

        fold(&f, 3);
        if (journal_fold_apply(&f, &rows[i], &err) != ERR_CORRUPT)
            fail_msg("row %zu was taken", i);
        assert_string_equal(agent_op_state_name(journal_fold_find(&f, OP)->state), "accepted");
        journal_fold_clear(&f);
    }
}

/* The bound of names: no record can overrun what holds it. */
static void test_long_names(void **state)
{
    struct journal_fold f = JOURNAL_FOLD_INIT;
    struct err err;
    char body[512];
    struct agent_record r = { AGENT_REC_BOOT, 1, "", "B1", body };

    (void)state;
    snprintf(body, sizeof body, "{\"machine_id\":\"%0200d\"}", 7);
    assert_int_equal(journal_fold_apply(&f, &r, &err), ERR_CORRUPT);
    assert_string_equal(f.machine_id, "");
    journal_fold_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_done_is_read_back),
        cmocka_unit_test(test_every_record_after_every_prefix),
        cmocka_unit_test(test_undo),
        cmocka_unit_test(test_corrupt_records),
        cmocka_unit_test(test_long_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
