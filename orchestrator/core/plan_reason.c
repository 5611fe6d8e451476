/* Phase 5: the plan in words, each with its rule of docs/rules.md. */
#include "orchestrator/core/plan_own.h"

#include <string.h>

static uint32_t count_here(const struct planner *pl, const struct plan_node *x)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < pl->plan->n_nodes; i++)
        n += pl->plan->nodes[i].wave == x->wave &&
             pl->inv->nodes[pl->plan->nodes[i].node].cluster == pl->inv->nodes[x->node].cluster;
    return n;
}

static uint32_t unpatched_landings(const struct planner *pl, const struct plan_node *x)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < x->n_moves; i++) {
        const struct candidate *to = &pl->of[x->moves[i].to];

        n += to->planned && to->rank > pl->of[x->node].rank;
    }
    return n;
}

static int say_order(struct planner *pl, const struct plan_node *x, struct text_list *l)
{
    const struct candidate *c = &pl->of[x->node];
    const struct node *n = &pl->inv->nodes[x->node];
    int rc = plan_say(pl, l, "P2: wave %u takes from every cluster in proportion; %u of %s", x->wave + 1,
                      count_here(pl, x), pl->inv->clusters[n->cluster].id);

    if (rc == 0 && c->rank == 0)
        rc = plan_say(pl, l, "P4: first of its cluster: its VMs are the fewest (%u to move)", x->n_moves);
    else if (rc == 0)
        rc = plan_say(pl, l, "P2: number %u of its cluster, for model %s, firmware %s", c->rank + 1,
                      n->model == NULL ? "unknown" : n->model, n->firmware == NULL ? "unknown" : n->firmware);
    if (rc == 0 && c->confidential)
        rc = plan_say(pl, l, "P3: hosts confidential VMs, so its kind goes early");
    if (rc == 0 && x->rehearse)
        rc = plan_say(pl, l,
                      "O14: rehearsal: installed, verified, removed, verified, installed again, before any "
                      "second node");
    return rc;
}

static int say_safety(struct planner *pl, const struct plan_node *x, struct text_list *l)
{
    uint32_t landings = unpatched_landings(pl, x);
    const struct cluster *c = &pl->inv->clusters[pl->inv->nodes[x->node].cluster];
    int rc = plan_say(pl, l, "C4: with it out, one more loss is survived: %s",
                      x->reached == RESERVE_FULL        ? "all VMs restart"
                      : x->reached == RESERVE_PROTECTED ? "VMs that must restart do (waived for the others)"
                                                        : "no (waived)");

    if (rc == 0 && c->storage == STORAGE_S2D)
        rc = plan_say(pl, l, "O21: S2D: alone in its cluster, and the next only after resync");
    else if (rc == 0 && x->batch > 0)
        rc = plan_say(pl, l, "P6: batch %u of its cluster in this wave", x->batch + 1);
    if (rc == 0 && x->n_moves > 0)
        rc = plan_say(pl, l, "P5: %u of %u moves go to nodes that need no drain any more",
                      x->n_moves - landings, x->n_moves);
    for (uint32_t i = 0; rc == 0 && i < x->n_parks; i++)
        rc = plan_say(pl, l, "O4: VM %s cannot move (%s): %s, by consent of %s (%s)",
                      pl->inv->vms[x->parks[i].vm].name,
                      vm_is_pinned(&pl->fleet, &pl->fleet.vms.items[x->parks[i].vm]) == NULL
                          ? "no other node can take it"
                          : vm_is_pinned(&pl->fleet, &pl->fleet.vms.items[x->parks[i].vm]),
                      park_method_name(x->parks[i].method),
                      rollout_consent(pl->r, pl->inv->vms[x->parks[i].vm].id)->person,
                      rollout_consent(pl->r, pl->inv->vms[x->parks[i].vm].id)->ticket);
    return rc;
}

static int say_evidence(struct planner *pl, const struct plan_node *x, struct text_list *l)
{
    if (x->n_evidence > 0)
        return plan_say(pl, l, "O15: %u VM(s) come to it once it is back, as evidence", x->n_evidence);
    return 0;
}

static int explain_node(struct planner *pl, struct plan_node *x)
{
    struct text_list l = { 0 };
    int rc;

    if (x->compliant) {
        rc = plan_say(pl, &l, "O9: already at the target build or newer: nothing is done");
    } else {
        rc = say_order(pl, x, &l);
        if (rc == 0)
            rc = say_safety(pl, x, &l);
        if (rc == 0)
            rc = say_evidence(pl, x, &l);
    }
    x->reasons = l.items;
    x->n_reasons = l.n;
    return rc;
}

