/* One seed from start to verdict: faults, then calm, then the last questions. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALM_LIMIT_MS (48 * HOUR_MS)
#define STEPS_MAX 400000u

void sim_say(const struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (!s->opt.verbose)
        return;
    printf("%10.3f ", (double)(s->now - WORLD_START) / 1000.0);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

/* ---- queue: a heap by time, then by order ---- */

static bool before(const struct sim_item *a, const struct sim_item *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

/* The place of `it` above the hole at `i`. */
static void heap_up(struct sim_heap *h, uint32_t i, const struct sim_item *it)
{
    for (; i > 0 && before(it, &h->items[(i - 1) / 2]); i = (i - 1) / 2)
        h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = *it;
}

/* The place of `it` below the hole at the top. */
static void heap_down(struct sim_heap *h, const struct sim_item *it)
{
    uint32_t i = 0;

    for (uint32_t k = 1; k < h->n; k = 2 * i + 1) {
        if (k + 1 < h->n && before(&h->items[k + 1], &h->items[k]))
            k++;
        if (!before(&h->items[k], it))
            break;
        h->items[i] = h->items[k];
        i = k;
    }
    h->items[i] = *it;
}

static void put_item(struct sim *s, struct sim_item it)
{
    struct sim_item *slot = list_push(&s->heap);

    assert(slot != NULL);
    it.order = s->order++;
    heap_up(&s->heap, s->heap.n - 1, &it);
}

void sim_put(struct sim *s, time_ms at, enum sim_kind kind, uint32_t a, uint32_t b, uint32_t c,
             const char *text, size_t len)
{
    struct sim_item it = { .at = at, .kind = kind, .a = a, .b = b, .c = c, .len = len };

    if (text != NULL) {
        it.text = malloc(len + 1);
        assert(it.text != NULL);
        memcpy(it.text, text, len);
        it.text[len] = '\0';
    }
    put_item(s, it);
}

static struct sim_item take_first(struct sim *s)
{
    struct sim_item it = s->heap.items[0];

    if (--s->heap.n > 0) {
        struct sim_item last = s->heap.items[s->heap.n];

        heap_down(&s->heap, &last);
    }
    return it;
}

/* ---- the world's hooks ---- */

static void on_answer(void *arg, uint32_t handle, const char *text, size_t len)
{
    struct sim *s = arg;

    sim_put(s, s->now, SIM_Q_DRIVER, handle, 0, 0, text, len);
}

static void on_node_down(void *arg, uint32_t node)
{
    struct sim *s = arg;

    sim_say(s, "%s is down", s->world.nodes[node].id);
    sim_agent_kill(s, node, true);
}

static void on_node_up(void *arg, uint32_t node)
{
    struct sim *s = arg;

    sim_say(s, "%s is up", s->world.nodes[node].id);
    s->agents[node].boot_at = s->now;
    sim_put(s, s->now + prng_between(&s->rng_net, 5000, 40000), SIM_Q_AGENT_START, node, s->agents[node].life,
            0, NULL, 0);
}

static const char *const truth_words[] = { "pause",          "resume",       "move begins",    "move ends",
                                           "park",           "unpark",       "storage out",    "storage in",
                                           "vmms stops",     "vmms starts",  "install begins", "install ends",
                                           "removal begins", "removal ends", "reboot",         "groups leave",
                                           "setting",        "pause found",  "pause witnessed" };

static void on_truth(void *arg, const struct world_truth *t)
{
    struct sim *s = arg;

    if (s->opt.verbose)
        sim_say(s, "truth: %s: %s %s", s->world.nodes[t->node].id, truth_words[t->what],
                t->vm == WORLD_NONE ? "" : s->world.vms[t->vm].id);
    if (t->what == TRUTH_PARK)
        SIM_HIT(s, vm_parked);
    if (t->what == TRUTH_VMMS_STOP && sim_chance(s, 39)) /* at the last moment */
        world_vm_appear(&s->world, t->node);
    if (t->what == TRUTH_STORAGE_IN)
        SIM_HIT(s, storage_resync);
    if (t->what == TRUTH_MOVE_END && s->world.nodes[t->node].out_since == 0)
        SIM_HIT(s, evidence_load);
    oracle_truth(&s->oracle, t);
}

/* ---- items ---- */

static void on_driver(struct sim *s, const struct sim_item *it)
{
    for (uint32_t i = 0; i < s->world.n_nodes; i++)
        for (uint32_t k = 0; k < s->agents[i].runs.n; k++)
            if (s->agents[i].runs.items[k].handle == it->a) {
                sim_agent_driver(s, i, it->a, it->text, it->len);
                return;
            }
}

static void wake(struct sim *s, uint32_t ctl)
{
    struct sim_controller *c = &s->ctls[ctl];
    uint32_t n = c->held.n;

    SIM_HIT(s, stale_leader_woke);
    c->paused = false;
    /* the loop's timers come before its sockets */
    put_item(s, (struct sim_item){ .at = s->now, .kind = SIM_Q_CTL_TIME, .a = ctl, .b = c->life });
    for (uint32_t i = 0; i < n; i++) {
        c->held.items[i].at = s->now;
        put_item(s, c->held.items[i]);
    }
    c->held.n = 0;
}

static void start_again(struct sim *s, const struct sim_item *it)
{
    struct sim_controller *c = &s->ctls[it->a];

    if (c->state != CTL_OFF || c->life != it->b || c->log == NULL)
        return;
    /* Only by takeover from here on, and nobody takes over with the database that was overtaken. */
    if (it->a == s->primary || sim_log_revision(c->log, NULL) == s->revision)
        sim_ctl_start(s, it->a, (uint32_t)(c->log - s->logs), c->takeover);
}

static void do_item(struct sim *s, struct sim_item *it)
{
    bool ctl_lives = it->a < SIM_CONTROLLERS && s->ctls[it->a].state != CTL_OFF;

    switch (it->kind) {
    case SIM_Q_WORLD:
        break;
    case SIM_Q_DRIVER:
        on_driver(s, it);
        break;
    case SIM_Q_AGENT_TIME:
        if (s->agents[it->a].a != NULL && s->agents[it->a].life == it->b && s->agents[it->a].due == it->at)
            sim_agent_time(s, it->a);
        break;
    case SIM_Q_AGENT_START:
        if (s->agents[it->a].life == it->b)
            sim_agent_start(s, it->a);
        break;
    case SIM_Q_AGENT_ANSWER:
        sim_agent_answer(s, it->a, it->b, it->c, it->text, it->len);
        break;
    case SIM_Q_TO_AGENT:
    case SIM_Q_TO_CTL:
    case SIM_Q_OPEN:
    case SIM_Q_CLOSED_AGENT:
    case SIM_Q_CLOSED_CTL:
        sim_net_item(s, it);
        break;
    case SIM_Q_CTL_TIME:
        if (ctl_lives && s->ctls[it->a].life == it->b && s->ctls[it->a].due <= s->now)
            sim_ctl_time(s, it->a);
        break;
    case SIM_Q_CTL_START:
        start_again(s, it);
        break;
    case SIM_Q_CTL_WAKE:
        if (s->ctls[it->a].life == it->b && s->ctls[it->a].paused)
            wake(s, it->a);
        break;
    case SIM_Q_SURVEY:
        if (s->ctls[it->a].state == CTL_SURVEY && s->ctls[it->a].life == it->b)
            sim_ctl_surveyed(s, it->a);
        break;
    case SIM_Q_CONNECT:
        if (ctl_lives)
            sim_backend_retry(&s->ctls[it->a], it->b, it->c);
        break;
    case SIM_Q_ASK_LIMIT:
        if (ctl_lives)
            sim_ask_limit(&s->ctls[it->a].backend, it->b);
        break;
    case SIM_Q_CLAIM_LIMIT:
        if (ctl_lives)
            sim_backend_claim_limit(&s->ctls[it->a], it->b, it->c);
        break;
    case SIM_Q_STAGED:
        if (ctl_lives)
            sim_backend_staged(&s->ctls[it->a], it->b);
        break;
    case SIM_Q_LOCAL:
        if (ctl_lives)
            sim_backend_local(&s->ctls[it->a], it->b, it->c, it->text);
        break;
    case SIM_Q_FAULT:
        sim_fault_now(s, it->a);
        break;
    case SIM_Q_FAULT_END:
        if (!s->calm)
            sim_fault_end(s, it->a, it->b);
        break;
    case SIM_Q_OPERATOR:
        sim_operator_step(s);
        break;
    case SIM_Q_CALM:
        break;
    }
}

static void keep_world_time(struct sim *s)
{
    time_ms next = world_next(&s->world);

    if (next == TIME_NEVER || next >= s->world_due)
        return;
    s->world_due = next;
    sim_put(s, next > s->now ? next : s->now, SIM_Q_WORLD, 0, 0, 0, NULL, 0);
}

static bool at_rest(const struct sim *s)
{
    const struct sim_controller *c = &s->ctls[s->primary];

    /* a run that holds waits for a person: no end */
    return c->state == CTL_LIVE && engine_at_rest(c->engine) && engine_run(c->engine).state != RUN_HOLDING;
}

/* The people go on with the controller that holds the fleet. */
static void find_primary(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_CONTROLLERS; i++)
        if (s->ctls[i].log != NULL && s->ctls[i].log->epoch > s->ctls[s->primary].log->epoch)
            s->primary = i;
}

