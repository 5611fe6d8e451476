/* The live backend's inside; only live_*.c and backend_live.c include it. */
#ifndef PATCHWAVE_LIVE_OWN_H
#define PATCHWAVE_LIVE_OWN_H

#include "orchestrator/io/agent_client.h"
#include "orchestrator/io/backend_live.h"
#include "orchestrator/io/payload.h"
#include "orchestrator/io/rate.h"
#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_pool.h"
#include "schema/arena.h"
#include "schema/list.h"

#define LIVE_CALL_MS ((dur_ms)30000)       /* real: a call that only reads or writes the journal */
#define LIVE_DRIVER_MIN_MS ((dur_ms)10000) /* real: a call that runs a driver gets at least this */
#define LIVE_CLAIM_MIN_MS ((dur_ms)10000)  /* real: SSH's own times do not scale */

/* How far the talk with one node has come.
 *
 *   down --> up --> greeted --> claimed
 *     ^______|_________|___________|        connection lost */
enum live_talk { TALK_DOWN, TALK_UP, TALK_GREETED, TALK_CLAIMED };

/* What is being done about the package (live_stage.c).
 *
 *   idle --> queued --> asked ---------> sent ---> idle     over SSH
 *              |          '-- it has it -----------^
 *              '----> pulling <--> cut off --------^        by itself; asked again when it is back */
enum live_stage_part {
    PART_IDLE,
    PART_QUEUED,  /* waits until fewer are staged at once */
    PART_ASKED,   /* package.held is on its way */
    PART_SENT,    /* `payload` carries it */
    PART_PULLING, /* package.fetch will be answered */
    PART_CUT_OFF  /* it may be pulling, and there is no way to ask */
};

struct live_node {
    struct backend_live *b;
    uint32_t ix;
    enum live_talk talk;
    struct ssh_target target;
    struct agent_client *client;
    char session[64], greeted_as[33];         /* of the last hello: theirs, ours */
    const char *machine_id, *boot_id, *agent; /* of the last hello; in hello_arena */
    struct arena hello_arena;
    dur_ms mono_at_hello; /* its monotonic clock then, -1: not told; and ours, when it was heard */
    time_ms hello_heard;
    bool blank;           /* no claim stood in its journal at a hello, and no claim was answered since */
    bool surveyed;        /* the survey has its answer */
    bool claim_wanted;    /* a CLAIM is under way */
    bool refused;         /* a person has to act first */
    struct err last_down; /* why the last attempt failed */
    bool no_retry;        /* and no other is made until a person has acted */
    struct live_takeover *takeover; /* its journal is being read; NULL: no */
    bool journal_wanted;            /* this CLAIM asks for it */
    struct loop_timer claim_limit, greet_again;
    enum live_stage_part stage_part;
    struct live_op
        *waiting; /* moves off it whose receiver has not answered: nothing of them was sent here yet */
    struct payload *payload;
    struct loop_timer stage_limit; /* how long it may be cut off */
    int64_t stage_until_ms;        /* of the loop's clock: how long it may pull in all */
    uint32_t stage_file;           /* 0: the target; then its checkpoint packages */
    time_ms stage_begun;
    uint32_t stage_percent;
};

/* An event that has to wait for the loop's next turn. */
struct live_late {
    struct arena arena;
    struct event ev;
    bool lacking; /* a string of it could not be kept: it is not told, the engine's deadline covers it */
    struct live_late *next;
};

struct live_stage {
    uint32_t node;
    struct live_stage *next;
};

struct backend_live {
    struct backend face; /* first: submit finds us through it */
    struct live_setup setup;
    struct loop *loop;
    struct ssh_keyring *keys;
    struct ssh_pool *pool;
    struct live_node *nodes;
    uint32_t n_nodes;
    char run[ID_TEXT_MAX], controller[33];
    uint64_t epoch;
    bool takeover, closing;
    /* survey */
    struct live_survey survey;
    uint32_t surveyed;
    void (*on_surveyed)(void *arg, const struct live_survey *s);
    struct loop_timer survey_limit;
    /* late events */
    struct live_late *late_first, **late_last;
    struct loop_timer late;
    /* staging */
    struct rate fleet_rate;
    struct live_stage *stage_first, **stage_last;
    uint32_t staging;
    /* end */
    struct loop_timer grave;
    struct loop_closer closer;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

/* Hand an event to the owner now (from the loop only). */
void live_emit(struct backend_live *b, struct event *ev);
/* The same in the loop's next turn, for what is found out inside submit. Makes the
 * event in its own arena; NULL when out of memory (the engine's deadline covers it). */
struct live_late *live_late_new(struct backend_live *b, enum event_type type, uint32_t node);
/* A copy that the event may keep. */
const char *live_late_str(struct live_late *late, const char *text);
/* A call to the node's agent; empties `params`. As agent_client_call, and ERR_NOMEM when `params` are not whole. */
int live_call(struct live_node *n, const char *method, struct buf *params, dur_ms limit_ms,
              agent_reply_fn *fn, void *arg, struct err *err);
struct event live_event(enum event_type type, uint32_t node);

/* What a node said of itself. */
struct live_hello {
    uint64_t epoch, seq;
    const char *hash;
};
/* The survey's share of a node: its first hello, or NULL for its first failure. */
void live_surveyed(struct live_node *n, const struct live_hello *h);

/* Talk: connecting, hello, claim. */
int live_node_open(struct backend_live *b, uint32_t ix, struct err *err);
void live_node_close(struct live_node *n);
void live_claim(struct live_node *n, dur_ms limit_ms, bool journal);
void live_refused(struct live_node *n, enum err_code code, const char *text);
/* The claim is through and these ops are what the node tells: NODE_CLAIMED, if it is still wanted. */
void live_claimed(struct live_node *n, const struct op_record *ops, uint32_t n_ops);

/* Takeover: read the node's journal before telling that it is claimed (live_takeover.c). */
struct live_takeover;
void live_takeover_begin(struct live_node *n, const struct rpc_message *claim);
/* An op.done that comes meanwhile: what will be told is the newer record. */
void live_takeover_heard(struct live_node *n, const struct rpc_message *msg);

/* Ops. */
void live_op_start(struct backend_live *b, const struct command *c);
void live_op_probe(struct backend_live *b, const struct command *c);
void live_op_cancel(struct backend_live *b, const struct command *c);
void live_op_ack(struct backend_live *b, const struct command *c);
void live_op_notified(struct live_node *n, const struct rpc_message *msg);
/* The connection is gone: what has not been sent will not be. */
void live_op_lost(struct live_node *n);
/* A record from the wire (docs/wire.md). ERR_PROTOCOL. Strings in the arena or the document. */
int live_record_read(const struct json_doc *doc, const json *v, struct arena *a, struct op_record *ret,
                     struct err *err);

/* Observations. */
void live_observe(struct backend_live *b, const struct command *c);

/* Staging. */
void live_stage_submit(struct backend_live *b, const struct command *c);
/* The node said hello; it did not, or its connection was lost, and this is why. */
void live_stage_greeted(struct live_node *n);
void live_stage_lost(struct live_node *n, const struct err *why);
/* package.progress */
void live_stage_notified(struct live_node *n, const struct rpc_message *msg);
void live_stage_limit(void *node); /* stage_limit has come */
void live_stage_close(struct backend_live *b);

/* "data" of several pages as one document: arrays are put together (docs/wire.md, paging). */
int live_pages_join(const struct json_doc *const *pages, uint32_t n, struct json_doc **ret_doc,
                    struct err *err);

#endif
