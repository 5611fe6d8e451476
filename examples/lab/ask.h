/* One request to the driver, answered inside the daemon on top of the world's
 * functions. An action either answers at once or leaves a `poll`, which is
 * tried after every event until it answers. Dropping an ask cancels nothing
 * in the world (O10). */
#ifndef PATCHWAVE_LAB_ASK_H
#define PATCHWAVE_LAB_ASK_H

#include "examples/lab/world.h"

#include "schema/json.h"

#define ASK_ROWS 2

struct ask;
/* True when the answer is in ask->out. */
typedef bool ask_fn(struct ask *a);

struct ask_row {
    const char *subject, *cause, *how;
    char id[WORLD_GUID];
    time_ms start, end; /* end -1: still down */
};

struct ask {
    struct world *w;
    struct json_doc *doc; /* owned */
    const json *args;     /* never NULL */
    const char *action, *op;
    bool witness;
    uint32_t node, vm; /* vm: WORLD_NONE unless args name one */
    time_ms begun, deadline;
    ask_fn *poll;
    int64_t mark; /* the action's own */
    uint32_t phase;
    struct ask_row rows[ASK_ROWS];
    uint32_t n_rows;
    struct json_writer jw;
    struct buf out;
    bool lost;       /* no answer will come: the driver ends without one */
    int32_t percent; /* progress to tell; -1: nothing new */
    int32_t percent_told;
};

/* Read a request and begin it. Always gives an ask; it may be answered (out
 * is not empty), lost, or waiting (poll is set). NULL: out of memory. Takes
 * `doc`. */
struct ask *ask_begin(struct world *w, struct json_doc *doc, const json *request);
/* Try to answer; true when answered or lost. */
bool ask_poll(struct ask *a);
void ask_free(struct ask *a);

/* --- for actions --- */
void ask_result(struct ask *a);  /* opens {"result":{ in a->jw */
bool ask_finish(struct ask *a);  /* closes it, adds the rows; true */
bool ask_already(struct ask *a); /* a whole result {"already":true} */
bool ask_state(struct ask *a, const char *state, bool already);
bool ask_refused(struct ask *a, const struct refusal *r);
bool ask_error(struct ask *a, const char *code, const char *native, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "done", "not_done", "running", "cannot_tell", with the rows. */
bool ask_witness(struct ask *a, const char *answer);
void ask_add_row(struct ask *a, const char *subject, const char *id, const char *cause, time_ms start,
                 time_ms end, const char *how);
/* Wait for `poll`; tries it at once. */
bool ask_wait(struct ask *a, ask_fn *poll);
struct world_node *ask_host(const struct ask *a);
struct world_vm *ask_vm(const struct ask *a);
/* Is this VM one of args.parked? */
bool ask_parked(const struct ask *a, const char *vm);

/* O2 as the driver sees it. Writes the `left` array when `jw` is given. */
bool node_empty(struct ask *a, bool processes, struct json_writer *jw);
void vm_write(struct json_writer *w, const struct world *wd, uint32_t vm, bool declared);
const char *vm_heartbeat(struct world *w, const struct world_vm *v);
bool package_pending(const struct world_node *n);

ask_fn act_facts, act_vms, act_storage_health, act_removability, act_check_empty, act_verify, act_gate_facts;
ask_fn act_pause, act_resume, act_move_groups, act_storage_out, act_storage_in, act_stop_vmms, act_start_vmms,
    act_reboot;
ask_fn act_bitlocker_suspend, act_cluster_setting;
ask_fn act_move_vm, act_park_vm, act_unpark_vm, act_checkpoint, act_merge;
ask_fn act_install, act_uninstall, act_fetch_package;

#endif
