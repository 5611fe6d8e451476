/* What the files of agent/core share; not for hosts. */
#ifndef PATCHWAVE_AGENT_STATE_H
#define PATCHWAVE_AGENT_STATE_H

#include "agent/core/agent.h"
#include "schema/list.h"

#define AGENT_READS_AT_ONCE 8         /* read-only drivers running; more wait */
#define AGENT_RUNS_MAX 64             /* drivers running or waiting */
#define AGENT_IDENTITY_RETRY_MS 1000  /* fleet */
#define AGENT_APPEND_RETRY_MS 5000    /* fleet */
#define AGENT_WITNESS_LIMIT_MS 120000 /* fleet: a witness reads, it does not wait */
#define AGENT_RESERVE_MS (15 * MINUTE_MS)

struct agent_conn {
    uint32_t id;
    char session[AGENT_HEX_ID];
    bool greeted;
    char controller[AGENT_HEX_ID]; /* as `hello` named it */
    int64_t epoch;                 /* of its accepted claim; 0: none */
    uint32_t claim_order;          /* the last one to claim hears notifications */
    uint32_t opened;               /* the order of connections */
    int64_t start_request;         /* the highest id under which an op.start came */
    bool hello_waits;              /* for the node's identity */
    int64_t hello_request;
    struct json_doc *page; /* an answer that is being read page by page */
    const json *page_data;
    const char *page_member; /* whose items are cut into pages */
    uint32_t page_no;
    time_ms page_at;
    char page_what[AGENT_ACTION_MAX];
};

/* Something that was asked of the host and will be answered. */
enum agent_run_kind {
    AGENT_RUN_IDENTITY,   /* facts, for machine and boot id */
    AGENT_RUN_FACTS,      /* facts, for a request */
    AGENT_RUN_OBSERVE,    /* any read-only action, for a request */
    AGENT_RUN_TIME_FACTS, /* facts before SNTP: the lab's clock error */
    AGENT_RUN_SNTP,
    AGENT_RUN_ROOM_FACTS, /* move.accept: the node's memory ... */
    AGENT_RUN_ROOM_VMS,   /* ... and who uses it */
    AGENT_RUN_PACKAGE,    /* an op's package */
    AGENT_RUN_CHECK_FACTS,
    AGENT_RUN_CHECK_EMPTY,
    AGENT_RUN_ACTION,
    AGENT_RUN_ADOPT,       /* what fetch_package brought */
    AGENT_RUN_DOUBT,       /* the agent's own witness after a kill */
    AGENT_RUN_WITNESS,     /* op.witness */
    AGENT_RUN_FETCH_HELD,  /* package.fetch: has it been here all along? */
    AGENT_RUN_FETCH_PLACE, /* room in the store, the driver, the digest */
    AGENT_RUN_FETCH,
    AGENT_RUN_FETCH_ADOPT,
    AGENT_RUN_HELD, /* package.held */
    AGENT_RUN_KINDS
};

struct agent_run {
    uint32_t no;
    enum agent_run_kind kind;
    enum driver_mode mode;
    bool queued, killed;
    dur_ms limit, deadline;
    time_ms asked_at;
    const char *action; /* static, or the manifest's */
    char *text;         /* while queued: the driver's standard input */
    uint32_t conn;      /* who asked; 0: nobody */
    int64_t request;
    char op[ID_TEXT_MAX];
    char what[AGENT_ACTION_MAX];
    char *args; /* time_sync's args while facts are read, package.fetch's; vms' cursor is not kept */
    char vm[64];
    int64_t need_mib, free_mib;
    uint32_t starts; /* of the op, when its witness was asked */
};

/* An op that this process is busy with. */
enum agent_live_phase {
    AGENT_LIVE_CHECKING,    /* package, preconditions, guard */
    AGENT_LIVE_ACTING,      /* its driver runs */
    AGENT_LIVE_BOOTING,     /* the driver answered; the boot id decides */
    AGENT_LIVE_DOUBTING,    /* killed; its witness is asked */
    AGENT_LIVE_RETRY_START, /* START could not be written */
    AGENT_LIVE_RETRY_DONE   /* DONE could not be written */
};

struct agent_live {
    struct agent_op *op;
    enum agent_live_phase phase;
    uint32_t step;     /* of the checks */
    uint32_t packages; /* how many were opened: the target, then its checkpoint packages */
    uint32_t run;      /* 0: none */
    dur_ms deadline, retry_at;
    char *done; /* the body of DONE that could not be written */
    char *path; /* of the package */
    struct buf found;
};

/* Memory promised to a VM that has not arrived yet. */
struct agent_reserve {
    char vm[64];
    int64_t mib;
    dur_ms until;
};

