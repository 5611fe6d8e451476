/* A handover as text, one thing changed: what is no time, no name and no order of nodes is refused with its place. */
#include "orchestrator/core/handover.h"
#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <string.h>

static struct plan *plan;
static struct handover_fold *fold;

static int set_up(void **state)
{
    const struct fleet_words words = { .clusters = 2, .nodes = 2, .vms = 1 };
    struct err err;

    (void)state;
    check_ok(plan_build(small_fleet(&words), small_rollout("[\"100%\"]", ""), 1, "tester", &plan, &err),
             &err);
    check_ok(handover_fold_new(plan, &fold, &err), &err);
    (void)handover_fold_vm(fold, "00000000-0000-4000-8000-000000000000", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    handover_fold_free(fold);
    plan_free(plan);
    return 0;
}

static void write_now(struct buf *out)
{
    const struct handover *h = NULL;
    struct json_writer w;
    struct err err;

    check_ok(handover_fold_end(fold, &h, &err), &err);
    jw_init(&w, out);
    handover_write(&w, NULL, h, plan->inv);
}

/* The first `from` is replaced by `to`. */
static void change(struct buf *out, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    if (at == NULL)
        fail_msg("%s is not in %s", from, text);
    buf_printf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static int read_text(const char *text, struct arena *a, struct handover **ret_h, struct err *err)
{
    struct json_doc *doc = NULL;
    int rc;

    check_ok(json_parse("handover", text, strlen(text), &doc, err), err);
    rc = handover_read(doc, json_root(doc), plan->inv, a, ret_h, err);
    json_free(doc);
    return rc;
}

static const struct {
    const char *from, *to, *says; /* NULL: it is read */
} rows[] = {
    { "\"approval_expires\":9223372036854775807", "\"approval_expires\":9007199254740992", NULL },
    { "\"approval_expires\":9223372036854775807", "\"approval_expires\":9007199254740993", "is no time" },
    { "\"approval_expires\":9223372036854775807", "\"approval_expires\":-9007199254740993",
      "approval_expires" },
    { "\"phase\":\"pending\"", "\"phase\":\"asleep\"", "unknown word" },
    { "\"build_now\":\"26100.4061\"", "\"build_now\":\"new\"", "is no build" },
    { "\"node\":\"n00-00\"", "\"node\":\"n99\"", "is not in the inventory" },
    { "\"node\":\"n00-00\"", "\"node\":null", "its nodes are not the inventory's" },
    { "\"node\":\"n00-00\"", "\"node\":\"n00-01\"", "its nodes are not the inventory's" },
    { "\"cluster\":\"c00\"", "\"cluster\":\"c99\"", "is not in the inventory" },
    { "\"cluster\":\"c00\"", "\"cluster\":null", "cluster" },
    { "\"setting\":\"auto_balancer_mode\"", "\"setting\":\"move_type_threshold\"", "its settings are not" },
    { "\"attempts\":[0", "\"attempts\":[3", NULL },
    { "\"attempts\":[0", "\"attempts\":[3,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
      NULL }, /* of actions to come */
};

static void test_one_change(void **state)
{
    struct buf good = BUF_INIT;

    (void)state;
    write_now(&good);
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct buf text = BUF_INIT;
        struct arena a = ARENA_INIT;
        struct handover *h = NULL;
        struct err err = { 0 };
        int rc;

        change(&text, buf_text(&good), rows[i].from, rows[i].to);
        rc = read_text(buf_text(&text), &a, &h, &err);
        if (rc != (rows[i].says == NULL ? 0 : ERR_INVALID))
            fail_msg("%s: %s", rows[i].to, rc == 0 ? "read" : err.text);
        if (rc != 0)
            assert_non_null(strstr(err.text, rows[i].says));
        else if (strstr(rows[i].to, "attempts") != NULL)
            assert_int_equal(h->nodes[0].attempts[ACT_PAUSE], 3);
        buf_clear(&text);
        arena_clear(&a);
    }
    buf_clear(&good);
}

/* What is said of some nodes only is read of those, and of no other. */
static void test_of_some_nodes(void **state)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct arena a = ARENA_INIT;
    const struct handover *h = NULL;
    struct handover *back = NULL;
    struct err err = { 0 };

    (void)state;
    check_ok(handover_fold_end(fold, &h, &err), &err);
    h->nodes[1].proved = h->nodes[1].supposed = true;
    h->nodes[1].level_before = (struct build){ 26100, 4061 };
    jw_init(&w, &text);
    handover_write(&w, NULL, h, plan->inv);
    check_ok(read_text(buf_text(&text), &a, &back, &err), &err);
    for (uint32_t i = 0; i < h->n_nodes; i++) {
        assert_int_equal(back->nodes[i].proved, i == 1);
        assert_int_equal(back->nodes[i].supposed, i == 1);
        assert_int_equal(back->nodes[i].level_before.number, i == 1 ? 26100 : 0);
        assert_int_equal(back->nodes[i].level_before.ubr, i == 1 ? 4061 : 0);
    }
    buf_clear(&text);
    arena_clear(&a);
}

