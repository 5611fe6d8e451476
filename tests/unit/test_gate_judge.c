/* Every kind of evidence, one row each: a healthy picture with one thing changed,
 * the answer that must come out and what it is called (docs/rules.md: I13, O15, O21). */
#include "tests/lib/check.h"

#include "orchestrator/core/gate.h"

#include <string.h>

/* A cluster where everything is well, to be changed by a row. */
struct picture_bed {
    struct view_node nodes[2];
    struct view_group groups[2];
    struct view_csv csvs[1];
    struct view_disk disks[1];
    struct view_job jobs[1];
    const char *failed[1];
    struct cluster_view view;
    struct storage_view storage;
    struct gate_excuse excuse;
};

static void make(struct picture_bed *b)
{
    *b = (struct picture_bed){
        .nodes = { { .id = "HV1", .state = SEEN_UP }, { .id = "HV2", .state = SEEN_UP } },
        .groups = { { .id = "g1", .name = "db", .vm = "vm1", .state = GROUP_ONLINE, .wanted_online = true },
                    { .id = "g2", .name = "core", .state = GROUP_ONLINE, .wanted_online = true } },
        .csvs = { { .id = "v1", .name = "Volume1", .healthy = true } },
        .disks = { { .id = "d1", .name = "Disk1", .health = DISK_HEALTHY } },
        .jobs = { { .id = "j1", .kind = JOB_REPAIR, .running = false } },
        .failed = { "Cluster Name" },
    };
    b->view = (struct cluster_view){ .nodes = b->nodes,
                                     .n_nodes = 2,
                                     .groups = b->groups,
                                     .n_groups = 2,
                                     .csvs = b->csvs,
                                     .n_csvs = 1,
                                     .resources_failed = b->failed,
                                     .witness = WITNESS_CLOUD,
                                     .witness_online = true,
                                     .s2d = true };
    b->storage =
        (struct storage_view){ .s2d = true, .disks = b->disks, .n_disks = 1, .jobs = b->jobs, .n_jobs = 1 };
}

static bool is_hv2(void *arg, const char *id)
{
    (void)arg;
    return strcmp(id, "HV2") == 0;
}

static enum gate_owes not_vm1(void *arg, const char *id)
{
    (void)arg;
    return strcmp(id, "vm1") == 0 ? GATE_OWES_NOTHING : GATE_OWES;
}

static enum gate_owes vm1_soon(void *arg, const char *id)
{
    return not_vm1(arg, id) == GATE_OWES ? GATE_OWES : GATE_OWES_SOON;
}

#define CHANGE(name, what)                  \
    static void name(struct picture_bed *b) \
    {                                       \
        what;                               \
    }

CHANGE(nothing, (void)b)
CHANGE(no_nodes, b->view.n_nodes = 0)
CHANGE(node_down, b->nodes[1].state = SEEN_DOWN)
CHANGE(node_joining, b->nodes[1].state = SEEN_JOINING)
CHANGE(node_unclear, b->nodes[1].state = SEEN_UNKNOWN)
CHANGE(excused_node_down, b->nodes[1].state = SEEN_DOWN; b->excuse.node = is_hv2)
CHANGE(other_node_down, b->nodes[0].state = SEEN_DOWN; b->excuse.node = is_hv2)
CHANGE(no_witness, b->view.witness = WITNESS_NONE; b->view.witness_online = false)
CHANGE(witness_off, b->view.witness_online = false)
CHANGE(group_failed, b->groups[0].state = GROUP_FAILED)
CHANGE(group_off, b->groups[0].state = GROUP_OFFLINE)
CHANGE(group_off_as_wanted, b->groups[0].state = GROUP_OFFLINE; b->groups[0].wanted_online = false)
CHANGE(group_of_excused_vm, b->groups[0].state = GROUP_OFFLINE; b->excuse.vm = not_vm1)
CHANGE(group_off_just_now, b->groups[0].state = GROUP_OFFLINE; b->excuse.vm = vm1_soon)
CHANGE(group_of_no_vm, b->groups[1].state = GROUP_FAILED; b->excuse.vm = not_vm1)
CHANGE(group_pending, b->groups[0].state = GROUP_PENDING)
CHANGE(group_partial, b->groups[0].state = GROUP_PARTIAL)
CHANGE(csv_sick, b->csvs[0].healthy = false)
CHANGE(resource_failed, b->view.n_resources_failed = 1)
CHANGE(network_down, b->view.networks_down = 1)
CHANGE(disk_unknown, b->disks[0].health = DISK_UNKNOWN)
CHANGE(disk_warning, b->disks[0].health = DISK_WARNING)
CHANGE(disk_warning_unused, b->disks[0].health = DISK_WARNING; b->view.s2d = false)
CHANGE(repair_runs, b->jobs[0].running = true)
CHANGE(regeneration_runs, b->jobs[0].running = true; b->jobs[0].kind = JOB_REGENERATION)
CHANGE(rebalance_runs, b->jobs[0].running = true; b->jobs[0].kind = JOB_REBALANCE)
CHANGE(doubt_then_failure, b->nodes[0].state = SEEN_JOINING; b->csvs[0].healthy = false)
CHANGE(failure_then_doubt, b->nodes[0].state = SEEN_DOWN; b->groups[0].state = GROUP_PENDING)
CHANGE(two_failures, b->nodes[0].state = SEEN_DOWN; b->csvs[0].healthy = false)

