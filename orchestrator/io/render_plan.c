#include "orchestrator/io/render_plan.h"

#include "orchestrator/core/rollout_names.h"
#include "orchestrator/io/plan_picture.h"
#include "orchestrator/io/render_escape.h"

#include <string.h>

#define PICTURE_COLUMNS 60
#define PICTURE_NODES_MAX 128

static void add(struct estimate *sum, struct estimate e)
{
    sum->p5 += e.p5;
    sum->p50 += e.p50;
    sum->p95 += e.p95;
}

struct plan_sums plan_sums_of(const struct plan *p)
{
    struct plan_sums s = { 0 };

    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct plan_node *n = &p->nodes[i];

        s.compliant += n->compliant;
        s.moves += n->n_moves;
        s.parks += n->n_parks;
        for (uint32_t m = 0; m < n->n_moves; m++) {
            add(&s.drain, n->moves[m].took);
            add(&s.blackout, n->moves[m].blackout);
            s.unproved += n->moves[m].unproved;
        }
        for (uint32_t m = 0; m < n->n_evidence; m++)
            add(&s.blackout, n->evidence[m].blackout);
        for (uint32_t k = 0; k < n->n_parks; k++)
            add(&s.parked, n->parks[k].down);
        s.moves += n->n_evidence;
        if (n->compliant)
            continue;
        add(&s.install, n->steps[PREDICT_INSTALL]);
        add(&s.reboot, n->steps[PREDICT_REBOOT]);
        add(&s.resync, n->steps[PREDICT_RESYNC]);
    }
    return s;
}

static const char *node_name(const struct plan *p, uint32_t at)
{
    return p->inv->nodes[p->nodes[at].node].id;
}

static void put_between(struct buf *out, struct estimate e)
{
    char p50[TIME_TEXT_MAX], p95[TIME_TEXT_MAX];

    buf_printf(out, "P50 %s, P95 %s", dur_text(e.p50, p50), dur_text(e.p95, p95));
}

void plan_settings_words(struct buf *out, const struct plan *p)
{
    const char *lead = "";

    for (uint32_t s = 0; s < CLUSTER_SETTINGS; s++) {
        uint32_t clusters = 0;

        for (uint32_t c = 0; c < p->inv->n_clusters; c++)
            clusters += plan_sets(p, c, (enum cluster_setting)s);
        if (clusters == 0)
            continue;
        buf_printf(out, "%s%s %u in %u cluster%s", lead, cluster_setting_name((enum cluster_setting)s),
                   (unsigned)p->rollout->policy.settings[s].value, (unsigned)clusters,
                   clusters == 1 ? "" : "s");
        lead = ", ";
    }
    buf_str(out,
            lead[0] == '\0' ? "none is changed" : " before the first drain there, put back at the end (O18)");
}

static void put_head(struct buf *out, const struct plan *p, const struct plan_approval_line *a)
{
    char made[TIME_TEXT_MAX], target[32], bound[TIME_TEXT_MAX], until[TIME_TEXT_MAX];
    struct plan_sums s = plan_sums_of(p);

    buf_printf(out, "PLAN %.12s  %s  %s -> build %s\n", p->hash, p->rollout->name, p->rollout->patch.kb,
               build_text(p->rollout->patch.target, target));
    for (uint32_t i = 0; i < p->rollout->patch.n_checkpoints; i++) {
        buf_str(out, "            with the checkpoint package ");
        escape_terminal(out, p->rollout->patch.checkpoints[i].file);
        buf_printf(out, " (%s)\n", p->rollout->patch.checkpoints[i].sha256);
    }
    buf_printf(out, "sha256      %s\nmade        %s by ", p->hash, time_text(p->made_at, made));
    escape_terminal(out, p->planner);
    buf_str(out, "\napproved    ");
    if (a == NULL || a->person == NULL) {
        buf_str(out, "not yet\n");
    } else {
        escape_terminal(out, a->person);
        buf_str(out, ", ticket ");
        escape_terminal(out, a->ticket);
        buf_printf(out, ", until %s\n", time_text(a->expires, until));
    }
    buf_printf(out, "scope       %u nodes in %u waves, %u of them at the target already; %u refused\n",
               (unsigned)p->n_nodes, (unsigned)p->n_waves, (unsigned)s.compliant, (unsigned)p->n_refusals);
    buf_str(out, "predicted   ");
    put_between(out, p->took);
    buf_printf(out, " (no order can do it under %s)%s\n", dur_text(p->took_bound_ms, bound),
               p->inv->lab ? "; simulated fleet" : "");
    buf_printf(out, "moves       %u live (at least %u are needed)%s\n", (unsigned)p->moves,
               (unsigned)p->moves_bound, s.unproved > 0 ? "; some go to a host of another patch level" : "");
    buf_str(out, "settings    ");
    plan_settings_words(out, p);
    buf_char(out, '\n');
    buf_printf(out, "way back    %s: ", p->way_back);
    escape_terminal(out, p->way_back_text);
    buf_char(out, '\n');
}

