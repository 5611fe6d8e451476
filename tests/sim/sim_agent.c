/* The host of agent/core: carries effects out in order, as agent.h demands,
 * and may die between any two of them. The journal keeps what APPEND made
 * durable, nothing else. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct driver_manifest manifest;

static const char *const manifest_head = "{\"name\":\"sim\",\"version\":\"1\",\"contract\":1,\"actions\":{";
static const struct {
    const char *name;
    int minutes;
    bool leave;
} manifest_rows[] = {
    { "facts", 1, false },           { "vms", 1, false },
    { "gate_facts", 1, false },      { "storage_health", 1, false },
    { "check_empty", 1, false },     { "verify", 5, false },
    { "removability", 1, false },    { "pause", 10, false },
    { "resume", 10, false },         { "move_vm", 600, false },
    { "move_groups", 30, false },    { "park_vm", 60, true },
    { "unpark_vm", 60, false },      { "checkpoint", 60, false },
    { "merge", 60, false },          { "storage_out", 30, false },
    { "storage_in", 30, false },     { "stop_vmms", 30, false },
    { "start_vmms", 30, false },     { "fetch_package", 600, false },
    { "install", 600, true },        { "uninstall", 600, true },
    { "reboot", 60, true },          { "bitlocker_suspend", 5, false },
    { "cluster_setting", 5, false },
};

static void manifest_load(void)
{
    struct buf text = BUF_INIT;
    struct err err = { 0 };
    int rc;

    if (manifest.n_actions > 0)
        return;
    buf_str(&text, manifest_head);
    for (unsigned i = 0; i < sizeof manifest_rows / sizeof manifest_rows[0]; i++)
        buf_printf(&text, "%s\"%s\":{\"argv\":[\"./d\"],\"limit_ms\":%d,\"on_deadline\":\"%s\"}",
                   i == 0 ? "" : ",", manifest_rows[i].name, manifest_rows[i].minutes * 60000,
                   manifest_rows[i].leave ? "leave" : "kill");
    buf_str(&text, "}}");
    rc = driver_manifest_read("driver.json", buf_text(&text), text.len, &manifest, &err);
    assert(rc == 0);
    (void)rc;
    buf_clear(&text);
}

void sim_agents_forget(void)
{
    driver_manifest_clear(&manifest);
}

static dur_ms mono(const struct sim *s, const struct sim_agent *a)
{
    return s->now - a->boot_at;
}

static time_ms wall(const struct sim *s, const struct sim_agent *a)
{
    return s->now + s->world.nodes[a->node].clock_error_ms;
}

static void hex_id(struct sim *s, char out[33])
{
    uint8_t bytes[ID_RANDOM_BYTES];

    for (unsigned i = 0; i < ID_RANDOM_BYTES; i++)
        bytes[i] = (uint8_t)prng_below(&s->rng_ids, 256);
    id_from_bytes(bytes, out);
}

static void forget_first(struct sim_agent *a)
{
    free(a->kept_backup);
    free(a->kept_time);
    a->kept_backup = a->kept_time = NULL;
    a->repeats = false;
}

void sim_agents_init(struct sim *s)
{
    manifest_load();
    for (uint32_t i = 0; i < s->world.n_nodes; i++) {
        struct sim_agent *a = &s->agents[i];

        a->node = i;
        a->life = 0;
        a->boot_at = s->now - DAY_MS;
        a->due = TIME_NEVER;
        a->dying = a->host_key_changed = a->auth_refused = a->slow = a->foreign = a->hears_garbage = false;
        a->starts = a->duds = 0;
        forget_first(a);
        a->journal.n = 0;
        a->runs.n = 0;
        arena_clear(&a->journal_mem);
        sim_agent_start(s, i);
    }
}

static void do_effects(struct sim *s, struct sim_agent *a, struct agent_effects *fx);

static void keep_time(struct sim *s, struct sim_agent *a)
{
    dur_ms due;
    time_ms at;

    if (a->a == NULL)
        return;
    due = agent_deadline(a->a);
    if (due == TIME_NEVER)
        return;
    at = a->boot_at + due;
    at = at > s->now ? at : s->now + 1;
    if (at >= a->due)
        return;
    a->due = at;
    sim_put(s, at, SIM_Q_AGENT_TIME, a->node, a->life, 0, NULL, 0);
}

static void agent_event(struct sim *s, struct sim_agent *a, struct agent_event *ev)
{
    struct err err = { 0 };
    int rc;

    ev->at = wall(s, a);
    ev->mono = mono(s, a);
    rc = agent_step(a->a, ev, &a->fx, &err);
    assert(rc == 0);
    (void)rc;
    do_effects(s, a, &a->fx);
    keep_time(s, a);
}

/* Fold the journal again, as after any restart. */
void sim_agent_start(struct sim *s, uint32_t node)
{
    struct sim_agent *a = &s->agents[node];
    struct journal_fold fold = JOURNAL_FOLD_INIT;
    struct agent_config cfg = { .node = s->world.nodes[node].id,
                                .version = "sim",
                                .os = "windows",
                                .journal_id = "00112233445566778899aabbccddeeff",
                                .driver = &manifest,
                                .move_slots = s->world.clusters[s->world.nodes[node].cluster].slots,
                                .clock_factor = 1 };
    const char *alive[8];
    uint32_t runs[8] = { 0 }, at[8], n = 0;
    struct err err = { 0 };
    int rc = 0;

    if (a->a != NULL || s->world.nodes[node].power != POWER_ON)
        return;
    for (uint32_t i = 0; i < a->journal.n && rc == 0; i++)
        rc = journal_fold_apply(&fold, &a->journal.items[i], &err);
    assert(rc == 0);
    rc = agent_new(&cfg, &fold, &a->a, &err);
    assert(rc == 0);
    a->life++;
    a->starts++;
    a->due = TIME_NEVER;
    for (uint32_t i = 0; i < a->runs.n && n < 8; i++)
        if (a->runs.items[i].leave) {
            at[n] = i;
            alive[n++] = a->runs.items[i].op;
        }
    rc = agent_start(a->a, wall(s, a), mono(s, a), alive, n, runs, &a->fx, &err);
    assert(rc == 0);
    (void)rc;
    for (uint32_t i = 0; i < n; i++) {
        a->runs.items[at[i]].run = runs[i];
        a->runs.items[at[i]].life = a->life;
        a->runs.items[at[i]].adopted = true;
    }
    do_effects(s, a, &a->fx);
    keep_time(s, a);
}

