#include "orchestrator/core/facts.h"

#include "tests/lib/check.h"

#include <string.h>

/* One row per kind of facts: how it is read and written again, and an answer
 * as a driver gives it. */
union any {
    struct node_facts node;
    struct vms_seen vms;
    struct cluster_view cluster;
    struct storage_view storage;
    struct verify_facts verify;
    struct empty_facts empty;
    struct removability_facts removability;
    struct backup_facts backup;
    struct heartbeat_facts heartbeat;
    struct time_facts time;
};

#define KIND(name, member)                                                                             \
    static int read_##name(const struct json_doc *d, struct arena *a, union any *ret, struct err *err) \
    {                                                                                                  \
        return facts_read_##name(d, json_root(d), a, &ret->member, err);                               \
    }                                                                                                  \
    static void write_##name(struct json_writer *w, const union any *x)                                \
    {                                                                                                  \
        facts_write_##name(w, NULL, &x->member);                                                       \
    }

KIND(node, node)
KIND(vms, vms)
KIND(cluster, cluster)
KIND(storage, storage)
KIND(verify, verify)
KIND(empty, empty)
KIND(removability, removability)
KIND(backup, backup)
KIND(heartbeat, heartbeat)
KIND(time, time)

static const struct {
    const char *name;
    int (*read)(const struct json_doc *d, struct arena *a, union any *ret, struct err *err);
    void (*write)(struct json_writer *w, const union any *x);
    const char *text;
} kinds[] = {
    { "node", read_node, write_node,
      "{\"node\":\"HV07\",\"machine_id\":\"m\",\"boot_id\":\"b\",\"cluster\":\"c\",\"model\":null,"
      "\"firmware\":\"1\",\"bmc\":null,"
      "\"os\":{\"build\":26100,\"ubr\":4061,\"server\":true,\"caption\":\"x\"},\"memory_mib\":524288,\"host_"
      "reserve_mib\":16384,"
      "\"cpus\":64,\"free_disk_bytes\":99,\"pending\":{\"reboot\":false,\"marks\":[]},\"servicing_idle\":"
      "true,"
      "\"services\":[{\"name\":\"vmms\",\"state\":\"running\",\"start\":\"automatic\"}],\"switches\":["
      "\"vSwitch1\"],"
      "\"interfaces\":[{\"name\":\"Cluster "
      "1\",\"state\":\"up\"}],\"storage_paths\":4,\"bitlocker\":{\"os_volume\":\"off\"},"
      "\"attestation\":null,\"vbs\":2,\"tpm\":true,\"hotpatch\":false,\"time_source\":null,"
      "\"applicability\":{\"server_2025\":true,\"article\":true,\"microsoft\":null}}" },
    { "vms", read_vms, write_vms,
      "{\"vms\":[{\"id\":\"5f0c0001-7d21-4c5e-9a10-000000000001\",\"name\":\"\\u30d5\",\"node\":\"HV07\","
      "\"state\":\"running\",\"clustered\":true,"
      "\"group\":\"g\",\"memory\":{\"assigned_mib\":8192,\"startup_mib\":4096,\"maximum_mib\":16384,"
      "\"dynamic\":true},\"cpus\":4,"
      "\"dirty_mib_s\":null,\"priority\":2000,\"heartbeat\":null,\"busy\":\"backup\",\"isolation\":\"none\","
      "\"dda\":false,\"gpu\":false,"
      "\"local_disk\":false,\"passthrough\":false,\"shared_disk\":false,\"iso\":null,\"switches\":[],\"key_"
      "protector\":null,"
      "\"cpu_compat\":true,\"possible_owners\":[\"HV01\",\"HV07\"],\"anti_affinity\":[\"db\"],\"auto_"
      "failback\":false,"
      "\"uptime_ms\":5,\"replication\":false,\"role\":null}],\"next\":null}" },
    { "cluster", read_cluster, write_cluster,
      "{\"cluster\":\"c\",\"nodes\":[{\"id\":\"HV07\",\"state\":\"paused\",\"drain\":\"not_initiated\","
      "\"vote\":1,\"dynamic_vote\":0,"
      "\"fault_domain\":\"r\"}],\"quorum\":{\"witness\":\"disk\",\"witness_state\":\"online\",\"witness_"
      "vote\":1},"
      "\"groups\":[{\"id\":\"g\",\"name\":\"n\",\"type\":\"cluster\",\"state\":\"online\",\"owner\":\"HV07\","
      "\"vm\":null,"
      "\"wanted_online\":true,\"locked\":false,\"pinned\":false}],\"csvs\":[{\"id\":\"1\",\"name\":\"v\","
      "\"owner\":\"HV07\",\"healthy\":true}],"
      "\"resources_failed\":[{\"id\":\"r1\",\"name\":\"x\"}],\"properties\":{\"max_parallel_migrations\":1,"
      "\"migration_bandwidth_mib_s\":1100,\"auto_balancer_mode\":2,\"move_type_threshold\":2000,\"enforced_"
      "anti_affinity\":false},"
      "\"s2d\":true,\"busy\":[{\"kind\":\"cau\",\"text\":\"t\"}],\"stretched\":false,\"networks_down\":0}" },
    { "storage", read_storage, write_storage,
      "{\"s2d\":true,\"virtual_disks\":[{\"id\":\"d\",\"name\":\"n\",\"health\":\"warning\"}],"
      "\"jobs\":[{\"id\":\"j\",\"kind\":\"repair\",\"state\":\"suspended\",\"percent\":40}],\"rack_aware\":"
      "false}" },
    { "verify", read_verify, write_verify,
      "{\"build\":26100,\"ubr\":4066,\"package\":\"installed\",\"predecessor\":null,\"pending\":false,"
      "\"servicing_idle\":true,"
      "\"boot_id\":\"b\",\"hotfix\":{\"listed\":true,\"installed_on\":null}}" },
    { "empty", read_empty, write_empty,
      "{\"empty\":false,\"left\":[{\"kind\":\"vm\",\"id\":\"x\",\"name\":null,\"why\":\"runs\"}]}" },
    { "removability", read_removability, write_removability,
      "{\"removable\":\"no\",\"why\":\"permanent\",\"predecessor\":\"26100.4061\"}" },
    { "backup", read_backup, write_backup,
      "{\"agents\":[{\"product\":\"p\",\"service\":\"s\",\"state\":\"running\",\"expected\":\"running\"}],"
      "\"last_job\":{\"state\":\"ok\",\"at_ms\":7},"
      "\"writers\":[{\"id\":\"w\",\"stable\":true}],\"events_7001\":[{\"at_ms\":5,\"service\":\"s\","
      "\"depends_on\":null}]}" },
    { "heartbeat", read_heartbeat, write_heartbeat,
      "{\"vms\":[{\"id\":\"x\",\"name\":\"n\",\"state\":\"running\",\"heartbeat\":\"ok\"},{\"id\":\"y\","
      "\"name\":\"n\",\"state\":\"off\",\"heartbeat\":null}]}" },
    { "time", read_time, write_time,
      "{\"servers\":[{\"server\":\"10.0.0.5\",\"ok\":true,\"why\":null,\"samples\":4,\"stratum\":3,\"offset_"
      "us\":-120,\"delay_us\":80},"
      "{\"server\":\"q\",\"ok\":false,\"why\":\"silence\"}]}" },
};

