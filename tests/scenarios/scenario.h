/* A rollout in a few lines: a small fleet, its plan, the real engine and
 * runner, a log in memory, and backend_plan as the world. Time is simulated,
 * nothing here does I/O. */
#ifndef PATCHWAVE_TESTS_SCENARIO_H
#define PATCHWAVE_TESTS_SCENARIO_H

#include "tests/lib/check.h"

#include "orchestrator/core/backend_plan.h"
#include "tests/lib/small_fleet.h"

struct kept_entry {
    char *event, *commands;
};

struct fault {                        /* what happens instead, the first `times` times */
    const char *node, *action, *code; /* NULL matches any; code: the op ends with it */
    enum op_outcome outcome;
    bool no_effect, no_journal, silent;
    uint32_t skip, times, hits;
};

struct scenario {
    struct plan *plan;
    struct engine *engine;
    struct backend_plan *world;
    struct runner runner;
    struct event_log log;
    struct {
        struct kept_entry *items;
        uint32_t n, cap;
    } kept;
    struct event_pictures pictures;
    struct buf notes; /* every note, a line each */
    struct fault faults[8];
    uint32_t n_faults;
    void (*meddle)(struct scenario *s, struct plan_answer *a); /* scenario's own, after the faults */
    uint64_t epoch;
    uint32_t revision, from; /* of the engine that decides now, and its first entry */
    time_ms now;
    struct err err;
    uint32_t stop_at; /* feed no more events than this; 0: no bound */
};

#define START_MS ((time_ms)1764000000000)

#define SCENARIO_PATCH(more)                                                                              \
    ",\"patch\":{\"kb\":\"KB5061977\",\"file\":\"kb5061977.msu\",\"size_bytes\":1000,\"sha256\":"         \
    "\"0000000000000000000000000000000000000000000000000000000000000000\",\"target\":\"26100.4066\"" more \
    "}"
/* Defaults: 2 clusters of 4 nodes, 3 VMs each, waves [1, 2, "100%"], no gates, SCENARIO_PATCH(""). `more` as in small_rollout. */
struct scenario *scenario_new(const struct fleet_words *words, const char *waves, const char *more);
/* A small fleet whose first VM has a disk of its node: it cannot move. */
struct inventory *fleet_with_pinned_vm(const struct fleet_words *w);
/* The same over an inventory of the test's own. */
struct scenario *scenario_of(struct inventory *inv, const char *waves, const char *more);
void scenario_free(struct scenario *s);
struct fault *scenario_fault(struct scenario *s, const char *node, const char *action, const char *code);

/* For `meddle`: the backup service of a node that has rebooted logs event 7001; no backup service answers. */
void backup_7001(struct scenario *s, struct plan_answer *a);
void backup_silence(struct scenario *s, struct plan_answer *a);

/* For `meddle`: is it a picture of a cluster? One that shows the first node in this state. */
bool scenario_is_picture(const struct plan_answer *a);
void scenario_shows_first(const struct scenario *s, struct plan_answer *a, enum node_state_seen state);

void scenario_start(struct scenario *s);   /* RUN_START, no further event */
void scenario_run(struct scenario *s);     /* until END; fails the test when it does not come */
bool scenario_step(struct scenario *s);    /* one event; false when at END */
void scenario_goes_on(struct scenario *s); /* the same past an END, as the program started again would */
/* While a run holds: what is asked and answered all the same, until nothing is due within the hour. */
void scenario_while_holding(struct scenario *s);
/* Until the node is in the phase; fails the test when the run ends before. */
void scenario_until(struct scenario *s, const char *node, enum node_phase phase);
/* Until what is done to it is not known; likewise. */
void scenario_until_unknown(struct scenario *s, const char *node);
int scenario_verb(struct scenario *s, enum verb verb, const char *node);
int scenario_decide(struct scenario *s, uint32_t node, enum op_witness decision);
int scenario_event(struct scenario *s, struct event *ev);
/* The controller dies here; a new one replays the log and starts. */
void scenario_crash(struct scenario *s);
/* The same by takeover: nodes tell what another log did as well. */
void scenario_takeover(struct scenario *s);
/* The controller dies here, and one of the next engine revision takes over. */
void scenario_upgrade(struct scenario *s);
/* Replays all of it (since the last upgrade) into a new engine, compares commands and state hash. */
void scenario_replays(struct scenario *s);

/* The first node of the first wave. */
uint32_t scenario_first(const struct scenario *s);
const char *scenario_first_id(const struct scenario *s);
/* What the last event led to: its commands as JSON. */
const char *scenario_commanded(const struct scenario *s);
uint32_t node_ix(const struct scenario *s, const char *id);
struct node_view scenario_node(const struct scenario *s, const char *id);
uint32_t scenario_ended(const struct scenario *s, enum node_end end);
/* Ground truth that must hold whenever a run has come to its end. */
void scenario_truth(const struct scenario *s);
#define check_run(s, want) \
    assert_string_equal(run_states[engine_run((s)->engine).state].name, run_states[want].name)
#define check_end(s, id, want) \
    assert_string_equal(node_end_names[scenario_node((s), (id)).end], node_end_names[want])

#endif
