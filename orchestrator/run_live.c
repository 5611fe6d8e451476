#include "orchestrator/run_live.h"

#include "orchestrator/io/backend_live.h"
#include "orchestrator/io/control_socket.h"
#include "orchestrator/io/kill_point.h"
#include "orchestrator/io/loop.h"
#include "orchestrator/io/progress_lines.h"
#include "orchestrator/live_screen.h"
#include "orchestrator/mirror.h"
#include "orchestrator/node_pins.h"
#include "orchestrator/verb_event.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SURVEY_LIMIT_MS ((dur_ms)15000)
#define DRAW_MS ((dur_ms)250)
#define DEADLINE_AGAIN_MS ((dur_ms)20) /* a deadline that stands still is looked at no oftener than this */

enum live_phase { LIVE_SURVEY, LIVE_RUNNING, LIVE_CLOSING };

struct live {
    struct run_session *ses;
    const struct run_live_options *o;
    enum live_phase phase;
    struct loop *loop;
    struct backend_live *backend;
    struct control *control;
    struct progress *progress;
    struct live_screen screen;
    struct mirror mirror;
    struct loop_timer deadline, draw;
    struct kill_point kill;
    struct ssh_hostkey *pins;
    struct buf lines;
    char controller[33];
    uint64_t epoch;
    time_ms last_at, last_deadline;
    bool starting; /* a run that holds may be led on at once: it is not over yet */
    int exit_code;
    int signum;     /* that stopped us; 0: none */
    struct err err; /* ERR_OK: none */
};

/* --- ending --- */

static void live_end(struct live *l, int exit_code)
{
    if (l->phase == LIVE_CLOSING)
        return;
    l->phase = LIVE_CLOSING;
    l->exit_code = exit_code;
    loop_stop(l->loop);
}

static void live_fail(struct live *l, const struct err *why)
{
    if (l->err.code == ERR_OK)
        l->err = *why;
    live_end(l, (int)exit_of_error(why->code));
}

/* --- feeding --- */

/* A copy that cannot be made is said and tried again at the next wave or gate: it does not stop a rollout. */
static void look_mirror(struct live *l)
{
    struct buf line = BUF_INIT;
    struct err err = { 0 };

    if (mirror_look(&l->mirror, l->ses->store, l->ses->plan, l->ses->engine, &err) == 0)
        return;
    buf_printf(&line, "%s\n", err.text);
    live_screen_say(&l->screen, buf_text(&line));
    buf_clear(&line);
}

static void look(struct live *l)
{
    buf_reset(&l->lines);
    progress_look(l->progress, l->ses->engine, l->last_at, &l->ses->runner.commands, &l->lines);
    live_screen_say(&l->screen, buf_text(&l->lines));
}

static bool has_ended(enum run_state s)
{
    return s == RUN_FINISHED || s == RUN_ROLLED_BACK || s == RUN_HALTED || s == RUN_ABORTED;
}

/* END: the run has come to rest, by its end or while it holds. */
static void check_end(struct live *l)
{
    struct run_view v = engine_run(l->ses->engine);

    if (!l->ses->runner.ended || v.fenced || l->starting)
        return;
    if (has_ended(v.state))
        live_end(l, (int)exit_of_run(v.state, session_exceptions(l->ses)));
    else if (v.state == RUN_HOLDING && l->o->exit_on_hold)
        live_end(l, EXIT_HOLDING);
}

static void rearm(struct live *l)
{
    time_ms due = engine_deadline(l->ses->engine);
    dur_ms wait;

    if (due == TIME_NEVER) {
        loop_timer_stop(&l->deadline);
        return;
    }
    wait = fleet_to_real(&l->ses->clock, due - fleet_now(&l->ses->clock));
    if (due == l->last_deadline && wait < DEADLINE_AGAIN_MS)
        wait = DEADLINE_AGAIN_MS;
    loop_timer_start(&l->deadline, wait);
}

