/* The engine's inside, for core's own engine_*.c files and for nobody else. */
#ifndef PATCHWAVE_ENGINE_STATE_H
#define PATCHWAVE_ENGINE_STATE_H

#include "orchestrator/core/engine.h"
#include "orchestrator/core/engine_timer.h"
#include "orchestrator/core/gate.h"
#include "orchestrator/core/ledger.h"
#include "schema/list.h"

#include <assert.h>
#include <stdlib.h>

enum action {
    ACT_PAUSE,
    ACT_MOVE_VM,
    ACT_PARK_VM,
    ACT_MOVE_GROUPS,
    ACT_STORAGE_OUT,
    ACT_STOP_VMMS,
    ACT_BITLOCKER,
    ACT_INSTALL,
    ACT_UNINSTALL,
    ACT_REBOOT,
    ACT_START_VMMS,
    ACT_STORAGE_IN,
    ACT_RESUME,
    ACT_UNPARK_VM,
    ACT_MERGE,
    ACT_CLUSTER_SETTING,
    ACTIONS
};

enum timer_kind { TIMER_OP, TIMER_ASK, TIMER_NODE, TIMER_LINK, TIMER_CLUSTER, TIMER_GATE, TIMER_RUN };

/* One operation with an intent and no result yet. */
struct op {
    struct op_id id;
    enum action action;
    uint32_t node, vm, receiver; /* vm, receiver: IX_NONE where none */
    uint32_t slot;               /* in engine.ops */
    uint32_t setting;            /* of ACT_CLUSTER_SETTING: enum cluster_setting */
    uint64_t memory_mib;
    struct buf args, precondition; /* kept for sending the same op once more */
    dur_ms limit_ms;
    time_ms decided, sent, deadline;
    time_ms refuted_start; /* the start that its witness refuted last, by the node's clock; 0: none */
    struct estimate predicted;
    enum op_state state;
    enum op_outcome outcome;
    uint32_t sends, refuted, probes;
    bool seen;      /* the node had it in its journal */
    bool at_work;   /* its witness said last that it still runs */
    bool listed;    /* in the claim's answer under way */
    bool probing;   /* a probe is under way */
    bool late;      /* past its deadline */
    bool unknown;   /* nobody can tell: counted in its node */
    bool cancelled; /* an OP_CANCEL was sent */
    bool too_late;  /* that is why: decided anew when it is called off */
    bool undone;    /* the node was seen in service: past a pause's time, or since a resume was sent (O7) */
    bool evidence;  /* a move of O15 */
    bool unproved;  /* a move from patched to unpatched (O16) */
    struct timer timer;
};

/* One question on its way. */
struct ask {
    uint64_t id; /* 0: free */
    enum observe_what what;
    uint32_t slot, node, cluster, gate; /* gate: index into gate_runs or IX_NONE */
    time_ms sent;
    struct timer timer;
};

enum drain_step { DRAIN_PAUSE, DRAIN_PROVE, DRAIN_MOVES, DRAIN_PARKS, DRAIN_GROUPS, DRAIN_EMPTY };
enum resume_step { RESUME_COMPARE, RESUME_CSV, RESUME_NODE, RESUME_VMS };
enum node_goal { GOAL_INSTALL, GOAL_REMOVE, GOAL_REBOOT_FIRST, GOAL_REBOOT_AGAIN };
enum move_state { MOVE_PENDING, MOVE_FLYING, MOVE_LANDED, MOVE_GIVEN_UP };

struct node_move {
    uint32_t vm, to, tries;
    bool unproved;
    enum move_state state;
    time_ms not_before;
};
struct node_park {
    uint32_t vm;
    enum park_method method;
    bool checkpoint, merged;
    bool down;  /* by us: it is owed a way back */
    bool lost;  /* that failed: the next way home tries it again */
    bool again; /* a boot may have started it: parked once more before anything else happens */
    time_ms down_since;
};
struct node_moves LIST_OF(struct node_move);
struct node_parks LIST_OF(struct node_park);

/* What O12 compares: the node's own record before the drain and after. */
struct node_record {
    bool known;
    time_ms at;
    uint64_t memory_mib, switches, interfaces; /* the last two: hashes over the sorted list */
    uint32_t cpus, storage_paths;
    struct build build, level; /* level: as facts_level() */
    bool pending, idle, bitlocker;
    char boot_id[64];
    uint64_t bitlocker_state, attestation;
};

