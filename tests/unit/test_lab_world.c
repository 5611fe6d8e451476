/* The lab's world does not flatter (O37): the traps of the real thing that it
 * plays, each with what happens to the careless. */
#include "tests/lib/check.h"

#include "examples/lab/make_fleet.h"
#include "examples/lab/world.h"
#include "examples/lab/world_store.h"
#include "tests/lib/temp_dir.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lab {
    struct world w;
    struct refusal r;
};

/* HV01..HV04 on S2D (cluster 0), HV05..HV16 on shared storage. */
static void lab_make(struct lab *l, int64_t seed, bool removable)
{
    struct fleet_wish wish = { .nodes = 16,
                               .seed = seed,
                               .factor = 1,
                               .removable = removable,
                               .net = "127.1.1",
                               .port = 10022,
                               .anchor_ms = 1700000000000 };
    struct err err;

    memset(l, 0, sizeof *l);
    assert_int_equal(fleet_make(&wish, &l->w, &err), ERR_OK);
    for (uint32_t i = 0; i < l->w.clusters.n; i++)
        l->w.clusters.items[i].auto_balancer_mode = 0;
}

static int setup(void **state)
{
    struct lab *l = calloc(1, sizeof *l);

    lab_make(l, 1, false);
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;

    world_clear(&l->w);
    free(l);
    return 0;
}

static void pass(struct lab *l, dur_ms time)
{
    (void)world_advance(&l->w, l->w.now + time);
}

static struct world_node *node(struct lab *l, uint32_t i)
{
    return &l->w.nodes.items[i];
}

static uint32_t first_vm_of(const struct lab *l, uint32_t at)
{
    for (uint32_t i = 0; i < l->w.vms.n; i++)
        if (l->w.vms.items[i].node == at)
            return i;
    return WORLD_NONE;
}

static uint32_t vms_on(const struct lab *l, uint32_t at)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->w.vms.n; i++)
        n += l->w.vms.items[i].node == at && world_vm_active(&l->w.vms.items[i]);
    return n;
}

static bool hurt(const struct lab *l, const char *what)
{
    for (uint32_t i = 0; i < l->w.damage.n; i++)
        if (strcmp(l->w.damage.items[i].what, what) == 0)
            return true;
    return false;
}

/* Everything off the node, one VM after the other, as a careful operator would. */
static void empty(struct lab *l, uint32_t at)
{
    const struct world_cluster *c = world_cluster_of(&l->w, at);
    uint32_t to = c->first_node;

    assert_int_equal(world_pause(&l->w, at, &l->r), 0);
    pass(l, 10 * SECOND_MS);
    for (uint32_t v; (v = first_vm_of(l, at)) != WORLD_NONE; pass(l, 10 * MINUTE_MS)) {
        uint32_t tries = 0;
        do
            to = c->first_node + (to + 1 - c->first_node) % c->nodes;
        while (++tries < 2 * c->nodes && (to == at || world_move(&l->w, v, to, MOVE_LIVE, &l->r) != 0));
        assert_true(tries < 2 * c->nodes);
    }
    for (uint32_t i = 0; i < l->w.groups.n; i++)
        if (l->w.groups.items[i].owner == at)
            assert_int_equal(
                world_group_move(&l->w, i, c->first_node + (at + 1 - c->first_node) % c->nodes, &l->r), 0);
    pass(l, 10 * SECOND_MS);
}

