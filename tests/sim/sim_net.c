/* Connections: in order within one, in no order across; delayed, cut, half
 * open, partitioned. */
#include "tests/sim/sim.h"

#include <string.h>

static struct sim_conn *conn_find(struct sim *s, uint32_t id)
{
    struct sim_conn *c = &s->conns[id % SIM_CONNS];

    return c->id == id && id != 0 ? c : NULL;
}

static dur_ms delay(struct sim *s)
{
    dur_ms d = prng_between(&s->rng_net, 1, 20);

    if (!s->calm && s->delay_extra_ms > 0)
        d += prng_between(&s->rng_net, 0, s->delay_extra_ms);
    return d;
}

static bool reachable(const struct sim *s, uint32_t node)
{
    const struct sim_agent *a = &s->agents[node];

    return s->world.nodes[node].power == POWER_ON && a->a != NULL && !(s->partition >> node & 1u) &&
           !a->auth_refused;
}

uint32_t sim_connect(struct sim *s, uint32_t ctl, uint32_t node)
{
    struct sim_conn *c;
    uint32_t id = 0;

    for (uint32_t i = 0; i < SIM_CONNS && id == 0; i++)
        if (s->conns[++s->next_conn % SIM_CONNS].id == 0)
            id = s->next_conn;
    if (id == 0)
        return 0;
    c = &s->conns[id % SIM_CONNS];
    *c = (struct sim_conn){
        .id = id, .ctl = ctl, .ctl_life = s->ctls[ctl].life, .node = node, .open_ctl = true
    };
    sim_put(s, s->now + prng_between(&s->rng_net, 50, 300), SIM_Q_OPEN, id, 0, 0, NULL, 0);
    return id;
}

static void forget_if_over(struct sim_conn *c)
{
    if (!c->open_ctl && !c->open_agent)
        c->id = 0;
}

/* For a while whatever is said, either way, may be heard once more, minutes or hours later (F17). */
static void echo(struct sim *s, enum sim_kind kind, uint32_t conn, time_ms at, const char *text, size_t len)
{
    struct prng *p = &s->world.rng_cruel;
    dur_ms late;

    if (s->now >= s->echo_until || !prng_permille(p, 400))
        return;
    late = prng_between(p, 1, 120 * SECOND_MS);
    if (!s->opt.plain && prng_permille(p, 100))
        late = prng_between(p, 2 * MINUTE_MS, 3 * HOUR_MS);
    sim_put(s, at + late, kind, conn, 0, 0, text, len);
}

/* What waits in a dead connection may come through after all, minutes later and beside the next one, while the node's end
 * holds out (F16). By a generator of its own. */
static void linger(struct sim *s, const struct sim_conn *c, const char *text, size_t len)
{
    struct prng p;

    if (s->opt.plain || !s->world.cruel || !c->open_agent)
        return;
    prng_init(&p, (uint64_t)s->now ^ ((uint64_t)c->id << 40));
    sim_put(s, s->now + prng_between(&p, SECOND_MS, 5 * MINUTE_MS), SIM_Q_TO_AGENT, c->id, 1, 0, text, len);
}

void sim_to_agent(struct sim *s, uint32_t conn, const char *text, size_t len)
{
    struct sim_conn *c = conn_find(s, conn);
    time_ms at;

    if (c != NULL && c->open_ctl && c->half)
        linger(s, c, text, len);
    if (c == NULL || !c->open_ctl || c->half || (s->partition >> c->node & 1u))
        return;
    if (sim_chance(s, 15)) { /* cut in mid-command */
        SIM_HIT(s, connection_cut);
        sim_net_cut(s, c->node);
        return;
    }
    at = s->now + delay(s);
    at = at > c->last_to_agent ? at : c->last_to_agent;
    c->last_to_agent = at;
    sim_put(s, at, SIM_Q_TO_AGENT, conn, 0, 0, text, len);
    echo(s, SIM_Q_TO_AGENT, conn, at, text, len);
}

void sim_to_ctl(struct sim *s, uint32_t conn, const char *text, size_t len)
{
    struct sim_conn *c = conn_find(s, conn);
    time_ms at;

    if (c == NULL || !c->open_agent || c->half || (s->partition >> c->node & 1u))
        return;
    if (sim_chance(s, 16)) { /* after the effect, before the reply */
        SIM_HIT(s, half_open);
        sim_net_half_open(s, c->node);
        return;
    }
    at = s->now + delay(s);
    at = at > c->last_to_ctl ? at : c->last_to_ctl;
    c->last_to_ctl = at;
    sim_put(s, at, SIM_Q_TO_CTL, conn, 0, 0, text, len);
    echo(s, SIM_Q_TO_CTL, conn, at, text, len);
    if (sim_chance(s, 17)) {
        SIM_HIT(s, reply_duplicated);
        s->echo_until = s->world.cruel ? s->now + 20 * MINUTE_MS : 0;
        sim_put(s, at + prng_between(&s->rng_net, 1, 20000), SIM_Q_TO_CTL, conn, 0, 0, text, len);
    }
}

