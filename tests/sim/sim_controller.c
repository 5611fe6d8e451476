/* A controller process: survey, replay, run; it may die at any kill point,
 * be paused for hours and go on (the stale leader), or be one of two. */
#include "tests/sim/sim.h"

#include "orchestrator/core/handover.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint32_t sim_store_of(const struct sim *s, const char *controller)
{
    for (uint32_t i = 0; i < s->n_ids; i++)
        if (strcmp(s->ids[i].controller, controller) == 0)
            return s->ids[i].store;
    return SIM_NONE;
}

static void remember_id(struct sim *s, const char *controller, uint32_t store)
{
    struct sim_id *id;

    if (s->n_ids == SIM_IDS)
        return;
    id = &s->ids[s->n_ids++];
    memcpy(id->controller, controller, sizeof id->controller);
    id->store = store;
}

static bool meant(const struct sim *s, int64_t point)
{
    if (s->opt.kill_at < 0)
        return false;
    return point == s->opt.kill_at ||
           (s->opt.kill_again >= 0 && point == s->opt.kill_at + 1 + s->opt.kill_again);
}

bool sim_kill_point(struct sim_controller *c, enum sim_kill_place place, enum event_type ev)
{
    static const enum sim_probe probes[SIM_KILL_PLACES] = { [KILL_BEFORE_APPEND] = PROBE_killed_before_append,
                                                            [KILL_AFTER_APPEND] = PROBE_killed_after_append,
                                                            [KILL_AFTER_SUBMIT] =
                                                                PROBE_killed_between_submits,
                                                            [KILL_IN_RECOVERY] = PROBE_killed_in_recovery };
    struct sim *s = c->s;
    bool dies;

    if (c->dying)
        return true;
    dies = meant(s, (int64_t)s->kill_point++);
    if (!dies && !s->calm)
        dies = sim_chance(s, c->recovering ? 2 : 1);
    if (!dies)
        return false;
    c->dying = true;
    s->probes[probes[place]]++;
    s->killed[place][ev]++;
    SIM_HIT(s, controller_killed);
    return true;
}

/* F9 to F11. In cruel worlds a disk stays full for a while, and what a sync failed for may be there all the same. */
static void disturb(struct sim_controller *c)
{
    struct sim *s = c->s;
    bool full = sim_chance(s, 9), busy = sim_chance(s, 10), broken = sim_chance(s, 11);

    if (full || busy || broken)
        SIM_HIT(s, store_failed);
    c->log->fail_next = full || busy || broken || s->now < s->full_until;
    if (!s->world.cruel || s->opt.plain)
        return;
    if (full)
        s->full_until = s->now + prng_between(&s->world.rng_cruel, 1, 20) * MINUTE_MS;
    if (broken && prng_permille(&s->world.rng_cruel, 600)) {
        c->log->fail_next = false;
        c->log->fail_after = true;
    }
}

/* The log, with the process around it dying before or after the append. */
static int ctl_append(struct event_log *base, const struct event *ev, const struct command_list *commands,
                      const struct engine *engine, struct err *err)
{
    struct sim_ctl_log *l = (struct sim_ctl_log *)(void *)base;
    struct sim_controller *c = l->c;
    int rc;

    c->event = ev->type;
    if (sim_kill_point(c, KILL_BEFORE_APPEND, ev->type))
        return err_set(err, ERR_IO, "killed");
    disturb(c);
    rc = c->log->base.append(&c->log->base, ev, commands, engine, err);
    if (rc == 0)
        sim_kill_point(c, KILL_AFTER_APPEND, ev->type);
    return rc;
}

static struct log_position ctl_position(const struct event_log *base)
{
    const struct sim_ctl_log *l = (const struct sim_ctl_log *)(const void *)base;

    return l->c->log->base.position(&l->c->log->base);
}

static void keep_time(struct sim_controller *c)
{
    time_ms due = engine_deadline(c->engine);

    if (due == TIME_NEVER)
        return;
    due = due > c->s->now ? due : c->s->now + 1;
    if (due >= c->due)
        return;
    c->due = due;
    sim_put(c->s, due, SIM_Q_CTL_TIME, c->index, c->life, 0, NULL, 0);
}

