/* The thirty invariants of docs/reliability.md (I1..I30) over ground truth.
 *
 * The oracle sees three things: the world as it really is; what agents make
 * durable (claims, ACCEPT, START); and plain facts out of the controllers'
 * durable stores (intents, verbs, wave, gate and node records), per store,
 * because a copied store is another truth. It includes nothing of either
 * program: the build checks that.
 *
 * What others do to the world may break a condition by itself; then our
 * effect is at fault only if it was admitted after the change had been there
 * for longer than inventories may be old (`fresh_ms`) plus what a message in
 * flight may take (`slack_ms`). */
#ifndef PATCHWAVE_SIM_ORACLE_H
#define PATCHWAVE_SIM_ORACLE_H

#include "schema/list.h"
#include "schema/sha256.h"
#include "tests/sim/oracle/sim_world.h"

#define ORACLE_STORES 4
#define ORACLE_WAVES 8
#define ORACLE_GATES 8

/* What the board signed, and what the harness made of the seed. */
struct oracle_gate {
    char what[20];                       /* backup_agent, cluster, time, heartbeat, manual */
    bool before, after, by_node, shared; /* shared: another gate asks for the same */
    dur_ms soak_ms, interval_ms, max_age_ms;
    uint32_t samples, failures; /* failures: so many samples may fail */
};
struct oracle_policy {
    uint32_t waves, wave_of[WORLD_NODES]; /* WORLD_NONE: not in scope */
    uint32_t failures_run, failures_wave, max_out_fleet, moves_per_vm, moves_back, attempts;
    time_ms window_from, window_to, freeze_from, freeze_to, expires, consent_expires; /* 0: none */
    bool back_outside_window, reboot_always, rehearse;
    bool back_run; /* a rollback is one of the whole run */
    dur_ms fresh_ms, slack_ms;
    dur_ms unreachable_ms,
        reboot_limit_ms; /* O17: until nobody waits any more; a reboot of ours is waited for longer */
    struct oracle_gate gates[ORACLE_GATES];
    uint32_t n_gates;
};

enum oracle_run {
    ORACLE_RUN_PLANNED,
    ORACLE_RUN_RUNNING,
    ORACLE_RUN_HOLDING,
    ORACLE_RUN_BACK,
    ORACLE_RUN_FINISHED,
    ORACLE_RUN_ROLLED_BACK,
    ORACLE_RUN_HALTED,
    ORACLE_RUN_ABORTED
};
enum oracle_end {
    ORACLE_END_NONE,
    ORACLE_END_DONE,
    ORACLE_END_COMPLIANT,
    ORACLE_END_ROLLED_BACK,
    ORACLE_END_RETURNED,
    ORACLE_END_SET_ASIDE,
    ORACLE_END_NOT_STARTED,
    ORACLE_END_STUCK
};
enum oracle_answer { ORACLE_PASS, ORACLE_FAIL, ORACLE_UNKNOWN };

struct oracle_intent {
    uint32_t store;
    uint64_t seq;
    time_ms at;
    char op[128], action[24];
    uint32_t node, vm, to, life;
    enum oracle_run run; /* the run's state as stored with it */
    bool resulted, accepted, started, back;
    bool outcome;          /* it has one: by journal, witness or person; or nobody waits for one any more */
    bool cancelled;        /* the store ordered that it be called off */
    bool too_late;         /* never seen by its node, and by now decided on an old picture */
    time_ms first_at;      /* when it was decided */
    time_ms sent_at;       /* last */
    bool ended, refuted;   /* the agent's journal: DONE; its witness: not_done, since the last START */
    bool load, drained;    /* a move off a node in service; one off a node that is out */
    bool unrecorded;       /* the journal that knew of it is lost */
    uint64_t unseen;       /* when it was decided */
    uint32_t sent, starts; /* how often */
    uint32_t applied;      /* effects that took hold */
    bool took;             /* anything of it did */
};
struct oracle_intents LIST_OF(struct oracle_intent);

struct oracle_evidence {
    uint32_t store, node, cluster;
    char what[16]; /* empty: a node was lost */
    time_ms taken, at;
    bool answered;
};
struct oracle_evidences LIST_OF(struct oracle_evidence);

struct oracle_claim {
    int64_t epoch;
    time_ms at;
    char controller[33];
};

/* The answers of the gates before a wave, or of those after it; a bit each. */
struct oracle_stage {
    uint32_t passed, unknown;
    bool failed;
    time_ms open_at; /* all have passed, or a person has opened them; 0: not yet */
};

