/* The inside of backend_plan: a fleet in memory. */
#ifndef PATCHWAVE_BACKEND_PLAN_WORLD_H
#define PATCHWAVE_BACKEND_PLAN_WORLD_H

#include "orchestrator/core/backend_plan.h"
#include "orchestrator/core/engine_op.h"

struct world_op { /* a line of a node's journal */
    struct op_id id;
    enum action action;
    uint32_t vm, to;
    enum op_state state;
    enum op_outcome outcome;
    char error_code[32], error_text[96];
    time_ms accepted, started, ended;
    bool acked;                               /* no claim tells it any more */
    bool already, reboot_required, true_done; /* true_done: the effect is there, whatever the journal says */
    dur_ms blackout_ms;
    time_ms down_since;
    uint32_t setting, value, expected; /* of cluster_setting */
};

struct world_node {
    bool up, paused, vmms, storage_out, reachable, claim_waits, claim_journal;
    bool install_pending, remove_pending;
    uint32_t boot;
    time_ms resync_until, cut_until;
    struct build build, before;
    struct {
        struct world_op *items;
        uint32_t n, cap;
    } journal;
    uint32_t effects[ACTIONS];
};

enum world_due { DUE_CLAIM, DUE_OBSERVE, DUE_STAGED, DUE_OP, DUE_BOOT, DUE_REACH, DUE_LOST, DUE_PROBE };

struct world_entry { /* something that will happen */
    time_ms at;
    uint64_t order;
    enum world_due due;
    uint32_t node, cluster;
    uint64_t ask;
    enum observe_what what;
    struct op_id op;
    dur_ms took;
};

struct world_vm {
    bool running;
    time_ms down_since;
    enum down_cause cause;
};

struct backend_plan {
    struct backend backend; /* first: the runner knows only this */
    const struct plan *plan;
    const struct inventory *inv;
    struct predictor *predictor;
    struct fleet fleet;
    time_ms now;
    uint64_t order;
    struct world_node *nodes;
    struct world_vm *vms;
    uint32_t (*settings)[CLUSTER_SETTINGS]; /* per cluster */
    struct {
        struct world_entry *items;
        uint32_t n, cap;
    } queue;            /* a binary heap */
    struct arena arena; /* of the event handed out */
    void (*hook)(void *arg, struct plan_answer *a);
    void *hook_arg;
    bool nomem;
};

const char *world_boot_id(struct backend_plan *b, uint32_t node);
/* Fill the facts of an observation as the world is now. */
void world_observe(struct backend_plan *b, const struct world_entry *w, struct event *ev);
/* One effect takes place. */
void world_effect(struct backend_plan *b, uint32_t node, struct world_op *op);
void world_record(struct backend_plan *b, const struct world_op *op, uint32_t node, struct op_record *rec);

#endif
