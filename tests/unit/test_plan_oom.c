/* From the operator's files to a plan, its text, its check and its dry run, with
 * each place that allocates failing (tests/lib/alloc_places.h): the answer is
 * the same to the byte, or it is that memory ran out. */
#include "orchestrator/core/backend_plan.h"
#include "orchestrator/core/plan.h"
#include "tests/lib/alloc_places.h"
#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795471200000
#define PATCH                                                                                               \
    "{\"version\":1,\"name\":\"oom\",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"kb5061977.msu\",\"sha256\"" \
    ":\"9f3c5d0f7b0e4a55c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8\",\"size_bytes\":1000,"            \
    "\"target\":\"26100.4066\",\"checkpoints\":[{\"file\":\"base.msu\",\"sha256\":"                         \
    "\"0f3c5d0f7b0e4a55c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8\",\"size_bytes\":9}]},"
#define GATES                                                                                               \
    "\"gates\":[{\"type\":\"cluster_health\",\"when\":\"both\",\"samples\":2,\"interval\":\"10s\"},"        \
    "{\"type\":\"time_sync\",\"when\":\"after\",\"samples\":1,\"soak\":\"0s\"},"                            \
    "{\"type\":\"backup_agent\",\"when\":\"both\",\"samples\":1,\"soak\":\"0s\",\"on_fail\":\"rollback\"}," \
    "{\"type\":\"vm_heartbeat\",\"when\":\"both\",\"samples\":1,\"soak\":\"0s\"}],"

/* Cases: what an operator would write. */
static const struct files {
    const char *inventory, *rollout;
} mixed = { "examples/inventories/mixed.json",
            PATCH GATES "\"waves\":[\"25%\"],\"consents\":["
                        "{\"vm\":\"5f0c0078-7d21-4c5e-9a10-000000000078\",\"person\":\"r\",\"ticket\":\"T\","
                        "\"expires\":\"2027-01-31T00:00:00Z\"},"
                        "{\"vm\":\"5f0c0079-7d21-4c5e-9a10-000000000079\",\"person\":\"r\",\"ticket\":\"T\","
                        "\"expires\":\"2027-01-31T00:00:00Z\"},"
                        "{\"vm\":\"5f0c007a-7d21-4c5e-9a10-00000000007a\",\"person\":\"l\",\"ticket\":\"T\","
                        "\"method\":\"save\",\"checkpoint\":true,\"expires\":\"2027-01-31T00:00:00Z\"},"
                        "{\"vm\":\"5f0c007b-7d21-4c5e-9a10-00000000007b\",\"person\":\"v\",\"ticket\":\"T\","
                        "\"expires\":\"2027-01-31T00:00:00Z\"}],"
                        "\"policy\":{\"balancer\":\"off\",\"move_type_threshold\":5000}}" },
  rehearsed = { "examples/inventories/two-clusters.json", PATCH GATES
                "\"scope\":{\"exclude\":[\"HV05\"]},\"waves\":[1,\"33%\",\"100%\"],"
                "\"windows\":[{\"from\":\"2026-11-23T20:00:00Z\",\"to\":\"2026-11-30T00:00:00Z\"}],"
                "\"freezes\":[{\"from\":\"2026-12-20T00:00:00Z\",\"to\":\"2027-01-06T00:00:00Z\"}],"
                "\"waivers\":[{\"what\":\"rollback_outside_window\",\"person\":\"p\","
                "\"ticket\":\"t\"}],\"policy\":{\"rehearse\":true,\"max_out_fleet\":2}}" };

static char *text_of_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf b = BUF_INIT;
    char block[4096], *copy;
    size_t n;

    if (f == NULL)
        fail_msg("%s is missing", path);
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_add(&b, block, n);
    fclose(f);
    copy = strdup(buf_text(&b));
    assert_non_null(copy);
    buf_clear(&b);
    return copy;
}

struct tale {
    const char *inventory, *rollout; /* texts */
    const char *want;                /* the plan's text; NULL at first */
    const struct plan *plan;
    char hash[SHA256_TEXT]; /* of the dry run's end */
    char *made;             /* what the first telling gave */
};

static int inventory_from(const char *text, struct inventory **ret)
{
    struct json_doc *doc;
    struct err err;
    int rc = json_parse("inventory", text, strlen(text), &doc, &err);

    if (rc != 0)
        return rc;
    rc = inventory_read(doc, ret, &err);
    json_free(doc);
    return rc;
}

static int rollout_from(const char *text, struct rollout **ret)
{
    struct json_doc *doc;
    struct err err;
    int rc = json_parse("rollout", text, strlen(text), &doc, &err);

    if (rc != 0)
        return rc;
    rc = rollout_read(doc, ret, &err);
    json_free(doc);
    return rc;
}

static int plan_of(const struct tale *t, struct plan **ret)
{
    struct inventory *inv;
    struct rollout *r;
    struct err err;
    int rc = inventory_from(t->inventory, &inv);

    if (rc != 0)
        return rc;
    rc = rollout_from(t->rollout, &r);
    if (rc != 0) {
        inventory_free(inv);
        return rc;
    }
    return plan_build(inv, r, NOW, "tester", ret, &err);
}