/* ERR_INVALID, ERR_STATE: refused, the run goes on. Everything else ends it. */
static int live_feed(struct live *l, struct event *ev, struct err *err)
{
    int rc;

    ev->at = l->last_at = fleet_now(&l->ses->clock);
    rc = runner_feed(&l->ses->runner, ev, err);
    if (rc != 0 && l->ses->runner.stopped) {
        live_fail(l, err);
        return rc;
    }
    if (rc == 0) {
        kill_point_submitted(&l->kill);
        look(l);
        look_mirror(l);
    }
    rearm(l);
    check_end(l);
    return rc;
}

static void on_deadline(void *arg)
{
    struct live *l = arg;
    struct event ev = { .type = EV_TIMEOUT, .node = IX_NONE, .cluster = IX_NONE };
    struct err err = { 0 };
    time_ms due = engine_deadline(l->ses->engine);

    if (l->phase != LIVE_RUNNING)
        return;
    if (due == TIME_NEVER || fleet_now(&l->ses->clock) < due) {
        rearm(l);
        return;
    }
    l->last_deadline = due;
    live_feed(l, &ev, &err);
}

/* Fenced off, or a copy that lags behind: no further command, the nodes belong to another. */
static void check_fenced(struct live *l, const struct event *ev)
{
    struct err why = { 0 };

    if (ev->type != EV_NODE_REFUSED || (ev->u.refused.code != ERR_FENCED && ev->u.refused.code != ERR_STALE))
        return;
    err_set(&why, ev->u.refused.code, "node %s: %s",
            ev->node == IX_NONE ? "?" : l->ses->plan->inv->nodes[ev->node].id,
            ev->u.refused.text == NULL ? err_sentence(ev->u.refused.code) : ev->u.refused.text);
    live_fail(l, &why);
}

static void on_event(void *arg, const struct event *from)
{
    struct live *l = arg;
    struct event ev = *from;
    struct err err = { 0 };
    int rc;

    if (l->phase != LIVE_RUNNING)
        return;
    rc = live_feed(l, &ev, &err);
    if (rc != 0 && l->phase == LIVE_RUNNING) {
        struct buf line = BUF_INIT;

        buf_printf(&line, "event %s was not taken: %s\n", event_type_name(ev.type), err.text);
        live_screen_say(&l->screen, buf_text(&line));
        buf_clear(&line);
    }
    check_fenced(l, &ev);
}

static struct log_position on_position(void *arg)
{
    return store_position(((struct live *)arg)->ses->store);
}

static bool on_log_holds(void *arg, uint64_t seq, const char *hash)
{
    return store_holds(((struct live *)arg)->ses->store, seq, hash);
}

/* --- control socket --- */

/* The asker may have meant another run than the one that runs. */
static int check_run(const struct live *l, const json *params, struct err *err)
{
    const char *run = json_get_str(params, "run", "");

    if (strncmp(l->ses->run, run, strlen(run)) == 0)
        return 0;
    return err_set(err, ERR_STATE, "the running controller is at run %s, not at \"%s\"", l->ses->run, run);
}

static int answer_verb(struct live *l, const json *params, const char *person, struct buf *result,
                       struct err *err)
{
    struct json_writer w;
    struct event ev;
    int rc;

    if (l->phase != LIVE_RUNNING)
        return err_set(err, ERR_STATE,
                       "the controller is still connecting, or is leaving: ask again in a moment");
    rc = check_run(l, params, err);
    if (rc == 0)
        rc = verb_event_read(params, person, l->ses->plan->inv, &ev, err);
    if (rc == 0)
        rc = live_feed(l, &ev, err);
    if (rc != 0)
        return rc;
    jw_init(&w, result);
    jw_object(&w, NULL);
    jw_int(&w, "seq", (int64_t)store_position(l->ses->store).seq);
    jw_str(&w, "run", l->ses->run);
    jw_str(&w, "state", run_states[engine_run(l->ses->engine).state].name);
    jw_bool(&w, "running", true);
    jw_object_end(&w);
    return 0;
}

