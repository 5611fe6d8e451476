#include "orchestrator/core/fleet.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <string.h>

#define ID(n) "00000000-0000-4000-8000-00000000000" #n
#define VM(n, node, mib, more) \
    "{\"id\":\"" ID(n) "\",\"node\":\"" node "\",\"memory\":{\"assigned_mib\":" #mib "}" more "}"

/* Three nodes a, b, c of 100 MiB; VM 1 on a (30, anti-affinity), 2 on b (20). */
static struct inventory *make_inventory(void)
{
    return inventory_of(
        "{\"version\":1,\"name\":\"t\",\"clusters\":[{\"id\":\"k\",\"storage\":\"shared\",\"witness\":"
        "\"disk\",\"anti_affinity_hard\":[\"h\"]}],"
        "\"nodes\":[{\"id\":\"a\",\"cluster\":\"k\",\"memory_mib\":110,\"host_reserve_mib\":10,\"build\":\"1."
        "1\",\"fault_domain\":\"r1\"},"
        "{\"id\":\"b\",\"cluster\":\"k\",\"memory_mib\":110,\"host_reserve_mib\":10,\"build\":\"1.1\","
        "\"fault_domain\":\"r1\"},"
        "{\"id\":\"c\",\"cluster\":\"k\",\"memory_mib\":110,\"host_reserve_mib\":10,\"build\":\"1.1\","
        "\"fault_domain\":\"r2\"}],"
        "\"vms\":[" VM(1, "a", 30, ",\"anti_affinity\":[\"h\",\"s\",\"domain:d\"]") "," VM(
            2, "b", 20,
            ",\"anti_affinity\":[\"h\"]") "," VM(3, "c", 10,
                                                 ",\"anti_affinity\":[\"s\"]") "," VM(4, "c", 10,
                                                                                      ",\"anti_affinity\":["
                                                                                      "\"domain:d\"]") "," VM(5,
                                                                                                              "c",
                                                                                                              60,
                                                                                                              ",\"state\":"
                                                                                                              "\"off\"") "]}");
}

enum { A, B, C };

static struct inventory *inv;
static struct fleet f;

