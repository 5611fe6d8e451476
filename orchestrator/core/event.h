/* Something that happened outside the engine. `at` (fleet time) is the only
 * clock the engine has. Events are written to the log as JSON and read back
 * equal (event_write, event_read; schema/event.schema.json). Pointers live in
 * the arena of whoever made the event and need to live until engine_step
 * returns. */
#ifndef PATCHWAVE_EVENT_H
#define PATCHWAVE_EVENT_H

#include "orchestrator/core/event_pictures.h"
#include "orchestrator/core/inventory.h"
#include "schema/ids.h"

#define EVENT_MAP(X)                                                                                  \
    X(RUN_START, "run_start")               /* first event of a run */                                \
    X(CONTROLLER_START, "controller_start") /* each later start: resume, takeover */                  \
    X(HANDOVER, "handover")                 /* a start by another engine revision: takeover only */   \
    X(CONTROLLER_STOP, "controller_stop")   /* SIGINT and the like: stop new work, leave resumable */ \
    X(NODE_CLAIMED, "node_claimed")         /* hello and claim went through; carries open ops */      \
    X(NODE_REFUSED, "node_refused")         /* fenced, wrong identity, host key, version ... */       \
    X(NODE_LOST, "node_lost")               /* the connection is gone */                              \
    X(OBSERVED, "observed")                 /* the answer to an OBSERVE */                            \
    X(OP_RESULT, "op_result")               /* a record from a node, a witness, a refusal */          \
    X(STAGED, "staged")                     /* the package is (not) on the node */                    \
    X(VERB, "verb")                         /* an operator said something */                          \
    X(TIMEOUT, "timeout")                   /* engine_deadline() has come */

enum event_type {
#define X(name, text) EV_##name,
    EVENT_MAP(X)
#undef X
        EVENT_TYPES
};

enum observe_what {
    OBSERVE_FACTS,
    OBSERVE_CLUSTER,
    OBSERVE_VERIFY,
    OBSERVE_EMPTY,
    OBSERVE_REMOVABILITY,
    OBSERVE_STORAGE,
    OBSERVE_TIME,
    OBSERVE_BACKUP,
    OBSERVE_HEARTBEAT,
    OBSERVE_WHATS
};

enum op_state { OP_NONE, OP_ACCEPTED, OP_RUNNING, OP_DONE, OP_UNKNOWN };
enum op_outcome { OUTCOME_NONE, OUTCOME_OK, OUTCOME_FAILED, OUTCOME_REFUSED, OUTCOME_CANCELLED };
enum op_witness {
    WITNESS_NOT_ASKED,
    WITNESS_SAYS_DONE,
    WITNESS_SAYS_NOT_DONE,
    WITNESS_SAYS_RUNNING,
    WITNESS_CANNOT_TELL
};
enum down_subject { DOWN_VM, DOWN_NODE, DOWN_VMMS };
enum down_cause {
    CAUSE_BLACKOUT,
    CAUSE_QUICK,
    CAUSE_SAVED,
    CAUSE_SHUT_DOWN,
    CAUSE_TURNED_OFF,
    CAUSE_VMMS_STOPPED,
    CAUSE_NODE_OUT,
    CAUSE_CRASH
};

struct down_row {
    enum down_subject subject;
    const char *id; /* VM GUID or node id */
    enum down_cause cause;
    time_ms start, end; /* end TIME_NEVER: still down */
    const char *how;
};

/* What the engine needs of a record (docs/wire.md). */
struct op_record {
    const char *op, *action;
    enum op_state state;
    enum op_outcome outcome;
    enum op_witness witness;
    const char *error_code, *error_text, *error_native, *error_hint; /* NULL without an error */
    time_ms accepted, started, ended;                                /* 0: not yet */
    const char *boot_id;
    const struct down_row *rows;
    uint32_t n_rows;
    /* of result, where the action has them */
    bool already, reboot_required;
    int64_t exit_code, blackout_ms;
    const char *text; /* result as JSON text, kept for the report; may be NULL */
    const char *output_tail;
};

enum verb {
    VERB_PAUSE,
    VERB_RESUME,
    VERB_ABORT,
    VERB_ABORT_FORCE,
    VERB_RETRY,
    VERB_SET_ASIDE,
    VERB_PROMOTE,
    VERB_ROLLBACK,
    VERB_RETURN,
    VERB_DECIDE,
    VERBS
};

struct handover; /* handover.h: what the run was like */

struct event {
    time_ms at;
    enum event_type type;
    uint32_t node;    /* index, IX_NONE where none is meant */
    uint32_t cluster; /* OBSERVED of a cluster */
    union {
        struct {
            const char *run, *plan_hash, *person, *controller;
            uint32_t revision;
            uint64_t epoch;
            time_ms approval_expires; /* O34; TIME_NEVER: it does not */
        } run_start;
        struct {
            const char *controller, *person;
            const char *ticket; /* of a takeover; NULL: none */
            uint32_t revision;
            uint64_t epoch;
            bool takeover;
        } controller_start;
        struct {
            const char *run, *plan_hash, *controller, *person;
            const char *ticket; /* NULL: none */
            uint32_t revision;
            uint64_t epoch;
            const struct handover *state;
        } handover;
        struct {
            const char *reason;
        } controller_stop;
        struct {
            const char *machine_id, *boot_id, *agent;
            const struct op_record *ops;
            uint32_t n_ops;
            bool blank; /* no claim stood in its journal: it is new, or was lost */
        } claimed;
        struct {
            enum err_code code;
            const char *text;
        } refused; /* also of NODE_LOST */
        struct {
            uint64_t ask;
            enum observe_what what;
            bool ok; /* false: `text` says why; the facts are absent */
            const char *text;
            time_ms taken; /* when the node took them */
            struct node_facts facts;
            struct cluster_view view;
            struct storage_view storage;
            const struct vms_seen *vms;
            const uint32_t *vms_nodes;
            uint32_t n_vms_nodes; /* per node that answered */
            struct verify_facts verify;
            struct empty_facts empty;
            struct removability_facts removability;
            struct time_facts time;
            struct backup_facts backup;
            struct heartbeat_facts heartbeat;
        } observed;
        struct {
            struct op_record record;
        } op_result;
        struct {
            bool ok;
            const char *text;
            dur_ms took;
        } staged;
        struct {
            enum verb verb;
            const char *person, *ticket, *reason, *op;
            bool accept_unknown;
            enum op_witness decision;
        } verb;
    } u;
};

/* A cluster's picture is written as what changed since the last one kept in
 * `pictures`, and read back whole; both move the keeper on. NULL: written
 * whole; only whole ones can be read. What was read lives in `a`, and the
 * picture until the keeper's next one of that cluster. ERR_INVALID with the
 * place, ERR_NOMEM; *ret_ev and the keeper are then unchanged. */
void event_write(struct buf *out, const struct event *ev, const struct inventory *inv,
                 struct event_pictures *pictures);
int event_read(const char *text, size_t len, const struct inventory *inv, struct event_pictures *pictures,
               struct arena *a, struct event *ret_ev, struct err *err);
bool event_has_picture(const struct event *ev); /* of a cluster of the inventory */
const char *event_type_name(enum event_type t);
const char *observe_name(enum observe_what w);
const char *op_state_name(enum op_state s);
const char *op_outcome_name(enum op_outcome o);
const char *down_subject_name(enum down_subject s);
const char *down_cause_name(enum down_cause c);
const char *verb_name(enum verb v); /* "pause", "set-aside", ... as the CLI has them */
int verb_by_name(const char *name); /* or -1 */

#endif
