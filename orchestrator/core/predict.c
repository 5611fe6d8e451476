#include "orchestrator/core/predict.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLES_MAX 64       /* the newest are kept */
#define SAMPLES_FEW 3        /* fewer do not narrow the band */
#define ROUNDS_MAX 10        /* of pre-copy */
#define STOP_KIB (16 * 1024) /* pre-copy ends when a round is this small */
#define OVERHEAD_MS 3000     /* of a migration, whatever its size */
#define RESUME_MS 300        /* of its blackout */
#define DIRTY_SHARE 25       /* an unknown dirty rate: bandwidth / 25 */

/* Start values: those of the founding case, see docs/rules.md. */
static const struct estimate step_defaults[PREDICT_STEPS] = {
    [PREDICT_STAGE] = { 20 * SECOND_MS, 60 * SECOND_MS, 5 * MINUTE_MS },
    [PREDICT_PAUSE] = { 1 * SECOND_MS, 3 * SECOND_MS, 15 * SECOND_MS },
    [PREDICT_MOVE_GROUPS] = { 2 * SECOND_MS, 5 * SECOND_MS, 30 * SECOND_MS },
    [PREDICT_PARK] = { 10 * SECOND_MS, 60 * SECOND_MS, 5 * MINUTE_MS },
    [PREDICT_STORAGE] = { 2 * SECOND_MS, 10 * SECOND_MS, 60 * SECOND_MS },
    [PREDICT_VMMS] = { 3 * SECOND_MS, 10 * SECOND_MS, 60 * SECOND_MS },
    [PREDICT_INSTALL] = { 5 * MINUTE_MS, 14 * MINUTE_MS, 40 * MINUTE_MS },
    [PREDICT_REMOVE] = { 5 * MINUTE_MS, 12 * MINUTE_MS, 30 * MINUTE_MS },
    [PREDICT_REBOOT] = { 3 * MINUTE_MS, 8 * MINUTE_MS, 20 * MINUTE_MS },
    [PREDICT_VERIFY] = { 30 * SECOND_MS, 2 * MINUTE_MS, 4 * MINUTE_MS },
    [PREDICT_RESUME] = { 1 * SECOND_MS, 5 * SECOND_MS, 30 * SECOND_MS },
    [PREDICT_UNPARK] = { 10 * SECOND_MS, 60 * SECOND_MS, 3 * MINUTE_MS },
    [PREDICT_RESYNC] = { 1 * MINUTE_MS, 10 * MINUTE_MS, 60 * MINUTE_MS },
};

/* Measured over predicted, in thousandths, of live migrations: 1.2 m/B with
 * the spread of 2,000 public measurements (docs/planning.md). */
static const struct estimate move_default = { 1000, 1210, 1600 };
static const struct estimate blackout_default = { 500, 1000, 3000 };

struct samples {
    int64_t of[SAMPLES_MAX]; /* ring */
    uint32_t n;              /* ever taken */
};

struct predictor {
    const struct inventory *inv;
    uint32_t *model_of;                /* per node */
    struct samples *steps;             /* models x PREDICT_STEPS */
    struct samples *moves, *blackouts; /* per cluster, in thousandths */
};

struct estimate estimate_add(struct estimate a, struct estimate b)
{
    return (struct estimate){ a.p5 + b.p5, a.p50 + b.p50, a.p95 + b.p95 };
}

struct estimate estimate_max(struct estimate a, struct estimate b)
{
    return (struct estimate){ a.p5 > b.p5 ? a.p5 : b.p5, a.p50 > b.p50 ? a.p50 : b.p50,
                              a.p95 > b.p95 ? a.p95 : b.p95 };
}

struct estimate estimate_times(struct estimate e, uint32_t n)
{
    return (struct estimate){ e.p5 * n, e.p50 * n, e.p95 * n };
}

static bool same_model(const struct node *a, const struct node *b)
{
    return a->model == b->model || (a->model != NULL && b->model != NULL && strcmp(a->model, b->model) == 0);
}

/* Number the models by first sight; fleets have few. */
static uint32_t number_models(struct predictor *p, uint32_t *first)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->inv->n_nodes; i++) {
        uint32_t m = 0;

        while (m < n && !same_model(&p->inv->nodes[first[m]], &p->inv->nodes[i]))
            m++;
        if (m == n)
            first[n++] = i;
        p->model_of[i] = m;
    }
    return n;
}

int predictor_new(const struct inventory *inv, struct predictor **ret_p, struct err *err)
{
    struct predictor *p = calloc(1, sizeof *p);
    uint32_t *first = calloc(inv->n_nodes + (size_t)1, sizeof *first), models = 0;

    if (p != NULL) {
        p->inv = inv;
        p->model_of = calloc(inv->n_nodes + (size_t)1, sizeof *p->model_of);
        p->moves = calloc(inv->n_clusters + (size_t)1, sizeof *p->moves);
        p->blackouts = calloc(inv->n_clusters + (size_t)1, sizeof *p->blackouts);
        if (first != NULL && p->model_of != NULL)
            models = number_models(p, first);
        p->steps = calloc((models + (size_t)1) * PREDICT_STEPS, sizeof *p->steps);
    }
    if (p == NULL || first == NULL || p->model_of == NULL || p->moves == NULL || p->blackouts == NULL ||
        p->steps == NULL) {
        free(first);
        predictor_free(p);
        return err_set(err, ERR_NOMEM, "make a predictor");
    }
    free(first);
    *ret_p = p;
    return 0;
}

