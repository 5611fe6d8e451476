/* What the operator and the change board read of a plan. */
#include "orchestrator/io/render_plan.h"

#include "orchestrator/io/plan_picture.h"
#include "orchestrator/io/progress_lines.h"
#include "tests/lib/check.h"
#include "tests/lib/store_bed.h"

#include <string.h>

static struct store_bed bed;

static int set_up(void **state)
{
    (void)state;
    bed_make(&bed, "examples/inventories/mixed.json", "examples/rollouts/mixed.json");
    return 0;
}

static int set_up_emergency(void **state)
{
    (void)state;
    bed_make(&bed, "examples/inventories/two-clusters.json", "examples/rollouts/emergency.json");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bed_drop(&bed);
    return 0;
}

static bool says(const struct buf *out, const char *text)
{
    if (strstr(buf_text(out), text) != NULL)
        return true;
    print_message("# \"%s\" is not in:\n%s\n", text, buf_text(out));
    return false;
}

/* Nodes of one batch may overlap; the next batch of a cluster begins when the one before is back. */
static void test_the_picture_keeps_batches_and_waves_apart(void **state)
{
    const struct plan *p = bed.plan;
    struct plan_picture pic;
    struct err err = { 0 };

    (void)state;
    check_ok(plan_picture_draw(p, &pic, &err), &err);
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct plan_node *a = &p->nodes[i];

        assert_int_equal(pic.nodes[i].end - pic.nodes[i].start, a->wave == IX_NONE ? 0 : a->life.p50);
        for (uint32_t k = 0; k < p->n_nodes; k++) {
            const struct plan_node *b = &p->nodes[k];

            if (a->wave == b->wave && a->batch < b->batch &&
                p->inv->nodes[a->node].cluster == p->inv->nodes[b->node].cluster)
                assert_true(pic.nodes[i].end <= pic.nodes[k].start);
            if (a->wave < b->wave && b->wave != IX_NONE)
                assert_true(pic.nodes[i].end <= pic.nodes[k].start);
        }
    }
    for (uint32_t w = 0; w < p->n_waves; w++)
        assert_true(pic.waves[w].out_max >= 1 && pic.waves[w].out_max <= p->rollout->policy.max_out_fleet);
    plan_picture_clear(&pic);
}

static void test_the_text_names_what_an_operator_asks(void **state)
{
    struct buf out = BUF_INIT;
    struct err err = { 0 };

    (void)state;
    check_ok(render_plan_text(&out, bed.plan, NULL, &err), &err);
    assert_true(says(&out, bed.plan->hash));
    assert_true(says(&out, "approved    not yet"));
    assert_true(says(&out, "COURSE (predicted at P50; one column is "));
    assert_true(says(&out, "WHERE THE TIME GOES"));
    assert_true(says(&out, bed.plan->way_back_text));
    for (uint32_t i = 0; i < bed.plan->n_nodes; i++)
        for (uint32_t k = 0; k < bed.plan->nodes[i].n_parks; k++)
            assert_true(says(&out, bed.plan->inv->vms[bed.plan->nodes[i].parks[k].vm].name));
    buf_clear(&out);
}

/* Every section a board asks for, each stopped VM with who consented, and the hash that is signed. */
static void test_the_document_has_what_a_board_wants(void **state)
{
    static const char *const sections[] = {
        "## 1 Affected",  "## 2 Impact",  "## 3 Schedule",           "## 4 Capacity", "## 5 Steps",
        "## 6 Test plan", "## 7 Backout", "## 8 Risks and warnings", "## 9 Approved"
    };
    struct plan_approval_line line = { "a|b <x>", "CHG-7", BED_AT, BED_AT + DAY_MS };
    struct plan_sums sums = plan_sums_of(bed.plan);
    struct buf out = BUF_INIT;
    struct err err = { 0 };

    (void)state;
    check_ok(render_plan_markdown(&out, bed.plan, &line, &err), &err);
    for (unsigned i = 0; i < TABLE_LEN(sections); i++)
        assert_true(says(&out, sections[i]));
    assert_true(sums.parks > 0);
    assert_true(says(&out, "r.owner, CHG-4711"));
    assert_true(says(&out, "Signed: `"));
    assert_true(says(&out, bed.plan->hash));
    assert_true(says(&out, "a\\|b &lt;x&gt;, ticket CHG-7")); /* outside text cannot break the table */
    buf_clear(&out);
}

static void test_a_plan_does_not_differ_from_itself(void **state)
{
    struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(render_plan_diff(&out, bed.plan, bed.plan), 0);
    assert_string_equal(buf_text(&out), "");
}

/* Plain lines tell each node's way once, and each wave and gate. */
static void test_progress_tells_each_thing_once(void **state)
{
    struct progress *p = NULL;
    struct buf out = BUF_INIT, again = BUF_INIT;
    struct err err = { 0 };

    (void)state;
    bed_start(&bed);
    check_ok(progress_new(bed.plan, false, &p, &err), &err);
    bed_play(&bed, 30000);
    progress_look(p, bed.engine, BED_AT, &bed.runner.commands, &out);
    for (uint32_t i = 0; i < bed.plan->n_nodes; i++)
        assert_true(says(&out, bed.plan->inv->nodes[bed.plan->nodes[i].node].id));
    assert_true(says(&out, "wave 1 passed"));
    assert_true(says(&out, "run " BED_RUN " "));
    progress_look(p, bed.engine, BED_AT, NULL, &again);
    assert_string_equal(buf_text(&again), "");
    progress_free(p);
    buf_clear(&out);
    buf_clear(&again);
}

int main(void)
{
#define WITH_BED(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_BED(test_the_picture_keeps_batches_and_waves_apart),
        WITH_BED(test_the_text_names_what_an_operator_asks),
        WITH_BED(test_the_document_has_what_a_board_wants),
        WITH_BED(test_a_plan_does_not_differ_from_itself),
        cmocka_unit_test_setup_teardown(test_progress_tells_each_thing_once, set_up_emergency, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