/* A careful life leaves no mark: no damage, no downtime but blackouts. */
static void test_a_careful_operator_hurts_nobody(void **state)
{
    struct lab *l = *state;

    empty(l, 0);
    assert_int_equal(world_storage_out(&l->w, 0, &l->r), 0);
    pass(l, MINUTE_MS);
    assert_int_equal(world_vmms_stop(&l->w, 0, &l->r), 0);
    pass(l, MINUTE_MS);
    assert_int_equal(world_install(&l->w, 0, "KB5061977", 26100, 4066, false, &l->r), 0);
    pass(l, HOUR_MS);
    assert_int_equal(world_reboot(&l->w, 0, &l->r), 0);
    pass(l, HOUR_MS);
    assert_int_equal(world_storage_in(&l->w, 0, &l->r), 0);
    pass(l, MINUTE_MS);
    assert_int_equal(world_resume(&l->w, 0, &l->r), 0);
    pass(l, HOUR_MS);

    assert_int_equal(l->w.damage.n, 0);
    assert_int_equal(node(l, 0)->ubr, 4066);
    assert_true(world_storage_clean(&l->w, 0));
    for (uint32_t i = 0; i < l->w.truth.n; i++)
        if (strcmp(l->w.truth.items[i].subject, "vm") == 0)
            assert_int_equal(l->w.truth.items[i].cause, CAUSE_BLACKOUT);
}

/* A hotpatch: listed and built in at once, nothing pending, and a boot that never was. */
static void test_a_package_without_a_reboot(void **state)
{
    struct lab *l = *state;
    uint32_t boots = (uint32_t)node(l, 0)->boots;
    struct err err;

    empty(l, 0);
    assert_int_equal(world_fault_add(&l->w, "no-reboot", node(l, 0)->id, "", &err), ERR_OK);
    assert_int_equal(world_install(&l->w, 0, "KB5061977", 26100, 4066, false, &l->r), 0);
    pass(l, HOUR_MS);
    assert_int_equal(node(l, 0)->ubr, 4066);
    assert_int_equal(node(l, 0)->servicing_exit, 0);
    assert_int_equal(world_package_find(&l->w, 0, 4066)->state, PACKAGE_INSTALLED);
    assert_false(node(l, 0)->mark_cbs || node(l, 0)->mark_packages || node(l, 0)->mark_xml);
    assert_int_equal(node(l, 0)->boots, boots);
}

/* Trap 13: vmms stopped with VM groups still here is an outage. */
static void test_stopping_vmms_under_vms_is_an_outage(void **state)
{
    struct lab *l = *state;
    uint32_t v = first_vm_of(l, 5);

    assert_int_equal(world_vmms_stop(&l->w, 5, &l->r), 0);
    pass(l, 10 * MINUTE_MS);
    assert_true(hurt(l, "vmms_stopped_under_vm"));
    assert_true(l->w.vms.items[v].node != 5); /* restarted elsewhere */
    assert_int_equal(l->w.truth.items[0].cause, CAUSE_VMMS_STOPPED);
    assert_int_equal(l->w.truth.items[1].cause, CAUSE_CRASH);
    assert_true(l->w.truth.items[1].end > l->w.truth.items[1].start);
}

/* Trap 11: paused is not empty. */
static void test_a_paused_node_still_carries_its_vms(void **state)
{
    struct lab *l = *state;

    assert_int_equal(world_pause(&l->w, 5, &l->r), 0);
    pass(l, HOUR_MS);
    assert_true(node(l, 5)->paused);
    assert_true(vms_on(l, 5) > 4);
    assert_int_equal(world_reboot(&l->w, 5, &l->r), 0);
    pass(l, MINUTE_MS);
    assert_true(hurt(l, "vm_on_down_node"));
}

/* O1: what is still owned fails over hard. */
static void test_owned_groups_fail_over_hard(void **state)
{
    struct lab *l = *state;

    world_node_crash(&l->w, l->w.groups.items[0].owner);
    assert_true(hurt(l, "hard_failover"));
    assert_false(l->w.groups.items[0].healthy);
    pass(l, MINUTE_MS);
    assert_true(l->w.groups.items[0].healthy);
}

/* A slot counts at both ends, what is over it queues. */
static void test_migration_slots_count_on_both_ends(void **state)
{
    struct lab *l = *state;
    uint32_t a = first_vm_of(l, 4), b = first_vm_of(l, 5), c = first_vm_of(l, 6);

    assert_int_equal(world_move(&l->w, a, 7, MOVE_LIVE, &l->r), 0);
    assert_int_equal(world_move(&l->w, b, 7, MOVE_LIVE, &l->r), 0);
    assert_int_equal(world_move(&l->w, c, 8, MOVE_LIVE, &l->r), 0);
    assert_true(l->w.vms.items[a].move_running);
    assert_false(l->w.vms.items[b].move_running); /* the same receiver */
    assert_true(l->w.vms.items[c].move_running);
    pass(l, HOUR_MS);
    assert_int_equal(l->w.vms.items[b].node, 7);
}