static void cut(struct buf *out, const char *text, const char *from)
{
    change(out, text, from, "");
}

/* Whose numbers they are is told in all their bits; by a former revision it is not, and all count that the log has come to. */
static void test_whose_numbers(void **state)
{
    const uint64_t some = node_bit(1) | node_bit(3) | node_bit(99);
    struct buf text = BUF_INIT, less = BUF_INIT, old = BUF_INIT;
    struct arena a = ARENA_INIT;
    const struct handover *h = NULL;
    struct handover *back = NULL;
    struct err err = { 0 };
    struct json_writer w;

    (void)state;
    check_ok(handover_fold_end(fold, &h, &err), &err);
    h->nodes[0].ops_life = h->nodes[0].setting_ops = h->vms[0].ops = 3;
    h->nodes[0].own_lives = h->nodes[0].own_settings = h->vms[0].own_ops = some;
    jw_init(&w, &text);
    handover_write(&w, NULL, h, plan->inv);
    check_ok(read_text(buf_text(&text), &a, &back, &err), &err);
    assert_true(back->nodes[0].own_lives == some && back->nodes[0].own_settings == some);
    assert_true(back->vms[0].own_ops == some);
    assert_int_equal(back->nodes[1].own_lives, 0);
    cut(&less, buf_text(&text), ",\"own_lives\":-9223372036854775798,\"own_settings\":-9223372036854775798");
    cut(&old, buf_text(&less), ",\"own_ops\":-9223372036854775798");
    check_ok(read_text(buf_text(&old), &a, &back, &err), &err);
    assert_int_equal(back->nodes[0].own_lives & ~node_bit(0), node_bit(1) | node_bit(2) | node_bit(3));
    assert_int_equal(back->nodes[0].own_settings & ~node_bit(0), node_bit(1) | node_bit(2) | node_bit(3));
    assert_int_equal(back->vms[0].own_ops & ~node_bit(0), node_bit(1) | node_bit(2) | node_bit(3));
    buf_clear(&text);
    buf_clear(&less);
    buf_clear(&old);
    arena_clear(&a);
}

/* So is how often it was sent: once, where a former revision does not tell. */
static void test_how_often_it_was_sent(void **state)
{
    struct handover_op op = { .id = "r1/n00-00/1/install/1",
                              .args = "{}",
                              .precondition = "",
                              .action = ACT_INSTALL,
                              .vm = "",
                              .receiver = IX_NONE,
                              .sends = 2 };
    struct buf text = BUF_INIT, old = BUF_INIT;
    struct arena a = ARENA_INIT;
    const struct handover *h = NULL;
    struct handover now, *back = NULL;
    struct err err = { 0 };
    struct json_writer w;

    (void)state;
    check_ok(handover_fold_end(fold, &h, &err), &err);
    now = *h;
    now.ops = &op;
    now.n_ops = 1;
    jw_init(&w, &text);
    handover_write(&w, NULL, &now, plan->inv);
    check_ok(read_text(buf_text(&text), &a, &back, &err), &err);
    assert_int_equal(back->ops[0].sends, 2);
    cut(&old, buf_text(&text), ",\"sends\":2");
    check_ok(read_text(buf_text(&old), &a, &back, &err), &err);
    assert_int_equal(back->ops[0].sends, 1);
    buf_clear(&text);
    buf_clear(&old);
    arena_clear(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_some_nodes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whose_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_how_often_it_was_sent, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
