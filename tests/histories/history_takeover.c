/* history_takeover: a recorded run is cut off, and the present engine takes it over.
 *
 *   history_takeover project HISTORY          the projections after every CUT-th entry, a line each: entry number, JSON. Only
 *                                             the revision that recorded the history can say them; they are kept beside it
 *   history_takeover lead HISTORY PROJECTED   each of these cuts: a HANDOVER from the log and those projections, in a world
 *                                             in the state that the log tells, with what was open done, begun or never
 *                                             seen by turns; led to its end by a reasonable operator, and judged
 *
 * HISTORY and PROJECTED are files, unpacked. Exit code 0, or 1 with the first cut that is not right. */
#include "orchestrator/core/backend_plan_world.h"
#include "orchestrator/core/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUT 11
#define EVENTS_MAX 60000

struct entry {
    char *event, *commands;
};
struct history {
    struct plan *plan;
    struct LIST_OF(struct entry) entries;
    uint32_t revision;
};

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    printf("%s: %s\n", err_name((enum err_code)rc), err->text);
    exit(1);
}

static char *next_line(FILE *f)
{
    struct buf b = BUF_INIT;
    int c;

    while ((c = getc(f)) != EOF && c != '\n')
        buf_char(&b, (char)c);
    if (b.failed)
        abort();
    if (c == EOF && b.len == 0) {
        buf_clear(&b);
        return NULL;
    }
    (void)buf_text(&b);
    return b.data;
}

/* The world below counts boots as "boot-NODE-2", the simulator that recorded as "boot-NODE-002". */
static char *with_our_boots(char *text)
{
    char *from = text, *to = text;
    bool boot = false;

    while (*from != '\0') {
        boot = *from == '"' ? strncmp(from, "\"boot-", 6) == 0 : boot;
        *to++ = *from++;
        while (boot && to[-1] == '-' && *from == '0' && from[1] != '"')
            from++;
    }
    *to = '\0';
    return text;
}

static void load(struct history *h, const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = f == NULL ? NULL : next_line(f), *line;
    struct json_doc *doc = NULL;
    struct err err = { 0 };

    if (text == NULL) {
        printf("no history in %s\n", path);
        exit(1);
    }
    must(json_parse("plan", text, strlen(text), &doc, &err), &err);
    must(plan_read(doc, &h->plan, &err), &err);
    json_free(doc);
    free(text);
    while ((line = next_line(f)) != NULL) {
        struct entry *e = list_push(&h->entries);

        if (e == NULL)
            abort();
        e->event = line;
        e->commands = next_line(f);
        if (e->commands == NULL)
            must(err_set(&err, ERR_CORRUPT, "the last event has no commands"), &err);
    }
    fclose(f);
}

/* One entry, read anew: its strings live in `a`. */
static void event_at(struct history *h, uint32_t i, struct event_pictures *p, struct arena *a,
                     struct event *ev)
{
    struct err err = { 0 };

    must(event_read(h->entries.items[i].event, strlen(h->entries.items[i].event), h->plan->inv, p, a, ev,
                    &err),
         &err);
    if (ev->type == EV_RUN_START)
        h->revision = ev->u.run_start.revision;
}

/* --- project --- */

static void say_projections(const struct history *h, const struct engine *e, uint32_t cut)
{
    struct handover_fold *f = NULL;
    const struct handover *state = NULL;
    struct buf out = BUF_INIT;
    struct json_writer w;
    struct err err = { 0 };

    must(handover_fold_new(h->plan, &f, &err), &err);
    must(handover_view(f, e, &err), &err);
    must(handover_fold_end(f, &state, &err), &err);
    jw_init(&w, &out);
    handover_write(&w, NULL, state, h->plan->inv);
    printf("%u %s\n", cut, buf_text(&out));
    buf_clear(&out);
    handover_fold_free(f);
}

