/* One look at a cluster, one thing other than before: what the fleet takes
 * over, what it tells, what it leaves alone (O7, O22, O24, O26). */
#include "orchestrator/core/fleet.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <string.h>

#define ID(n) "00000000-0000-4000-8000-00000000000" #n
#define NODE(id, cluster)                       \
    "{\"id\":\"" id "\",\"cluster\":\"" cluster \
    "\",\"memory_mib\":100,\"host_reserve_mib\":0,\"build\":\"1.1\"}"
#define VM(n, node, more) \
    "{\"id\":\"" ID(n) "\",\"node\":\"" node "\",\"memory\":{\"assigned_mib\":10}" more "}"

/* Cluster k with a and b, VM 1 and 2 on a, 3 on b; cluster z with y, VM 4 on it. */
static struct inventory *inv;
static struct fleet f;
static struct view_node nodes[2];
static struct view_group groups[4];
static struct vm_seen seen[2][4];
static struct vms_seen lists[2];
static uint32_t who[2], n_who;
static struct cluster_view view;
static struct storage_view storage;
static bool with_storage;

static uint32_t a, b, y, vm1, vm2, vm3, vm4;

static int set_up(void **state)
{
    struct err err = { 0 };

    (void)state;
    inv = inventory_of(
        "{\"version\":1,\"name\":\"t\",\"clusters\":[{\"id\":\"k\",\"storage\":\"shared\",\"witness\":"
        "\"disk\","
        "\"bandwidth_mib_s\":700},{\"id\":\"z\",\"storage\":\"shared\",\"witness\":\"none\"}],\"nodes\":"
        "[" NODE("a", "k") "," NODE("b", "k") "," NODE("y", "z") "],\"vms\":[" VM(
            1, "a",
            ",\"switches\":[\"s\",\"t\"],"
            "\"possible_owners\":[\"a\",\"b\"],"
            "\"anti_affinity\":[\"c\"]") "," VM(2, "a", "") "," VM(3, "b", "") "," VM(4, "y", "") "]}");
    check_ok(fleet_init(&f, inv, &err), &err);
    a = inventory_node(inv, "a"), b = inventory_node(inv, "b"), y = inventory_node(inv, "y");
    vm1 = fleet_vm_by_id(&f, ID(1)), vm2 = fleet_vm_by_id(&f, ID(2));
    vm3 = fleet_vm_by_id(&f, ID(3)), vm4 = fleet_vm_by_id(&f, ID(4));
    nodes[0] = (struct view_node){ .id = "a", .state = SEEN_UP, .vote = 1, .dynamic_vote = 1 };
    nodes[1] = (struct view_node){ .id = "b", .state = SEEN_UP, .vote = 1, .dynamic_vote = 1 };
    view = (struct cluster_view){ .cluster = "k",
                                  .nodes = nodes,
                                  .n_nodes = 2,
                                  .groups = groups,
                                  .witness = WITNESS_DISK,
                                  .witness_online = true,
                                  .witness_vote = 1,
                                  .max_parallel_migrations = 2,
                                  .bandwidth_mib_s = 900 };
    storage = (struct storage_view){ .rack_aware = true };
    with_storage = true;
    memset(seen, 0, sizeof seen);
    seen[0][0].vm = f.vms.items[vm1].vm, seen[0][1].vm = f.vms.items[vm2].vm;
    seen[1][0].vm = f.vms.items[vm3].vm;
    lists[0] = (struct vms_seen){ seen[0], 2 }, lists[1] = (struct vms_seen){ seen[1], 1 };
    who[0] = a, who[1] = b, n_who = 2;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fleet_clear(&f);
    inventory_free(inv);
    return 0;
}

static char told[200];

static void on_change(void *arg, enum fleet_change what, uint32_t vm, uint32_t node)
{
    static const char *const names[] = { [CHANGE_FOREIGN_MOVE] = "moved",
                                         [CHANGE_NEW_VM] = "new",
                                         [CHANGE_GONE_VM] = "gone",
                                         [CHANGE_MEMORY_GREW] = "grew",
                                         [CHANGE_NODE_STATE] = "node" };
    size_t n = strlen(told);

    (void)arg;
    text_into(told + n, sizeof told - n, "%s%s %c %s", n == 0 ? "" : "; ", names[what],
              vm == IX_NONE ? '-' : f.vms.items[vm].vm.id[35], inv->nodes[node].id);
}