struct engine_node {
    uint32_t ix, cluster, plan_ix, wave, order, batch;
    enum node_phase phase;
    enum node_end end, home_end, go_end; /* go_end: what going home comes to */
    uint32_t step, goal;
    bool back, claimed, refused, staged, staging, rehearse;
    bool paused;     /* by us, and not resumed */
    bool pause_lost; /* others have ended that: a pause that is found now is theirs (O7) */
    /* While paused: in service in a picture asked since then, others have ended it. When its end was heard, or it was taken
     * over, or decided what another log did; 0: a person says that it is paused (`return`), and no picture is held against that. */
    time_ms paused_at;
    time_ms
        looked_from; /* stopped before its way back: since when its cluster is looked at for its end; 0: it is not */
    bool vmms_touched, storage_touched, installed, verified, unpark_failed;
    bool failed; /* counted against the budget */
    bool patched_by_us;
    time_ms supposed_at;  /* since then by suspicion only: no node has said so (I12); 0: it is not */
    bool proved;          /* verified as patched, and no removal has begun to change that (I17) */
    bool go_home;         /* to its next safe point */
    bool anew;            /* out when another engine revision took over: untouched, it has another turn */
    bool lost_unknown;    /* out, and unreachable for too long */
    bool foreign_op;      /* an op that this log does not know */
    bool foreign_led;     /* some of them were of the node itself: its phase is not what this log has of it */
    bool foreign_settled; /* a person has looked at them, and this log has overtaken none since */
    bool foreign_out;     /* the log that knew them left it paused, and nobody has resumed it since */
    bool pause_in_doubt;  /* the node says it never saw our pause; or its journal is lost */
    bool undecided_runs;  /* that op is at work, the node says */
    bool seen;            /* claimed by the controller that is at work */
    bool blank;           /* no claim stood in its journal, new or lost, and nothing was sent there since */
    bool unread;          /* since a takeover its journal has not been read */
    bool up_since;        /* since it has been, a picture has shown the node in service */
    bool counted_out;     /* in the books of out nodes */
    bool claim_due;       /* the link timer is to claim first */
    bool in_rollback, counted_open;
    bool reboot_sent, reboot_due; /* sent: it has happened, the new boot is awaited */
    bool suspended;               /* BitLocker, for the next boot */
    uint32_t unknown_ops, moves_open, park_at;
    uint32_t life, attempt, tries, reboots, proofs;
    /* The highest in which another log has led it: an id of those lives may be that log's op. */
    uint32_t life_heard;
    uint32_t life_told;             /* the same, before the claim that is being told */
    uint32_t life_placed;           /* the latest of these that says where it was left */
    uint32_t life_changed;          /* the latest that says whether the package is in */
    uint32_t life_settled;          /* a person had looked up to this one when this log overtook another */
    uint32_t rehearsal;             /* lives of the rehearsal that are over (O14) */
    struct build build_first;       /* before the run touched it */
    struct build level_first;       /* its newest cumulative update then: what a removal goes back to */
    uint8_t attempts[ACTIONS];      /* of this life */
    uint8_t withdrawn[ACTIONS];     /* of these: called off before they began, for being too late */
    uint8_t attempts_ever[ACTIONS]; /* the most in any life: what this log cannot have meant is another's */
    uint64_t own_lives;             /* node_bit() of each in which this log has begun something */
    uint64_t own_settings;          /* node_bit() of each of setting_ops that this log has asked for */
    uint32_t setting_ops;           /* asked of it for its cluster, in all its lives */
    time_ms facts_at, facts_asked;  /* when it last told its facts, and was asked; 0: never */
    bool facts_failed;
    time_ms since, step_since, turn_since, out_since, out_until, lost_at;
    time_ms rebooted[2]; /* the last two, for O14's spacing */
    uint64_t former_mib; /* carried before the drain (O15) */
    uint32_t csv_bad;
    struct node_record before;
    struct arena facts_arena;
    struct node_facts facts; /* for O6, of what was seen last */
    struct node_moves moves;
    struct node_parks parks;
    struct op *op; /* the node-level one */
    struct ask *ask;
    time_ms asked_at; /* the last one */
    char boot_id[64];
    char boot_effect[64];       /* the boot that the latest effect ran in */
    char boot_effect_first[64]; /* the boot of install or removal */
    struct build build_now;
    struct timer wake, link;
    /* Of the last lost connection or refused claim, also past a life that begins; "": none. */
    char lost_why[160];
    char undecided[ID_TEXT_MAX];              /* an op that was given up and has no end there; "": none */
    char reason[256], doubt[256], waits[160]; /* doubt: why it is unknown, while it is */
};

