#include "orchestrator/io/progress_lines.h"

#include "orchestrator/io/render_escape.h"
#include "orchestrator/io/render_hold.h"

#include <stdlib.h>
#include <string.h>

struct seen_node {
    enum node_phase phase;
    enum node_end end;
    bool unknown, back, out;
};

struct progress {
    const struct plan *plan;
    bool verbose, begun;
    struct seen_node *nodes;
    enum wave_state *waves;
    enum run_state run;
    bool *gates;
    uint32_t n_gates;
};

static const char *const answers[] = {
    [ANSWER_PASS] = "pass", [ANSWER_FAIL] = "FAIL", [ANSWER_UNKNOWN] = "UNKNOWN"
};
static const char *const note_words[] = {
    [NOTE_DECISION] = NULL, [NOTE_DEVIATION] = "deviation", [NOTE_WARNING] = "warning", [NOTE_GATE] = NULL
};

int progress_new(const struct plan *plan, bool verbose, struct progress **ret_p, struct err *err)
{
    struct progress *p = calloc(1, sizeof *p);

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "progress");
    p->plan = plan;
    p->verbose = verbose;
    p->nodes = calloc(plan->n_nodes + 1u, sizeof *p->nodes);
    p->waves = calloc(plan->n_waves + 1u, sizeof *p->waves);
    if (p->nodes == NULL || p->waves == NULL) {
        progress_free(p);
        return err_set(err, ERR_NOMEM, "progress");
    }
    *ret_p = p;
    return 0;
}

void progress_free(struct progress *p)
{
    if (p == NULL)
        return;
    free(p->nodes);
    free(p->waves);
    free(p->gates);
    free(p);
}

static void stamp(struct buf *out, time_ms now)
{
    char text[TIME_TEXT_MAX];

    time_text(now, text);
    buf_printf(out, "%.8s  ", text + 11);
}

static void reasoned(struct buf *out, const char *reason)
{
    if (reason != NULL && reason[0] != '\0') {
        buf_str(out, ": ");
        escape_terminal(out, reason);
    }
    buf_char(out, '\n');
}

static void look_node(struct progress *p, uint32_t i, const struct node_view *v, time_ms now, struct buf *out)
{
    struct seen_node *n = &p->nodes[i];
    const char *id = p->plan->inv->nodes[p->plan->nodes[i].node].id;

    if (v->end != n->end && v->end != NODE_END_NONE) {
        stamp(out, now);
        buf_printf(out, "%s %s", id, node_end_names[v->end]);
        reasoned(out, v->reason);
    } else if (v->unknown && !n->unknown) {
        stamp(out, now);
        buf_printf(out, "%s UNKNOWN in %s", id, node_phases[v->phase].name);
        reasoned(out, v->reason);
    } else if (v->phase != n->phase && (p->verbose || v->phase == NODE_DRAINING)) {
        stamp(out, now);
        buf_printf(out, "%s %s%s\n", id, v->back ? "back: " : "", node_phases[v->phase].name);
    }
    *n = (struct seen_node){ v->phase, v->end, v->unknown, v->back, v->out };
}

static void look_waves(struct progress *p, const struct engine *e, time_ms now, struct buf *out)
{
    for (uint32_t i = 0; i < p->plan->n_waves; i++) {
        struct wave_view v = engine_wave(e, i);

        if (v.state != p->waves[i]) {
            stamp(out, now);
            buf_printf(out, "wave %u %s\n", (unsigned)i + 1, wave_states[v.state].name);
        }
        p->waves[i] = v.state;
    }
}

static void look_gate(struct progress *p, uint32_t i, const struct gate_view *v, time_ms now, struct buf *out)
{
    bool cut_off = v->text != NULL && strcmp(v->text, "stopped") == 0; /* another gate has decided already */
    bool looked = v->samples > 0 || v->answer != ANSWER_PASS || v->gate->type == GATE_MANUAL;

    if (v->done && !p->gates[i] && looked &&
        !cut_off) { /* one that is not asked on this side passes unseen */
        stamp(out, now);
        buf_printf(out, "gate %s %s wave %u: %s", v->gate->name, v->after ? "after" : "before",
                   (unsigned)v->wave + 1, answers[v->answer]);
        reasoned(out, v->text);
    }
    p->gates[i] = v->done;
}

static void look_gates(struct progress *p, const struct engine *e, time_ms now, struct buf *out)
{
    uint32_t n = engine_gates(e);

    if (n > p->n_gates) {
        bool *more = realloc(p->gates, n * sizeof *more);

        if (more == NULL)
            return;
        for (uint32_t i = p->n_gates; i < n; i++)
            more[i] = false;
        p->gates = more;
        p->n_gates = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct gate_view v = engine_gate(e, i);

        look_gate(p, i, &v, now, out);
    }
}

static void look_run(struct progress *p, const struct engine *e, time_ms now, struct buf *out)
{
    struct run_view v = engine_run(e);

    if (p->begun && v.state == p->run)
        return;
    stamp(out, now);
    buf_printf(out, "run %s %s", v.run, run_states[v.state].name);
    if (v.state == RUN_HOLDING) {
        buf_str(out, ": ");
        escape_terminal(out, v.hold_reason);
        buf_str(out, " (");
        render_hold_way(out, v.hold_reason, v.hold_verb);
        buf_str(out, ")\n");
    } else {
        reasoned(out, v.end_text);
    }
    p->begun = true;
    p->run = v.state;
}

void progress_tell_run(struct progress *p)
{
    p->begun = false;
}

static void look_notes(const struct progress *p, const struct command_list *l, time_ms now, struct buf *out)
{
    for (uint32_t i = 0; i < l->n; i++) {
        const struct command *c = &l->items[i];

        if (c->type != CMD_NOTE || (note_words[c->note] == NULL && !p->verbose))
            continue;
        stamp(out, now);
        buf_printf(out, "%s%s%s ", c->node == IX_NONE ? "" : p->plan->inv->nodes[c->node].id,
                   c->node == IX_NONE ? "" : " ", note_words[c->note] == NULL ? "note" : note_words[c->note]);
        if (c->rule != NULL && c->rule[0] != '\0')
            buf_printf(out, "%s: ", c->rule);
        escape_terminal(out, c->text == NULL ? "" : c->text);
        buf_char(out, '\n');
    }
}

void progress_look(struct progress *p, const struct engine *e, time_ms now,
                   const struct command_list *commands, struct buf *out)
{
    for (uint32_t i = 0; i < p->plan->n_nodes; i++) {
        struct node_view v = engine_node(e, p->plan->nodes[i].node);

        look_node(p, i, &v, now, out);
    }
    if (commands != NULL)
        look_notes(p, commands, now, out);
    look_gates(p, e, now, out);
    look_waves(p, e, now, out);
    look_run(p, e, now, out);
}