/* Trap 4: the number flips before servicing has finished. */
static void test_the_build_shows_before_servicing_ends(void **state)
{
    struct lab *l = *state;

    empty(l, 5);
    assert_int_equal(world_install(&l->w, 5, "KB5061977", 26100, 4066, false, &l->r), 0);
    pass(l, HOUR_MS);
    assert_int_equal(node(l, 5)->ubr, 4061);
    assert_int_equal(world_reboot(&l->w, 5, &l->r), 0);
    while (node(l, 5)->boots == 0)
        pass(l, SECOND_MS);
    assert_int_equal(node(l, 5)->ubr, 4066);
    assert_true(node(l, 5)->mark_cbs);
    assert_int_equal(world_package_find(&l->w, 5, 4066)->state, PACKAGE_INSTALL_PENDING);
    pass(l, 141 * SECOND_MS);
    assert_false(node(l, 5)->mark_cbs);
    assert_int_equal(world_package_find(&l->w, 5, 4066)->state, PACKAGE_INSTALLED);
}

/* Trap 3: the patch cannot be removed, unless the scenario says so. */
static void install_and_boot(struct lab *l, uint32_t at)
{
    empty(l, at);
    assert_int_equal(world_install(&l->w, at, "KB5061977", 26100, 4066, false, &l->r), 0);
    pass(l, HOUR_MS);
    assert_int_equal(world_reboot(&l->w, at, &l->r), 0);
    pass(l, HOUR_MS);
}

static void test_the_default_patch_is_permanent(void **state)
{
    struct lab *l = *state;

    install_and_boot(l, 5);
    assert_int_equal(world_uninstall(&l->w, 5, "KB5061977", 4066, &l->r), -1);
    assert_string_equal(l->r.code, "not_removable");
    assert_string_equal(l->r.native, "0x800f0825");
}

static void test_a_removable_patch_goes_with_a_reboot(void **state)
{
    struct lab l;

    (void)state;
    lab_make(&l, 1, true);
    install_and_boot(&l, 5);
    assert_int_equal(world_uninstall(&l.w, 5, "KB5061977", 4066, &l.r), 0);
    pass(&l, HOUR_MS);
    assert_int_equal(node(&l, 5)->ubr, 4066);
    assert_int_equal(world_reboot(&l.w, 5, &l.r), 0);
    pass(&l, HOUR_MS);
    assert_int_equal(node(&l, 5)->ubr, 4061);
    assert_int_equal(world_package_find(&l.w, 5, 4061)->state, PACKAGE_INSTALLED);
    world_clear(&l.w);
}

/* Trap 14: no job yet is not resynced. */
static void test_a_repair_looks_finished_before_it_begins(void **state)
{
    struct lab *l = *state;

    empty(l, 0);
    assert_int_equal(world_storage_out(&l->w, 0, &l->r), 0);
    pass(l, 20 * MINUTE_MS);
    assert_int_equal(world_storage_health(&l->w, 0), HEALTH_WARNING);
    assert_int_equal(world_storage_in(&l->w, 0, &l->r), 0);
    while (node(l, 0)->storage_out)
        pass(l, SECOND_MS);
    assert_int_equal(world_storage_health(&l->w, 0), HEALTH_HEALTHY); /* as shown; it is not true */
    assert_false(world_storage_clean(&l->w, 0));
    pass(l, 26 * SECOND_MS);
    assert_int_equal(world_storage_health(&l->w, 0), HEALTH_WARNING);
    assert_int_equal(world_pause(&l->w, 1, &l->r), -1); /* the cluster refuses, while it can see it */
    pass(l, HOUR_MS);
    assert_true(world_storage_clean(&l->w, 0));
}

