#include "orchestrator/core/inventory.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <string.h>

#define HEAD "{\"version\":1,\"name\":\"t\","
#define CLUSTERS                                                                                       \
    "\"clusters\":[{\"id\":\"b\",\"storage\":\"s2d\",\"witness\":\"none\"},{\"id\":\"a\",\"storage\":" \
    "\"shared\",\"witness\":\"disk\",\"ssh\":{\"user\":\"cluster\"}}],"
#define NODE(id, cluster)                       \
    "{\"id\":\"" id "\",\"cluster\":\"" cluster \
    "\",\"memory_mib\":1000,\"host_reserve_mib\":100,\"build\":\"26100.4061\"}"
#define GUID "00000000-0000-4000-8000-000000000001"

static int read_text(const char *text, struct inventory **ret_inv, struct err *err)
{
    struct json_doc *doc;
    int rc = json_parse("inv.json", text, strlen(text), &doc, err);

    if (rc != 0)
        return rc;
    rc = inventory_read(doc, ret_inv, err);
    json_free(doc);
    return rc;
}

/* Order is by id, whatever the file's; members find each other. */
static void test_order_and_links(void **state)
{
    struct inventory *inv =
        inventory_of(HEAD CLUSTERS "\"nodes\":[" NODE("z", "a") "," NODE("y", "b") "," NODE(
            "x",
            "a") "],"
                 "\"vms\":[{\"id\":\"" GUID
                 "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":64},\"possible_owners\":[\"z\",\"x\"]}]}");

    (void)state;
    assert_string_equal(inv->clusters[0].id, "a");
    assert_string_equal(inv->nodes[0].id, "x");
    assert_int_equal(inventory_node(inv, "z"), 2);
    assert_int_equal(inventory_node(inv, "q"), IX_NONE);
    assert_int_equal(inventory_cluster(inv, "b"), 1);
    assert_int_equal(inv->clusters[0].n_nodes, 2);
    assert_int_equal(inv->clusters[0].nodes[1], 2);
    assert_int_equal(inv->vms[inventory_vm(inv, GUID)].home, 0);
    assert_int_equal(inv->vms[0].owners[0], 0);
    assert_int_equal(inv->vms[0].owners[1], 2);
    assert_string_equal(inv->nodes[0].fault_domain, "x"); /* its own */
    inventory_free(inv);
}

/* What is not said has a careful meaning. */
static void test_defaults(void **state)
{
    struct inventory *inv = inventory_of(HEAD CLUSTERS "\"nodes\":[" NODE(
        "x", "a") "],\"vms\":[{\"id\":\"" GUID "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":64}}]}");
    const struct vm *v = &inv->vms[0];

    (void)state;
    assert_int_equal(inv->clock_factor, 1);
    assert_false(inv->lab);
    assert_int_equal(inv->clusters[0].reserve, RESERVE_FULL);
    assert_int_equal(inv->clusters[0].max_out, 1);
    assert_int_equal(inv->clusters[0].migrations_parallel, 1);
    assert_false(inv->clusters[0].optimisation_off);
    assert_int_equal(inv->nodes[0].vote, 1);
    assert_string_equal(v->name, GUID);
    assert_int_equal(v->state, VM_RUNNING);
    assert_true(v->clustered);
    assert_int_equal(v->startup_mib, 64);
    assert_int_equal(v->maximum_mib, 64);
    assert_int_equal(v->dirty_mib_s, -1);
    assert_int_equal(v->priority, 2000);
    assert_int_equal(v->n_owners, 0);
    inventory_free(inv);
}

/* A node's own ssh words win over its cluster's, those over the file's. */
static void test_ssh_inheritance(void **state)
{
    struct inventory *inv = inventory_of(
        HEAD "\"ssh\":{\"user\":\"all\",\"port\":2222,\"idle_limit\":\"20s\"}," CLUSTERS
             "\"nodes\":[" NODE("x", "a") "," NODE(
                 "y", "b") ",{\"id\":\"w\",\"cluster\":\"a\",\"memory_mib\":1,\"host_reserve_mib\":0,"
                           "\"build\":\"26100.1\",\"ssh\":{\"user\":\"own\",\"address\":\"10.0.0.1\"}}]}");

    (void)state;
    assert_string_equal(inv->nodes[inventory_node(inv, "x")].ssh.user, "cluster");
    assert_string_equal(inv->nodes[inventory_node(inv, "y")].ssh.user, "all");
    assert_string_equal(inv->nodes[inventory_node(inv, "w")].ssh.user, "own");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(inv->nodes[i].ssh.port, 2222);
        assert_int_equal(inv->nodes[i].ssh.idle_limit_ms, 20000);
    }
    inventory_free(inv);
}

