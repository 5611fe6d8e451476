/* What a node's journal means. Recovery is a pure fold over its records; the
 * running agent applies each record that it writes by the same function, so
 * that memory and journal cannot come apart. */
#ifndef PATCHWAVE_JOURNAL_FOLD_H
#define PATCHWAVE_JOURNAL_FOLD_H

#include "agent/core/claim.h"
#include "agent/core/op_sm.h"
#include "schema/buf.h"
#include "schema/ids.h"
#include "schema/json.h"
#include "schema/times.h"

#define AGENT_NAME_MAX 80   /* bytes of a machine or boot id, with the NUL */
#define AGENT_ACTION_MAX 32 /* bytes of an action's name, with the NUL */

/* What each record says, and its body (a JSON object):
 *  boot     seen for the first time: {"machine_id"}; boot_id is the record's
 *  claim    {"run","controller","epoch","log":{"seq","hash"},"takeover"}
 *  accept   {"action","args","digest","limit_ms","precondition","epoch","controller","log","mono_ms"}
 *  start    {"found":{...}}: the precondition as found; last durable point before the effect
 *  witness  {"verdict"}: `not_done` allows one more start
 *  done     {"outcome","error","result","downtime","output_bytes","output_tail"}
 *  ack      {}: the controller has recorded it */
enum agent_record_kind {
    AGENT_REC_BOOT,
    AGENT_REC_CLAIM,
    AGENT_REC_ACCEPT,
    AGENT_REC_START,
    AGENT_REC_WITNESS,
    AGENT_REC_DONE,
    AGENT_REC_ACK,
    AGENT_REC_KINDS
};
const char *agent_record_kind_name(enum agent_record_kind k);
/* AGENT_REC_KINDS when there is none of that name. */
enum agent_record_kind agent_record_kind_by_name(const char *name);

struct agent_record {
    enum agent_record_kind kind;
    time_ms at;
    const char *op;      /* "" for boot and claim */
    const char *boot_id; /* of the boot in which it was written; "" when not known */
    const char *body;    /* JSON text of an object */
};

/* One operation as its records tell it. Strings are owned by the fold. */
struct agent_op {
    char id[ID_TEXT_MAX];
    char action[AGENT_ACTION_MAX];
    char digest[SHA256_TEXT];
    enum agent_op_state state;
    enum agent_op_state before; /* the DONE, for journal_fold_undo */
    int64_t epoch;              /* of the last ACCEPT */
    char controller[AGENT_HEX_ID];
    dur_ms limit_ms;
    char *args, *precondition;                 /* JSON texts of objects */
    time_ms accepted_at, started_at, ended_at; /* 0: not yet */
    dur_ms accepted_mono;                      /* monotonic, within boot accept_boot */
    char accept_boot[AGENT_NAME_MAX];
    char start_boot[AGENT_NAME_MAX];
    uint32_t accepts, starts; /* records of each kind */
    bool not_done;            /* its witness said so since the last START */
    bool acked;
    enum agent_outcome outcome;
    char *error, *result, *downtime; /* JSON texts; NULL before DONE */
    char *output_tail;
    int64_t output_bytes;
};

struct journal_fold {
    struct agent_claim claim, claim_before;
    char machine_id[AGENT_NAME_MAX]; /* "" before the first boot record */
    char boot_id[AGENT_NAME_MAX];    /* of the last boot record */
    char machine_before[AGENT_NAME_MAX], boot_before[AGENT_NAME_MAX];
    struct agent_op **ops; /* in the order of their first ACCEPT */
    uint32_t n_ops, cap_ops;
};

#define JOURNAL_FOLD_INIT \
    {                     \
        0                 \
    }

/* Apply one more record. ERR_CORRUPT when it cannot follow what came before
 * or cannot be read (the fold is unchanged then), ERR_NOMEM. */
int journal_fold_apply(struct journal_fold *f, const struct agent_record *rec, struct err *err);
/* Take back a record that could not be written; the last one first. */
void journal_fold_undo(struct journal_fold *f, const struct agent_record *rec);
void journal_fold_clear(struct journal_fold *f);
struct agent_op *journal_fold_find(const struct journal_fold *f, const char *op);
/* Drop an acknowledged op from memory (C.8). */
void journal_fold_forget(struct journal_fold *f, const char *op);
/* What recovery makes of the ops: every START without DONE is in doubt until
 * the host says that its driver lives (table C.3). */
void journal_fold_recover(struct journal_fold *f);
uint32_t journal_fold_unacked(const struct journal_fold *f);

#endif
