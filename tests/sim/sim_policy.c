/* What was approved: an inventory that matches the world, a rollout out of
 * the seed, the plan; and the same policy in the oracle's own words. */
#include "tests/sim/sim.h"

#include <string.h>

static void write_nodes(const struct sim_world *w, struct json_writer *j)
{
    char build[32];
    struct build b = { WORLD_BUILD, 0 };

    jw_array(j, "nodes");
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct world_node *n = &w->nodes[i];

        b.ubr = n->ubr;
        jw_object(j, NULL);
        jw_str(j, "id", n->id);
        jw_str(j, "cluster", w->clusters[n->cluster].id);
        jw_str(j, "model", "M");
        jw_str(j, "machine_id", n->machine);
        jw_str(j, "time_source", "10.0.0.1:123");
        jw_int(j, "memory_mib", n->memory_mib);
        jw_int(j, "host_reserve_mib", n->reserve_mib);
        jw_int(j, "cpus", 64);
        jw_int(j, "vote", 1);
        if (w->clusters[n->cluster].s2d)
            jw_str(j, "fault_domain", n->rack);
        jw_str(j, "build", build_text(b, build));
        jw_object_end(j);
    }
    jw_array_end(j);
}

static void write_clusters(const struct sim_world *w, struct json_writer *j)
{
    jw_array(j, "clusters");
    for (uint32_t i = 0; i < w->n_clusters; i++) {
        const struct world_cluster *c = &w->clusters[i];

        jw_object(j, NULL);
        jw_str(j, "id", c->id);
        jw_str(j, "storage", c->s2d ? "s2d" : "shared");
        jw_str(j, "witness", c->witness ? "disk" : "none");
        jw_str(j, "reserve", c->reserve);
        jw_int(j, "max_out", c->max_out);
        jw_int(j, "migrations_parallel", c->slots);
        jw_int(j, "bandwidth_mib_s", c->bandwidth_mib_s);
        jw_bool(j, "optimisation_off", true);
        jw_bool(j, "enforced_anti_affinity", c->anti_enforced);
        jw_array(j, "anti_affinity_hard");
        for (uint32_t v = 0; v < w->n_vms; v++)
            if (w->vms[v].hard && !c->anti_enforced && w->nodes[w->vms[v].node].cluster == i &&
                w->vms[v].anti == v + 1) {
                char name[16];
                struct buf b = BUF_INIT;

                buf_printf(&b, "pair%u", w->vms[v].anti);
                memcpy(name, buf_text(&b), b.len + 1);
                buf_clear(&b);
                jw_str(j, NULL, name);
            }
        jw_array_end(j);
        jw_object_end(j);
    }
    jw_array_end(j);
}

/* One of the driver's own descriptions, with where it is. */
static void write_vms(struct sim_world *w, struct json_writer *j)
{
    jw_array(j, "vms");
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        struct buf text = BUF_INIT;
        struct json_doc *doc = NULL;

        world_write_vms(w, i, &text);
        if (json_parse("vms", buf_text(&text), text.len, &doc, NULL) == 0)
            for (const json *v = json_first(json_get(json_root(doc), "vms")); v != NULL; v = json_next(v)) {
                static const char *const keys[] = {
                    "id",    "name",     "node",       "state",           "clustered",
                    "group", "memory",   "cpus",       "dirty_mib_s",     "priority",
                    "dda",   "switches", "cpu_compat", "possible_owners", "anti_affinity",
                    "role"
                };
                const struct world_vm *vm = &w->vms[world_vm_find(w, json_get_str(v, "id", ""))];

                jw_object(j, NULL);
                for (unsigned k = 0; k < sizeof keys / sizeof keys[0]; k++)
                    if (!json_is_null(json_get(v, keys[k])))
                        jw_value(j, keys[k], json_get(v, keys[k]));
                if (vm->must_restart)
                    jw_str(j, "sla", "gold");
                jw_object_end(j);
            }
        json_free(doc);
        buf_clear(&text);
    }
    jw_array_end(j);
}