void sim_close(struct sim *s, uint32_t conn, bool by_ctl)
{
    struct sim_conn *c = conn_find(s, conn);

    if (c == NULL)
        return;
    if (by_ctl) {
        c->open_ctl = false;
        if (c->open_agent)
            sim_put(s, s->now + delay(s), SIM_Q_CLOSED_AGENT, conn, 0, 0, NULL, 0);
    } else {
        c->open_agent = false;
        if (c->open_ctl)
            sim_put(s, s->now + delay(s), SIM_Q_CLOSED_CTL, conn, 0, 0, NULL, 0);
    }
    forget_if_over(c);
}

/* The controller's end notices after its idle limit. */
static void ctl_notices(struct sim *s, struct sim_conn *c, dur_ms lo, dur_ms hi)
{
    if (c->open_ctl)
        sim_put(s, s->now + prng_between(&s->rng_net, lo, hi), SIM_Q_CLOSED_CTL, c->id, 0, 0, NULL, 0);
}

void sim_net_node_gone(struct sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < SIM_CONNS; i++)
        if (s->conns[i].id != 0 && s->conns[i].node == node) {
            s->conns[i].open_agent = false;
            s->conns[i].half = true;
            ctl_notices(s, &s->conns[i], 500, 30000);
            forget_if_over(&s->conns[i]);
        }
}

void sim_net_agent_gone(struct sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < SIM_CONNS; i++)
        if (s->conns[i].id != 0 && s->conns[i].node == node && s->conns[i].open_agent) {
            s->conns[i].open_agent = false;
            ctl_notices(s, &s->conns[i], 5, 50);
            forget_if_over(&s->conns[i]);
        }
}

void sim_net_ctl_gone(struct sim *s, uint32_t ctl)
{
    for (uint32_t i = 0; i < SIM_CONNS; i++)
        if (s->conns[i].id != 0 && s->conns[i].ctl == ctl && s->conns[i].open_ctl) {
            s->conns[i].open_ctl = false;
            if (s->conns[i].open_agent)
                sim_put(s, s->now + prng_between(&s->rng_net, 5, 60000), SIM_Q_CLOSED_AGENT, s->conns[i].id,
                        0, 0, NULL, 0);
            forget_if_over(&s->conns[i]);
        }
}

void sim_net_cut(struct sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < SIM_CONNS; i++)
        if (s->conns[i].id != 0 && s->conns[i].node == node && !s->conns[i].half) {
            s->conns[i].half = true;
            ctl_notices(s, &s->conns[i], 1, 100);
            if (s->conns[i].open_agent)
                sim_put(s, s->now + prng_between(&s->rng_net, 1, 100), SIM_Q_CLOSED_AGENT, s->conns[i].id, 0,
                        0, NULL, 0);
        }
}

void sim_net_half_open(struct sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < SIM_CONNS; i++)
        if (s->conns[i].id != 0 && s->conns[i].node == node && !s->conns[i].half) {
            s->conns[i].half = true;
            ctl_notices(s, &s->conns[i], 30000, 90000);
            if (s->conns[i].open_agent)
                sim_put(s, s->now + prng_between(&s->rng_net, 30000, 900000), SIM_Q_CLOSED_AGENT,
                        s->conns[i].id, 0, 0, NULL, 0);
        }
}

static void on_open(struct sim *s, struct sim_conn *c)
{
    if (!c->open_ctl) {
        c->id = 0;
        return;
    }
    if (!reachable(s, c->node)) {
        ctl_notices(s, c, 100, 20000);
        return;
    }
    c->open_agent = true;
    c->agent_life = s->agents[c->node].life;
    sim_agent_open(s, c->node, c->id);
    if (c->open_agent)
        sim_backend_connected(&s->ctls[c->ctl], c->node, c->id);
}

void sim_net_item(struct sim *s, struct sim_item *it)
{
    struct sim_conn *c = conn_find(s, it->a);
    struct sim_controller *k;
    uint32_t node, id = it->a;

    if (c == NULL)
        return;
    node = c->node;
    k = &s->ctls[c->ctl];
    if (it->kind == SIM_Q_OPEN) {
        on_open(s, c);
    } else if (it->kind == SIM_Q_TO_AGENT) {
        if (c->open_agent && (!c->half || it->b == 1) && s->agents[node].a != NULL)
            sim_agent_line(s, node, id, it->text, it->len);
    } else if (it->kind == SIM_Q_TO_CTL) {
        if (c->open_ctl && !c->half && k->life == c->ctl_life)
            sim_backend_line(k, node, id, it->text, it->len);
    } else if (it->kind == SIM_Q_CLOSED_AGENT) {
        if (c->open_agent && s->agents[node].a != NULL) {
            c->open_agent = false;
            sim_agent_closed(s, node, id);
        }
        c->open_agent = false;
        forget_if_over(c);
    } else if (it->kind == SIM_Q_CLOSED_CTL) {
        bool told = c->open_ctl && k->life == c->ctl_life;

        c->open_ctl = false;
        if (c->open_agent &&
            (s->opt.plain || !s->world.cruel || !c->half)) /* else it waits out its own limit */
            sim_put(s, s->now + 10, SIM_Q_CLOSED_AGENT, id, 0, 0, NULL, 0);
        forget_if_over(c);
        if (told)
            sim_backend_closed(k, node, id);
    }
}