struct oracle_store {
    enum oracle_run run;
    time_ms aborted_at; /* a person said so; 0: no, or a rollback was asked for since */
    time_ms closed_at;  /* by force, last */
    time_ms
        stopped_at; /* nothing new begins: halted, ended, or on the way to a rollback; 0: it goes on, either way */
    time_ms wave_over[ORACLE_WAVES];
    /* Bit per VM: it ran when the wave began, and nobody copied the store since. */
    uint64_t ran[ORACLE_WAVES];
    bool passed[ORACLE_WAVES], approved, paused_by_verb, rolled_back;
    time_ms passed_at[ORACLE_WAVES];
    struct oracle_stage before[ORACLE_WAVES], after[ORACLE_WAVES];
    bool began[ORACLE_WAVES];
    enum oracle_end ends[WORLD_NODES];
    /* done_before: judged as done, and nothing of this store has begun there since; done_of_old: told by a copy whose node
     * another store has been at since: judged at the end */
    bool done_before[WORLD_NODES], done_of_old[WORLD_NODES];
    time_ms ended_at[WORLD_NODES], given_up[WORLD_NODES]; /* given up: set aside by a person */
    uint32_t step_failed[WORLD_NODES];                    /* or refused: in which life, last; 0: never */
    time_ms seen_up[WORLD_NODES];   /* by a whole picture of its cluster, in truth too */
    bool spoken_to[WORLD_NODES];    /* claimed, and not lost since */
    time_ms spoken_at[WORLD_NODES]; /* since when */
    bool distrusted[WORLD_NODES];   /* another key or machine, says the record; not claimed since (I16) */
    time_ms told_vms[WORLD_NODES];  /* when it listed them last, for a picture */
    bool put_back[WORLD_NODES];     /* by a person, whoever had paused it */
    uint64_t last_seq;
    time_ms handed_at;                 /* to another revision, last */
    time_ms back_began;                /* a rollback, last */
    time_ms heard_at, awake_since;     /* of its last entry; since when they come without long gaps */
    bool failed;                       /* an append failed: no more commands */
    bool setting_told[WORLD_CLUSTERS]; /* per cluster: said that its settings may not be as they were (O18) */
    time_ms setting_known[WORLD_CLUSTERS]; /* when the record said last how they are */
};

struct oracle_node {
    struct oracle_claim claim;
    time_ms start_at;  /* of the last START */
    uint32_t store;    /* whose op that was */
    uint32_t installs; /* installs and removals that took hold */
    time_ms exo_at_pause;
    uint64_t unseen_at_pause; /* when that was decided */
    time_ms not_told_apart;   /* the pause of others that came in the very moment of ours */
};

struct sim_oracle {
    struct sim_world *w;
    struct oracle_policy policy;
    struct oracle_store stores[ORACLE_STORES];
    struct oracle_node nodes[WORLD_NODES];
    struct oracle_intents intents;
    struct oracle_evidences evidence;
    uint64_t checks[31]; /* how often each was really judged */
    uint64_t checks_kept[31];
    bool copying; /* nothing is judged */
    int broken;   /* 0, or the number of the first invariant that broke */
    struct buf why;
    time_ms broken_at;
};

void oracle_init(struct sim_oracle *o, struct sim_world *w, const struct oracle_policy *p);
void oracle_clear(struct sim_oracle *o);
/* Note a violation; the first one counts. */
#define oracle_break(o, invariant, ...)                           \
    do {                                                          \
        struct buf *oracle_why = oracle_broken((o), (invariant)); \
        if (oracle_why != NULL)                                   \
            buf_printf(oracle_why, __VA_ARGS__);                  \
    } while (0)
struct buf *oracle_broken(struct sim_oracle *o, int invariant); /* NULL: one is known already */

/* Durable facts of a store, in their order; `begins`: a process began with this entry. */
void oracle_entry(struct sim_oracle *o, uint32_t store, time_ms at, bool begins);
struct oracle_intent_fact {
    uint32_t store;
    uint64_t seq;
    time_ms at;
    const char *op, *action, *vm, *to, *node;
};
void oracle_intent(struct sim_oracle *o, const struct oracle_intent_fact *f);
void oracle_verb(struct sim_oracle *o, uint32_t store, time_ms at, const char *verb, uint32_t node);
/* A person has looked at the node, and says of that step, NULL: of what another log did there, that it is done. */
void oracle_vouched(struct sim_oracle *o, uint32_t store, uint32_t node, const char *op);
void oracle_run(struct sim_oracle *o, uint32_t store, time_ms at, enum oracle_run run);
void oracle_wave_over(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave);
void oracle_wave_failed(struct sim_oracle *o, uint32_t store, time_ms at);
void oracle_wave_began(struct sim_oracle *o, uint32_t store, uint32_t wave);
void oracle_wave_passed(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave);
void oracle_gate_answer(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave, bool after,
                        uint32_t gate, enum oracle_answer answer, bool by_person);
