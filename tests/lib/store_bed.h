/* A database with an example fleet, patch and approved plan in it, and a run
 * of that plan played by its predictions. */
#ifndef PATCHWAVE_TESTS_STORE_BED_H
#define PATCHWAVE_TESTS_STORE_BED_H

#include "orchestrator/core/backend_plan.h"
#include "orchestrator/core/runner.h"
#include "orchestrator/io/store_log.h"
#include "tests/lib/temp_dir.h"

#define BED_AT 1795471200000 /* 2026-11-23T22:00Z */
#define BED_RUN "r1-00beef"

struct store_bed {
    struct temp_dir dir;
    char path[512];
    struct store *store;
    struct plan *plan; /* as stored and read back */
    struct engine *engine;
    struct store_log *log;
    struct runner runner;
    struct backend_plan *backend;
};

/* The store with everything up to the approval; examples/ is where it comes from. */
void bed_make(struct store_bed *b, const char *inventory, const char *rollout);
void bed_drop(struct store_bed *b);
/* Engine, log, runner, and a backend that plays; nothing is fed yet. */
void bed_start(struct store_bed *b);
/* Only engine, log and runner, as after a restart. */
void bed_restart(struct store_bed *b);
void bed_stop(struct store_bed *b);
/* Feed RUN_START, then what comes, at most `events` events; returns how many were fed. */
uint32_t bed_play(struct store_bed *b, uint32_t events);
int64_t bed_number(struct store_bed *b, const char *sql);

#endif