void predictor_free(struct predictor *p)
{
    if (p == NULL)
        return;
    free(p->model_of);
    free(p->steps);
    free(p->moves);
    free(p->blackouts);
    free(p);
}

static void sample_add(struct samples *s, int64_t value)
{
    s->of[s->n++ % SAMPLES_MAX] = value;
}

static int value_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* The measured ones in place of the start value. A few do not narrow its band;
 * more give their own, at least -15 % and +25 % wide. */
static struct estimate estimate_of(const struct samples *s, struct estimate start)
{
    uint32_t n = s->n < SAMPLES_MAX ? s->n : SAMPLES_MAX;
    int64_t sorted[SAMPLES_MAX], low, mid, high;

    if (n == 0)
        return start;
    memcpy(sorted, s->of, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, value_order);
    low = sorted[n * 5 / 100];
    mid = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    high = sorted[(n * 95 - 1) / 100];
    if (n < SAMPLES_FEW)
        return (struct estimate){ low < start.p5 ? low : start.p5, mid, high > start.p95 ? high : start.p95 };
    return (struct estimate){ low < mid * 85 / 100 ? low : mid * 85 / 100, mid,
                              high > mid * 125 / 100 ? high : mid * 125 / 100 };
}

struct estimate predict_step(const struct predictor *p, uint32_t node, enum predict_step step)
{
    return estimate_of(&p->steps[(size_t)p->model_of[node] * PREDICT_STEPS + step], step_defaults[step]);
}

void predictor_measured(struct predictor *p, uint32_t node, enum predict_step step, dur_ms took)
{
    if (took >= 0)
        sample_add(&p->steps[(size_t)p->model_of[node] * PREDICT_STEPS + step], took);
}

/* The pre-copy formula by rounds: what all of them send, and what the last
 * one does, while the VM stands still. */
struct precopy {
    int64_t sent_ms, last_ms;
};

static struct precopy precopy(const struct fleet *f, uint32_t vm)
{
    const struct vm *v = &f->vms.items[vm].vm;
    int64_t rate = (int64_t)f->health[v->cluster].bandwidth_mib_s * 1024; /* KiB/s */
    int64_t dirty = v->dirty_mib_s < 0 ? rate / DIRTY_SHARE : v->dirty_mib_s * 1024;
    int64_t round = (int64_t)v->assigned_mib * 1024, sent = 0;

    if (dirty > rate)
        dirty = rate;
    for (int i = 0; i < ROUNDS_MAX && round > STOP_KIB; i++) {
        sent += round;
        round =
            round / 1024 * (dirty / 1024) / (rate / 1024) * 1024; /* in MiB: no overflow, same everywhere */
    }
    return (struct precopy){ sent * 1000 / rate, round * 1000 / rate };
}

static struct estimate scaled(int64_t ms, struct estimate thousandths)
{
    return (struct estimate){ ms * thousandths.p5 / 1000, ms * thousandths.p50 / 1000,
                              ms * thousandths.p95 / 1000 };
}

static struct estimate move_factor(const struct predictor *p, const struct fleet *f, uint32_t vm)
{
    return estimate_of(&p->moves[f->vms.items[vm].vm.cluster], move_default);
}

struct estimate predict_transfer(const struct predictor *p, const struct fleet *f, uint32_t vm)
{
    struct precopy c = precopy(f, vm);

    return scaled(c.sent_ms + c.last_ms, move_factor(p, f, vm));
}

struct estimate predict_move(const struct predictor *p, const struct fleet *f, uint32_t vm)
{
    struct precopy c = precopy(f, vm);

    return scaled(c.sent_ms + c.last_ms + OVERHEAD_MS, move_factor(p, f, vm));
}

struct estimate predict_blackout(const struct predictor *p, const struct fleet *f, uint32_t vm)
{
    return scaled(precopy(f, vm).last_ms + RESUME_MS,
                  estimate_of(&p->blackouts[f->vms.items[vm].vm.cluster], blackout_default));
}

void predictor_moved(struct predictor *p, const struct fleet *f, uint32_t vm, dur_ms took, dur_ms blackout)
{
    struct precopy c = precopy(f, vm);
    uint32_t cluster = f->vms.items[vm].vm.cluster;

    if (took >= 0)
        sample_add(&p->moves[cluster], took * 1000 / (c.sent_ms + c.last_ms + OVERHEAD_MS));
    if (blackout >= 0)
        sample_add(&p->blackouts[cluster], blackout * 1000 / (c.last_ms + RESUME_MS));
}