static const struct {
    void (*change)(struct picture_bed *b);
    enum gate_answer answer;
    uint32_t bad;
    const char *text;
} rows[] = {
    { nothing, ANSWER_PASS, 0, "" },
    { no_nodes, ANSWER_UNKNOWN, 0, "the cluster names no nodes" },
    { node_down, ANSWER_FAIL, BAD_NODE, "a node is not up: HV2" },
    { node_joining, ANSWER_UNKNOWN, 0, "a node's state is not settled: HV2" },
    { node_unclear, ANSWER_UNKNOWN, 0, "a node's state is not settled: HV2" },
    { excused_node_down, ANSWER_PASS, 0, "" },
    { other_node_down, ANSWER_FAIL, BAD_NODE, "a node is not up: HV1" },
    { no_witness, ANSWER_PASS, 0, "" },
    { witness_off, ANSWER_FAIL, BAD_WITNESS, "the quorum witness is not online" },
    { group_failed, ANSWER_FAIL, BAD_GROUP, "a group is not online: db" },
    { group_off, ANSWER_FAIL, BAD_GROUP, "a group is not online: db" },
    { group_off_as_wanted, ANSWER_PASS, 0, "" },
    { group_of_excused_vm, ANSWER_PASS, 0, "" },
    { group_off_just_now, ANSWER_UNKNOWN, 0, "a group went offline just now: db" },
    { group_of_no_vm, ANSWER_FAIL, BAD_GROUP, "a group is not online: core" },
    { group_pending, ANSWER_UNKNOWN, 0, "a group is on its way: db" },
    { group_partial, ANSWER_UNKNOWN, 0, "a group is on its way: db" },
    { csv_sick, ANSWER_FAIL, BAD_CSV, "a cluster shared volume is not healthy: Volume1" },
    { resource_failed, ANSWER_FAIL, BAD_RESOURCE, "a cluster resource failed: Cluster Name" },
    { network_down, ANSWER_FAIL, BAD_NETWORK, "a cluster network is down" },
    { disk_unknown, ANSWER_UNKNOWN, 0, "the health of a virtual disk is not known: Disk1" },
    { disk_warning, ANSWER_FAIL, BAD_DISK, "a virtual disk is not healthy: Disk1" },
    { disk_warning_unused, ANSWER_PASS, 0, "" },
    { repair_runs, ANSWER_UNKNOWN, 0, "a storage repair is running: j1" },
    { regeneration_runs, ANSWER_UNKNOWN, 0, "a storage repair is running: j1" },
    { rebalance_runs, ANSWER_PASS, 0, "" },
    { doubt_then_failure, ANSWER_FAIL, BAD_CSV, "a cluster shared volume is not healthy: Volume1" },
    { failure_then_doubt, ANSWER_FAIL, BAD_NODE, "a node is not up: HV1" },
    { two_failures, ANSWER_FAIL, BAD_NODE | BAD_CSV, "a node is not up: HV1" },
};

