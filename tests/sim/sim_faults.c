/* The fault model B.2 as a table, and what each fault does. A seed arms a
 * few (swarm): at a time, or at the n-th opportunity. */
#include "tests/sim/sim.h"

#include <string.h>

const struct sim_fault_row sim_fault_rows[SIM_FAULTS] = {
    [1] = { "F1", "controller killed around an event", NULL, true },
    [2] = { "F2", "controller killed during recovery", NULL, true },
    [3] = { "F3", "controller paused and continued", NULL, false },
    [4] = { "F4", "second controller from a copied or old store", NULL, false },
    [5] = { "F5", "out of memory", "Nth-failure loops: tests/unit and tests/torture", true },
    [6] = { "F6", "clock of a node jumps", NULL, false },
    [7] = { "F7", "operator's verbs at any moment", NULL, false },
    [8] = { "F8", "controller upgraded in mid-run", NULL, false },
    [9] = { "F9", "disk full under the store", NULL, true },
    [10] = { "F10", "store busy", NULL, true },
    [11] = { "F11", "store input/output error", NULL, true },
    [12] = { "F12", "lost or torn write", "below the contract of append: tests/torture", true },
    [13] = { "F13", "corrupt store", "below the contract of append: tests/torture", false },
    [14] = { "F14", "connect refused or times out", NULL, false },
    [15] = { "F15", "connection cut in mid-command", NULL, true },
    [16] = { "F16", "half-open connection", NULL, true },
    [17] = { "F17", "requests and replies twice, late", NULL, true },
    [18] = { "F18", "slow channel", NULL, false },
    [19] = { "F19", "partition: node not reachable, cluster sees it", NULL, false },
    [20] = { "F20", "host key changed", NULL, false },
    [21] = { "F21", "authentication refused", NULL, false },
    [22] = { "F22", "agent killed around a journal record", NULL, true },
    [23] = { "F23", "agent's journal lost", NULL, false },
    [24] = { "F24", "two agents on one node", "the journal's lock is the host's: tests/torture", false },
    [25] = { "F25", "garbage from a driver, without an effect too", NULL, true },
    [26] = { "F26", "driver says done when it is not", NULL, false },
    [27] = { "F27", "journal cannot be written", NULL, true },
    [28] = { "F28", "reboot never returns", NULL, false },
    [29] = { "F29", "reboot returns late", NULL, false },
    [30] = { "F30", "patch rolled back at boot, or missing, or another build is there", NULL, false },
    [31] = { "F31", "another reboot is pending, or one after the other", NULL, false },
    [32] = { "F32", "node crashes", NULL, false },
    [33] = { "F33", "node replaced under the same name", NULL, false },
    [34] = { "F34", "package corrupt on the node, or installed or superseded by others", NULL, false },
    [35] = { "F35", "installation fails or says odd things", NULL, false },
    [36] = { "F36", "VM refuses to move", NULL, false },
    [37] = { "F37", "migration fails half-way", NULL, false },
    [38] = { "F38", "migration much slower", NULL, false },
    [39] = { "F39", "VM created, deleted, resized, moved by others", NULL, false },
    [40] = { "F40", "node paused or resumed by an admin", NULL, false },
    [41] = { "F41", "witness lost, node evicted", NULL, false },
    [42] = { "F42", "storage repair stuck, a disk fails", NULL, false },
    [43] = { "F43", "capacity shrinks", NULL, false },
    [44] = { "F44", "groups stay behind", NULL, false },
    [45] = { "F45", "owner list, anti-affinity and load balancer change", NULL, false },
    [46] = { "F46", "cluster group moves during a call", NULL, false },
    [47] = { "F47", "gate evidence goes bad", NULL, false },
    [48] = { "F48", "gate's service is down", NULL, false },
    [49] = { "F49", "alarm after the gate", NULL, false },
};

static void fired(struct sim *s, uint32_t fault)
{
    s->fired++;
    s->fault_hits[fault]++;
    sim_say(s, "fault %s: %s", sim_fault_rows[fault].id, sim_fault_rows[fault].text);
}

bool sim_chance(struct sim *s, uint32_t fault)
{
    if (s->calm)
        return false;
    for (uint32_t i = 0; i < s->n_armed; i++) {
        struct sim_armed *a = &s->armed[i];

        if (a->fault != fault || a->fired || a->left_out || ++a->seen < a->nth)
            continue;
        a->fired = true;
        fired(s, fault);
        return true;
    }
    return false;
}

