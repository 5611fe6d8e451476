/* The engine: events in, commands out. No I/O, no clock (event.at), no
 * randomness, no logging; equal events give equal commands, byte for byte.
 * The event log is the truth: a resumed run replays it through a new engine
 * and then gets CONTROLLER_START, on which the engine claims every node and
 * probes each op that has an intent and no result. */
#ifndef PATCHWAVE_ENGINE_H
#define PATCHWAVE_ENGINE_H

#include "orchestrator/core/command.h"
#include "orchestrator/core/event.h"
#include "orchestrator/core/ledger.h"
#include "orchestrator/core/node_sm.h"
#include "orchestrator/core/plan.h"
#include "orchestrator/core/wave_sm.h"

#define ENGINE_REVISION 6
extern const uint32_t engine_revision; /* the same, of this program */

struct engine; /* views below; contents in engine_state.h for core's own files */

/* The plan stays the caller's and must outlive the engine. */
int engine_new(const struct plan *plan, struct engine **ret_engine, struct err *err);
void engine_free(struct engine *e);
/* For tests: speak as an engine of another revision would. It decides as this one. */
void engine_be(struct engine *e, uint32_t revision);
/* One event. Commands are appended to `out` (reset by the caller). ERR_NOMEM
 * or ERR_INTERNAL leave the engine unusable: rebuild it from the log.
 * ERR_INVALID / ERR_STATE: the event was not taken (an operator's verb that
 * is not possible now, with the sentence for him); nothing changed. */
int engine_step(struct engine *e, const struct event *ev, struct command_list *out, struct err *err);
/* When to send EV_TIMEOUT; TIME_NEVER: nothing is waited for. */
time_ms engine_deadline(const struct engine *e);

/* What people and projections ask. Views point into the engine, valid until
 * the next step. */
struct run_view {
    enum run_state state;
    const char *hold_reason; /* text and leading verb, "" unless holding; e.g. "gate after-1 is unknown" */
    const char *hold_verb;   /* "promote", "resume", ... */
    const char *run, *controller;
    uint64_t epoch;
    uint32_t wave; /* current, from 0 */
    uint32_t failures, deviations;
    time_ms started, ended; /* 0: not yet */
    struct estimate remaining;
    const char *end_text; /* why it ended as it did; one sentence */
    bool fenced;          /* another controller holds a node: this one has stopped, the run has not */
    bool stopped;         /* CONTROLLER_STOP or fenced: only CONTROLLER_START is taken */
    bool at_rest;         /* an END was sent and nothing has moved since */
    bool unfinished;      /* some node in scope is neither done nor compliant (exit code of a finished run) */
    bool puts_back;       /* it has ended, and `return` has begun what somebody has to carry out */
};
struct node_view {
    enum node_phase phase;
    enum node_end end; /* NODE_END_NONE while it has none */
    bool back, unknown, claimed, out;
    uint32_t life, attempt, wave;
    time_ms since;                /* in this phase */
    time_ms out_since, out_until; /* 0: never / still */
    const char *reason;           /* why it ended, waits or is unknown; "" */
    const char *waits_for;        /* I28: named condition; "" */
    struct build build_before, build_now;
};
struct wave_view {
    enum wave_state state;
    time_ms started, ended;
    uint32_t failures;
};
struct gate_view {
    const struct gate *gate;
    uint32_t wave;
    bool after;
    enum gate_answer answer;
    bool done;
    uint32_t samples;
    time_ms started, ended;
    const char *text;
};
struct op_view {
    const char *op, *action;
    uint32_t node;
    enum op_state state;
    enum op_outcome outcome;
    time_ms sent, deadline;
};

struct run_view engine_run(const struct engine *e);
/* Of a hold_reason: is it a gate without an answer, which `resume` asks again? */
bool engine_hold_asks(const char *hold_reason);
bool engine_at_rest(const struct engine *e); /* of run_view, cheaply */
struct node_view engine_node(const struct engine *e, uint32_t node);
struct wave_view engine_wave(const struct engine *e, uint32_t wave);
uint32_t engine_gates(const struct engine *e);
struct gate_view engine_gate(const struct engine *e, uint32_t i);
uint32_t engine_ops_open(const struct engine *e);
struct op_view engine_op_open(const struct engine *e, uint32_t i);
const struct ledger *engine_ledger(const struct engine *e);
const struct fleet *engine_fleet(const struct engine *e);
/* SHA-256 over the decision state, as engine_hash.c says: equal over replays (I23). */
void engine_hash(const struct engine *e, char out[SHA256_TEXT]);

#endif