static void put_impact(struct buf *out, const struct plan *p)
{
    struct plan_sums s = plan_sums_of(p);

    buf_str(out, "\nIMPACT\n  VMs moved live lose ");
    put_between(out, s.blackout);
    buf_str(out, " in sum over all of them (blackouts)\n");
    if (s.parks == 0) {
        buf_str(out, "  no VM is stopped\n");
        return;
    }
    buf_printf(out, "  %u VM stops, by consent, ", (unsigned)s.parks);
    put_between(out, s.parked);
    buf_str(out, " in sum:\n");
    for (uint32_t i = 0; i < p->n_nodes; i++)
        for (uint32_t k = 0; k < p->nodes[i].n_parks; k++) {
            const struct plan_park *park = &p->nodes[i].parks[k];

            buf_printf(out, "    %-8s  ", park_method_name(park->method));
            escape_terminal(out, p->inv->vms[park->vm].name);
            buf_printf(out, " on %s%s: ", node_name(p, i), park->checkpoint ? ", with a checkpoint" : "");
            put_between(out, park->down);
            buf_char(out, '\n');
        }
}

static void put_bar(struct buf *out, dur_ms start, dur_ms end, dur_ms all)
{
    dur_ms from = all == 0 ? 0 : start * PICTURE_COLUMNS / all,
           to = all == 0 ? 0 : end * PICTURE_COLUMNS / all;

    if (to == from && end > start)
        to = from + 1;
    for (dur_ms i = 0; i < PICTURE_COLUMNS; i++)
        buf_char(out, i >= from && i < to ? '#' : '.');
}

static void put_wave(struct buf *out, const struct plan *p, const struct plan_picture *pic, uint32_t wave)
{
    const struct plan_wave *w = &p->waves[wave];

    buf_printf(out, "  wave %u: %u nodes, at most %u out at once, ", (unsigned)wave + 1, (unsigned)w->n_nodes,
               (unsigned)pic->waves[wave].out_max);
    put_between(out, w->took);
    buf_char(out, '\n');
    for (uint32_t i = 0; i < w->n_nodes && p->n_nodes <= PICTURE_NODES_MAX; i++) {
        const struct plan_node *n = &p->nodes[w->nodes[i]];
        char life[TIME_TEXT_MAX];

        buf_printf(out, "    %-12s ", node_name(p, w->nodes[i]));
        put_bar(out, pic->nodes[w->nodes[i]].start, pic->nodes[w->nodes[i]].end, pic->end);
        if (n->compliant)
            buf_str(out, " at the target already\n");
        else
            buf_printf(out, " %u moves%s, %s%s\n", (unsigned)n->n_moves, n->n_parks > 0 ? ", stops VMs" : "",
                       dur_text(n->life.p50, life), n->rehearse ? ", rehearses the way back (O14)" : "");
    }
    if (p->n_nodes > PICTURE_NODES_MAX) {
        buf_str(out, "    ");
        put_bar(out, pic->waves[wave].start, pic->waves[wave].end, pic->end);
        buf_char(out, '\n');
    }
}

static int put_picture(struct buf *out, const struct plan *p, struct err *err)
{
    struct plan_picture pic;
    char column[TIME_TEXT_MAX];
    int rc = plan_picture_draw(p, &pic, err);

    if (rc != 0)
        return rc;
    buf_printf(out, "\nCOURSE (predicted at P50; one column is %s)\n",
               dur_text(pic.end / PICTURE_COLUMNS, column));
    for (uint32_t i = 0; i < p->n_waves; i++)
        put_wave(out, p, &pic, i);
    plan_picture_clear(&pic);
    return 0;
}

static void put_gates(struct buf *out, const struct plan *p)
{
    buf_str(out, "\nGATES\n");
    if (p->rollout->n_gates == 0)
        buf_str(out, "  none\n");
    for (uint32_t i = 0; i < p->rollout->n_gates; i++) {
        const struct gate *g = &p->rollout->gates[i];
        char soak[TIME_TEXT_MAX];

        buf_printf(out, "  %-16s %-15s %s each wave, soak %s, on failure %s\n", g->name,
                   gate_type_name(g->type),
                   g->when == GATE_BOTH     ? "before and after"
                   : g->when == GATE_BEFORE ? "before"
                                            : "after",
                   dur_text(g->soak_ms, soak), g->on_fail == ON_FAIL_ROLLBACK ? "roll back" : "halt");
    }
}