static int read_text(unsigned kind, const char *text, size_t len, struct arena *a, union any *ret,
                     struct err *err)
{
    struct json_doc *doc;
    int rc = json_parse("answer", text, len, &doc, err);

    if (rc != 0)
        return rc;
    rc = kinds[kind].read(doc, a, ret, err);
    json_free(doc);
    return rc;
}

/* Read, write, read, write: the second text is the first. */
static void test_round_trips(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(kinds); i++) {
        struct buf first = BUF_INIT, second = BUF_INIT;
        struct arena a = ARENA_INIT;
        struct json_writer w;
        struct err err = { 0 };
        union any x;

        check_ok(read_text(i, kinds[i].text, strlen(kinds[i].text), &a, &x, &err), &err);
        jw_init(&w, &first);
        kinds[i].write(&w, &x);
        check_ok(read_text(i, first.data, first.len, &a, &x, &err), &err);
        jw_init(&w, &second);
        kinds[i].write(&w, &x);
        assert_string_equal(buf_text(&first), buf_text(&second));
        buf_clear(&first);
        buf_clear(&second);
        arena_clear(&a);
    }
}

/* The node facts of the table, with their end as given: what the node counts as. Its own number stands beside that. */
static uint32_t level_of(const char *end)
{
    const char *text = kinds[0].text, *from = strstr(text, "\"hotpatch\"");
    struct buf changed = BUF_INIT, again = BUF_INIT;
    struct arena a = ARENA_INIT;
    struct json_writer w;
    struct err err = { 0 };
    struct build level;
    union any x;

    buf_printf(&changed, "%.*s%s", (int)(from - text), text, end);
    check_ok(read_text(0, changed.data, changed.len, &a, &x, &err), &err);
    assert_int_equal(x.node.build.ubr, 4061);
    level = facts_level(&x.node);
    assert_int_equal(level.number, 26100);
    jw_init(&w, &again);
    kinds[0].write(&w, &x);
    check_ok(read_text(0, again.data, again.len, &a, &x, &err), &err);
    assert_int_equal(x.node.build.ubr, 4061); /* as the log keeps both */
    assert_int_equal(build_compare(facts_level(&x.node), level), 0);
    buf_clear(&changed);
    buf_clear(&again);
    arena_clear(&a);
    return level.ubr;
}

