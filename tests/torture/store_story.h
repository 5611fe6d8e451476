/* The life of a small database, step by step, from its making to the end of a
 * run of two nodes; what has been acknowledged at each point; and how to look
 * whether a database is at one of these points. Failed checks go to
 * story_fail(), which the including program defines. */
#ifndef PATCHWAVE_TESTS_STORE_STORY_H
#define PATCHWAVE_TESTS_STORE_STORY_H

#include "orchestrator/core/backend_plan.h"
#include "orchestrator/io/store_log.h"
#include "orchestrator/mirror.h"

#include "tests/torture/fault_disk.h"

#define STORY_DB DISK_ROOT "pw.db"
#define STORY_COPY DISK_ROOT "copy.db"
#define STORY_MIRROR DISK_ROOT "mirror"
#define STORY_AT 1795471200000 /* 2026-11-23T22:00Z */
#define STORY_RUN "r1-00beef"
#define STORY_ENTRIES 2000

struct story {
    struct inventory *inv; /* as the importing person has it */
    struct store *store;
    struct plan *plan; /* as stored and read back */
    struct engine *engine;
    struct store_log *log;
    struct runner runner;
    struct backend_plan *world;
    struct backend counting;
    uint32_t submitted;
    struct event next; /* of the run */
    bool run_over;
};

/* What a database looks like after each acknowledged entry. */
struct story_record {
    char hash[SHA256_TEXT], tables[SHA256_TEXT], engine[SHA256_TEXT];
};
extern struct story_record story_seen[STORY_ENTRIES];
extern uint64_t story_acked; /* the last one */

struct story_step {
    const char *name;
    int (*play)(struct story *s, struct err *err);
    bool repeats; /* until s->run_over */
};
extern const struct story_step story_steps[];
extern const uint32_t story_n_steps;

void story_begin(struct story *s);
/* Note down what this step left behind. */
void story_note(struct story *s);
void story_end(struct story *s);
/* Let go of run and store as a program does that was told of an error. */
void story_drop(struct story *s);

_Noreturn void story_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* `path` opens for writing, is whole, and stands at entry `least`, or, if `doubtful`, at a whole entry after it. The
 * caller closes the store. */
struct store *story_check(const char *path, uint64_t least, bool doubtful);
/* A run's engine comes back from the log as it was, and takes the next start. */
void story_check_resume(struct story *s, struct store *store);
/* The same, and it goes on to its end in the world as it stands. */
void story_check_finish(struct story *s, struct store *store);

#endif
