/* What an operation changes as far as a log tells: at its beginning, at its end, and when a new life begins. */
#include "orchestrator/core/handover_own.h"
#include "orchestrator/core/rollout_names.h"

#include <string.h>

/* --- parked VMs --- */

struct handover_park *handover_park_of(struct handover_fold *f, uint32_t node, const char *vm, bool make)
{
    struct handover_park *k;

    for (uint32_t i = 0; i < f->parks.n; i++)
        if (f->parks.items[i].node == node && strcmp(f->parks.items[i].vm, vm) == 0)
            return &f->parks.items[i];
    k = make ? list_push(&f->parks) : NULL;
    f->nomem = f->nomem || (make && k == NULL);
    if (k == NULL)
        return NULL;
    k->node = node;
    k->vm = handover_fold_keep(f, vm);
    return k;
}

/* What is down stays owed (I9). */
static void forget_parks(struct handover_fold *f, uint32_t node)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < f->parks.n; i++)
        if (f->parks.items[i].node != node || f->parks.items[i].down)
            f->parks.items[kept++] = f->parks.items[i];
    f->parks.n = kept;
}

static time_ms down_from(const struct op_record *rec)
{
    if (rec == NULL)
        return 0;
    return rec->n_rows > 0 ? rec->rows[0].start : rec->ended;
}

static void parked(struct handover_fold *f, const struct handover_op *op, const struct op_record *rec)
{
    struct handover_park *k = handover_park_of(f, op->node, op->vm, true);

    if (k == NULL)
        return;
    k->down = true;
    if (k->down_since == 0)
        k->down_since = down_from(rec);
}

static void unparked(struct handover_fold *f, const struct handover_op *op)
{
    struct handover_park *k = handover_park_of(f, op->node, op->vm, false);

    if (k != NULL && op->action == ACT_MERGE)
        k->merged = true;
    else if (k != NULL)
        k->down = false;
}

/* --- settings (O18) --- */

uint32_t handover_setting_ix(const struct handover_fold *f, const struct handover_op *op)
{
    return f->inv->nodes[op->node].cluster * CLUSTER_SETTINGS + op->setting;
}

static void setting_begun(struct handover_fold *f, struct folded_op *o, const json *args)
{
    uint32_t value = (uint32_t)json_get_int(args, "value", 0), ix;
    struct handover_setting *s;

    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++)
        if (strcmp(cluster_setting_names[i], json_get_str(args, "name", "")) == 0)
            o->op.setting = i;
    ix = handover_setting_ix(f, &o->op);
    if (f->setting_latest[ix] != IX_NONE)
        f->ops.items[f->setting_latest[ix]].over = true; /* one at a time: without an end it was given up */
    f->setting_latest[ix] = (uint32_t)(o - f->ops.items);
    s = &f->now.settings[ix];
    if (value != f->plan->rollout->policy.settings[o->op.setting].value) {
        s->state = SETTING_RESTORING;
        return;
    }
    s->state = SETTING_SETTING;
    s->old = (uint32_t)json_get_int(args, "expected", 0);
}

static void setting_over(struct handover_fold *f, const struct handover_op *op, bool ok)
{
    struct handover_setting *s = &f->now.settings[handover_setting_ix(f, op)];

    if (s->state == SETTING_SETTING)
        s->state = ok ? SETTING_SET : SETTING_UNTOUCHED;
    else
        s->state = ok ? SETTING_RESTORED : SETTING_SET;
}

/* --- a beginning --- */

static bool goes_home(enum action a)
{
    return a == ACT_START_VMMS || a == ACT_STORAGE_IN || a == ACT_RESUME;
}

/* Of `return` when it leads home at once; without that word it is the way home of the life before, under a number that no
 * other log has used. */
