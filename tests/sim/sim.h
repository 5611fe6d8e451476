/* One simulated rollout: the real orchestrator/core and the real agent/core
 * around the simulated world. Everything that happens is an item of one queue,
 * in the order of time and then of being put in; all chance comes from seeded
 * generators. Seed and options in, verdict out. */
#ifndef PATCHWAVE_SIM_H
#define PATCHWAVE_SIM_H

#include "agent/core/agent.h"
#include "orchestrator/core/plan.h"
#include "orchestrator/core/runner.h"
#include "tests/sim/oracle/sim_oracle.h"

#define SIM_CONTROLLERS 4
#define SIM_CONNS 256
#define SIM_FAULTS 50 /* F1..F49, index 0 unused */
#define SIM_ARMED 8
#define SIM_GATES 512 /* of a log: each asking counts */
#define SIM_NONE UINT32_MAX

struct sim_options {
    uint64_t seed;
    uint64_t fault_mask; /* bit per fault; 0: the seed decides among all */
    uint64_t armed_mask; /* only seeds that have one of these armed are played; 0: each */
    uint32_t drop_mask;  /* armed faults left out, by place (shrinker) */
    uint32_t nodes_max, vms_max;
    bool no_verbs, calm_only, verbose, replay;
    bool mild;  /* no world is a cruel one: seeds of early regressions */
    bool timed; /* faults at fixed times, as the seeds of the early regressions had them */
    bool
        plain; /* faults as those seeds met them: none is put off that would change nothing, none of later kinds */
    bool plain_gates;    /* no gates of later kinds */
    const char *history; /* a file to write the log to; NULL: none */
    int64_t kill_at; /* -1: none; else the controller dies at this kill point and nothing else goes wrong */
    int64_t
        kill_again; /* -1: none; else once more, so many points after that: 0 is the first of the recovery */
    bool with_faults;     /* what the seed has armed goes wrong all the same */
    struct buf *outcome;  /* it is told there what the rollout came to (sim_outcome); NULL: not */
    const char *expected; /* what it must come to; NULL: anything */
};

/* ---- queue ---- */

enum sim_kind {
    SIM_Q_WORLD,
    SIM_Q_DRIVER,
    SIM_Q_AGENT_TIME,
    SIM_Q_AGENT_START,
    SIM_Q_AGENT_ANSWER,
    SIM_Q_TO_AGENT,
    SIM_Q_TO_CTL,
    SIM_Q_OPEN,
    SIM_Q_CLOSED_AGENT,
    SIM_Q_CLOSED_CTL,
    SIM_Q_CTL_TIME,
    SIM_Q_CTL_START,
    SIM_Q_CTL_WAKE,
    SIM_Q_SURVEY,
    SIM_Q_CONNECT,
    SIM_Q_ASK_LIMIT,
    SIM_Q_CLAIM_LIMIT,
    SIM_Q_STAGED,
    SIM_Q_FAULT,
    SIM_Q_FAULT_END,
    SIM_Q_OPERATOR,
    SIM_Q_CALM,
    SIM_Q_LOCAL
};
struct sim_item {
    time_ms at;
    uint64_t order;
    enum sim_kind kind;
    uint32_t a, b, c;
    char *text; /* owned */
    size_t len;
};

/* ---- faults ---- */

struct sim_fault_row {
    const char *id, *text;
    const char *why_not; /* NULL: playable */
    bool by_chance;      /* fires at the n-th opportunity, not at a time */
};
extern const struct sim_fault_row sim_fault_rows[SIM_FAULTS];

struct sim_armed {
    uint32_t fault;
    time_ms at;
    uint32_t nth, seen; /* by_chance */
    bool fired, left_out;
};

/* Where a controller can die, around an event. */
enum sim_kill_place {
    KILL_BEFORE_APPEND,
    KILL_AFTER_APPEND,
    KILL_AFTER_SUBMIT,
    KILL_IN_RECOVERY,
    SIM_KILL_PLACES
};