static void begin_calm(struct sim *s)
{
    sim_say(s, "---- calm");
    find_primary(s);
    s->calm = true;
    s->echo_until = s->full_until = 0;
    s->partition = 0;
    s->delay_extra_ms = 0;
    for (uint32_t i = 0; i < s->world.n_nodes; i++) {
        s->agents[i].host_key_changed = s->agents[i].auth_refused = false;
        s->world.nodes[i].cut_at = 0;
        if (strcmp(s->world.nodes[i].machine, s->world.nodes[i].machine_plan) == 0)
            continue;
        memcpy(s->world.nodes[i].machine, s->world.nodes[i].machine_plan, sizeof s->world.nodes[i].machine);
        /* The first machine is back: its agent has to begin anew to find that out, on an empty disk where the other
         * machine had its own. */
        if (s->agents[i].foreign)
            sim_agent_lose_journal(s, i);
        else
            sim_agent_kill(s, i, false);
    }
    for (uint32_t i = 0; i < SIM_CONTROLLERS; i++) {
        if (s->ctls[i].paused)
            wake(s, i);
        if (i != s->primary)
            sim_ctl_kill(s, i);
    }
    world_heal(&s->world);
    s->world.due = s->now;
    s->calm_at = s->now;
}

static void step(struct sim *s)
{
    struct sim_item it = take_first(s);

    assert(it.at >= s->now);
    s->now = it.at;
    s->steps++;
    s->by_kind[it.kind]++;
    if (it.kind == SIM_Q_WORLD && it.at == s->world_due) /* an item of an older due time is stale */
        s->world_due = TIME_NEVER;
    world_advance(&s->world, s->now);
    if (!sim_ctl_hold_item(s, &it))
        do_item(s, &it);
    free(it.text);
    oracle_step(&s->oracle);
    keep_world_time(s);
    if (!s->calm && (s->now >= s->calm_at || (at_rest(s) && s->now > WORLD_START + 30 * MINUTE_MS)))
        begin_calm(s);
}

