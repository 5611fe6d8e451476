/* A program of another revision takes over, with each place that allocates failing: the fold of the log tells the same to the
 * byte, the engine goes on as it went on, or memory ran out. */
#include "tests/lib/alloc_places.h"
#include "tests/scenarios/handover_bed.h"
#include "tests/scenarios/recorded.h"

#include <stdlib.h>
#include <string.h>

#define TIED "00000000-0000-4000-8000-000000000000"
#define CONSENT                                                                                  \
    ",\"consents\":[{\"vm\":\"" TIED "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true," \
    "\"expires\":\"2030-01-01T00:00:00Z\"}]"
#define GATES                                                                                      \
    ",\"gates\":[{\"type\":\"backup_agent\",\"when\":\"after\",\"samples\":3,\"interval\":\"1m\"," \
    "\"soak\":\"2m\"}]"

struct tale {
    struct recorded log;
    char *want; /* the fold as an event has it */
};

static int fold_log(const struct recorded *r, struct handover_fold *f, struct buf *out)
{
    const struct handover *h;
    struct json_writer w;
    struct err err;
    int rc = 0;

    for (uint32_t i = 0; i < r->s->kept.n && rc == 0; i++)
        rc = handover_fold_event(f, &r->events[i], r->s->kept.items[i].commands, &err);
    if (rc == 0)
        rc = handover_view(f, r->s->engine, &err);
    if (rc == 0)
        rc = handover_fold_end(f, &h, &err);
    if (rc != 0)
        return rc;
    jw_init(&w, out);
    handover_write(&w, NULL, h, r->s->plan->inv);
    return out->failed ? ERR_NOMEM : 0;
}

static int tell_fold(void *arg)
{
    struct tale *t = arg;
    struct handover_fold *f = NULL;
    struct buf text = BUF_INIT;
    struct err err;
    int rc = handover_fold_new(t->log.s->plan, &f, &err);

    if (rc == 0)
        rc = fold_log(&t->log, f, &text);
    alloc_places_rest();
    if (t->want == NULL) {
        t->want = strdup(buf_text(&text));
        assert_non_null(t->want);
    }
    if (rc == 0)
        assert_string_equal(buf_text(&text), t->want);
    alloc_places_go_on();
    buf_clear(&text);
    handover_fold_free(f);
    return rc;
}

static int tell_run(void *arg)
{
    return recorded_decide(arg);
}

static void fail_fold(struct scenario *s)
{
    struct tale t = { .want = NULL };
    struct alloc_places p = { .story = tell_fold, .arg = &t };

    recorded_make(s, &t.log);
    alloc_places_fail(&p);
    print_message("# a fold of %u events: %u allocations failed\n", s->kept.n, p.told);
    assert_true(p.told >= 60);
    recorded_clear(&t.log);
    free(t.want);
}

static void fail_run(struct scenario *s)
{
    struct recorded r;
    struct alloc_places p = { .story = tell_run, .arg = &r };

    recorded_make(s, &r);
    alloc_places_fail(&p);
    print_message("# %u events after the takeover: %u allocations failed\n", s->kept.n - s->from, p.told);
    assert_true(p.told >= 40);
    recorded_clear(&r);
}

static struct scenario *begin(bool s2d, const char *more)
{
    struct fleet_words words = { .seed = 5,
                                 .clusters = 1,
                                 .nodes = s2d ? 5 : 4,
                                 .vms = 2,
                                 .node_mib = 65536,
                                 .vm_mib_min = 2048,
                                 .vm_mib_max = 4096,
                                 .s2d = s2d };
    struct inventory *inv = small_fleet(&words);
    uint32_t tied = inventory_vm(inv, TIED);

    if (strstr(more, "consents") != NULL)
        inv->vms[tied].local_disk = true;
    return scenario_of(inv, "[1,\"100%\"]", more);
}

/* A run with a parked VM, a gate at work and nodes in every phase; taken over at each of these moments. */
static void test_takeover(void **state)
{
    static const struct {
        bool s2d;
        const char *more;
        uint32_t at;
    } rows[] = { { false, CONSENT GATES, 60 },
                 { false, CONSENT GATES, 110 },
                 { false, CONSENT GATES, 20 },
                 { true, "", 40 },
                 { true, "", 90 } };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = begin(rows[i].s2d, rows[i].more);

        scenario_start(s);
        for (uint32_t n = 0; n < rows[i].at; n++)
            assert_true(scenario_step(s));
        fail_fold(s);
        scenario_upgrade(s);
        for (uint32_t n = 0; n < 30; n++)
            scenario_step(s);
        fail_run(s);
        fail_fold(s); /* of a log that has been taken over before */
        scenario_free(s);
    }
}

/* --- everything open at once --- */

#define STRANGE "ffffffff-0000-4000-8000-000000000001"

struct offer {
    struct handover_bed bed;
    struct handover_op ops[3];
    struct handover_vm vm; /* that the inventory lacks */
    struct handover_park park;
    char want[SHA256_TEXT];
};

static int tell_take(void *arg)
{
    struct offer *o = arg;
    char is[SHA256_TEXT];
    struct err err;
    int rc = engine_new(o->bed.s->plan, &o->bed.e, &err);

    if (rc == 0)
        rc = engine_step(o->bed.e, &o->bed.ev, &o->bed.out, &err);
    alloc_places_rest();
    if (rc == 0) {
        engine_hash(o->bed.e, is);
        if (o->want[0] == '\0')
            strcpy(o->want, is);
        assert_string_equal(is, o->want);
    }
    command_list_clear(&o->bed.out);
    engine_free(o->bed.e);
    o->bed.e = NULL;
    alloc_places_go_on();
    return rc;
}

static struct handover_op move_of(const char *id, const char *vm, bool evidence)
{
    return (struct handover_op){ .id = id,
                                 .args = "{}",
                                 .precondition = "",
                                 .action = ACT_MOVE_VM,
                                 .vm = vm,
                                 .receiver = 1,
                                 .evidence = evidence };
}

static void test_everything_open(void **state)
{
    struct offer o = { .want = "" };
    struct alloc_places p = { .story = tell_take, .arg = &o };
    struct handover_node *n;

    (void)state;
    handover_bed_begin(&o.bed, "[1,\"100%\"]", GATES);
    n = &o.bed.h->nodes[0];
    n->phase = NODE_DRAINING;
    n->life = n->ops_life = n->attempt = 1;
    n->paused = n->out = true;
    o.vm = (struct handover_vm){ .id = STRANGE, .at = 0, .cluster = 0 };
    o.park = (struct handover_park){ .vm = TIED, .down = true };
    o.ops[0] = move_of("r1/n00-00/1/move_vm:" STRANGE "/1", STRANGE, false);
    o.ops[1] = move_of("r1/n00-00/1/move_vm:" TIED "/1", TIED, true);
    o.ops[2] = (struct handover_op){ .id = "r1/n00-00/1/move_groups/1",
                                     .args = "{}",
                                     .precondition = "",
                                     .action = ACT_MOVE_GROUPS,
                                     .vm = "",
                                     .receiver = IX_NONE };
    o.bed.h->vms = &o.vm;
    o.bed.h->parks = &o.park;
    o.bed.h->ops = o.ops;
    o.bed.h->n_vms = o.bed.h->n_parks = 1;
    o.bed.h->n_ops = 3;
    alloc_places_fail(&p);
    print_message("# everything open: %u allocations failed\n", p.told);
    assert_true(p.told >= 20);
    handover_bed_end(&o.bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_takeover),
                                        cmocka_unit_test(test_everything_open) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