void oracle_node_end(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t node, enum oracle_end end);
void oracle_evidence(struct sim_oracle *o, uint32_t store, time_ms at, const char *what, uint32_t node,
                     uint32_t cluster, time_ms taken);
/* Asked, and no answer came; or, `what` empty, the node went out of reach. */
void oracle_no_evidence(struct sim_oracle *o, uint32_t store, time_ms at, const char *what, uint32_t node,
                        uint32_t cluster);
/* The store has the node's claim, or hears that it has lost it. */
void oracle_spoken_to(struct sim_oracle *o, uint32_t store, uint32_t node, time_ms at, bool now);
/* The record says that it is not the node it was: nobody asks it until a person has looked. */
void oracle_distrusted(struct sim_oracle *o, uint32_t store, uint32_t node);
void oracle_vms_told(struct sim_oracle *o, uint32_t store, uint32_t node, time_ms at);
/* An op's result was recorded; `moved_on`: it changed more than the log. */
void oracle_result(struct sim_oracle *o, uint32_t store, const char *op, uint32_t node, bool moved_on);
/* A step on that node failed, or was refused. */
void oracle_step_failed(struct sim_oracle *o, uint32_t store, const char *op, uint32_t node);
/* A node's own word that the op succeeded. */
void oracle_told_done(struct sim_oracle *o, const char *op);
/* The node says that it never saw the op. */
void oracle_never_seen(struct sim_oracle *o, uint32_t store, const char *op, uint32_t node, bool moved_on);
/* An entry says that the op has had its effect. */
void oracle_claims_effect(struct sim_oracle *o, const char *op, const char *action);
void oracle_cancelled(struct sim_oracle *o, uint32_t store, const char *op);
/* Another revision goes on: what was open and never began is called off, nobody sends it again. */
void oracle_handed_over(struct sim_oracle *o, uint32_t store);
void oracle_store_failed(struct sim_oracle *o, uint32_t store);
void oracle_store_recovered(struct sim_oracle *o, uint32_t store);
/* Every node in service that may be spoken to has listed its VMs for it, or that log has had to do with their service. */
bool oracle_whole_picture(const struct sim_oracle *o, uint32_t store, uint32_t cluster, time_ms taken);
/* A store was copied, perhaps as it was earlier: between the two its entries are told once more, for `to`. They were judged
 * when they came to pass. What agents did about its intents is known of `from`. */
void oracle_copy_begin(struct sim_oracle *o, uint32_t to);
void oracle_copy_end(struct sim_oracle *o, uint32_t from, uint32_t to);
/* A controller handed a command to its backend. */
void oracle_submit(struct sim_oracle *o, uint32_t store, const char *op);

/* Durable facts of agents. */
void oracle_claimed(struct sim_oracle *o, uint32_t node, int64_t epoch, const char *controller);
void oracle_accepted(struct sim_oracle *o, uint32_t node, uint32_t store, const char *op, const char *action,
                     int64_t epoch, const char *controller);
void oracle_started(struct sim_oracle *o, uint32_t node, uint32_t store, const char *op, const char *action,
                    int64_t epoch, const char *controller);
/* DONE; `by_garbage`: as a success, by what is no answer. */
void oracle_ended(struct sim_oracle *o, const char *op, bool by_garbage);
void oracle_heard_garbage(struct sim_oracle *o);           /* and lives */
void oracle_refuted(struct sim_oracle *o, const char *op); /* its witness: not_done */
void oracle_journal_lost(struct sim_oracle *o, uint32_t node);

/* Wired to the world's on_truth. */
void oracle_truth(struct sim_oracle *o, const struct world_truth *t);
/* After every event. */
void oracle_step(struct sim_oracle *o);

/* A note of O18 about this cluster. */
void oracle_setting_told(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t cluster, bool warning);

/* A controller lives and is not paused; nothing was written for `quiet_ms`, and no moment is set at which it would look again. */
void oracle_asleep(struct sim_oracle *o, dur_ms quiet_ms, const char *state);
/* Hours of calm, and the run does not come to its end. */
void oracle_endless(struct sim_oracle *o, const char *state);