static int project(struct history *h)
{
    struct event_pictures pictures = { 0 };
    struct engine *e = NULL;
    struct runner r;
    struct err err = { 0 };

    must(engine_new(h->plan, &e, &err), &err);
    runner_init(&r, e, NULL, NULL);
    for (uint32_t i = 0; i < h->entries.n; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        event_at(h, i, &pictures, &a, &ev);
        must(runner_replay(&r, &ev, h->entries.items[i].commands, &err), &err);
        arena_clear(&a);
        if ((i + 1) % CUT == 0 || i + 1 == h->entries.n)
            say_projections(h, e, i + 1);
    }
    runner_clear(&r);
    engine_free(e);
    event_pictures_clear(&pictures);
    return 0;
}

/* --- the world at the cut, as the log tells it --- */

struct done_op {
    struct world_op op;
    uint32_t node;
    bool happened;
};
struct cut {
    struct history *h;
    uint32_t at, tries;
    struct arena arena; /* of all events before it */
    struct handover_fold *fold;
    const struct handover *state;
    struct LIST_OF(struct done_op) ops;
    const struct node_facts *
        *facts; /* per node, as last told: a fleet of the recorder's, not of the world below */
    struct backend_plan *world;
    struct engine *engine;
    struct runner runner;
    struct event_log log;
    struct event_pictures pictures;
    struct LIST_OF(struct entry) kept;
    time_ms now;
};

static enum action action_of(const char *name)
{
    int a = 0;

    while (a < ACTIONS && strcmp(action_rows[a].name, name) != 0)
        a++;
    return (enum action)a;
}

static struct world_op world_op_of(const struct cut *c, const char *id, enum action a, uint32_t receiver,
                                   const char *args)
{
    struct world_op op = {
        .action = a, .vm = IX_NONE, .to = receiver, .state = OP_DONE, .outcome = OUTCOME_OK
    };
    struct op_id_parts p;
    struct json_doc *doc = NULL;

    snprintf(op.id.text, sizeof op.id.text, "%s", id);
    if (op_id_parse(id, &p, NULL) == 0 && p.subject[0] != '\0')
        op.vm = fleet_vm_by_id(&c->world->fleet, p.subject);
    if (a != ACT_CLUSTER_SETTING || json_parse("args", args, strlen(args), &doc, NULL) != 0)
        return op;
    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++)
        if (strcmp(cluster_setting_name((enum cluster_setting)i), json_get_str(json_root(doc), "name", "")) ==
            0)
            op.setting = i;
    op.value = (uint32_t)json_get_int(json_root(doc), "value", 0);
    op.expected = (uint32_t)json_get_int(json_root(doc), "expected", 0);
    json_free(doc);
    return op;
}

/* Of VMs that others made the world knows nothing. */
static bool of_no_vm(const struct world_op *op)
{
    return op->vm == IX_NONE && (op->action == ACT_MOVE_VM || op->action == ACT_PARK_VM ||
                                 op->action == ACT_UNPARK_VM || op->action == ACT_MERGE);
}

static void happen(struct cut *c, struct done_op *o)
{
    if (!o->happened && !of_no_vm(&o->op))
        world_effect(c->world, o->node, &o->op);
    o->happened = true;
}

static void record_told(struct cut *c, const struct op_record *r)
{
    bool ok = (r->state == OP_DONE && r->outcome == OUTCOME_OK) ||
              (r->state == OP_UNKNOWN && r->witness == WITNESS_SAYS_DONE);

    for (uint32_t i = 0; i < c->ops.n && ok; i++)
        if (strcmp(c->ops.items[i].op.id.text, r->op) == 0)
            happen(c, &c->ops.items[i]);
}

static void boot_told(struct cut *c, uint32_t node, const char *boot_id)
{
    const char *number = boot_id == NULL ? NULL : strrchr(boot_id, '-');

    if (number != NULL)
        c->world->nodes[node].boot = (uint32_t)strtoul(number + 1, NULL, 10);
}

