#include "orchestrator/core/plan_verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void book_fault(struct book *b, const char *rule, const char *fmt, ...)
{
    va_list args;

    b->faults++;
    buf_printf(b->out, "%s: ", rule);
    va_start(args, fmt);
    buf_vprintf(b->out, fmt, args);
    va_end(args);
    buf_char(b->out, '\n');
}

static bool among(const char *const *names, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static bool in_scope(const struct book *b, uint32_t node)
{
    const struct node *n = &b->inv->nodes[node];
    const struct rollout *r = b->r;

    return (r->n_clusters == 0 || among(r->clusters, r->n_clusters, b->inv->clusters[n->cluster].id)) &&
           (r->n_nodes == 0 || among(r->nodes, r->n_nodes, n->id)) && !among(r->exclude, r->n_exclude, n->id);
}

static bool at_target(const struct book *b, uint32_t node)
{
    struct build have = b->inv->nodes[node].build, want = b->r->patch.target;

    return have.number == want.number && have.ubr >= want.ubr;
}

/* Every node of the scope has exactly one place in the plan, no other has any. */
static void check_membership(struct book *b)
{
    for (uint32_t i = 0; i < b->p->n_nodes; i++) {
        const struct plan_node *x = &b->p->nodes[i];

        if (b->entry[x->node] != IX_NONE)
            book_fault(b, "P1", "%s is in the plan twice", b->inv->nodes[x->node].id);
        b->entry[x->node] = i;
        if (!in_scope(b, x->node))
            book_fault(b, "P1", "%s is not in the rollout's scope", b->inv->nodes[x->node].id);
        if (x->compliant != at_target(b, x->node))
            book_fault(b, "I15", "%s is wrongly taken as %scompliant", b->inv->nodes[x->node].id,
                       x->compliant ? "" : "not ");
        if (!x->compliant && b->inv->nodes[x->node].build.number != b->r->patch.target.number)
            book_fault(b, "I15", "the package is not for the build of %s", b->inv->nodes[x->node].id);
    }
    for (uint32_t i = 0; i < b->p->n_refusals; i++) {
        uint32_t node = b->p->refusals[i].node;

        if (b->entry[node] != IX_NONE || !in_scope(b, node))
            book_fault(b, "P1", "%s is refused and planned, or refused twice, or not in scope",
                       b->inv->nodes[node].id);
        b->entry[node] = b->p->n_nodes; /* seen */
    }
    for (uint32_t i = 0; i < b->inv->n_nodes; i++) {
        if (in_scope(b, i) && b->entry[i] == IX_NONE)
            book_fault(b, "P1", "%s is in scope and has no place in the plan", b->inv->nodes[i].id);
        if (b->entry[i] == b->p->n_nodes)
            b->entry[i] = IX_NONE;
    }
}

/* P1: Ansible's serial, in whole numbers. */
static uint32_t wave_size(const struct book *b, uint32_t wave, uint32_t n, uint32_t left)
{
    const struct wave_entry *e = &b->r->waves[wave < b->r->n_waves ? wave : b->r->n_waves - 1];
    uint64_t size = e->percent ? (uint64_t)e->number * n / 100 : e->number;

    size = size < 1 ? 1 : size;
    return size > left ? left : (uint32_t)size;
}

static void check_cut(struct book *b)
{
    uint32_t n = 0, left;

    for (uint32_t i = 0; i < b->p->n_nodes; i++)
        n += !b->p->nodes[i].compliant;
    left = n;
    for (uint32_t w = 0; w < b->p->n_waves; w++) {
        uint32_t size = wave_size(b, w, n, left);

        if (b->p->waves[w].n_nodes != size)
            book_fault(b, "P1", "wave %u has %u nodes, the rollout cuts %u", w + 1, b->p->waves[w].n_nodes,
                       size);
        left -= size;
    }
    if (left > 0)
        book_fault(b, "P1", "%u nodes are in no wave", left);
}

/* Waves and nodes say the same; within a cluster batches and orders go up in
 * start order. */
static void count_waves(struct book *b, uint32_t *listed, uint32_t *order, uint32_t *batch)
{
    for (uint32_t w = 0; w < b->p->n_waves; w++) {
        memset(order, 0, b->inv->n_clusters * sizeof *order);
        memset(batch, 0, b->inv->n_clusters * sizeof *batch);
        for (uint32_t i = 0; i < b->p->waves[w].n_nodes; i++) {
            const struct plan_node *x = &b->p->nodes[b->p->waves[w].nodes[i]];
            uint32_t c = b->inv->nodes[x->node].cluster;

            listed[b->p->waves[w].nodes[i]]++;
            if (x->compliant || x->wave != w)
                book_fault(b, "P1", "%s is listed in wave %u and does not belong there",
                           b->inv->nodes[x->node].id, w + 1);
            if (x->order != order[c]++ || x->batch < batch[c] || x->batch > batch[c] + 1)
                book_fault(b, "P6", "%s is out of its cluster's order", b->inv->nodes[x->node].id);
            batch[c] = x->batch;
        }
    }
    for (uint32_t i = 0; i < b->p->n_nodes; i++)
        if (listed[i] != (b->p->nodes[i].compliant ? 0u : 1u))
            book_fault(b, "P1", "%s is in %u waves", b->inv->nodes[b->p->nodes[i].node].id, listed[i]);
}

static void check_waves(struct book *b)
{
    uint32_t *listed = calloc(b->p->n_nodes + (size_t)1, sizeof *listed);
    uint32_t *order = calloc(b->inv->n_clusters + (size_t)1, sizeof *order);
    uint32_t *batch = calloc(b->inv->n_clusters + (size_t)1, sizeof *batch);

    if (listed == NULL || order == NULL || batch == NULL)
        b->no_memory = true;
    else
        count_waves(b, listed, order, batch);
    free(listed);
    free(order);
    free(batch);
}

static bool ordered(struct estimate e)
{
    return 0 <= e.p5 && e.p5 <= e.p50 && e.p50 <= e.p95;
}

static void check_estimates(struct book *b, const struct plan_node *x)
{
    bool ok = ordered(x->life) && ordered(x->drain);

    for (int s = 0; s < PREDICT_STEPS; s++)
        ok = ok && ordered(x->steps[s]);
    for (uint32_t i = 0; i < x->n_moves; i++)
        ok = ok && ordered(x->moves[i].took) && ordered(x->moves[i].blackout);
    for (uint32_t i = 0; i < x->n_parks; i++)
        ok = ok && ordered(x->parks[i].down) && x->parks[i].down.p95 <= x->life.p95;
    if (!ok)
        book_fault(b, "O36", "the predictions of %s are not in order", b->inv->nodes[x->node].id);
}

static void check_totals(struct book *b)
{
    uint32_t moves = 0, evidence = 0, rehearsed = 0;
    dur_ms took = 0, bound = 0;

    for (uint32_t i = 0; i < b->p->n_nodes; i++) {
        const struct plan_node *x = &b->p->nodes[i];

        moves += x->n_moves;
        for (uint32_t k = 0; k < x->n_evidence; k++) {
            moves += x->evidence[k].early;
            evidence += !x->evidence[k].early;
        }
        rehearsed += x->rehearse;
        check_estimates(b, x);
    }
    if (moves != b->p->moves || evidence != b->p->evidence_moves || b->p->moves_bound > moves)
        book_fault(b, "P5", "the plan says %u moves (bound %u) and %u of evidence, there are %u and %u",
                   b->p->moves, b->p->moves_bound, b->p->evidence_moves, moves, evidence);
    for (uint32_t w = 0; w < b->p->n_waves; w++) {
        const struct plan_wave *x = &b->p->waves[w];

        took += x->took.p50 + x->gates_ms;
        bound += x->lower_bound_ms + x->gates_ms;
        if (!ordered(x->took) || x->lower_bound_ms > x->took.p50)
            book_fault(b, "O36", "the times of wave %u are not in order: %lld, %lld, %lld ms, at least %lld",
                       w + 1, (long long)x->took.p5, (long long)x->took.p50, (long long)x->took.p95,
                       (long long)x->lower_bound_ms);
    }
    if (took != b->p->took.p50 || bound != b->p->took_bound_ms)
        book_fault(b, "O36", "the plan's time is not the sum of its waves'");
    if (rehearsed != (b->r->policy.rehearse && b->p->n_waves > 0 ? 1u : 0u) ||
        (rehearsed == 1 && !b->p->nodes[b->p->waves[0].nodes[0]].rehearse))
        book_fault(b, "O14", "the rehearsal is not exactly the first node's");
}

void book_check_shape(struct book *b)
{
    check_membership(b);
    check_cut(b);
    check_waves(b);
    check_totals(b);
}

static bool holds_memory(const struct vm *v)
{
    return v->state != VM_OFF && v->state != VM_SAVED;
}

static bool open_books(struct book *b)
{
    const struct inventory *inv = b->inv;

    b->at = calloc(inv->n_vms + (size_t)1, sizeof *b->at);
    b->down = calloc(inv->n_vms + (size_t)1, sizeof *b->down);
    b->moved = calloc(inv->n_vms + (size_t)1, sizeof *b->moved);
    b->free_mib = calloc(inv->n_nodes + (size_t)1, sizeof *b->free_mib);
    b->is_out = calloc(inv->n_nodes + (size_t)1, sizeof *b->is_out);
    b->patched = calloc(inv->n_nodes + (size_t)1, sizeof *b->patched);
    b->entry = calloc(inv->n_nodes + (size_t)1, sizeof *b->entry);
    if (b->at == NULL || b->down == NULL || b->moved == NULL || b->free_mib == NULL || b->is_out == NULL ||
        b->patched == NULL || b->entry == NULL)
        return false;
    for (uint32_t i = 0; i < inv->n_nodes; i++) {
        b->free_mib[i] = (int64_t)inv->nodes[i].memory_mib - (int64_t)inv->nodes[i].host_reserve_mib;
        b->patched[i] = at_target(b, i);
        b->entry[i] = IX_NONE;
    }
    for (uint32_t i = 0; i < inv->n_vms; i++) {
        const struct vm *v = &inv->vms[i];

        b->at[i] = v->home;
        b->down[i] = !holds_memory(v);
        if (!b->down[i])
            b->free_mib[v->home] -=
                (int64_t)(v->assigned_mib > v->startup_mib ? v->assigned_mib : v->startup_mib);
    }
    return true;
}

uint32_t plan_verify(const struct plan *p, struct buf *out)
{
    struct book b = { .p = p, .inv = p->inv, .r = p->rollout, .out = out };

    if (open_books(&b)) {
        book_check_shape(&b);
        for (uint32_t c = 0; b.faults == 0 && c < p->inv->n_clusters; c++)
            book_walk_cluster(&b, c);
    } else {
        b.no_memory = true;
    }
    if (b.no_memory)
        book_fault(&b, "P1", "out of memory: nothing is proved");
    free(b.at);
    free(b.down);
    free(b.moved);
    free(b.free_mib);
    free(b.is_out);
    free(b.patched);
    free(b.entry);
    return b.faults;
}