static int on_control(void *arg, const char *method, const json *params, const char *person,
                      struct buf *result, struct err *err)
{
    struct live *l = arg;

    if (strcmp(method, "verb") == 0)
        return answer_verb(l, params, person, result, err);
    if (strcmp(method, "ping") != 0)
        return err_set(err, ERR_INVALID, "unknown method \"%s\"", method);
    buf_printf(result, "{\"pid\":%d,\"run\":\"%s\"}", (int)getpid(), l->ses->run);
    return 0;
}

/* --- signals and drawing --- */

static void on_signal(void *arg, int signum)
{
    struct live *l = arg;
    struct event ev = { .type = EV_CONTROLLER_STOP, .node = IX_NONE, .cluster = IX_NONE };
    struct err err = { 0 };

    if (l->signum != 0)
        return;
    l->signum = signum;
    ev.u.controller_stop.reason = signum == SIGINT ? "SIGINT" : signum == SIGTERM ? "SIGTERM" : "SIGHUP";
    if (l->phase == LIVE_RUNNING)
        live_feed(l, &ev, &err);
    live_end(l, EXIT_INTERRUPTED);
}

static void on_draw(void *arg)
{
    struct live *l = arg;
    struct status_look at = { .run = l->ses->run,
                              .now = fleet_now(&l->ses->clock),
                              .writer_pid = (int)getpid(),
                              .lab = l->ses->plan->inv->lab };

    if (l->phase == LIVE_RUNNING)
        live_screen_draw(&l->screen, l->ses->store, &at);
    loop_timer_start(&l->draw, DRAW_MS);
}

/* --- starting --- */

#define BEHIND_SAID_MS (5 * SECOND_MS)

/* Before anything reads the time: it goes on from the last entry. */
static void take_time(struct live *l)
{
    dur_ms behind = session_time(l->ses);
    char text[TIME_TEXT_MAX];
    struct buf line = BUF_INIT;

    if (behind < BEHIND_SAID_MS)
        return;
    buf_printf(
        &line,
        "this machine's clock is %s behind the run's last entry: time goes on from that entry. Windows, "
        "freezes and the approval's end are judged by it\n",
        dur_text(behind, text));
    live_screen_say(&l->screen, buf_text(&line));
    buf_clear(&line);
}

static void fill_handover(const struct live *l, struct event *ev)
{
    ev->type = EV_HANDOVER;
    ev->u.handover.run = l->ses->run;
    ev->u.handover.plan_hash = l->ses->plan->hash;
    ev->u.handover.controller = l->controller;
    ev->u.handover.person = l->o->person;
    ev->u.handover.ticket = l->o->ticket;
    ev->u.handover.revision = engine_revision;
    ev->u.handover.epoch = l->epoch;
    ev->u.handover.state = l->ses->handover;
}

static void feed_start(struct live *l)
{
    struct event ev = { .type = l->o->resume ? EV_CONTROLLER_START : EV_RUN_START,
                        .node = IX_NONE,
                        .cluster = IX_NONE };
    struct err err = { 0 };

    if (l->ses->handover != NULL) {
        fill_handover(l, &ev);
    } else if (l->o->resume) {
        ev.u.controller_start.controller = l->controller;
        ev.u.controller_start.person = l->o->person;
        ev.u.controller_start.revision = engine_revision;
        ev.u.controller_start.epoch = l->epoch;
        ev.u.controller_start.takeover = l->o->takeover;
        ev.u.controller_start.ticket = l->o->ticket;
    } else {
        ev.u.run_start.run = l->ses->run;
        ev.u.run_start.plan_hash = l->ses->plan->hash;
        ev.u.run_start.person = l->o->person;
        ev.u.run_start.revision = engine_revision;
        ev.u.run_start.epoch = l->epoch;
        ev.u.run_start.controller = l->controller;
        ev.u.run_start.approval_expires = l->o->approval_expires;
    }
    l->phase = LIVE_RUNNING;
    if (live_feed(l, &ev, &err) != 0)
        live_fail(l, &err);
    else if (l->o->on_started != NULL)
        l->o->on_started(l->o->arg, l->ses->run);
}