/* O21: a second node away before the repair loses the storage. */
static void test_a_second_node_too_early_loses_the_storage(void **state)
{
    struct lab *l = *state;

    world_node_crash(&l->w, 0);
    pass(l, MINUTE_MS);
    assert_false(l->w.clusters.items[0].lost);
    world_node_crash(&l->w, 1);
    assert_true(l->w.clusters.items[0].lost);
    assert_true(hurt(l, "cluster_lost"));
}

/* 6.2: more than half of the votes at once. */
static void test_half_of_the_votes_at_once_loses_quorum(void **state)
{
    struct lab *l = *state;

    for (uint32_t i = 4; i < 10; i++)
        world_node_crash(&l->w, i);
    assert_false(l->w.clusters.items[1].lost); /* six of twelve, and the witness */
    world_node_crash(&l->w, 10);
    assert_true(l->w.clusters.items[1].lost);
}

/* Trap 20: the third departure within an hour is punished. */
static void test_three_departures_in_an_hour_are_quarantined(void **state)
{
    struct lab *l = *state;

    for (int i = 0; i < 3; i++) {
        world_node_crash(&l->w, 5);
        pass(l, 18 * MINUTE_MS);
    }
    assert_int_equal(node(l, 5)->member, MEMBER_DOWN);
    assert_true(hurt(l, "quarantined"));
    pass(l, 3 * HOUR_MS);
    assert_int_equal(node(l, 5)->member, MEMBER_JOINED);
}

/* 11.1: a node that was paused comes back paused. */
static void test_a_node_comes_back_paused(void **state)
{
    struct lab *l = *state;
    char boot[40];

    empty(l, 5);
    strcpy(boot, node(l, 5)->boot_id);
    assert_int_equal(world_reboot(&l->w, 5, &l->r), 0);
    pass(l, HOUR_MS);
    assert_true(node(l, 5)->paused);
    assert_string_not_equal(boot, node(l, 5)->boot_id);
    assert_int_equal(l->w.damage.n, 0);
}

/* Trap 17: the fleet does not stand still. */
static void test_the_balancer_moves_vms_by_itself(void **state)
{
    struct lab *l = *state;

    l->w.clusters.items[1].auto_balancer_mode = 2;
    empty(l, 5);
    assert_int_equal(world_resume(&l->w, 5, &l->r), 0);
    pass(l, HOUR_MS);
    assert_true(vms_on(l, 5) > 0);
}

static void test_memory_grows_by_itself(void **state)
{
    struct lab *l = *state;
    int64_t before = 0, changed = 0;

    for (uint32_t i = 0; i < l->w.vms.n; i++)
        before += l->w.vms.items[i].assigned_mib;
    pass(l, 12 * HOUR_MS);
    for (uint32_t i = 0; i < l->w.vms.n; i++)
        changed += l->w.vms.items[i].assigned_mib;
    assert_true(before != changed);
}

/* A VM that starts with its host starts by itself after the boot. */
static void test_a_local_vm_starts_with_its_host(void **state)
{
    struct lab *l = *state;
    uint32_t i = first_vm_of(l, 5);
    struct world_vm *v = &l->w.vms.items[i];

    v->clustered = false;
    strcpy(v->start_action, "start");
    assert_int_equal(world_vm_stop(&l->w, i, STOP_SHUTDOWN, &l->r), 0);
    pass(l, 10 * MINUTE_MS);
    assert_int_equal(v->state, VM_OFF);
    assert_int_equal(world_reboot(&l->w, 5, &l->r), 0);
    pass(l, HOUR_MS);
    assert_int_equal(v->state, VM_RUNNING);
    assert_int_equal(l->w.truth.items[0].cause, CAUSE_SHUT_DOWN);
    assert_true(l->w.truth.items[0].end == v->running_ms);
}