static void event_told(struct cut *c, const struct event *ev)
{
    struct op_record decided;

    if (ev->type == EV_OP_RESULT)
        record_told(c, &ev->u.op_result.record);
    for (uint32_t i = 0; ev->type == EV_NODE_CLAIMED && i < ev->u.claimed.n_ops; i++)
        record_told(c, &ev->u.claimed.ops[i]);
    if (ev->type == EV_NODE_CLAIMED)
        boot_told(c, ev->node, ev->u.claimed.boot_id);
    if (ev->type == EV_VERB && ev->u.verb.op != NULL) {
        decided =
            (struct op_record){ .op = ev->u.verb.op, .state = OP_UNKNOWN, .witness = ev->u.verb.decision };
        record_told(c, &decided);
    }
    if (ev->type == EV_OBSERVED && ev->u.observed.ok && ev->u.observed.what == OBSERVE_FACTS) {
        struct node_facts *f = ARENA_NEW(&c->arena, struct node_facts);

        if (f == NULL)
            abort();
        *f = ev->u.observed.facts;
        c->facts[ev->node] = f;
    }
}

static void commands_told(struct cut *c, const char *text)
{
    struct command_list l = { 0 };
    struct err err = { 0 };

    must(commands_read(text, c->h->plan->inv, &l, &err), &err);
    for (uint32_t i = 0; i < l.n; i++) {
        struct done_op *o = l.items[i].type == CMD_OP_START ? list_push(&c->ops) : NULL;

        if (o == NULL)
            continue;
        o->node = l.items[i].node;
        o->op =
            world_op_of(c, l.items[i].op, action_of(l.items[i].action), l.items[i].receiver, l.items[i].args);
    }
    command_list_clear(&l);
}

/* A node whose boot the log has seen has rebooted, whether a record said so or not. */
static void boots(struct cut *c)
{
    for (uint32_t i = 0; i < c->ops.n; i++) {
        struct done_op *o = &c->ops.items[i];
        bool open = false;

        for (uint32_t k = 0; k < c->state->n_ops; k++)
            open = open || strcmp(c->state->ops[k].id, o->op.id.text) == 0;
        if (o->op.action == ACT_REBOOT && !open) {
            uint32_t boot = c->world->nodes[o->node].boot;

            happen(c, o);
            c->world->nodes[o->node].boot = boot;
        }
    }
}

/* What is open: never seen, done, done and unknown, or not done and unknown, by turns. */
static void doubts(struct cut *c)
{
    for (uint32_t i = 0; i < c->state->n_ops; i++) {
        const struct handover_op *from = &c->state->ops[i];
        struct world_node *n = &c->world->nodes[from->node];
        struct world_op op = world_op_of(c, from->id, from->action, from->receiver, from->args), *line;
        uint32_t turn = (c->at / CUT + i) % 4;

        if ((turn == 0 && !from->seen) || of_no_vm(&op))
            continue;
        if (turn != 3)
            world_effect(c->world, from->node, &op);
        op.state = turn >= 2 ? OP_UNKNOWN : OP_DONE;
        op.accepted = op.started = from->sent;
        op.ended = c->now;
        line = list_push(&n->journal);
        if (line == NULL)
            abort();
        *line = op;
    }
}

static void as_recorded(void *arg, struct plan_answer *a)
{
    struct cut *c = arg;
    struct node_facts now;

    if (a->cause != CMD_OBSERVE || a->ev->u.observed.what != OBSERVE_FACTS || c->facts[a->node] == NULL)
        return;
    now = *c->facts[a->node];
    now.build = a->ev->u.observed.facts.build;
    now.boot_id = a->ev->u.observed.facts.boot_id;
    now.pending_reboot = false;
    now.servicing_idle = true;
    a->ev->u.observed.facts = now;
}

/* --- the handover --- */

