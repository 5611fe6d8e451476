/* What a node shows after its reboot decides where it ends, whatever exit codes said: each fact alone, forward and back
 * (I17, O14), and whether it came back whole (O12). */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define BUDGET ",\"policy\":{\"failures_per_wave\":2,\"failures_per_run\":3}"
#define WAY_BACK                                                                                   \
    ",\"gates\":[{\"name\":\"backup\",\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":1," \
    "\"interval\":\"30s\",\"soak\":\"0s\",\"on_fail\":\"rollback\"}]"                              \
    ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"

/* --- verify --- */

static void busy(struct verify_facts *f)
{
    f->servicing_idle = false;
}

static void pending(struct verify_facts *f)
{
    f->pending = true;
}

static void install_pending(struct verify_facts *f)
{
    f->package = PACKAGE_INSTALL_PENDING;
}

static void uninstall_pending(struct verify_facts *f)
{
    f->package = PACKAGE_UNINSTALL_PENDING;
}

static void installed(struct verify_facts *f)
{
    f->package = PACKAGE_INSTALLED;
}

static void superseded(struct verify_facts *f)
{
    f->package = PACKAGE_SUPERSEDED;
}

static void absent(struct verify_facts *f)
{
    f->package = PACKAGE_ABSENT;
}

static void old_build(struct verify_facts *f)
{
    f->build.ubr = 4061;
}

static void other_build(struct verify_facts *f)
{
    f->build.ubr = 4000;
}

static void nothing_there(struct verify_facts *f)
{
    absent(f);
    old_build(f);
}

static char boot_before[64];

static void old_boot(struct verify_facts *f)
{
    f->boot_id = boot_before;
}

static void no_predecessor(struct verify_facts *f)
{
    f->predecessor = NULL;
}

static void other_predecessor(struct verify_facts *f)
{
    f->predecessor = "26100.4000";
}

static void as_it_is(struct verify_facts *f)
{
    (void)f;
}

static const struct row {
    const char *name;
    void (*change)(struct verify_facts *f);
    bool back;
    uint32_t times;
    enum node_end end;
    const char *reason;
    uint32_t reboots; /* of the life that is looked at */
} rows[] = {
    { "as it is", as_it_is, false, 99, NODE_DONE, "", 1 },
    { "servicing for a while", busy, false, 3, NODE_DONE, "", 1 },
    { "servicing without end", busy, false, 999, NODE_SET_ASIDE, "the package is not decided in time", 1 },
    { "pending once", pending, false, 1, NODE_DONE, "", 2 },
    { "pending always", pending, false, 99, NODE_SET_ASIDE, "the package is still pending", 3 },
    { "install pending once", install_pending, false, 1, NODE_DONE, "", 2 },
    { "superseded and built", superseded, false, 99, NODE_DONE, "", 1 },
    { "listed, not built", old_build, false, 999, NODE_SET_ASIDE, "the package is not decided in time", 1 },
    { "listed, built later", old_build, false, 2, NODE_DONE, "", 1 },
    { "built, not listed", absent, false, 999, NODE_SET_ASIDE, "the package is not decided in time", 1 },
    { "neither", nothing_there, false, 999, NODE_SET_ASIDE, "the package is not there", 1 },
    { "the boot before", old_boot, false, 999, NODE_SET_ASIDE, "the package is not decided in time", 1 },
    { "as it is, back", as_it_is, true, 99, NODE_ROLLED_BACK, "", 2 },
    { "servicing for a while, back", busy, true, 3, NODE_ROLLED_BACK, "", 2 },
    { "pending once, back", pending, true, 1, NODE_ROLLED_BACK, "", 3 },
    { "uninstall pending once", uninstall_pending, true, 1, NODE_ROLLED_BACK, "", 3 },
    { "still installed", installed, true, 999, NODE_SET_ASIDE, "the predecessor is not back", 2 },
    { "still superseding", superseded, true, 999, NODE_SET_ASIDE, "the predecessor is not back", 2 },
    { "no predecessor", no_predecessor, true, 999, NODE_SET_ASIDE, "the predecessor is not decided in time",
      2 },
    { "other predecessor", other_predecessor, true, 999, NODE_SET_ASIDE, "not decided in time", 2 },
    { "other build", other_build, true, 999, NODE_SET_ASIDE, "not decided in time", 2 },
    { "the boot before, back", old_boot, true, 999, NODE_SET_ASIDE, "not decided in time", 2 },
};

