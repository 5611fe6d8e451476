#include "orchestrator/core/rollout.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdio.h>
#include <string.h>

#define PATCH                                                                                           \
    "\"patch\":{\"kb\":\"KB1\",\"file\":\"a.msu\",\"sha256\":"                                          \
    "\"0000000000000000000000000000000000000000000000000000000000000000\",\"size_bytes\":1,\"target\":" \
    "\"26100.2\"}"
#define HEAD "{\"version\":1,\"name\":\"r\"," PATCH ","

static int read_text(const char *text, struct rollout **ret_r, struct err *err)
{
    struct json_doc *doc;
    int rc = json_parse("r.json", text, strlen(text), &doc, err);

    if (rc != 0)
        return rc;
    rc = rollout_read(doc, ret_r, err);
    json_free(doc);
    return rc;
}

/* The vectors of Ansible's own formula, in whole numbers (P1). */
static void test_serial(void **state)
{
    static const struct {
        const char *waves;
        uint32_t n;
        const char *sizes;
    } rows[] = {
        { "[12,24,\"100%\"]", 72, "12 24 36" },
        { "[12,24]", 72, "12 24 24 12" },
        { "[\"16%\",\"33%\",\"100%\"]", 72, "11 23 38" },
        { "[\"17%\",\"34%\",\"100%\"]", 72, "12 24 36" },
        { "[\"10%\",\"20%\",\"100%\"]", 72, "7 14 51" },
        { "[1,5,10]", 72, "1 5 10 10 10 10 10 10 6" },
        { "[1,5,\"20%\"]", 72, "1 5 14 14 14 14 10" },
        { "[\"30%\"]", 72, "21 21 21 9" },
        { "[\"50%\"]", 72, "36 36" },
        { "[100]", 72, "72" },
        { "[\"1%\"]", 3, "1 1 1" },
        { "[5]", 0, "" },
        /* where floating point cuts one off */
        { "[\"29%\",\"100%\"]", 100, "29 71" },
        { "[\"57%\",\"100%\"]", 100, "57 43" },
        { "[\"58%\",\"100%\"]", 50, "29 21" },
        { "[\"70%\",\"100%\"]", 90, "63 27" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct rollout *r = small_rollout(rows[i].waves, "");
        struct arena a = ARENA_INIT;
        struct buf text = BUF_INIT;
        struct err err = { 0 };
        uint32_t *sizes, n;

        check_ok(rollout_cut(r, rows[i].n, &a, &sizes, &n, &err), &err);
        for (uint32_t k = 0; k < n; k++)
            buf_printf(&text, "%s%u", k == 0 ? "" : " ", sizes[k]);
        if (strcmp(buf_text(&text), rows[i].sizes) != 0)
            fail_msg("%s of %u: wanted %s, got %s", rows[i].waves, rows[i].n, rows[i].sizes, buf_text(&text));
        buf_clear(&text);
        arena_clear(&a);
        rollout_free(r);
    }
}

static void test_faults(void **state)
{
#define AT(text) HEAD "\n" text "}"
    static const struct {
        const char *text, *want;
    } rows[] = {
        { AT("\"gates\":[],\"waves\":[0]"),
          "r.json:2:21: a wave must be a number of nodes from 1, or a text such as \"25%\" (at /waves/0)" },
        { AT("\"gates\":[],\"waves\":[12,-1]"),
          "r.json:2:24: a wave must be a number of nodes from 1, or a text such as \"25%\" (at /waves/1)" },
        { AT("\"gates\":[],\"waves\":[\"101%\"]"),
          "r.json:2:21: a wave in per cent must be from \"1%\" to \"100%\" (at /waves/0)" },
        { AT("\"gates\":[],\"waves\":[\"0%\"]"),
          "r.json:2:21: a wave in per cent must be from \"1%\" to \"100%\" (at /waves/0)" },
        { AT("\"gates\":[],\"waves\":[\"50\"]"),
          "r.json:2:21: a wave in per cent must be from \"1%\" to \"100%\" (at /waves/0)" },
        { AT("\"gates\":[],\"waves\":[]"), "r.json:2:20: must name at least one wave (at /waves)" },
        { AT("\"waves\":[1]"), "r.json:1:1: the member `gates` is missing" },
        { AT("\"waves\":[1],\"gates\":[{\"type\":\"performance\"}]"),
          "r.json:2:30: the gate type `performance` is not built into this program, which knows time_sync, "
          "backup_agent, cluster_health, vm_heartbeat and manual (at /gates/0/type)" },
        { AT("\"waves\":[1],\"gates\":[{\"type\":\"manual\"},{\"type\":\"manual\"}]"),
          "r.json:2:40: two gates have the same name (at /gates/1)" },
        { AT("\"waves\":[1],\"gates\":[{\"type\":\"manual\",\"soak\":\"5\"}]"),
          "r.json:2:46: must be a duration such as \"15m\" (at /gates/0/soak)" },
        { AT("\"waves\":[1],\"gates\":[],\"windows\":[{\"from\":\"2026-01-02T00:00:00Z\",\"to\":\"2026-01-"
             "01T00:00:00Z\"}]"),
          "r.json:2:35: must end after it begins (at /windows/0)" },
        { AT("\"waves\":[1],\"gates\":[],\"waivers\":[{\"what\":\"reserve_none\",\"person\":\"p\",\"ticket\":"
             "\"t\"}]"),
          "r.json:2:35: this waiver must name its cluster (at /waivers/0)" },
        { AT("\"waves\":[1],\"gates\":[],\"waivers\":[{\"what\":\"quorum\",\"person\":\"p\",\"ticket\":\"t\"}"
             "]"),
          "r.json:2:43: is not something that can be waived (at /waivers/0/what)" },
        { AT("\"waves\":[1],\"gates\":[],\"consents\":[{\"vm\":\"db1\",\"person\":\"p\",\"ticket\":\"t\","
             "\"expires\":\"2026-01-01T00:00:00Z\"}]"),
          "r.json:2:42: must be a VM's GUID in lower case (at /consents/0/vm)" },
        { AT("\"waves\":[1],\"gates\":[],\"policy\":{\"max_out_fleet\":0}"),
          "r.json:2:50: must be from 1 to 10000, is 0 (at /policy/max_out_fleet)" },
    };

    unsigned wrong = 0;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct rollout *r = NULL;
        struct err err = { 0 };

        assert_int_equal(read_text(rows[i].text, &r, &err), ERR_INVALID);
        assert_null(r);
        if (strcmp(err.text, rows[i].want) != 0) {
            print_error("row %u\n  wanted %s\n  got    %s\n", i, rows[i].want, err.text);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* A package's file is a base name and nothing else. */
static void test_patch_file(void **state)
{
    static const char *const wrong[] = { "", "../a.msu", "/a.msu", "a/b.msu", "a\\\\b.msu", ".msu" };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(wrong); i++) {
        struct buf text = BUF_INIT;
        struct rollout *r = NULL;
        struct err err = { 0 };

        buf_printf(&text,
                   "{\"version\":1,\"name\":\"r\",\"patch\":{\"kb\":\"KB1\",\"file\":\"%s\",\"sha256\":\"%"
                   "064d\",\"size_bytes\":1,"
                   "\"target\":\"26100.2\"},\"waves\":[1],\"gates\":[]}",
                   wrong[i], 0);
        assert_int_equal(read_text(buf_text(&text), &r, &err), ERR_INVALID);
        buf_clear(&text);
    }
}

/* Without words of its own a rollout is careful: nothing is rolled back or
 * waived by default, and gates halt. */
static void test_defaults(void **state)
{
    struct rollout *r = rollout_of(HEAD "\"waves\":[1],\"gates\":[{\"type\":\"vm_heartbeat\"}]}");

    (void)state;
    assert_int_equal(r->policy.rollback, ROLLBACK_WAVE);
    assert_int_equal(r->policy.reserve_min, RESERVE_FULL);
    assert_int_equal(r->policy.pending, PENDING_REFUSE);
    assert_int_equal(r->policy.park_default, PARK_SHUTDOWN);
    assert_true(r->policy.stop_vmms);
    assert_false(r->policy.rehearse);
    assert_false(r->policy.planner_may_approve);
    assert_int_equal(r->policy.evidence_percent, 10);
    assert_int_equal(r->policy.evidence_vms_min, 2);
    assert_int_equal(r->patch.reboot, REBOOT_ALWAYS);
    assert_string_equal(r->patch.tool, "dism");
    assert_string_equal(r->gates[0].name, "vm_heartbeat");
    assert_int_equal(r->gates[0].on_fail, ON_FAIL_HALT);
    assert_int_equal(r->gates[0].when, GATE_BOTH);
    assert_int_equal(r->gates[0].failure_limit, 0);
    rollout_free(r);
}

/* A waiver that must name its cluster covers that one only; one of a kind that need not, and does not, covers every cluster. */
static void test_waivers(void **state)
{
    struct rollout *r =
        rollout_of(HEAD "\"waves\":[1],\"gates\":[],\"waivers\":[{\"what\":\"reserve_none\",\"cluster\":"
                        "\"a\",\"person\":\"p\",\"ticket\":\"t\"},"
                        "{\"what\":\"rollback_unproved\",\"person\":\"p\",\"ticket\":\"t\"}]}");

    (void)state;
    assert_true(rollout_waives(r, "reserve_none", "a"));
    assert_false(rollout_waives(r, "reserve_none", "b"));
    assert_false(rollout_waives(r, "reserve_protected", "a"));
    assert_true(rollout_waives(r, "rollback_unproved", NULL));
    assert_true(rollout_waives(r, "rollback_unproved", "a"));
    assert_false(rollout_waives(r, "rollback_outside_window", NULL));
    rollout_free(r);
    r = rollout_of(
        HEAD "\"waves\":[1],\"gates\":[],\"waivers\":[{\"what\":\"rollback_outside_window\",\"cluster\":"
             "\"a\",\"person\":\"p\",\"ticket\":\"t\"}]}");
    assert_true(rollout_waives(r, "rollback_outside_window", "a"));
    assert_false(rollout_waives(r, "rollback_outside_window", "b"));
    rollout_free(r);
}

static void test_scope(void **state)
{
    struct fleet_words words = { .clusters = 2, .nodes = 3, .node_mib = 100 };
    struct inventory *inv = small_fleet(&words);
    static const struct {
        const char *scope, *covered;
    } rows[] = {
        { "{}", "111111" },
        { "{\"clusters\":[\"c01\"]}", "000111" },
        { "{\"clusters\":[\"c01\"],\"exclude\":[\"n01-01\"]}", "000101" },
        { "{\"nodes\":[\"n00-00\",\"n01-02\"]}", "100001" },
        { "{\"clusters\":[\"c00\"],\"nodes\":[\"n00-00\",\"n01-02\"]}", "100000" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        char more[200], got[8] = "";
        struct rollout *r;

        snprintf(more, sizeof more, ",\"scope\":%s", rows[i].scope);
        r = small_rollout("[1]", more);
        for (uint32_t n = 0; n < inv->n_nodes; n++)
            strcat(got, rollout_covers(r, inv, n) ? "1" : "0");
        assert_string_equal(got, rows[i].covered);
        rollout_free(r);
    }
    inventory_free(inv);
}

static void test_consents(void **state)
{
    struct rollout *r =
        rollout_of(HEAD "\"waves\":[1],\"gates\":[],\"policy\":{\"park_default\":\"save\"},\"consents\":["
                        "{\"vm\":\"00000000-0000-4000-8000-000000000002\",\"person\":\"p\",\"ticket\":\"t\","
                        "\"method\":\"shutdown\",\"expires\":\"2026-01-01T00:00:00Z\"},"
                        "{\"vm\":\"00000000-0000-4000-8000-000000000001\",\"person\":\"p\",\"ticket\":\"t\","
                        "\"expires\":\"2026-01-01T00:00:00Z\"}]}");

    (void)state;
    assert_int_equal(rollout_consent(r, "00000000-0000-4000-8000-000000000001")->method, PARK_SAVE);
    assert_int_equal(rollout_consent(r, "00000000-0000-4000-8000-000000000002")->method, PARK_SHUTDOWN);
    assert_null(rollout_consent(r, "00000000-0000-4000-8000-000000000003"));
    rollout_free(r);
}

/* Writing and reading again changes nothing. */
static void test_round_trip(void **state)
{
    struct rollout *
        first = rollout_of(
           HEAD "\"scope\":{\"exclude\":[\"x\"]},\"waves\":[3,\"25%\"],\"gates\":[{\"type\":\"time_sync\","
                "\"soak\":\"90s\"},{\"type\":\"manual\"}],"
                "\"windows\":[{\"from\":\"2026-01-01T22:00:00+01:00\",\"to\":\"2026-01-02T06:00:00+01:00\"}],"
                "\"consents\":[{\"vm\":\"00000000-0000-4000-8000-000000000001\",\"person\":\"p\",\"ticket\":"
                "\"t\",\"expires\":\"2026-01-01T00:00:00Z\"}],"
                "\"waivers\":[{\"what\":\"s2d_rack\",\"cluster\":\"a\",\"person\":\"p\",\"ticket\":\"t\"}],"
                "\"policy\":{\"rehearse\":true}}"),
       *again;
    struct buf a = BUF_INIT, b = BUF_INIT;
    struct json_writer w;

    (void)state;
    jw_init(&w, &a);
    rollout_write(&w, NULL, first);
    again = rollout_of(buf_text(&a));
    jw_init(&w, &b);
    rollout_write(&w, NULL, again);
    assert_string_equal(buf_text(&a), buf_text(&b));
    assert_int_equal(again->windows[0].from, first->windows[0].from);
    rollout_free(first);
    rollout_free(again);
    buf_clear(&a);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serial),   cmocka_unit_test(test_faults),     cmocka_unit_test(test_patch_file),
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_waivers),    cmocka_unit_test(test_scope),
        cmocka_unit_test(test_consents), cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