/* Later kinds of faults, in one world of two; their chances are drawn apart. */
static bool crueller(struct sim *s, uint32_t permille)
{
    return s->world.cruel && !s->opt.plain && prng_permille(&s->world.rng_cruel, permille);
}

#define PAUSES_IT (1u << 8)

static uint32_t any_node(struct sim *s)
{
    return (uint32_t)prng_below(&s->rng_fault, s->world.n_nodes);
}

static uint32_t any_vm(struct sim *s)
{
    return (uint32_t)prng_below(&s->rng_fault, s->world.n_vms);
}

/* A node whose turn may still come: what goes wrong there will be felt. */
static bool turn_may_come(const struct sim *s, uint32_t node)
{
    return s->policy.wave_of[node] != WORLD_NONE && !s->world.nodes[node].has_package;
}

static uint32_t some_node(struct sim *s)
{
    uint32_t node = any_node(s);

    for (uint32_t i = 0; i < s->world.n_nodes && !s->opt.timed; i++)
        if (turn_may_come(s, (node + i) % s->world.n_nodes))
            return (node + i) % s->world.n_nodes;
    return node;
}

static uint32_t some_vm(struct sim *s)
{
    uint32_t vm = any_vm(s);

    for (uint32_t i = 0; i < s->world.n_vms && !s->opt.timed; i++) {
        const struct world_vm *v = &s->world.vms[(vm + i) % s->world.n_vms];

        if (!v->gone && turn_may_come(s, v->node))
            return (vm + i) % s->world.n_vms;
    }
    return vm;
}

static uint32_t s2d_node(struct sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < s->world.n_nodes && !s->opt.timed; i++)
        if (s->world.clusters[s->world.nodes[(node + i) % s->world.n_nodes].cluster].s2d)
            return (node + i) % s->world.n_nodes;
    return node;
}

static void until_later(struct sim *s, uint32_t fault, uint32_t subject, dur_ms lo, dur_ms hi)
{
    sim_put(s, s->now + prng_between(&s->rng_fault, lo, hi), SIM_Q_FAULT_END, fault, subject, 0, NULL, 0);
}

static bool second_controller(struct sim *s)
{
    uint32_t ctl = s->primary, other = SIM_NONE;
    struct sim_log *from = &s->logs[0];
    uint64_t up_to = from->entries.n;

    for (uint32_t i = 0; i < SIM_CONTROLLERS; i++)
        if (s->ctls[i].state == CTL_OFF && i != ctl && s->ctls[i].log == NULL)
            other = i;
    if (other == SIM_NONE || s->n_logs >= ORACLE_STORES)
        return false;
    from = s->ctls[ctl].log;
    up_to = from->entries.n;
    if (prng_permille(&s->rng_fault, 500) && up_to > 1)
        up_to = 1 + prng_below(&s->rng_fault, up_to);
    if (up_to == 0)
        return false;
    sim_log_copy(s, from, &s->logs[s->n_logs], up_to);
    sim_ctl_start(s, other, s->n_logs, prng_permille(&s->rng_fault, 600));
    if (s->ctls[other].takeover)
        s->primary = other; /* the on-call engineer means it */
    s->n_logs++;
    return true;
}

/* False: it was refused. */
static bool odd_verb(struct sim *s)
{
    static const enum verb verbs[] = { VERB_PAUSE,    VERB_RESUME,    VERB_ABORT,
                                       VERB_RETRY,    VERB_SET_ASIDE, VERB_PROMOTE,
                                       VERB_ROLLBACK, VERB_RETURN,    VERB_ABORT_FORCE };
    enum verb v = verbs[prng_below(&s->rng_fault, sizeof verbs / sizeof verbs[0])];
    bool by_node = v == VERB_RETRY || v == VERB_SET_ASIDE || v == VERB_RETURN;
    const struct sim_log *log = s->ctls[s->primary].log;
    uint32_t entries = log == NULL ? 0 : log->entries.n;

    if (s->opt.no_verbs)
        return true;
    if (v == VERB_ABORT)
        SIM_HIT(s, aborted);
    if (s->ctls[s->primary].state == CTL_LIVE && !s->ctls[s->primary].paused)
        sim_ctl_verb(s, s->primary, v, by_node ? any_node(s) : IX_NONE, NULL, WITNESS_NOT_ASKED);
    if (v == VERB_PAUSE)
        until_later(s, 7, 0, 5 * MINUTE_MS, 60 * MINUTE_MS);
    return log != NULL && log->entries.n > entries;
}