static void drop_runs(struct sim *s, struct sim_agent *a, bool node_too)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < a->runs.n; i++) {
        if (a->runs.items[i].leave && !node_too) {
            a->runs.items[kept++] = a->runs.items[i];
            continue;
        }
        world_unhear(&s->world, a->runs.items[i].handle);
    }
    a->runs.n = kept;
}

void sim_agent_kill(struct sim *s, uint32_t node, bool node_too)
{
    struct sim_agent *a = &s->agents[node];

    if (a->a != NULL) {
        agent_free(a->a);
        a->a = NULL;
    }
    a->dying = false;
    a->life++;
    drop_runs(s, a, node_too);
    if (node_too) {
        sim_net_node_gone(s, node);
        return;
    }
    sim_net_agent_gone(s, node);
    sim_put(s, s->now + prng_between(&s->rng_net, 500, 20000), SIM_Q_AGENT_START, node, a->life, 0, NULL, 0);
}

void sim_agent_lose_journal(struct sim *s, uint32_t node)
{
    struct sim_agent *a = &s->agents[node];

    sim_agent_kill(s, node, false);
    a->journal.n = 0;
    a->runs.n = 0;
    a->foreign = strcmp(s->world.nodes[node].machine, s->world.nodes[node].machine_plan) != 0;
    oracle_journal_lost(&s->oracle, node);
}

void sim_agent_free(struct sim_agent *a)
{
    agent_free(a->a);
    a->a = NULL;
    forget_first(a);
    agent_effects_clear(&a->fx);
    agent_effects_clear(&a->fx_abandon);
    arena_clear(&a->journal_mem);
    list_clear(&a->journal);
    list_clear(&a->runs);
}

/* ---- effects ---- */