#define TRUE_WITH(packages) "\"hotpatch\":true,\"time_source\":null" packages "}"
#define PACKAGE(build, ubr, state) "{\"build\":" #build ",\"ubr\":" #ubr ",\"state\":\"" state "\"}"

/* A hotpatch's number is above that of packages which are not in: the level is the newest installed one's (I17). */
static void test_level_of_a_hotpatched_node(void **state)
{
#define PACKAGES                                                                                            \
    ",\"packages\":[" PACKAGE(26100, 3775, "superseded") "," PACKAGE(26100, 4040, "installed") "," PACKAGE( \
        26100, 4050, "installed") "," PACKAGE(26100, 4055, "install_pending") "]"
    (void)state;
    assert_int_equal(level_of(TRUE_WITH(PACKAGES)), 4050);
    assert_int_equal(level_of("\"hotpatch\":false,\"time_source\":null" PACKAGES "}"), 4061);
#undef PACKAGES
}

/* Only what can be running counts: of this build, and not above the node's own number. */
static void test_level_is_not_raised(void **state)
{
    (void)state;
    assert_int_equal(level_of(TRUE_WITH(",\"packages\":[" PACKAGE(26100, 4050, "installed") "," PACKAGE(
                         26100, 4062, "installed") "]")),
                     4050);
    assert_int_equal(level_of(TRUE_WITH(",\"packages\":[" PACKAGE(26100, 4050, "installed") "," PACKAGE(
                         20348, 4060, "installed") "]")),
                     4050);
    assert_int_equal(level_of(TRUE_WITH(",\"packages\":[{\"ubr\":4060,\"state\":\"installed\"}]")), 0);
}

static void test_level_without_packages(void **state)
{
    (void)state;
    assert_int_equal(level_of(TRUE_WITH("")), 0);
    assert_int_equal(level_of(TRUE_WITH(",\"packages\":null")), 0);
    assert_int_equal(level_of(TRUE_WITH(",\"packages\":[]")), 0);
}

/* Members that may be missing: what a driver cannot know, or need not say. */
static bool may_miss(const char *kind, const char *key)
{
    static const char *const rows[][2] = {
        { "node", "bitlocker" }, { "node", "vbs" },   { "vms", "next" },   { "backup", "last_job" },
        { "node", "caption" },   { "node", "marks" }, { "node", "start" }, { "node", "applicability" },
    };

    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        if (strcmp(rows[i][0], kind) == 0 && strcmp(rows[i][1], key) == 0)
            return true;
    return false;
}

/* Incomplete facts are no facts: leave any member of the top out and it is
 * invalid, except those that may be missing. */
