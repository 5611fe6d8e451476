#include "orchestrator/run_session.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static void submit_nothing(struct backend *b, const struct command *c)
{
    (void)b; /* the log has it; whoever resumes probes it */
    (void)c;
}
static struct backend offline = { .submit = submit_nothing };

static int bring_up(struct run_session *s, struct err *err)
{
    int rc = engine_new(s->plan, &s->engine, err);

    if (rc == 0)
        rc = store_log_new(s->store, s->run, s->plan, &s->log, err);
    if (rc == 0) {
        runner_init(&s->runner, s->engine, store_log_face(s->log), &offline);
        s->clock = fleet_clock_of(s->plan->inv);
        s->fed = true;
    }
    return rc;
}

static int open_run(struct run_session *s, const char *db, const char *which, enum store_mode mode,
                    struct run_found *found, struct err *err)
{
    int rc;

    *s = (struct run_session){ 0 };
    rc = store_open(db, mode, &s->store, err);
    if (rc == 0)
        rc = store_find_run(s->store, which, found, err);
    if (rc == 0) {
        snprintf(s->run, sizeof s->run, "%s", found->id);
        rc = store_load_plan(s->store, found->plan, &s->plan, err);
    }
    return rc == 0 ? bring_up(s, err) : rc;
}

static int replay(struct run_session *s, uint64_t up_to, struct err *err)
{
    return store_log_replay(s->log, &s->runner, up_to, err) == 0 ? 0 : err_wrap(err, "run %s", s->run);
}

int session_open(struct run_session *s, const char *db, const char *which, enum store_mode mode,
                 uint64_t up_to, struct err *err)
{
    struct run_found found;
    int rc = open_run(s, db, which, mode, &found, err);

    if (rc == 0 && found.revision != engine_revision)
        rc = err_set(err, ERR_STATE,
                     "run %s was decided by engine revision %u, this program is revision %u: only `patchwave "
                     "takeover` "
                     "goes on with it",
                     s->run, (unsigned)found.revision, (unsigned)engine_revision);
    if (rc == 0)
        rc = replay(s, up_to, err);
    if (rc != 0)
        session_close(s);
    return rc;
}

int session_open_takeover(struct run_session *s, const char *db, const char *which, struct err *err)
{
    struct run_found found;
    int rc = open_run(s, db, which, STORE_WRITE, &found, err);

    if (rc == 0 && found.revision != engine_revision)
        rc = store_handover(s->store, s->run, s->plan, &s->fold, &s->handover, err);
    else if (rc == 0)
        rc = replay(s, 0, err);
    if (rc != 0)
        session_close(s);
    return rc;
}

/* "r3-9f1c2a": counted for people; the random part keeps op ids apart when two databases meet the same nodes. */
static int name_run(struct run_session *s, struct err *err)
{
    struct rows r = { 0 };
    unsigned char noise[3];
    int rc;

    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        return err_set(err, ERR_IO, "no random bytes from the system");
    rc = store_ask(s->store, &r, err, "SELECT count(*) FROM runs", "");
    if (rc == 0)
        snprintf(s->run, sizeof s->run, "r%lld-%02x%02x%02x", (long long)rows_int(&r, 0, 0) + 1, noise[0],
                 noise[1], noise[2]);
    rows_clear(&r);
    return rc;
}

static int refuse_if_unfinished(struct store *store, struct err *err)
{
    struct rows r = { 0 };
    int rc = store_ask(store, &r, err, "SELECT id, state FROM runs WHERE ended IS NULL LIMIT 1", "");

    if (rc == 0 && r.n > 0)
        rc = err_set(
            err, ERR_STATE,
            "run %s is %s and has not ended: `patchwave resume` goes on with it, `patchwave abort` ends it",
            rows_text(&r, 0, 0), rows_text(&r, 0, 1));
    rows_clear(&r);
    return rc;
}

int session_begin(struct run_session *s, struct store *store, const char *which_plan, struct err *err)
{
    int rc;

    *s = (struct run_session){ .store = store };
    rc = store_load_plan(store, which_plan, &s->plan, err);
    if (rc == 0)
        rc = refuse_if_unfinished(store, err);
    if (rc == 0)
        rc = name_run(s, err);
    if (rc == 0)
        rc = bring_up(s, err);
    if (rc != 0)
        session_close(s);
    return rc;
}

void session_close(struct run_session *s)
{
    handover_fold_free(s->fold);
    if (s->fed)
        runner_clear(&s->runner);
    store_log_free(s->log);
    engine_free(s->engine);
    plan_free(s->plan);
    store_close(s->store);
    *s = (struct run_session){ 0 };
}

dur_ms session_time(struct run_session *s)
{
    struct rows r = { 0 };

    if (store_ask(s->store, &r, NULL, "SELECT max(at) FROM log WHERE run = ?", "s", s->run) == 0)
        fleet_clock_not_before(&s->clock, rows_int(&r, 0, 0));
    rows_clear(&r);
    return fleet_to_real(&s->clock, s->clock.ahead);
}

uint32_t session_exceptions(const struct run_session *s)
{
    uint32_t n = s->plan->n_refusals;

    for (uint32_t i = 0; i < s->plan->n_nodes; i++) {
        enum node_end end = engine_node(s->engine, s->plan->nodes[i].node).end;

        n += end != NODE_DONE && end != NODE_COMPLIANT;
    }
    return n;
}

static int feed(struct run_session *s, struct event *ev, struct err *err)
{
    (void)session_time(s);
    ev->at = fleet_now(&s->clock);
    return runner_feed(&s->runner, ev, err);
}

/* A run that was stopped in order takes nothing but a start: this process is its controller for a moment. */
static int start_offline(struct run_session *s, const char *person, struct err *err)
{
    struct event ev = { .type = EV_CONTROLLER_START, .node = IX_NONE, .cluster = IX_NONE };
    uint8_t noise[ID_RANDOM_BYTES];
    char controller[33];

    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        return err_set(err, ERR_IO, "no random bytes from the system");
    ev.u.controller_start.controller = id_from_bytes(noise, controller);
    ev.u.controller_start.person = person;
    ev.u.controller_start.revision = engine_revision;
    ev.u.controller_start.epoch = engine_run(s->engine).epoch + 1;
    return feed(s, &ev, err);
}

int session_feed_offline(struct run_session *s, struct event *ev, uint64_t *ret_seq, struct err *err)
{
    struct event stop = { .type = EV_CONTROLLER_STOP, .node = IX_NONE, .cluster = IX_NONE };
    struct run_view v = engine_run(s->engine);
    int rc = 0;

    if (v.fenced)
        return err_set(err, ERR_FENCED, "%s", v.end_text);
    if (v.stopped)
        rc = start_offline(s, ev->u.verb.person, err);
    if (rc == 0)
        rc = feed(s, ev, err);
    if (rc == 0)
        *ret_seq = store_position(s->store).seq;
    if (rc == 0 && v.stopped) {
        stop.u.controller_stop.reason = "recorded without a running controller";
        rc = feed(s, &stop, err);
    }
    return rc;
}
