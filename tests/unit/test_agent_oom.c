/* Every allocation of the agent's core fails once, over a whole story: each
 * time the call says so (the process would end there), nothing leaks (the
 * sanitizer build looks), and the journal it leaves folds. */
#include "agent/core/agent.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/alloc_places.h"
#include "tests/lib/check.h"

#include <stdlib.h>
#include <string.h>

#define S "00000000000000000000000000000001"
#define C "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define EMPTY_DIGEST "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define REQUEST(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
#define FACTS                                                                                                \
    "<{\"result\":{\"machine_id\":\"M\",\"boot_id\":\"B\",\"os\":{\"build\":1,\"ubr\":1},\"memory_mib\":99}" \
    "}"
#define ORDER(op, action, more)                                                                             \
    REQUEST("op.start",                                                                                     \
            "{\"op\":\"r1/HV07/1/" op "\",\"action\":\"" action "\",\"args\":{},\"digest\":\"" EMPTY_DIGEST \
            "\",\"limit_ms\":1000,\"epoch\":1,\"controller\":\"" C "\",\"log\":{\"seq\":2,\"hash\":\"h\"}," \
            "\"session\":\"" S "\"" more "}")

#define PACKAGE                                                                                             \
    "{\"name\":\"kb.msu\",\"sha256\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"," \
    "\"size_bytes\":9,\"source\":\"//share/kb.msu\"}"
#define PACKAGE_DIGEST "81b91b265942cc5866f2cdba06f551727fcb6fa19746da56634912a23de8b4d8"

/* Lines from the controller; < is a driver's answer to the oldest run, + the host's, - its refusal. */
static const char *const story[] = {
    FACTS,
    REQUEST("hello", "{\"protocol\":{\"min\":1,\"max\":1},\"controller\":\"" C "\",\"program\":\"t\"}"),
    REQUEST("claim", "{\"run\":\"r1\",\"controller\":\"" C
                     "\",\"epoch\":1,\"log\":{\"seq\":1,\"hash\":\"h\"},\"session\":\"" S "\"}"),
    ORDER("pause/1", "pause", ",\"precondition\":{\"boot_id\":\"B\",\"build\":\"1.1\"}"),
    FACTS,
    "<{\"result\":{\"state\":\"paused\"},\"downtime\":[{\"subject\":\"node\",\"id\":\"n\",\"cause\":\"node_"
    "out\",\"start_ms\":1,"
    "\"end_ms\":null,\"how\":\"h\"}]}",
    ORDER("stop_vmms/1", "stop_vmms", ""),
    "<{\"result\":{\"empty\":false,\"left\":[{\"kind\":\"vm\",\"id\":\"v\",\"why\":\"w\"}]}}",
    ORDER("pause/2", "pause", ""),
    "<no evidence",
    REQUEST("op.witness", "{\"op\":\"r1/HV07/1/pause/2\",\"session\":\"" S "\"}"),
    "<{\"witness\":\"not_done\"}",
    ORDER("pause/2", "pause", ""),
    "<{\"error\":{\"code\":\"failed\",\"message\":\"m\",\"native\":\"0x1\"}}",
    REQUEST("op.ack", "{\"ops\":[\"r1/HV07/1/pause/2\"],\"session\":\"" S "\"}"),
    REQUEST("observe", "{\"what\":\"vms\",\"args\":{}}"),
    "<{\"result\":{\"vms\":[{\"id\":\"a\"}],\"next\":\"2\"}}",
    REQUEST(
        "move.accept",
        "{\"op\":\"r1/HV06/1/move_vm/1\",\"vm\":\"00000000-0000-4000-8000-000000000001\",\"memory_mib\":5,"
        "\"from\":\"HV06\",\"session\":\"" S "\"}"),
    FACTS,
    "<{\"result\":{\"vms\":[],\"next\":null}}",
    REQUEST("op.status", "{\"op\":\"r1/HV07/1/pause/1\"}"),
    REQUEST("package.held", "{\"name\":\"kb.msu\",\"sha256\":\"" PACKAGE_DIGEST "\"}"),
    "+/store/kb.msu",
    REQUEST("package.fetch", PACKAGE),
    "-not there",
    "+placed",
    "<{\"result\":{\"path\":\"p\"}}",
    "+/store/kb.msu",
    REQUEST("op.start", "{\"op\":\"r1/HV07/1/fetch_package/1\",\"action\":\"fetch_package\",\"args\":" PACKAGE
                        ",\"digest\":\"" PACKAGE_DIGEST "\",\"limit_ms\":1000,\"epoch\":1,\"controller\":\"" C
                        "\",\"log\":{\"seq\":2,\"hash\":\"h\"},\"session\":\"" S "\"}"),
    "+placed",
    "<{\"result\":{\"path\":\"p\"}}",
    "+/store/kb.msu",
};

struct world {
    struct agent *agent;
    struct agent_record records[64]; /* the journal: texts are copied */
    uint32_t n_records;
    uint32_t runs[32], n_runs;
    dur_ms mono;
};

/* The test's own: where one allocation fails the next does not. */
static char *kept(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        copy = strdup(text);
    return copy;
}

static void carry_out(struct world *w, const struct agent_effects *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct agent_effect *e = &list->items[i];

        if (e->type == AGENT_DO_APPEND) {
            assert_true(w->n_records < TABLE_LEN(w->records));
            w->records[w->n_records++] =
                (struct agent_record){ e->record.kind, e->record.at, kept(e->record.op),
                                       kept(e->record.boot_id), kept(e->record.body) };
        }
        if (e->type == AGENT_DO_DRIVER_START || e->type == AGENT_DO_PACKAGE_PLACE ||
            e->type == AGENT_DO_PACKAGE_ADOPT || e->type == AGENT_DO_PACKAGE_CHECK)
            w->runs[w->n_runs++] = e->run;
    }
}

