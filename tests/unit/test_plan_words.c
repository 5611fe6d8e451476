/* What a plan tells the board: each circumstance alone, and the sentence that
 * must stand there, or must not (docs/rules.md). */
#include "orchestrator/core/plan.h"

#include "tests/lib/check.h"
#include "tests/lib/small_fleet.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1795471200000 /* 2026-11-23T22:00:00Z */
#define VM "00000000-0000-4000-8000-00000000000a"
#define CONSENT(expires) \
    ",\"consents\":[{\"vm\":\"" VM "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"" expires "\"}]"

static const struct {
    const char *vm, *rollout; /* members more of the VM; of the rollout */
    const char *said;         /* somewhere in warnings, notes, reasons and refusals */
    bool not ;                /* it must not stand there */
} rows[] = {
    { "", "", "P1: a wave is a cohort, not a concurrency", false },
    { "", "", "O25: the controller runs as VM", true },
    { ",\"role\":\"controller\"", "", "O25: the controller runs as VM more on cluster c00 of this run",
      false },
    { "", "", "is busy now", true },
    { ",\"busy\":\"backup\"", "", "O26: VM more is busy now; its node waits until it is not", false },
    { "", "", "of Low priority", true },
    { ",\"priority\":1000", "", "O1: 1 VM(s) of Low priority are moved live here", false },
    { ",\"priority\":1000,\"state\":\"off\"", "", "of Low priority", true },
    { ",\"dda\":true", CONSENT("2030-01-01T00:00:00Z"), "may expire during the run", true },
    { ",\"dda\":true", CONSENT("2026-11-23T22:30:00Z"),
      "O4: the consent for VM " VM " may expire during the run", false },
    { ",\"dda\":true", CONSENT("2030-01-01T00:00:00Z"), "O4: VM more cannot move", false },
    { "", ",\"scope\":{\"clusters\":[\"c01\"]}", "P1: no node is in scope", true },
    { "", ",\"scope\":{\"nodes\":[\"n00-00\",\"n01-00\"]}", "P1: no node is in scope", true },
    { "", ",\"scope\":{\"clusters\":[\"c00\"],\"nodes\":[\"n01-00\"]}", "P1: no node is in scope", false },
    { ",\"isolation\":\"vbs\"", "", "confidential", false },
    { ",\"key_protector\":\"k\"", "", "confidential", false },
    { "", "", "confidential", true },
};

static bool among(const char *const *texts, uint32_t n, const char *what)
{
    for (uint32_t i = 0; i < n; i++)
        if (strstr(texts[i], what) != NULL)
            return true;
    return false;
}

static bool says(const struct plan *p, const char *what)
{
    bool said = among(p->warnings, p->n_warnings, what) || among(p->notes, p->n_notes, what);

    for (uint32_t i = 0; i < p->n_nodes; i++)
        said = said || among(p->nodes[i].reasons, p->nodes[i].n_reasons, what);
    for (uint32_t i = 0; i < p->n_refusals; i++)
        said = said || strstr(p->refusals[i].reason, what) != NULL;
    return said;
}

static struct plan *plan_with(const char *vm, const char *rollout)
{
    const struct fleet_words words = { .seed = 21,
                                       .clusters = 2,
                                       .nodes = 4,
                                       .vms = 2,
                                       .node_mib = 512000,
                                       .vm_mib_min = 20000,
                                       .vm_mib_max = 60000 };
    struct buf text = BUF_INIT;
    struct inventory *inv;
    struct plan *p;
    struct err err = { 0 };

    small_fleet_json(&words, &text);
    text.len -= strlen("]}");
    buf_printf(&text,
               ",{\"id\":\"" VM
               "\",\"name\":\"more\",\"node\":\"n00-01\",\"memory\":{\"assigned_mib\":4000}%s}]}",
               vm);
    inv = inventory_of(buf_text(&text));
    inv->nodes[2].model = NULL; /* nobody wrote it down */
    inv->nodes[2].firmware = NULL;
    inv->nodes[3].firmware = NULL;
    buf_clear(&text);
    check_ok(plan_build(inv, small_rollout("[2,\"100%\"]", rollout), NOW, "tester", &p, &err), &err);
    return p;
}

static void dump(const struct plan *p)
{
    for (uint32_t i = 0; i < p->n_warnings; i++)
        print_message("# %s\n", p->warnings[i]);
    for (uint32_t i = 0; i < p->n_nodes; i++)
        for (uint32_t k = 0; k < p->nodes[i].n_reasons; k++)
            print_message("# %u %s\n", i, p->nodes[i].reasons[k]);
}

static void test_said(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rows); i++) {
        struct plan *p = plan_with(rows[i].vm, rows[i].rollout);
        struct buf faults = BUF_INIT;

        if (says(p, rows[i].said) == rows[i].not ) {
            print_message("# row %u: `%s`\n", i, rows[i].said);
            dump(p);
            wrong++;
        }
        if (plan_verify(p, &faults) != 0)
            fail_msg("row %u: %s", i, buf_text(&faults));
        buf_clear(&faults);
        plan_free(p);
    }
    assert_int_equal(wrong, 0);
}

/* O8: no time for a vmms that is left alone. */
static void test_vmms_takes_no_time(void **state)
{
    struct plan *with = plan_with("", ""), *without = plan_with("", ",\"policy\":{\"stop_vmms\":false}");

    (void)state;
    assert_true(with->nodes[0].steps[PREDICT_VMMS].p50 > 0);
    assert_int_equal(without->nodes[0].steps[PREDICT_VMMS].p50, 0);
    assert_true(without->nodes[0].life.p50 < with->nodes[0].life.p50);
    plan_free(with);
    plan_free(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_said),
                                        cmocka_unit_test(test_vmms_takes_no_time) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