static void test_missing_members(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(kinds); i++) {
        struct json_doc *doc;
        struct err err = { 0 };

        check_ok(json_parse("answer", kinds[i].text, strlen(kinds[i].text), &doc, &err), &err);
        for (const json *gone = json_first(json_root(doc)); gone != NULL; gone = json_next(gone)) {
            struct buf text = BUF_INIT;
            struct arena a = ARENA_INIT;
            struct json_writer w;
            union any x;
            int rc;

            jw_init(&w, &text);
            jw_object(&w, NULL);
            for (const json *m = json_first(json_root(doc)); m != NULL; m = json_next(m))
                if (m != gone)
                    jw_value(&w, json_key(m), m);
            jw_object_end(&w);
            rc = read_text(i, text.data, text.len, &a, &x, &err);
            if ((rc == 0) != may_miss(kinds[i].name, json_key(gone)))
                fail_msg("%s without `%s`: %s", kinds[i].name, json_key(gone), err_name((enum err_code)rc));
            buf_clear(&text);
            arena_clear(&a);
        }
        json_free(doc);
    }
}

/* A word that the contract does not know is not read as another. */
static void test_odd_words(void **state)
{
    static const struct {
        unsigned kind;
        const char *from, *to;
    } rows[] = {
        { 1, "\"state\":\"running\"", "\"state\":\"jogging\"" },
        { 1, "\"busy\":\"backup\"", "\"busy\":\"\"" },
        { 1, "5f0c0001-7d21", "5F0C0001-7D21" },
        { 2, "\"state\":\"paused\"", "\"state\":\"tired\"" },
        { 2, "\"witness\":\"disk\"", "\"witness\":\"tape\"" },
        { 3, "\"health\":\"warning\"", "\"health\":\"fine\"" },
        { 4, "\"ubr\":4066", "\"ubr\":-1" },
        { 4, "\"ubr\":4066", "\"ubr\":4066.5" },
        { 5, "\"empty\":false", "\"empty\":true" },
        { 6, "\"removable\":\"no\"", "\"removable\":\"maybe\"" },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        const char *text = kinds[rows[i].kind].text, *at = strstr(text, rows[i].from);
        struct buf other = BUF_INIT;
        struct arena a = ARENA_INIT;
        struct err err = { 0 };
        union any x;

        assert_non_null(at);
        buf_add(&other, text, (size_t)(at - text));
        buf_str(&other, rows[i].to);
        buf_str(&other, at + strlen(rows[i].from));
        if (read_text(rows[i].kind, other.data, other.len, &a, &x, &err) != ERR_INVALID)
            fail_msg("%s was read", rows[i].to);
        buf_clear(&other);
        arena_clear(&a);
    }
}

/* O21: a suspended repair blocks, an optimisation does not. */
static void test_storage_clean(void **state)
{
    struct view_disk disk = { "d", "n", DISK_HEALTHY };
    struct view_job job = { "j", JOB_REPAIR, true, 0 };
    struct storage_view v = { .s2d = true, .disks = &disk, .n_disks = 1, .jobs = &job, .n_jobs = 1 };
    static const struct {
        enum disk_health health;
        enum storage_job kind;
        bool running, clean;
    } rows[] = {
        { DISK_HEALTHY, JOB_REPAIR, true, false },     { DISK_HEALTHY, JOB_REGENERATION, true, false },
        { DISK_HEALTHY, JOB_OPTIMIZE, true, true },    { DISK_HEALTHY, JOB_REBALANCE, true, true },
        { DISK_HEALTHY, JOB_REPAIR, false, true },     { DISK_WARNING, JOB_OPTIMIZE, true, false },
        { DISK_UNHEALTHY, JOB_OPTIMIZE, true, false }, { DISK_UNKNOWN, JOB_OPTIMIZE, true, false },
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        disk.health = rows[i].health;
        job.kind = rows[i].kind;
        job.running = rows[i].running;
        assert_int_equal(storage_view_clean(&v), rows[i].clean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),         cmocka_unit_test(test_level_of_a_hotpatched_node),
        cmocka_unit_test(test_level_is_not_raised), cmocka_unit_test(test_level_without_packages),
        cmocka_unit_test(test_missing_members),     cmocka_unit_test(test_odd_words),
        cmocka_unit_test(test_storage_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
