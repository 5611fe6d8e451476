/* A cluster that lives: VMs move, come and go, jobs start, nodes fall silent. Whatever changes between two pictures, the
 * log's reader sees just what the writer saw, and a text that is not the next one is refused by name. */
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include "orchestrator/core/event.h"
#include "schema/prng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 4, VMS_MAX = 12, GROUPS_MAX = 12, JOBS_MAX = 4 };

/* What a picture is made of, in memory of the test's own. */
struct world {
    struct prng random;
    struct inventory *inv;
    time_ms now;
    struct view_node nodes[NODES];
    struct view_group groups[GROUPS_MAX];
    struct view_job jobs[JOBS_MAX];
    struct view_disk disks[2];
    struct view_busy busy;
    struct vm_seen vms[NODES][VMS_MAX];
    uint32_t n_vms[NODES], n_groups, n_jobs, made;
    char ids[4096][40];
    bool silent[NODES];
    struct vms_seen seen[NODES];
    uint32_t answered[NODES];
    struct event ev;
};

static const struct fleet_words words = { .seed = 1,
                                          .clusters = 2,
                                          .nodes = NODES,
                                          .vms = 1,
                                          .node_mib = 65536,
                                          .vm_mib_min = 512,
                                          .vm_mib_max = 1024 };
static const char *const switches[] = { "vSwitch1", "vSwitch2" };

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->random, n);
}

static const char *new_id(struct world *w)
{
    char *id = w->ids[w->made % TABLE_LEN(w->ids)];

    return small_vm_id(w->made++, id);
}

static struct vm_seen new_vm(struct world *w, uint32_t node)
{
    struct vm_seen s = { .node = w->inv->nodes[node].id, .owner_ids = switches, .uptime_ms = 5000 };

    s.vm.id = new_id(w);
    s.vm.name = w->made % 3 == 0 ? "db" : "\xe3\x83\x95"; /* names repeat, and are not ASCII */
    s.vm.assigned_mib = s.vm.startup_mib = s.vm.maximum_mib = 1024;
    s.vm.cpus = 2;
    s.vm.dirty_mib_s = -1;
    s.vm.switches = switches;
    s.vm.n_switches = 1 + w->made % 2;
    return s;
}

static void make_world(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    prng_init(&w->random, seed);
    w->inv = small_fleet(&words);
    w->now = 1764000000000;
    for (uint32_t i = 0; i < NODES; i++) {
        w->nodes[i] = (struct view_node){ w->inv->nodes[i].id, SEEN_UP, 1, 1, NULL };
        for (uint32_t k = 0; k < 5; k++)
            w->vms[i][w->n_vms[i]++] = new_vm(w, i);
    }
    for (uint32_t i = 0; i < 6; i++)
        w->groups[w->n_groups++] =
            (struct view_group){ new_id(w), "g",  w->inv->nodes[0].id, NULL, GROUP_POOL, GROUP_ONLINE, true,
                                 false,     false };
    w->disks[0] = (struct view_disk){ "d0", "Volume 1", DISK_HEALTHY };
    w->disks[1] = (struct view_disk){ "d1", NULL, DISK_HEALTHY };
    w->busy = (struct view_busy){ "cau", NULL };
}

/* --- what happens --- */

static void time_passes(struct world *w)
{
    dur_ms ms = 1 + below(w, 100000);

    w->now += ms;
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t k = 0; k < w->n_vms[i]; k++)
            if (w->vms[i][k].uptime_ms > 0)
                w->vms[i][k].uptime_ms += ms;
}

static struct vm_seen take_out(struct world *w, uint32_t node, uint32_t at)
{
    struct vm_seen vm = w->vms[node][at];

    memmove(&w->vms[node][at], &w->vms[node][at + 1], (--w->n_vms[node] - at) * sizeof vm);
    return vm;
}

static void put_in(struct world *w, uint32_t node, struct vm_seen vm)
{
    uint32_t at = below(w, w->n_vms[node] + 1);

    memmove(&w->vms[node][at + 1], &w->vms[node][at], (w->n_vms[node]++ - at) * sizeof vm);
    vm.node = w->inv->nodes[node].id;
    w->vms[node][at] = vm;
}

static void a_vm_changes(struct world *w, uint32_t node)
{
    uint32_t to = below(w, NODES), at = w->n_vms[node] == 0 ? 0 : below(w, w->n_vms[node]);
    bool none = w->n_vms[node] == 0, full = w->n_vms[to] == VMS_MAX;

    switch (below(w, 6)) {
    case 0: /* it moves; perhaps only its place in the list */
        if (!none && !full)
            put_in(w, to, take_out(w, node, at));
        break;
    case 1:
        if (!full)
            put_in(w, to, new_vm(w, to));
        break;
    case 2:
        if (!none)
            take_out(w, node, at);
        break;
    case 3:
        w->vms[node][at].uptime_ms = below(w, 2); /* started anew, or off */
        break;
    case 4:
        w->vms[node][at].vm.assigned_mib += 256;
        break;
    default: /* it shows twice */
        if (!none && !full)
            put_in(w, to, w->vms[node][at]);
    }
}