/* Named situations that a campaign has to meet (probes). */
#define SIM_PROBES(X)             \
    X(controller_killed)          \
    X(killed_before_append)       \
    X(killed_after_append)        \
    X(killed_between_submits)     \
    X(killed_in_recovery)         \
    X(agent_killed)               \
    X(agent_killed_before_record) \
    X(agent_killed_after_record)  \
    X(op_unknown)                 \
    X(op_witnessed)               \
    X(witness_not_done)           \
    X(stale_leader_woke)          \
    X(fenced)                     \
    X(stale_copy_refused)         \
    X(takeover)                   \
    X(move_refused)               \
    X(move_accept_refused)        \
    X(move_no_room)               \
    X(drain_waits)                \
    X(node_set_aside)             \
    X(node_stuck)                 \
    X(node_rolled_back)           \
    X(node_returned)              \
    X(gate_failed)                \
    X(gate_unknown)               \
    X(held)                       \
    X(promoted)                   \
    X(aborted)                    \
    X(rolling_back)               \
    X(halted)                     \
    X(finished)                   \
    X(storage_resync)             \
    X(vm_parked)                  \
    X(evidence_load)              \
    X(reboot_lost)                \
    X(found_paused)               \
    X(foreign_move_in_drain)      \
    X(reply_duplicated)           \
    X(half_open)                  \
    X(connection_cut)             \
    X(store_failed)               \
    X(journal_failed)             \
    X(compliant)                  \
    X(two_waves)
enum sim_probe {
#define X(name) PROBE_##name,
    SIM_PROBES(X)
#undef X
        SIM_PROBE_COUNT
};

/* ---- parts ---- */

struct sim_conn {
    uint32_t id; /* 0: free */
    uint32_t ctl, ctl_life, node, agent_life;
    bool open_ctl, open_agent, half;
    time_ms last_to_agent, last_to_ctl;
};

struct sim_journal LIST_OF(struct agent_record);
struct sim_run {
    uint32_t handle, run, life;
    bool leave, effect, adopted; /* adopted: begun by a process before this one */
    char op[ID_TEXT_MAX];
};
struct sim_runs LIST_OF(struct sim_run);
struct sim_agent {
    uint32_t node, life; /* life counts processes */
    struct agent *a;     /* NULL: not running */
    struct agent_effects fx, fx_abandon;
    struct arena journal_mem;
    struct sim_journal journal;
    struct sim_runs runs;
    time_ms boot_at, due;
    bool dying, host_key_changed, auth_refused, slow;
    uint32_t starts, duds;         /* duds: drivers that will say something and do nothing */
    bool foreign;                  /* its journal is that of another machine */
    bool hears_garbage;            /* what it is told just now is no answer */
    bool repeats;                  /* its gates say again what they said first */
    char *kept_backup, *kept_time; /* that; owned */
};

struct sim_entry {
    char *event, *commands;
    char hash[SHA256_TEXT];
    time_ms at;
    uint32_t revision; /* that begins to decide here; 0: the one before */
};
struct sim_entries LIST_OF(struct sim_entry);
struct sim_log {
    struct event_log base;
    struct sim *s;
    uint32_t store;
    struct sim_entries entries;
    struct event_pictures pictures; /* of the process that writes it */
    uint64_t epoch;                 /* highest in this log */
    uint32_t told;                  /* the entry that the oracle was told last */
    bool fail_next, fail_after;     /* after: it is durable, and nobody knows */
    /* what the projections said last */
    enum run_state run;
    enum wave_state waves[ORACLE_WAVES];
    enum node_end ends[WORLD_NODES];
    uint32_t gates_done; /* so many are all told */
    bool gate_told[SIM_GATES];
};

