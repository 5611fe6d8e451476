#include "orchestrator/approval_check.h"
#include "orchestrator/detach.h"
#include "orchestrator/io/control_socket.h"
#include "orchestrator/run_live.h"
#include "orchestrator/verb_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- what has to hold before a run begins --- */

static int check_approval(struct run_session *s, time_ms *ret_expires, struct err *err)
{
    struct approval_found a;
    int rc = approval_check(s->store, s->plan, fleet_now(&s->clock), &a, err);

    if (rc == 0)
        *ret_expires = a.expires;
    return rc;
}

/* --- run --- */

struct start {
    struct cli *c;
    bool takeover;
    struct detach *detach;
};

static void on_started(void *arg, const char *run)
{
    struct start *st = arg;

    if (st->detach != NULL)
        detach_started(st->detach, run);
}

static void fill(struct cli *c, struct start *st, struct run_live_options *o)
{
    o->db = c->db;
    o->person = c->person;
    o->exit_on_hold = strcmp(options_text(&c->args, "on-hold", "wait"), "exit") == 0;
    o->verbose = cli_flag(c, "verbose");
    o->json = c->json;
    o->default_user = cli_text(c, "user");
    o->mirror = cli_text(c, "mirror");
    o->ticket = st->takeover ? cli_text(c, "ticket") : NULL;
    o->on_started = on_started;
    o->arg = st;
}

static int check_on_hold(const struct cli *c, struct err *err)
{
    const char *word = options_text(&c->args, "on-hold", "wait");

    if (strcmp(word, "wait") != 0 && strcmp(word, "exit") != 0)
        return err_set(err, ERR_INVALID, "--on-hold is wait or exit, not \"%s\"", word);
    return 0;
}

static void say_result(const struct cli *c, const struct run_session *s, int exit_code)
{
    struct run_view v = engine_run(s->engine);
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (!c->json)
        return;
    jw_init(&w, &out);
    jw_object(&w, NULL);
    jw_str(&w, "run", s->run);
    jw_str(&w, "state", run_states[v.state].name);
    jw_str(&w, "text", v.state == RUN_HOLDING ? v.hold_reason : v.end_text);
    jw_str(&w, "verb", v.hold_verb);
    jw_int(&w, "exit", exit_code);
    jw_object_end(&w);
    buf_char(&out, '\n');
    cli_print(&out);
}

static int run_new(struct start *st, int *ret_exit, struct err *err)
{
    struct run_live_options o = { 0 };
    struct run_session s = { 0 };
    struct store *store = NULL;
    struct arena a = ARENA_INIT;
    int rc = store_open(st->c->db, STORE_WRITE, &store, err);

    if (rc == 0)
        rc = session_begin(&s, store, cli_operand(st->c, 0), err);
    if (rc == 0)
        rc = check_approval(&s, &o.approval_expires, err);
    if (rc == 0)
        rc = package_files_find(s.store, s.plan, &a, &o.package, err);
    if (rc == 0)
        rc = package_files_check(s.plan, &o.package, err);
    if (rc == 0) {
        fill(st->c, st, &o);
        rc = run_live(&s, &o, ret_exit, err);
    }
    if (rc == 0)
        say_result(st->c, &s, *ret_exit);
    session_close(&s);
    arena_clear(&a);
    return rc;
}

static int start_with(struct cli *c, bool takeover,
                      int (*start)(struct start *st, int *ret_exit, struct err *err), int *ret_exit,
                      struct err *err)
{
    struct start st = { .c = c, .takeover = takeover };
    int rc = check_on_hold(c, err);

    if (rc == 0 && cli_flag(c, "detach"))
        rc = detach_fork(c->db, &st.detach, ret_exit, err);
    if (rc != 0 || (cli_flag(c, "detach") && st.detach == NULL))
        return rc; /* the parent: told how the child began */
    rc = start(&st, ret_exit, err);
    if (st.detach != NULL)
        detach_ended(st.detach, rc, err);
    return rc;
}

static int run_run(struct cli *c, int *ret_exit, struct err *err)
{
    return start_with(c, false, run_new, ret_exit, err);
}

/* --- resume --- */

/* Where a process runs, it is only told to go on. */
static int resume_running(const struct cli *c, struct err *err)
{
    struct buf params = BUF_INIT, answer = BUF_INIT;
    struct json_writer w;
    int rc;

    jw_init(&w, &params);
    jw_object(&w, NULL);
    jw_str(&w, "verb", "resume");
    jw_str(&w, "person", c->person);
    jw_object_end(&w);
    rc = control_ask(c->db, "verb", buf_text(&params), 20 * SECOND_MS, &answer, err);
    if (rc == 0)
        verb_answer_say(c, "resume", &answer);
    buf_clear(&params);
    buf_clear(&answer);
    return rc;
}

static int refuse_ended(const struct run_session *s, struct err *err)
{
    struct run_view v = engine_run(s->engine);

    if ((v.state == RUN_FINISHED || v.state == RUN_ROLLED_BACK || v.state == RUN_HALTED ||
         v.state == RUN_ABORTED) &&
        !v.puts_back)
        return err_set(err, ERR_STATE, "run %s has ended: %s%s%s", s->run, run_states[v.state].name,
                       v.end_text[0] ? ": " : "", v.end_text);
    return 0;
}

