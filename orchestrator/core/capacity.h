/* May this node go out now, and where does each VM go? Conditions C1 to C9 of
 * docs/rules.md. The answer is a proof (a placement), a refusal with its
 * inequality, or "unknown", which counts as no. */
#ifndef PATCHWAVE_CAPACITY_H
#define PATCHWAVE_CAPACITY_H

#include "orchestrator/core/fleet.h"
#include "orchestrator/core/rollout.h"

enum capacity_verdict { CAPACITY_SAFE, CAPACITY_INFEASIBLE, CAPACITY_UNKNOWN };

struct drain_move {
    uint32_t vm, to;
    bool unproved;
}; /* fleet indices; unproved: patched -> unpatched (O16) */
struct drain_park {
    uint32_t vm;
    enum park_method method;
    bool checkpoint;
};

struct drain_proof {
    enum capacity_verdict verdict;
    enum reserve_rung reached; /* after the drain (O23) */
    struct {
        struct drain_move *items;
        uint32_t n, cap;
    } moves; /* in the order to start them: infrastructure first (O25), then longest first */
    struct {
        struct drain_park *items;
        uint32_t n, cap;
    } parks;
    const char *rule; /* "C2", "O20", ... of the refusal; static */
    char reason[256]; /* of the refusal, a sentence */
};
void drain_proof_clear(struct drain_proof *p);

/* Prove that `node` may be drained now. Every other node with an OUT_ bit is
 * taken as out already; OUT_OURS on `node` itself means "go on with the drain".
 * A cluster never observed, or longer than policy.fresh ago, is unknown. VMs
 * with a promise count where they were promised; make one for each move of an
 * admitted drain (fleet_promise), so that the next proof knows of it. VMs that
 * are off hold nothing and are no moves of ours (their groups go with the
 * others, O1). Consents, waivers, caps come from the rollout. `prefer`
 * (may be NULL): targets wanted by the plan, per fleet VM index, IX_NONE =
 * free; kept where they hold. Only ERR_NOMEM is an error. */
int capacity_prove_drain(const struct fleet *f, const struct rollout *r, uint32_t node,
                         const uint32_t *prefer, time_ms now, struct drain_proof *ret_proof, struct err *err);
/* Check a placement somebody else made; trusts nothing. Same verdicts. */
int capacity_check_drain(const struct fleet *f, const struct rollout *r, uint32_t node,
                         const struct drain_proof *proof, time_ms now, struct drain_proof *ret_check,
                         struct err *err);
/* One VM: the best receiver now, or IX_NONE with the reason. `*nomem` is set
 * when memory ran out (left alone otherwise): the answer then is none. */
uint32_t capacity_place_vm(const struct fleet *f, const struct rollout *r, uint32_t vm, char reason[256],
                           bool *nomem);
/* May `vm` land on `to` now (fit, owners, anti-affinity, N+1 kept, in
 * service)? NULL or the reason. Used for evidence loads and re-targets. `*nomem` as above. */
const char *capacity_may_land(const struct fleet *f, const struct rollout *r, uint32_t vm, uint32_t to,
                              bool *nomem);

#endif