enum setting_state {
    SETTING_UNTOUCHED,
    SETTING_SETTING,
    SETTING_SET,
    SETTING_RESTORING,
    SETTING_RESTORED,
    SETTING_UNCHANGED, /* it was so before */
    SETTING_FOREIGN,   /* ours, then changed by somebody else */
    SETTING_REFUSED,
    SETTING_LEFT, /* not put back */
    SETTING_STATES
};
struct engine_setting {
    enum setting_state state;
    uint32_t old, seen, tries;
    bool looked;        /* at the end of a run that was taken up again */
    bool restore_tried; /* an op of ours may have put it back already */
    time_ms since;
    struct op *op;
};

struct engine_cluster {
    uint32_t ix;
    struct ask *ask;
    struct timer timer;
    uint32_t out; /* nodes out by us, stuck ones too */
    bool in_scope, dirty, wanted;
    /* Refused by what clusters share (C9: the fleet's cap, a class's): one at work elsewhere may free it. */
    bool shared;
    time_ms seen_at;  /* when the last whole picture was asked for; -1: never */
    time_ms moved_at; /* our last own change of a placement */
    /* O21: the row of clean samples, its first (0: not clean) and its last; a row counts that began since `clean_after`. */
    time_ms clean_since, clean_last, clean_after;
    time_ms looked_before;             /* `clean_since`: the picture before that one */
    time_ms held_until;                /* O26: a foreign move during a drain */
    time_ms refused_since, refused_at; /* the latter: the last time */
    time_ms changed_at;                /* a node of ours went out or came back */
    time_ms reached_at;                /* a node came into reach: its VMs were not in what was seen before */
    uint64_t stamp;
    struct {
        uint32_t *items;
        uint32_t n, cap;
    } waiters;                         /* gate runs that wait for the picture */
    uint64_t changes, refused_changes; /* so that a refusal is not proved over and over */
    uint32_t csv_bad, fails;
    uint32_t loads;     /* evidence loads on their way (O15) */
    uint32_t strangers; /* migrations without an op of ours, as seen last: they take slots (I10) */
    bool stretched, witness_bad;
    struct engine_setting settings[CLUSTER_SETTINGS]; /* O18 */
    time_ms settings_at, restore_from;                /* when they were last asked for; 0: not begun */
    char setting_why[160];
    char busy[96], why[128], refusal[160];
    uint32_t slots; /* of migration per node, as the cluster says; 0: not told (O19) */
    struct {
        uint32_t *items;
        uint32_t n, cap;
    } members; /* of the round, in order to start */
};

struct engine_vm {
    struct op *op;
    uint32_t ops;     /* attempts so far: makes ids unique */
    uint64_t own_ops; /* node_bit() of each of them that this log has asked for */
    /* The same of another log of this run: what stands in a journal is told, not done (C.3). */
    uint32_t ops_heard;
    uint32_t moves_back;
    /* Its group is down, and wanted online, by each picture since that one; 0: it is not. */
    time_ms down_since;
    bool down_before; /* it did not run when the wave began, nor since */
};

struct engine_load {
    uint32_t vm, to;
    enum move_state state;
}; /* O15 */

struct engine_wave {
    enum wave_state state;
    time_ms started, ended, nodes_ended;
    uint32_t open, failures, unknown;
};

struct gate_run {
    const struct gate *gate;
    uint32_t ix, gate_ix, wave;
    bool after, baseline, done, sampling;
    enum gate_answer answer, sample;
    struct gate_tally tally;
    uint32_t pending;
    time_ms started, ended, sample_at;
    struct timer timer;
    char text[224], sample_text[192];
};

enum hold {
    HOLD_NONE,
    HOLD_OPERATOR,
    HOLD_GATE,
    HOLD_MANUAL,
    HOLD_WINDOW,
    HOLD_UNKNOWN,
    HOLD_DEVIATIONS,
    HOLD_REMOVAL,
    HOLDS
};

/* Of the ledger, still down; `since` by our own clock: when it was taken in. */
struct open_row {
    uint32_t row;
    time_ms since;
};
struct open_rows LIST_OF(struct open_row);

