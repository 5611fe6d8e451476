/* A handover as an event, with one member gone or of another kind: refused with the place, or taken by an engine that then goes
 * on; never half taken. */
#include "tests/scenarios/scenario.h"

#include "tests/lib/json_spoil.h"

#include <string.h>

#define TIED "00000000-0000-4000-8000-000000000000"
#define MORE                                                                                           \
    ",\"consents\":[{\"vm\":\"" TIED "\",\"person\":\"p\",\"ticket\":\"t\",\"checkpoint\":true,"       \
    "\"expires\":\"2030-01-01T00:00:00Z\"}],\"gates\":[{\"type\":\"backup_agent\",\"when\":\"after\"," \
    "\"samples\":1,\"soak\":\"0s\"}]"

static uint32_t refused, not_taken, taken;

/* What an engine makes of it that has seen nothing else. */
static void offer(struct scenario *s, const struct event *ev, const char *text)
{
    struct command_list out = { 0 };
    char before[SHA256_TEXT], after[SHA256_TEXT];
    struct engine *e;
    int rc;

    check_ok(engine_new(s->plan, &e, &s->err), &s->err);
    engine_be(e, s->revision);
    engine_hash(e, before);
    rc = engine_step(e, ev, &out, &s->err);
    engine_hash(e, after);
    if (rc != 0 && rc != ERR_INVALID && rc != ERR_STATE)
        fail_msg("%s: %s\n%s", err_name((enum err_code)rc), s->err.text, text);
    if (rc != 0)
        assert_string_equal(before, after);
    not_taken += rc != 0;
    taken += rc == 0;
    command_list_clear(&out);
    engine_free(e);
}

static void spoil_all(struct scenario *s)
{
    const char *text = s->kept.items[s->from].event;
    struct json_doc *doc;

    check_ok(json_parse("event", text, strlen(text), &doc, &s->err), &s->err);
    for (uint32_t way = 0; way < json_spoil_ways(json_root(doc)); way++) {
        struct arena a = ARENA_INIT;
        struct buf spoilt = BUF_INIT;
        struct event ev;
        int rc;

        json_spoil(&spoilt, json_root(doc), way);
        rc = event_read(spoilt.data, spoilt.len, s->plan->inv, NULL, &a, &ev, &s->err);
        if (rc != 0 && rc != ERR_INVALID)
            fail_msg("%s: %s", buf_text(&spoilt), err_name((enum err_code)rc));
        refused += rc != 0;
        ev.at = s->now; /* the clock is not what is spoilt here */
        if (rc == 0 && ev.type == EV_HANDOVER)
            offer(s, &ev, buf_text(&spoilt));
        buf_clear(&spoilt);
        arena_clear(&a);
    }
    json_free(doc);
}

static void test_every_member(void **state)
{
    static const uint32_t at[] = { 25, 60, 110 };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(at); i++) {
        const struct fleet_words words = { .seed = 5,
                                           .clusters = 1,
                                           .nodes = 4,
                                           .vms = 2,
                                           .node_mib = 65536,
                                           .vm_mib_min = 2048,
                                           .vm_mib_max = 4096 };
        struct inventory *inv = small_fleet(&words);
        struct scenario *s;

        inv->vms[inventory_vm(inv, TIED)].local_disk = true;
        s = scenario_of(inv, "[1,\"100%\"]", MORE);
        scenario_start(s);
        for (uint32_t n = 0; n < at[i]; n++)
            assert_true(scenario_step(s));
        scenario_upgrade(s);
        spoil_all(s);
        scenario_free(s);
    }
    print_message("# %u texts refused, %u not taken, %u taken\n", refused, not_taken, taken);
    assert_true(refused > 300 && not_taken > 0 && taken > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_member) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