static void clear_process(struct sim_controller *c)
{
    if (c->engine != NULL) {
        runner_clear(&c->runner);
        engine_free(c->engine);
        c->engine = NULL;
    }
    sim_backend_free(&c->backend);
    for (uint32_t i = 0; i < c->held.n; i++)
        free(c->held.items[i].text);
    c->held.n = 0;
}

void sim_ctl_kill(struct sim *s, uint32_t ctl)
{
    struct sim_controller *c = &s->ctls[ctl];

    if (c->state == CTL_OFF)
        return;
    sim_say(s, "controller %u ends", ctl);
    sim_net_ctl_gone(s, ctl);
    clear_process(c);
    c->state = CTL_OFF;
    c->life++;
    c->dying = c->paused = c->recovering = false;
    oracle_store_recovered(&s->oracle, c->log->store);
}

/* Dead by a fault: somebody or something starts it again. */
static void die(struct sim_controller *c)
{
    struct sim *s = c->s;

    sim_ctl_kill(s, c->index);
    if (c->index == s->primary)
        sim_put(s, s->now + prng_between(&s->rng_fault, 1, 600) * SECOND_MS, SIM_Q_CTL_START, c->index,
                c->life, 0, NULL, 0);
}

void sim_ctl_feed(struct sim_controller *c, struct event *ev)
{
    struct err err = { 0 };
    int rc;

    if (c->state != CTL_LIVE || c->dying)
        return;
    ev->at = c->s->now;
    rc = runner_feed(&c->runner, ev, &err);
    if (rc != 0 && rc != ERR_INVALID && rc != ERR_STATE)
        c->dying = true; /* stopped: rebuild from the log (I25) */
    if (rc == ERR_INTERNAL || rc == ERR_DIVERGED) {
        oracle_break(&c->s->oracle, 25, "the engine broke: %s", err.text);
        return;
    }
    if (rc != 0)
        sim_say(c->s, "controller %u: %s refused: %s", c->index, event_type_name(ev->type), err.text);
    if (!c->dying)
        sim_kill_point(c, KILL_AFTER_SUBMIT, ev->type);
    if (c->dying)
        die(c);
    else
        keep_time(c);
}

/* ---- start: survey, then replay ---- */

void sim_ctl_start(struct sim *s, uint32_t ctl, uint32_t log, bool takeover)
{
    struct sim_controller *c = &s->ctls[ctl];
    uint8_t bytes[ID_RANDOM_BYTES];

    assert(c->state == CTL_OFF);
    c->s = s;
    c->index = ctl;
    c->log = &s->logs[log];
    c->takeover = takeover || (c->log->entries.n > 0 && sim_log_revision(c->log, NULL) != s->revision);
    c->state = CTL_SURVEY;
    c->dying = c->paused = c->refused_stale = false;
    c->recovering = true;
    c->due = TIME_NEVER;
    c->starts++;
    for (unsigned i = 0; i < ID_RANDOM_BYTES; i++)
        bytes[i] = (uint8_t)prng_below(&s->rng_ids, 256);
    id_from_bytes(bytes, c->id);
    remember_id(s, c->id, c->log->store);
    sim_say(s, "controller %u starts on store %u%s", ctl, log, c->takeover ? " by takeover" : "");
    sim_backend_init(c);
    sim_backend_survey(c);
    sim_put(s, s->now + 15 * SECOND_MS, SIM_Q_SURVEY, ctl, c->life, 0, NULL, 0);
}

static bool is_stale(const struct sim_controller *c, uint64_t *ret_epoch)
{
    bool stale = false;

    *ret_epoch = c->log->epoch;
    for (uint32_t i = 0; i < c->s->world.n_nodes; i++) {
        const struct sim_link *l = &c->backend.links[i];

        if (!l->greeted_once)
            continue;
        if ((uint64_t)l->epoch_seen > *ret_epoch)
            *ret_epoch = (uint64_t)l->epoch_seen;
        stale = stale || !sim_log_holds(c->log, (uint64_t)l->log_seq, l->log_hash);
    }
    return stale;
}

