/* Every kind of event that a rollout logs, spoilt in every way (tests/lib/json_spoil.h): refused with a sentence that names a
 * place, nothing changed, or an event of its own that is written and read back equal. */
#include "tests/lib/json_spoil.h"
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
#define GATE(type) "{\"type\":\"" type "\",\"when\":\"both\",\"samples\":1,\"soak\":\"1m\"}"

/* This inventory names no source of time: that gate is unknown until a person signs for it. */
static void lead_on(struct scenario *s)
{
    struct event ev = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };

    scenario_run(s);
    ev.u.verb.verb = VERB_PROMOTE;
    ev.u.verb.person = "anna";
    ev.u.verb.ticket = "CHG7";
    ev.u.verb.accept_unknown = true;
    if (engine_run(s->engine).state == RUN_HOLDING)
        check_ok(scenario_event(s, &ev), &s->err);
}

/* A rollout in which much is logged: every gate, a step that fails, a node given up and tried again, verbs, a new controller. */
static struct scenario *eventful(void)
{
    struct scenario *s =
        scenario_new(&words, "[1,\"100%\"]",
                     ",\"gates\":[" GATE("time_sync") "," GATE("backup_agent") "," GATE(
                         "cluster_health") "," GATE("vm_heartbeat") "],\"policy\":{\"failures_per_wave\":3,"
                                                                    "\"failures_per_run\":5}");

    scenario_fault(s, NULL, "install", "failed")->times = 2;
    scenario_fault(s, NULL, "reboot", NULL)->silent = true;
    scenario_start(s);
    lead_on(s);
    for (int i = 0; i < 20; i++)
        (void)scenario_step(s);
    check_ok(scenario_verb(s, VERB_PAUSE, NULL), &s->err);
    check_ok(scenario_verb(s, VERB_RESUME, NULL), &s->err);
    scenario_crash(s);
    for (int i = 0; i < 9 && engine_run(s->engine).state < RUN_FINISHED; i++)
        lead_on(s);
    return s;
}

static void read_again(struct scenario *s, const struct event *ev)
{
    struct buf once = BUF_INIT, twice = BUF_INIT;
    struct arena a = ARENA_INIT;
    struct event back;
    struct err err;

    event_write(&once, ev, s->plan->inv, NULL);
    check_ok(event_read(once.data, once.len, s->plan->inv, NULL, &a, &back, &err), &err);
    event_write(&twice, &back, s->plan->inv, NULL);
    assert_string_equal(buf_text(&once), buf_text(&twice));
    buf_clear(&once);
    buf_clear(&twice);
    arena_clear(&a);
}

static bool is_refused(struct scenario *s, const struct buf *text)
{
    struct arena a = ARENA_INIT;
    struct event ev = { .at = 77 };
    struct err err = { 0 };
    int rc = event_read(text->data, text->len, s->plan->inv, NULL, &a, &ev, &err);

    if (rc == 0) {
        read_again(s, &ev);
    } else {
        assert_int_equal(rc, ERR_INVALID);
        assert_int_equal(ev.at, 77);
        if (strlen(err.text) < 10)
            fail_msg("no sentence: `%s` for %s", err.text, buf_text(text));
    }
    arena_clear(&a);
    return rc != 0;
}

static void spoil_event(struct scenario *s, const char *event)
{
    struct json_doc *doc;
    uint32_t ways, refused = 0;

    check_ok(json_parse("event", event, strlen(event), &doc, &s->err), &s->err);
    ways = json_spoil_ways(json_root(doc));
    for (uint32_t way = 0; way < ways; way++) {
        struct buf spoilt = BUF_INIT;

        json_spoil(&spoilt, json_root(doc), way);
        refused += is_refused(s, &spoilt) ? 1 : 0;
        buf_clear(&spoilt);
    }
    assert_in_range(refused, ways / 3, ways);
    json_free(doc);
}

/* What makes two events of one kind. */
static void kind_of(const char *event, char out[128])
{
    struct json_doc *doc;
    struct err err;
    const json *root;

    check_ok(json_parse("event", event, strlen(event), &doc, &err), &err);
    root = json_root(doc);
    snprintf(out, 128, "%s %s %s%s%s%s", json_get_str(root, "type", ""), json_get_str(root, "what", ""),
             json_get_str(root, "verb", ""),
             json_get(json_get(root, "record"), "error") != NULL ? " error" : "",
             json_count(json_get(json_get(root, "record"), "downtime")) > 0 ? " downtime" : "",
             json_get(root, "text") != NULL ? " text" : "");
    json_free(doc);
}

static void test_every_kind_of_event(void **state)
{
    struct scenario *s = eventful();
    char seen[64][128];
    uint32_t n = 0;

    (void)state;
    for (uint32_t i = 0; i < s->kept.n; i++) {
        char kind[128];
        uint32_t k = 0;

        kind_of(s->kept.items[i].event, kind);
        while (k < n && strcmp(seen[k], kind) != 0)
            k++;
        if (k < n || n == TABLE_LEN(seen))
            continue;
        memcpy(seen[n++], kind, sizeof kind);
        spoil_event(s, s->kept.items[i].event);
    }
    assert_true(n >= 14);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_kind_of_event) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
