/* The document for the change board (Markdown): what is asked, whom it
 * touches, when, how it is checked, how one gets back. */
#include "orchestrator/core/rollout_names.h"
#include "orchestrator/io/plan_picture.h"
#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/render_plan.h"

static void between(struct buf *out, struct estimate e)
{
    char p50[TIME_TEXT_MAX], p95[TIME_TEXT_MAX];

    buf_printf(out, "%s (P95 %s)", dur_text(e.p50, p50), dur_text(e.p95, p95));
}

static void put_ask(struct buf *out, const struct plan *p, const struct plan_sums *s)
{
    char made[TIME_TEXT_MAX], target[32];

    buf_printf(out, "# Change plan %.12s: %s\n\n", p->hash, p->rollout->patch.kb);
    buf_printf(out, "| | |\n|---|---|\n| Plan | `%s` |\n| Made | %s by ", p->hash,
               time_text(p->made_at, made));
    escape_markdown(out, p->planner);
    buf_printf(out, " |\n| Package | %s, build %s, SHA-256 `%s` |\n", p->rollout->patch.kb,
               build_text(p->rollout->patch.target, target), p->rollout->patch.sha256);
    for (uint32_t i = 0; i < p->rollout->patch.n_checkpoints; i++) {
        buf_str(out, "| Checkpoint package | ");
        escape_markdown(out, p->rollout->patch.checkpoints[i].file);
        buf_printf(out, ", SHA-256 `%s` |\n", p->rollout->patch.checkpoints[i].sha256);
    }
    buf_printf(out, "| Asked | approve %u waves on %u nodes in %u clusters |\n", (unsigned)p->n_waves,
               (unsigned)p->n_nodes, (unsigned)p->inv->n_clusters);
    buf_str(out, "| Predicted | ");
    between(out, p->took);
    buf_str(out, " |\n| Cluster settings | ");
    plan_settings_words(out, p);
    buf_printf(out, " |\n| Way back | **%s**: ", p->way_back);
    escape_markdown(out, p->way_back_text);
    buf_printf(out, " |\n| VMs stopped | %u |\n", (unsigned)s->parks);
    if (p->inv->lab)
        buf_str(out, "| Note | **simulated fleet (a lab)** |\n");
    buf_str(out, "\nThe approval signs the hash above. Membership, wave order, methods and consents cannot "
                 "change afterwards; "
                 "a run refuses any other plan.\n");
}

static void put_affected(struct buf *out, const struct plan *p)
{
    buf_str(out, "\n## 1 Affected\n\n| cluster | nodes | VMs | storage | nodes out at once | reserve "
                 "|\n|---|---|---|---|---|---|\n");
    for (uint32_t c = 0; c < p->inv->n_clusters; c++) {
        const struct cluster *cl = &p->inv->clusters[c];
        uint32_t n = 0;

        for (uint32_t i = 0; i < p->n_nodes; i++)
            n += p->inv->nodes[p->nodes[i].node].cluster == c;
        buf_str(out, "| ");
        escape_markdown(out, cl->id);
        buf_printf(out, " | %u of %u | %u | %s | %u | %s |\n", (unsigned)n, (unsigned)cl->n_nodes,
                   (unsigned)cl->n_vms, cl->storage == STORAGE_S2D ? "S2D" : "shared", (unsigned)cl->max_out,
                   reserve_rung_name(cl->reserve));
    }
    buf_printf(out, "\nLeft out: %u nodes.\n", (unsigned)p->n_refusals);
    for (uint32_t i = 0; i < p->n_refusals; i++) {
        buf_printf(out, "- %s (%s): ", p->inv->nodes[p->refusals[i].node].id, p->refusals[i].rule);
        escape_markdown(out, p->refusals[i].reason);
        buf_char(out, '\n');
    }
}