/* From the last takeover by another revision on: what is before it nobody decides anew. */
static bool replay(struct sim_controller *c, struct runner *r, uint32_t from)
{
    struct arena mem = ARENA_INIT;
    struct err err = { 0 };
    int rc = 0;

    event_pictures_clear(&c->log->pictures);
    for (uint32_t i = from; i < c->log->entries.n && rc == 0; i++) {
        const struct sim_entry *e = &c->log->entries.items[i];
        struct event ev;

        rc = event_read(e->event, strlen(e->event), c->s->plan->inv, &c->log->pictures, &mem, &ev, &err);
        if (rc == 0)
            rc = runner_replay(r, &ev, e->commands, &err);
        arena_clear(&mem);
    }
    if (rc != 0)
        oracle_break(&c->s->oracle, 23, "replay: %s", err.text);
    return rc == 0;
}

static int fold_log(struct sim_controller *c, struct handover_fold *f, struct err *err)
{
    struct event_pictures pictures = { 0 };
    struct arena mem = ARENA_INIT;
    int rc = 0;

    for (uint32_t i = 0; i < c->log->entries.n && rc == 0; i++) {
        const struct sim_entry *e = &c->log->entries.items[i];
        struct event ev;

        rc = event_read(e->event, strlen(e->event), c->s->plan->inv, &pictures, &mem, &ev, err);
        if (rc == 0)
            rc = handover_fold_event(f, &ev, e->commands, err);
        arena_clear(&mem);
    }
    event_pictures_clear(&pictures);
    return rc;
}

/* F8: the program is of another revision than the log. What its tables would say is asked of an engine of the old one. */
static bool hand_over(struct sim_controller *c, uint32_t revision, uint32_t from)
{
    struct event ev = { .type = EV_HANDOVER, .node = IX_NONE, .cluster = IX_NONE };
    struct engine *old = NULL;
    struct handover_fold *f = NULL;
    struct runner r;
    struct err err = { 0 };
    bool good = engine_new(c->s->plan, &old, &err) == 0;

    assert(good);
    engine_be(old, revision);
    runner_init(&r, old, &c->log->base, &c->backend.base);
    good = replay(c, &r, from);
    event_pictures_clear(&c->log->pictures); /* the new part's first picture is a whole one */
    if (good && (handover_fold_new(c->s->plan, &f, &err) != 0 || fold_log(c, f, &err) != 0 ||
                 handover_view(f, old, &err) != 0 || handover_fold_end(f, &ev.u.handover.state, &err) != 0)) {
        oracle_break(&c->s->oracle, 23, "handover: %s", err.text);
        good = false;
    }
    if (good) {
        ev.u.handover.run = "r1";
        ev.u.handover.plan_hash = c->s->plan->hash;
        ev.u.handover.controller = c->id;
        ev.u.handover.person = "on-call";
        ev.u.handover.revision = c->s->revision;
        ev.u.handover.epoch = c->epoch;
        sim_ctl_feed(c, &ev);
    }
    handover_fold_free(f);
    runner_clear(&r);
    engine_free(old);
    return good;
}

static void first_event(struct sim_controller *c)
{
    struct event ev = { .node = IX_NONE, .cluster = IX_NONE };

    if (c->log->entries.n == 0) {
        ev.type = EV_RUN_START;
        ev.u.run_start.run = "r1";
        ev.u.run_start.plan_hash = c->s->plan->hash;
        ev.u.run_start.person = "night";
        ev.u.run_start.controller = c->id;
        ev.u.run_start.revision = c->s->revision;
        ev.u.run_start.epoch = c->epoch;
        ev.u.run_start.approval_expires = c->s->policy.expires != 0 ? c->s->policy.expires : TIME_NEVER;
    } else {
        ev.type = EV_CONTROLLER_START;
        ev.u.controller_start.controller = c->id;
        ev.u.controller_start.person = "on-call";
        ev.u.controller_start.revision = c->s->revision;
        ev.u.controller_start.epoch = c->epoch;
        ev.u.controller_start.takeover = c->takeover;
    }
    sim_ctl_feed(c, &ev);
}

