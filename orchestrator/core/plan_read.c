#include "orchestrator/core/fields.h"
#include "orchestrator/core/inventory_names.h"
#include "orchestrator/core/plan.h"
#include "orchestrator/core/rollout_names.h"

#include <stdlib.h>
#include <string.h>

#define ESTIMATE_MAX ((int64_t)1 << 53)

static struct estimate read_estimate(struct fields *f, const json *o, const char *key)
{
    const json *list = fields_array(f, o, key, JSON_REQUIRED);
    int64_t of[3] = { 0 };
    const json *v;

    if (list == NULL)
        return (struct estimate){ 0 };
    v = json_first(list);
    for (int i = 0; i < 3; i++, v = v == NULL ? NULL : json_next(v)) {
        if (v == NULL || !json_is_int(v) || json_int(v, 0) < 0 || json_int(v, 0) > ESTIMATE_MAX) {
            fields_fault(f, list, "must be [P5, P50, P95] in milliseconds");
            break;
        }
        of[i] = json_int(v, 0);
    }
    if (v != NULL)
        fields_fault(f, list, "must be [P5, P50, P95] in milliseconds");
    return (struct estimate){ of[0], of[1], of[2] };
}

static uint32_t read_node_id(struct fields *f, const json *o, const char *key, const struct inventory *inv)
{
    const char *id = fields_str(f, o, key, JSON_REQUIRED);
    uint32_t node = id == NULL ? IX_NONE : inventory_node(inv, id);

    if (node == IX_NONE)
        fields_fault(f, json_get(o, key), "is not a node of the plan's inventory");
    return node;
}

static uint32_t read_vm_id(struct fields *f, const json *o, const struct inventory *inv)
{
    const char *id = fields_str(f, o, "vm", JSON_REQUIRED);
    uint32_t vm = id == NULL ? IX_NONE : inventory_vm(inv, id);

    if (vm == IX_NONE)
        fields_fault(f, json_get(o, "vm"), "is not a VM of the plan's inventory");
    return vm;
}

static struct plan_move *read_moves(struct fields *f, const json *o, const char *key,
                                    const struct inventory *inv, uint32_t *ret_n)
{
    static const char *const known[] = { "vm", "to", "took", "blackout", "unproved", "early", NULL };
    const json *list = fields_array(f, o, key, JSON_REQUIRED);
    struct plan_move *moves = fields_items(f, list, sizeof *moves, ret_n);
    uint32_t n = 0;

    for (const json *v = json_first(list); n < *ret_n && f->rc == 0; v = json_next(v)) {
        struct plan_move *m = &moves[n++];

        fields_known(f, v, known);
        m->vm = read_vm_id(f, v, inv);
        m->to = read_node_id(f, v, "to", inv);
        m->took = read_estimate(f, v, "took");
        m->blackout = read_estimate(f, v, "blackout");
        m->unproved = fields_bool(f, v, "unproved", JSON_OPTIONAL, false);
        m->early = fields_bool(f, v, "early", JSON_OPTIONAL, false);
    }
    return moves;
}

static void read_parks(struct fields *f, const json *o, const struct inventory *inv, struct plan_node *x)
{
    static const char *const known[] = { "vm", "method", "checkpoint", "down", NULL };
    const json *list = fields_array(f, o, "parks", JSON_REQUIRED);
    uint32_t n = 0;

    x->parks = fields_items(f, list, sizeof *x->parks, &x->n_parks);
    for (const json *v = json_first(list); n < x->n_parks; v = json_next(v)) {
        struct plan_park *p = &x->parks[n++];

        fields_known(f, v, known);
        p->vm = read_vm_id(f, v, inv);
        p->method =
            (enum park_method)fields_enum(f, v, "method", JSON_REQUIRED, FIELDS_NAMES(park_method_names), 0);
        p->checkpoint = fields_bool(f, v, "checkpoint", JSON_REQUIRED, false);
        p->down = read_estimate(f, v, "down");
    }
}

static void read_steps(struct fields *f, const json *o, struct plan_node *x)
{
    const json *steps = fields_object(f, o, "steps", JSON_REQUIRED);

    if (steps != NULL && json_count(steps) != PREDICT_STEPS)
        fields_fault(f, steps, "must have one estimate per step");
    for (int s = 0; s < PREDICT_STEPS && f->rc == 0; s++)
        x->steps[s] = read_estimate(f, steps, predict_step_name((enum predict_step)s));
}

static uint32_t read_from_one(struct fields *f, const json *o, const char *key, uint32_t max)
{
    return (uint32_t)fields_int(f, o, key, JSON_REQUIRED, 1, max, 1) - 1;
}