struct engine {
    uint32_t revision;
    const struct plan *plan;
    const struct inventory *inv;
    const struct rollout *rollout;
    struct fleet fleet;
    struct predictor *predictor;
    struct ledger ledger;
    struct open_rows rows_open;
    struct buf scratch[4];
    uint32_t scratch_at;
    struct command_list *out; /* of the step under way */
    bool nomem, bug;
    time_ms now;

    char run[64], controller[64], fence_text[256], end_text[512], hold_text[320];
    uint64_t epoch, asks_made;
    time_ms approval_expires, started, ended;
    time_ms controller_at;            /* when this controller started */
    time_ms woke_at;                  /* when it was found to have been stopped; 0: never */
    enum run_state state, held_state; /* held_state: where holding leads back to */
    enum hold hold;
    enum run_state ending; /* what the run comes to when nothing is out any more; RUN_RUNNING: nothing */
    bool loads_due;
    bool gates_due; /* an answer came while the run was holding */
    enum gate_answer gates_answer;
    char gates_text[320];
    bool gate_rolls_back, gate_manual; /* of the gate that decided the stage */
    uint64_t stamp;
    bool stopped, fenced, at_rest, removal_known, removal_possible, clusters_dirty;
    uint32_t wave, failures, unknown, deviations, deviations_allowed, deviations_asked, in_flight,
        rollback_open, rollback_failed;
    uint32_t out_all;
    time_ms moved_at; /* something went on */
    bool window_blocked, budget_changed;
    /* Some time: another log may have gone on from where this one was, and no journal tell of it. */
    bool overtook;
    bool overtaken;    /* a node has said so: whoever starts on this log again overtakes that one */
    bool resumed;      /* another controller has gone on with this log */
    bool closing;      /* nothing is out any more: the cluster settings are being put back */
    bool settings_due; /* the same after the end, as `return` asked */
    time_ms window_at;
    uint32_t rollback_wave; /* IX_NONE: of the whole run */
    uint32_t role_moving[ROLE_CONTROLLER + 1];

    struct engine_node *nodes;
    struct engine_cluster *clusters;
    struct engine_vm *vms;
    uint32_t n_vms; /* as fleet.vms; grown with it */
    struct engine_wave *waves;
    struct {
        struct gate_run **items;
        uint32_t n, cap;
    } gate_runs;
    uint32_t gates_first, gates_open; /* of the stage under way */
    uint32_t *baseline;               /* per gate x (nodes + clusters) */
    time_ms *stamps;                  /* likewise: of the evidence before; 0: none */
    struct {
        struct engine_load *items;
        uint32_t n, cap;
    } loads;
    struct {
        struct op **items;
        uint32_t n, cap;
    } ops, ops_free;
    struct {
        struct ask **items;
        uint32_t n, cap;
    } asks;
    struct {
        uint32_t *items;
        uint32_t n, cap;
    } asks_free, dirty;
    uint32_t *slots_used; /* per node, in + out */
    uint32_t *prefer;
    uint32_t n_prefer;        /* scratch: the plan's targets per VM */
    struct drain_proof proof; /* scratch */
    uint8_t *seen;            /* enum node_state_seen per node */
    struct timer_heap timers;
    struct timer run_timer;
};

/* engine_out.c: commands and words */
/* Never NULL: a spare when out of memory. */
struct command *engine_command(struct engine *e, enum command_type type);
void engine_note(struct engine *e, enum note_kind kind, const char *rule, uint32_t node, const char *text);
const char *engine_keep(struct engine *e, const char *text); /* a copy that lives as long as the commands */
void engine_fill(char *out, size_t size, const char *text);  /* cut at a whole character */
void engine_timer(struct engine *e, struct timer *t, time_ms at);
/* A formatted sentence that lives until four more were said. */
struct buf *engine_scratch(struct engine *e);
const char *engine_said(struct engine *e);
#define SAY(e, ...) (buf_printf(engine_scratch(e), __VA_ARGS__), engine_said(e))
#define FILL(field, text) engine_fill((field), sizeof(field), (text))

