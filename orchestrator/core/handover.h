/* A run as its projections and its log show it, for an engine of another
 * revision that has to go on with it (event HANDOVER). It cannot decide the old
 * events anew; so it is told what became of them: what projections say (runs,
 * waves, nodes, gates, downtime, places of VMs), and what a fold over events and
 * commands finds without deciding anything (what was begun and has no end, what
 * the node was like before its drain, what is parked, set, spent).
 *
 *   fold: handover_fold_event() per entry --+--> handover_fold_end() --> struct handover --> event HANDOVER
 *   projections: handover_view() or store --+
 *
 * A fold starts anew at a HANDOVER in the log. */
#ifndef PATCHWAVE_HANDOVER_H
#define PATCHWAVE_HANDOVER_H

#include "orchestrator/core/engine_state.h"

/* An operation with an intent of which no record, no witness and no person has told the end. */
struct handover_op {
    const char *id, *args, *precondition; /* precondition "": none */
    enum action action;
    uint32_t node, receiver;
    const char *vm; /* "": none */
    uint32_t setting;
    uint64_t memory_mib;
    dur_ms limit_ms;
    time_ms sent;
    uint32_t sends;
    bool seen, evidence;
};
struct handover_park {
    uint32_t node;
    const char *vm;
    enum park_method method;
    bool checkpoint, down, merged;
    time_ms down_since;
};
struct handover_vm {
    const char *id;
    uint32_t at, cluster;            /* at: as projected; IX_NONE where nobody knows */
    uint32_t moves, moves_back, ops; /* spent */
    uint64_t own_ops;                /* node_bit() of each of `ops` that the log has asked for */
};
struct handover_setting {
    uint32_t cluster, setting, old;
    enum setting_state state; /* untouched, setting, set, restoring or restored */
};
struct handover_wave {
    enum wave_state state;
    time_ms started, ended;
    uint32_t failures;
};
struct handover_gate {
    const char *name, *text;
    uint32_t wave, samples;
    bool after, done;
    enum gate_answer answer;
    time_ms started, ended;
};
struct handover_node {
    uint32_t node;
    /* projected */
    enum node_phase phase;
    enum node_end end;
    bool back, out;
    uint32_t life, attempt;
    time_ms since, out_since, out_until;
    const char *reason;
    struct build build_before, build_now;
    /* from the log: of its last life that has operations */
    uint32_t ops_life;
    uint8_t attempts[ACTIONS];
    bool paused, vmms, storage; /* by us, not put back */
    bool effect, removed;       /* install or removal is made; it was a removal */
    bool rebooted;              /* since then, or the reboot before it */
    bool suspended, patched;
    bool supposed; /* patched by suspicion only: no node has said so (I12) */
    bool proved;   /* the node itself has said that it is patched, and nothing was done to that since (I17) */
    uint32_t setting_ops, reboots;
    uint64_t own_lives,
        own_settings; /* node_bit() of each that the log has begun something in, or asked for */
    time_ms reboot_last, reboot_before;
    const char *boot, *boot_effect, *boot_effect_first; /* "": not told */
    struct node_record before;                          /* the drain (O12) */
    struct build level_before; /* where it was hotpatched before the run: its level then; else 0.0 */
};
struct handover_log { /* what the old revision's part of the log is */
    uint32_t revision;
    uint64_t epoch, asks;
    time_ms approval_expires;
    bool abort_said, rollback_said;       /* whichever was said last */
    bool removal_known, removal_possible; /* O14 */
};
struct handover {
    struct handover_log log;
    /* the run, projected */
    enum run_state state;
    const char *hold_text, *end_text;
    uint32_t wave, failures, deviations;
    time_ms started, ended;
    struct handover_node *nodes; /* one for each of the inventory, by index */
    struct handover_wave *waves; /* one for each of the plan */
    struct handover_gate *gates;
    struct ledger_row *rows;
    struct handover_vm *vms;
    struct handover_park *parks;
    struct handover_op *ops;
    struct handover_setting *settings;
    uint32_t n_nodes, n_waves, n_gates, n_rows, n_vms, n_parks, n_ops, n_settings;
};

/* As an event has it, under `key`. Read: ERR_INVALID with the place, ERR_NOMEM; everything lives in `a`. */
void handover_write(struct json_writer *w, const char *key, const struct handover *h,
                    const struct inventory *inv);
int handover_read(const struct json_doc *doc, const json *v, const struct inventory *inv, struct arena *a,
                  struct handover **ret_h, struct err *err);

struct handover_fold;
int handover_fold_new(const struct plan *plan, struct handover_fold **ret_fold, struct err *err);
void handover_fold_free(struct handover_fold *f); /* accepts NULL */
/* One entry of the log, whatever revision decided it. `commands`: the log's text. ERR_NOMEM, ERR_INVALID. */
int handover_fold_event(struct handover_fold *f, const struct event *ev, const char *commands,
                        struct err *err);
/* Where projections are put before the end; strings from handover_fold_keep(). */
struct handover *handover_fold_now(struct handover_fold *f);
const char *handover_fold_keep(struct handover_fold *f, const char *text);
struct arena *handover_fold_arena(struct handover_fold *f);
struct handover_vm *handover_fold_vm(struct handover_fold *f, const char *id, uint32_t cluster);
/* Projections are there: what they leave open stays, the rest is over. The result is the fold's. */
int handover_fold_end(struct handover_fold *f, const struct handover **ret_h, struct err *err);

/* Put in what the projections of that engine's log hold (a simulated store has no tables). */
int handover_view(struct handover_fold *f, const struct engine *e, struct err *err);

/* engine_handover.c: the run goes on from there. Nothing of what it says is decided anew. */
int handover_take(struct engine *e, const struct event *ev, struct err *err);

#endif