static void the_cluster_changes(struct world *w)
{
    switch (below(w, 7)) {
    case 0:
        w->nodes[below(w, NODES)].state = (enum node_state_seen)below(w, 4);
        break;
    case 1:
        w->groups[below(w, w->n_groups)].owner = w->inv->nodes[below(w, NODES)].id;
        break;
    case 2:
        w->n_jobs = below(w, JOBS_MAX);
        for (uint32_t i = 0; i < w->n_jobs; i++)
            w->jobs[i] = (struct view_job){ "job", JOB_REPAIR, true, below(w, 100) };
        break;
    case 3:
        w->disks[below(w, 2)].health = (enum disk_health)below(w, 4);
        break;
    case 4:
        w->ev.u.observed.view.n_busy = below(w, 2);
        break;
    case 5:
        w->silent[below(w, NODES)] ^= true;
        break;
    default:
        w->n_groups = 3 + below(w, 4);
    }
}

/* The event that shows the world as it is. */
static const struct event *look(struct world *w)
{
    struct cluster_view *v = &w->ev.u.observed.view;
    uint32_t n = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        if (w->silent[i])
            continue;
        w->answered[n] = i;
        w->seen[n++] = (struct vms_seen){ w->vms[i], w->n_vms[i] };
    }
    w->ev.at = w->ev.u.observed.taken = w->now;
    w->ev.type = EV_OBSERVED;
    w->ev.u.observed.what = OBSERVE_CLUSTER;
    w->ev.u.observed.ok = true;
    w->ev.u.observed.vms = w->seen;
    w->ev.u.observed.vms_nodes = w->answered;
    w->ev.u.observed.n_vms_nodes = n;
    v->cluster = w->inv->clusters[0].id;
    v->nodes = w->nodes;
    v->n_nodes = NODES;
    v->groups = w->groups;
    v->n_groups = w->n_groups;
    v->busy = &w->busy;
    v->max_parallel_migrations = 2;
    w->ev.u.observed.storage = (struct storage_view){ true, false, w->disks, 2, w->jobs, w->n_jobs };
    return &w->ev;
}

static const struct event *live_a_little(struct world *w)
{
    time_passes(w);
    for (uint32_t n = below(w, 4); n > 0; n--) {
        if (below(w, 3) == 0)
            the_cluster_changes(w);
        else
            a_vm_changes(w, below(w, NODES));
    }
    return look(w);
}

/* --- writers and readers --- */

static char *text_of(const struct event *ev, const struct inventory *inv, struct event_pictures *p)
{
    struct buf b = BUF_INIT;
    char *copy;

    event_write(&b, ev, inv, p);
    copy = strdup(buf_text(&b));
    assert_non_null(copy);
    buf_clear(&b);
    return copy;
}

static int read_text(const char *text, const struct world *w, struct event_pictures *p, struct arena *a,
                     struct event *ret, struct err *err)
{
    return event_read(text, strlen(text), w->inv, p, a, ret, err);
}

/* The text, read by that keeper, is the world: both written whole are the same. */
static void check_reads(struct world *w, const char *text, struct event_pictures *reader)
{
    struct arena a = ARENA_INIT;
    struct event back;
    struct err err;
    char *want = text_of(&w->ev, w->inv, NULL), *is;

    check_ok(read_text(text, w, reader, &a, &back, &err), &err);
    is = text_of(&back, w->inv, NULL);
    assert_string_equal(is, want);
    free(is);
    free(want);
    arena_clear(&a);
}

static void test_reads_what_was_written(void **state)
{
    size_t whole = 0, told = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct event_pictures writer = { 0 }, reader = { 0 };
        struct world w;

        make_world(&w, seed);
        for (uint32_t i = 0; i < 100; i++) {
            const struct event *ev = live_a_little(&w);
            char *text = text_of(ev, w.inv, &writer), *all = text_of(ev, w.inv, NULL);

            assert_true((strstr(text, "\"base\"") != NULL) == (i > 0));
            check_reads(&w, text, &reader);
            whole += strlen(all);
            told += strlen(text);
            free(text);
            free(all);
        }
        event_pictures_clear(&writer);
        event_pictures_clear(&reader);
        inventory_free(w.inv);
    }
    assert_true(told < whole / 4); /* though this cluster changes without end */
}