static void put_projections(struct cut *c, const char *text)
{
    struct handover *to = handover_fold_now(c->fold), *from = NULL;
    const struct inventory *inv = c->h->plan->inv;
    struct json_doc *doc = NULL;
    struct err err = { 0 };

    must(json_parse("projections", text, strlen(text), &doc, &err), &err);
    must(handover_read(doc, json_root(doc), inv, &c->arena, &from, &err), &err);
    json_free(doc);
    to->state = from->state;
    to->hold_text = from->hold_text;
    to->end_text = from->end_text;
    to->wave = from->wave;
    to->failures = from->failures;
    to->deviations = from->deviations;
    to->started = from->started;
    to->ended = from->ended;
    memcpy(to->waves, from->waves, from->n_waves * sizeof *to->waves);
    to->gates = from->gates;
    to->n_gates = from->n_gates;
    to->rows = from->rows;
    to->n_rows = from->n_rows;
    for (uint32_t i = 0; i < inv->n_nodes; i++) {
        struct handover_node *n = &to->nodes[i];
        const struct handover_node *p = &from->nodes[i];

        n->phase = p->phase;
        n->end = p->end;
        n->back = p->back;
        n->out = p->out;
        n->life = p->life;
        n->attempt = p->attempt;
        n->since = p->since;
        n->out_since = p->out_since;
        n->out_until = p->out_until;
        n->reason = p->reason;
        n->build_before = p->build_before;
        n->build_now = p->build_now;
    }
    for (uint32_t i = 0; i < from->n_vms; i++)
        handover_fold_vm(c->fold, from->vms[i].id, from->vms[i].cluster)->at = from->vms[i].at;
}

static int keep_entry(struct event_log *l, const struct event *ev, const struct command_list *commands,
                      const struct engine *e, struct err *err)
{
    struct cut *c = (struct cut *)(void *)((char *)l - offsetof(struct cut, log));
    struct buf event = BUF_INIT, text = BUF_INIT;
    struct entry *k = list_push(&c->kept);

    (void)e, (void)err;
    event_write(&event, ev, c->h->plan->inv, &c->pictures);
    commands_write(&text, commands, c->h->plan->inv);
    if (k == NULL || event.failed || text.failed)
        abort();
    (void)buf_text(&event), (void)buf_text(&text);
    *k = (struct entry){ event.data, text.data };
    return 0;
}

static void hand_over(struct cut *c)
{
    struct event ev = { .type = EV_HANDOVER, .node = IX_NONE, .cluster = IX_NONE };
    struct err err = { 0 };

    must(engine_new(c->h->plan, &c->engine, &err), &err);
    engine_be(c->engine, c->h->revision + 1);
    c->log.append = keep_entry;
    runner_init(&c->runner, c->engine, &c->log, backend_plan_backend(c->world));
    ev.at = c->now + MINUTE_MS;
    ev.u.handover.run = "r1";
    ev.u.handover.plan_hash = c->h->plan->hash;
    ev.u.handover.controller = "00000000000000000000000000000009";
    ev.u.handover.person = "on-call";
    ev.u.handover.ticket = "CHG-9";
    ev.u.handover.revision = c->h->revision + 1;
    ev.u.handover.epoch = c->state->log.epoch + 1;
    ev.u.handover.state = c->state;
    must(runner_feed(&c->runner, &ev, &err), &err);
}

/* --- to the end --- */

static bool say(struct cut *c, enum verb verb, uint32_t node)
{
    struct event ev = { .type = EV_VERB, .at = c->now, .node = node, .cluster = IX_NONE };
    struct err err = { 0 };

    ev.u.verb.verb = verb;
    ev.u.verb.person = "on-call";
    ev.u.verb.ticket = "CHG-9";
    ev.u.verb.accept_unknown = true;
    ev.u.verb.decision = WITNESS_SAYS_DONE;
    return runner_feed(&c->runner, &ev, &err) == 0;
}

