/* Something to do now, told to the backend after it is in the log. `op` names
 * it in the log, on the wire and in the node's journal. Every command leads to
 * at least one event sooner or later, or to the loss of its node; the engine
 * keeps the deadline. Strings live in the command_list's arena.
 *
 * CLAIM: the backend keeps trying to connect, with its own backoff and jitter,
 * until it is through, refused, or `limit_ms` is over: only then NODE_LOST. The
 * engine then sends CLAIM anew, so one is always under way while a node is not
 * claimed. NODE_CLAIMED tells the ops that nobody has acknowledged; with
 * `journal`, after a takeover, the others too.
 *
 * OBSERVE of OBSERVE_CLUSTER: `node` gives the view and the storage, every
 * claimed node of `cluster` its VMs (one that does not answer is left out of
 * vms_nodes). */
#ifndef PATCHWAVE_COMMAND_H
#define PATCHWAVE_COMMAND_H

#include "orchestrator/core/event.h"
#include "schema/arena.h"
#include "schema/list.h"

#define COMMAND_MAP(X)                                                                                      \
    X(CLAIM, "claim")     /* connect if need be, hello, claim -> NODE_CLAIMED / NODE_REFUSED / NODE_LOST */ \
    X(OBSERVE, "observe") /* -> OBSERVED with the same `ask` */                                             \
    X(STAGE, "stage")     /* package onto the node -> STAGED */                                             \
    X(OP_START, "op_start") /* -> OP_RESULT, or NODE_LOST */                                                \
    X(OP_PROBE, "op_probe") /* op.status, and op.witness if unknown -> OP_RESULT */                         \
    X(OP_CANCEL, "op_cancel")                                                                               \
    X(OP_ACK, "op_ack") /* no event */                                                                      \
    X(NOTE, "note")     /* no event: a decision, deviation or warning for people, in the log */             \
    X(END, "end")       /* no event: the run has come to rest; the runner may stop */

enum command_type {
#define X(name, text) CMD_##name,
    COMMAND_MAP(X)
#undef X
        COMMAND_TYPES
};

enum note_kind { NOTE_DECISION, NOTE_DEVIATION, NOTE_WARNING, NOTE_GATE };

struct command {
    enum command_type type;
    uint32_t node, cluster;   /* IX_NONE where none */
    uint64_t ask;             /* OBSERVE */
    enum observe_what what;   /* OBSERVE */
    const char *op;           /* OP_* */
    const char *action;       /* OP_START */
    const char *args;         /* OP_START, OBSERVE: JSON text of an object, canonical */
    const char *precondition; /* OP_START: JSON text or NULL */
    uint32_t receiver;        /* OP_START of move_vm: whose agent must accept first; else IX_NONE */
    uint64_t memory_mib;      /* same */
    dur_ms limit_ms;          /* CLAIM, OP_START, STAGE, OBSERVE */
    time_ms decided;          /* when; no part of the text */
    bool journal;             /* CLAIM: NODE_CLAIMED tells every op of this run that the node's journal has */
    enum note_kind note;
    const char *rule, *text; /* NOTE */
};

struct command_list {
    struct arena arena;
    struct command *items;
    uint32_t n, cap;
};
const char *command_type_name(enum command_type t);
void command_list_reset(struct command_list *l); /* keeps memory */
void command_list_clear(struct command_list *l);
void command_write(struct buf *out, const struct command *c, const struct inventory *inv);
/* A JSON array of all, the text that the log keeps and replay compares. */
void commands_write(struct buf *out, const struct command_list *l, const struct inventory *inv);
/* That text back, appended to `l` (whose arena gets the strings). ERR_INVALID with the place, ERR_NOMEM: the list is
 * then to be reset. */
int commands_read(const char *text, const struct inventory *inv, struct command_list *l, struct err *err);

#endif