static void put_impact(struct buf *out, const struct plan *p, const struct plan_sums *s)
{
    buf_printf(out, "\n## 2 Impact\n\n%u live moves; blackouts in sum ", (unsigned)s->moves);
    between(out, s->blackout);
    buf_str(out, ".\n");
    if (s->parks == 0) {
        buf_str(out, "No VM is stopped.\n");
        return;
    }
    buf_str(out, "\nVMs that are stopped, by their owners' consent:\n\n| VM | node | method | predicted | "
                 "consent |\n|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < p->n_nodes; i++)
        for (uint32_t k = 0; k < p->nodes[i].n_parks; k++) {
            const struct plan_park *park = &p->nodes[i].parks[k];
            const struct consent *c = rollout_consent(p->rollout, p->inv->vms[park->vm].id);

            buf_str(out, "| ");
            escape_markdown(out, p->inv->vms[park->vm].name);
            buf_printf(out, " | %s | %s%s | ", p->inv->nodes[p->nodes[i].node].id,
                       park_method_name(park->method), park->checkpoint ? ", checkpoint" : "");
            between(out, park->down);
            buf_str(out, " | ");
            if (c != NULL) {
                escape_markdown(out, c->person);
                buf_str(out, ", ");
                escape_markdown(out, c->ticket);
            }
            buf_str(out, " |\n");
        }
}

static int put_schedule(struct buf *out, const struct plan *p, struct err *err)
{
    struct plan_picture pic;
    int rc = plan_picture_draw(p, &pic, err);

    if (rc != 0)
        return rc;
    buf_str(out, "\n## 3 Schedule\n\n| wave | nodes | out at once | predicted | begins after | names "
                 "|\n|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < p->n_waves; i++) {
        char begins[TIME_TEXT_MAX];

        buf_printf(out, "| %u | %u | %u | ", (unsigned)i + 1, (unsigned)p->waves[i].n_nodes,
                   (unsigned)pic.waves[i].out_max);
        between(out, p->waves[i].took);
        buf_printf(out, " | %s |", dur_text(pic.waves[i].start, begins));
        for (uint32_t n = 0; n < p->waves[i].n_nodes; n++)
            buf_printf(out, " %s", p->inv->nodes[p->nodes[p->waves[i].nodes[n]].node].id);
        buf_str(out, " |\n");
    }
    plan_picture_clear(&pic);
    return 0;
}

static void put_spans(struct buf *out, const char *what, const struct span *spans, uint32_t n)
{
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

    for (uint32_t i = 0; i < n; i++)
        buf_printf(out, "- %s: %s to %s\n", what, time_text(spans[i].from, from), time_text(spans[i].to, to));
}

static void put_windows(struct buf *out, const struct plan *p)
{
    buf_str(out, "\nA node is started only when the P95 of its whole life ends inside a window and before "
                 "any freeze:\n\n");
    if (p->rollout->n_windows == 0)
        buf_str(out, "- window: always\n");
    put_spans(out, "window", p->rollout->windows, p->rollout->n_windows);
    put_spans(out, "freeze", p->rollout->freezes, p->rollout->n_freezes);
}

static void put_capacity(struct buf *out, const struct plan *p)
{
    uint32_t below = 0;

    for (uint32_t i = 0; i < p->n_nodes; i++)
        below += p->nodes[i].reached != RESERVE_FULL && !p->nodes[i].compliant;
    buf_printf(out,
               "\n## 4 Capacity\n\nEach drain has a placement for every VM. %u of %u node steps do not keep "
               "N+1 for all VMs "
               "(rung `full`, O23). Moves: %u planned, at least %u are needed.\n",
               (unsigned)below, (unsigned)p->n_nodes, (unsigned)p->moves, (unsigned)p->moves_bound);
}

static bool has_s2d(const struct plan *p)
{
    for (uint32_t i = 0; i < p->inv->n_clusters; i++)
        if (p->inv->clusters[i].storage == STORAGE_S2D)
            return true;
    return false;
}

static void put_steps(struct buf *out, const struct plan *p)
{
    buf_printf(out,
               "\n## 5 Steps on each node\n\nstage (digest checked), pause, move VMs to the planned places, "
               "move groups and "
               "volumes, check empty%s%s, install with %s, %s, verify (package, build, nothing pending, boot "
               "newer), start vmms, "
               "come back whole or stay out (O12), resume, evidence load (O15).\n",
               has_s2d(p) ? ", storage maintenance (S2D)" : "",
               p->rollout->policy.stop_vmms ? ", stop vmms" : "", p->rollout->patch.tool,
               p->rollout->patch.reboot == REBOOT_ALWAYS ? "reboot" : "reboot if required");
}

static void put_tests(struct buf *out, const struct plan *p)
{
    buf_str(out, "\n## 6 Test plan: gates\n\n| gate | type | when | samples | soak | fails after | unknown "
                 "after | on failure |\n"
                 "|---|---|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < p->rollout->n_gates; i++) {
        const struct gate *g = &p->rollout->gates[i];
        char soak[TIME_TEXT_MAX];

        buf_str(out, "| ");
        escape_markdown(out, g->name);
        buf_printf(out, " | %s | %s | %u | %s | %u | %u | %s |\n", gate_type_name(g->type),
                   gate_when_names[g->when], (unsigned)g->samples, dur_text(g->soak_ms, soak),
                   (unsigned)g->failure_limit + 1, (unsigned)g->unknown_limit + 1,
                   g->on_fail == ON_FAIL_ROLLBACK ? "roll back" : "halt");
    }
    buf_printf(out,
               "\nMissing or stale evidence is *unknown*: it holds the wave and never rolls back. Failure "
               "budget: %u nodes per "
               "wave, %u per run.\n",
               (unsigned)p->rollout->policy.failures_per_wave, (unsigned)p->rollout->policy.failures_per_run);
}

static void put_backout(struct buf *out, const struct plan *p)
{
    buf_printf(out, "\n## 7 Backout\n\n**%s**. ", p->way_back);
    escape_markdown(out, p->way_back_text);
    buf_printf(out,
               "\nRehearsal on the first node: %s. Automatic rollback covers: %s. A node that cannot go back "
               "stays patched and "
               "in service, and the run ends *halted* with the list.\n",
               p->rollout->policy.rehearse ? "yes" : "no",
               rollback_policy_names[p->rollout->policy.rollback]);
}

static void put_risks(struct buf *out, const struct plan *p)
{
    buf_str(out, "\n## 8 Risks and warnings\n\n");
    for (uint32_t i = 0; i < p->n_notes; i++) {
        buf_str(out, "- ");
        escape_markdown(out, p->notes[i]);
        buf_char(out, '\n');
    }
    for (uint32_t i = 0; i < p->n_warnings; i++) {
        buf_str(out, "- ");
        escape_markdown(out, p->warnings[i]);
        buf_char(out, '\n');
    }
    for (uint32_t i = 0; i < p->rollout->n_waivers; i++) {
        const struct waiver *w = &p->rollout->waivers[i];

        buf_str(out, "- waived: ");
        escape_markdown(out, w->what);
        buf_str(out, w->cluster ? " for " : "");
        escape_markdown(out, w->cluster ? w->cluster : "");
        buf_str(out, ", by ");
        escape_markdown(out, w->person);
        buf_str(out, ", ticket ");
        escape_markdown(out, w->ticket);
        buf_char(out, '\n');
    }
    if (p->n_warnings == 0 && p->rollout->n_waivers == 0)
        buf_str(out, "None.\n");
}

static void put_approval(struct buf *out, const struct plan *p, const struct plan_approval_line *a)
{
    char at[TIME_TEXT_MAX], until[TIME_TEXT_MAX];

    buf_str(out, "\n## 9 Approved\n\n");
    if (a == NULL || a->person == NULL) {
        buf_printf(
            out, "Not yet. `patchwave approve %.12s --ticket NUMBER` by another person than the planner%s.\n",
            p->hash, p->rollout->policy.planner_may_approve ? " (this policy lets the planner do it)" : "");
        return;
    }
    escape_markdown(out, a->person);
    buf_str(out, ", ticket ");
    escape_markdown(out, a->ticket);
    buf_printf(out, ", %s, valid until %s. Signed: `%s`\n", time_text(a->at, at),
               time_text(a->expires, until), p->hash);
}

int render_plan_markdown(struct buf *out, const struct plan *p, const struct plan_approval_line *approval,
                         struct err *err)
{
    struct plan_sums s = plan_sums_of(p);
    int rc;

    put_ask(out, p, &s);
    put_affected(out, p);
    put_impact(out, p, &s);
    rc = put_schedule(out, p, err);
    put_windows(out, p);
    put_capacity(out, p);
    put_steps(out, p);
    put_tests(out, p);
    put_backout(out, p);
    put_risks(out, p);
    put_approval(out, p, approval);
    return rc;
}
