/* What is a change of a VM, a group or a cluster between two pictures, member by member:
 * what were missed would never reach the log's reader. And how old a VM gets. */
#include "orchestrator/core/facts_list.h"

#include "tests/lib/check.h"

#include <string.h>

static const char *const one[] = { "a" }, *const other[] = { "b" }, *const two[] = { "a", "b" };

static struct vm_seen vm(void)
{
    return (struct vm_seen){ .vm = { .id = "i",
                                     .name = "n",
                                     .group = "g",
                                     .iso = "x.iso",
                                     .key_protector = "k",
                                     .sla = "s",
                                     .switches = one,
                                     .n_switches = 1,
                                     .anti_affinity = one,
                                     .n_anti = 1,
                                     .assigned_mib = 5 },
                             .node = "a",
                             .owner_ids = one,
                             .n_owner_ids = 1,
                             .uptime_ms = 7 };
}

#define CHANGE(name, what)              \
    static void name(struct vm_seen *s) \
    {                                   \
        what;                           \
    }
CHANGE(id, s->vm.id = "j")
CHANGE(name, s->vm.name = "m")
CHANGE(group, s->vm.group = NULL)
CHANGE(iso, s->vm.iso = NULL)
CHANGE(other_iso, s->vm.iso = "y.iso")
CHANGE(protector, s->vm.key_protector = "l")
CHANGE(sla, s->vm.sla = "t")
CHANGE(node, s->node = "b")
CHANGE(switches, s->vm.switches = other)
CHANGE(more_switches, s->vm.switches = two; s->vm.n_switches = 2)
CHANGE(classes, s->vm.anti_affinity = other)
CHANGE(owners, s->owner_ids = other)
CHANGE(no_owners, s->n_owner_ids = 0)
CHANGE(memory, s->vm.assigned_mib = 6)
CHANGE(uptime, s->uptime_ms = 8)
CHANGE(state, s->vm.state = VM_OFF)

static void test_vms(void **state_)
{
    static void (*const changes[])(struct vm_seen *) = {
        id,       name,          group,   iso,    other_iso, protector, sla,    node,
        switches, more_switches, classes, owners, no_owners, memory,    uptime, state,
    };
    static const char copy_of_a[] = "a";
    const char *elsewhere[] = { copy_of_a };
    struct vm_seen a = vm(), b = vm();

    (void)state_;
    b.owner_ids = elsewhere; /* the same words at another place */
    assert_true(facts_vms.same(&a, &b));
    for (unsigned i = 0; i < TABLE_LEN(changes); i++) {
        struct vm_seen changed = vm();

        changes[i](&changed);
        if (facts_vms.same(&a, &changed) || facts_vms.same(&changed, &a))
            fail_msg("change %u is none", i);
        if (!facts_vms.same(&changed, &changed))
            fail_msg("change %u differs from itself", i);
    }
}

static void test_groups(void **state_)
{
    const struct view_group a = { .id = "g", .name = "n", .owner = "o", .vm = "v", .state = GROUP_ONLINE };
    const struct view_group changed[] = {
        { .id = "h", .name = "n", .owner = "o", .vm = "v", .state = GROUP_ONLINE },
        { .id = "g", .name = "m", .owner = "o", .vm = "v", .state = GROUP_ONLINE },
        { .id = "g", .name = "n", .owner = "p", .vm = "v", .state = GROUP_ONLINE },
        { .id = "g", .name = "n", .owner = "o", .vm = NULL, .state = GROUP_ONLINE },
        { .id = "g", .name = "n", .owner = "o", .vm = "v", .state = GROUP_OFFLINE },
        { .id = "g", .name = "n", .owner = "o", .vm = "v", .state = GROUP_ONLINE, .locked = true },
    };

    (void)state_;
    assert_true(facts_view_groups.same(&a, &a));
    for (unsigned i = 0; i < TABLE_LEN(changed); i++)
        if (facts_view_groups.same(&a, &changed[i]))
            fail_msg("change %u is none", i);
}