/* --- totals and the bound on moves --- */

/* The fewest VMs of the node that add up to `mib`: the largest first. */
static uint32_t fewest_for(const struct planner *pl, uint32_t node, uint64_t mib)
{
    const struct cluster *c = &pl->inv->clusters[pl->inv->nodes[node].cluster];
    uint64_t limit = UINT64_MAX, sum = 0;
    uint32_t n = 0;

    while (sum < mib) {
        uint64_t best = 0;
        uint32_t same = 0;

        for (uint32_t i = 0; i < c->n_vms; i++) {
            const struct fleet_vm *v = &pl->fleet.vms.items[c->vms[i]];
            uint64_t need = vm_demand_mib(&v->vm);

            if (pl->inv->vms[c->vms[i]].home != node || need >= limit || !vm_holds_memory(v) ||
                vm_is_pinned(&pl->fleet, v) != NULL)
                continue;
            same = need > best ? 1 : need == best ? same + 1 : same;
            best = need > best ? need : best;
        }
        if (same == 0)
            break;
        for (uint32_t i = 0; i < same && sum < mib; i++, n++)
            sum += best;
        limit = best;
    }
    return n;
}

/* Whose VMs have to land on nodes still to be drained: those of the first one
 * that do not fit on nodes which are never drained. The least over the
 * possible first ones (docs/planning.md). */
static uint32_t extra_bound(const struct planner *pl, uint32_t cluster)
{
    const struct cluster *c = &pl->inv->clusters[cluster];
    uint32_t least = UINT32_MAX;
    uint64_t spare = 0;

    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct node *n = &pl->inv->nodes[c->nodes[i]];
        uint64_t used = n->host_reserve_mib;

        if (pl->of[c->nodes[i]].planned)
            continue;
        for (uint32_t v = 0; v < c->n_vms; v++)
            if (pl->inv->vms[c->vms[v]].home == c->nodes[i] && pl->inv->vms[c->vms[v]].state == VM_RUNNING)
                used += vm_demand_mib(&pl->inv->vms[c->vms[v]]);
        spare += n->memory_mib > used ? n->memory_mib - used : 0;
    }
    for (uint32_t i = 0; i < pl->n_orders[cluster]; i++) {
        uint32_t node = pl->orders[cluster][i], n;
        uint64_t load = 0;

        for (uint32_t v = 0; v < c->n_vms; v++) {
            const struct fleet_vm *x = &pl->fleet.vms.items[c->vms[v]];

            if (pl->inv->vms[c->vms[v]].home == node && vm_holds_memory(x) &&
                vm_is_pinned(&pl->fleet, x) == NULL)
                load += vm_demand_mib(&x->vm);
        }
        n = load > spare ? fewest_for(pl, node, load - spare) : 0;
        least = n < least ? n : least;
    }
    return least == UINT32_MAX ? 0 : least;
}

static void total_moves(struct planner *pl)
{
    struct plan *p = pl->plan;

    for (uint32_t i = 0; i < p->n_nodes; i++) {
        p->moves += p->nodes[i].n_moves;
        for (uint32_t k = 0; k < p->nodes[i].n_evidence; k++) {
            p->moves += p->nodes[i].evidence[k].early;
            p->evidence_moves += !p->nodes[i].evidence[k].early;
        }
    }
    for (uint32_t i = 0; i < pl->inv->n_vms; i++) {
        const struct fleet_vm *v = &pl->fleet.vms.items[i];

        p->moves_bound += pl->of[pl->inv->vms[i].home].planned && vm_holds_memory(v);
    }
    for (uint32_t i = 0; i < p->n_nodes; i++)
        p->moves_bound -= p->nodes[i].n_parks;
    for (uint32_t c = 0; c < pl->inv->n_clusters; c++)
        p->moves_bound += extra_bound(pl, c);
}

/* --- warnings --- */

static int warn_vms(struct planner *pl)
{
    uint32_t low = 0;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < pl->inv->n_vms; i++) {
        const struct vm *v = &pl->inv->vms[i];

        low += v->clustered && v->priority < 2000 && v->state == VM_RUNNING;
        if (v->role == ROLE_CONTROLLER)
            rc = plan_say(pl, &pl->warnings, "O25: the controller runs as VM %s on cluster %s of this run",
                          v->name, pl->inv->clusters[v->cluster].id);
        if (rc == 0 && v->busy != VM_IDLE)
            rc = plan_say(pl, &pl->warnings, "O26: VM %s is busy now; its node waits until it is not",
                          v->name);
    }
    if (rc == 0 && low > 0)
        rc = plan_say(pl, &pl->warnings,
                      "O1: %u VM(s) of Low priority are moved live here, one by one; a drain by the cluster "
                      "itself would "
                      "quick-migrate them (clients cut off)",
                      low);
    return rc;
}

