/* What may still begin once a run stops (I12, I30): an installation or removal that has its START goes through reboot,
 * verification and the way home; what is out comes home; nothing else begins. */
#include "tests/sim/oracle/sim_oracle.h"

#include <string.h>

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool disrupts(const char *action)
{
    static const char *const steps[] = { "pause",       "move_vm",   "park_vm", "move_groups", "checkpoint",
                                         "storage_out", "stop_vmms", "install", "uninstall" };

    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (is(action, steps[i]))
            return true;
    return false;
}

/* A package was, or is being, put in or taken out there in this life. */
static bool serviced(const struct sim_oracle *o, const struct oracle_intent *x)
{
    const struct world_node *n = &o->w->nodes[x->node];

    if (n->pending_in || n->pending_out || n->servicing_until > o->w->now)
        return true;
    for (uint32_t i = 0; i < o->intents.n; i++) {
        const struct oracle_intent *y = &o->intents.items[i];

        if (y->store == x->store && y->node == x->node && y->life == x->life && y->started &&
            (is(y->action, "install") || is(y->action, "uninstall")))
            return true;
    }
    return false;
}

static void check(struct sim_oracle *o, const struct oracle_intent *x, dur_ms after, const char *what)
{
    const struct oracle_store *s = &o->stores[x->store];
    bool asked = s->aborted_at != 0;
    time_ms since = asked ? s->aborted_at : s->stopped_at;

    if (since == 0 || o->w->now < since + after || x->node == WORLD_NONE)
        return;
    o->checks[asked ? 30 : 12]++;
    if (disrupts(x->action) || (is(x->action, "reboot") && !serviced(o, x)))
        oracle_break(o, asked ? 30 : 12, "%s %s, %lld s after %s", x->op, what,
                     (long long)((o->w->now - since) / SECOND_MS),
                     asked ? "the abort" : "the run had come to its stop");
}

/* In the step that stops the run it may have been decided before. */
void oracle_check_stopped(struct sim_oracle *o, const struct oracle_intent *x)
{
    check(o, x, 1, "was decided");
}

/* T_halt: as long as a message may be on its way. */
void oracle_check_halted(struct sim_oracle *o, const struct oracle_intent *x)
{
    check(o, x, o->policy.fresh_ms + o->policy.slack_ms, "begins");
}