/* engine_claim.c: who may speak to whom */
void claim_all(struct engine *e);
void claim_overtaken(struct engine *e); /* a takeover: the journals are owed */
/* What ended lets its timers go: connections lost by then are sought again. */
void claim_lost_again(struct engine *e);
void claim_node(struct engine *e, struct engine_node *n);
/* Its answer tells what has no end there. Until then nothing is asked of the node. */
void claim_anew(struct engine *e, struct engine_node *n);
/* Since when it matters that the node is not there. */
time_ms claim_gone_since(const struct engine *e, const struct engine_node *n);
void claim_on_claimed(struct engine *e, const struct event *ev);
void claim_on_refused(struct engine *e, const struct event *ev);
void claim_on_lost(struct engine *e, const struct event *ev);
void claim_link_timeout(struct engine *e, struct engine_node *n);

/* engine_op.c: intents, sending, doubt */
struct op *op_open(struct engine *e, struct engine_node *n, enum action action, uint32_t vm);
void op_send(struct engine *e, struct op *op);
void op_timeout(struct engine *e, struct op *op);
void op_probe(struct engine *e, struct op *op);
void op_wait_and_probe(struct engine *e, struct op *op); /* after a while that doubles */
void op_set_unknown(struct engine *e, struct op *op, bool unknown);
bool op_awaits_boot(const struct op *op, time_ms now); /* away because it was told to reboot, and in time */
void op_cancel(struct engine *e, struct op *op);
/* A person has closed the node's questions: what was open on it is not waited for any more. */
void op_forget(struct engine *e, struct engine_node *n);
void op_close(struct engine *e, struct op *op); /* it is over; its end is told to nobody */
struct op *op_find(const struct engine *e, uint32_t node, const char *id);
const char *action_name(enum action a);
bool action_may_repeat(const struct engine *e, const struct engine_node *n, enum action a);
/* A node-level op with the usual arguments of its action. */
void op_start(struct engine *e, struct engine_node *n, enum action action);

/* engine_answer.c: what answers mean */
void op_on_record(struct engine *e, uint32_t node, const struct op_record *rec);
void op_reclaimed(struct engine *e, struct engine_node *n, const struct op_record *recs, uint32_t n_recs);
struct op_end { /* how an op ended, for the one who started it */
    enum action action;
    bool ok, refused, cancelled, already, reboot_required;
    bool unseen;             /* it never saw it, or was sent it more than once: its journal may be lost */
    const char *code, *text; /* "" where none */
    uint32_t vm, receiver;
    bool evidence, unproved, undone;
    uint32_t setting;         /* of ACT_CLUSTER_SETTING */
    time_ms ended, down_from; /* down_from: start of its first downtime row, or 0 */
};

/* engine_stray.c: a record of no open op. `claim`: told in a claim's answer, which tells all that are not acknowledged. */
void stray_record(struct engine *e, struct engine_node *n, const struct op_record *rec, bool claim);
/* Nobody waits for it any more, and its node takes no other before it has an end. `runs`: it is at work, the node says.
 * Of several the node's own is kept. */
void stray_give_up(struct engine_node *n, const char *op, bool runs);
bool stray_is(const struct engine_node *n, enum action action); /* the one that has no end there */
/* Another log's runs, and nobody may decide before it has an end: the node is claimed anew till it tells one. */
void stray_watch(struct engine *e, struct engine_node *n);
/* ERR_STATE, with the sentence of whoever would decide what is at work. */
int refuse_what_runs(const char *op, struct err *err);
/* ERR_STATE: it does, says the node, and nobody's word ends what is at work (I10). What it told a former controller, or before it
 * was lost for good, keeps nobody from deciding. */
int stray_still_runs(const struct engine *e, const struct engine_node *n, struct err *err);
/* What its parking came to nobody tells any more: the VM may be down, and undoing nothing succeeds (I9). */
void stray_park_in_doubt(struct engine *e, struct engine_node *n, uint32_t vm);
/* A person has decided what another log did, and that the node is `out`: nothing is waited for that is only in doubt. */
void stray_settle(struct engine *e, struct engine_node *n, bool out);
/* A person's word on the op that was given up. `op`: what is meant; NULL: that one. */
int stray_decide(struct engine *e, struct engine_node *n, const char *op, bool done, struct err *err);

/* engine_ask.c: questions */
struct ask *ask_new(struct engine *e, enum observe_what what, uint32_t node, uint32_t cluster,
                    const char *args);
void ask_go_on(struct engine *e, uint64_t last); /* no id up to that one is given again (I21) */
void ask_end(struct engine *e, struct ask *a);
struct ask *ask_find(const struct engine *e, uint64_t id);
void ask_node(struct engine *e, struct engine_node *n, enum observe_what what);
void ask_on_observed(struct engine *e, const struct event *ev);
void ask_timeout(struct engine *e, struct ask *a);
void ask_drop_all(struct engine *e);
void ask_drop_node(struct engine *e, uint32_t node);