/* Nothing moved: time alone costs a line. */
static void test_a_quiet_cluster(void **state)
{
    struct event_pictures writer = { 0 };
    struct world w;
    char *first, *second;

    (void)state;
    make_world(&w, 1);
    first = text_of(look(&w), w.inv, &writer);
    time_passes(&w);
    second = text_of(look(&w), w.inv, &writer);
    assert_true(strlen(first) > 5000);
    assert_true(strlen(second) < 600);
    assert_non_null(strstr(second, "\"later_ms\""));
    assert_null(strstr(second, "uptime_ms"));
    free(first);
    free(second);
    event_pictures_clear(&writer);
    inventory_free(w.inv);
}

/* A controller that read the log goes on with the very words of the one that wrote it. */
static void test_a_reader_goes_on_as_writer(void **state)
{
    struct event_pictures writer = { 0 }, heir = { 0 };
    struct world w;

    (void)state;
    make_world(&w, 7);
    for (uint32_t i = 0; i < 200; i++) {
        char *text = text_of(live_a_little(&w), w.inv, &writer);

        if (i % 2 == 0) {
            check_reads(&w, text, &heir);
        } else {
            char *same = text_of(&w.ev, w.inv, &heir);

            assert_string_equal(same, text);
            free(same);
        }
        free(text);
    }
    event_pictures_clear(&writer);
    event_pictures_clear(&heir);
    inventory_free(w.inv);
}

/* Older logs, and the first picture of a cluster, are whole: they are read by anybody and start afresh. */
static void test_whole_pictures(void **state)
{
    struct event_pictures reader = { 0 };
    struct world w;

    (void)state;
    make_world(&w, 3);
    for (uint32_t i = 0; i < 10; i++) {
        char *text = text_of(live_a_little(&w), w.inv, NULL);

        check_reads(&w, text, &reader);
        check_reads(&w, text, NULL);
        free(text);
    }
    w.ev.cluster = 1; /* each cluster has its own */
    free(text_of(look(&w), w.inv, &reader));
    assert_string_not_equal(event_picture(&reader, 0)->id, event_picture(&reader, 1)->id);
    event_pictures_clear(&reader);
    inventory_free(w.inv);
}

/* Texts 0 to 3 of a log, and the names of their pictures. */
struct short_log {
    struct world w;
    char *texts[4], ids[4][PICTURE_ID];
};

static void make_log(struct short_log *l)
{
    struct event_pictures writer = { 0 };

    make_world(&l->w, 5);
    for (uint32_t i = 0; i < TABLE_LEN(l->texts); i++) {
        l->texts[i] = text_of(live_a_little(&l->w), l->w.inv, &writer);
        memcpy(l->ids[i], event_picture(&writer, 0)->id, PICTURE_ID);
    }
    event_pictures_clear(&writer);
}

static void drop_log(struct short_log *l)
{
    for (uint32_t i = 0; i < TABLE_LEN(l->texts); i++)
        free(l->texts[i]);
    inventory_free(l->w.inv);
}

