/* The agent's mind: events in, effects out. It knows no socket, file, process
 * or clock; the host (agent/io in the real agent, tests/sim in the simulator)
 * brings events and carries effects out. Equal inputs give equal effects.
 *
 * The host's duties:
 *  1. agent_new with the journal's fold, then agent_start once; then agent_step
 *     for every event. Never two calls at once, never from inside another.
 *  2. After each call, carry out the effects from first to last. APPEND must be
 *     durable before the next one is looked at (I18): a reply that leaves before
 *     its record, or a driver that starts before its START, breaks the promise.
 *     A crash between two effects is allowed anywhere; recovery copes.
 *  3. When an APPEND cannot be done, stop there and call agent_abandon with the
 *     list and the index: this effect and those after it did not happen. It
 *     fills another list, to be carried out the same way. A driver that cannot
 *     be started is told by an event (NOT_BEGUN) after the list.
 *  4. Bring AGENT_EV_TIME when agent_deadline's point of the monotonic clock
 *     has come; too early or too often is harmless.
 *  5. ERR_NOMEM from any call means that memory may be behind the journal: end
 *     the process; the next start folds the journal again.
 *
 * Times: `at` is the fleet's wall clock (for records and people), `mono` the
 * node's monotonic clock in fleet milliseconds; only `mono` decides. It never runs backwards within
 * a boot and goes on through restarts of the agent. */
#ifndef PATCHWAVE_AGENT_H
#define PATCHWAVE_AGENT_H

#include "agent/core/driver_proto.h"
#include "agent/core/journal_fold.h"
#include "schema/codec.h"

#define AGENT_PAGE_BYTES (256u << 10)  /* observe and journal.read */
#define AGENT_RESULT_BYTES (64u << 10) /* of one op's result or downtime on the wire */
#define AGENT_TAIL_BYTES 2048          /* of output kept in DONE */
#define AGENT_UNACKED_MAX 512          /* ops; more work is refused until the controller acknowledges */
#define AGENT_OPS_MAX 2048 /* ops in the journal; the oldest acknowledged ones are dropped above */

struct agent_config {
    const char *node;                     /* node id, as op ids name it */
    const char *version;                  /* of the program */
    const char *os;                       /* "linux", "windows" */
    const char *journal_id;               /* 32 hex digits */
    const struct driver_manifest *driver; /* outlives the agent */
    const char *fetch_dir;                /* fetch_package puts a package into the folder fetch_dir/SHA256 */
    uint32_t move_slots;                  /* move_vm ops at once */
    int64_t clock_factor;
    time_ms clock_anchor_ms;
    dur_ms run_floor_ms; /* lab: a driver is given at least this long; else 0 */
    bool lab;
};

enum agent_event_type {
    AGENT_EV_OPEN,        /* a connection; `text` is its session, 32 random hex digits */
    AGENT_EV_CLOSE,       /* it is gone */
    AGENT_EV_REQUEST,     /* a request came on it; `msg` stays the host's */
    AGENT_EV_DRIVER_DONE, /* the driver of DRIVER_START has ended, or was never begun */
    AGENT_EV_PROGRESS,    /* it wrote a progress line: percent, text */
    AGENT_EV_ANSWER,      /* PACKAGE_* and SNTP: ok with text, or err */
    AGENT_EV_TIME         /* a deadline may have come */
};

enum agent_driver_end {
    AGENT_DRIVER_EXITED,    /* exit code 0; `text` is the whole standard output */
    AGENT_DRIVER_BAD_EXIT,  /* another exit code, a signal, or output over the bound */
    AGENT_DRIVER_NOT_BEGUN, /* certainly never ran */
    AGENT_DRIVER_KILLED,    /* by DRIVER_KILL; its whole process group is gone */
    AGENT_DRIVER_LOST       /* it outlived the agent and has ended now; its exit code is not known */
};

struct agent_event {
    enum agent_event_type type;
    time_ms at;
    dur_ms mono;
    uint32_t conn;                 /* OPEN, CLOSE, REQUEST: the host's number, > 0, never used again */
    const struct rpc_message *msg; /* REQUEST */
    uint32_t run;                  /* DRIVER_DONE, PROGRESS, ANSWER: the effect's number */
    enum agent_driver_end end;
    const char *text; /* NUL-terminated; of a driver it may hold further NULs within len */
    size_t len;
    int32_t percent;         /* PROGRESS, 0..100 */
    int64_t output_bytes;    /* DRIVER_DONE: of standard error, all of it */
    const char *output_tail; /* DRIVER_DONE: its last lines, any bytes; may be NULL */
    const struct err *err;   /* ANSWER: NULL when it went well */
};