static void check_finding(unsigned row, const struct gate_finding *f, enum gate_answer answer, uint32_t bad,
                          const char *text)
{
    if (f->answer != answer || f->bad != bad || strcmp(f->text, text) != 0)
        fail_msg("row %u: answer %d, bad %x, `%s`; wanted %d, %x, `%s`", row, (int)f->answer, f->bad, f->text,
                 (int)answer, bad, text);
}

static void test_cluster(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct gate_finding f;
        struct picture_bed b;

        make(&b);
        rows[i].change(&b);
        gate_judge_cluster(&b.view, &b.storage, &b.excuse, &f);
        check_finding(i, &f, rows[i].answer, rows[i].bad, rows[i].text);
    }
}

/* A VM of each state and heartbeat beside one that beats. */
static void test_heartbeat(void **state)
{
    static const struct {
        enum vm_state state;
        enum vm_heartbeat beat;
        bool excused;
        enum gate_answer answer;
        uint32_t bad;
        const char *text;
    } cases[] = {
        { VM_RUNNING, HEARTBEAT_OK, false, ANSWER_PASS, 0, "" },
        { VM_RUNNING, HEARTBEAT_LOST, false, ANSWER_FAIL, BAD_HEARTBEAT, "no heartbeat from two" },
        { VM_RUNNING, HEARTBEAT_NO_CONTACT, false, ANSWER_FAIL, BAD_HEARTBEAT, "no heartbeat from two" },
        { VM_RUNNING, HEARTBEAT_ERROR, false, ANSWER_FAIL, BAD_HEARTBEAT, "no heartbeat from two" },
        { VM_RUNNING, HEARTBEAT_UNKNOWN, false, ANSWER_UNKNOWN, 0, "the heartbeat is not known of two" },
        { VM_RUNNING, HEARTBEAT_NONE, false, ANSWER_PASS, 0, "" }, /* a guest without the service */
        { VM_RUNNING, HEARTBEAT_DISABLED, false, ANSWER_PASS, 0, "" },
        { VM_OFF, HEARTBEAT_LOST, false, ANSWER_PASS, 0, "" },
        { VM_RUNNING, HEARTBEAT_LOST, true, ANSWER_PASS, 0, "" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(cases); i++) {
        struct vm_beat vms[2] = { { "vm2", "one", VM_RUNNING, HEARTBEAT_OK },
                                  { "vm1", "two", cases[i].state, cases[i].beat } };
        struct heartbeat_facts facts = { vms, 2 };
        struct gate_excuse x = { .vm = cases[i].excused ? not_vm1 : NULL };
        struct gate_finding f;

        gate_judge_heartbeat(&facts, &x, &f);
        check_finding(i, &f, cases[i].answer, cases[i].bad, cases[i].text);
    }
}

/* Jobs and events count when newer than the baseline, writers and services as they are. */
static void test_backup(void **state)
{
    static const struct {
        const char *state, *job;
        time_ms job_at, event_at;
        bool stable;
        enum gate_answer answer;
        uint32_t bad;
        const char *text;
    } cases[] = {
        { "running", NULL, 0, 50, true, ANSWER_PASS, 0, "" },
        { "running", "ok", 200, 50, true, ANSWER_PASS, 0, "" },
        { "running", "failed", 100, 50, true, ANSWER_PASS, 0, "" }, /* as old as the baseline */
        { "running", "failed", 101, 50, true, ANSWER_FAIL, BAD_JOB, "the last backup job failed" },
        { "running", "ok", 101, 101, true, ANSWER_FAIL, BAD_7001,
          "event 7001 of Service Control Manager for svc" },
        { "running", "ok", 101, 50, false, ANSWER_FAIL, BAD_WRITER, "a VSS writer is not stable: w1" },
        { "stopped", "ok", 101, 50, false, ANSWER_FAIL, BAD_AGENT | BAD_WRITER,
          "the backup service is not as expected: svc" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(cases); i++) {
        struct backup_agent agent = { "p", "svc", cases[i].state, "running" };
        struct vss_writer writer = { "w1", cases[i].stable };
        struct event_7001 event = { cases[i].event_at, "svc", "RpcSs" };
        struct backup_facts facts = { .agents = &agent,
                                      .n_agents = 1,
                                      .last_job_state = cases[i].job,
                                      .last_job_at_ms = cases[i].job_at,
                                      .writers = &writer,
                                      .n_writers = 1,
                                      .events = &event,
                                      .n_events = 1 };
        struct gate_finding f;

        gate_judge_backup(&facts, 100, &f);
        check_finding(i, &f, cases[i].answer, cases[i].bad, cases[i].text);
    }
}

static void test_time(void **state)
{
    static const struct {
        bool ok;
        uint32_t stratum;
        int64_t offset_us;
        enum gate_answer answer;
        const char *text;
    } cases[] = {
        { true, 1, 0, ANSWER_PASS, "" },
        { true, 10, 100000, ANSWER_PASS, "" },
        { true, 0, 0, ANSWER_FAIL, "the stratum is too high at dc1" }, /* unspecified: no clock behind it */
        { true, 11, 0, ANSWER_FAIL, "the stratum is too high at dc1" },
        { true, 1, 100001, ANSWER_FAIL, "the clock is off against dc1" },
        { true, 1, -100001, ANSWER_FAIL, "the clock is off against dc1" },
        { false, 0, 999999999, ANSWER_UNKNOWN, "no time source answered" },
    };
    const struct gate g = { .offset_max_ms = 100, .stratum_max = 10 };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(cases); i++) {
        struct time_source server = { "dc1", NULL, cases[i].ok, 4, cases[i].stratum, cases[i].offset_us, 10 };
        struct time_facts facts = { &server, 1 };
        struct gate_finding f;

        gate_judge_time(&g, &facts, &f);
        check_finding(i, &f, cases[i].answer, cases[i].answer == ANSWER_FAIL ? (uint32_t)BAD_CLOCK : 0,
                      cases[i].text);
    }
}

/* A name longer than the line: cut, and not within a character. */
static void test_long_names(void **state)
{
    char name[300];
    struct vm_beat beat = { "v", name, VM_RUNNING, HEARTBEAT_LOST };
    struct heartbeat_facts facts = { &beat, 1 };
    struct gate_excuse none = { 0 };
    struct gate_finding f;
    size_t n;

    (void)state;
    for (unsigned shift = 0; shift < 3; shift++) {
        memset(name, 'x', sizeof name);
        for (size_t i = shift; i + 3 < sizeof name; i += 3)
            memcpy(name + i, "\xe3\x83\x95", 3);
        name[sizeof name - 3] = '\0';
        gate_judge_heartbeat(&facts, &none, &f);
        n = strlen(f.text);
        assert_in_range(n, sizeof f.text - 3, sizeof f.text - 1);
        assert_memory_equal(f.text, "no heartbeat from ", strlen("no heartbeat from "));
        assert_memory_equal(f.text + n - 3, "\xe3\x83\x95", 3);
    }
}

/* What was so before the wave is not the wave's, what is new is. */
static void test_weigh(void **state)
{
    struct gate_finding f = { .answer = ANSWER_FAIL, .bad = BAD_CSV | BAD_NODE };

    (void)state;
    gate_weigh(&f, BAD_CSV);
    assert_int_equal(f.answer, ANSWER_FAIL);
    gate_weigh(&f, BAD_CSV | BAD_NODE | BAD_DISK);
    assert_int_equal(f.answer, ANSWER_UNKNOWN);
    f = (struct gate_finding){ .answer = ANSWER_PASS };
    gate_weigh(&f, 0);
    assert_int_equal(f.answer, ANSWER_PASS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster), cmocka_unit_test(test_heartbeat),  cmocka_unit_test(test_backup),
        cmocka_unit_test(test_time),    cmocka_unit_test(test_long_names), cmocka_unit_test(test_weigh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
