/* The way back of cluster-wide settings (O18): put back once nothing is out any more; what cannot be is named. */
#include "orchestrator/core/engine_setting.h"

#define SETTING_AGAIN_MS (60 * SECOND_MS)
#define RESTORE_FLOOR_MS (15 * MINUTE_MS)

/* A run that was taken up again looks once at what it never touched, nor could. */
static bool look_pending(const struct engine *e, const struct engine_cluster *c, uint32_t i)
{
    const struct engine_setting *s = &c->settings[i];

    return e->resumed && (s->state == SETTING_UNTOUCHED || s->state == SETTING_REFUSED) && !s->looked &&
           plan_sets(e->plan, c->ix, (enum cluster_setting)i);
}

static void look_once(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    if (c->settings_at < c->restore_from) {
        cluster_want(e, c);
        return;
    }
    s->looked = true;
    if (s->seen == setting_wanted(e, i))
        setting_doubt_unchanged(e, c, i);
}

static bool restore_pending(const struct engine_setting *s)
{
    return s->state == SETTING_SETTING || s->state == SETTING_SET || s->state == SETTING_RESTORING;
}

static void restore_one(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    setting_settle_doubt(e, c, i);
    if (s->state != SETTING_SET)
        return;
    if (c->settings_at < s->since || c->settings_at < c->restore_from)
        cluster_want(e, c);
    else if (setting_send(e, c, i, s->old, setting_wanted(e, i)))
        setting_to(e, s, SETTING_RESTORING);
}

/* Nobody answers: said, and no longer waited for. */
static void give_up_on(struct engine *e, struct engine_cluster *c, uint32_t i)
{
    struct engine_setting *s = &c->settings[i];

    if (restore_pending(s)) {
        setting_leave(e, c, i, "no node of the cluster answers for it");
        return;
    }
    s->looked = true;
    setting_note(
        e, c, NOTE_WARNING,
        SAY(e, "%s could not be looked at, and this log, taken up again, does not know whether it was set",
            cluster_setting_names[i]));
}

static bool setting_due(const struct engine *e, const struct engine_cluster *c, uint32_t i)
{
    return restore_pending(&c->settings[i]) || look_pending(e, c, i);
}

/* True when nothing of this cluster is left to do. */
static bool restore_cluster(struct engine *e, struct engine_cluster *c)
{
    bool pending = false;
    dur_ms limit = e->rollout->policy.unreachable_ms + RESTORE_FLOOR_MS;

    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++) {
        if (!setting_due(e, c, i))
            continue;
        if (c->restore_from == 0)
            c->restore_from = e->now;
        if (c->restore_from < e->woke_at)
            c->restore_from = e->woke_at;
        if (e->now >= c->restore_from + limit)
            give_up_on(e, c, i);
        else if (look_pending(e, c, i))
            look_once(e, c, i);
        else
            restore_one(e, c, i);
        pending = pending || setting_due(e, c, i);
    }
    if (pending && c->timer.pos == 0)
        engine_timer(e, &c->timer, e->now + SETTING_AGAIN_MS);
    return !pending;
}

bool settings_restore(struct engine *e)
{
    bool done = true;

    for (uint32_t i = 0; i < e->inv->n_clusters; i++)
        done = restore_cluster(e, &e->clusters[i]) && done;
    return done;
}

void settings_anew(struct engine *e, struct engine_cluster *c)
{
    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++) {
        c->settings[i].tries = 0;
        if (c->settings[i].state == SETTING_REFUSED)
            setting_to(e, &c->settings[i], SETTING_UNTOUCHED);
    }
}

void settings_again(struct engine *e)
{
    for (uint32_t k = 0; k < e->inv->n_clusters; k++) {
        e->clusters[k].restore_from = 0;
        settings_anew(e, &e->clusters[k]);
    }
}

bool settings_return(struct engine *e, struct engine_cluster *c)
{
    bool found = false;

    for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++) {
        struct engine_setting *s = &c->settings[i];

        if (s->state != SETTING_LEFT)
            continue;
        found = true;
        s->tries = 0;
        s->restore_tried = true; /* it may be back by now: that is no foreign change */
        setting_to(e, s, SETTING_SET);
    }
    if (found) {
        c->restore_from = 0;
        e->settings_due = true;
    }
    return found;
}

void settings_cut_off(struct engine *e)
{
    for (uint32_t k = 0; k < e->inv->n_clusters; k++)
        for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++)
            if (restore_pending(&e->clusters[k].settings[i]))
                setting_leave(e, &e->clusters[k], i, "the run was closed by force");
            else if (look_pending(e, &e->clusters[k], i))
                give_up_on(e, &e->clusters[k], i);
}

void settings_list_left(const struct engine *e, struct buf *b)
{
    for (uint32_t k = 0; k < e->inv->n_clusters; k++)
        for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++) {
            const struct engine_setting *s = &e->clusters[k].settings[i];

            if (s->state == SETTING_LEFT || restore_pending(s))
                buf_printf(b, " %s %s (was %u)", e->inv->clusters[k].id, cluster_setting_names[i], s->old);
        }
}

bool settings_left(const struct engine *e)
{
    for (uint32_t k = 0; k < e->inv->n_clusters; k++)
        for (uint32_t i = 0; i < CLUSTER_SETTINGS; i++)
            if (e->clusters[k].settings[i].state == SETTING_LEFT)
                return true;
    return false;
}
