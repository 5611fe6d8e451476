/* Cluster-wide settings for the time of the run (O18): the old value is read once per cluster, the plan's is set before the
 * first drain there, and the old one is put back when nothing is out any more, whatever the run comes to.
 *
 *   untouched -> setting -> set -> restoring -> restored
 *       |           |        |         |
 *   unchanged    refused  foreign    left -> set (return, rollback); refused -> untouched (retry, rollback)
 *
 * An op goes through one agent of the cluster and says what it expects to find, so that nobody's change is overwritten
 * unseen. Its witness is the value itself, which every other node of the cluster can tell. */
#include "orchestrator/core/engine_setting.h"

#define S(s) (1u << SETTING_##s)
static const struct sm_state setting_states[SETTING_STATES] = {
    [SETTING_UNTOUCHED] = { "untouched", S(SETTING) | S(UNCHANGED) | S(REFUSED), SM_INITIAL },
    [SETTING_SETTING] = { "setting", S(SET) | S(UNTOUCHED) | S(REFUSED) | S(LEFT), 0 },
    [SETTING_SET] = { "set", S(RESTORING) | S(RESTORED) | S(FOREIGN) | S(LEFT), 0 },
    [SETTING_RESTORING] = { "restoring", S(RESTORED) | S(SET) | S(LEFT), 0 },
    [SETTING_RESTORED] = { "restored", S(UNTOUCHED), 0 },
    [SETTING_UNCHANGED] = { "unchanged", 0, SM_FINAL },
    [SETTING_FOREIGN] = { "foreign", 0, SM_FINAL },
    [SETTING_REFUSED] = { "refused", S(UNTOUCHED), 0 },
    [SETTING_LEFT] = { "left", S(SET) | S(RESTORED), 0 },
};

void setting_to(struct engine *e, struct engine_setting *s, enum setting_state state)
{
    assert(sm_may(setting_states, s->state, state));
    s->state = state;
    s->since = e->now;
    e->moved_at = e->now;
}

uint32_t setting_wanted(const struct engine *e, uint32_t i)
{
    return e->rollout->policy.settings[i].value;
}

void setting_note(struct engine *e, const struct engine_cluster *c, enum note_kind kind, const char *text)
{
    struct command *note = engine_command(e, CMD_NOTE);

    note->note = kind;
    note->rule = "O18";
    note->cluster = c->ix;
    note->text = engine_keep(e, text);
}

/* Any node of the cluster that is in service and has nothing else to do can set it. */
static struct engine_node *setting_voice(struct engine *e, const struct engine_cluster *c)
{
    const struct cluster *ic = &e->inv->clusters[c->ix];

    for (uint32_t i = 0; i < ic->n_nodes; i++) {
        struct engine_node *n = &e->nodes[ic->nodes[i]];

        if (n->claimed && !node_in_flight(n) && n->end != NODE_STUCK && n->op == NULL && !n->foreign_op)
            return n;
    }
    return NULL;
}

bool setting_send(struct engine *e, struct engine_cluster *c, uint32_t i, uint32_t value, uint32_t expected)
{
    struct engine_node *n = setting_voice(e, c);
    struct op *op = n == NULL ? NULL : op_open(e, n, ACT_CLUSTER_SETTING, IX_NONE);
    struct json_writer w;

    if (op == NULL)
        return false;
    op->setting = i;
    c->settings[i].op = op;
    jw_init(&w, &op->args);
    jw_object(&w, NULL);
    jw_str(&w, "name", cluster_setting_names[i]);
    jw_int(&w, "value", value);
    jw_int(&w, "expected", expected);
    jw_object_end(&w);
    op_send(e, op);
    return true;
}

/* It was ours, somebody changed it: said once, and left to them. */
static void found_foreign(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    setting_to(e, s, SETTING_FOREIGN);
    setting_note(
        e, c, NOTE_WARNING,
        SAY(e, "%s is %u, not %u as this run set it (before: %u): somebody changed it, it stays as it is",
            cluster_setting_names[i], s->seen, setting_wanted(e, i), s->old));
}

static void found_restored(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    setting_to(e, s, SETTING_RESTORED);
    setting_note(e, c, NOTE_DECISION, SAY(e, "%s is back at %u", cluster_setting_names[i], s->old));
}

void setting_leave(struct engine *e, struct engine_cluster *c, uint32_t i, const char *why)
{
    struct engine_setting *s = &c->settings[i];

    setting_to(e, s, SETTING_LEFT);
    setting_note(e, c, NOTE_WARNING,
                 SAY(e, "%s is not put back to %u: %s; `return` of a node of the cluster puts it back",
                     cluster_setting_names[i], s->old, why));
}

void settings_seen(struct engine *e, struct engine_cluster *c, const struct cluster_view *v, time_ms asked)
{
    const uint32_t values[CLUSTER_SETTINGS] = { [SETTING_BALANCER] = v->auto_balancer_mode,
                                                [SETTING_MOVE_TYPE] = v->move_type_threshold,
                                                [SETTING_MIGRATIONS] = v->max_parallel_migrations };

    c->settings_at = asked;
    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++) {
        struct engine_setting *s = &c->settings[i];

        s->seen = values[i];
        if (s->state != SETTING_SET || asked < s->since || s->seen == setting_wanted(e, i))
            continue;
        if (s->restore_tried && s->seen == s->old)
            found_restored(e, c, i);
        else
            found_foreign(e, c, i);
    }
}