/* What is told of this look. */
static const char *look(void)
{
    struct err err = { 0 };

    told[0] = '\0';
    check_ok(fleet_observe(&f, 0, &view, with_storage ? &storage : NULL, lists, who, n_who, 5000, on_change,
                           NULL, &err),
             &err);
    return told;
}

static void test_nothing(void **state)
{
    (void)state;
    /* what the inventory declares and no driver shows stays: owners are shown, so none shown means any node */
    assert_string_equal(look(), "");
    assert_int_equal(f.vms.items[vm1].vm.n_owners, 0);
    assert_int_equal(f.vms.items[vm1].vm.n_switches, 2);
}

static void test_texts(void **state)
{
    static const char *const longer[] = { "s", "t", "u" }, *const other[] = { "s", "v" };

    (void)state;
    seen[0][0].vm.name = "renamed";
    seen[0][0].vm.iso = "\\\\share\\x.iso";
    seen[0][0].vm.switches = longer;
    seen[0][0].vm.n_switches = 3;
    assert_string_equal(look(), "");
    assert_string_equal(f.vms.items[vm1].vm.name, "renamed");
    assert_string_equal(f.vms.items[vm1].vm.iso, "\\\\share\\x.iso");
    assert_int_equal(f.vms.items[vm1].vm.n_switches, 3);
    seen[0][0].vm.iso = NULL;
    seen[0][0].vm.switches = other;
    seen[0][0].vm.n_switches = 2;
    look();
    assert_null(f.vms.items[vm1].vm.iso);
    assert_string_equal(f.vms.items[vm1].vm.switches[1], "v");
}

static void test_owners(void **state)
{
    static const char *const ab[] = { "b", "a" }, *const only_b[] = { "b" }, *const stranger[] = { "nobody" };

    (void)state;
    seen[0][0].owner_ids = ab;
    seen[0][0].n_owner_ids = 2;
    look();
    assert_int_equal(f.vms.items[vm1].vm.n_owners, 2);
    assert_int_equal(f.vms.items[vm1].vm.owners[0], a); /* in the order of the inventory */
    seen[0][0].owner_ids = only_b;
    seen[0][0].n_owner_ids = 1;
    look();
    assert_int_equal(f.vms.items[vm1].vm.n_owners, 1);
    assert_int_equal(f.vms.items[vm1].vm.owners[0], b);
    seen[0][0].owner_ids = stranger;
    look();
    assert_int_equal(f.vms.items[vm1].vm.owners[0], IX_NONE); /* nobody here, not anybody */
    assert_false(vm_may_own(&f.vms.items[vm1], inv, a));
}

static void test_classes(void **state)
{
    static const char *const other[] = { "d" };

    (void)state;
    seen[0][0].vm.anti_affinity = other;
    look();
    seen[1][0].vm.anti_affinity = other;
    seen[1][0].vm.n_anti = 1;
    look();
    assert_non_null(fleet_conflict(&f, vm1, b, false));
    assert_null(fleet_conflict(&f, vm1, b, true)); /* preferred only */
    view.enforced_anti_affinity = true;
    look();
    assert_non_null(fleet_conflict(&f, vm1, b, true));
    assert_string_equal(fleet_conflict(&f, vm1, b, true)->name, "d");
}

static void test_grows(void **state)
{
    (void)state;
    seen[0][1].vm.assigned_mib = 11;
    assert_string_equal(look(), "grew 2 a");
    seen[0][1].vm.assigned_mib = 10;
    assert_string_equal(look(), "");
}