void handover_life_begun(struct handover_fold *f, struct handover_node *n, uint32_t life, enum action a)
{
    bool same = goes_home(a) && !f->returned[n->node] && n->ops_life != 0;

    f->returned[n->node] = false;
    if (n->removed && !n->patched && !goes_home(a)) /* verified, and it went on to a next life */
        f->now.log.removal_known = f->now.log.removal_possible = true;
    n->ops_life = life;
    memset(n->attempts, 0, sizeof n->attempts);
    n->paused = n->vmms = n->storage = goes_home(a);
    if (same)
        return;
    n->effect = n->removed = n->rebooted = n->suspended = false;
    n->reboots = 0;
    forget_parks(f, n->node);
    if (!goes_home(a))
        n->before.known = false;
}

void handover_life_goes_back(struct handover_fold *f, uint32_t node, uint32_t life)
{
    for (uint32_t i = f->latest[node]; i != IX_NONE; i = f->ops.items[i].earlier)
        if (f->ops.items[i].life == life)
            f->ops.items[i].back = true;
}

static void park_begun(struct handover_fold *f, const struct handover_op *op, const json *args)
{
    struct handover_park *k = handover_park_of(f, op->node, op->vm, true);

    if (k == NULL)
        return;
    k->method = strcmp(json_get_str(args, "method", ""), "save") == 0 ? PARK_SAVE : PARK_SHUTDOWN;
    k->checkpoint = json_get_bool(args, "checkpoint", false);
}

void handover_op_begun(struct handover_fold *f, struct folded_op *o, const json *args, const char *boot_id)
{
    const struct handover_op *op = &o->op;
    struct handover_node *n = &f->now.nodes[op->node];

    if (op->action == ACT_PAUSE && !n->paused)
        n->before = f->seen[op->node];
    if (op->action == ACT_STORAGE_OUT)
        n->storage = true;
    if (op->action == ACT_STOP_VMMS)
        n->vmms = true;
    if (op->action == ACT_REBOOT)
        n->boot_effect = handover_fold_keep(f, json_get_str(args, "boot_id", ""));
    if (op->action == ACT_INSTALL || op->action == ACT_UNINSTALL)
        n->boot_effect_first = handover_fold_keep(f, boot_id);
    if (op->action == ACT_CLUSTER_SETTING)
        setting_begun(f, o, args);
    if (op->action == ACT_PARK_VM)
        park_begun(f, op, args);
}

/* --- an end --- */

static void rebooted(struct handover_fold *f, struct handover_node *n, time_ms at)
{
    n->reboots++;
    n->reboot_before = n->reboot_last;
    n->reboot_last = at;
    n->rebooted = n->vmms = true;
    n->storage = n->storage || f->inv->clusters[f->inv->nodes[n->node].cluster].storage == STORAGE_S2D;
    n->suspended = false;
}

/* It may be in, and nobody has said so; what was in for sure is so still. */
static void suppose_patched(struct handover_node *n)
{
    n->supposed = n->supposed || !n->patched;
    n->patched = true;
}

static void effect_made(struct handover_node *n, enum action a)
{
    n->effect = true;
    n->rebooted = n->supposed = false;
    n->removed = a == ACT_UNINSTALL;
    n->patched = n->patched || a == ACT_INSTALL;
    n->proved = false;
}

/* It was given up, and its end is told after all: nobody goes on from it, but it is in, or no longer, unless another effect
 * came after it. */
void handover_op_end_heard(struct handover_fold *f, const struct folded_op *o, bool done, bool failed)
{
    uint32_t i = f->latest[o->op.node];

    if (!done && (failed || o->op.action != ACT_INSTALL))
        return;
    while (i != IX_NONE && f->ops.items[i].op.action != ACT_INSTALL &&
           f->ops.items[i].op.action != ACT_UNINSTALL)
        i = f->ops.items[i].earlier;
    if (i == IX_NONE || &f->ops.items[i] != o)
        return;
    f->now.nodes[o->op.node].patched = done && o->op.action == ACT_INSTALL;
    f->now.nodes[o->op.node].supposed = f->now.nodes[o->op.node].proved = false;
}

/* Nothing is proved before a new boot, where the rollout wants one each time. */
static bool owes_boot(const struct handover_fold *f, const struct handover_node *n,
                      const struct verify_facts *v)
{
    return f->plan->rollout->patch.reboot == REBOOT_ALWAYS && n->effect &&
           strcmp(v->boot_id, n->boot_effect_first) == 0;
}