static void tell_oracle(struct sim *s, struct sim_agent *a, const struct agent_record *r)
{
    const struct journal_fold *f = agent_fold(a->a);
    const struct agent_op *op = r->op[0] == '\0' ? NULL : journal_fold_find(f, r->op);

    if (r->kind == AGENT_REC_CLAIM)
        oracle_claimed(&s->oracle, a->node, f->claim.epoch, f->claim.controller);
    else if (r->kind == AGENT_REC_ACCEPT && op != NULL)
        oracle_accepted(&s->oracle, a->node, sim_store_of(s, op->controller), op->id, op->action, op->epoch,
                        op->controller);
    else if (r->kind == AGENT_REC_START && op != NULL)
        oracle_started(&s->oracle, a->node, sim_store_of(s, op->controller), op->id, op->action, op->epoch,
                       op->controller);
    else if (r->kind == AGENT_REC_DONE)
        oracle_ended(&s->oracle, r->op, a->hears_garbage && strstr(r->body, "\"outcome\":\"ok\"") != NULL);
    else if (r->kind == AGENT_REC_WITNESS)
        oracle_refuted(&s->oracle, r->op);
}

static bool do_append(struct sim *s, struct sim_agent *a, const struct agent_record *r)
{
    struct agent_record *kept;

    if (sim_chance(s, 22)) {
        SIM_HIT(s, agent_killed_before_record);
        a->dying = true;
        return true;
    }
    if (sim_chance(s, 27))
        return false;
    kept = list_push(&a->journal);
    assert(kept != NULL);
    *kept = *r;
    kept->op = arena_str(&a->journal_mem, r->op);
    kept->boot_id = arena_str(&a->journal_mem, r->boot_id);
    kept->body = arena_str(&a->journal_mem, r->body);
    sim_say(s, "%s journal %s %s", s->world.nodes[a->node].id, agent_record_kind_name(r->kind), r->op);
    tell_oracle(s, a, r);
    if (sim_chance(s, 22)) {
        SIM_HIT(s, agent_killed_after_record);
        a->dying = true;
    }
    return true;
}

static const char *garbage(struct prng *p)
{
    static const char *const odd[] = { "",
                                       "{",
                                       "{\"result\":{}}{\"result\":{}}",
                                       "{\"result\":7}",
                                       "\xff\xfe{}",
                                       "{\"witness\":\"maybe\"}",
                                       "{\"error\":{\"code\":\"strange\",\"message\":\"?\"}}" };

    return odd[prng_below(p, sizeof odd / sizeof odd[0])];
}

/* A driver that says something and does nothing. */
static void do_dud(struct sim *s, struct sim_agent *a, const struct agent_effect *e)
{
    struct buf text = BUF_INIT;

    buf_printf(&text, "!dud%s", garbage(&s->world.rng_cruel));
    sim_put(s, s->now + SECOND_MS, SIM_Q_AGENT_ANSWER, a->node, e->run, a->life, buf_text(&text), text.len);
    buf_clear(&text);
    a->duds--;
}

static void do_driver(struct sim *s, struct sim_agent *a, const struct agent_effect *e)
{
    struct sim_run *r;

    if (a->duds > 0 && e->effect && !s->calm) {
        do_dud(s, a, e);
        return;
    }
    r = list_push(&a->runs);
    assert(r != NULL);
    r->handle = world_begin(&s->world, a->node, e->text, e->len);
    r->run = e->run;
    r->life = a->life;
    r->leave = e->leave;
    r->effect = e->effect;
    memcpy(r->op, e->op == NULL ? "" : e->op, strlen(e->op == NULL ? "" : e->op) + 1);
    if (r->handle == 0) {
        a->runs.n--;
        sim_put(s, s->now + 1, SIM_Q_AGENT_ANSWER, a->node, e->run, a->life, "!notbegun", 9);
    }
}

static void do_kill(struct sim *s, struct sim_agent *a, const struct agent_effect *e)
{
    for (uint32_t i = 0; i < a->runs.n; i++)
        if (a->runs.items[i].run == e->run && a->runs.items[i].life == a->life) {
            world_unhear(&s->world, a->runs.items[i].handle);
            memmove(&a->runs.items[i], &a->runs.items[i + 1], (a->runs.n - i - 1) * sizeof a->runs.items[0]);
            a->runs.n--;
            sim_put(s, s->now + 20, SIM_Q_AGENT_ANSWER, a->node, e->run, a->life, "!killed", 7);
            return;
        }
}