/* O4: a paused node brings no group online. */
static void test_a_paused_node_starts_no_clustered_vm(void **state)
{
    struct lab *l = *state;
    uint32_t v = first_vm_of(l, 5);

    assert_int_equal(world_vm_stop(&l->w, v, STOP_SAVE, &l->r), 0);
    assert_int_equal(world_pause(&l->w, 5, &l->r), 0);
    pass(l, 10 * MINUTE_MS);
    assert_int_equal(l->w.vms.items[v].state, VM_SAVED);
    assert_int_equal(world_vm_start(&l->w, v, &l->r), -1);
    assert_string_equal(l->r.code, "refused");
}

/* Same seed, same world, whatever the order of questions. */
static void test_a_seed_is_a_world(void **state)
{
    struct lab *l = *state, other;

    lab_make(&other, 1, false);
    assert_int_equal(other.w.vms.n, l->w.vms.n);
    for (uint32_t i = 0; i < l->w.vms.n; i++) {
        assert_string_equal(other.w.vms.items[i].id, l->w.vms.items[i].id);
        assert_int_equal(other.w.vms.items[i].assigned_mib, l->w.vms.items[i].assigned_mib);
    }
    pass(&other, 3 * HOUR_MS);
    pass(l, HOUR_MS);
    pass(l, 2 * HOUR_MS);
    for (uint32_t i = 0; i < l->w.vms.n; i++)
        assert_int_equal(other.w.vms.items[i].assigned_mib, l->w.vms.items[i].assigned_mib);
    world_clear(&other.w);
}

/* The file holds all of it. */
static void test_a_world_survives_its_file(void **state)
{
    struct lab *l = *state;
    struct world_store *s = NULL;
    struct world back = { 0 };
    struct temp_dir d;
    struct err err;

    temp_dir_make(&d);
    assert_int_equal(world_move(&l->w, first_vm_of(l, 4), 7, MOVE_LIVE, &l->r), 0);
    assert_int_equal(world_fault_add(&l->w, "late-back", "HV05", "7", &err), ERR_OK);
    assert_int_equal(world_store_open(temp_dir_file(&d, "world.db"), &s, &err), ERR_OK);
    assert_int_equal(world_store_save(s, &l->w, &err), ERR_OK);
    pass(l, HOUR_MS);
    assert_int_equal(world_store_save(s, &l->w, &err), ERR_OK);
    world_store_close(s);
    assert_int_equal(world_store_open(temp_dir_file(&d, "world.db"), &s, &err), ERR_OK);
    assert_int_equal(world_store_load(s, &back, &err), ERR_OK);
    world_store_close(s);
    temp_dir_remove(&d);

    assert_int_equal(back.vms.n, l->w.vms.n);
    assert_memory_equal(back.vms.items, l->w.vms.items, l->w.vms.n * sizeof *back.vms.items);
    assert_memory_equal(back.nodes.items, l->w.nodes.items, l->w.nodes.n * sizeof *back.nodes.items);
    assert_int_equal(back.queue.n, l->w.queue.n);
    assert_int_equal(back.truth.n, l->w.truth.n);
    assert_int_equal(world_fault_number(world_fault_set(&back, "late-back", "HV05"), 0), 7);
    world_clear(&back);
}

struct opening {
    const char *path;
    struct world_store *store;
    struct err err;
    int rc;
};

static void *open_it(void *arg)
{
    struct opening *o = arg;

    o->rc = world_store_open(o->path, &o->store, &o->err);
    return NULL;
}