static const struct row *row;
static uint32_t left;

static void change_verify(struct scenario *s, struct plan_answer *a)
{
    struct verify_facts *f = &a->ev->u.observed.verify;

    if (row->back)
        backup_7001(s, a);
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_VERIFY || left == 0 ||
        engine_node(s->engine, a->node).back != row->back)
        return;
    left--;
    snprintf(boot_before, sizeof boot_before, "boot-%s-%u", s->plan->inv->nodes[a->node].id,
             backend_plan_effects(s->world, a->node, "reboot"));
    row->change(f);
}

static void test_verify(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", rows[i].back ? WAY_BACK : BUDGET);
        uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
        struct node_view v;

        row = &rows[i];
        left = row->times;
        s->meddle = change_verify;
        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, first);
        if (v.end != row->end || strstr(v.reason, row->reason) == NULL)
            fail_msg("%s: %s (%s)", row->name, node_end_names[v.end], v.reason);
        if (backend_plan_effects(s->world, first, "reboot") != row->reboots)
            fail_msg("%s: %u reboots", row->name, backend_plan_effects(s->world, first, "reboot"));
        if (row->back) /* O16: what is not back stays in service, and the run says so */
            check_run(s, row->end == NODE_ROLLED_BACK ? RUN_ROLLED_BACK : RUN_HALTED);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* --- whole --- */

static const char *const switches[] = { "vSwitch1", "vSwitch2" }, *const turned[] = { "vSwitch2",
                                                                                      "vSwitch1" };
static const struct named_state up[] = { { "Cluster 1", "up" }, { "Cluster 2", "up" } },
                                down[] = { { "Cluster 1", "up" }, { "Cluster 2", "down" } };

static void before(struct node_facts *f)
{
    f->switches = switches;
    f->n_switches = 2;
    f->interfaces = up;
    f->n_interfaces = 2;
    f->attestation = "healthy";
}

#define CHANGE(name, what)                 \
    static void name(struct node_facts *f) \
    {                                      \
        what;                              \
    }
CHANGE(same, (void)f)
CHANGE(other_order, f->switches = turned)
CHANGE(less_memory, f->memory_mib--)
CHANGE(fewer_cpus, f->cpus--)
CHANGE(switch_gone, f->n_switches--)
CHANGE(interface_down, f->interfaces = down)
CHANGE(path_gone, f->storage_paths--)
CHANGE(bitlocker_on, f->bitlocker_os_volume = "on")
CHANGE(not_attested, f->attestation = NULL)

static const struct {
    void (*change)(struct node_facts *f);
    enum node_end end;
    const char *reason;
} whole[] = {
    { same, NODE_DONE, "" },
    { other_order, NODE_DONE, "" },
    { less_memory, NODE_STUCK, "memory" },
    { fewer_cpus, NODE_STUCK, "logical processors" },
    { switch_gone, NODE_STUCK, "virtual switches" },
    { interface_down, NODE_STUCK, "cluster interfaces" },
    { path_gone, NODE_STUCK, "storage paths" },
    { bitlocker_on, NODE_STUCK, "BitLocker" },
    { not_attested, NODE_STUCK, "attestation" },
};
static unsigned which;

static void change_facts(struct scenario *s, struct plan_answer *a)
{
    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_FACTS)
        return;
    before(&a->ev->u.observed.facts);
    if (backend_plan_effects(s->world, a->node, "reboot") > 0)
        whole[which].change(&a->ev->u.observed.facts);
}

static void test_whole(void **state)
{
    (void)state;
    for (which = 0; which < TABLE_LEN(whole); which++) {
        struct scenario *s = scenario_new(&words, "[1,\"100%\"]", NULL);
        uint32_t first = s->plan->nodes[s->plan->waves[0].nodes[0]].node;
        struct node_view v;

        s->meddle = change_facts;
        scenario_start(s);
        scenario_run(s);
        v = engine_node(s->engine, first);
        if (v.end != whole[which].end || strstr(v.reason, whole[which].reason) == NULL)
            fail_msg("%u: %s (%s)", which, node_end_names[v.end], v.reason);
        assert_int_equal(backend_plan_in_service(s->world, first), v.end == NODE_DONE);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_verify), cmocka_unit_test(test_whole) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