/* engine_cluster.c: the picture of a cluster */
void cluster_want(struct engine *e, struct engine_cluster *c);
void cluster_on_observed(struct engine *e, struct ask *a, const struct event *ev);
void cluster_dirty(struct engine *e, struct engine_cluster *c);
/* Not at once: it is waited for something that others do. */
void cluster_want_later(struct engine *e, struct engine_cluster *c);
/* Seen lately, and by all who are in reach now. */
bool cluster_fresh(const struct engine *e, const struct engine_cluster *c);
/* The node waits for a whole picture of its cluster, and for hours there has been none: one in service never lists its VMs (I27). */
bool cluster_unseen(const struct engine *e, const struct engine_node *n);
/* O21: every virtual disk Healthy and no repair in a row of samples, 30 s and more long, that began after the last look anew. */
bool cluster_clean(const struct engine *e, const struct engine_cluster *c);
/* Such a row has begun, and the last sample is of it. */
bool cluster_clean_once(const struct engine_cluster *c);
/* What was asked before now says nothing: repairs start late (O21). */
void cluster_look_anew(const struct engine *e, struct engine_cluster *c);
void cluster_timeout(struct engine *e, struct engine_cluster *c);

/* engine_setting.c: what is set cluster-wide while the run is at work (O18) */
void settings_seen(struct engine *e, struct engine_cluster *c, const struct cluster_view *v, time_ms asked);
/* NULL: as the plan wants them, a node of the cluster may go out. Else what is waited for, or who refused. */
const char *settings_before_drain(struct engine *e, struct engine_cluster *c, bool *ret_refused);
bool settings_restore(struct engine *e); /* true: nothing is left to do */
void settings_again(struct engine *e);   /* a rollback begins: they are looked at anew */
/* A person has a node of the cluster tried again: what was refused is, too. */
void settings_anew(struct engine *e, struct engine_cluster *c);
/* Put back what was left; false: nothing was. */
bool settings_return(struct engine *e, struct engine_cluster *c);
void settings_cut_off(struct engine *e);
bool settings_left(const struct engine *e); /* some setting was not put back */
void settings_list_left(const struct engine *e, struct buf *b);
void setting_ended(struct engine *e, struct engine_node *n, const struct op_end *end);
void setting_foreign_op(struct engine *e, struct engine_node *n, const struct op_record *rec);

/* engine_node.c: one node's way */
static inline time_ms later(time_ms a, time_ms b)
{
    return a > b ? a : b;
}
const char *node_id(const struct engine *e, const struct engine_node *n);
void node_to(struct engine *e, struct engine_node *n, enum node_phase phase);
void node_step(struct engine *e, struct engine_node *n, uint32_t step);
void node_drive(struct engine *e, struct engine_node *n);
void node_wake(struct engine *e, struct engine_node *n, dur_ms after);
void node_waits(struct engine *e, struct engine_node *n, const char *text);
void node_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end);
void node_observed(struct engine *e, struct engine_node *n, const struct event *ev);
void node_staged(struct engine *e, const struct event *ev);
bool node_ready(const struct engine_node *n); /* checked, staged, waiting for admission */
bool node_in_flight(const struct engine_node *n);
void node_unknown(struct engine *e, struct engine_node *n, bool was);
bool node_is_unknown(const struct engine_node *n);
/* This controller has been at work since. */
time_ms engine_awake_since(const struct engine *e);
/* How long it has been in its phase at `at`. While no controller lived, or it was stopped, nobody looked, and that is no reason to
 * give it up (I22). */
dur_ms node_waited(const struct engine *e, const struct engine_node *n, time_ms at);
/* Ask again later, at most `tries` times in this step: false when that is over. */
bool node_again(struct engine *e, struct engine_node *n, uint32_t tries, dur_ms after);
/* By then a driver whose agent has lost its journal has come to servicing. */
#define DRIVER_LEFT_MS (2 * MINUTE_MS)
/* Our package may be in it, and nobody has asked (I12). */
void node_suppose_patched(struct engine *e, struct engine_node *n);
void record_take(struct node_record *r, const struct node_facts *f, time_ms at);
/* NULL when equal, else what differs (static). */
const char *record_differs(const struct node_record *before, const struct node_record *now);

