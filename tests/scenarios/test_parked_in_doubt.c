/* A VM that may be down by us, and nobody can say so any more: what was given up is undone all the same, and what an overtaken log
 * may have left down is named for a person to look at (I9). */
#include "orchestrator/core/backend_plan_world.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = {
    .seed = 5, .clusters = 1, .nodes = 4, .vms = 2, .node_mib = 65536, .vm_mib_min = 2048, .vm_mib_max = 4096
};
#define TIED "00000000-0000-4000-8000-000000000000"
#define CONSENT                                                                                        \
    ",\"policy\":{\"failures_per_wave\":4,\"failures_per_run\":4},\"consents\":[{\"vm\":\"" TIED "\"," \
    "\"method\":\"shutdown\",\"person\":\"owner\",\"ticket\":\"CHG2\",\"checkpoint\":false,"           \
    "\"expires\":\"2026-01-01T00:00:00Z\"}]"

/* The small fleet, its first VM on a disk of its own node: it can only be parked. */
static struct scenario *begin(void)
{
    struct buf text = BUF_INIT, tied = BUF_INIT;
    struct scenario *s;
    const char *at;

    small_fleet_json(&words, &text);
    at = strstr(buf_text(&text), "\"dirty_mib_s\"");
    assert_non_null(at);
    buf_add(&tied, text.data, (size_t)(at - text.data));
    buf_str(&tied, "\"local_disk\":true,");
    buf_str(&tied, at);
    s = scenario_of(inventory_of(buf_text(&tied)), "[\"100%\"]", CONSENT);
    buf_clear(&text);
    buf_clear(&tied);
    scenario_start(s);
    return s;
}

static uint32_t vm_of(const struct scenario *s, const char *id)
{
    return inventory_vm(s->plan->inv, id);
}

static uint32_t home_of(const struct scenario *s)
{
    return s->plan->inv->vms[vm_of(s, TIED)].home;
}

static void unheard(struct scenario *s, struct plan_answer *a)
{
    (void)s;
    a->silent = a->silent || a->cause == CMD_OP_PROBE;
}

/* The run is closed by force while nobody has heard what became of a parking. Put back, the node's VM runs again, whether it was
 * down or not. */
static void test_given_up_while_it_was_parked(void **state)
{
    (void)state;
    for (unsigned down = 0; down < 2; down++) {
        struct scenario *s = begin();
        const char *id = s->plan->inv->nodes[home_of(s)].id;
        struct fault *f = scenario_fault(s, id, "park_vm", down ? NULL : "failed");

        f->silent = true;
        f->outcome = down ? OUTCOME_OK : OUTCOME_FAILED;
        f->no_effect = !down;
        s->meddle = unheard;
        while (f->hits == 0)
            assert_true(scenario_step(s));
        assert_int_equal(backend_plan_vm_runs(s->world, vm_of(s, TIED)), !down);
        check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
        check_end(s, id, NODE_STUCK);
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        scenario_goes_on(s);
        check_end(s, id, NODE_RETURNED);
        assert_int_equal(backend_plan_effects(s->world, home_of(s), "unpark_vm"), 1);
        assert_true(backend_plan_vm_runs(s->world, vm_of(s, TIED)));
        scenario_truth(s);
        scenario_replays(s);
        scenario_free(s);
    }
}

static void pending_once(struct scenario *s, struct plan_answer *a)
{
    unheard(s, a);
    if (a->cause == CMD_OBSERVE && a->node == home_of(s) && a->ev->u.observed.what == OBSERVE_VERIFY)
        a->ev->u.observed.verify.pending = backend_plan_effects(s->world, a->node, "reboot") == 1;
}

/* Parked, and parked once more before another boot, of which nobody hears: the run is closed by force. The driver that puts it back is
 * told since when it is down: since the first (O35). */
static void test_given_up_while_it_was_parked_again(void **state)
{
    struct scenario *s = begin();
    const char *id = s->plan->inv->nodes[home_of(s)].id;
    struct fault *f = scenario_fault(s, id, "park_vm", NULL);
    char since[64];
    uint32_t from;

    (void)state;
    f->silent = true;
    f->skip = 1;
    s->meddle = pending_once;
    while (f->hits < 2)
        assert_true(scenario_step(s));
    snprintf(since, sizeof since, "\"down_since_ms\":%lld",
             (long long)s->world->vms[vm_of(s, TIED)].down_since);
    check_ok(scenario_verb(s, VERB_ABORT_FORCE, NULL), &s->err);
    check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
    s->runner.ended = false;
    from = s->kept.n;
    scenario_run(s);
    while (from < s->kept.n && strstr(s->kept.items[from].commands, "\"unpark_vm\"") == NULL)
        from++;
    assert_true(from < s->kept.n);
    assert_non_null(strstr(s->kept.items[from].commands, since));
    assert_true(backend_plan_vm_runs(s->world, vm_of(s, TIED)));
    scenario_replays(s);
    scenario_free(s);
}