/* Files in, the plan's text out. */
static int tell_plan(void *arg)
{
    struct tale *t = arg;
    struct buf text = BUF_INIT;
    struct plan *p;
    int rc = plan_of(t, &p);

    if (rc != 0)
        return rc;
    plan_write(&text, p, true);
    rc = text.failed ? ERR_NOMEM : 0;
    alloc_places_rest();
    if (rc == 0 && t->want != NULL)
        assert_string_equal(buf_text(&text), t->want);
    if (t->want == NULL) {
        t->made = strdup(buf_text(&text));
        assert_non_null(t->made);
        t->want = t->made;
    }
    alloc_places_go_on();
    buf_clear(&text);
    plan_free(p);
    return rc;
}

/* The plan's text in, the same plan out. */
static int tell_read(void *arg)
{
    const struct tale *t = arg;
    struct json_doc *doc;
    struct plan *p;
    struct err err;
    int rc = json_parse("plan", t->want, strlen(t->want), &doc, &err);

    if (rc != 0)
        return rc;
    rc = plan_read(doc, &p, &err);
    json_free(doc);
    if (rc != 0)
        return rc;
    assert_string_equal(p->hash, t->plan->hash);
    plan_free(p);
    return 0;
}

/* The checker: no fault, or it could not look. */
static int tell_verify(void *arg)
{
    const struct tale *t = arg;
    struct buf faults = BUF_INIT;
    uint32_t n = plan_verify(t->plan, &faults);

    alloc_places_rest();
    if (n > 0 && !faults.failed && strstr(buf_text(&faults), "out of memory") == NULL)
        fail_msg("%s", buf_text(&faults));
    alloc_places_go_on();
    buf_clear(&faults);
    return n == 0 ? 0 : ERR_NOMEM;
}

/* A plan that is wrong is never right for want of memory. */
static int tell_liar(void *arg)
{
    const struct tale *t = arg;
    struct buf faults = BUF_INIT;

    assert_true(plan_verify(t->plan, &faults) > 0);
    buf_clear(&faults);
    return 0;
}

static int append(struct event_log *l, const struct event *ev, const struct command_list *commands,
                  const struct engine *engine, struct err *err)
{
    (void)l, (void)ev, (void)commands, (void)engine, (void)err;
    return 0;
}

static struct log_position position(const struct event_log *l)
{
    (void)l;
    return (struct log_position){ 0 };
}

static int play(struct tale *t, struct engine *e, struct backend_plan *b)
{
    struct event_log log = { append, position };
    struct event first = { .at = NOW, .type = EV_RUN_START, .node = IX_NONE, .cluster = IX_NONE };
    char hash[SHA256_TEXT];
    struct runner r;
    struct err err;
    int rc;

    first.u.run_start.run = "r1";
    first.u.run_start.plan_hash = t->plan->hash;
    first.u.run_start.person = "tester";
    first.u.run_start.controller = "00000000000000000000000000000001";
    first.u.run_start.revision = ENGINE_REVISION;
    first.u.run_start.epoch = 1;
    first.u.run_start.approval_expires = TIME_NEVER;
    runner_init(&r, e, &log, backend_plan_backend(b));
    rc = backend_plan_play(b, &r, &first, 100000, NULL, NULL, &err);
    runner_clear(&r);
    if (rc != 0)
        return rc;
    engine_hash(e, hash);
    if (t->hash[0] == '\0')
        memcpy(t->hash, hash, sizeof hash);
    assert_string_equal(hash, t->hash);
    return 0;
}

/* The dry run ends where it ended, or says that it could not be played. */
static int tell_dry_run(void *arg)
{
    struct tale *t = arg;
    struct backend_plan *b = NULL;
    struct engine *e = NULL;
    struct err err;
    int rc = engine_new(t->plan, &e, &err);

    if (rc == 0)
        rc = backend_plan_new(t->plan, NOW, &b, &err);
    if (rc == 0)
        rc = play(t, e, b);
    backend_plan_free(b);
    engine_free(e);
    return rc;
}

static void fail_each(const char *what, int (*story)(void *arg), struct tale *t, uint32_t least)
{
    struct alloc_places p = { .story = story, .arg = t };

    alloc_places_fail(&p);
    print_message("# %s: %u allocations failed, %u times the answer was there all the same\n", what, p.told,
                  p.survived);
    assert_true(p.told >= least);
}

static void lie(struct plan *p)
{
    struct node *n = &((struct inventory *)(uintptr_t)p->inv)->nodes[0];

    n->memory_mib = n->host_reserve_mib; /* nothing fits any more */
}

static void tell_all(const struct files *files)
{
    char *inventory = text_of_file(files->inventory);
    struct tale t = { .inventory = inventory, .rollout = files->rollout };
    struct plan *p;

    assert_int_equal(tell_plan(&t), 0);
    assert_int_equal(plan_of(&t, &p), 0);
    t.plan = p;
    fail_each("plan", tell_plan, &t, 200);
    fail_each("read", tell_read, &t, 100);
    fail_each("verify", tell_verify, &t, 5);
    fail_each("dry run", tell_dry_run, &t, 100); /* fewer where callers are inlined */
    lie(p);
    fail_each("liar", tell_liar, &t, 5);
    plan_free(p);
    free(t.made);
    free(inventory);
}

static void test_mixed(void **state)
{
    (void)state;
    tell_all(&mixed);
}

static void test_rehearsed(void **state)
{
    (void)state;
    tell_all(&rehearsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_mixed), cmocka_unit_test(test_rehearsed) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
