/* The decision state as one number (I23), in a fixed order and width: the run, each node's way, open operations, where VMs are, settings,
 * stages. Not every field that a later decision reads is in it. Left out: what a cluster's picture came to (clean since when, refused,
 * held), what a node is compared with and most of its times (facts, boots, asked_at, step_since, supposed_at), questions but for their
 * number, evidence loads, controller_at, woke_at, timers, and what follows from the rest (slots). A replay and the recorded histories
 * compare each event's commands as well, so that a difference there shows where it first decides anything. */
#include "orchestrator/core/engine_state.h"

#include <string.h>

static void add_int(struct sha256 *s, int64_t v)
{
    uint8_t b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)((uint64_t)v >> (8 * i));
    sha256_add(s, b, sizeof b);
}

static void add_text(struct sha256 *s, const char *text)
{
    sha256_add(s, text, strlen(text) + 1);
}

static void add_flags(struct sha256 *s, const bool *flags, size_t n)
{
    int64_t bits = 0;

    for (size_t i = 0; i < n; i++)
        bits |= (int64_t)flags[i] << i;
    add_int(s, bits);
}

static void add_run(struct sha256 *s, const struct engine *e)
{
    const bool flags[] = { e->stopped,          e->fenced,         e->at_rest,  e->removal_known,
                           e->removal_possible, e->window_blocked, e->overtook, e->overtaken };
    const int64_t numbers[] = { e->now,
                                (int64_t)e->epoch,
                                (int64_t)e->asks_made,
                                e->approval_expires,
                                e->started,
                                e->ended,
                                e->state,
                                e->held_state,
                                e->hold,
                                e->ending,
                                e->wave,
                                e->failures,
                                e->unknown,
                                e->deviations,
                                e->deviations_allowed,
                                e->deviations_asked,
                                e->in_flight,
                                e->rollback_open,
                                e->rollback_failed,
                                e->out_all,
                                e->moved_at,
                                e->window_at,
                                e->gates_open,
                                e->rollback_wave };

    add_text(s, e->run);
    add_text(s, e->controller);
    add_flags(s, flags, sizeof flags / sizeof flags[0]);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        add_int(s, numbers[i]);
}

static void add_moves(struct sha256 *s, const struct engine_node *n)
{
    for (uint32_t i = 0; i < n->moves.n; i++) {
        add_int(s, n->moves.items[i].vm);
        add_int(s, n->moves.items[i].to);
        add_int(s, n->moves.items[i].state);
    }
    for (uint32_t i = 0; i < n->parks.n; i++) {
        add_int(s, n->parks.items[i].vm);
        add_int(s, n->parks.items[i].down | n->parks.items[i].merged << 1 | n->parks.items[i].again << 2 |
                       n->parks.items[i].lost << 3);
    }
}

static void add_node(struct sha256 *s, const struct engine_node *n)
{
    const bool flags[] = { n->back,        n->claimed,         n->refused,        n->staged,
                           n->staging,     n->paused,          n->vmms_touched,   n->storage_touched,
                           n->installed,   n->verified,        n->failed,         n->patched_by_us,
                           n->go_home,     n->lost_unknown,    n->foreign_op,     n->foreign_out,
                           n->counted_out, n->in_rollback,     n->reboot_sent,    n->reboot_due,
                           n->suspended,   n->unpark_failed,   n->seen,           n->pause_in_doubt,
                           n->anew,        n->proved,          n->undecided_runs, n->foreign_led,
                           n->unread,      n->foreign_settled, n->pause_lost,     n->blank,
                           n->up_since };
    const int64_t numbers[] = { n->phase,         n->end,          n->home_end,    n->step,
                                n->goal,          n->life,         n->attempt,     n->tries,
                                n->since,         n->out_since,    n->out_until,   n->lost_at,
                                n->rehearsal,     n->unknown_ops,  n->moves_open,  n->build_now.number,
                                n->build_now.ubr, n->life_heard,   n->life_placed, n->life_changed,
                                n->paused_at,     n->life_settled, n->looked_from };

    add_flags(s, flags, sizeof flags / sizeof flags[0]);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        add_int(s, numbers[i]);
    add_int(s, (int64_t)n->own_lives);
    add_int(s, (int64_t)n->own_settings);
    add_text(s, n->boot_id);
    add_text(s, n->reason);
    add_text(s, n->doubt);
    add_text(s, n->undecided);
    sha256_add(s, n->attempts, sizeof n->attempts);
    sha256_add(s, n->attempts_ever, sizeof n->attempts_ever);
    add_moves(s, n);
}

static void add_ops(struct sha256 *s, const struct engine *e)
{
    for (uint32_t i = 0; i < e->ops.n; i++) {
        const struct op *op = e->ops.items[i];

        add_text(s, op->id.text);
        add_int(s, op->state);
        add_int(s, op->sends);
        add_int(s, op->decided);
        add_int(s, op->deadline);
        add_int(s, op->refuted_start);
        add_int(s, op->unknown | op->late << 1 | op->probing << 2 | op->seen << 3 | op->cancelled << 4 |
                       op->too_late << 5 | op->undone << 6);
    }
}

static void add_fleet(struct sha256 *s, const struct engine *e)
{
    for (uint32_t i = 0; i < e->inv->n_nodes; i++) {
        add_int(s, e->fleet.nodes[i].out);
        add_int(s, e->fleet.nodes[i].patched | e->fleet.nodes[i].receives << 1);
        add_int(s, e->seen[i]);
    }
    for (uint32_t i = 0; i < e->fleet.vms.n; i++) {
        const struct fleet_vm *v = &e->fleet.vms.items[i];

        add_int(s, v->at);
        add_int(s, v->moving_to);
        add_int(s, v->moves);
        add_int(s, v->gone | v->parked << 1);
        add_int(s, (int64_t)v->vm.assigned_mib);
    }
}

static void add_settings(struct sha256 *s, const struct engine *e)
{
    add_int(s, e->closing | e->settings_due << 1);
    for (uint32_t k = 0; k < e->inv->n_clusters; k++)
        for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++) {
            add_int(s, e->clusters[k].settings[i].state);
            add_int(s, e->clusters[k].settings[i].old);
            add_int(s, e->clusters[k].settings[i].seen);
        }
}

static void add_stages(struct sha256 *s, const struct engine *e)
{
    for (uint32_t w = 0; w < e->plan->n_waves; w++) {
        add_int(s, e->waves[w].state);
        add_int(s, e->waves[w].open);
        add_int(s, e->waves[w].failures);
    }
    for (uint32_t i = 0; i < e->gate_runs.n; i++) {
        add_int(s, e->gate_runs.items[i]->answer);
        add_int(s, e->gate_runs.items[i]->done);
        add_int(s, e->gate_runs.items[i]->tally.samples);
    }
}

void engine_hash(const struct engine *e, char out[SHA256_TEXT])
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;

    sha256_init(&s);
    add_run(&s, e);
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        add_node(&s, &e->nodes[i]);
    add_ops(&s, e);
    add_fleet(&s, e);
    add_settings(&s, e);
    add_stages(&s, e);
    sha256_end(&s, digest);
    sha256_hex(digest, out);
}