/* ---- the last questions ---- */

void sim_describe(const struct sim *s, const struct sim_controller *c, struct buf *text)
{
    struct run_view v = engine_run(c->engine);

    buf_printf(text, "%s, %s", run_states[v.state].name, v.hold_reason);
    for (uint32_t i = 0; i < s->plan->n_nodes; i++) {
        struct node_view n = engine_node(c->engine, s->plan->nodes[i].node);

        if (n.end == NODE_END_NONE)
            buf_printf(text, "; %s %s%s%s waits for \"%s\" (%s)", s->world.nodes[s->plan->nodes[i].node].id,
                       node_phases[n.phase].name, n.unknown ? " unknown" : "", n.claimed ? "" : " unclaimed",
                       n.waits_for, n.reason);
    }
}

/* O35: what the ledger has as still down, a bit per VM. */
static uint64_t ledger_down(const struct sim *s, const struct engine *e)
{
    const struct ledger *l = engine_ledger(e);
    uint64_t down = 0;

    for (uint32_t i = 0; i < l->n; i++) {
        const struct ledger_row *r = &l->items[i];
        bool open = r->subject == DOWN_VM && r->end == TIME_NEVER;
        uint32_t vm = open ? world_vm_find(&s->world, r->id) : WORLD_NONE;

        if (vm != WORLD_NONE)
            down |= (uint64_t)1 << vm;
    }
    return down;
}

static bool needs_reason(enum node_end end)
{
    return end == NODE_RETURNED || end == NODE_SET_ASIDE || end == NODE_NOT_STARTED || end == NODE_STUCK;
}

/* A bit per node that the run's end names as not rolled back. */
static uint32_t named_as_left(const struct sim *s, const char *end)
{
    const char *left = strstr(end, "not rolled back:");
    uint32_t named = 0;

    for (uint32_t i = 0; i < s->world.n_nodes && left != NULL; i++)
        if (strstr(left, s->world.nodes[i].id) != NULL)
            named |= 1u << i;
    return named;
}

