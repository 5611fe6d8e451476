/* The operator's verbs. They go to the running process; without one they are
 * recorded here, and `resume` carries them out. */
#include "orchestrator/io/control_socket.h"
#include "orchestrator/run_session.h"
#include "orchestrator/verb_answer.h"
#include "orchestrator/verb_event.h"

#include <assert.h>
#include <string.h>

#define ANSWER_LIMIT_MS ((dur_ms)20000)

struct verb_ask {
    const char *verb; /* as in verb_names */
    const char *node, *op, *decision;
};

static void write_params(const struct cli *c, const struct verb_ask *a, struct buf *out)
{
    const struct {
        const char *key, *value;
    } texts[] = { { "run", cli_text(c, "run") },
                  { "node", a->node },
                  { "op", a->op },
                  { "decision", a->decision },
                  { "ticket", cli_text(c, "ticket") },
                  { "reason", cli_text(c, "reason") },
                  { "person", c->person } };
    struct json_writer w;

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_str(&w, "verb", a->verb);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].value != NULL)
            jw_str(&w, texts[i].key, texts[i].value);
    if (cli_flag(c, "accept-unknown"))
        jw_bool(&w, "accept_unknown", true);
    jw_object_end(&w);
}

static void write_answer(struct buf *out, const struct run_session *s, uint64_t seq)
{
    struct run_view v = engine_run(s->engine);
    struct json_writer w;

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_int(&w, "seq", (int64_t)seq);
    jw_str(&w, "run", s->run);
    jw_str(&w, "state", run_states[v.state].name);
    jw_bool(&w, "running", false);
    jw_bool(&w, "ended", v.ended != 0 && !v.puts_back); /* else `resume` has something to do */
    jw_object_end(&w);
}

static int record_here(const struct cli *c, const char *params, struct buf *answer, struct err *err)
{
    struct run_session s;
    struct json_doc *doc = NULL;
    struct event ev;
    uint64_t seq = 0;
    int rc = session_open(&s, c->db, cli_text(c, "run"), STORE_WRITE, 0, err);

    if (rc != 0)
        return rc;
    rc = json_parse("verb", params, strlen(params), &doc, err);
    if (rc == 0)
        rc = verb_event_read(json_root(doc), c->person, s.plan->inv, &ev, err);
    if (rc == 0)
        rc = session_feed_offline(&s, &ev, &seq, err);
    if (rc == 0)
        write_answer(answer, &s, seq);
    json_free(doc);
    session_close(&s);
    return rc;
}

static int tell(const struct cli *c, const struct verb_ask *a, struct err *err)
{
    struct buf params = BUF_INIT, answer = BUF_INIT;
    int rc;

    write_params(c, a, &params);
    rc = control_ask(c->db, "verb", buf_text(&params), ANSWER_LIMIT_MS, &answer, err);
    if (rc == ERR_NOT_FOUND)
        rc = record_here(c, buf_text(&params), &answer, err);
    if (rc == 0)
        verb_answer_say(c, c->args.command->name, &answer);
    buf_clear(&params);
    buf_clear(&answer);
    if (rc == 0 || strncmp(err->text, c->args.command->name, strlen(c->args.command->name)) == 0)
        return rc; /* the engine's refusals name the verb */
    return err_wrap(err, "%s", c->args.command->name);
}

static int run_plain(struct cli *c, int *ret_exit, struct err *err)
{
    struct verb_ask a = { .verb = c->args.command->name, .node = cli_operand(c, 0) };

    (void)ret_exit;
    if (cli_flag(c, "force"))
        a.verb = "abort-force";
    return tell(c, &a, err);
}

static int run_promote(struct cli *c, int *ret_exit, struct err *err)
{
    struct verb_ask a = { .verb = "promote" };

    (void)ret_exit;
    if (cli_flag(c, "accept-unknown") && cli_text(c, "ticket") == NULL)
        return err_set(err, ERR_INVALID, "--accept-unknown needs --ticket: somebody answers for it");
    return tell(c, &a, err);
}

static int run_decide(struct cli *c, int *ret_exit, struct err *err)
{
    struct verb_ask a = {
        .verb = "decide", .node = cli_operand(c, 0), .op = cli_text(c, "op"), .decision = cli_operand(c, 1)
    };

    (void)ret_exit;
    assert(a.decision != NULL); /* the command takes exactly two operands */
    if (strcmp(a.decision, "not-done") == 0)
        a.decision = "not_done";
    return tell(c, &a, err);
}

#define RUN_OPTION                                                        \
    {                                                                     \
        "run", 0, OPTION_TEXT, "RUN", "of this run (default: the newest)" \
    }
#define TICKET_OPTION                                                  \
    {                                                                  \
        "ticket", 0, OPTION_TEXT, "NUMBER", "the ticket it belongs to" \
    }
#define REASON_OPTION                                           \
    {                                                           \
        "reason", 0, OPTION_TEXT, "TEXT", "why, for the record" \
    }
#define NO_MORE_OPTIONS                  \
    {                                    \
        NULL, 0, OPTION_FLAG, NULL, NULL \
    }

static const struct option verb_options[] = { RUN_OPTION, TICKET_OPTION, REASON_OPTION, NO_MORE_OPTIONS };
static const struct option abort_options[] = {
    { "force", 0, OPTION_FLAG, NULL,
      "do not wait for safe points: nodes that are out stay out, and are named" },
    RUN_OPTION,
    TICKET_OPTION,
    REASON_OPTION,
    NO_MORE_OPTIONS,
};
static const struct option promote_options[] = {
    { "accept-unknown", 0, OPTION_FLAG, NULL, "go on although the gate could not tell (needs --ticket)" },
    RUN_OPTION,
    TICKET_OPTION,
    REASON_OPTION,
    NO_MORE_OPTIONS,
};
static const struct option decide_options[] = {
    { "op", 0, OPTION_TEXT, "ID", "the op, where several are open" },
    RUN_OPTION,
    TICKET_OPTION,
    REASON_OPTION,
    NO_MORE_OPTIONS,
};

const struct command_spec cmd_pause = {
    NULL, "pause",      "",        0, 0, "start no further node; those that are out finish",
    NULL, verb_options, run_plain,
};
const struct command_spec cmd_abort = {
    NULL,
    "abort",
    "",
    0,
    0,
    "bring every node to its safe point and end the run",
    "An install or removal that has not begun is not begun and its node returns; one that has begun\n"
    "goes through reboot, verify and return. Nothing is rolled back.",
    abort_options,
    run_plain,
};
const struct command_spec cmd_retry = {
    NULL, "retry", "NODE", 1, 1, "try a failed node again", NULL, verb_options, run_plain,
};
const struct command_spec cmd_set_aside = {
    NULL, "set-aside", "NODE", 1, 1, "take a node out of the run", NULL, verb_options, run_plain,
};
const struct command_spec cmd_promote = {
    NULL,        "promote",
    "",          0,
    0,           "open a manual gate, or one that could not tell (never one that failed)",
    NULL,        promote_options,
    run_promote,
};
const struct command_spec cmd_rollback = {
    NULL,      "rollback",
    "",        0,
    0,         "remove the patch again, as the plan's way back allows; also after the run's end",
    NULL,      verb_options,
    run_plain,
};
const struct command_spec cmd_return = {
    NULL, "return", "NODE", 1, 1, "bring a node that is out back into service", NULL, verb_options, run_plain,
};
const struct command_spec cmd_decide = {
    NULL, "decide",       "NODE done|not-done", 2, 2, "answer for a step whose outcome nothing else can tell",
    NULL, decide_options, run_decide,
};