static int make_inventory(struct sim *s, struct inventory **ret, struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer j;
    struct json_doc *doc = NULL;
    int rc;

    jw_init(&j, &text);
    jw_object(&j, NULL);
    jw_int(&j, "version", 1);
    jw_str(&j, "name", "sim");
    write_clusters(&s->world, &j);
    write_nodes(&s->world, &j);
    write_vms(&s->world, &j);
    jw_raw(&j, "sla_classes", "[{\"name\":\"gold\",\"must_restart\":true}]");
    jw_object_end(&j);
    rc = json_parse("inventory", buf_text(&text), text.len, &doc, err);
    if (rc == 0)
        rc = inventory_read(doc, ret, err);
    json_free(doc);
    buf_clear(&text);
    return rc;
}

static void write_seconds(struct json_writer *j, const char *key, dur_ms ms)
{
    char text[24];
    struct buf b = BUF_INIT;

    buf_printf(&b, "%llds", (long long)(ms / SECOND_MS));
    memcpy(text, buf_text(&b), b.len + 1);
    buf_clear(&b);
    jw_str(j, key, text);
}

static void write_gate(struct json_writer *j, const char *type, const char *name, const char *on_fail,
                       const struct oracle_gate *g)
{
    bool manual = strcmp(g->what, "manual") == 0;

    jw_object(j, NULL);
    jw_str(j, "type", type);
    if (name != NULL)
        jw_str(j, "name", name);
    jw_str(j, "scope", manual ? "wave" : g->by_node ? "node" : "cluster");
    jw_str(j, "when", g->before && g->after ? "both" : g->before ? "before" : "after");
    jw_str(j, "on_fail", on_fail);
    if (!manual) {
        write_seconds(j, "interval", g->interval_ms);
        write_seconds(j, "soak", g->soak_ms);
        jw_int(j, "samples", g->samples);
    }
    if (g->failures > 0)
        jw_int(j, "failure_limit", g->failures);
    jw_object_end(j);
}

static void add_gate(struct sim *s, struct json_writer *j, const char *type, const char *what, bool by_node,
                     uint32_t soak_s, const char *on_fail)
{
    struct oracle_gate *g = &s->policy.gates[s->policy.n_gates++];

    *g = (struct oracle_gate){ .before = strcmp(what, "time") != 0,
                               .after = true,
                               .by_node = by_node,
                               .soak_ms = soak_s * SECOND_MS,
                               .interval_ms = 60 * SECOND_MS,
                               .max_age_ms = 2 * MINUTE_MS,
                               .samples = 2 };
    memcpy(g->what, what, strlen(what) + 1);
    write_gate(j, type, NULL, on_fail, g);
}

/* Later kinds, in one cruel world of five: a person's, one that hears heartbeats, a second look at the cluster that forgives a
 * failure. By chance of their own, so that other seeds stay what they were. */
static void write_later_gates(struct sim *s, struct json_writer *j)
{
    static const char *const types[] = { "manual", "vm_heartbeat", "cluster_health" }, *const whats[] = {
        "manual", "heartbeat", "cluster"
    };
    struct oracle_gate *g = &s->policy.gates[s->policy.n_gates];
    struct prng p;
    uint32_t kind, when;

    prng_init(&p, s->opt.seed ^ 0x6a7e5);
    if (!s->world.cruel || s->opt.plain || s->opt.plain_gates || !prng_permille(&p, 200))
        return;
    kind = (uint32_t)prng_below(&p, 3);
    when = (uint32_t)prng_below(&p, kind == 0 ? 2 : 3);
    *g = (struct oracle_gate){ .before = when != 0,
                               .after = when != 1,
                               .by_node = kind == 1,
                               .interval_ms = prng_between(&p, 30, 90) * SECOND_MS,
                               .soak_ms = prng_between(&p, 90, 300) * SECOND_MS,
                               .max_age_ms = 2 * MINUTE_MS,
                               .samples = 1 + (uint32_t)prng_below(&p, 4),
                               .failures = kind == 2 ? (uint32_t)prng_below(&p, 3) : 0 };
    memcpy(g->what, whats[kind], strlen(whats[kind]) + 1);
    g->shared = s->policy.gates[0].shared = kind == 2;
    write_gate(j, types[kind], "later", prng_permille(&p, 500) ? "rollback" : "halt", g);
    s->policy.n_gates++;
}

