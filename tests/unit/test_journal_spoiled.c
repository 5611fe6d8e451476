/* Records of a journal with one member gone or of another form: refused as
 * corrupt, and the fold is as it was. The same story without memory. */
#include "agent/core/agent_state.h"
#include "tests/lib/alloc_places.h"
#include "tests/lib/check.h"
#include "tests/lib/json_spoil.h"

#include <string.h>

#define OP "r1/HV07/1/pause/1"
#define C "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define ACCEPT                                                                                           \
    "{\"action\":\"pause\",\"args\":{},\"digest\":\"" DIGEST "\",\"limit_ms\":1000,\"precondition\":{}," \
    "\"epoch\":1,\"controller\":\"" C "\",\"log\":{\"seq\":2,\"hash\":\"h\"},\"mono_ms\":7}"

static const struct agent_record story[] = {
    { AGENT_REC_BOOT, 1, "", "B1", "{\"machine_id\":\"M1\"}" },
    { AGENT_REC_CLAIM, 2, "", "B1",
      "{\"run\":\"r1\",\"controller\":\"" C
      "\",\"epoch\":1,\"log\":{\"seq\":1,\"hash\":\"h\"},\"takeover\":false}" },
    { AGENT_REC_ACCEPT, 3, OP, "B1", ACCEPT },
    { AGENT_REC_START, 4, OP, "B1", "{\"found\":{}}" },
    { AGENT_REC_WITNESS, 5, OP, "B1", "{\"verdict\":\"not_done\"}" },
    { AGENT_REC_ACCEPT, 6, OP, "B1", ACCEPT },
    { AGENT_REC_START, 7, OP, "B1", "{\"found\":{}}" },
    { AGENT_REC_DONE, 8, OP, "B1",
      "{\"outcome\":\"failed\",\"error\":{\"code\":\"failed\",\"message\":\"m\"},\"result\":{\"a\":1},"
      "\"downtime\":[],\"output_bytes\":5,\"output_tail\":\"said\"}" },
    { AGENT_REC_ACK, 9, OP, "B1", "{}" },
};

/* All that is told of the fold. */
static void show(const struct journal_fold *f, struct buf *out)
{
    const struct agent_op *op = journal_fold_find(f, OP);
    struct json_writer w;

    buf_printf(out, "%s %s %s %lld %s %lld %s %u ", f->machine_id, f->boot_id, f->claim.controller,
               (long long)f->claim.epoch, f->claim.run, (long long)f->claim.log.seq, f->claim.log.hash,
               op == NULL ? 0 : op->starts);
    jw_init(&w, out);
    agent_record_write(&w, NULL, OP, op);
}

static void fold_upto(struct journal_fold *f, uint32_t n)
{
    struct err err;

    *f = (struct journal_fold)JOURNAL_FOLD_INIT;
    for (uint32_t i = 0; i < n; i++)
        check_ok(journal_fold_apply(f, &story[i], &err), &err);
}

static uint32_t refused;

static void spoil(uint32_t at, const struct json_doc *doc, uint32_t way)
{
    struct buf body = BUF_INIT, before = BUF_INIT, after = BUF_INIT;
    struct agent_record rec = story[at];
    struct journal_fold f;
    struct err err;
    int rc;

    fold_upto(&f, at);
    show(&f, &before);
    json_spoil(&body, json_root(doc), way);
    rec.body = buf_text(&body);
    rc = journal_fold_apply(&f, &rec, &err);
    show(&f, &after);
    if (rc != 0 && rc != ERR_CORRUPT)
        fail_msg("record %u: %s: %s", at, rec.body, err_name((enum err_code)rc));
    if (rc != 0 && strcmp(buf_text(&before), buf_text(&after)) != 0)
        fail_msg("record %u: %s\nwas %s\nis %s", at, rec.body, buf_text(&before), buf_text(&after));
    refused += rc != 0;
    buf_clear(&body);
    buf_clear(&before);
    buf_clear(&after);
    journal_fold_clear(&f);
}

static void test_spoiled(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(story); i++) {
        struct json_doc *doc;
        struct err err;

        check_ok(json_parse("body", story[i].body, strlen(story[i].body), &doc, &err), &err);
        for (uint32_t way = 0; way < json_spoil_ways(json_root(doc)); way++)
            spoil(i, doc, way);
        json_free(doc);
    }
    assert_true(refused > 60);
}

static int tell(void *arg)
{
    struct journal_fold f = JOURNAL_FOLD_INIT;
    struct buf text = BUF_INIT;
    int rc = 0;

    (void)arg;
    for (uint32_t i = 0; i < TABLE_LEN(story) && rc == 0; i++) {
        rc = journal_fold_apply(&f, &story[i], NULL);
        rc = rc == ERR_INTERNAL ? ERR_NOMEM : rc; /* told without an err to tell it in */
    }
    alloc_places_rest();
    show(&f, &text);
    if (rc == 0 && strstr(buf_text(&text), "\"output_tail\":\"said\"") == NULL)
        fail_msg("%s", buf_text(&text));
    alloc_places_go_on();
    buf_clear(&text);
    journal_fold_clear(&f);
    return rc;
}

static void test_without_memory(void **state)
{
    struct alloc_places p = { .story = tell };

    (void)state;
    alloc_places_fail(&p);
    assert_true(p.told > 20); /* fewer where callers are inlined */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_spoiled),
                                        cmocka_unit_test(test_without_memory) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
