/* What came of a rollout: the run, and of each node its end, what was done to it, and how it was left. From the oracle's books and the
 * world's truth. A run whose controller was killed (or that was disturbed in a way that only costs time) must come to what some run could
 * that was not (I22): to the same, where lost minutes decide nothing. They do where a window, a freeze or the approval ends, and in a cruel world, where a VM has moves for one order of nodes only. */
#include "tests/sim/sim.h"

#include <string.h>

static const char *const runs[] = { "planned", "running", "holding", "rolling back", "over", "aborted" };
static const char *const ends[] = { "no end",   "done",      "compliant",   "rolled back",
                                    "returned", "set aside", "not started", "stuck" };

static uint32_t vms_down(const struct sim *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->world.n_vms; i++)
        n += !s->world.vms[i].gone && s->world.vms[i].down_since != 0 ? 1 : 0;
    return n;
}

void sim_outcome(const struct sim *s, struct buf *text)
{
    const struct oracle_store *st = &s->oracle.stores[s->ctls[s->primary].log->store];

    buf_printf(text, "the run %s, %u VMs down", runs[st->run], vms_down(s));
    for (uint32_t i = 0; i < s->world.n_nodes; i++)
        buf_printf(text, "; %s %s, installed or removed %u times, %s, %s", s->world.nodes[i].id,
                   ends[st->ends[i]], s->oracle.nodes[i].installs,
                   s->world.nodes[i].has_package ? "patched" : "not patched",
                   s->world.nodes[i].out_since != 0 ? "out" : "in service");
}

static bool minutes_decide(const struct sim *s)
{
    const struct oracle_policy *p = &s->policy;

    return s->world.cruel || p->window_to != 0 || p->freeze_to != 0 || p->expires != 0;
}

void sim_outcome_judge(struct sim *s)
{
    struct buf text = BUF_INIT;

    if (minutes_decide(s))
        return;
    sim_outcome(s, &text);
    s->oracle.checks[22]++;
    s->compared = true;
    if (strcmp(buf_text(&text), s->opt.expected) != 0)
        oracle_break(&s->oracle, 22, "it came to \"%s\"; undisturbed, to \"%s\"", buf_text(&text),
                     s->opt.expected);
    buf_clear(&text);
}