static void do_package(struct sim *s, struct sim_agent *a, const struct agent_effect *e)
{
    const struct world_node *n = &s->world.nodes[a->node];
    const char *text = "/store/" WORLD_FILE;

    if (e->type == AGENT_DO_PACKAGE_OPEN && !n->staged)
        text = "!absent";
    else if (n->staged_corrupt && strcmp(e->sha256, WORLD_SHA) == 0)
        text = "!corrupt";
    sim_put(s, s->now + 200, SIM_Q_AGENT_ANSWER, a->node, e->run, a->life, text, strlen(text));
}

static void do_sntp(struct sim *s, struct sim_agent *a, const struct agent_effect *e)
{
    struct buf text = BUF_INIT;

    buf_printf(&text,
               "{\"servers\":[{\"server\":\"10.0.0.1:123\",\"why\":\"\",\"ok\":true,\"samples\":4,"
               "\"stratum\":3,\"offset_us\":%lld,"
               "\"delay_us\":500}]}",
               (long long)(s->world.nodes[a->node].clock_error_ms * 1000));
    sim_put(s, s->now + 400, SIM_Q_AGENT_ANSWER, a->node, e->run, a->life, buf_text(&text), text.len);
    buf_clear(&text);
}

static void do_reply_empty(struct sim *s, const struct agent_effect *e)
{
    struct buf line = BUF_INIT;

    rpc_write_result(&line, e->request,
                     e->type == AGENT_DO_JOURNAL
                         ? "{\"records\":[],\"next\":null}"
                         : "{\"text\":\"\",\"offset\":0,\"total_bytes\":0,\"more\":false}");
    sim_to_ctl(s, e->conn, buf_text(&line), line.len);
    buf_clear(&line);
}

static void do_other(struct sim *s, struct sim_agent *a, const struct agent_effect *e)
{
    switch (e->type) {
    case AGENT_DO_SEND:
        sim_to_ctl(s, e->conn, e->text, e->len);
        break;
    case AGENT_DO_DRIVER_START:
        do_driver(s, a, e);
        break;
    case AGENT_DO_DRIVER_KILL:
        do_kill(s, a, e);
        break;
    case AGENT_DO_PACKAGE_OPEN:
    case AGENT_DO_PACKAGE_ADOPT:
    case AGENT_DO_PACKAGE_CHECK:
    case AGENT_DO_PACKAGE_PLACE:
        do_package(s, a, e);
        break;
    case AGENT_DO_SNTP:
        do_sntp(s, a, e);
        break;
    case AGENT_DO_OUTPUT:
    case AGENT_DO_JOURNAL:
        do_reply_empty(s, e);
        break;
    case AGENT_DO_APPEND:
    case AGENT_DO_FORGET:
        break;
    }
}

static void abandon(struct sim *s, struct sim_agent *a, const struct agent_effects *fx, uint32_t i)
{
    struct err why = { 0 }, err = { 0 };
    int rc;

    SIM_HIT(s, journal_failed);
    err_set(&why, ERR_FULL, "no space for the journal");
    rc = agent_abandon(a->a, fx, i, &why, wall(s, a), mono(s, a), &a->fx_abandon, &err);
    assert(rc == 0);
    (void)rc;
    for (uint32_t k = 0; k < a->fx_abandon.n; k++)
        do_other(s, a, &a->fx_abandon.items[k]);
}

static void do_effects(struct sim *s, struct sim_agent *a, struct agent_effects *fx)
{
    for (uint32_t i = 0; i < fx->n && !a->dying; i++) {
        const struct agent_effect *e = &fx->items[i];

        if (e->type != AGENT_DO_APPEND) {
            do_other(s, a, e);
        } else if (!do_append(s, a, &e->record)) {
            abandon(s, a, fx, i);
            return;
        }
    }
    if (a->dying) {
        SIM_HIT(s, agent_killed);
        sim_agent_kill(s, a->node, false);
    }
}

/* ---- events ---- */