static int set_up(void **state)
{
    struct err err = { 0 };

    (void)state;
    inv = make_inventory();
    check_ok(fleet_init(&f, inv, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fleet_clear(&f);
    inventory_free(inv);
    return 0;
}

/* What every number is, counted anew: the books must agree after any change. */
static void check_books(void)
{
    for (uint32_t n = 0; n < inv->n_nodes; n++) {
        uint64_t used = 0;
        uint32_t here = 0, listed = 0;

        for (uint32_t i = 0; i < f.vms.n; i++) {
            const struct fleet_vm *v = &f.vms.items[i];
            uint64_t mib = vm_holds_memory(v) ? vm_demand_mib(&v->vm) : 0;

            used += v->place == n ? mib : 0;
            used += v->at == n && v->place != n ? mib : 0;
            here += v->place == n;
        }
        for (uint32_t i = f.nodes[n].first_vm; i != IX_NONE; i = f.vms.items[i].next, listed++)
            assert_int_equal(f.vms.items[i].place, n);
        assert_int_equal(f.nodes[n].used_mib, used);
        assert_int_equal(f.nodes[n].n_vms, here);
        assert_int_equal(listed, here);
    }
}

static void test_books_follow_changes(void **state)
{
    (void)state;
    check_books();
    assert_int_equal(fleet_free_mib(&f, A), 70);
    assert_int_equal(fleet_free_mib(&f, C), 80); /* an off VM holds nothing */
    fleet_promise(&f, 0, B);
    check_books();
    assert_int_equal(fleet_free_mib(&f, A), 70);
    assert_int_equal(fleet_free_mib(&f, B), 50);
    fleet_promise(&f, 0, C);
    check_books();
    assert_int_equal(fleet_free_mib(&f, B), 80);
    fleet_arrive(&f, 0, C);
    check_books();
    assert_int_equal(fleet_free_mib(&f, A), 100);
    assert_int_equal(f.vms.items[0].moving_to, IX_NONE);
    fleet_park(&f, 0, true);
    check_books();
    assert_int_equal(fleet_free_mib(&f, C), 80);
    fleet_park(&f, 0, false);
    fleet_promise(&f, 0, A);
    fleet_promise(&f, 0, IX_NONE); /* taken back */
    check_books();
    assert_int_equal(f.vms.items[0].place, C);
}

static void test_overcommitted_has_nothing_free(void **state)
{
    (void)state;
    f.nodes[A].memory_mib = 20;
    assert_int_equal(fleet_free_mib(&f, A), 0);
}

/* A copy moves by itself. */
static void test_copy(void **state)
{
    struct fleet copy;
    struct err err = { 0 };

    (void)state;
    check_ok(fleet_copy(&f, &copy, &err), &err);
    fleet_promise(&copy, 0, C);
    assert_int_equal(f.vms.items[0].place, A);
    assert_int_equal(fleet_vm_by_id(&copy, ID(2)), 1);
    assert_int_equal(fleet_free_mib(&copy, C), 50);
    assert_int_equal(fleet_free_mib(&f, C), 80);
    fleet_clear(&copy);
}

/* O24, C6: hard by declaration, preferred otherwise; "domain:" classes look at
 * the whole fault domain. */
static void test_conflicts(void **state)
{
    (void)state;
    assert_non_null(fleet_conflict(&f, 0, B, true));
    assert_string_equal(fleet_conflict(&f, 0, B, true)->name, "h");
    assert_null(fleet_conflict(&f, 0, C, true));
    assert_non_null(fleet_conflict(&f, 0, C, false));
    assert_null(fleet_conflict(&f, 0, A, true));
    assert_null(fleet_conflict(&f, 3, C, false));
    assert_non_null(fleet_conflict(&f, 3, B, false)); /* rack r1 holds VM 1 on a */
    fleet_park(&f, 1, true);
    assert_null(fleet_conflict(&f, 0, B, true));
}

/* O22 */
static void test_demand(void **state)
{
    struct vm v = { .assigned_mib = 10, .startup_mib = 20 };

    (void)state;
    assert_int_equal(vm_demand_mib(&v), 20);
    assert_int_equal(vm_restart_mib(&v), 20);
    v.assigned_mib = 30;
    assert_int_equal(vm_demand_mib(&v), 30);
    assert_int_equal(vm_restart_mib(&v), 20);
}

/* O6 compares both nodes. */
static void test_movability_of_pairs(void **state)
{
    static const char *const two[] = { "prod", "dmz" }, *const one[] = { "prod" };
    struct node_facts facts = { .switches = one, .n_switches = 1 };
    struct fleet_vm *v = &f.vms.items[0];

    (void)state;
    assert_null(vm_cannot_move(&f, v, B));
    v->vm.switches = two;
    v->vm.n_switches = 2;
    assert_null(vm_cannot_move(&f, v, B)); /* nothing known of b's switches */
    f.nodes[B].facts = &facts;
    assert_non_null(vm_cannot_move(&f, v, B));
    v->vm.n_switches = 1;
    assert_null(vm_cannot_move(&f, v, B));
    inv->nodes[A].cpu = "x";
    inv->nodes[B].cpu = "y";
    assert_null(vm_cannot_move(&f, v, B)); /* compatibility mode */
    v->vm.cpu_compat = false;
    assert_non_null(vm_cannot_move(&f, v, B));
}

/* --- observation --- */

struct change {
    enum fleet_change what;
    uint32_t vm, node;
};
static struct change changes[16];
static unsigned n_changes;

static void on_change(void *arg, enum fleet_change what, uint32_t vm, uint32_t node)
{
    (void)arg;
    assert_true(n_changes < TABLE_LEN(changes));
    changes[n_changes++] = (struct change){ what, vm, node };
}

static struct view_node view_nodes[3];
static struct view_group view_groups[8];

static struct cluster_view make_view(void)
{
    static const char *const ids[] = { "a", "b", "c" };

    for (unsigned i = 0; i < 3; i++)
        view_nodes[i] = (struct view_node){ ids[i], SEEN_UP, 1, 1, NULL };
    return (struct cluster_view){ .cluster = "k",
                                  .nodes = view_nodes,
                                  .n_nodes = 3,
                                  .witness = WITNESS_DISK,
                                  .witness_online = true,
                                  .witness_vote = 1,
                                  .groups = view_groups,
                                  .max_parallel_migrations = 4,
                                  .bandwidth_mib_s = 500 };
}

/* VMs as they are in the fleet, per node. */
static struct vm_seen seen[3][8];
static struct vms_seen lists[3];
static const uint32_t all_nodes[] = { A, B, C };

static void make_lists(void)
{
    for (unsigned n = 0; n < 3; n++)
        lists[n] = (struct vms_seen){ seen[n], 0 };
    for (uint32_t i = 0; i < f.vms.n; i++)
        if (!f.vms.items[i].gone)
            seen[f.vms.items[i].at][lists[f.vms.items[i].at].n++] =
                (struct vm_seen){ .vm = f.vms.items[i].vm };
}

static void observe(const struct cluster_view *view, uint32_t n_nodes)
{
    struct err err = { 0 };

    n_changes = 0;
    check_ok(fleet_observe(&f, 0, view, NULL, lists, all_nodes, n_nodes, 5000, on_change, NULL, &err), &err);
    check_books();
}

static void test_nothing_changed(void **state)
{
    struct cluster_view view = make_view();
    size_t bytes;

    (void)state;
    make_lists();
    observe(&view, 3);
    assert_int_equal(n_changes, 0);
    assert_int_equal(f.cluster_seen_at[0], 5000);
    assert_true(f.health[0].known);
    assert_int_equal(f.health[0].votes_all, 4);
    assert_int_equal(f.health[0].votes_up, 4);
    assert_int_equal(f.health[0].migrations_parallel, 4);
    assert_int_equal(f.health[0].bandwidth_mib_s, 500);
    bytes = f.arena.bytes;
    observe(&view, 3); /* looking again costs no memory */
    assert_int_equal(f.arena.bytes, bytes);
}

static void test_foreign_changes(void **state)
{
    struct cluster_view view = make_view();

    (void)state;
    make_lists();
    seen[B][lists[B].n++] = seen[A][0]; /* VM 1 went to b */
    lists[A].n = 0;
    seen[B][0].vm.assigned_mib = 25; /* VM 2 grew */
    lists[C].n = 2;                  /* VM 5 is gone */
    seen[A][lists[A].n++] =
        (struct vm_seen){ .vm = { .id = ID(9), .name = "new", .assigned_mib = 7, .clustered = true } };
    observe(&view, 3);
    assert_int_equal(n_changes, 4);
    assert_int_equal(changes[0].what, CHANGE_NEW_VM);
    assert_int_equal(changes[1].what, CHANGE_MEMORY_GREW);
    assert_int_equal(changes[1].vm, 1);
    assert_int_equal(changes[2].what, CHANGE_FOREIGN_MOVE);
    assert_int_equal(changes[2].vm, 0);
    assert_int_equal(changes[2].node, B);
    assert_int_equal(changes[3].what, CHANGE_GONE_VM);
    assert_int_equal(f.vms.items[fleet_vm_by_id(&f, ID(9))].at, A);
    assert_string_equal(f.vms.items[fleet_vm_by_id(&f, ID(9))].vm.name, "new");
    assert_true(f.vms.items[4].gone);
    assert_int_equal(fleet_free_mib(&f, B), 45);
}

/* Our own moves are no foreign ones: in flight a VM may show at either end. */
static void test_own_moves(void **state)
{
    struct cluster_view view = make_view();

    (void)state;
    make_lists();
    fleet_promise(&f, 0, C);
    observe(&view, 3);
    assert_int_equal(n_changes, 0);
    seen[C][lists[C].n++] = seen[A][0];
    observe(&view, 3);
    assert_int_equal(n_changes, 0);
    lists[A].n = 0;
    observe(&view, 3);
    assert_int_equal(n_changes, 0);
    assert_int_equal(f.vms.items[0].at, A); /* the engine says when it has arrived */
}

/* A VM on a node that did not answer is where the cluster says it is. */
static void test_unobserved_node(void **state)
{
    struct cluster_view view = make_view();

    (void)state;
    make_lists();
    view_groups[0] =
        (struct view_group){ "g", "vm1", "c", ID(1), GROUP_VM, GROUP_ONLINE, true, false, false };
    view.n_groups = 1;
    lists[A].n = 0;
    observe(&view, 2); /* a and b answered */
    assert_int_equal(n_changes, 1);
    assert_int_equal(changes[0].what, CHANGE_FOREIGN_MOVE);
    assert_int_equal(f.vms.items[0].at, C);
    assert_false(f.vms.items[2].gone); /* on c, which was not asked */
}

/* O7: a pause is ours only where we made it. */
static void test_node_states(void **state)
{
    struct cluster_view view = make_view();

    (void)state;
    make_lists();
    f.nodes[A].out = OUT_OURS;
    view_nodes[A].state = view_nodes[B].state = SEEN_PAUSED;
    view_nodes[C].state = SEEN_JOINING;
    observe(&view, 3);
    assert_int_equal(f.nodes[A].out, OUT_OURS);
    assert_int_equal(f.nodes[B].out, OUT_PAUSED);
    assert_int_equal(f.nodes[C].out, OUT_DOWN);
    assert_int_equal(n_changes, 2);
    for (uint32_t i = 0; i < 3; i++)
        assert_false(fleet_receives(&f, i));
    view_nodes[B].state = view_nodes[C].state = SEEN_UP;
    observe(&view, 3);
    assert_int_equal(n_changes, 2);
    assert_true(fleet_receives(&f, B));
    view.n_nodes = 2; /* evicted */
    observe(&view, 3);
    assert_int_equal(f.nodes[C].out, OUT_DOWN);
}

/* Owners that the inventory does not know must not become "anybody". */
static void test_strange_owners(void **state)
{
    static const char *const strangers[] = { "zz" };
    struct cluster_view view = make_view();

    (void)state;
    make_lists();
    seen[A][0].owner_ids = strangers;
    seen[A][0].n_owner_ids = 1;
    observe(&view, 3);
    assert_false(vm_may_own(&f.vms.items[0], inv, B));
    assert_true(vm_may_own(&f.vms.items[1], inv, A));
}

static void test_health(void **state)
{
    struct cluster_view view = make_view();
    struct view_busy busy = { "cau", "updating" };
    struct view_disk disk = { "d", "Volume 1", DISK_HEALTHY };
    struct view_job job = { "j", JOB_OPTIMIZE, true, 5 };
    struct storage_view storage = { .s2d = true, .disks = &disk, .n_disks = 1, .jobs = &job, .n_jobs = 1 };
    struct err err = { 0 };

    (void)state;
    make_lists();
    view.busy = &busy;
    view.n_busy = 1;
    view.witness_online = false;
    view_nodes[C].state = SEEN_DOWN;
    view.enforced_anti_affinity = true;
    check_ok(fleet_observe(&f, 0, &view, &storage, lists, all_nodes, 3, 1, NULL, NULL, &err), &err);
    assert_string_equal(f.health[0].busy, "cau");
    assert_false(f.health[0].witness_online);
    assert_int_equal(f.health[0].votes_up, 2);
    assert_true(f.health[0].storage_known && f.health[0].storage_clean);
    assert_non_null(fleet_conflict(&f, 0, C, true)); /* preferred before, enforced now */
    job.kind = JOB_REPAIR;
    check_ok(fleet_observe(&f, 0, &view, &storage, lists, all_nodes, 3, 2, NULL, NULL, &err), &err);
    assert_false(f.health[0].storage_clean);
    job.running = false;
    disk.health = DISK_WARNING;
    check_ok(fleet_observe(&f, 0, &view, &storage, lists, all_nodes, 3, 3, NULL, NULL, &err), &err);
    assert_false(f.health[0].storage_clean);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_books_follow_changes),
        T(test_overcommitted_has_nothing_free),
        T(test_copy),
        T(test_conflicts),
        T(test_demand),
        T(test_movability_of_pairs),
        T(test_nothing_changed),
        T(test_foreign_changes),
        T(test_own_moves),
        T(test_unobserved_node),
        T(test_node_states),
        T(test_strange_owners),
        T(test_health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
