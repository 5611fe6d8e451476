/* Another controller goes on where the log ends: it claims every node, and each op without a result is probed
 * once its node is back (op_reclaimed). Nothing is sent anew blindly (C.2). */
#include "orchestrator/core/engine_state.h"

void recover_start(struct engine *e, const struct event *ev)
{
    FILL(e->controller, ev->u.controller_start.controller);
    e->epoch = ev->u.controller_start.epoch;
    e->stopped = e->fenced = e->at_rest = false;
    e->fence_text[0] = '\0';
    e->moved_at = e->controller_at = e->now;
    e->resumed = true;
    if (ev->u.controller_start.takeover || e->overtaken)
        claim_overtaken(e);
    ask_drop_all(e);
    for (uint32_t i = 0; i < e->inv->n_nodes; i++)
        e->nodes[i].staging = e->nodes[i].seen = false;
    for (uint32_t i = 0; i < e->ops.n; i++)
        e->ops.items[i]->probing = false;
    for (uint32_t i = 0; i < e->inv->n_clusters; i++) {
        struct engine_cluster *c = &e->clusters[i];

        c->wanted = c->wanted || c->in_scope;   /* another log may have left nodes paused (I29) */
        c->refused_since = c->restore_from = 0; /* nobody looked meanwhile (I22, O18) */
    }
    claim_all(e);
    gates_abandon(e);
    e->clusters_dirty = true;
}
