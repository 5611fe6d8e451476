/* The driver contract (docs/driver.md), as text goes in and comes out: the
 * manifest, a request, an answer. What is not exactly an answer is no
 * evidence: never a success and never a failure. */
#ifndef PATCHWAVE_DRIVER_PROTO_H
#define PATCHWAVE_DRIVER_PROTO_H

#include "schema/arena.h"
#include "schema/buf.h"
#include "schema/json.h"
#include "schema/times.h"

#define DRIVER_CONTRACT 1
#define DRIVER_ANSWER_MAX (1u << 20) /* bytes of standard output */
#define DRIVER_ROWS_MAX 256          /* downtime rows of one answer */
#define DRIVER_ROW_TEXT_MAX 256      /* bytes of a row's id and of its how */

/* What this agent knows about actions; the manifest says which of them a
 * driver has. */
enum {
    DRIVER_EFFECT = 1u << 0,     /* changes something: only by op.start; has a witness */
    DRIVER_BESIDE = 1u << 1,     /* may run beside a node-level op (move_vm) */
    DRIVER_NEEDS_VMMS = 1u << 2, /* guard: empty in the first form (O2) */
    DRIVER_NEEDS_BARE = 1u << 3, /* guard: empty in the second form, vmms stopped (O2) */
    DRIVER_PACKAGE = 1u << 4,    /* gets the path of the agent's private copy (O9) */
    DRIVER_FETCHES = 1u << 5,    /* brings a package into the agent's store */
    DRIVER_BOOTS = 1u << 6,      /* done only when the boot id differs */
};
struct driver_action_row {
    const char *name;
    uint32_t flags;
};
/* NULL when there is no such action. */
const struct driver_action_row *driver_action_find(const char *name);
uint32_t driver_action_flags(const char *name); /* 0 when there is no such action */

struct driver_manifest_action {
    const char *name;
    const char **argv; /* n_argv, then NULL; argv[0] relative to the folder */
    uint32_t n_argv;
    dur_ms limit_ms;
    bool leave;    /* on_deadline */
    bool resident; /* answers line by line until its input ends */
};
struct driver_manifest {
    struct arena arena;
    const char *name, *version;
    struct driver_manifest_action *actions;
    uint32_t n_actions;
};
/* Read `driver.json`. Names that are no action of the contract are kept and
 * never asked for, save `probe` (read-only, of the command of that name). ERR_INVALID naming file, line and column; ERR_VERSION
 * for another contract. On failure *ret is empty. */
int driver_manifest_read(const char *file, const char *text, size_t len, struct driver_manifest *ret,
                         struct err *err);
void driver_manifest_clear(struct driver_manifest *m);
const struct driver_manifest_action *driver_manifest_find(const struct driver_manifest *m,
                                                          const char *action);

enum driver_mode { DRIVER_RUN, DRIVER_WITNESS };

struct driver_request {
    const char *action, *node, *op; /* op: "" for read-only actions */
    enum driver_mode mode;
    dur_ms limit_ms;
    const json *args;    /* may be NULL: {} */
    const char *text;    /* NULL, or the object `args` as text, in ASCII (O29) */
    const char *in_args; /* NULL, or a member object of args (or "" for args itself) that gets ... */
    const char *add_key, *add_value; /* ... this member */
};
void driver_request_write(struct buf *out, const struct driver_request *r);

enum driver_answer_kind { DRIVER_NO_EVIDENCE, DRIVER_RESULT, DRIVER_ERROR, DRIVER_WITNESSED };
enum driver_witness { DRIVER_DONE, DRIVER_NOT_DONE, DRIVER_RUNNING, DRIVER_CANNOT_TELL, DRIVER_WITNESSES };
const char *driver_witness_name(enum driver_witness w);

struct driver_answer {
    struct json_doc *doc; /* owns the values below */
    enum driver_answer_kind kind;
    const json *result;   /* DRIVER_RESULT: an object */
    const json *error;    /* DRIVER_ERROR: an object */
    bool changed_nothing; /* DRIVER_ERROR: by its code */
    const char *code;     /* DRIVER_ERROR */
    enum driver_witness witness;
    const json *evidence; /* DRIVER_WITNESSED: an object or NULL */
    const json *downtime; /* an array or NULL */
    char why[256];        /* DRIVER_NO_EVIDENCE: what is wrong with it */
};
/* Never fails: what cannot be read is DRIVER_NO_EVIDENCE. */
void driver_answer_read(enum driver_mode mode, const char *text, size_t len, struct driver_answer *ret);
void driver_answer_clear(struct driver_answer *a);

/* A driver's output may hold any bytes: append it as UTF-8 without NUL, with ?
 * for what is none. */
void driver_text_clean(struct buf *out, const char *text, size_t len);

#endif