static int warn_parks(struct planner *pl)
{
    uint32_t parks = 0, saves = 0;
    int rc = 0;

    for (uint32_t i = 0; i < pl->plan->n_nodes; i++)
        for (uint32_t k = 0; k < pl->plan->nodes[i].n_parks; k++) {
            parks++;
            saves += pl->plan->nodes[i].parks[k].method == PARK_SAVE;
        }
    if (parks > 0)
        rc = plan_say(pl, &pl->warnings, "O4: %u VM(s) cannot move and lose service while their node is out",
                      parks);
    if (rc == 0 && saves > 0)
        rc = plan_say(
            pl, &pl->warnings,
            "O4: %u of them are saved: a saved state may not restore after a microcode or host change",
            saves);
    return rc;
}

static int warn_conflicts(struct planner *pl)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < pl->fleet.vms.n; i++) {
        const struct fleet_vm *v = &pl->fleet.vms.items[i];

        n += v->n_anti > 0 && v->at != IX_NONE && vm_holds_memory(v) &&
             fleet_conflict(&pl->fleet, i, v->at, false) != NULL;
    }
    return n == 0
               ? 0
               : plan_say(pl, &pl->warnings,
                          "O24: at the end %u VM(s) stand beside one of their preferred anti-affinity class",
                          n);
}

/* O23: the time spent below the full reserve. */
static int warn_reserve(struct planner *pl, uint32_t cluster)
{
    dur_ms below = 0;
    char text[TIME_TEXT_MAX];

    for (uint32_t i = 0; i < pl->plan->n_nodes; i++) {
        const struct plan_node *x = &pl->plan->nodes[i];

        if (!x->compliant && pl->inv->nodes[x->node].cluster == cluster && x->reached != RESERVE_FULL)
            below += x->life.p50;
    }
    if (below == 0)
        return 0;
    return plan_say(pl, &pl->warnings, "O23: cluster %s is below the full reserve for %s (P50), by waiver",
                    pl->inv->clusters[cluster].id, dur_text(below, text));
}

static int warn_run(struct planner *pl)
{
    const struct rollout *r = pl->r;
    bool manual = false;
    int rc = plan_say(
        pl, &pl->warnings,
        "P1: a wave is a cohort, not a concurrency: never more than %u node(s) of the fleet are out at once",
        r->policy.max_out_fleet);

    for (uint32_t i = 0; i < r->n_gates; i++)
        manual |= r->gates[i].type == GATE_MANUAL;
    if (rc == 0 && manual)
        rc = plan_say(pl, &pl->warnings,
                      "O16: a manual gate waits for a person; its waiting is not in the times");
    if (rc == 0 && pl->plan->n_refusals > 0)
        rc = plan_say(pl, &pl->warnings, "C2: %u node(s) cannot be drained safely and are refused by name",
                      pl->plan->n_refusals);
    if (rc == 0 && pl->plan->n_nodes == 0 && pl->plan->n_refusals == 0)
        rc = plan_say(pl, &pl->warnings, "P1: no node is in scope");
    for (uint32_t i = 0; rc == 0 && i < r->n_consents; i++)
        if (r->consents[i].expires < pl->now + pl->plan->took.p95)
            rc = plan_say(pl, &pl->warnings, "O4: the consent for VM %s may expire during the run",
                          r->consents[i].vm);
    return rc;
}

/* --- notes: where the time goes (O36) --- */

/* Both answers stand in the plan, because they differ: on servers with a TPM the article's test is true by construction. */
static int note_applies(struct planner *pl)
{
    uint32_t article[3] = { 0 }, microsoft[3] = { 0 };

    for (uint32_t i = 0; i < pl->plan->n_nodes; i++) {
        const struct node *n = &pl->inv->nodes[pl->plan->nodes[i].node];

        article[n->applies_article]++;
        microsoft[n->applies_microsoft]++;
    }
    if (article[KNOWN_NOT] + microsoft[KNOWN_NOT] == 2 * pl->plan->n_nodes)
        return 0;
    return plan_say(
        pl, &pl->notes,
        "P7: by the article's test (two of three: Windows Server 2025, a VM of version 10.0 or newer, "
        "TPM or VBS) the patch is for %u node(s), not for %u, not known of %u; by Microsoft's own words "
        "(confidential VMs: SNP, TDX) for %u, not for %u, not known of %u",
        article[KNOWN_YES], article[KNOWN_NO], article[KNOWN_NOT], microsoft[KNOWN_YES], microsoft[KNOWN_NO],
        microsoft[KNOWN_NOT]);
}