static bool vm_by_others(struct sim *s)
{
    uint32_t vm = any_vm(s), what = (uint32_t)prng_below(&s->rng_fault, 5), out = SIM_NONE;

    for (uint32_t i = 0; i < s->world.n_nodes; i++)
        out = s->world.nodes[i].out_since != 0 && s->world.nodes[i].vmms ? i : out;
    if (what == 4 && out != SIM_NONE)
        return world_vm_appear(&s->world, out);
    if (what == 0)
        return world_vm_create(&s->world, any_node(s));
    if (what == 1)
        return world_vm_delete(&s->world, vm);
    if (what == 2)
        return world_vm_resize(&s->world, vm, s->world.vms[vm].memory_mib * 3 / 2);
    if (!world_foreign_move(&s->world, vm, any_node(s)))
        return false;
    SIM_HIT(s, foreign_move_in_drain);
    return true;
}

/* An administrator pauses a node, or ends its pause, which may be ours: then he may pause it himself a while later. */
static void pause_by_others(struct sim *s, uint32_t node)
{
    struct world_node *n = &s->world.nodes[node];
    bool ours = n->paused && n->paused_ours;

    n->paused_admin = !n->paused;
    n->paused = !n->paused;
    n->paused_ours = n->paused_ours && n->paused_admin;
    *(n->paused ? &n->admin_at : &n->unpaused_at) = s->now;
    n->ended_at = ours ? s->now : n->ended_at;
    until_later(s, 40, node, 10 * MINUTE_MS, 90 * MINUTE_MS);
    if (ours && crueller(s, 500))
        sim_put(s, s->now + prng_between(&s->world.rng_cruel, 60, 1500) * SECOND_MS, SIM_Q_FAULT_END, 40,
                node | PAUSES_IT, 0, NULL, 0);
}

static void paused_by_others_ends(struct sim *s, uint32_t subject)
{
    uint32_t node = subject & ~PAUSES_IT;
    struct world_node *n = &s->world.nodes[node];

    if ((subject & PAUSES_IT) != 0 ? n->paused : !n->paused_admin)
        return;
    n->paused = n->paused_admin = !n->paused;
    *(n->paused ? &n->admin_at : &n->unpaused_at) = s->now;
    world_touched(&s->world, WORLD_NONE, node);
    if (n->paused)
        until_later(s, 40, node, 10 * MINUTE_MS, 90 * MINUTE_MS);
}

static bool cluster_fault(struct sim *s, uint32_t fault, uint32_t node)
{
    struct sim_world *w = &s->world;
    uint32_t k = w->nodes[node].cluster;

    if (fault == 42)
        k = w->nodes[node = s2d_node(s, node)].cluster;
    if (fault == 46 && (!world_receives(w, node) || w->clusters[k].core_owner == node) && !s->opt.plain)
        return false;
    world_touched(w, WORLD_NONE, node);
    switch (fault) {
    case 40:
        pause_by_others(s, node);
        break;
    case 41:
        if (w->clusters[k].witness && prng_permille(&s->rng_fault, 700))
            world_witness(w, k, false);
        else
            w->nodes[node].evicted = true;
        until_later(s, fault, node, 10 * MINUTE_MS, 60 * MINUTE_MS);
        break;
    case 42:
        w->clusters[k].disk_failed = w->clusters[k].s2d;
        world_storage_dirty(w, k);
        until_later(s, fault, node, 10 * MINUTE_MS, 90 * MINUTE_MS);
        break;
    case 43:
        w->nodes[node].memory_mib = w->nodes[node].memory_mib * 3 / 4;
        w->nodes[node].shrunk = true;
        break;
    case 46:
        w->clusters[k].core_owner = world_receives(w, node) ? node : w->clusters[k].core_owner;
        break;
    default:
        break;
    }
    return true;
}

/* Others install it, not having booted since, or something newer. */
static void installed_by_others(struct sim *s, struct world_node *n)
{
    if (n->has_package || n->servicing_until > s->now || n->pending_in || n->pending_out)
        return;
    n->has_package = true;
    n->put_in_at = s->now;
    n->pending_in = prng_permille(&s->world.rng_cruel, 500);
    n->ubr = n->pending_in ? WORLD_UBR_NEW : WORLD_UBR_NEWER;
    n->boot_installed = n->pending_in ? n->boot : n->boot_installed;
    world_touched(&s->world, WORLD_NONE, (uint32_t)(n - s->world.nodes));
}