static void write_gates(struct sim *s, struct json_writer *j, struct prng *p)
{
    uint32_t soak = 60 * (1 + (uint32_t)prng_below(p, 2));

    jw_array(j, "gates");
    add_gate(s, j, "cluster_health", "cluster", false, soak, prng_permille(p, 300) ? "rollback" : "halt");
    if (prng_permille(p, s->world.cruel ? 800 : 400))
        add_gate(s, j, "backup_agent", "backup", true, soak,
                 prng_permille(p, s->world.cruel ? 900 : 600) ? "rollback" : "halt");
    if (prng_permille(p, 200))
        add_gate(s, j, "time_sync", "time", true, soak, prng_permille(p, 500) ? "rollback" : "halt");
    write_later_gates(s, j);
    jw_array_end(j);
}

static void write_consents(struct sim *s, struct json_writer *j)
{
    char at[TIME_TEXT_MAX];

    jw_array(j, "consents");
    for (uint32_t i = 0; i < s->world.n_vms; i++) {
        const struct world_vm *v = &s->world.vms[i];

        if (!v->consent)
            continue;
        jw_object(j, NULL);
        jw_str(j, "vm", v->id);
        jw_str(j, "person", "owner");
        jw_str(j, "ticket", "CHG2");
        jw_str(j, "method", v->consent_method);
        jw_str(j, "expires", time_text(s->policy.consent_expires, at));
        jw_object_end(j);
    }
    jw_array_end(j);
}

static void write_waiver(struct json_writer *j, const char *what, const char *cluster)
{
    jw_object(j, NULL);
    jw_str(j, "what", what);
    if (cluster != NULL)
        jw_str(j, "cluster", cluster);
    jw_str(j, "person", "board");
    jw_str(j, "ticket", "CHG3");
    jw_object_end(j);
}

static void write_waivers(struct sim *s, struct json_writer *j, struct prng *p)
{
    jw_array(j, "waivers");
    for (uint32_t i = 0; i < s->world.n_clusters; i++)
        if (s->world.clusters[i].waive_none)
            write_waiver(j, "reserve_none", s->world.clusters[i].id);
    if (prng_permille(p, s->world.cruel ? 900 : 600))
        write_waiver(j, "rollback_unproved", NULL);
    s->policy.back_outside_window = prng_permille(p, 500);
    if (s->policy.back_outside_window)
        write_waiver(j, "rollback_outside_window", NULL);
    jw_array_end(j);
}

static void write_spans(struct sim *s, struct json_writer *j, struct prng *p)
{
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

    if (prng_permille(p, 300)) {
        s->policy.window_from = WORLD_START - HOUR_MS;
        s->policy.window_to = WORLD_START + prng_between(p, 180, 900) * MINUTE_MS;
        jw_array(j, "windows");
        jw_object(j, NULL);
        jw_str(j, "from", time_text(s->policy.window_from, from));
        jw_str(j, "to", time_text(s->policy.window_to, to));
        jw_object_end(j);
        jw_array_end(j);
    }
    if (prng_permille(p, 150)) {
        s->policy.freeze_from = WORLD_START + prng_between(p, 30, 200) * MINUTE_MS;
        s->policy.freeze_to = s->policy.freeze_from + prng_between(p, 20, 120) * MINUTE_MS;
        jw_array(j, "freezes");
        jw_object(j, NULL);
        jw_str(j, "from", time_text(s->policy.freeze_from, from));
        jw_str(j, "to", time_text(s->policy.freeze_to, to));
        jw_object_end(j);
        jw_array_end(j);
    }
    if (prng_permille(p, 100))
        s->policy.expires = WORLD_START + prng_between(p, 60, 400) * MINUTE_MS;
}