enum agent_effect_type {
    AGENT_DO_APPEND,       /* make `record` durable in the journal */
    AGENT_DO_FORGET,       /* drop the records and output of acknowledged `op`; may be lost */
    AGENT_DO_SEND,         /* `text` (a whole line) to `conn`; may be lost with the connection */
    AGENT_DO_DRIVER_START, /* start `action`; `text` is its standard input -> DRIVER_DONE */
    AGENT_DO_DRIVER_KILL, /* end `run` with its process group -> DRIVER_DONE (KILLED, or as it ended before) */
    AGENT_DO_PACKAGE_OPEN, /* private copy of `name`/`sha256` in the folder of package `with`, hashed again -> ANSWER: path */
    AGENT_DO_PACKAGE_PLACE, /* make the folder fetch_dir/sha256 with room for `size_bytes` (O32) -> ANSWER: any text */
    AGENT_DO_PACKAGE_ADOPT, /* take what fetch_package brought into the store, hashed -> ANSWER: path */
    AGENT_DO_PACKAGE_CHECK, /* is `name`/`sha256` in the store, hashed? Nothing is changed -> ANSWER: path */
    AGENT_DO_SNTP,          /* ask the servers in `text` (args of time_sync); `offset_ms` is the lab
                             * world's clock error, to be added to the node's own readings -> ANSWER: JSON */
    AGENT_DO_OUTPUT,        /* answer op.output of `op` to conn/request from offset, at most max bytes */
    AGENT_DO_JOURNAL        /* answer journal.read to conn/request from record `offset`, at most max */
};

struct agent_effect {
    enum agent_effect_type type;
    uint32_t conn;
    int64_t request;  /* SEND with `reply`, OUTPUT, JOURNAL */
    bool reply;       /* SEND: the answer to `request` */
    const char *text; /* NUL-terminated */
    size_t len;
    uint32_t run;
    const char *op;     /* "" for read-only drivers */
    const char *action; /* DRIVER_START */
    bool effect;        /* DRIVER_START in mode run of an effect: keep its output and its process id */
    bool leave;         /* DRIVER_START: it must be able to outlive the agent */
    const char *sha256, *name, *with; /* with: the digest of the package that it is installed with (O9) */
    int64_t offset, max, offset_ms, size_bytes;
    struct agent_record record; /* APPEND */
};

/* Strings live in the arena. */
struct agent_effects {
    struct arena arena;
    struct agent_effect *items;
    uint32_t n, cap;
};
#define AGENT_EFFECTS_INIT \
    {                      \
        0                  \
    }
void agent_effects_reset(struct agent_effects *e); /* empty; keeps the list's memory */
void agent_effects_clear(struct agent_effects *e);

struct agent;
/* Takes the fold over (`fold` is empty afterwards, also on failure). ERR_NOMEM. */
int agent_new(const struct agent_config *config, struct journal_fold *fold, struct agent **ret_agent,
              struct err *err);
void agent_free(struct agent *a);

/* After agent_new, once. `alive` names the ops whose `leave` driver outlived
 * the last agent (same process id and start time): DRIVER_DONE (LOST) is due
 * for `runs[i]`, which this call fills. */
int agent_start(struct agent *a, time_ms at, dur_ms mono, const char *const *alive, uint32_t n_alive,
                uint32_t *runs, struct agent_effects *out, struct err *err);
/* `out` is emptied first. ERR_NOMEM only. */
int agent_step(struct agent *a, const struct agent_event *ev, struct agent_effects *out, struct err *err);
/* done->items[i], an APPEND, failed with `why`; it and all after it did not happen. */
int agent_abandon(struct agent *a, const struct agent_effects *done, uint32_t i, const struct err *why,
                  time_ms at, dur_ms mono, struct agent_effects *out, struct err *err);
/* The point of the monotonic clock at which AGENT_EV_TIME is due; TIME_NEVER. */
dur_ms agent_deadline(const struct agent *a);

/* For tests and for the host's own display. */
const struct journal_fold *agent_fold(const struct agent *a);

#endif