static bool node_fault(struct sim *s, uint32_t fault, uint32_t node)
{
    struct world_node *n = &s->world.nodes[node];
    bool for_good;

    switch (fault) {
    case 26:
        n->lies = true;
        break;
    case 28:
        n->never_returns = true;
        SIM_HIT(s, reboot_lost);
        break;
    case 29:
        n->boot_extra_ms = prng_between(&s->rng_fault, 10, 120) * MINUTE_MS;
        break;
    case 30:
        n->loses_patch = true;
        if (crueller(s, 600))
            n->boots_into = prng_permille(&s->world.rng_cruel, 500) ? WORLD_UBR_OTHER : WORLD_UBR_NEW;
        break;
    case 31:
        n->boots_again = 1;
        if (crueller(s, 500))
            n->boots_again += (uint32_t)prng_between(&s->world.rng_cruel, 1, 6);
        break;
    case 34:
        if (crueller(s, 500)) {
            installed_by_others(s, n);
            break;
        }
        n->staged_corrupt = true;
        n->corrupt_at = s->now;
        break;
    case 35:
        if (prng_permille(&s->rng_fault, 600))
            n->install_fails = true;
        else
            n->install_odd = true;
        break;
    case 44:
        n->leaves_group = true;
        break;
    case 47:
    case 49:
        if (s->world.cruel && prng_permille(&s->world.rng_cruel, 700)) {
            n->patch_breaks_backup = true;
            break;
        }
        n->backup_broken = true;
        n->backup_broken_at = s->now;
        until_later(s, fault, node, 5 * MINUTE_MS, 60 * MINUTE_MS);
        break;
    case 48:
        if (prng_permille(&s->rng_fault, 500))
            n->refuse_pause = true;
        else
            n->vmms_sticks = true;
        break;
    case 32: /* two draws, in an order that is not the compiler's */
        for_good = prng_permille(&s->rng_fault, 150);
        return world_node_crash(&s->world, node, prng_between(&s->rng_fault, 120, 1200) * SECOND_MS,
                                for_good);
    case 33: /* away, then back as another machine, with or without the old disk */
        world_node_crash(&s->world, node, prng_between(&s->rng_fault, 300, 3600) * SECOND_MS, false);
        n->machine[0] = 'M';
        if (prng_permille(&s->rng_fault, 500)) {
            s->agents[node].journal.n = 0;
            s->agents[node].foreign = true;
            oracle_journal_lost(&s->oracle, node);
        }
        break;
    case 6:
        n->clock_error_ms = prng_between(&s->rng_fault, -3600000, 36000000);
        n->clock_bad_at = s->now;
        until_later(s, fault, node, MINUTE_MS, HOUR_MS);
        break;
    default:
        break;
    }
    return true;
}

/* Somebody sets the balancer by hand; not in the very second in which we do, that no driver can see. */
static void set_by_others(struct sim_world *w, uint32_t cluster)
{
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].cluster == cluster &&
            world_effect_of(w, i, "cluster_setting", WORLD_NONE) != WORLD_NONE)
            return;
    w->clusters[cluster].balancer = w->clusters[cluster].balancer_theirs = 1;
}

/* One that is on a patched node, and does not start any more for a while. By chance of its own, so that other seeds stay what they
 * were. */
static bool ends_for_long(struct sim *s)
{
    struct prng p;
    uint32_t vm;

    prng_init(&p, s->opt.seed ^ 0x5eed37);
    if (!s->world.cruel || s->opt.plain || !prng_permille(&p, 300))
        return false;
    vm = (uint32_t)prng_below(&p, s->world.n_vms);
    for (uint32_t i = 0; i < s->world.n_vms; i++) {
        uint32_t k = (vm + i) % s->world.n_vms;

        if (s->world.nodes[s->world.vms[k].node].has_package &&
            world_receives(&s->world, s->world.vms[k].node) &&
            world_vm_end(&s->world, k, prng_between(&p, 5, 60) * MINUTE_MS))
            return true;
    }
    return false;
}

static void vm_fault(struct sim *s, uint32_t fault)
{
    uint32_t vm = some_vm(s);
    struct world_vm *v = &s->world.vms[vm];
    bool apart;

    world_touched(&s->world, WORLD_NONE, v->node);
    switch (fault) {
    case 36:
        v->refuses = true;
        SIM_HIT(s, move_refused);
        break;
    case 37:
        if (prng_permille(&s->rng_fault, 500))
            v->fails_half = true;
        else if (!ends_for_long(s))
            v->crashes = true;
        break;
    case 38:
        v->slow_permille = (uint32_t)prng_between(&s->rng_fault, 1200, 100000);
        break;
    case 45:
        apart = !v->dda && v->clustered && v->state == GUEST_RUNNING && crueller(s, 500);
        world_vm_bind(&s->world, vm, any_node(s), apart);
        set_by_others(&s->world, s->world.nodes[v->node].cluster);
        break;
    default:
        break;
    }
}