void sim_agent_open(struct sim *s, uint32_t node, uint32_t conn)
{
    struct agent_event ev = { .type = AGENT_EV_OPEN, .conn = conn };
    char session[33];

    hex_id(s, session);
    ev.text = session;
    ev.len = 32;
    agent_event(s, &s->agents[node], &ev);
}

void sim_agent_closed(struct sim *s, uint32_t node, uint32_t conn)
{
    struct agent_event ev = { .type = AGENT_EV_CLOSE, .conn = conn };

    agent_event(s, &s->agents[node], &ev);
}

void sim_agent_line(struct sim *s, uint32_t node, uint32_t conn, const char *text, size_t len)
{
    struct agent_event ev = { .type = AGENT_EV_REQUEST, .conn = conn };
    struct rpc_message msg;

    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (rpc_parse(text, len, &msg, NULL) != 0) {
        sim_close(s, conn, false);
        sim_agent_closed(s, node, conn);
        return;
    }
    ev.msg = &msg;
    agent_event(s, &s->agents[node], &ev);
    rpc_clear(&msg);
}

void sim_agent_time(struct sim *s, uint32_t node)
{
    struct agent_event ev = { .type = AGENT_EV_TIME };

    s->agents[node].due = TIME_NEVER;
    agent_event(s, &s->agents[node], &ev);
}

static void stop_hearing(struct sim *s, struct sim_agent *a)
{
    if (a->hears_garbage)
        oracle_heard_garbage(&s->oracle);
    a->hears_garbage = false;
}

/* In a cruel world the next one or two drivers with an effect do nothing but talk. */
static const char *garble(struct sim *s, struct sim_agent *a, const char *text, size_t *len)
{
    if (!sim_chance(s, 25))
        return text;
    if (s->world.cruel)
        a->duds = 1 + (uint32_t)prng_below(&s->world.rng_cruel, 2);
    text = garbage(&s->rng_fault);
    *len = strlen(text);
    a->hears_garbage = true;
    return text;
}

void sim_agent_driver(struct sim *s, uint32_t node, uint32_t handle, const char *text, size_t len)
{
    struct sim_agent *a = &s->agents[node];
    struct agent_event ev = { .type = AGENT_EV_DRIVER_DONE, .end = AGENT_DRIVER_EXITED };

    for (uint32_t i = 0; i < a->runs.n; i++) {
        struct sim_run r = a->runs.items[i];

        if (r.handle != handle)
            continue;
        memmove(&a->runs.items[i], &a->runs.items[i + 1], (a->runs.n - i - 1) * sizeof a->runs.items[0]);
        a->runs.n--;
        if (a->a == NULL || r.run == 0)
            return;
        if (r.life != a->life)
            return;
        ev.run = r.run;
        ev.text = garble(s, a, text, &len);
        ev.len = len;
        if (r.adopted) {
            ev.end = AGENT_DRIVER_LOST;
            ev.text = "";
            ev.len = 0;
        }
        agent_event(s, a, &ev);
        stop_hearing(s, a);
        return;
    }
}

void sim_agent_answer(struct sim *s, uint32_t node, uint32_t run, uint32_t life, const char *text, size_t len)
{
    struct sim_agent *a = &s->agents[node];
    struct agent_event ev = { .type = AGENT_EV_ANSWER, .run = run, .text = text, .len = len };
    struct err err = { 0 };

    if (a->a == NULL || a->life != life)
        return;
    if (strncmp(text, "!dud", 4) == 0) {
        a->hears_garbage = true;
        ev.type = AGENT_EV_DRIVER_DONE;
        ev.end = AGENT_DRIVER_EXITED;
        ev.text += 4;
        ev.len -= 4;
    } else if (strcmp(text, "!killed") == 0 || strcmp(text, "!notbegun") == 0) {
        ev.type = AGENT_EV_DRIVER_DONE;
        ev.end = text[1] == 'k' ? AGENT_DRIVER_KILLED : AGENT_DRIVER_NOT_BEGUN;
        ev.text = "";
        ev.len = 0;
    } else if (text[0] == '!') {
        err_set(&err, text[1] == 'a' ? ERR_NOT_FOUND : ERR_CORRUPT, "the package is %s", text + 1);
        ev.err = &err;
        ev.text = "";
        ev.len = 0;
    }
    agent_event(s, a, &ev);
    stop_hearing(s, a);
}
