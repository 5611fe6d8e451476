/* What came of a rollout: the run, and of each node its end, what was done to it, and how it was left. From the oracle's books and the
 * world's truth. A run whose controller was killed (or that was disturbed in a way that only costs time) must come to what some run could
 * that was not (I22): to the same, where lost minutes decide nothing. They do where a window, a freeze or the approval ends, and in a cruel world, where a VM has moves for one order of nodes only. */
#include "tests/sim/sim.h"

#include <string.h>

static const char *const runs[] = { "planned",  "running",     "holding", "rolling back",
                                    "finished", "rolled back", "halted",  "aborted" };
static const char *const ends[] = { "no end",   "done",      "compliant",   "rolled back",
                                    "returned", "set aside", "not started", "stuck" };

/* Now; `down_since` says it of any that ever was. */
static void vms_down(const struct sim *s, struct buf *text)
{
    for (uint32_t i = 0; i < s->world.n_vms; i++)
        if (!s->world.vms[i].gone && !world_vm_live(&s->world.vms[i]))
            buf_printf(text, "; VM %u down", i);
}

static void node_is(const struct sim *s, uint32_t i, struct buf *text)
{
    const struct oracle_store *st = &s->oracle.stores[s->ctls[s->primary].log->store];
    const struct world_node *n = &s->world.nodes[i];

    buf_printf(text, "; %s %s, installed or removed %u times, %s, %s%s%s%s", n->id, ends[st->ends[i]],
               s->oracle.nodes[i].installs, n->has_package ? "patched" : "not patched",
               n->out_since != 0 ? "out" : "in service",
               n->power == POWER_ON && !n->vmms ? ", vmms stopped" : "", n->storage_out ? ", disks out" : "",
               n->paused ? ", paused" : "");
}

void sim_outcome(const struct sim *s, struct buf *text)
{
    const struct oracle_store *st = &s->oracle.stores[s->ctls[s->primary].log->store];

    buf_printf(text, "the run %s", runs[st->run]);
    vms_down(s, text);
    for (uint32_t i = 0; i < s->world.n_clusters; i++)
        buf_printf(text, "; %s balancer %u", s->world.clusters[i].id, s->world.clusters[i].balancer);
    for (uint32_t i = 0; i < s->world.n_nodes; i++)
        node_is(s, i, text);
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