static void channel_fault(struct sim *s, uint32_t fault, uint32_t node)
{
    switch (fault) {
    case 14:
    case 19:
        s->partition |= 1u << node;
        s->world.nodes[node].cut_at = s->now;
        sim_net_half_open(s, node);
        break;
    case 18:
        s->delay_extra_ms = 5000;
        break;
    case 20:
        s->agents[node].host_key_changed = true;
        sim_net_cut(s, node);
        break;
    case 21:
        s->agents[node].auth_refused = true;
        sim_net_cut(s, node);
        break;
    default:
        break;
    }
    until_later(s, fault, node, MINUTE_MS, 60 * MINUTE_MS);
}

/* Its program is replaced by one of another engine revision; until it is at work there is nothing to replace. */
static bool upgrade(struct sim *s)
{
    struct sim_controller *c = &s->ctls[s->primary];

    if (c->state != CTL_LIVE || c->log->entries.n == 0)
        return false;
    sim_ctl_kill(s, c->index);
    s->revision++;
    sim_put(s, s->now + prng_between(&s->rng_fault, 1, 30) * MINUTE_MS, SIM_Q_CTL_START, c->index, c->life, 0,
            NULL, 0);
    return true;
}

/* False: as things are it would change nothing. */
static bool deed(struct sim *s, uint32_t f, uint32_t node)
{
    if (f == 3)
        return sim_ctl_pause(s, s->primary, prng_between(&s->rng_fault, 1, 7200) * SECOND_MS);
    if (f == 4)
        return second_controller(s);
    if (f == 7)
        return odd_verb(s);
    if (f == 39)
        return vm_by_others(s);
    if (f == 23)
        sim_agent_lose_journal(s, node);
    else if (f == 36 || f == 37 || f == 38 || f == 45)
        vm_fault(s, f);
    else if (f >= 40 && f <= 46 && f != 44)
        return cluster_fault(s, f, node);
    else if (f == 14 || (f >= 18 && f <= 21))
        channel_fault(s, f, node);
    else
        return node_fault(s, f, node);
    return true;
}

void sim_fault_now(struct sim *s, uint32_t armed)
{
    struct sim_armed *a = &s->armed[armed];
    uint32_t f = a->fault, node = some_node(s);
    bool done;

    if (s->calm || a->fired)
        return;
    if (f == 2) {
        if (s->ctls[s->primary].state == CTL_LIVE) {
            sim_ctl_kill(s, s->primary);
            sim_put(s, s->now + MINUTE_MS, SIM_Q_CTL_START, s->primary, s->ctls[s->primary].life, 0, NULL, 0);
        }
        return;
    }
    if (f == 8)
        done = upgrade(s);
    else
        done = sim_by_source(s, a) ? sim_source_fault(s, f, node) : deed(s, f, node);
    if (!done && (f == 8 || !s->opt.plain)) {
        sim_put(s, s->now + MINUTE_MS, SIM_Q_FAULT, armed, 0, 0, NULL, 0); /* later, perhaps */
        return;
    }
    a->fired = true;
    fired(s, f);
}

void sim_fault_end(struct sim *s, uint32_t fault, uint32_t subject)
{
    struct sim_world *w = &s->world;

    switch (fault) {
    case 6:
        w->nodes[subject].clock_error_ms = 0;
        break;
    case 7:
        sim_ctl_verb(s, s->primary, VERB_RESUME, IX_NONE, NULL, WITNESS_NOT_ASKED);
        break;
    case 14:
    case 19:
        s->partition &= ~(1u << subject);
        w->nodes[subject].cut_at = 0;
        break;
    case 18:
        s->delay_extra_ms = 0;
        break;
    case 20:
        s->agents[subject].host_key_changed = false;
        break;
    case 21:
        s->agents[subject].auth_refused = false;
        break;
    case 40:
        paused_by_others_ends(s, subject);
        break;
    case 41:
        world_witness(w, w->nodes[subject].cluster, true);
        w->nodes[subject].evicted = false;
        world_touched(w, WORLD_NONE, subject);
        break;
    case 42:
        w->clusters[w->nodes[subject].cluster].disk_failed = false;
        world_touched(w, WORLD_NONE, subject);
        break;
    case 47:
    case 48:
    case 49:
        w->nodes[subject].backup_broken = false;
        w->nodes[subject].gate = GATE_SOUND;
        s->agents[subject].repeats = false;
        break;
    default:
        break;
    }
}