/* As demo.sh does: `hvlab wait` opens the file at the very moment in which `hvlab serve` has it alone. */
static void test_a_world_waits_for_its_file(void **state)
{
    const struct lab *l = *state;
    struct opening o = { 0 };
    sqlite3 *other = NULL;
    struct temp_dir d;
    pthread_t opener;

    temp_dir_make(&d);
    o.path = temp_dir_file(&d, "world.db");
    assert_int_equal(world_store_open(o.path, &o.store, &o.err), ERR_OK);
    assert_int_equal(world_store_save(o.store, &l->w, &o.err), ERR_OK);
    world_store_close(o.store);
    assert_int_equal(sqlite3_open(o.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);

    assert_int_equal(pthread_create(&opener, NULL, open_it, &o), 0);
    nanosleep(&(struct timespec){ 0, 300000000 }, NULL);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(pthread_join(opener, NULL), 0);

    assert_string_equal(o.err.text, "");
    assert_int_equal(o.rc, ERR_OK);
    world_store_close(o.store);
    temp_dir_remove(&d);
}

/* What a failed save did not write, the next one does. */
static void test_a_failed_save_forgets_nothing(void **state)
{
    struct lab *l = *state;
    struct world back = { 0 };
    struct world_store *s = NULL;
    sqlite3 *other = NULL;
    struct temp_dir d;
    struct err err;

    temp_dir_make(&d);
    assert_int_equal(world_store_open(temp_dir_file(&d, "world.db"), &s, &err), ERR_OK);
    assert_int_equal(world_store_save(s, &l->w, &err), ERR_OK);
    assert_int_equal(sqlite3_open(temp_dir_file(&d, "world.db"), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other,
                                  "CREATE TRIGGER full BEFORE INSERT ON queue BEGIN SELECT "
                                  "RAISE(ABORT, 'disk full'); END",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(world_move(&l->w, first_vm_of(l, 4), 7, MOVE_LIVE, &l->r), 0);
    assert_int_equal(world_store_save(s, &l->w, &err), ERR_IO);
    assert_int_equal(sqlite3_exec(other, "DROP TRIGGER full", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(world_store_save(s, &l->w, &err), ERR_OK);
    world_store_close(s);

    assert_int_equal(world_store_open(temp_dir_file(&d, "world.db"), &s, &err), ERR_OK);
    assert_int_equal(world_store_load(s, &back, &err), ERR_OK);
    assert_memory_equal(back.vms.items, l->w.vms.items, l->w.vms.n * sizeof *back.vms.items);
    assert_int_equal(back.queue.n, l->w.queue.n);
    world_store_close(s);
    world_clear(&back);
    temp_dir_remove(&d);
}

/* What the history of a run is judged by: who asked, and what was running there at that moment. */
static void test_each_effect_is_kept_with_its_op(void **state)
{
    struct lab *l = *state;
    const struct world_effect *e;
    uint32_t running = vms_on(l, 4);

    strcpy(l->w.op, "r1/HV05/1/reboot/1");
    assert_int_equal(world_reboot(&l->w, 4, &l->r), 0);
    assert_int_equal(world_reboot(&l->w, 4, &l->r), 0); /* under way: no second effect */
    l->w.op[0] = 0;
    assert_int_equal(l->w.effects.n, 1);
    e = &l->w.effects.items[0];
    assert_string_equal(e->what, "reboot");
    assert_string_equal(e->op, "r1/HV05/1/reboot/1");
    assert_int_equal(e->node, 4);
    assert_true(running > 0);
    assert_int_equal(e->active_vms, running);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(test_a_careful_operator_hurts_nobody),
        STORY(test_a_package_without_a_reboot),
        STORY(test_stopping_vmms_under_vms_is_an_outage),
        STORY(test_a_paused_node_still_carries_its_vms),
        STORY(test_owned_groups_fail_over_hard),
        STORY(test_migration_slots_count_on_both_ends),
        STORY(test_the_build_shows_before_servicing_ends),
        STORY(test_the_default_patch_is_permanent),
        STORY(test_a_removable_patch_goes_with_a_reboot),
        STORY(test_a_repair_looks_finished_before_it_begins),
        STORY(test_a_second_node_too_early_loses_the_storage),
        STORY(test_half_of_the_votes_at_once_loses_quorum),
        STORY(test_three_departures_in_an_hour_are_quarantined),
        STORY(test_a_node_comes_back_paused),
        STORY(test_the_balancer_moves_vms_by_itself),
        STORY(test_memory_grows_by_itself),
        STORY(test_a_local_vm_starts_with_its_host),
        STORY(test_a_paused_node_starts_no_clustered_vm),
        STORY(test_each_effect_is_kept_with_its_op),
        STORY(test_a_seed_is_a_world),
        STORY(test_a_world_survives_its_file),
        STORY(test_a_world_waits_for_its_file),
        STORY(test_a_failed_save_forgets_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