static void read_node(struct fields *f, const json *o, const struct plan *p, struct plan_node *x)
{
    static const char *const known[] = { "node",     "compliant", "wave",  "batch",   "order",
                                         "rehearse", "reserve",   "moves", "parks",   "evidence",
                                         "drain",    "steps",     "life",  "reasons", NULL };

    fields_known(f, o, known);
    x->node = read_node_id(f, o, "node", p->inv);
    x->reasons = fields_strings(f, o, "reasons", JSON_REQUIRED, &x->n_reasons);
    x->compliant = fields_bool(f, o, "compliant", JSON_OPTIONAL, false);
    x->lives = 1;
    x->wave = IX_NONE;
    if (x->compliant || f->rc != 0)
        return;
    x->wave = read_from_one(f, o, "wave", p->n_waves == 0 ? 1 : p->n_waves);
    x->batch = read_from_one(f, o, "batch", 1000000);
    x->order = read_from_one(f, o, "order", 1000000);
    x->rehearse = fields_bool(f, o, "rehearse", JSON_REQUIRED, false);
    x->lives = x->rehearse ? 3 : 1;
    x->reached =
        (enum reserve_rung)fields_enum(f, o, "reserve", JSON_REQUIRED, FIELDS_NAMES(reserve_rung_names), 0);
    x->moves = read_moves(f, o, "moves", p->inv, &x->n_moves);
    read_parks(f, o, p->inv, x);
    x->evidence = read_moves(f, o, "evidence", p->inv, &x->n_evidence);
    x->drain = read_estimate(f, o, "drain");
    read_steps(f, o, x);
    x->life = read_estimate(f, o, "life");
}

static void read_nodes(struct fields *f, const json *root, struct plan *p)
{
    const json *list = fields_array(f, root, "nodes", JSON_REQUIRED);
    uint32_t n = 0;

    p->nodes = fields_items(f, list, sizeof *p->nodes, &p->n_nodes);
    for (const json *v = json_first(list); n < p->n_nodes && f->rc == 0; v = json_next(v))
        read_node(f, v, p, &p->nodes[n++]);
}

/* Which entry of plan.nodes each inventory node is, for the waves. */
static uint32_t *index_nodes(struct fields *f, const struct plan *p)
{
    uint32_t *index = ARENA_ARRAY(f->arena, uint32_t, p->inv->n_nodes);

    if (index == NULL) {
        f->rc = err_set(f->err, ERR_NOMEM, "read plan");
        return NULL;
    }
    memset(index, 0xff, p->inv->n_nodes * sizeof *index);
    for (uint32_t i = 0; i < p->n_nodes; i++)
        index[p->nodes[i].node] = i;
    return index;
}

static void read_wave(struct fields *f, const json *o, const struct plan *p, const uint32_t *index,
                      struct plan_wave *w)
{
    static const char *const known[] = { "nodes", "took", "gates_ms", "lower_bound_ms", NULL };
    const char *const *ids;

    fields_known(f, o, known);
    ids = fields_strings(f, o, "nodes", JSON_REQUIRED, &w->n_nodes);
    w->nodes = ARENA_ARRAY(f->arena, uint32_t, w->n_nodes);
    if (w->nodes == NULL && f->rc == 0)
        f->rc = err_set(f->err, ERR_NOMEM, "read plan");
    for (uint32_t i = 0; i < w->n_nodes && f->rc == 0; i++) {
        uint32_t node = inventory_node(p->inv, ids[i]);

        w->nodes[i] = node == IX_NONE ? IX_NONE : index[node];
        if (w->nodes[i] == IX_NONE)
            fields_fault(f, json_get(o, "nodes"), "names a node that the plan does not have");
    }
    w->took = read_estimate(f, o, "took");
    w->gates_ms = fields_int(f, o, "gates_ms", JSON_REQUIRED, 0, ESTIMATE_MAX, 0);
    w->lower_bound_ms = fields_int(f, o, "lower_bound_ms", JSON_REQUIRED, 0, ESTIMATE_MAX, 0);
}

static void read_waves(struct fields *f, const json *root, struct plan *p)
{
    const json *list = fields_array(f, root, "waves", JSON_REQUIRED);
    uint32_t *index, n = 0;

    p->waves = fields_items(f, list, sizeof *p->waves, &p->n_waves);
    read_nodes(f, root, p); /* they name their wave */
    index = f->rc == 0 ? index_nodes(f, p) : NULL;
    for (const json *v = json_first(list); n < p->n_waves && f->rc == 0; v = json_next(v))
        read_wave(f, v, p, index, &p->waves[n++]);
}