static void write_policy(struct sim *s, struct json_writer *j, struct prng *p)
{
    static const char *const backs[] = { "wave", "run", "none" }, *const cruel_backs[] = { "wave", "run",
                                                                                           "run" };
    struct oracle_policy *q = &s->policy;
    const char *back;

    q->failures_wave = (uint32_t)prng_below(p, 3);
    q->failures_run = q->failures_wave + (uint32_t)prng_below(p, 2);
    q->max_out_fleet = 1 + (uint32_t)prng_below(p, 4);
    q->moves_per_vm = 3 + (uint32_t)prng_below(p, 2);
    q->moves_back = 3;
    q->attempts = 1 + (uint32_t)prng_below(p, 2);
    if (s->world.cruel) {
        q->moves_per_vm = 1 + (uint32_t)prng_below(&s->world.rng_cruel, 3);
        q->failures_wave += (uint32_t)prng_below(&s->world.rng_cruel, 3);
        q->failures_run += q->failures_wave;
        q->max_out_fleet = 2 + (uint32_t)prng_below(&s->world.rng_cruel, 4);
    }
    q->fresh_ms = 2 * MINUTE_MS;
    q->slack_ms = 60 * SECOND_MS;
    q->unreachable_ms = 5 * MINUTE_MS;
    q->reboot_limit_ms = 2 * HOUR_MS;
    jw_object(j, "policy");
    jw_int(j, "failures_per_wave", q->failures_wave);
    jw_int(j, "failures_per_run", q->failures_run);
    jw_int(j, "max_out_fleet", q->max_out_fleet);
    jw_int(j, "moves_per_vm", q->moves_per_vm);
    jw_int(j, "rollback_moves_per_vm", q->moves_back);
    jw_int(j, "attempts_max", q->attempts);
    back = (s->world.cruel ? cruel_backs : backs)[prng_below(p, 3)];
    q->back_run = strcmp(back, "run") == 0;
    jw_str(j, "rollback", back);
    q->rehearse = prng_permille(p, 80);
    jw_bool(j, "rehearse", q->rehearse);
    jw_object_end(j);
}

static int make_rollout(struct sim *s, struct rollout **ret, struct err *err)
{
    static const char *const waves[] = { "[1,\"100%\"]", "[1,2]", "[2]", "[\"34%\"]", "[1,1,\"50%\"]" };
    struct buf text = BUF_INIT;
    struct json_writer j;
    struct json_doc *doc = NULL;
    struct prng p;
    int rc;

    prng_init(&p, s->opt.seed ^ 0x901c1);
    memset(&s->policy, 0, sizeof s->policy);
    s->policy.consent_expires = WORLD_START + DAY_MS;
    s->policy.reboot_always = !prng_permille(&p, 200);
    jw_init(&j, &text);
    jw_object(&j, NULL);
    jw_int(&j, "version", 1);
    jw_str(&j, "name", "sim");
    jw_raw(&j, "patch",
           s->policy.reboot_always
               ? "{\"kb\":\"" WORLD_KB "\",\"file\":\"" WORLD_FILE "\",\"sha256\":\"" WORLD_SHA
                 "\",\"size_bytes\":1000000,\"target\":\"26100.4066\",\"reboot\":\"always\"}"
               : "{\"kb\":\"" WORLD_KB "\",\"file\":\"" WORLD_FILE "\",\"sha256\":\"" WORLD_SHA
                 "\",\"size_bytes\":1000000,\"target\":\"26100.4066\",\"reboot\":\"if_required\"}");
    jw_raw(&j, "waves", waves[prng_below(&p, 5)]);
    write_gates(s, &j, &p);
    write_spans(s, &j, &p);
    write_consents(s, &j);
    write_waivers(s, &j, &p);
    write_policy(s, &j, &p);
    jw_object_end(&j);
    rc = json_parse("rollout", buf_text(&text), text.len, &doc, err);
    if (rc == 0)
        rc = rollout_read(doc, ret, err);
    json_free(doc);
    buf_clear(&text);
    return rc;
}

static void learn_waves(struct sim *s)
{
    s->policy.waves = s->plan->n_waves;
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        s->policy.wave_of[i] = WORLD_NONE;
    for (uint32_t i = 0; i < s->plan->n_nodes; i++)
        s->policy.wave_of[s->plan->nodes[i].node] = s->plan->nodes[i].wave;
}

/* Nodes and VMs have the same order in the world and in the inventory: by id. */
int sim_policy_make(struct sim *s, struct err *err)
{
    struct inventory *inv = NULL;
    struct rollout *r = NULL;
    int rc = make_inventory(s, &inv, err);

    if (rc == 0)
        rc = make_rollout(s, &r, err);
    if (rc != 0) {
        inventory_free(inv);
        return rc;
    }
    rc = plan_build(inv, r, s->now, "planner", &s->plan, err);
    if (rc != 0)
        return rc;
    learn_waves(s);
    for (uint32_t i = 0; i < s->plan->n_refusals; i++)
        sim_say(s, "not planned: %s: %s: %s", s->world.nodes[s->plan->refusals[i].node].id,
                s->plan->refusals[i].rule, s->plan->refusals[i].reason);
    return 0;
}