static void test_nodes_and_volumes(void **state_)
{
    const struct view_node node = { .id = "a", .state = SEEN_UP, .vote = 1, .fault_domain = "r" };
    const struct view_node nodes[] = {
        { .id = "b", .state = SEEN_UP, .vote = 1, .fault_domain = "r" },
        { .id = "a", .state = SEEN_PAUSED, .vote = 1, .fault_domain = "r" },
        { .id = "a", .state = SEEN_UP, .vote = 0, .fault_domain = "r" },
        { .id = "a", .state = SEEN_UP, .vote = 1, .dynamic_vote = 1, .fault_domain = "r" },
        { .id = "a", .state = SEEN_UP, .vote = 1, .fault_domain = "s" },
        { .id = "a", .state = SEEN_UP, .vote = 1 },
    };
    const struct view_csv csv = { .id = "c", .name = "n", .owner = "a", .healthy = true };
    const struct view_csv csvs[] = {
        { .id = "d", .name = "n", .owner = "a", .healthy = true },
        { .id = "c", .name = "m", .owner = "a", .healthy = true },
        { .id = "c", .name = "n", .owner = "b", .healthy = true },
        { .id = "c", .name = "n", .owner = "a", .healthy = false },
    };

    (void)state_;
    assert_true(facts_view_nodes.same(&node, &node));
    for (unsigned i = 0; i < TABLE_LEN(nodes); i++)
        if (facts_view_nodes.same(&node, &nodes[i]))
            fail_msg("change %u of the node is none", i);
    assert_true(facts_view_csvs.same(&csv, &csv));
    for (unsigned i = 0; i < TABLE_LEN(csvs); i++)
        if (facts_view_csvs.same(&csv, &csvs[i]))
            fail_msg("change %u of the volume is none", i);
}

/* Is what is no list of its own written anew? */
static bool view_is_told(const struct cluster_view *old, const struct cluster_view *now)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    bool told;

    jw_init(&w, &text);
    jw_object(&w, NULL);
    facts_write_view_changes(&w, old, now);
    jw_object_end(&w);
    told = strstr(buf_text(&text), "\"view\":") != NULL;
    buf_clear(&text);
    return told;
}

static void test_the_rest_of_a_view(void **state_)
{
    static const struct view_busy job[] = { { "cau", "updating run" } };
    static const struct view_group group[] = { { .id = "g", .name = "n", .owner = "o" } };
    struct cluster_view a = {
        .cluster = "c", .witness_vote = 1, .resources_failed = one, .n_resources_failed = 1
    };
    struct cluster_view changed[16], elsewhere = a;
    unsigned n = 0;

    (void)state_;
    elsewhere.groups = group; /* a list of its own */
    elsewhere.n_groups = 1;
    assert_false(view_is_told(&a, &a));
    assert_false(view_is_told(&a, &elsewhere));
    for (unsigned i = 0; i < TABLE_LEN(changed); i++)
        changed[i] = a;
    changed[n++].cluster = "d";
    changed[n++].witness = WITNESS_DISK;
    changed[n++].witness_online = true;
    changed[n++].witness_vote = 0;
    changed[n++].resources_failed = other;
    changed[n++].n_resources_failed = 0;
    changed[n++].max_parallel_migrations = 2;
    changed[n++].bandwidth_mib_s = 9;
    changed[n++].auto_balancer_mode = 1;
    changed[n++].move_type_threshold = 1;
    changed[n++].enforced_anti_affinity = true;
    changed[n++].s2d = true;
    changed[n++].stretched = true;
    changed[n++].networks_down = 1;
    changed[n].busy = job;
    changed[n++].n_busy = 1;
    for (unsigned i = 0; i < n; i++)
        if (!view_is_told(&a, &changed[i]) || !view_is_told(&changed[i], &a))
            fail_msg("change %u is none", i);
    assert_false(view_is_told(&changed[n - 1], &changed[n - 1]));
}

/* A VM that runs is older in the next picture; one that does not, or whose age is not known, or cannot be, stays as it was. */
static void test_age(void **state_)
{
    static const struct {
        int64_t before;
        dur_ms later;
        int64_t after;
    } rows[] = { { 1000, 30, 1030 },
                 { 1000, -30, 970 },
                 { 0, 30, 0 },
                 { -1, 30, -1 },
                 { 1000, -1000, 1000 },
                 { 1000, -2000, 1000 },
                 { INT64_MAX - 5, 30, INT64_MAX - 5 },
                 { INT64_MAX - 30, 30, INT64_MAX } };

    (void)state_;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct vm_seen s = { .uptime_ms = rows[i].before };

        facts_vms.age(&s, rows[i].later);
        if (s.uptime_ms != rows[i].after)
            fail_msg("row %u: %lld", i, (long long)s.uptime_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vms), cmocka_unit_test(test_groups),
                                        cmocka_unit_test(test_nodes_and_volumes),
                                        cmocka_unit_test(test_the_rest_of_a_view),
                                        cmocka_unit_test(test_age) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