/* False: there is nothing that a reasonable person would still say. */
static bool lead(struct cut *c)
{
    struct run_view v = engine_run(c->engine);

    c->tries++;
    if (v.state == RUN_HOLDING) {
        if (c->tries < 20 && strcmp(v.hold_verb, "resume") == 0 && say(c, VERB_RESUME, IX_NONE))
            return true;
        if (c->tries < 20 && strcmp(v.hold_verb, "promote") == 0 && say(c, VERB_PROMOTE, IX_NONE))
            return true;
        return say(c, c->tries < 40 ? VERB_ABORT : VERB_ABORT_FORCE, IX_NONE);
    }
    for (uint32_t i = 0; i < c->h->plan->n_nodes && c->tries < 40; i++)
        if (engine_node(c->engine, c->h->plan->nodes[i].node).end == NODE_STUCK &&
            say(c, VERB_RETURN, c->h->plan->nodes[i].node))
            return true;
    return false;
}

static void play(struct cut *c)
{
    struct err err = { 0 };
    struct event ev;
    int rc;

    for (uint32_t n = 0; n < EVENTS_MAX; n++) {
        if (c->runner.ended && !lead(c))
            return;
        if (c->runner.ended)
            continue;
        if (!backend_plan_next(c->world, engine_deadline(c->engine), &ev))
            must(err_set(&err, ERR_STATE, "nothing is waited for, and it has not ended"), &err);
        c->now = ev.at;
        rc = runner_feed(&c->runner, &ev, &err);
        if (rc != ERR_STATE)
            must(rc, &err);
    }
    must(err_set(&err, ERR_STATE, "it does not come to an end"), &err);
}

/* --- judged by what the world is like --- */

static void wrong(const struct cut *c, const char *what, const char *who)
{
    printf("cut after entry %u: %s: %s (%s)\n", c->at, who, what,
           run_states[engine_run(c->engine).state].name);
    exit(1);
}

static void judge(struct cut *c)
{
    const struct plan *p = c->h->plan;

    for (uint32_t i = 0; i < p->n_nodes; i++) {
        uint32_t node = p->nodes[i].node;
        struct node_view v = engine_node(c->engine, node);
        const char *id = p->inv->nodes[node].id;

        if (v.phase != NODE_ENDED)
            wrong(c, "has no end", id);
        if (v.end != NODE_STUCK && !backend_plan_in_service(c->world, node))
            wrong(c, "is told to be in service and is not", id);
        if (v.end == NODE_DONE &&
            build_compare(backend_plan_build(c->world, node), p->rollout->patch.target) < 0)
            wrong(c, "is told to be patched and is not", id);
        if (v.end == NODE_ROLLED_BACK &&
            build_compare(backend_plan_build(c->world, node), p->rollout->patch.target) >= 0)
            wrong(c, "is told to be rolled back and is not", id);
        if (engine_ops_open(c->engine) > 0)
            wrong(c, "an operation is left open", engine_op_open(c->engine, 0).op);
    }
    for (uint32_t i = 0; i < p->inv->n_vms; i++) {
        uint32_t at = backend_plan_vm_at(c->world, i);

        if (p->inv->vms[i].state == VM_RUNNING && !backend_plan_vm_runs(c->world, i) &&
            engine_node(c->engine, at).end != NODE_STUCK)
            wrong(c, "is left down", p->inv->vms[i].id);
    }
}