/* Gone where its node answered; not where nobody asked, nor while it is on its way. */
static void test_gone_and_back(void **state)
{
    (void)state;
    lists[0].n = 1;
    assert_string_equal(look(), "gone 2 a");
    assert_string_equal(look(), "");
    seen[1][1] = seen[0][1];
    lists[1].n = 2;
    assert_string_equal(look(), "new 2 b"); /* it is back, elsewhere */
    lists[1].n = 1;
    n_who = 1; /* b says nothing */
    assert_string_equal(look(), "");
    fleet_promise(&f, vm3, a);
    n_who = 2;
    lists[1].n = 0;
    assert_string_equal(look(), "gone 2 b"); /* and 3 is on its way */
}

static void test_moves(void **state)
{
    (void)state;
    lists[0].n = 1;
    seen[1][1] = seen[0][1];
    lists[1].n = 2;
    assert_string_equal(look(), "moved 2 b");
    fleet_promise(&f, vm2, a);
    lists[1].n = 1;
    lists[0].n = 2;
    assert_string_equal(look(), ""); /* our own */
}

/* A VM of the other cluster shows here: it is not this cluster's to place. */
static void test_of_another_cluster(void **state)
{
    (void)state;
    seen[0][2].vm = f.vms.items[vm4].vm;
    lists[0].n = 3;
    assert_string_equal(look(), "");
    assert_int_equal(f.vms.items[vm4].at, y);
}

/* Of nodes that did not answer the groups tell. */
static void test_groups(void **state)
{
    static const struct {
        struct view_group g;
        const char *told;
    } rows[] = {
        { { .id = "g", .owner = "b", .vm = ID(2), .type = GROUP_VM }, "moved 2 b" },
        { { .id = "g", .owner = "b", .vm = ID(2), .type = GROUP_CORE }, "gone 2 a" },
        { { .id = "g", .owner = "b", .vm = NULL, .type = GROUP_VM }, "gone 2 a" },
        { { .id = "g", .owner = "b", .vm = ID(9), .type = GROUP_VM }, "gone 2 a" },
        { { .id = "g", .owner = "b", .vm = ID(1), .type = GROUP_VM }, "gone 2 a" }, /* it was seen on a */
        { { .id = "g", .owner = "a", .vm = ID(2), .type = GROUP_VM }, "" }, /* a did not list it yet */
        { { .id = "g", .owner = "nobody", .vm = ID(2), .type = GROUP_VM }, "" },
        { { .id = "g", .owner = "y", .vm = ID(2), .type = GROUP_VM }, "" }, /* not of this cluster */
    };

    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        tear_down(state);
        set_up(state);
        lists[0].n = 1;
        n_who = 1;
        groups[0] = rows[i].g;
        view.n_groups = 1;
        if (strcmp(look(), rows[i].told) != 0)
            fail_msg("%u: `%s`, wanted `%s`", i, told, rows[i].told);
    }
}

static void test_health(void **state)
{
    const struct fleet_health *h = &f.health[0];

    (void)state;
    look();
    assert_true(h->known && h->storage_known && h->storage_clean && h->storage_rack_aware);
    assert_false(h->stretched);
    assert_int_equal(h->migrations_parallel, 2);
    assert_int_equal(h->bandwidth_mib_s, 900);
    assert_int_equal(h->votes_all, 3);
    view.stretched = true;
    view.max_parallel_migrations = 0;
    view.bandwidth_mib_s = 0; /* not told: as it was */
    with_storage = false;
    nodes[1].state = SEEN_DOWN;
    view.witness_online = false;
    look();
    assert_true(h->stretched);
    assert_false(h->storage_known || h->storage_clean || h->storage_rack_aware || h->witness_online);
    assert_int_equal(h->migrations_parallel, 1);
    assert_int_equal(h->bandwidth_mib_s, 900);
    assert_int_equal(h->votes_up, 1);
    view.stretched = false;
    inv->clusters[0].stretched = true; /* declared */
    view.witness = WITNESS_NONE;       /* though the inventory has one */
    look();
    assert_true(h->stretched);
    assert_false(h->witness_online);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_nothing), T(test_texts),         T(test_owners), T(test_classes),
        T(test_grows),   T(test_gone_and_back), T(test_moves),  T(test_of_another_cluster),
        T(test_groups),  T(test_health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