struct shares {
    struct estimate drain, install, reboot, resync;
    uint32_t nodes;
};

static int note_cluster(struct planner *pl, uint32_t cluster)
{
    uint32_t slots = pl->inv->clusters[cluster].migrations_parallel;
    char a[TIME_TEXT_MAX], b[TIME_TEXT_MAX], c[TIME_TEXT_MAX], d[TIME_TEXT_MAX];
    struct shares s = { 0 };
    dur_ms fixed = 0, saved;
    int rc;

    for (uint32_t i = 0; i < pl->plan->n_nodes; i++) {
        const struct plan_node *x = &pl->plan->nodes[i];

        if (x->compliant || pl->inv->nodes[x->node].cluster != cluster)
            continue;
        s.nodes++;
        s.drain = estimate_add(s.drain, x->drain);
        s.install = estimate_add(s.install, x->steps[PREDICT_INSTALL]);
        s.reboot = estimate_add(s.reboot, x->steps[PREDICT_REBOOT]);
        s.resync = estimate_add(s.resync, x->steps[PREDICT_RESYNC]);
        for (uint32_t k = 0; k < x->n_moves; k++)
            fixed += x->moves[k].took.p50 - predict_transfer(pl->predictor, &pl->fleet, x->moves[k].vm).p50;
    }
    if (s.nodes == 0)
        return 0;
    rc = plan_say(pl, &pl->notes,
                  "O36: %s, %u node(s), P50 in all: drain %s, install %s, reboot %s, resync %s",
                  pl->inv->clusters[cluster].id, s.nodes, dur_text(s.drain.p50, a),
                  dur_text(s.install.p50, b), dur_text(s.reboot.p50, c), dur_text(s.resync.p50, d));
    saved = fixed / slots - fixed / (slots + 1);
    if (rc == 0 && saved > 0)
        rc = plan_say(pl, &pl->notes,
                      "O19: %s allows %u migration(s) at once; one more would save about %s of draining "
                      "(left as it is)",
                      pl->inv->clusters[cluster].id, slots, dur_text(saved, a));
    return rc;
}

/* --- the way back (O14, O16) --- */

static int explain_way_back(struct planner *pl)
{
    struct text_list l = { 0 };
    const char *kb = pl->r->patch.kb;
    bool automatic = false;
    int rc;

    for (uint32_t i = 0; i < pl->r->n_gates; i++)
        automatic |= pl->r->gates[i].on_fail == ON_FAIL_ROLLBACK;
    pl->plan->way_back = "unproved";
    if (pl->r->policy.rehearse && pl->plan->n_nodes > 0)
        rc = plan_say(
            pl, &l,
            "The rehearsal on %s proves it, or not, before any second node; if the removal of %s is refused, "
            "the way back is \"not removable\" and the run holds.",
            pl->inv->nodes[pl->plan->nodes[0].node].id, kb);
    else
        rc = plan_say(pl, &l, "Only a real removal of %s proves it, and none is rehearsed.%s", kb,
                      !automatic ? ""
                      : rollout_waives(pl->r, "rollback_unproved", NULL)
                          ? " Automatic rollback is on all the same: the proof is waived."
                          : " Automatic rollback is off: a gate that fails ends the run halted.");
    pl->plan->way_back_text = rc == 0 ? l.items[0] : "";
    return rc;
}

int plan_explain(struct planner *pl)
{
    int rc = explain_way_back(pl);

    total_moves(pl);
    for (uint32_t i = 0; rc == 0 && i < pl->plan->n_nodes; i++)
        rc = explain_node(pl, &pl->plan->nodes[i]);
    if (rc == 0)
        rc = warn_run(pl);
    if (rc == 0)
        rc = warn_vms(pl);
    if (rc == 0)
        rc = warn_parks(pl);
    if (rc == 0)
        rc = warn_conflicts(pl);
    for (uint32_t c = 0; rc == 0 && c < pl->inv->n_clusters; c++) {
        rc = warn_reserve(pl, c);
        if (rc == 0)
            rc = note_cluster(pl, c);
    }
    if (rc == 0)
        rc = note_applies(pl);
    pl->plan->warnings = pl->warnings.items;
    pl->plan->n_warnings = pl->warnings.n;
    pl->plan->notes = pl->notes.items;
    pl->plan->n_notes = pl->notes.n;
    return rc;
}