/* What is in is what the node itself says (I17): a boot may have rolled the installation back, and a removal that was never
 * verified has proved nothing. While servicing is at it, or a boot is due that may put it in, nothing is said. */
void handover_verified(struct handover_fold *f, struct handover_node *n, const struct verify_facts *v)
{
    bool listed = facts_listed(v);
    bool built = build_compare(v->build, f->plan->rollout->patch.target) >= 0;
    bool out = package_is_out(v, n->boot_effect_first);

    if (listed || (v->servicing_idle && (v->pending || v->package == PACKAGE_INSTALL_PENDING)))
        n->supposed = false;
    if (!v->servicing_idle || v->package == PACKAGE_INSTALL_PENDING || (v->pending && !out))
        return;
    n->patched = listed; /* a newer build without it is another's: there is nothing to take out (I12) */
    n->proved = listed && built && !n->removed && !owes_boot(f, n, v);
}

static void op_done(struct handover_fold *f, const struct handover_op *op, const struct op_record *rec)
{
    struct handover_node *n = &f->now.nodes[op->node];

    if (op->action == ACT_PAUSE || op->action == ACT_RESUME)
        n->paused = op->action == ACT_PAUSE;
    else if (op->action == ACT_PARK_VM)
        parked(f, op, rec);
    else if (op->action == ACT_UNPARK_VM || op->action == ACT_MERGE)
        unparked(f, op);
    else if (op->action == ACT_BITLOCKER)
        n->suspended = true;
    else if (op->action == ACT_INSTALL || op->action == ACT_UNINSTALL)
        effect_made(n, op->action);
    else if (op->action == ACT_REBOOT)
        rebooted(f, n, rec != NULL && rec->ended > 0 ? rec->ended : op->sent);
    else if (op->action == ACT_START_VMMS)
        n->vmms = false;
    else if (op->action == ACT_STORAGE_IN)
        n->storage = false;
}

static void op_failed(struct handover_fold *f, const struct folded_op *o, const struct op_record *rec)
{
    const struct handover_op *op = &o->op;
    bool untouched = rec->outcome == OUTCOME_REFUSED || rec->outcome == OUTCOME_CANCELLED;
    bool again = o->op.sends > 1 || f->now.nodes[op->node].attempts[ACT_INSTALL] > 1;
    const char *code = rec->error_code == NULL ? "" : rec->error_code;

    if (op->action == ACT_PAUSE && !untouched)
        f->now.nodes[op->node].paused = true; /* it may be half done */
    if (op->action == ACT_PARK_VM && !untouched)
        parked(f, op, rec);
    if (op->action == ACT_INSTALL && install_may_be_in(code, rec->outcome, again))
        suppose_patched(&f->now.nodes[op->node]); /* until the node has been asked */
    if (op->action == ACT_UNINSTALL && strcmp(code, "not_removable") == 0) {
        f->now.log.removal_known = true;
        f->now.log.removal_possible = false;
    }
}

void handover_op_over(struct handover_fold *f, struct folded_op *o, bool ok, const struct op_record *rec)
{
    o->over = true;
    o->ok = ok;
    if (o->op.action == ACT_CLUSTER_SETTING)
        setting_over(f, &o->op, ok);
    else if (ok)
        op_done(f, &o->op, rec);
    else if (rec != NULL)
        op_failed(f, o, rec);
}

/* A reboot after which others came was decided by the new boot. A park may have done its work: undoing nothing succeeds (I9). */
void handover_op_given_up(struct handover_fold *f, struct folded_op *o, enum action next)
{
    handover_op_over(f, o, o->op.action == ACT_REBOOT && next != ACT_REBOOT, NULL);
    o->given_up = true;
    if (o->op.action == ACT_INSTALL)
        suppose_patched(&f->now.nodes[o->op.node]); /* likewise */
    if (o->op.action == ACT_UNINSTALL)              /* it may have been made, and its journal lost (I17) */
        f->now.nodes[o->op.node].proved = false;
    if (o->op.action == ACT_PARK_VM)
        parked(f, &o->op, NULL);
}