/* Somebody's hand, or another log whose journal is lost: the VM is down on its node when that comes to its end. Named is what has a
 * consent to be parked, and only where another log has been at work. */
static void test_perhaps_parked_by_the_overtaken_log(void **state)
{
    static const struct {
        bool overtook, consents, down, named;
    } rows[] = {
        { true, true, true, true },
        { true, true, false, false }, /* it runs: it is parked and comes back as ever */
        { true, false, true, false }, /* one that nobody may park is not down by us */
        { false, true, true, false }, /* the same log: it would know */
    };
    char other[40];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct scenario *s = begin();
        const char *vm = rows[i].consents ? TIED : small_vm_id(1, other), *node;
        char park[128], said[128];
        bool named;

        node = s->plan->inv->nodes[s->plan->inv->vms[vm_of(s, vm)].home].id;
        snprintf(park, sizeof park, "r1/%s/1/park_vm:%s/1", node, vm);
        snprintf(said, sizeof said, "down, and perhaps parked by the overtaken run: %s", vm);
        if (rows[i].down)
            backend_plan_by_another(s->world, node_ix(s, node), park);
        s->world->nodes[node_ix(s, node)].journal.n = 0; /* of which its journal does not tell */
        if (rows[i].overtook)
            scenario_takeover(s);
        else
            scenario_crash(s);
        scenario_run(s);
        check_run(s, RUN_FINISHED);
        check_end(s, node, NODE_DONE);
        named = strstr(scenario_node(s, node).reason, said) != NULL;
        if (named != rows[i].named)
            fail_msg("%u: `%s`", i, scenario_node(s, node).reason);
        assert_int_equal(backend_plan_vm_runs(s->world, vm_of(s, vm)), !rows[i].down);
        scenario_replays(s);
        scenario_free(s);
    }
}

/* By a log that was overtaken, on a node that it has paused. Put back, the node's VM runs again, whether the journal says that it is down
 * or nobody can tell; and it is not taken for parked again when the whole journal is told to the next takeover (I9). */
static void test_parked_by_a_log_that_was_overtaken(void **state)
{
    (void)state;
    for (unsigned told = 0; told < 2; told++) {
        struct scenario *s = begin();
        uint32_t node = home_of(s);
        const char *id = s->plan->inv->nodes[node].id;
        char op[128];

        snprintf(op, sizeof op, "r1/%s/1/pause/1", id);
        backend_plan_by_another(s->world, node, op);
        snprintf(op, sizeof op, "r1/%s/1/park_vm:" TIED "/3", id);
        backend_plan_by_another(s->world, node, op);
        assert_int_equal(s->world->nodes[node].journal.n, 2);
        if (!told)
            s->world->nodes[node].journal.items[1].state = OP_UNKNOWN;
        s->meddle = unheard;
        scenario_takeover(s);
        scenario_until_unknown(s, id);
        check_ok(scenario_decide(s, node, WITNESS_SAYS_DONE), &s->err);
        check_end(s, id, NODE_STUCK);
        check_ok(scenario_verb(s, VERB_RETURN, id), &s->err);
        scenario_run(s);
        check_end(s, id, NODE_RETURNED);
        assert_true(backend_plan_vm_runs(s->world, vm_of(s, TIED)));
        scenario_takeover(s);
        for (int i = 0; i < 20 && !s->runner.ended; i++)
            (void)scenario_step(s);
        assert_false(engine_fleet(s->engine)->vms.items[vm_of(s, TIED)].parked);
        scenario_replays(s);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_given_up_while_it_was_parked),
                                        cmocka_unit_test(test_given_up_while_it_was_parked_again),
                                        cmocka_unit_test(test_perhaps_parked_by_the_overtaken_log),
                                        cmocka_unit_test(test_parked_by_a_log_that_was_overtaken) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
