#include "orchestrator/core/plan.h"
#include "orchestrator/core/vm_json.h"
#include "schema/json.h"

static const char *const step_names[PREDICT_STEPS] = {
    [PREDICT_STAGE] = "stage",     [PREDICT_PAUSE] = "pause",     [PREDICT_MOVE_GROUPS] = "move_groups",
    [PREDICT_PARK] = "park",       [PREDICT_STORAGE] = "storage", [PREDICT_VMMS] = "vmms",
    [PREDICT_INSTALL] = "install", [PREDICT_REMOVE] = "remove",   [PREDICT_REBOOT] = "reboot",
    [PREDICT_VERIFY] = "verify",   [PREDICT_RESUME] = "resume",   [PREDICT_UNPARK] = "unpark",
    [PREDICT_RESYNC] = "resync",
};

const char *predict_step_name(enum predict_step s)
{
    return step_names[s];
}

/* Milliseconds: [P5, P50, P95]. */
static void write_estimate(struct json_writer *w, const char *key, struct estimate e)
{
    jw_array(w, key);
    jw_int(w, NULL, e.p5);
    jw_int(w, NULL, e.p50);
    jw_int(w, NULL, e.p95);
    jw_array_end(w);
}

static void write_moves(struct json_writer *w, const char *key, const struct inventory *inv,
                        const struct plan_move *moves, uint32_t n)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < n; i++) {
        jw_object(w, NULL);
        jw_str(w, "vm", inv->vms[moves[i].vm].id);
        jw_str(w, "to", inv->nodes[moves[i].to].id);
        write_estimate(w, "took", moves[i].took);
        write_estimate(w, "blackout", moves[i].blackout);
        if (moves[i].unproved)
            jw_bool(w, "unproved", true);
        if (moves[i].early)
            jw_bool(w, "early", true);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_parks(struct json_writer *w, const struct inventory *inv, const struct plan_node *x)
{
    jw_array(w, "parks");
    for (uint32_t i = 0; i < x->n_parks; i++) {
        jw_object(w, NULL);
        jw_str(w, "vm", inv->vms[x->parks[i].vm].id);
        jw_str(w, "method", park_method_name(x->parks[i].method));
        jw_bool(w, "checkpoint", x->parks[i].checkpoint);
        write_estimate(w, "down", x->parks[i].down);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_node(struct json_writer *w, const struct inventory *inv, const struct plan_node *x)
{
    jw_object(w, NULL);
    jw_str(w, "node", inv->nodes[x->node].id);
    if (x->compliant) {
        jw_bool(w, "compliant", true);
    } else {
        jw_int(w, "wave", (int64_t)x->wave + 1);
        jw_int(w, "batch", (int64_t)x->batch + 1);
        jw_int(w, "order", (int64_t)x->order + 1);
        jw_bool(w, "rehearse", x->rehearse);
        jw_str(w, "reserve", reserve_rung_name(x->reached));
        write_moves(w, "moves", inv, x->moves, x->n_moves);
        write_parks(w, inv, x);
        write_moves(w, "evidence", inv, x->evidence, x->n_evidence);
        write_estimate(w, "drain", x->drain);
        jw_object(w, "steps");
        for (int s = 0; s < PREDICT_STEPS; s++)
            write_estimate(w, step_names[s], x->steps[s]);
        jw_object_end(w);
        write_estimate(w, "life", x->life);
    }
    vm_write_strings(w, "reasons", x->reasons, x->n_reasons);
    jw_object_end(w);
}

/* Start order, by name. */
static void write_wave(struct json_writer *w, const struct plan *p, const struct plan_wave *x)
{
    jw_object(w, NULL);
    jw_array(w, "nodes");
    for (uint32_t i = 0; i < x->n_nodes; i++)
        jw_str(w, NULL, p->inv->nodes[p->nodes[x->nodes[i]].node].id);
    jw_array_end(w);
    write_estimate(w, "took", x->took);
    jw_int(w, "gates_ms", x->gates_ms);
    jw_int(w, "lower_bound_ms", x->lower_bound_ms);
    jw_object_end(w);
}

static void write_refusal(struct json_writer *w, const struct inventory *inv, const struct plan_refusal *x)
{
    jw_object(w, NULL);
    jw_str(w, "node", inv->nodes[x->node].id);
    jw_str(w, "rule", x->rule);
    jw_str(w, "reason", x->reason);
    jw_object_end(w);
}

/* O18: what is set in each cluster before its first drain, and put back at the end. */
static void write_settings(struct json_writer *w, const struct plan *p)
{
    jw_array(w, "cluster_settings");
    for (uint32_t c = 0; c < p->inv->n_clusters; c++)
        for (uint32_t s = 0; s < CLUSTER_SETTINGS; s++) {
            if (!plan_sets(p, c, (enum cluster_setting)s))
                continue;
            jw_object(w, NULL);
            jw_str(w, "cluster", p->inv->clusters[c].id);
            jw_str(w, "name", cluster_setting_name((enum cluster_setting)s));
            jw_int(w, "value", p->rollout->policy.settings[s].value);
            jw_object_end(w);
        }
    jw_array_end(w);
}

bool plan_sets(const struct plan *p, uint32_t cluster, enum cluster_setting s)
{
    if (!p->rollout->policy.settings[s].wanted)
        return false;
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (!p->nodes[i].compliant && p->inv->nodes[p->nodes[i].node].cluster == cluster)
            return true;
    return false;
}

static void write_totals(struct json_writer *w, const struct plan *p)
{
    jw_int(w, "moves", p->moves);
    jw_int(w, "moves_bound", p->moves_bound);
    jw_int(w, "evidence_moves", p->evidence_moves);
    write_estimate(w, "took", p->took);
    jw_int(w, "took_bound_ms", p->took_bound_ms);
    jw_str(w, "way_back", p->way_back);
    jw_str(w, "way_back_text", p->way_back_text);
    vm_write_strings(w, "warnings", p->warnings, p->n_warnings);
    vm_write_strings(w, "notes", p->notes, p->n_notes);
}

void plan_write(struct buf *out, const struct plan *p, bool pretty)
{
    char at[TIME_TEXT_MAX];
    struct json_writer w;

    jw_init(&w, out);
    w.pretty = pretty;
    jw_object(&w, NULL);
    jw_int(&w, "version", 1);
    if (p->hash[0] != '\0')
        jw_str(&w, "hash", p->hash);
    jw_str(&w, "made_at", time_text(p->made_at, at));
    jw_str(&w, "planner", p->planner);
    jw_int(&w, "clock_factor", p->inv->clock_factor);
    write_totals(&w, p);
    write_settings(&w, p);
    jw_array(&w, "waves");
    for (uint32_t i = 0; i < p->n_waves; i++)
        write_wave(&w, p, &p->waves[i]);
    jw_array_end(&w);
    jw_array(&w, "nodes");
    for (uint32_t i = 0; i < p->n_nodes; i++)
        write_node(&w, p->inv, &p->nodes[i]);
    jw_array_end(&w);
    jw_array(&w, "refusals");
    for (uint32_t i = 0; i < p->n_refusals; i++)
        write_refusal(&w, p->inv, &p->refusals[i]);
    jw_array_end(&w);
    rollout_write(&w, "rollout", p->rollout);
    inventory_write(&w, "inventory", p->inv);
    jw_object_end(&w);
}