struct agent {
    struct agent_config cfg;
    struct journal_fold fold;
    bool identified, foreign; /* foreign: the journal is another machine's (F23) */
    char machine_id[AGENT_NAME_MAX], boot_id[AGENT_NAME_MAX];
    dur_ms identity_at; /* when to ask again; TIME_NEVER while asking or known */
    struct agent_conn **conns;
    uint32_t n_conns, cap_conns;
    struct agent_run **runs;
    uint32_t n_runs, cap_runs;
    struct agent_live **lives;
    uint32_t n_lives, cap_lives;
    struct agent_reserve *reserves;
    uint32_t n_reserves, cap_reserves;
    uint32_t next_run, next_page, next_claim, next_open;
    /* Of the claims in this process: who made the last one, and on which connection (agent_conn_is_old). */
    char last_controller[AGENT_HEX_ID];
    uint32_t last_opened;
    /* of the call that is going on */
    time_ms at;
    dur_ms mono;
    struct agent_effects *out;
    struct buf error_data; /* members for the data of an error answer, as an object; may be empty */
    bool no_memory;
};

/* agent_effect.c: each appends one effect and notes lack of memory. */
struct agent_effect *agent_emit(struct agent *a, enum agent_effect_type type);
const char *agent_emit_copy(struct agent *a, const char *text);
/* Takes the text of `body` (and clears it): APPEND, and the fold applies it. */
void agent_append(struct agent *a, enum agent_record_kind kind, const char *op, struct buf *body);
void agent_reply(struct agent *a, uint32_t conn, int64_t request, struct buf *result);
void agent_reply_error(struct agent *a, uint32_t conn, int64_t request, const struct err *e,
                       const char *data);
/* A notification to `conn`, if it is not 0; empties `params`. */
void agent_tell(struct agent *a, uint32_t conn, const char *method, struct buf *params);
/* To the connection that holds the claim, if there is one. */
void agent_notify(struct agent *a, const char *method, struct buf *params);
char *agent_text_copy(struct agent *a, const char *text);

/* agent_run.c */
struct agent_run *agent_run_new(struct agent *a, enum agent_run_kind kind, const char *action);
/* Emit DRIVER_START, or queue it behind other reads. `args` may be NULL. */
void agent_run_start(struct agent *a, struct agent_run *run, const struct driver_request *rq);
struct agent_run *agent_run_find(const struct agent *a, uint32_t no);
void agent_run_take(struct agent *a, const struct agent_run *run); /* off the list */
void agent_run_free(struct agent_run *run);
void agent_run_drop(struct agent *a, struct agent_run *run); /* both */
void agent_run_kill(struct agent *a, struct agent_run *run);
bool agent_run_room(const struct agent *a);
void agent_runs_next(struct agent *a); /* start what waits, where there is room */
/* Read-only run of `action` for a request. `args`: an object as text, in ASCII. */
struct agent_run *agent_read_start(struct agent *a, enum agent_run_kind kind, const char *action,
                                   const char *args, uint32_t conn, int64_t request);

/* agent_identity.c */
void agent_identity_ask(struct agent *a);
void agent_on_identity(struct agent *a, struct agent_run *run, const struct driver_answer *answer);
/* Take machine and boot id from `facts`; the boot decides reboots (C.4). */
int agent_identity_learn(struct agent *a, const json *facts, struct err *err);

/* agent_conn.c */
struct agent_conn *agent_conn_find(const struct agent *a, uint32_t id);
/* Does it hold the claim? */
bool agent_conn_holds(const struct agent *a, const struct agent_conn *c);
/* Its controller has claimed on a later one since: what still comes here was given up there, and was decided about (C.5). */
bool agent_conn_is_old(const struct agent *a, const struct agent_conn *c);
uint32_t agent_conn_holder(const struct agent *a); /* 0: nobody */
void agent_conn_open(struct agent *a, const struct agent_event *ev);
void agent_conn_close(struct agent *a, uint32_t id);
void agent_hello_reply(struct agent *a, struct agent_conn *c, int64_t request);
void agent_hellos_settle(struct agent *a, const struct err *why); /* why NULL: answer; else refuse */

/* methods.c */
struct agent_request {
    struct agent_conn *conn;
    int64_t id;
    const struct json_doc *doc;
    const json *params;
};
void agent_on_request(struct agent *a, const struct agent_event *ev);
int agent_want_log(const struct agent_request *rq, struct agent_log_position *log, struct err *err);

/* record_json.c: the record of docs/wire.md; `op` NULL: state none. Large
 * results are left out above `room` bytes. */
void agent_record_write(struct json_writer *w, const char *key, const char *id, const struct agent_op *op);
void agent_reply_record(struct agent *a, uint32_t conn, int64_t request, const char *id);