/* The new part stands for itself: replayed from the handover on it comes out the same. */
static void replay(struct cut *c)
{
    struct event_pictures pictures = { 0 };
    struct engine *again = NULL;
    struct runner r;
    struct err err = { 0 };
    char was[SHA256_TEXT], is[SHA256_TEXT];

    must(engine_new(c->h->plan, &again, &err), &err);
    engine_be(again, c->h->revision + 1);
    runner_init(&r, again, NULL, NULL);
    for (uint32_t i = 0; i < c->kept.n; i++) {
        struct arena a = ARENA_INIT;
        struct event ev;

        must(event_read(c->kept.items[i].event, strlen(c->kept.items[i].event), c->h->plan->inv, &pictures,
                        &a, &ev, &err),
             &err);
        must(runner_replay(&r, &ev, c->kept.items[i].commands, &err), &err);
        arena_clear(&a);
    }
    engine_hash(c->engine, was);
    engine_hash(again, is);
    if (strcmp(was, is) != 0)
        wrong(c, "another state", "replay");
    event_pictures_clear(&pictures);
    runner_clear(&r);
    engine_free(again);
}

static void end_cut(struct cut *c)
{
    for (uint32_t i = 0; i < c->kept.n; i++) {
        free(c->kept.items[i].event);
        free(c->kept.items[i].commands);
    }
    list_clear(&c->kept);
    list_clear(&c->ops);
    event_pictures_clear(&c->pictures);
    runner_clear(&c->runner);
    engine_free(c->engine);
    backend_plan_free(c->world);
    handover_fold_free(c->fold);
    arena_clear(&c->arena);
    free(c->facts);
}

static enum run_state one_cut(struct history *h, uint32_t at, const char *projections)
{
    struct cut c = { .h = h, .at = at };
    struct event_pictures pictures = { 0 };
    struct err err = { 0 };
    enum run_state end;

    c.facts = calloc(h->plan->inv->n_nodes + 1u, sizeof *c.facts);
    if (c.facts == NULL)
        abort();
    must(backend_plan_new(h->plan, 0, &c.world, &err), &err);
    must(handover_fold_new(h->plan, &c.fold, &err), &err);
    for (uint32_t i = 0; i < at; i++) {
        struct event ev;

        event_at(h, i, &pictures, &c.arena, &ev);
        must(handover_fold_event(c.fold, &ev, h->entries.items[i].commands, &err), &err);
        event_told(&c, &ev);
        commands_told(&c, h->entries.items[i].commands);
        c.world->now = c.now = ev.at;
    }
    event_pictures_clear(&pictures);
    put_projections(&c, projections);
    must(handover_fold_end(c.fold, &c.state, &err), &err);
    boots(&c);
    doubts(&c);
    backend_plan_hook(c.world, as_recorded, &c);
    hand_over(&c);
    play(&c);
    judge(&c);
    replay(&c);
    end = engine_run(c.engine).state;
    end_cut(&c);
    return end;
}

static int lead_all(struct history *h, const char *path)
{
    FILE *f = fopen(path, "r");
    uint32_t ends[RUN_STATES] = { 0 }, n = 0;
    char *line;

    if (f == NULL)
        return 1;
    for (uint32_t i = 0; i < h->entries.n; i++) {
        with_our_boots(h->entries.items[i].event);
        with_our_boots(h->entries.items[i].commands);
    }
    while ((line = next_line(f)) != NULL) {
        char *projections;
        uint32_t at = (uint32_t)strtoul(line, &projections, 10);

        ends[one_cut(h, at, projections)]++;
        n++;
        free(line);
    }
    fclose(f);
    printf("%u cuts:", n);
    for (int s = 0; s < RUN_STATES; s++)
        if (ends[s] > 0)
            printf(" %u %s", ends[s], run_states[s].name);
    printf("\n");
    return n > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct history h = { 0 };
    int code = 2;

    if (argc < 3)
        return code;
    load(&h, argv[2]);
    if (strcmp(argv[1], "project") == 0)
        code = project(&h);
    else if (strcmp(argv[1], "lead") == 0 && argc == 4)
        code = lead_all(&h, argv[3]);
    for (uint32_t i = 0; i < h.entries.n; i++) {
        free(h.entries.items[i].event);
        free(h.entries.items[i].commands);
    }
    list_clear(&h.entries);
    plan_free(h.plan);
    return code;
}