static void set_ended(struct engine *e, struct engine_cluster *c, const struct op_end *end)
{
    struct engine_setting *s = &c->settings[end->setting];

    if (end->ok) {
        setting_to(e, s, SETTING_SET);
        setting_note(e, c, NOTE_DECISION,
                     SAY(e, "%s is %u for the time of the run, was %u", cluster_setting_names[end->setting],
                         setting_wanted(e, end->setting), s->old));
        return;
    }
    FILL(c->setting_why,
         SAY(e, "O18: %s cannot be set: %s %s", cluster_setting_names[end->setting], end->code, end->text));
    setting_to(e, s, ++s->tries < e->rollout->policy.attempts_max ? SETTING_UNTOUCHED : SETTING_REFUSED);
}

static void restore_ended(struct engine *e, struct engine_cluster *c, const struct op_end *end)
{
    struct engine_setting *s = &c->settings[end->setting];

    s->restore_tried = true;
    if (end->ok)
        found_restored(e, c, end->setting);
    else if (++s->tries < e->rollout->policy.attempts_max)
        setting_to(e, s, SETTING_SET);
    else
        setting_leave(e, c, end->setting, SAY(e, "%s %s", end->code, end->text));
}

void setting_ended(struct engine *e, struct engine_node *n, const struct op_end *end)
{
    struct engine_cluster *c = &e->clusters[n->cluster];

    if (c->settings[end->setting].state == SETTING_SETTING)
        set_ended(e, c, end);
    else if (c->settings[end->setting].state == SETTING_RESTORING)
        restore_ended(e, c, end);
    cluster_dirty(e, c);
}

/* The node that was asked cannot tell: past the op's time nothing of it runs any more, and the value is its witness. */
void setting_settle_doubt(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];
    struct op *op = s->op;
    struct op_end end = { .action = ACT_CLUSTER_SETTING, .setting = i, .code = "lost", .text = "no answer" };

    if (op == NULL || e->now < op->deadline || (e->nodes[op->node].claimed && !op->unknown))
        return;
    if (c->settings_at < op->deadline) {
        cluster_want(e, c);
        return;
    }
    end.ok = s->seen == (s->state == SETTING_SETTING ? setting_wanted(e, i) : s->old);
    if (!end.ok)
        setting_note(e, c, NOTE_DECISION,
                     SAY(e, "%s is still %u: %s has had no answer, and its time is over",
                         cluster_setting_names[i], s->seen, op->id.text));
    op_close(e, op);
    setting_ended(e, &e->nodes[e->inv->clusters[c->ix].nodes[0]], &end);
}

/* This log may be an older copy of the run's: what it did not set itself, the run may have set all the same. */
void setting_doubt_unchanged(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    setting_note(e, c, NOTE_WARNING,
                 SAY(e, "%s is %u and this log, taken up again, does not know who set it: it stays as it is",
                     cluster_setting_names[i], c->settings[i].seen));
}

/* The old value is read here, from a picture that is newer than anything we did to it. */
static const char *set_now(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    if (c->settings_at < s->since) {
        cluster_want(e, c);
        return "a fresh picture of the cluster";
    }
    s->old = s->seen;
    s->restore_tried = false;
    if (s->old == setting_wanted(e, i)) {
        setting_to(e, s, SETTING_UNCHANGED);
        if (e->resumed)
            setting_doubt_unchanged(e, c, i);
        return NULL;
    }
    if (!setting_send(e, c, i, setting_wanted(e, i), s->old))
        return "O18: a node that can set it";
    setting_to(e, s, SETTING_SETTING);
    return "O18: a cluster setting";
}

static const char *before_drain(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    setting_settle_doubt(e, c, i);
    if (s->state == SETTING_LEFT)
        setting_to(e, s, SETTING_SET); /* a rollback goes on where a run was cut off */
    if (s->state == SETTING_RESTORED)
        setting_to(e, s, SETTING_UNTOUCHED); /* the same after its end */
    switch (s->state) {
    case SETTING_UNTOUCHED:
        return set_now(e, c, i);
    case SETTING_SETTING:
    case SETTING_RESTORING:
        return "O18: a cluster setting";
    case SETTING_REFUSED:
        return c->setting_why;
    case SETTING_SET:
    case SETTING_RESTORED:
    case SETTING_UNCHANGED:
    case SETTING_FOREIGN:
    case SETTING_LEFT:
    case SETTING_STATES:
        break;
    }
    return NULL;
}

const char *settings_before_drain(struct engine *e, struct engine_cluster *c, bool *ret_refused)
{
    const char *why = NULL;

    *ret_refused = false;
    for (uint32_t i = 0; i < CLUSTER_SETTINGS && why == NULL; i++) {
        if (!e->rollout->policy.settings[i].wanted)
            continue;
        why = before_drain(e, c, i);
        *ret_refused = c->settings[i].state == SETTING_REFUSED;
    }
    return why;
}

void setting_foreign_op(struct engine *e, struct engine_node *n, const struct op_record *rec)
{
    setting_note(
        e, &e->clusters[n->cluster], NOTE_WARNING,
        SAY(e, "%s is not in this log: look at the settings of the cluster, they may not be as they were",
            rec->op));
}