static int feed(struct world *w, struct agent_event *ev)
{
    struct agent_effects list = AGENT_EFFECTS_INIT;
    int rc;

    ev->at = w->mono;
    ev->mono = w->mono++;
    rc = agent_step(w->agent, ev, &list, NULL);
    if (rc == 0)
        carry_out(w, &list);
    agent_effects_clear(&list);
    return rc;
}

/* Of the driver, or of the host itself. */
static int answer(struct world *w, const char *line)
{
    struct err why = { .code = ERR_NOT_FOUND };
    struct agent_event ev = { .type = line[0] == '<' ? AGENT_EV_DRIVER_DONE : AGENT_EV_ANSWER,
                              .run = w->runs[0],
                              .text = line + 1,
                              .len = strlen(line) - 1,
                              .err = line[0] == '-' ? &why : NULL };

    if (w->n_runs == 0)
        return 0; /* the request before it was refused for want of memory */
    memmove(w->runs, w->runs + 1, --w->n_runs * sizeof w->runs[0]);
    return feed(w, &ev);
}

static int tell(struct world *w, const char *line)
{
    struct rpc_message msg = { 0 };
    int rc;

    if (strchr("<+-", line[0]) != NULL)
        return answer(w, line);
    rc = rpc_parse(line, strlen(line), &msg, NULL);
    if (rc == 0)
        rc = feed(w, &(struct agent_event){ .type = AGENT_EV_REQUEST, .conn = 1, .msg = &msg });
    rpc_clear(&msg);
    return rc;
}

static int begin(struct world *w, const struct agent_config *config)
{
    struct journal_fold none = JOURNAL_FOLD_INIT;
    struct agent_effects list = AGENT_EFFECTS_INIT;
    int rc = agent_new(config, &none, &w->agent, NULL);

    if (rc == 0)
        rc = agent_start(w->agent, 0, w->mono++, NULL, 0, NULL, &list, NULL);
    if (rc == 0)
        carry_out(w, &list);
    agent_effects_clear(&list);
    if (rc == 0)
        rc = feed(w, &(struct agent_event){ .type = AGENT_EV_OPEN, .conn = 1, .text = S });
    return rc;
}

static void check_journal(const struct world *w)
{
    struct journal_fold f = JOURNAL_FOLD_INIT;
    struct err err;

    for (uint32_t i = 0; i < w->n_records; i++)
        check_ok(journal_fold_apply(&f, &w->records[i], &err), &err);
    journal_fold_clear(&f);
}

static void end(struct world *w)
{
    agent_free(w->agent);
    for (uint32_t i = 0; i < w->n_records; i++) {
        free((void *)(uintptr_t)w->records[i].op);
        free((void *)(uintptr_t)w->records[i].boot_id);
        free((void *)(uintptr_t)w->records[i].body);
    }
}

static const char manifest[] =
    "{\"name\":\"t\",\"version\":\"1\",\"contract\":1,\"actions\":{\"facts\":{\"argv\":[\"d\"],\"limit_"
    "ms\":50000},"
    "\"vms\":{\"argv\":[\"d\"],\"limit_ms\":50000},\"check_empty\":{\"argv\":[\"d\"],\"limit_ms\":50000},"
    "\"pause\":{\"argv\":[\"d\"],\"limit_ms\":50000},\"stop_vmms\":{\"argv\":[\"d\"],\"limit_ms\":50000},"
    "\"fetch_package\":{\"argv\":[\"d\"],\"limit_ms\":50000}}}";

static void test_every_allocation(void **state)
{
    struct driver_manifest m;
    struct err err;
    struct agent_config config = { .node = "HV07",
                                   .version = "1",
                                   .os = "t",
                                   .journal_id = S,
                                   .driver = &m,
                                   .fetch_dir = "/store",
                                   .move_slots = 1,
                                   .clock_factor = 1 };
    bool hit = true;
    unsigned n;

    (void)state;
    check_ok(driver_manifest_read("d", manifest, sizeof manifest - 1, &m, &err), &err);
    for (n = 1; hit; n++) {
        struct world w = { .mono = 1 };
        int rc;

        alloc_fault_at(n);
        rc = begin(&w, &config);
        for (size_t i = 0; rc == 0 && i < TABLE_LEN(story); i++)
            rc = tell(&w, story[i]);
        hit = alloc_fault_hit();
        alloc_fault_at(0);
        if (!hit) {
            assert_int_equal(rc, 0);
            assert_int_equal(w.n_runs, 0); /* each was asked for, and answered */
        }
        check_journal(&w);
        end(&w);
    }
    assert_true(n > 250); /* the story was told to its end */
    driver_manifest_clear(&m);
}

/* The whole manifest, or none of it. */
static int tell_manifest(void *arg)
{
    struct driver_manifest m;
    struct err err;
    int rc = driver_manifest_read("d", manifest, sizeof manifest - 1, &m, &err);

    (void)arg;
    assert_int_equal(m.n_actions, rc == 0 ? 6 : 0);
    if (rc == 0)
        assert_string_equal(driver_manifest_find(&m, "stop_vmms")->argv[0], "d");
    driver_manifest_clear(&m);
    return rc;
}

static void test_manifest(void **state)
{
    struct alloc_places p = { .story = tell_manifest };

    (void)state;
    alloc_places_fail(&p);
    assert_true(p.told > 20);
    assert_int_equal(p.survived, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation),
                                        cmocka_unit_test(test_manifest) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