/* engine_life.c: a node's lives and their ends */
void node_activate(struct engine *e, struct engine_node *n);
void node_begin_life(struct engine *e, struct engine_node *n, bool back);
/* Before the first operation of a life, or of a way home: another log may have led the node in a life of this number, and what
 * it did stands in the node's journal. Asked for under the same id it would be told as done, and not be done (C.3). */
void node_own_life(struct engine_node *n);
/* Which of a node's numbers are this log's own; one bit stands for the 63rd and all after it. */
uint64_t node_bit(uint32_t number);
/* Its entry for this VM; NULL: it parks none such. Good until the list grows. */
struct node_park *node_park_of(const struct engine_node *n, uint32_t vm);
/* A VM that it parked is owed a way back. */
bool node_has_down(const struct engine_node *n);
/* Moves of its drain that have not been asked for are not any more, and their receivers' room is free again. */
void node_drop_moves(struct engine *e, struct engine_node *n);
#define PAUSE_NOT_BEGUN "the pause came too late and was not begun"
#define PAUSE_LOST "O7: somebody else has put the node back in service"
/* Admitted, and nothing was begun but perhaps the pause, of which `why` tells: it waits for its turn again. `in_doubt`: by
 * whom it is paused, if it is, nobody knows. */
void node_withdraw(struct engine *e, struct engine_node *n, const char *why, bool in_doubt);
void node_fail(struct engine *e, struct engine_node *n);
void node_home(struct engine *e, struct engine_node *n, enum node_end end, const char *text);
/* It did not work: home, counted as failed; on the way back it stays patched and in service (O16). */
void node_give_up(struct engine *e, struct engine_node *n, enum node_end end, const char *text);
/* The run stops: home from the next place where that can be. */
void node_safe_point(struct engine *e, struct engine_node *n);
void node_end(struct engine *e, struct engine_node *n, enum node_end end, const char *text);
/* It has had its end, and is owed more: `return` puts it back. */
void node_end_stuck(struct engine *e, struct engine_node *n, const char *why);
/* It had ended, and this controller, started anew or by takeover, finds it out without a word from its journal: stuck, not left
 * unnamed (I29). */
void node_end_found_out(struct engine *e, struct engine_node *n);
enum node_end back_end(const struct engine_node *n);
enum node_end unbegun_end(const struct engine *e, const struct engine_node *n);
/* Rehearsed, and stopped while it waits for its way back: its cluster says first what it is like now (I17). True: it is asked. */
bool node_looked_for(struct engine *e, struct engine_node *n);

/* The next lines of the way: true when there is more to do at once. */
/* engine_drain.c */
bool drain_drive(struct engine *e, struct engine_node *n);
void drain_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end);
void drain_move_ended(struct engine *e, struct engine_node *n, const struct op_end *end);
void drain_observed(struct engine *e, struct engine_node *n, const struct event *ev);
void drain_take_proof(struct engine *e, struct engine_node *n, const struct drain_proof *p);
/* Prove on the fleet as it is, the plan's targets preferred. */
bool drain_prove(struct engine *e, struct engine_node *n);
/* I10: at most B moves per VM and run; the way back has a budget of its own. NULL: the proof keeps to it. */
const char *over_moves(struct engine *e, const struct engine_node *n);
void move_land(struct engine *e, const struct op_end *end, uint32_t from);
void move_made(struct engine *e, uint32_t vm, uint32_t from); /* one more of its budget is spent (I10) */
bool move_may_start(const struct engine *e, uint32_t vm, uint32_t to);
void drain_once_more(struct engine *e, struct engine_node *n);
void moves_pump(struct engine *e, struct engine_cluster *c);
void deviation(struct engine *e, const char *rule, uint32_t node, const char *text);
void move_start(struct engine *e, uint32_t vm, uint32_t to, bool unproved, bool evidence);

/* engine_effect.c: storage_out .. verifying */
bool effect_drive(struct engine *e, struct engine_node *n);
void effect_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end);
void effect_observed(struct engine *e, struct engine_node *n, const struct event *ev);
/* An installation that did not succeed: nothing promises that it has not taken hold. It said that it failed; or it was begun more than
 * once (`again`), or something is at work there or waits for a boot, that may be this very step in a journal that is lost. The
 * node itself tells (O10). */