/* op_life.c: from ACCEPT to DONE */
struct agent_live *agent_live_find(const struct agent *a, const struct agent_op *op); /* NULL for NULL */
/* Whose run it is, while that is waited for; NULL: it comes too late. */
struct agent_live *agent_live_of(const struct agent *a, const struct agent_run *run);
/* Something of ours is busy with it: what is done for it, or a driver that was left. */
bool agent_op_at_work(const struct agent *a, const struct agent_op *op);
struct agent_live *agent_live_new(struct agent *a, struct agent_op *op, enum agent_live_phase phase);
void agent_live_drop(struct agent *a, struct agent_live *l);
void agent_live_arm(struct agent *a, struct agent_op *op);      /* after ACCEPT */
void agent_live_on_time(struct agent *a, struct agent_live *l); /* agent_live_due() has come */
dur_ms agent_live_due(const struct agent_live *l);
void agent_live_act(struct agent *a, struct agent_live *l); /* all checks held: START */

/* op_end.c: how an op ends */
struct agent_ending {
    enum agent_outcome outcome;
    const json *error;          /* the driver's, or ... */
    const char *code, *message; /* ... the agent's own; NULL: no error */
    const json *result, *downtime;
    int64_t output_bytes;
    const char *output_tail;
};
void agent_op_end(struct agent *a, struct agent_op *op, const struct agent_ending *end);
void agent_op_finish(struct agent *a, struct agent_op *op, struct buf *done_body); /* takes the body's text */
void agent_op_doubt(struct agent *a, struct agent_op *op); /* nothing of ours runs it and nothing proves it */
void agent_op_refuse(struct agent *a, struct agent_op *op, const char *code, const char *message);
void agent_op_cancel(struct agent *a, struct agent_op *op, const char *code, const char *message);

/* fetch_package learns from the agent where to put the package, also as a
 * witness; `text` holds the path for as long as `rq` is used. */
void agent_fetch_target(struct agent *a, const struct agent_op *op, struct driver_request *rq,
                        struct buf *text);
/* The run of the op's own driver, also of one whose time is over. */
struct agent_run *agent_action_run(const struct agent *a, const char *op);

/* op_checks.c: what has to hold before START */
/* Begin the next check, or START when none is left. */
void agent_checks_next(struct agent *a, struct agent_live *l);

bool agent_is_digest(const char *s); /* 64 hex digits */

/* method_fetch.c: how far the package has come, to whom asked for it */
void agent_fetch_progress(struct agent *a, const struct agent_run *run, int32_t percent);

/* method_read.c: a driver's refusal as an error of the wire, its code in the data */
void agent_reply_driver_error(struct agent *a, const struct agent_run *run,
                              const struct driver_answer *answer);

/* method_move.c: the VM has come, or is asked for again: no memory is held for it any more. */
void agent_promise_kept(struct agent *a, const char *vm);
/* method_op.c, method_read.c, method_move.c, method_fetch.c: handlers; 0, or the error to answer */
#define AGENT_HANDLER(name) int name(struct agent *a, const struct agent_request *rq, struct err *err)
AGENT_HANDLER(agent_do_ping);
AGENT_HANDLER(agent_do_hello);
AGENT_HANDLER(agent_do_claim);
AGENT_HANDLER(agent_do_facts);
AGENT_HANDLER(agent_do_observe);
AGENT_HANDLER(agent_do_move_accept);
AGENT_HANDLER(agent_do_op_start);
AGENT_HANDLER(agent_do_op_status);
AGENT_HANDLER(agent_do_op_witness);
AGENT_HANDLER(agent_do_op_cancel);
AGENT_HANDLER(agent_do_op_ack);
AGENT_HANDLER(agent_do_op_output);
AGENT_HANDLER(agent_do_journal_read);
AGENT_HANDLER(agent_do_package_fetch);
AGENT_HANDLER(agent_do_package_held);
#define AGENT_ON_RUN(name)                                                          \
    void name(struct agent *a, struct agent_run *run, const struct agent_event *ev, \
              struct driver_answer *answer)
AGENT_ON_RUN(agent_on_check);
AGENT_ON_RUN(agent_on_package);
AGENT_ON_RUN(agent_on_action);
AGENT_ON_RUN(agent_on_adopt);
AGENT_ON_RUN(agent_on_doubt);
AGENT_ON_RUN(agent_on_witness);
AGENT_ON_RUN(agent_on_read);
AGENT_ON_RUN(agent_on_time_facts);
AGENT_ON_RUN(agent_on_sntp);
AGENT_ON_RUN(agent_on_room_facts);
AGENT_ON_RUN(agent_on_room_vms);
AGENT_ON_RUN(agent_on_fetch_held);
AGENT_ON_RUN(agent_on_held);
AGENT_ON_RUN(agent_on_fetch_place);
AGENT_ON_RUN(agent_on_fetch);
AGENT_ON_RUN(agent_on_fetch_adopt);

#endif