static void read_refusals(struct fields *f, const json *root, struct plan *p)
{
    static const char *const known[] = { "node", "rule", "reason", NULL };
    const json *list = fields_array(f, root, "refusals", JSON_REQUIRED);
    uint32_t n = 0;

    p->refusals = fields_items(f, list, sizeof *p->refusals, &p->n_refusals);
    for (const json *v = json_first(list); n < p->n_refusals && f->rc == 0; v = json_next(v)) {
        struct plan_refusal *x = &p->refusals[n++];

        fields_known(f, v, known);
        x->node = read_node_id(f, v, "node", p->inv);
        x->rule = fields_str(f, v, "rule", JSON_REQUIRED);
        x->reason = fields_str(f, v, "reason", JSON_REQUIRED);
    }
}

static void read_totals(struct fields *f, const json *root, struct plan *p)
{
    p->made_at = fields_time(f, root, "made_at", JSON_REQUIRED, 0);
    p->planner = fields_str(f, root, "planner", JSON_REQUIRED);
    p->moves = fields_u32(f, root, "moves", JSON_REQUIRED, UINT32_MAX, 0);
    p->moves_bound = fields_u32(f, root, "moves_bound", JSON_REQUIRED, UINT32_MAX, 0);
    p->evidence_moves = fields_u32(f, root, "evidence_moves", JSON_REQUIRED, UINT32_MAX, 0);
    p->took = read_estimate(f, root, "took");
    p->took_bound_ms = fields_int(f, root, "took_bound_ms", JSON_REQUIRED, 0, ESTIMATE_MAX, 0);
    p->way_back = fields_str(f, root, "way_back", JSON_REQUIRED);
    p->way_back_text = fields_str(f, root, "way_back_text", JSON_REQUIRED);
    p->warnings = fields_strings(f, root, "warnings", JSON_REQUIRED, &p->n_warnings);
    p->notes = fields_strings(f, root, "notes", JSON_REQUIRED, &p->n_notes);
}

static void read_all(struct fields *f, const json *root, struct plan *p)
{
    static const char *const known[] = {
        "version",  "hash",          "made_at",        "planner",   "clock_factor",
        "moves",    "moves_bound",   "evidence_moves", "took",      "took_bound_ms",
        "way_back", "way_back_text", "warnings",       "notes",     "waves",
        "nodes",    "refusals",      "rollout",        "inventory", "cluster_settings",
        NULL
    };
    struct inventory *inv = NULL;
    struct rollout *r = NULL;
    const json *o;

    fields_known(f, root, known);
    fields_int(f, root, "version", JSON_REQUIRED, 1, 1, 1);
    o = fields_object(f, root, "inventory", JSON_REQUIRED);
    if (o != NULL)
        f->rc = inventory_read_value(f->doc, o, &inv, f->err);
    p->inv = p->own.inv = inv;
    o = fields_object(f, root, "rollout", JSON_REQUIRED);
    if (o != NULL)
        f->rc = rollout_read_value(f->doc, o, &r, f->err);
    p->rollout = p->own.rollout = r;
    if (f->rc != 0 || inv == NULL || r == NULL)
        return;
    if (fields_u32(f, root, "clock_factor", JSON_REQUIRED, UINT32_MAX, 1) != inv->clock_factor)
        fields_fault(f, json_get(root, "clock_factor"), "is not the inventory's");
    read_totals(f, root, p);
    fields_array(f, root, "cluster_settings", JSON_REQUIRED); /* follows from the rollout: the hash tells */
    read_waves(f, root, p);
    read_refusals(f, root, p);
}

/* The hash is over our own words for what was read: a byte more or less in the
 * file that changes nothing is not an alteration, anything else is. */
static int check_hash(const struct json_doc *doc, struct plan *p, struct err *err)
{
    const char *claimed = json_get_str(json_root(doc), "hash", "");
    struct buf text = BUF_INIT;
    int rc = 0;

    plan_write(&text, p, false);
    if (text.failed)
        rc = err_set(err, ERR_NOMEM, "read plan");
    else
        sha256_text(text.data, text.len, p->hash);
    buf_clear(&text);
    if (rc == 0 && strcmp(claimed, p->hash) != 0)
        rc = err_set(err, ERR_CORRUPT, "the plan was altered: it says hash %.12s, its contents have %.12s",
                     claimed, p->hash);
    return rc;
}

int plan_read(const struct json_doc *doc, struct plan **ret_plan, struct err *err)
{
    struct plan *p = calloc(1, sizeof *p);
    struct fields f = { doc, NULL, err, 0 };
    int rc;

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "read plan");
    f.arena = &p->arena;
    if (!json_is_object(json_root(doc)))
        fields_fault(&f, json_root(doc), "a plan must be an object");
    else
        read_all(&f, json_root(doc), p);
    rc = f.rc == 0 ? check_hash(doc, p, err) : f.rc;
    if (rc != 0) {
        plan_free(p);
        return rc;
    }
    *ret_plan = p;
    return 0;
}