bool install_may_be_in(const char *code, enum op_outcome outcome, bool again);
/* It leaves with the next boot, or it has booted since its effect and is not there, whatever else waits for a boot: a rollback has
 * nothing to take out (I12). `boot_effect`: the boot that the effect ran in; "": none. */
bool package_is_out(const struct verify_facts *f, const char *boot_effect);

/* engine_home.c: starting_vmms .. settling */
bool home_drive(struct engine *e, struct engine_node *n);
/* Another log went on with the node, and a person has looked: its disks may be in service again, its VMs back. Nothing goes
 * on from this log's phase; an effect is verified, and it comes home whole (O3, O12). */
void home_after_another(struct engine *e, struct engine_node *n);
/* Its resume is not begun on what was seen before. `ended`: its pause has been ended since, by whomever (O7, O12). */
void home_compare_anew(struct engine *e, struct engine_node *n, bool ended);
void home_op_ended(struct engine *e, struct engine_node *n, const struct op_end *end);
void home_observed(struct engine *e, struct engine_node *n, const struct event *ev);

/* engine_schedule.c: admission */
void schedule_cluster(struct engine *e, struct engine_cluster *c);
void schedule_all(struct engine *e);
bool run_may_start(const struct engine *e);
bool over_budget(const struct engine *e);
void round_clear(struct engine *e);
void round_add(struct engine *e, struct engine_node *n);

/* engine_wave.c: waves and the run's ends */
bool run_has_ended(const struct engine *e); /* finished, rolled back, halted or aborted */
bool run_goes_back(const struct engine *e); /* rolling back, or holding in the middle of that */
void wave_to(struct engine *e, enum wave_state state);
void wave_begin(struct engine *e, uint32_t wave);
void wave_check(struct engine *e);
void wave_rehearsed(struct engine *e, struct engine_node *n);
void wave_gates_done(struct engine *e, enum gate_answer answer, const char *text);
void run_to(struct engine *e, enum run_state state);
void run_hold(struct engine *e, enum hold why, const char *text);
void run_unhold(struct engine *e);
void run_stop_towards(struct engine *e, enum run_state ending, const char *text);
/* Every node has its end, as run_end() would have it: before it is told what is not put back. */
void run_quiet(struct engine *e, enum run_state state);
void run_end(struct engine *e, enum run_state state);
void run_check(struct engine *e);
void run_timeout(struct engine *e);
void run_rest(struct engine *e, const char *text);
const char *hold_verb(enum hold h);

/* engine_gate.c */
void gates_begin(struct engine *e, uint32_t wave, bool after);
void gates_stop(struct engine *e);
void gates_abandon(struct engine *e); /* their questions are gone: sample anew */
void gate_on_observed(struct engine *e, struct ask *a, const struct event *ev);
void gate_on_cluster(struct engine *e, struct engine_cluster *c, const struct event *ev, time_ms asked);
void gate_timeout(struct engine *e, struct gate_run *g);

/* engine_evidence.c (O15) */
void evidence_begin(struct engine *e);
void evidence_pump(struct engine *e);
void evidence_ended(struct engine *e, const struct op_end *end);
bool evidence_done(const struct engine *e);
void evidence_node(struct engine *e, const struct engine_node *n);

/* engine_rollback.c */
bool rollback_allowed(const struct engine *e, const char **ret_why_not);
void rollback_begin(struct engine *e);
void rollback_check(struct engine *e);

/* engine_recover.c, engine_verb.c */
void recover_start(struct engine *e, const struct event *ev);
int verb_do(struct engine *e, const struct event *ev, struct err *err);

/* engine_ledger.c */
/* done: it has had its effect, whoever said so. */
void ledger_take(struct engine *e, const struct op *op, const struct op_record *rec, bool done);
/* Of an op that another log meant and this one takes over; told at each claim, taken once. */
void ledger_take_foreign(struct engine *e, const struct engine_node *n, enum action action, uint32_t vm,
                         const struct op_record *rec);
/* What these nodes listed is in the fleet, from a picture that was asked for then: a VM that runs is not down any more. */
void ledger_seen(struct engine *e, const uint32_t *nodes, uint32_t n_nodes, time_ms asked);
/* On a stuck node a boot may have started a VM that is down by us, and nothing else lists it any more: its cluster is looked at. */
void ledger_look(struct engine *e, const struct engine_node *n);
/* A picture is on its way that may tell of a VM that is down. */
bool ledger_looks(const struct engine *e);
void ledger_node_out(struct engine *e, const struct engine_node *n);

#endif