enum sim_link_state { LINK_DOWN, LINK_CONNECTING, LINK_HELLO, LINK_GREETED, LINK_CLAIMING, LINK_READY };
enum sim_req {
    REQ_NONE,
    REQ_HELLO,
    REQ_CLAIM,
    REQ_START,
    REQ_ACCEPT,
    REQ_STATUS,
    REQ_WITNESS,
    REQ_CANCEL,
    REQ_ACK,
    REQ_PART,
    REQ_JOURNAL
};
struct sim_pending {
    enum sim_req kind;
    int64_t id;
    uint32_t ask, part;
    time_ms sent;
    char op[ID_TEXT_MAX];
    char *start; /* params of the op.start that follows a move.accept; owned */
    uint32_t source;
};
#define SIM_PENDING 48
struct sim_link {
    enum sim_link_state state;
    uint32_t conn, tries, claim_no;
    bool want_claim, told_ready, journal;
    time_ms claim_until;
    int64_t next_id;
    char session[33], machine[80], boot[80];
    dur_ms mono_at_hello;
    time_ms hello_heard;
    int64_t epoch_seen, log_seq;
    char log_hash[SHA256_TEXT];
    bool greeted_once, blank; /* no claim stood in its journal at the hello */
    struct rpc_message *told; /* takeover: the claim's answer, then the journal's ops; owned */
    uint32_t n_told, told_left;
    struct sim_pending pending[SIM_PENDING];
};
#define SIM_PARTS (2 + WORLD_NODES)
struct sim_ask {
    bool used;
    uint32_t no;
    uint64_t ask;
    enum observe_what what;
    uint32_t node, cluster, parts, left;
    struct rpc_message got[SIM_PARTS];
    bool have[SIM_PARTS];
    uint32_t part_node[SIM_PARTS];
    char why[200];
};
#define SIM_ASKS 32
struct sim_backend {
    struct backend base;
    struct sim_controller *c;
    struct sim_link links[WORLD_NODES];
    struct sim_ask asks[SIM_ASKS];
    uint32_t next_ask;
    bool takeover;
};

/* The process's view of its log: it can die around an append. */
struct sim_ctl_log {
    struct event_log base;
    struct sim_controller *c;
};

enum sim_ctl_state { CTL_OFF, CTL_SURVEY, CTL_LIVE };
struct sim_controller {
    struct sim *s;
    uint32_t index, life;
    enum sim_ctl_state state;
    bool dying, takeover, paused, recovering, refused_stale;
    time_ms paused_until, due;
    enum event_type event; /* under way */
    char id[33];
    uint64_t epoch;
    struct sim_log *log;
    struct sim_ctl_log ctl_log;
    struct engine *engine;
    struct runner runner;
    struct sim_backend backend;
    struct sim_items {
        struct sim_item *items;
        uint32_t n, cap;
    } held; /* while paused */
    uint32_t starts;
};

#define SIM_IDS 64
struct sim_id { /* which store a controller's id belongs to */
    char controller[33];
    uint32_t store;
};

/* Of rollouts that count: two waves and more, and two faults and more came to pass. */
struct sim_totals {
    uint64_t runs; /* all */
    uint64_t valid, fault_hits[SIM_FAULTS], probes[SIM_PROBE_COUNT], checks[31], events, entries,
        faults_fired, by_faults[SIM_ARMED + 1];
    uint64_t broken, cpu_ms, next; /* next: the seed to go on with */
};