static int say_in_flight_text(const struct run_session *s, struct buf *out, struct err *err)
{
    if (s->handover != NULL)
        buf_printf(out,
                   "run %s was decided by engine revision %u; from here on revision %u decides. What is out "
                   "goes to its "
                   "next safe point first\n",
                   s->run, (unsigned)s->handover->log.revision, (unsigned)engine_revision);
    return store_in_flight(s->store, s->run, out, err);
}

/* A line of its own: the result is another. */
static int say_in_flight_json(const struct run_session *s, struct buf *out, struct err *err)
{
    uint32_t before = s->handover != NULL ? s->handover->log.revision : engine_revision;
    struct json_writer w;
    int rc;

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_object(&w, "in_flight");
    jw_str(&w, "run", s->run);
    jw_int(&w, "decided_by_revision", before);
    jw_int(&w, "revision", engine_revision);
    rc = store_in_flight_json(s->store, s->run, &w, err);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_char(out, '\n');
    return rc;
}

/* Before anything moves: what whoever takes over will find. */
static int say_in_flight(const struct cli *c, const struct run_session *s, struct err *err)
{
    struct buf out = BUF_INIT;
    int rc = c->json ? say_in_flight_json(s, &out, err) : say_in_flight_text(s, &out, err);

    if (rc == 0)
        cli_print(&out);
    buf_clear(&out);
    return rc;
}

static int run_again(struct start *st, int *ret_exit, struct err *err)
{
    struct run_live_options o = { .resume = true, .takeover = st->takeover };
    struct run_session s;
    struct arena a = ARENA_INIT;
    int rc = st->takeover ? session_open_takeover(&s, st->c->db, cli_operand(st->c, 0), err)
                          : session_open(&s, st->c->db, cli_operand(st->c, 0), STORE_WRITE, 0, err);

    if (rc == 0 && !st->takeover) /* else it may have gone on elsewhere, by return or rollback */
        rc = refuse_ended(&s, err);
    if (rc == 0 && st->takeover)
        rc = say_in_flight(st->c, &s, err);
    /* Nodes hash what they get: a package that is gone or altered is found when one still needs it. */
    if (rc == 0)
        rc = package_files_find(s.store, s.plan, &a, &o.package, err);
    if (rc == 0) {
        fill(st->c, st, &o);
        rc = run_live(&s, &o, ret_exit, err);
    }
    if (rc == 0)
        say_result(st->c, &s, *ret_exit);
    session_close(&s);
    arena_clear(&a);
    return rc;
}

static int run_resume(struct cli *c, int *ret_exit, struct err *err)
{
    int rc = resume_running(c, err);

    if (rc != ERR_NOT_FOUND)
        return rc;
    return start_with(c, false, run_again, ret_exit, err);
}

/* On a database that lacks what nodes have seen: the one that ran last is lost. */
static int run_takeover(struct cli *c, int *ret_exit, struct err *err)
{
    if (cli_text(c, "ticket") == NULL)
        return err_set(err, ERR_INVALID, "--ticket: a takeover names who answers for it");
    return start_with(c, true, run_again, ret_exit, err);
}

static const struct option takeover_options[] = {
    { "ticket", 0, OPTION_TEXT, "NUMBER", "who answers for it" },
    { "detach", 'd', OPTION_FLAG, NULL, "go on in the background; what it says goes to DB.log" },
    { "on-hold", 0, OPTION_TEXT, "WHAT", "when the run holds: wait for a verb (default), or exit" },
    { "mirror", 0, OPTION_TEXT, "DIR", "keep a copy of the database there, made after each wave and gate" },
    { "user", 0, OPTION_TEXT, "NAME", "the SSH user where the inventory names none" },
    { "verbose", 'v', OPTION_FLAG, NULL, "tell every phase of every node" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_run = {
    NULL,
    "run",
    "[PLAN]",
    0,
    1,
    "run an approved plan (default: the newest)",
    "The package's digest is taken anew. SIGINT, SIGTERM and SIGHUP stop new work and leave a run\n"
    "that `patchwave resume` goes on with. Verbs (pause, abort, promote, ...) come from any terminal.",
    takeover_options + 1, /* no ticket */
    run_run,
};
const struct command_spec cmd_resume = {
    NULL,
    "resume",
    "[RUN]",
    0,
    1,
    "go on with a paused, stopped or dead run (default: the newest)",
    "Where its process still runs, it is told to go on. Else the log is replayed and every step\n"
    "whose outcome is not known is asked for at its node.",
    takeover_options + 1, /* no ticket */
    run_resume,
};

const struct command_spec cmd_takeover = {
    NULL,
    "takeover",
    "[RUN]",
    0,
    1,
    "go on with a run from a backup, or one that another revision of this program decided so far",
    "Like resume, and for a database that lacks what nodes have seen: nodes accept it, their\n"
    "open steps are asked for, and what was done since is found on them. The other controller,\n"
    "should it still live, is fenced off. After an upgrade in mid-run: what is out goes to its next\n"
    "safe point, what came back untouched has its turn again, a rollback waits for `rollback`.",
    takeover_options,
    run_takeover,
};