/* At the end, after the calm. */
struct oracle_ending {
    uint32_t store;
    bool at_rest, explained; /* explained: names what it waits for */
    const char *state;
    bool reported_stuck[WORLD_NODES];
    uint64_t reported_down; /* bit per VM: the run's own words name it */
    uint64_t ledger_down;   /* bit per VM: its ledger has it as still down */
    uint32_t no_reason;     /* bit per node: its end is one that has a reason, and it gives none */
    uint32_t put_back;      /* bit per node: in the calm a person had it put back, twice */
    uint32_t named;         /* bit per node: the run's end names it as not rolled back */
};
void oracle_end(struct sim_oracle *o, const struct oracle_ending *e);

/* sim_fit.c: can the VMs on `node` be placed on nodes that are in service? `unseen`: VMs (a bit each) of which the store could not
 * know what others made of them: they are taken for what they were, wherever they may be. */
bool oracle_fits(const struct sim_world *w, uint32_t node, uint64_t unseen);
/* With what the other nodes that are out still have to give away. */
bool oracle_fits_together(const struct sim_world *w, uint32_t node, uint64_t unseen);
/* I3 for the state as it is: for each further node, do its VMs fit? */
bool oracle_survives_one_more(const struct sim_world *w, uint32_t cluster, bool must_restart_only,
                              uint64_t unseen);
/* The aggregate form, with `node` out too. `stuck`: nodes, a bit each, that the store has given up: nobody goes on draining them. */
bool oracle_room_for_one_more(const struct sim_world *w, uint32_t node, bool must_restart_only,
                              uint64_t unseen, uint32_t stuck);

/* sim_oracle_seen.c: VMs that others have made something else of, on nodes that the store cannot speak to, since those told it
 * of them. A bit each. */
uint64_t oracle_unseen(const struct sim_oracle *o, uint32_t store);

/* sim_oracle_admit.c */
struct oracle_intent *oracle_find(struct sim_oracle *o, uint32_t store, const char *op);
bool oracle_recent(const struct sim_oracle *o, uint32_t cluster);
bool oracle_goes_home(const char *action);
/* Of pausing and resuming the node, that log decided pausing last (`besides`: but for this, NULL: none): others may have resumed it since. */
bool oracle_drained_by(const struct sim_oracle *o, uint32_t store, uint32_t node,
                       const struct oracle_intent *besides);
/* Others have ended our pause and made their own, and nothing told that log: to it the node is out as before (O7). */
bool oracle_pause_not_told_apart(const struct sim_oracle *o, uint32_t store, uint32_t node);
/* A pause that begins no drain: to its log the node is out as before, since nothing told that others have ended that, whether or not
 * they have made their own (O7). */
bool oracle_pauses_again(const struct sim_oracle *o, const struct oracle_intent *x);
/* That log has it out, and should long know that nobody can look at it any more (O17). */
bool oracle_out_of_reach(const struct sim_oracle *o, uint32_t store, uint32_t node);
/* The node of a rehearsal, once that store has had anything installed; WORLD_NONE. */
uint32_t oracle_rehearsed(const struct sim_oracle *o, uint32_t store);
/* sim_oracle_stop.c: at the intent, and at the START */
void oracle_check_stopped(struct sim_oracle *o, const struct oracle_intent *x);
void oracle_check_halted(struct sim_oracle *o, const struct oracle_intent *x);
/* sim_oracle_gate.c */
void oracle_check_pass(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave, bool after,
                       const struct oracle_gate *g);
void oracle_stage_answer(struct sim_oracle *o, uint32_t store, time_ms at, uint32_t wave, bool after,
                         uint32_t gate, enum oracle_answer answer);
void oracle_stage_verb(struct sim_oracle *o, uint32_t store, time_ms at, const char *verb);
void oracle_stage_handed(struct sim_oracle *o, uint32_t store);
bool oracle_after_passed(const struct sim_oracle *o, uint32_t store, uint32_t wave);
/* When that was decided the gates before the wave had passed, or a person had opened them. */
bool oracle_before_passed(const struct sim_oracle *o, const struct oracle_intent *x, uint32_t wave);
/* sim_oracle_truth.c */
/* of_old: the end came long ago; other nodes of the cluster may have been out since. */
void oracle_check_done(struct sim_oracle *o, uint32_t node, bool of_old);
/* The part of it that nobody's hand on the node undoes: judged at the end too, for what was too recent then. */
void oracle_check_patched(struct sim_oracle *o, uint32_t node);
/* Others have put the package in, or a newer one, and no removal of ours has taken that out: what is there may be theirs. */
bool oracle_theirs(const struct sim_oracle *o, uint32_t node);
/* Going back: out is what was put in, and booted since. */
void oracle_check_removed(struct sim_oracle *o, uint32_t node);
/* At the target or newer, and nothing waits for a boot (O11). */
void oracle_check_compliant(struct sim_oracle *o, uint32_t node);

#endif