/* O36 */
static void put_times(struct buf *out, const struct plan *p)
{
    struct plan_sums s = plan_sums_of(p);
    const struct {
        const char *name;
        struct estimate sum;
    } rows[] = {
        { "drain", s.drain }, { "install", s.install }, { "reboot", s.reboot }, { "resync", s.resync }
    };

    buf_str(out, "\nWHERE THE TIME GOES (node time, in sum)\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_printf(out, "  %-10s ", rows[i].name);
        put_between(out, rows[i].sum);
        buf_char(out, '\n');
    }
}

static void put_lists(struct buf *out, const struct plan *p)
{
    if (p->n_refusals > 0)
        buf_str(out, "\nREFUSED (cannot be drained safely; not part of the run)\n");
    for (uint32_t i = 0; i < p->n_refusals; i++) {
        buf_printf(out, "  %-12s %s: ", p->inv->nodes[p->refusals[i].node].id, p->refusals[i].rule);
        escape_terminal(out, p->refusals[i].reason);
        buf_char(out, '\n');
    }
    if (p->n_notes > 0)
        buf_str(out, "\nNOTES\n");
    for (uint32_t i = 0; i < p->n_notes; i++) {
        buf_str(out, "  ");
        escape_terminal(out, p->notes[i]);
        buf_char(out, '\n');
    }
    if (p->n_warnings > 0)
        buf_str(out, "\nWARNINGS\n");
    for (uint32_t i = 0; i < p->n_warnings; i++) {
        buf_str(out, "  ");
        escape_terminal(out, p->warnings[i]);
        buf_char(out, '\n');
    }
}

int render_plan_text(struct buf *out, const struct plan *p, const struct plan_approval_line *approval,
                     struct err *err)
{
    int rc;

    put_head(out, p, approval);
    put_impact(out, p);
    rc = put_picture(out, p, err);
    put_gates(out, p);
    put_times(out, p);
    put_lists(out, p);
    return rc;
}

/* --- difference --- */

static uint32_t diff_text(struct buf *out, const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return 0;
    buf_printf(out, "%s: ", what);
    escape_terminal(out, a);
    buf_str(out, " -> ");
    escape_terminal(out, b);
    buf_char(out, '\n');
    return 1;
}

static uint32_t diff_number(struct buf *out, const char *what, uint64_t a, uint64_t b)
{
    if (a != b)
        buf_printf(out, "%s: %llu -> %llu\n", what, (unsigned long long)a, (unsigned long long)b);
    return a != b;
}

static const struct plan_node *find_node(const struct plan *p, const char *id)
{
    uint32_t node = inventory_node(p->inv, id);
    uint32_t at = node == IX_NONE ? IX_NONE : plan_node_of(p, node);

    return at == IX_NONE ? NULL : &p->nodes[at];
}

static uint32_t diff_node(struct buf *out, const char *id, const struct plan_node *a,
                          const struct plan_node *b)
{
    uint32_t n = 0;
    struct buf what = BUF_INIT;

    if (b == NULL) {
        buf_printf(out, "%s: no longer in the plan\n", id);
        return 1;
    }
    buf_printf(&what, "%s: wave", id);
    n += diff_number(out, buf_text(&what), a->wave + 1, b->wave + 1); /* without a wave: 0 */
    buf_reset(&what);
    buf_printf(&what, "%s: moves", id);
    n += diff_number(out, buf_text(&what), a->n_moves, b->n_moves);
    buf_reset(&what);
    buf_printf(&what, "%s: VMs stopped", id);
    n += diff_number(out, buf_text(&what), a->n_parks, b->n_parks);
    buf_clear(&what);
    return n;
}

uint32_t render_plan_diff(struct buf *out, const struct plan *a, const struct plan *b)
{
    uint32_t n = diff_text(out, "rollout", a->rollout->name, b->rollout->name);

    n += diff_text(out, "patch", a->rollout->patch.kb, b->rollout->patch.kb);
    n += diff_text(out, "package digest", a->rollout->patch.sha256, b->rollout->patch.sha256);
    n += diff_text(out, "way back", a->way_back, b->way_back);
    n += diff_number(out, "waves", a->n_waves, b->n_waves);
    n += diff_number(out, "refused nodes", a->n_refusals, b->n_refusals);
    n += diff_number(out, "moves", a->moves, b->moves);
    for (uint32_t i = 0; i < a->n_nodes; i++)
        n += diff_node(out, node_name(a, i), &a->nodes[i], find_node(b, node_name(a, i)));
    for (uint32_t i = 0; i < b->n_nodes; i++)
        if (find_node(a, node_name(b, i)) == NULL) {
            buf_printf(out, "%s: new in the plan\n", node_name(b, i));
            n++;
        }
    if (n == 0)
        n += diff_text(out, "hash (other details)", a->hash, b->hash);
    return n;
}