struct sim {
    struct sim_options opt;
    struct sim_totals *totals;
    struct sim_world world;
    struct sim_oracle oracle;
    struct oracle_policy policy;
    struct prng rng_net, rng_fault, rng_ids;
    struct sim_heap {
        struct sim_item *items;
        uint32_t n, cap;
    } heap;
    uint64_t order;
    time_ms now, world_due, calm_at, echo_until, full_until;
    bool calm, over;
    struct plan *plan;
    bool plan_refused;
    const char *why_no_plan;
    struct sim_conn conns[SIM_CONNS];
    uint32_t next_conn;
    struct sim_agent agents[WORLD_NODES];
    struct sim_controller ctls[SIM_CONTROLLERS];
    struct sim_log logs[ORACLE_STORES];
    struct sim_id ids[SIM_IDS];
    uint32_t n_ids;
    uint32_t n_logs, primary; /* the controller that the operator believes in */
    struct sim_armed armed[SIM_ARMED];
    uint32_t n_armed, fired, fault_hits[SIM_FAULTS];
    uint32_t partition;      /* bit per node: not reachable from controllers */
    uint32_t delay_extra_ms; /* net is slow */
    bool link_slow;
    uint32_t revision;   /* of the program that is installed */
    uint64_t kill_point; /* counted */
    uint32_t operator_tries, held_tries, put_back[WORLD_NODES];
    uint32_t killed[SIM_KILL_PLACES]
                   [EVENT_TYPES + 1]; /* at which events it died; EVENT_TYPES: before the first one */
    uint32_t probes[SIM_PROBE_COUNT];
    uint64_t steps;
    uint32_t by_kind[SIM_Q_LOCAL + 1];
    char hash[SHA256_TEXT]; /* over all stores at the end */
    bool compared;          /* with what it must come to */
    bool crashed_by_bug;
};

#define SIM_HIT(s, name) ((s)->probes[PROBE_##name]++)

/* sim_history.c: the log of the controller that the operator believes in */
bool sim_history_write(const struct sim *s, const char *path);

/* sim_outcome.c: what the rollout came to, in words; and is it what it must come to? (I22) */
void sim_outcome(const struct sim *s, struct buf *text);
void sim_outcome_judge(struct sim *s);

/* sim_run.c */
void sim_put(struct sim *s, time_ms at, enum sim_kind kind, uint32_t a, uint32_t b, uint32_t c,
             const char *text, size_t len);