/* A text that is refused says which picture it needs and which there is; event and keeper stay as they were. */
static void check_refused(struct short_log *l, uint32_t at, struct event_pictures *p, const char *why)
{
    struct arena a = ARENA_INIT;
    struct event ev = { .at = 77 };
    struct err err;

    assert_int_equal(read_text(l->texts[at], &l->w, p, &a, &ev, &err), ERR_INVALID);
    if (strstr(err.text, why) == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(ev.at, 77);
    arena_clear(&a);
}

static void test_the_wrong_base(void **state)
{
    struct event_pictures reader = { 0 };
    struct arena a = ARENA_INIT;
    struct short_log l;
    struct event ev;
    struct err err;
    char why[120];

    (void)state;
    make_log(&l);
    snprintf(why, sizeof why, "changed since picture %s, and none is kept", l.ids[0]);
    check_refused(&l, 1, NULL, why);
    check_refused(&l, 1, &reader, why);
    check_ok(read_text(l.texts[0], &l.w, &reader, &a, &ev, &err), &err);
    check_ok(read_text(l.texts[1], &l.w, &reader, &a, &ev, &err), &err);
    snprintf(why, sizeof why, "changed since picture %s, and the last one is %s", l.ids[2], l.ids[1]);
    check_refused(&l, 3, &reader, why); /* entry 2 was lost */
    snprintf(why, sizeof why, "changed since picture %s, and the last one is %s", l.ids[0], l.ids[1]);
    check_refused(&l, 1, &reader, why); /* read twice */
    check_ok(read_text(l.texts[2], &l.w, &reader, &a, &ev, &err), &err);
    check_reads(&l.w, l.texts[3], &reader);
    event_pictures_clear(&reader);
    arena_clear(&a);
    drop_log(&l);
}

/* Steps that no writer makes. */
static void test_bad_steps(void **state)
{
    static const char *const steps[] = { "[0,5]",     "[5,1]",   "[4,0]", "[-1,1]",         "[0]", "[0,1,2]",
                                         "[\"0\",1]", "\"n00\"", "null",  "[4294967296,1]", "7",   "{}" };
    struct event_pictures reader = { 0 };
    struct arena a = ARENA_INIT;
    struct short_log l;
    struct event ev;
    struct err err;

    (void)state;
    make_log(&l);
    check_ok(read_text(l.texts[0], &l.w, &reader, &a, &ev, &err), &err);
    for (uint32_t i = 0; i < TABLE_LEN(steps); i++) {
        struct buf b = BUF_INIT;

        buf_printf(&b,
                   "{\"at_ms\":1,\"type\":\"observed\",\"cluster\":\"c00\",\"ask\":1,\"what\":\"cluster\","
                   "\"ok\":true,"
                   "\"taken_ms\":1,\"base\":\"%s\",\"changes\":{\"nodes\":[[0,1],%s],"
                   "\"storage\":{\"s2d\":true,\"rack_aware\":false},\"vms\":[]}}",
                   l.ids[0], steps[i]);
        if (event_read(b.data, b.len, l.w.inv, &reader, &a, &ev, &err) != ERR_INVALID)
            fail_msg("%s was read", steps[i]);
        assert_string_equal(event_picture(&reader, 0)->id, l.ids[0]);
        buf_clear(&b);
    }
    event_pictures_clear(&reader);
    arena_clear(&a);
    drop_log(&l);
}

/* What was replaced does not stay in memory for good. */
static void test_memory_is_bounded(void **state)
{
    struct event_pictures writer = { 0 };
    struct world w;
    size_t most = 0, first = 0;

    (void)state;
    make_world(&w, 9);
    for (uint32_t i = 0; i < 3000; i++) {
        free(text_of(live_a_little(&w), w.inv, &writer));
        first = i == 0 ? event_picture(&writer, 0)->texts.bytes : first;
        if (event_picture(&writer, 0)->texts.bytes > most)
            most = event_picture(&writer, 0)->texts.bytes;
    }
    assert_true(most < 8 * first + (64 << 10));
    event_pictures_clear(&writer);
    inventory_free(w.inv);
}

/* Wherever memory ends while a picture is written, what was written is still the next text of the log. */
static void test_every_allocation_of_the_writer(void **state)
{
    bool hit = true;
    unsigned n;

    (void)state;
    for (n = 1; hit; n++) {
        struct event_pictures writer = { 0 }, reader = { 0 };
        struct world w;

        make_world(&w, 11);
        for (uint32_t i = 0; i < 4; i++) {
            const struct event *ev = live_a_little(&w);
            struct buf b = BUF_INIT;

            alloc_fault_at(i == 1 ? n : 0);
            event_write(&b, ev, w.inv, &writer);
            hit = i == 1 ? alloc_fault_hit() : hit;
            alloc_fault_at(0);
            if (!b.failed)
                check_reads(&w, buf_text(&b), &reader);
            buf_clear(&b);
        }
        event_pictures_clear(&writer);
        event_pictures_clear(&reader);
        inventory_free(w.inv);
    }
    assert_true(n > 30);
}

/* A reader that runs out of memory says so and can read the text again. */
static void test_every_allocation_of_the_reader(void **state)
{
    struct short_log l;
    bool hit = true;
    unsigned n;

    (void)state;
    make_log(&l);
    for (n = 1; hit; n++) {
        struct event_pictures reader = { 0 };
        struct arena a = ARENA_INIT;
        struct event ev;
        struct err err;

        check_ok(read_text(l.texts[0], &l.w, &reader, &a, &ev, &err), &err);
        for (uint32_t i = 1; i < 3; i++) {
            int rc;

            alloc_fault_at(i == 1 ? n : 0);
            rc = read_text(l.texts[i], &l.w, &reader, &a, &ev, &err);
            hit = i == 1 ? alloc_fault_hit() : hit;
            alloc_fault_at(0);
            assert_int_equal(rc, i == 1 && hit ? ERR_NOMEM : 0);
            if (rc != 0)
                check_ok(read_text(l.texts[i], &l.w, &reader, &a, &ev, &err), &err);
        }
        check_reads(&l.w, l.texts[3], &reader);
        event_pictures_clear(&reader);
        arena_clear(&a);
    }
    assert_true(n > 5); /* arenas ask seldom */
    drop_log(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reads_what_was_written),
                                        cmocka_unit_test(test_a_quiet_cluster),
                                        cmocka_unit_test(test_a_reader_goes_on_as_writer),
                                        cmocka_unit_test(test_whole_pictures),
                                        cmocka_unit_test(test_the_wrong_base),
                                        cmocka_unit_test(test_bad_steps),
                                        cmocka_unit_test(test_memory_is_bounded),
                                        cmocka_unit_test(test_every_allocation_of_the_writer),
                                        cmocka_unit_test(test_every_allocation_of_the_reader) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