/* `resume` also leads out of an operator's pause, and of a stop; and it asks a gate again that had no answer. */
static void feed_resume(struct live *l)
{
    struct event ev = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };
    struct run_view v = engine_run(l->ses->engine);
    struct err err = { 0 };

    if (!l->o->resume || l->ses->handover != NULL || v.state != RUN_HOLDING ||
        (strcmp(v.hold_verb, "resume") != 0 && !engine_hold_asks(v.hold_reason)) || l->phase != LIVE_RUNNING)
        return;
    ev.u.verb.verb = VERB_RESUME;
    ev.u.verb.person = l->o->person;
    live_feed(l, &ev, &err);
}

static int refuse_survey(struct live *l, const struct live_survey *s, struct err *err)
{
    if (s->stale_node != IX_NONE && !l->o->takeover)
        return err_set(err, ERR_STALE,
                       "node %s has seen entry %" PRIu64
                       " of a log that this database does not hold: it is a stale copy. Use the "
                       "one that ran last. If that is lost, or a takeover from this one was cut short: "
                       "`patchwave takeover`",
                       l->ses->plan->inv->nodes[s->stale_node].id, s->stale_seq);
    if (!l->o->resume && s->answered == 0 && s->asked > 0)
        return err_set(err, ERR_CONNECT, "none of the plan's %u nodes answered: nothing was begun",
                       (unsigned)s->asked);
    return 0;
}

static void on_surveyed(void *arg, const struct live_survey *s)
{
    struct live *l = arg;
    struct rows r = { 0 };
    struct err err = { 0 };

    if (l->phase != LIVE_SURVEY)
        return;
    if (refuse_survey(l, s, &err) != 0 ||
        store_ask(l->ses->store, &r, &err, "SELECT max(epoch) FROM runs", "") != 0) {
        live_fail(l, &err);
        return;
    }
    l->epoch = (uint64_t)rows_int(&r, 0, 0);
    l->epoch = 1 + (s->epoch_max > l->epoch ? s->epoch_max : l->epoch);
    rows_clear(&r);
    backend_live_identity(l->backend, l->ses->run, l->controller, l->epoch, l->o->takeover);
    l->ses->runner.backend = backend_live_backend(l->backend);
    l->ses->runner.log = kill_point_wrap(&l->kill, l->ses->runner.log, l->ses->plan->inv);
    l->starting = true;
    feed_start(l);
    feed_resume(l);
    l->starting = false;
    if (l->phase == LIVE_RUNNING)
        check_end(l);
}

static int draw_controller_id(struct live *l, struct err *err)
{
    uint8_t noise[ID_RANDOM_BYTES];

    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        return err_set(err, ERR_IO, "no random bytes from the system");
    id_from_bytes(noise, l->controller);
    return 0;
}

static int open_backend(struct live *l, struct err *err)
{
    struct live_setup setup = {
        .plan = l->ses->plan,
        .clock = l->ses->clock,
        .pins = l->pins,
        .default_user = l->o->default_user,
        .package_path = l->o->package.target,
        .checkpoint_paths = l->o->package.checkpoints,
        .position = on_position,
        .log_holds = on_log_holds,
        .on_event = on_event,
        .arg = l,
    };

    return backend_live_new(l->loop, &setup, &l->backend, err);
}

