/* Records as a damaged journal might hold them: each is applied or refused as
 * corrupt, and what the fold then says is one of the verdicts of C.3. One that was
 * applied can be taken back and applied again; what is acknowledged can be forgotten.
 * Input: per record one byte for the kind, one for the op, the body up to a newline. */
#include "tests/fuzz/fuzz.h"

#include "agent/core/journal_fold.h"

#include <assert.h>
#include <string.h>

static const char *const ops[] = { "", "r1/HV07/1/pause/1", "r1/HV07/1/install/1", "x" };

static void check(const struct journal_fold *f)
{
    for (uint32_t i = 0; i < f->n_ops; i++) {
        const struct agent_op *op = f->ops[i];

        assert(op->state != AGENT_OP_NONE && op->accepts > 0);
        assert(op->state != AGENT_OP_RUNNING || op->starts > 0);
        assert((op->state == AGENT_OP_DONE) == (op->result != NULL));
        assert(op->epoch <= f->claim.epoch);
        assert(strlen(op->id) < sizeof op->id && strlen(op->digest) < sizeof op->digest);
    }
}

/* As when it could not be written and is tried once more. */
static void take_back_and_apply(struct journal_fold *f, const struct agent_record *r)
{
    journal_fold_undo(f, r);
    check(f);
    assert(journal_fold_apply(f, r, NULL) == 0);
}

static void forget_acknowledged(struct journal_fold *f)
{
    for (uint32_t i = f->n_ops; i > 0; i--)
        if (f->ops[i - 1]->acked)
            journal_fold_forget(f, f->ops[i - 1]->id);
    assert(journal_fold_unacked(f) == f->n_ops);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_fold f = JOURNAL_FOLD_INIT;
    const uint8_t *at = data, *end = data + size;
    char body[4096];

    while (end - at > 2) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at);
        struct agent_record r = {
            .kind = (enum agent_record_kind)(at[0] % AGENT_REC_KINDS), .at = 1, .boot_id = "B1", .body = body
        };
        struct err e = { ERR_OK, "" };
        int rc;

        if (len < 2 || len - 2 >= sizeof body)
            break;
        r.op = ops[at[1] % 4];
        memcpy(body, at + 2, len - 2);
        body[len - 2] = '\0';
        rc = journal_fold_apply(&f, &r, &e);
        assert(rc == 0 || (rc == ERR_CORRUPT && e.code == ERR_CORRUPT && e.text[0] != '\0'));
        if (rc == 0)
            take_back_and_apply(&f, &r);
        check(&f);
        at += len + 1;
    }
    journal_fold_recover(&f);
    for (uint32_t i = 0; i < f.n_ops; i++)
        assert(f.ops[i]->state != AGENT_OP_RUNNING);
    forget_acknowledged(&f);
    journal_fold_clear(&f);
    return 0;
}
