/* The conformance program: one list of cases for any driver (O39). It starts
 * the driver's executables as an agent would, and a fixture program that
 * knows the driver's world. Nothing here knows a particular driver. */
#ifndef PATCHWAVE_TESTS_CONF_H
#define PATCHWAVE_TESTS_CONF_H

#include "schema/buf.h"
#include "schema/json.h"

#include <stdbool.h>
#include <stdint.h>

#define CONF_PATH 512
#define CONF_OTHERS 8

/* --- conf_process.c --- */

/* Start argv in `folder` (NULL: here), feed `input`, collect its output.
 * `limit_ms` is real time; over it, or when `stop` says so, its process group
 * gets SIGKILL. Returns the exit code, -1 when killed. `stop` is asked every
 * few milliseconds and may be NULL. */
int conf_run(const char *folder, const char *const *argv, const char *input, int limit_ms,
             bool (*stop)(void *), void *arg, struct buf *out);

/* --- conf_world.c --- */

/* What `FIXTURE make DIR` printed. Strings belong to `doc`. */
struct conf_world {
    char dir[CONF_PATH], fixture[CONF_PATH];
    struct json_doc *doc, *manifest;
    char driver[CONF_PATH];          /* folder with driver.json */
    const char *node;                /* the node under test */
    const char *others[CONF_OTHERS]; /* nodes that can receive */
    uint32_t n_others;
    const char *vm;              /* a VM of the node that can move, park and have a checkpoint */
    const json *package, *fetch; /* package: as `install` takes it; fetch: as `fetch_package` */
    const char *predecessor;
    const char *setting;   /* a cluster setting with a whole number */
    int64_t down_since_ms; /* of the row that the prior action opened; 0: none */
    bool made;
};
/* False with a reason in `why`. */
bool conf_world_make(struct conf_world *w, const char *fixture, const char *dir, struct buf *why);
bool conf_world_fault(struct conf_world *w, const char *name, const char *subject, struct buf *why);
/* Ends the world; harmless when none was made. */
void conf_world_end(struct conf_world *w);

/* The driver's answer to one request. */
struct conf_answer {
    struct json_doc *doc; /* NULL: no evidence */
    const json *result, *error, *downtime;
    const char *code;    /* of the error, or "" */
    const char *witness; /* or "" */
    char text[400];      /* what came, for messages */
};
void conf_answer_clear(struct conf_answer *a);
/* Ask; with `cut`, kill the driver as soon as its effect is under way. */
void conf_ask(struct conf_world *w, const char *action, const char *mode, const char *args, bool cut,
              struct conf_answer *ret);
/* Raw bytes on the driver's standard input. */
void conf_ask_raw(struct conf_world *w, const char *action, const char *input, struct conf_answer *ret);
/* Whether the manifest lets the action's program be kept; two requests to one process. */
bool conf_is_resident(const struct conf_world *w, const char *action);
void conf_ask_twice(struct conf_world *w, const char *action, const char *args, struct conf_answer ret[2]);
/* Does the truth hold a row that is this one, within the truth's step?
 * A row that is open in both is equal too. */
bool conf_row_is_true(struct conf_world *w, const json *row, struct buf *why);

/* --- conf_actions.c --- */

/* How far the node has been brought before the action under test. */
enum conf_level { IN_SERVICE, PAUSED, EMPTIED, DISKS_OUT, VMMS_STOPPED, INSTALLED, PATCHED, PATCHED_BARE };

struct conf_action {
    const char *name;
    enum conf_level level;
    void (*args)(struct conf_world *w, struct buf *out);
    const char *prior;      /* an action that is run first (its undo is this one) */
    const char *bad_args;   /* args that are not of the contract; NULL: any args do */
    const char *refuse;     /* the fixture's fault that has it refused; NULL: `bare` refuses */
    const char *refused_by; /* for NULL refuse: this error code at level IN_SERVICE */
    void (*args_refused)(struct conf_world *w, struct buf *out); /* with these; NULL: with `args` */
    const char *cause;   /* of the downtime row it must answer; NULL: none */
    bool undo;           /* undo of nothing succeeds at IN_SERVICE */
    bool may_not_answer; /* reboot */
    bool keeps_nothing;  /* no witness can tell (fetch_package) */
};
extern const struct conf_action conf_actions[];
extern const uint32_t conf_n_actions;
extern const struct conf_read {
    const char *name;
    const char *args, *bad_args;
    bool (*check)(const json *result, struct buf *why);
} conf_reads[];
extern const uint32_t conf_n_reads;

const struct conf_action *conf_action_find(const char *name);
/* Bring the node to the level. False with a reason. */
bool conf_prepare(struct conf_world *w, enum conf_level level, struct buf *why);
/* Ask as witness until it says something else than `running`. */
const char *conf_settle(struct conf_world *w, const struct conf_action *a, const char *args,
                        struct conf_answer *ret);

#endif