static int open_all(struct live *l, struct err *err)
{
    static const int signums[] = { SIGINT, SIGTERM, SIGHUP, 0 };
    int rc = draw_controller_id(l, err);

    if (rc == 0)
        rc = node_pins_read(l->ses->store, l->ses->plan->inv, &l->pins, err);
    if (rc == 0)
        rc = node_pins_check(l->pins, l->ses->plan, err);
    if (rc == 0)
        rc = progress_new(l->ses->plan, l->o->verbose, &l->progress, err);
    if (rc == 0)
        rc = loop_new(&l->loop, err);
    if (rc != 0)
        return rc;
    loop_timer_init(l->loop, &l->deadline, on_deadline, l);
    loop_timer_init(l->loop, &l->draw, on_draw, l);
    rc = loop_on_signals(l->loop, signums, on_signal, l, err);
    if (rc == 0)
        rc = control_listen(l->loop, l->o->db, on_control, l, &l->control, err);
    if (rc == 0)
        rc = open_backend(l, err);
    return rc;
}

/* --- closing: everything that has handles on the loop, then the loop --- */

struct closing {
    struct loop *loop;
    unsigned open;
};

static void on_closed(void *arg)
{
    struct closing *c = arg;

    if (--c->open == 0)
        loop_stop(c->loop);
}

static void close_all(struct live *l)
{
    struct closing c = { .loop = l->loop, .open = 1 };
    struct loop_closer timers = { .done = on_closed, .arg = &c };

    l->phase = LIVE_CLOSING;
    if (l->loop != NULL) {
        loop_close_timer(&timers, &l->deadline);
        loop_close_timer(&timers, &l->draw);
        if (l->control != NULL) {
            c.open++;
            control_close(l->control, on_closed, &c);
        }
        if (l->backend != NULL) {
            c.open++;
            backend_live_close(l->backend, on_closed, &c);
        }
        while (c.open > 0)
            loop_run(l->loop);
        loop_free(l->loop);
    }
    progress_free(l->progress);
    live_screen_clear(&l->screen);
    buf_clear(&l->lines);
    free(l->pins);
}

static void say_end(struct live *l)
{
    struct buf out = BUF_INIT;
    uint32_t n_out = 0;

    if (l->signum == 0)
        return;
    for (uint32_t i = 0; i < l->ses->plan->n_nodes; i++)
        n_out += engine_node(l->ses->engine, l->ses->plan->nodes[i].node).out;
    buf_printf(&out, "stopped; no new work is begun. Nodes that are out: %u%s.\n", (unsigned)n_out,
               n_out > 0 ? " (their agents finish the step they are in)" : "");
    buf_printf(&out, "go on with: patchwave --db %s resume\n", l->o->db);
    live_screen_end(&l->screen, buf_text(&out));
    buf_clear(&out);
}

int run_live(struct run_session *s, const struct run_live_options *o, int *ret_exit, struct err *err)
{
    struct live l = { .ses = s, .o = o, .phase = LIVE_SURVEY, .mirror = { .dir = o->mirror } };
    int rc;

    live_screen_init(&l.screen, o->json);
    take_time(&l);
    rc = open_all(&l, err);
    if (rc == 0) {
        if (o->resume) { /* what was before is not news, but where it stands */
            progress_look(l.progress, s->engine, 0, NULL, &l.lines);
            progress_tell_run(l.progress);
        }
        /* Who speaks is said with the first hello; the epoch is what the survey finds. */
        backend_live_identity(l.backend, s->run, l.controller, 0, o->takeover);
        backend_live_survey(l.backend, SURVEY_LIMIT_MS, on_surveyed);
        if (l.screen.terminal)
            loop_timer_start(&l.draw, DRAW_MS);
        while (l.phase != LIVE_CLOSING)
            loop_run(l.loop);
        say_end(&l);
        *ret_exit = l.exit_code;
        if (l.err.code != ERR_OK) {
            rc = (int)l.err.code;
            if (err != NULL)
                *err = l.err;
        }
    }
    close_all(&l);
    return rc;
}