static void ask_end(struct sim *s)
{
    struct sim_controller *c = &s->ctls[s->primary];
    struct oracle_ending e = { .store = c->log->store, .state = "no controller lives" };
    struct buf text = BUF_INIT;

    for (uint32_t i = 0; i < s->world.n_nodes; i++)
        e.put_back |= s->put_back[i] > 1 ? 1u << i : 0;

    if (c->state == CTL_LIVE) {
        e.at_rest = at_rest(s);
        e.explained = e.at_rest || engine_run(c->engine).hold_reason[0] != '\0';
        for (uint32_t i = 0; i < s->plan->n_nodes; i++) {
            struct node_view n = engine_node(c->engine, s->plan->nodes[i].node);

            e.explained = e.explained || n.waits_for[0] != '\0';
            if (needs_reason(n.end) && n.reason[0] == '\0')
                e.no_reason |= 1u << s->plan->nodes[i].node;
            for (uint32_t k = 0; k < s->world.n_vms; k++)
                if (strstr(n.reason, s->world.vms[k].id) != NULL)
                    e.reported_down |= (uint64_t)1 << k;
        }
        e.ledger_down = ledger_down(s, c->engine);
        e.named = named_as_left(s, engine_run(c->engine).end_text);
        sim_describe(s, c, &text);
        e.state = buf_text(&text);
    }
    oracle_end(&s->oracle, &e);
    buf_clear(&text);
}

/* I23, I24: the chain verifies and a new engine makes the same of it. */
static void check_log(struct sim *s, const struct sim_log *l)
{
    char hash[SHA256_TEXT] = "";

    for (uint32_t i = 0; i < l->entries.n; i++) {
        char next[SHA256_TEXT];

        log_chain(hash, l->entries.items[i].event, l->entries.items[i].commands, next);
        if (strcmp(next, l->entries.items[i].hash) != 0)
            oracle_break(&s->oracle, 24, "the chain breaks at entry %u", i + 1);
        memcpy(hash, next, sizeof hash);
    }
}

static void check_replay(struct sim *s, const struct sim_log *l, const struct engine *live)
{
    struct engine *e = NULL;
    struct runner r;
    struct err err = { 0 };
    struct arena mem = ARENA_INIT;
    struct event_pictures pictures = { 0 };
    char was[SHA256_TEXT], is[SHA256_TEXT];
    uint32_t from, revision = sim_log_revision(l, &from);
    int rc = engine_new(s->plan, &e, &err);

    assert(rc == 0);
    engine_be(e, revision);
    runner_init(&r, e, NULL, NULL);
    for (uint32_t i = from; i < l->entries.n && rc == 0; i++) {
        struct event ev;

        rc = event_read(l->entries.items[i].event, strlen(l->entries.items[i].event), s->plan->inv, &pictures,
                        &mem, &ev, &err);
        if (rc == 0)
            rc = runner_replay(&r, &ev, l->entries.items[i].commands, &err);
        arena_clear(&mem);
    }
    s->oracle.checks[23]++;
    if (rc != 0) {
        oracle_break(&s->oracle, 23, "replay: %s", err.text);
    } else if (live != NULL) {
        engine_hash(live, was);
        engine_hash(e, is);
        if (strcmp(was, is) != 0)
            oracle_break(&s->oracle, 23, "replay reproduces every decision and yet another state");
    }
    event_pictures_clear(&pictures);
    runner_clear(&r);
    engine_free(e);
}

static void finish(struct sim *s)
{
    struct sha256 sum;
    uint8_t digest[SHA256_BYTES];
    const struct sim_controller *c = &s->ctls[s->primary];

    if (s->steps >= STEPS_MAX)
        for (uint32_t i = 0; i <= SIM_Q_LOCAL; i++)
            sim_say(s, "queue kind %u: %u items", i, s->by_kind[i]);
    if (s->oracle.broken == 0)
        ask_end(s);
    if (s->oracle.broken == 0 && s->opt.expected != NULL)
        sim_outcome_judge(s);
    sha256_init(&sum);
    for (uint32_t i = 0; i < s->n_logs; i++) {
        if (s->logs[i].entries.n > 0)
            sha256_add(&sum, s->logs[i].entries.items[s->logs[i].entries.n - 1].hash, SHA256_TEXT - 1);
        if (s->opt.replay || s->opt.seed % 16 == 0)
            check_log(s, &s->logs[i]);
    }
    sha256_end(&sum, digest);
    sha256_hex(digest, s->hash);
    if ((s->opt.replay || s->opt.seed % 16 == 0) && s->oracle.broken == 0)
        check_replay(s, c->log, c->state == CTL_LIVE ? c->engine : NULL);
}

/* ---- begin and end ---- */

