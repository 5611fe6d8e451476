/* What the files of the fold share: handover_fold.c reads the log, handover_op.c knows what an operation changes,
 * handover_end.c what is still open. Others use handover.h. */
#ifndef PATCHWAVE_HANDOVER_OWN_H
#define PATCHWAVE_HANDOVER_OWN_H

#include "orchestrator/core/handover.h"

struct folded_op {
    struct handover_op op;
    uint32_t life;
    uint32_t earlier; /* its node's one before it: a chain from `latest` to IX_NONE */
    bool over, ok;
    bool given_up; /* over without a record of its end */
    bool back;     /* of a life that removes: its moves have a budget of their own */
};

struct handover_fold {
    const struct plan *plan;
    const struct inventory *inv;
    struct arena arena;
    struct handover now;
    struct command_list commands; /* scratch */
    struct LIST_OF(struct folded_op) ops;
    struct LIST_OF(struct handover_op) open; /* at the end */
    struct LIST_OF(struct handover_vm) vms;
    struct LIST_OF(struct handover_park) parks;
    struct node_record *seen; /* per node: its facts as last told */
    bool *returned;           /* per node: put back by `return`, and no operation since */
    uint32_t *latest;         /* per node: its latest operation, IX_NONE */
    uint32_t *setting_latest; /* per setting of a cluster: the same */
    uint32_t *vm_at;          /* per VM of the inventory: its place in `vms`, IX_NONE */
    bool nomem;
};

/* handover_op.c: a new life begins with operation `a`; an operation is begun (its arguments, the boot of its precondition), has
 * come to its end (`rec`: the record that told it, or NULL), was given up without one (`next`: the node's next, or ACTIONS). */
void handover_life_begun(struct handover_fold *f, struct handover_node *n, uint32_t life, enum action a);
void handover_life_goes_back(struct handover_fold *f, uint32_t node, uint32_t life);
void handover_op_begun(struct handover_fold *f, struct folded_op *o, const json *args, const char *boot_id);
void handover_op_over(struct handover_fold *f, struct folded_op *o, bool ok, const struct op_record *rec);
void handover_op_given_up(struct handover_fold *f, struct folded_op *o, enum action next);
/* That one has taken hold, or not, says its node, its witness or a person later on. `failed`: that promises nothing of an
 * installation. */
void handover_op_end_heard(struct handover_fold *f, const struct folded_op *o, bool done, bool failed);
/* What a node said when it was asked whether the patch is in. */
void handover_verified(struct handover_fold *f, struct handover_node *n, const struct verify_facts *v);
uint32_t handover_setting_ix(const struct handover_fold *f,
                             const struct handover_op *op); /* among all clusters' */
/* The entry of a parked VM; made where there is none and `make`. NULL: none, or out of memory. */
struct handover_park *handover_park_of(struct handover_fold *f, uint32_t node, const char *vm, bool make);

#endif
