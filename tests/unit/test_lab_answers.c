/* What the lab's driver answers is what the controller reads: every answer
 * goes through core's own readers, strict as they are. */
#include "tests/lib/check.h"

#include "orchestrator/core/facts.h"
#include "tests/lib/lab_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    struct lab_answers *lab;
    struct arena arena;
    struct json_doc *doc;
    struct err err;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    b->lab = lab_answers_make(16, 3, true);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    json_free(b->doc);
    arena_clear(&b->arena);
    lab_answers_free(b->lab);
    free(b);
    return 0;
}

static const json *result_of(struct bench *b, const char *node, const char *action, const char *args)
{
    json_free(b->doc);
    b->doc = lab_answer(b->lab, node, action, args);
    assert_non_null(b->doc);
    if (json_get(json_root(b->doc), "result") == NULL)
        fail_msg("%s: %s", action, json_get_str(json_get(json_root(b->doc), "error"), "message", "?"));
    return json_get(json_root(b->doc), "result");
}

static void test_inventory_is_read_back(void **state)
{
    struct bench *b = *state;
    struct inventory *inv = NULL;

    b->doc = lab_answers_inventory(b->lab);
    check_ok(inventory_read(b->doc, &inv, &b->err), &b->err);
    assert_int_equal(inv->n_nodes, 16);
    assert_int_equal(inv->n_clusters, 2);
    assert_true(inv->n_vms > 100);
    assert_true(inv->lab);
    inventory_free(inv);
}

static void test_facts(void **state)
{
    struct bench *b = *state;
    struct node_facts f;

    check_ok(facts_read_node(b->doc, result_of(b, "HV07", "facts", "{}"), &b->arena, &f, &b->err), &b->err);
    assert_string_equal(f.node, "HV07");
    assert_int_equal(f.build.ubr, 4061);
    assert_int_equal(f.n_switches, 1);
}

static void test_vms_of_every_node(void **state)
{
    struct bench *b = *state;
    char node[16];

    for (int i = 1; i <= 16; i++) {
        struct vms_seen seen;
        snprintf(node, sizeof node, "HV%02d", i);
        const json *r = result_of(b, node, "vms", "{}");
        check_ok(facts_read_vms(b->doc, r, &b->arena, &seen, &b->err), &b->err);
        assert_true(seen.n >= 8);
    }
}

static void test_cluster_storage_backup_heartbeat(void **state)
{
    struct bench *b = *state;
    struct cluster_view cluster;
    struct storage_view storage;
    struct backup_facts backup;
    struct heartbeat_facts beats;
    const json *r = result_of(b, "HV01", "gate_facts", "{\"type\":\"cluster_health\"}");

    check_ok(facts_read_cluster(b->doc, r, &b->arena, &cluster, &b->err), &b->err);
    assert_int_equal(cluster.n_nodes, 4);
    assert_true(cluster.s2d);
    assert_true(cluster.n_csvs > 0);
    r = result_of(b, "HV01", "storage_health", "{}");
    check_ok(facts_read_storage(b->doc, r, &b->arena, &storage, &b->err), &b->err);
    assert_true(storage_view_clean(&storage));
    r = result_of(b, "HV01", "gate_facts", "{\"type\":\"backup_agent\",\"since_ms\":0}");
    check_ok(facts_read_backup(b->doc, r, &b->arena, &backup, &b->err), &b->err);
    assert_int_equal(backup.n_agents, 1);
    assert_int_equal(backup.n_events, 0);
    r = result_of(b, "HV01", "gate_facts", "{\"type\":\"vm_heartbeat\"}");
    check_ok(facts_read_heartbeat(b->doc, r, &b->arena, &beats, &b->err), &b->err);
    assert_true(beats.n_vms >= 8);
}

static void test_verify_empty_removability(void **state)
{
    struct bench *b = *state;
    struct verify_facts v;
    struct empty_facts e;
    struct removability_facts rem;
    const json *r = result_of(b, "HV05", "verify", "{\"build\":26100,\"ubr\":4066,\"kb\":\"KB5061977\"}");

    check_ok(facts_read_verify(b->doc, r, &b->arena, &v, &b->err), &b->err);
    assert_int_equal(v.package, PACKAGE_ABSENT);
    assert_string_equal(v.predecessor, "26100.4061");
    r = result_of(b, "HV05", "check_empty", "{\"form\":\"vmms\",\"parked\":[]}");
    check_ok(facts_read_empty(b->doc, r, &b->arena, &e, &b->err), &b->err);
    assert_false(e.empty);
    assert_true(e.n_left > 8);
    r = result_of(b, "HV05", "removability", "{\"build\":26100,\"ubr\":4066,\"kb\":\"KB5061977\"}");
    check_ok(facts_read_removability(b->doc, r, &b->arena, &rem, &b->err), &b->err);
    assert_string_equal(rem.removable, "no");
}

/* Trap 6: a logon is a 7001 too, and is none of the backup agent's. */
static void test_logons_are_no_backup_failures(void **state)
{
    struct bench *b = *state;
    struct backup_facts backup;
    const json *r;
    bool logon = false;

    lab_answers_pass(b->lab, 6 * HOUR_MS);
    r = result_of(b, "HV06", "gate_facts", "{\"type\":\"event_log\",\"since_ms\":0}");
    for (const json *c = json_first(json_get(r, "counts")); c != NULL; c = json_next(c))
        logon = logon || (json_get_int(c, "id", 0) == 7001 &&
                          strcmp(json_get_str(c, "provider", ""), "Microsoft-Windows-Winlogon") == 0);
    assert_true(logon);
    r = result_of(b, "HV06", "gate_facts", "{\"type\":\"backup_agent\",\"since_ms\":0}");
    check_ok(facts_read_backup(b->doc, r, &b->arena, &backup, &b->err), &b->err);
    assert_int_equal(backup.n_events, 0);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(test_inventory_is_read_back),    STORY(test_facts),
        STORY(test_vms_of_every_node),         STORY(test_cluster_storage_backup_heartbeat),
        STORY(test_verify_empty_removability), STORY(test_logons_are_no_backup_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