static void reset(struct sim *s, const struct sim_options *opt)
{
    struct world_shape shape = { .nodes_max = opt->nodes_max,
                                 .vms_max = opt->vms_max,
                                 .mild = opt->mild || opt->timed,
                                 .plain = opt->plain || opt->timed };

    s->opt = *opt;
    s->opt.plain = shape.plain;
    s->world.hooks = (struct world_hooks){ on_answer, on_node_down, on_node_up, on_truth, s };
    world_make(&s->world, opt->seed, &shape);
    prng_init(&s->rng_net, opt->seed ^ 0x1e7);
    prng_init(&s->rng_fault, opt->seed ^ 0xfa2);
    prng_init(&s->rng_ids, opt->seed ^ 0x1d5);
    s->now = WORLD_START;
    s->order = s->steps = s->kill_point = 0;
    s->n_armed = s->fired = 0;
    s->revision = ENGINE_REVISION;
    memset(s->fault_hits, 0, sizeof s->fault_hits);
    s->world_due = TIME_NEVER;
    s->echo_until = s->full_until = 0;
    s->calm_at = WORLD_START + 8 * HOUR_MS;
    s->calm = s->over = s->plan_refused = s->compared = false;
    s->next_conn = s->n_ids = s->primary = s->partition = s->delay_extra_ms = 0;
    memset(s->conns, 0, sizeof s->conns);
    memset(s->by_kind, 0, sizeof s->by_kind);
    memset(s->probes, 0, sizeof s->probes);
    memset(s->killed, 0, sizeof s->killed);
    s->n_logs = 1;
    for (uint32_t i = 0; i < SIM_CONTROLLERS; i++) {
        s->ctls[i].log = NULL;
        s->ctls[i].state = CTL_OFF;
        s->ctls[i].starts = 0;
        s->ctls[i].life = 0;
        s->ctls[i].paused = s->ctls[i].refused_stale = false;
    }
    for (uint32_t i = 0; i < ORACLE_STORES; i++)
        sim_log_init(s, &s->logs[i], i);
}

static void tear_down(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_CONTROLLERS; i++)
        sim_ctl_kill(s, i);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        agent_free(s->agents[i].a);
        s->agents[i].a = NULL;
    }
    while (s->heap.n > 0)
        free(s->heap.items[--s->heap.n].text);
    plan_free(s->plan);
    s->plan = NULL;
}

static void warn_of_plan(struct sim *s, const struct err *err)
{
    s->plan_refused = true;
    sim_say(s, "no plan: %s", err->text);
}

static bool is_asked_for(const struct sim *s)
{
    for (uint32_t i = 0; i < s->n_armed; i++)
        if ((s->opt.armed_mask >> s->armed[i].fault & 1u) != 0)
            return true;
    return s->opt.armed_mask == 0;
}

bool sim_play(struct sim *s, const struct sim_options *opt)
{
    struct err err = { 0 };

    reset(s, opt);
    if (sim_policy_make(s, &err) != 0)
        warn_of_plan(s, &err);
    oracle_init(&s->oracle, &s->world, &s->policy);
    if (!s->plan_refused && s->plan->n_nodes > 0) {
        sim_agents_init(s);
        sim_faults_arm(s);
        if (!is_asked_for(s)) {
            tear_down(s);
            return true;
        }
        sim_operator_init(s);
        sim_ctl_start(s, 0, 0, false);
        while (s->heap.n > 0 && s->oracle.broken == 0 && s->steps < STEPS_MAX &&
               s->now < s->calm_at + CALM_LIMIT_MS) {
            step(s);
            if (s->calm && at_rest(s) && s->now > s->calm_at + 60 * MINUTE_MS)
                break;
        }
        finish(s);
        if (s->opt.outcome != NULL)
            sim_outcome(s, s->opt.outcome);
        if (s->opt.history != NULL && !sim_history_write(s, s->opt.history))
            fprintf(stderr, "%s: cannot be written\n", s->opt.history);
    } else {
        s->plan_refused = true;
    }
    sim_totals_add(s->totals, s);
    tear_down(s);
    return s->oracle.broken == 0;
}

void sim_free(struct sim *s)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        sim_agent_free(&s->agents[i]);
    for (uint32_t i = 0; i < ORACLE_STORES; i++)
        sim_log_free(&s->logs[i]);
    for (uint32_t i = 0; i < SIM_CONTROLLERS; i++)
        list_clear(&s->ctls[i].held);
    list_clear(&s->heap);
    oracle_clear(&s->oracle);
    world_clear(&s->world);
    sim_agents_forget();
}