/* Each fault by file, line, column and pointer. */
static void test_faults(void **state)
{
#define VMS(text) HEAD CLUSTERS "\"nodes\":[" NODE("x", "a") "," NODE("y", "b") "],\n\"vms\":[" text "]}"
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "{\"version\":2,\"name\":\"t\"}", "inv.json:1:12: must be from 1 to 1, is 2 (at /version)" },
        { HEAD "\"clusters\":[],\"nodes\":[]}\n ,", "inv.json:2:2: there is more text behind the value" },
        { HEAD "\"lab\":false,\"clock\":{\"factor\":60},\"clusters\":[],\"nodes\":[]}",
          "inv.json:1:55: only a lab may have a clock factor other than 1 (at /clock/factor)" },
        { HEAD CLUSTERS "\n\"nodes\":[" NODE("x", "a") ",\n" NODE("x", "b") "]}",
          "inv.json:3:7: `x` is here twice (at /nodes/1/id)" },
        { HEAD CLUSTERS "\n\"nodes\":[" NODE("x", "q") "]}",
          "inv.json:2:30: names a cluster that is not in this inventory (at /nodes/0/cluster)" },
        { HEAD CLUSTERS "\n\"nodes\":[" NODE("-x", "a") "]}",
          "inv.json:2:16: must be a name (at /nodes/0/id)" },
        { VMS("{\"id\":\"" GUID "\",\"node\":\"q\",\"memory\":{\"assigned_mib\":1}}"),
          "inv.json:2:60: VM `" GUID "` is on the unknown node `q` (at /vms/0/node)" },
        { VMS("{\"id\":\"" GUID
              "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":1},\"possible_owners\":[\"y\"]}"),
          "inv.json:2:110: `y` is not a node of the VM's cluster (at /vms/0/possible_owners)" },
        { VMS("{\"id\":\"DB1\",\"node\":\"x\",\"memory\":{\"assigned_mib\":1}}"),
          "inv.json:2:14: must be a GUID in lower case (at /vms/0/id)" },
        { VMS("{\"id\":\"" GUID "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":1},\"sla\":\"gold\"}"),
          "inv.json:2:98: names a class that is not among `sla_classes` (at /vms/0/sla)" },
        { VMS("{\"id\":\"" GUID "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":-1}}"),
          "inv.json:2:89: must be from 0 to 1073741824, is -1 (at /vms/0/memory/assigned_mib)" },
        { VMS("{\"id\":\"" GUID "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":1},\"state\":\"asleep\"}"),
          "inv.json:2:100: `asleep` is not a known word here (at /vms/0/state)" },
        { VMS("{\"id\":\"" GUID "\",\"node\":\"x\",\"memory\":{\"assigned_mib\":1},\"dda\":1}"),
          "inv.json:2:98: must be true or false, is a number (at /vms/0/dda)" },
        { VMS("{\"id\":\"" GUID "\",\"node\":\"x\"}"),
          "inv.json:2:8: the member `memory` is missing (at /vms/0)" },
    };

    unsigned wrong = 0;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct inventory *inv = NULL;
        struct err err = { 0 };

        assert_int_equal(read_text(rows[i].text, &inv, &err), ERR_INVALID);
        assert_null(inv);
        if (strcmp(err.text, rows[i].want) != 0) {
            print_error("row %u\n  wanted %s\n  got    %s\n", i, rows[i].want, err.text);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* A misspelt member is named, with the word that was meant. */
static void test_unknown_member(void **state)
{
    struct inventory *inv;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(read_text(HEAD "\"cluster\":[],\"nodes\":[]}", &inv, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "clusters"));
}

static void write_text(const struct inventory *inv, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    inventory_write(&w, NULL, inv);
}

/* Writing and reading again changes nothing, whatever the inventory holds. */
static void test_round_trip(void **state)
{
    struct fleet_words words = { .seed = 7,
                                 .clusters = 3,
                                 .nodes = 4,
                                 .vms = 5,
                                 .node_mib = 1000,
                                 .vm_mib_min = 1,
                                 .vm_mib_max = 90,
                                 .anti_percent = 50,
                                 .s2d = true,
                                 .uneven = true };
    struct inventory *first = small_fleet(&words), *again;
    struct buf a = BUF_INIT, b = BUF_INIT;

    (void)state;
    first->nodes[0].applies_article = KNOWN_YES;
    first->nodes[1].applies_microsoft = KNOWN_NO;
    write_text(first, &a);
    again = inventory_of(buf_text(&a));
    assert_int_equal(again->nodes[0].applies_article, KNOWN_YES);
    assert_int_equal(again->nodes[0].applies_microsoft, KNOWN_NOT);
    write_text(again, &b);
    assert_string_equal(buf_text(&a), buf_text(&b));
    inventory_free(first);
    inventory_free(again);
    buf_clear(&a);
    buf_clear(&b);
}

static void test_builds(void **state)
{
    static const char *const wrong[] = { "",          "26100",        "26100.",   ".1",  "26100.x",
                                         "26100.1.2", "1234567890.1", " 26100.1", "-1.1" };
    struct build a, b;
    struct err err = { 0 };
    char text[32];

    (void)state;
    check_ok(build_parse("26100.4061", &a, &err), &err);
    assert_string_equal(build_text(a, text), "26100.4061");
    check_ok(build_parse("26100.999", &b, &err), &err);
    assert_int_equal(build_compare(a, b), 1);
    assert_int_equal(build_compare(b, a), -1);
    assert_int_equal(build_compare(a, a), 0);
    check_ok(build_parse("25398.9999", &b, &err), &err);
    assert_int_equal(build_compare(a, b), 1);
    for (unsigned i = 0; i < TABLE_LEN(wrong); i++)
        assert_int_equal(build_parse(wrong[i], &a, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_links), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_ssh_inheritance), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_unknown_member),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_builds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
