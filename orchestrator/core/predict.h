/* Predicted durations and downtimes, integers only (ms, MiB), P5/P50/P95.
 * Start values per hardware model from docs/rules.md; measured ones replace
 * them (calibration): the engine feeds what it measured, in log order. */
#ifndef PATCHWAVE_PREDICT_H
#define PATCHWAVE_PREDICT_H

#include "orchestrator/core/fleet.h"
#include "orchestrator/core/rollout.h"

struct estimate {
    dur_ms p5, p50, p95;
};

enum predict_step {
    PREDICT_STAGE,
    PREDICT_PAUSE,
    PREDICT_MOVE_GROUPS,
    PREDICT_PARK,
    PREDICT_STORAGE,
    PREDICT_VMMS,
    PREDICT_INSTALL,
    PREDICT_REMOVE,
    PREDICT_REBOOT,
    PREDICT_VERIFY,
    PREDICT_RESUME,
    PREDICT_UNPARK,
    PREDICT_RESYNC,
    PREDICT_STEPS
};

/* Sums and the like, each percentile by itself: wide, never too narrow. */
struct estimate estimate_add(struct estimate a, struct estimate b);
struct estimate estimate_max(struct estimate a, struct estimate b);
struct estimate estimate_times(struct estimate e, uint32_t n);

struct predictor; /* per-model calibration state; pure */
int predictor_new(const struct inventory *inv, struct predictor **ret_p, struct err *err);
void predictor_free(struct predictor *p);
struct estimate predict_step(const struct predictor *p, uint32_t node, enum predict_step step);
/* One migration, by the pre-copy formula (docs/planning.md). */
struct estimate predict_move(const struct predictor *p, const struct fleet *f, uint32_t vm);
/* The part of it that the network carries, without the fixed beginning and
 * end: parallel migrations share the bandwidth, not the overhead. */
struct estimate predict_transfer(const struct predictor *p, const struct fleet *f, uint32_t vm);
struct estimate predict_blackout(const struct predictor *p, const struct fleet *f, uint32_t vm);
/* A measured duration; moves later predictions for that model (steps) or cluster (moves). */
void predictor_measured(struct predictor *p, uint32_t node, enum predict_step step, dur_ms took);
void predictor_moved(struct predictor *p, const struct fleet *f, uint32_t vm, dur_ms took, dur_ms blackout);

#endif