/* The survey is over: who am I, is my log the newest, what was there? */
void sim_ctl_surveyed(struct sim *s, uint32_t ctl)
{
    struct sim_controller *c = &s->ctls[ctl];
    struct err err = { 0 };
    uint32_t revision, from;
    uint64_t epoch;
    bool same;
    int rc;

    if (is_stale(c, &epoch) && !c->takeover) {
        SIM_HIT(s, stale_copy_refused);
        sim_ctl_kill(s, ctl);
        c->refused_stale = true;
        return;
    }
    c->epoch = epoch + 1;
    c->backend.takeover = c->takeover;
    if (c->takeover)
        SIM_HIT(s, takeover);
    rc = engine_new(s->plan, &c->engine, &err);
    assert(rc == 0);
    (void)rc;
    c->ctl_log = (struct sim_ctl_log){ .base = { .append = ctl_append, .position = ctl_position }, .c = c };
    runner_init(&c->runner, c->engine, &c->ctl_log.base, &c->backend.base);
    engine_be(c->engine, s->revision);
    revision = sim_log_revision(c->log, &from);
    same = c->log->entries.n == 0 || revision == s->revision;
    if (sim_kill_point(c, KILL_IN_RECOVERY, EVENT_TYPES) || (same && !replay(c, &c->runner, from))) {
        die(c);
        return;
    }
    c->state = CTL_LIVE;
    if (same)
        first_event(c);
    else
        (void)hand_over(c, revision, from);
    c->recovering = false;
}

/* ---- life ---- */

void sim_ctl_time(struct sim *s, uint32_t ctl)
{
    struct sim_controller *c = &s->ctls[ctl];
    struct event ev = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };

    c->due = TIME_NEVER;
    if (c->state != CTL_LIVE)
        return;
    if (engine_deadline(c->engine) > s->now)
        keep_time(c);
    else
        sim_ctl_feed(c, &ev);
}

void sim_ctl_verb(struct sim *s, uint32_t ctl, enum verb v, uint32_t node, const char *op,
                  enum op_witness decision)
{
    struct sim_controller *c = &s->ctls[ctl];
    struct event ev = { .type = EV_VERB, .node = node, .cluster = IX_NONE };

    ev.u.verb.verb = v;
    ev.u.verb.person = "operator";
    ev.u.verb.ticket = "CHG1";
    ev.u.verb.reason = "because";
    ev.u.verb.op = op;
    ev.u.verb.accept_unknown = true;
    ev.u.verb.decision = decision;
    sim_say(s, "verb %s%s%s", verb_name(v), node == IX_NONE ? "" : " ",
            node == IX_NONE ? "" : s->world.nodes[node].id);
    sim_ctl_feed(c, &ev);
}

bool sim_ctl_pause(struct sim *s, uint32_t ctl, dur_ms d)
{
    struct sim_controller *c = &s->ctls[ctl];

    if (c->state == CTL_OFF || c->paused)
        return false;
    c->paused = true;
    c->paused_until = s->now + d;
    sim_put(s, c->paused_until, SIM_Q_CTL_WAKE, ctl, c->life, 0, NULL, 0);
    return true;
}

/* What comes for a paused process waits in its sockets. */
bool sim_ctl_hold_item(struct sim *s, struct sim_item *it)
{
    struct sim_controller *c;
    struct sim_item *kept;
    uint32_t ctl = SIM_NONE;

    if (it->kind == SIM_Q_TO_CTL || it->kind == SIM_Q_CLOSED_CTL)
        ctl = s->conns[it->a % SIM_CONNS].id == it->a ? s->conns[it->a % SIM_CONNS].ctl : SIM_NONE;
    else if (it->kind == SIM_Q_CTL_TIME || it->kind == SIM_Q_ASK_LIMIT || it->kind == SIM_Q_CLAIM_LIMIT ||
             it->kind == SIM_Q_CONNECT || it->kind == SIM_Q_LOCAL || it->kind == SIM_Q_SURVEY ||
             it->kind == SIM_Q_STAGED)
        ctl = it->a;
    if (ctl == SIM_NONE || !s->ctls[ctl].paused)
        return false;
    c = &s->ctls[ctl];
    kept = list_push(&c->held);
    assert(kept != NULL);
    *kept = *it;
    it->text = NULL;
    return true;
}