/* Play one seed. True: no invariant was broken. The verdict is in s->oracle. */
bool sim_play(struct sim *s, const struct sim_options *opt);
void sim_free(struct sim *s);
/* The run and each node that has no end, in words. */
void sim_describe(const struct sim *s, const struct sim_controller *c, struct buf *text);
void sim_say(const struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* sim_arm.c */
void sim_faults_arm(struct sim *s);

/* sim_faults.c */
bool sim_chance(struct sim *s, uint32_t fault); /* an opportunity: does it happen now? */
void sim_fault_now(struct sim *s, uint32_t armed);
void sim_fault_end(struct sim *s, uint32_t fault, uint32_t subject);

/* sim_sources.c: does F47 to F49 befall a source of gate evidence, and do it. False: there is nothing to disturb yet. */
bool sim_by_source(struct sim *s, struct sim_armed *a);
bool sim_source_fault(struct sim *s, uint32_t fault, uint32_t node);

/* sim_net.c */
uint32_t sim_connect(struct sim *s, uint32_t ctl, uint32_t node);
void sim_to_agent(struct sim *s, uint32_t conn, const char *text, size_t len);
void sim_to_ctl(struct sim *s, uint32_t conn, const char *text, size_t len);
void sim_close(struct sim *s, uint32_t conn, bool by_ctl);
void sim_net_node_gone(struct sim *s, uint32_t node); /* no farewell: the peer finds out late */
void sim_net_agent_gone(struct sim *s, uint32_t node);
void sim_net_ctl_gone(struct sim *s, uint32_t ctl);
void sim_net_cut(struct sim *s, uint32_t node);
void sim_net_half_open(struct sim *s, uint32_t node);
void sim_net_item(struct sim *s, struct sim_item *it);

/* sim_agent.c */
void sim_agents_init(struct sim *s);
void sim_agent_start(struct sim *s, uint32_t node);
void sim_agent_kill(struct sim *s, uint32_t node, bool node_too);
void sim_agent_open(struct sim *s, uint32_t node, uint32_t conn);
void sim_agent_closed(struct sim *s, uint32_t node, uint32_t conn);
void sim_agent_line(struct sim *s, uint32_t node, uint32_t conn, const char *text, size_t len);
void sim_agent_time(struct sim *s, uint32_t node);
void sim_agent_driver(struct sim *s, uint32_t node, uint32_t handle, const char *text, size_t len);
void sim_agent_answer(struct sim *s, uint32_t node, uint32_t run, uint32_t life, const char *text,
                      size_t len);
void sim_agent_lose_journal(struct sim *s, uint32_t node);
void sim_agent_free(struct sim_agent *a);
void sim_agents_forget(void);

/* sim_log.c */
void sim_log_init(struct sim *s, struct sim_log *l, uint32_t store);
void sim_log_copy(struct sim *s, struct sim_log *from, struct sim_log *to, uint64_t up_to);
void sim_log_free(struct sim_log *l);
/* The engine revision that decides at the log's end, and from which entry on. */
uint32_t sim_log_revision(const struct sim_log *l, uint32_t *ret_from);
bool sim_log_holds(const struct sim_log *l, uint64_t seq, const char *hash);

/* sim_controller.c */
void sim_ctl_start(struct sim *s, uint32_t ctl, uint32_t log, bool takeover);
void sim_ctl_kill(struct sim *s, uint32_t ctl);
void sim_ctl_surveyed(struct sim *s, uint32_t ctl);
void sim_ctl_feed(struct sim_controller *c, struct event *ev);
void sim_ctl_verb(struct sim *s, uint32_t ctl, enum verb v, uint32_t node, const char *op,
                  enum op_witness decision);
void sim_ctl_time(struct sim *s, uint32_t ctl);
bool sim_ctl_pause(struct sim *s, uint32_t ctl, dur_ms d);
bool sim_ctl_hold_item(struct sim *s, struct sim_item *it);
uint32_t sim_store_of(const struct sim *s, const char *controller);
/* A kill point: does the controller die here? */
bool sim_kill_point(struct sim_controller *c, enum sim_kill_place place, enum event_type ev);

/* sim_backend.c, sim_backend_ask.c */
void sim_backend_init(struct sim_controller *c);
void sim_backend_free(struct sim_backend *b);
void sim_backend_survey(struct sim_controller *c);
void sim_backend_connected(struct sim_controller *c, uint32_t node, uint32_t conn);
void sim_backend_closed(struct sim_controller *c, uint32_t node, uint32_t conn);
void sim_backend_line(struct sim_controller *c, uint32_t node, uint32_t conn, const char *text, size_t len);
void sim_backend_local(struct sim_controller *c, uint32_t node, uint32_t what, const char *op);
void sim_backend_retry(struct sim_controller *c, uint32_t node, uint32_t claim_no);
void sim_backend_claim_limit(struct sim_controller *c, uint32_t node, uint32_t claim_no);
void sim_backend_staged(struct sim_controller *c, uint32_t node);
void sim_ask_begin(struct sim_backend *b, const struct command *cmd);
void sim_ask_part(struct sim_backend *b, uint32_t ask, uint32_t part, struct rpc_message *msg,
                  const char *why);
void sim_ask_limit(struct sim_backend *b, uint32_t ask);
struct sim_pending *sim_request(struct sim_backend *b, uint32_t node, enum sim_req kind, const char *method,
                                const char *params);

/* sim_policy.c */
int sim_policy_make(struct sim *s, struct err *err);

/* sim_operator.c */
void sim_operator_init(struct sim *s);
void sim_operator_step(struct sim *s);

/* sim_totals.c */
void sim_totals_add(struct sim_totals *t, const struct sim *s);
void sim_totals_print(const struct sim_totals *t);
/* Was everything met often enough for so many rollouts? Says what was not. Few rollouts show nothing: true. */
bool sim_totals_judge(const struct sim_totals *t);
/* A campaign's state as lines `name value`. False: the file cannot be written, or is none. */
bool sim_totals_save(const struct sim_totals *t, const char *path);
bool sim_totals_load(struct sim_totals *t, const char *path);

#endif
