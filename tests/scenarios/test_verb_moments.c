/* Every verb at every moment of a rollout: one that is not possible changes nothing and says what is; one that is taken leaves a
 * run that still comes to its end, with every VM running and every node in service or named as stuck. */
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct fleet_words words = { .seed = 5,
                                          .clusters = 1,
                                          .nodes = 4,
                                          .vms = 2,
                                          .node_mib = 65536,
                                          .vm_mib_min = 2048,
                                          .vm_mib_max = 4096,
                                          .s2d = true };

static void install_fails(struct scenario *s)
{
    scenario_fault(s, NULL, "install", "failed")->outcome = OUTCOME_FAILED;
}

static void install_is_silent(struct scenario *s)
{
    struct fault *f = scenario_fault(s, NULL, "install", NULL);

    f->silent = f->no_journal = f->no_effect = true;
}

static void removal_is_refused(struct scenario *s)
{
    struct fault *f = scenario_fault(s, NULL, "uninstall", "not_removable");

    f->times = 9;
    f->outcome = OUTCOME_REFUSED;
}

#define BACKUP ",\"gates\":[{\"type\":\"backup_agent\",\"when\":\"after\",\"on_fail\":\"rollback\"}]"
#define WAIVED ",\"waivers\":[{\"what\":\"rollback_unproved\",\"person\":\"board\",\"ticket\":\"CHG1\"}]"
static const struct setting {
    const char *name, *more;
    void (*meddle)(struct scenario *, struct plan_answer *);
    void (*prepare)(struct scenario *);
} settings[] = {
    { "a manual gate", ",\"gates\":[{\"type\":\"manual\",\"when\":\"after\"}]", NULL, NULL },
    { "a gate that fails", BACKUP WAIVED, backup_7001, NULL },
    { "a way back that is refused", BACKUP WAIVED, backup_7001, removal_is_refused },
    { "a gate without evidence", BACKUP, backup_silence, NULL },
    { "an install that fails", "", NULL, install_fails },
    { "an install that is lost", "", NULL, install_is_silent },
    { "a rehearsal", ",\"policy\":{\"rehearse\":true}", NULL, NULL },
};

static struct scenario *begin(const struct setting *t)
{
    struct scenario *s = scenario_new(&words, "[1,\"100%\"]", t->more);

    s->meddle = t->meddle;
    if (t->prepare != NULL)
        t->prepare(s);
    scenario_start(s);
    return s;
}

static int say(struct scenario *s, enum verb verb, uint32_t node, bool signed_for)
{
    struct event ev = { .type = EV_VERB, .node = node, .cluster = IX_NONE };

    ev.u.verb.verb = verb;
    ev.u.verb.person = signed_for ? "anna" : NULL;
    ev.u.verb.ticket = signed_for ? "CHG2" : NULL;
    ev.u.verb.accept_unknown = signed_for;
    ev.u.verb.decision = WITNESS_SAYS_NOT_DONE;
    return scenario_event(s, &ev);
}

/* A reasonable person leads on, with the verb that the run itself names where there is one. */
static void lead_on(struct scenario *s, uint32_t round)
{
    static const enum verb leads[] = { VERB_RESUME, VERB_PROMOTE, VERB_ABORT, VERB_ABORT_FORCE };
    bool moved = false;

    for (uint32_t n = 0; n < s->plan->inv->n_nodes && round < 20; n++)
        moved |= say(s, VERB_DECIDE, n, true) == 0;
    for (uint32_t i = round < 20 ? 0 : 2; i < TABLE_LEN(leads) && !moved; i++)
        moved = say(s, leads[i], IX_NONE, true) == 0;
    for (uint32_t n = 0; n < s->plan->inv->n_nodes && !moved; n++)
        moved = say(s, VERB_RETURN, n, true) == 0;
    if (!moved)
        fail_msg("nothing leads on: the run is %s, %s", run_states[engine_run(s->engine).state].name,
                 engine_run(s->engine).hold_reason);
}

static bool is_over(const struct scenario *s)
{
    return (run_states[engine_run(s->engine).state].flags & SM_FINAL) != 0;
}

static bool has_stuck(const struct scenario *s)
{
    return scenario_ended(s, NODE_STUCK) > 0;
}

static void bring_to_its_end(struct scenario *s)
{
    scenario_run(s);
    for (uint32_t round = 0; !is_over(s) || (has_stuck(s) && round < 40); round++) {
        if (round > 60)
            fail_msg("the run does not end: %s, %s", run_states[engine_run(s->engine).state].name,
                     engine_run(s->engine).hold_reason);
        lead_on(s, round);
        scenario_run(s);
    }
}

/* Whether the verb was taken. */
static bool try_verb(struct scenario *s, enum verb verb, uint32_t node, bool signed_for)
{
    char before[SHA256_TEXT], after[SHA256_TEXT];
    int rc;

    engine_hash(s->engine, before);
    rc = say(s, verb, node, signed_for);
    if (rc == 0)
        return true;
    engine_hash(s->engine, after);
    assert_string_equal(before, after);
    assert_true(rc == ERR_STATE || rc == ERR_INVALID);
    assert_true(strlen(s->err.text) > 12); /* a sentence */
    return false;
}

static bool is_of_node(enum verb v)
{
    return v == VERB_RETRY || v == VERB_SET_ASIDE || v == VERB_RETURN || v == VERB_DECIDE;
}

/* For the reader of a failure: what was tried last. */
static char last[128];

static int tell_last(void **state)
{
    (void)state;
    print_message("# last: %s\n", last);
    return 0;
}

/* One rollout with the verb said at its `moment`th event, then to the end. False: it had ended before. */
static bool say_at(const struct setting *t, enum verb verb, uint32_t moment, bool signed_for, uint32_t *taken)
{
    struct scenario *s = begin(t);
    uint32_t node = is_of_node(verb) ? s->plan->nodes[s->plan->waves[moment % 2].nodes[0]].node : IX_NONE;
    bool goes_on = true;

    for (uint32_t i = 0; i < moment && goes_on; i++)
        goes_on = scenario_step(s);
    snprintf(last, sizeof last, "%s, %s at event %u", t->name, verb_name(verb), moment);
    if (try_verb(s, verb, node, signed_for)) {
        (*taken)++;
        bring_to_its_end(s);
        scenario_truth(s);
        scenario_replays(s);
    }
    scenario_free(s);
    return goes_on;
}

#define STRIDE 31
static void test_every_verb_at_every_moment(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TABLE_LEN(settings); i++) {
        for (int v = 0; v < VERBS; v++) {
            uint32_t taken = 0;

            for (uint32_t moment = (uint32_t)v % STRIDE; moment < 4000; moment += STRIDE)
                if (!say_at(&settings[i], (enum verb)v, moment, moment % 2 == 0, &taken))
                    break;
            if (v == VERB_PAUSE || v == VERB_ABORT || v == VERB_ABORT_FORCE)
                assert_true(taken > 0); /* these are possible somewhere in every run */
        }
    }
}

/* A verb of one node that names none. */
static void test_node_is_needed(void **state)
{
    struct scenario *s = begin(&settings[0]);

    (void)state;
    for (int v = 0; v < VERBS; v++)
        if (is_of_node((enum verb)v)) {
            assert_false(try_verb(s, (enum verb)v, IX_NONE, true));
            assert_non_null(strstr(s->err.text, "needs a node"));
        }
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_every_verb_at_every_moment, tell_last),
                                        cmocka_unit_test(test_node_is_needed) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
