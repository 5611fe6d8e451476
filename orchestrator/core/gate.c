#include "orchestrator/core/gate.h"
#include "schema/buf.h"

#include <stdlib.h>
#include <string.h>

static void say(struct gate_finding *f, const char *text, const char *what)
{
    char all[1024];
    size_t n;

    if (f->text[0] != '\0')
        return; /* the first is enough for a line; all are in the evidence */
    text_into(all, sizeof all, "%s%s%s", text, what == NULL ? "" : " ", what == NULL ? "" : what);
    n = strlen(all) < sizeof f->text ? strlen(all) : sizeof f->text - 1;
    while (n > 0 && ((unsigned char)all[n] & 0xc0) == 0x80)
        n--; /* cut no character in two */
    memcpy(f->text, all, n);
    f->text[n] = '\0';
}

static void fail(struct gate_finding *f, uint32_t bad, const char *text, const char *what)
{
    if (f->answer != ANSWER_FAIL)
        f->text[0] = '\0'; /* a failure is told before a doubt */
    f->answer = ANSWER_FAIL;
    f->bad |= bad;
    say(f, text, what);
}

static void doubt(struct gate_finding *f, const char *text, const char *what)
{
    if (f->answer == ANSWER_PASS)
        f->answer = ANSWER_UNKNOWN;
    say(f, text, what);
}

static void begin(struct gate_finding *f)
{
    memset(f, 0, sizeof *f);
    f->answer = ANSWER_PASS;
}

void gate_judge_time(const struct gate *g, const struct time_facts *f, struct gate_finding *ret)
{
    uint32_t answered = 0;

    begin(ret);
    for (uint32_t i = 0; i < f->n_servers; i++) {
        const struct time_source *s = &f->servers[i];

        if (!s->ok)
            continue;
        answered++;
        if (llabs((long long)s->offset_us) > (long long)g->offset_max_ms * 1000)
            fail(ret, BAD_CLOCK, "the clock is off against", s->server);
        if (s->stratum == 0 || s->stratum > g->stratum_max)
            fail(ret, BAD_CLOCK, "the stratum is too high at", s->server);
    }
    if (answered == 0)
        doubt(ret, "no time source answered", NULL);
}

void gate_judge_backup(const struct backup_facts *f, time_ms since, struct gate_finding *ret)
{
    begin(ret);
    if (f->n_agents == 0)
        doubt(ret, "no backup agent was found", NULL);
    for (uint32_t i = 0; i < f->n_agents; i++) {
        const struct backup_agent *a = &f->agents[i];

        if (strcmp(a->state, a->expected) != 0)
            fail(ret, BAD_AGENT, "the backup service is not as expected:", a->service);
    }
    for (uint32_t i = 0; i < f->n_events; i++)
        if (f->events[i].at > since)
            fail(ret, BAD_7001, "event 7001 of Service Control Manager for", f->events[i].service);
    for (uint32_t i = 0; i < f->n_writers; i++)
        if (!f->writers[i].stable)
            fail(ret, BAD_WRITER, "a VSS writer is not stable:", f->writers[i].id);
    if (f->last_job_state != NULL && strcmp(f->last_job_state, "failed") == 0 && f->last_job_at_ms > since)
        fail(ret, BAD_JOB, "the last backup job failed", NULL);
}

static bool node_excused(const struct gate_excuse *x, const char *id)
{
    return x->node != NULL && x->node(x->arg, id);
}

static enum gate_owes vm_owes(const struct gate_excuse *x, const char *id)
{
    return x->vm == NULL || id == NULL ? GATE_OWES : x->vm(x->arg, id);
}

bool gate_group_down(const struct view_group *g)
{
    return g->state == GROUP_FAILED || (g->state == GROUP_OFFLINE && g->wanted_online);
}

static void judge_group(const struct view_group *g, const struct gate_excuse *x, struct gate_finding *ret)
{
    enum gate_owes owes = gate_group_down(g) ? vm_owes(x, g->vm) : GATE_OWES_NOTHING;

    if (owes == GATE_OWES) {
        fail(ret, BAD_GROUP, "a group is not online:", g->name);
    } else if (owes == GATE_OWES_SOON) {
        doubt(ret, "a group went offline just now:", g->name);
    } else if (g->state == GROUP_PENDING || g->state == GROUP_PARTIAL) {
        doubt(ret, "a group is on its way:", g->name);
    }
}

static void judge_storage(const struct storage_view *s, struct gate_finding *ret)
{
    for (uint32_t i = 0; i < s->n_disks; i++) {
        if (s->disks[i].health == DISK_UNKNOWN)
            doubt(ret, "the health of a virtual disk is not known:", s->disks[i].name);
        else if (s->disks[i].health != DISK_HEALTHY)
            fail(ret, BAD_DISK, "a virtual disk is not healthy:", s->disks[i].name);
    }
    /* O21: only repair and regeneration block; the others are for the eye. */
    for (uint32_t i = 0; i < s->n_jobs; i++)
        if (s->jobs[i].running && (s->jobs[i].kind == JOB_REPAIR || s->jobs[i].kind == JOB_REGENERATION))
            doubt(ret, "a storage repair is running:", s->jobs[i].id);
}

void gate_judge_cluster(const struct cluster_view *v, const struct storage_view *s,
                        const struct gate_excuse *x, struct gate_finding *ret)
{
    begin(ret);
    if (v->n_nodes == 0)
        doubt(ret, "the cluster names no nodes", NULL);
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        if (v->nodes[i].state == SEEN_UP || node_excused(x, v->nodes[i].id))
            continue;
        if (v->nodes[i].state == SEEN_JOINING || v->nodes[i].state == SEEN_UNKNOWN)
            doubt(ret, "a node's state is not settled:", v->nodes[i].id);
        else
            fail(ret, BAD_NODE, "a node is not up:", v->nodes[i].id);
    }
    if (v->witness != WITNESS_NONE && !v->witness_online)
        fail(ret, BAD_WITNESS, "the quorum witness is not online", NULL);
    for (uint32_t i = 0; i < v->n_groups; i++)
        judge_group(&v->groups[i], x, ret);
    for (uint32_t i = 0; i < v->n_csvs; i++)
        if (!v->csvs[i].healthy)
            fail(ret, BAD_CSV, "a cluster shared volume is not healthy:", v->csvs[i].name);
    if (v->n_resources_failed > 0)
        fail(ret, BAD_RESOURCE, "a cluster resource failed:", v->resources_failed[0]);
    if (v->networks_down > 0)
        fail(ret, BAD_NETWORK, "a cluster network is down", NULL);
    if (v->s2d)
        judge_storage(s, ret);
}

void gate_judge_heartbeat(const struct heartbeat_facts *f, const struct gate_excuse *x,
                          struct gate_finding *ret)
{
    uint32_t beating = 0;

    begin(ret);
    for (uint32_t i = 0; i < f->n_vms; i++) {
        const struct vm_beat *b = &f->vms[i];

        if (b->state != VM_RUNNING || vm_owes(x, b->id) != GATE_OWES)
            continue;
        if (b->heartbeat == HEARTBEAT_OK)
            beating++;
        else if (b->heartbeat == HEARTBEAT_LOST || b->heartbeat == HEARTBEAT_NO_CONTACT ||
                 b->heartbeat == HEARTBEAT_ERROR)
            fail(ret, BAD_HEARTBEAT, "no heartbeat from", b->name);
        else if (b->heartbeat == HEARTBEAT_UNKNOWN)
            doubt(ret, "the heartbeat is not known of", b->name);
    }
    if (beating == 0)
        doubt(ret, "O15: the node carries no VM whose heartbeat could tell", NULL);
}

void gate_weigh(struct gate_finding *f, uint32_t baseline_bad)
{
    if (f->answer == ANSWER_FAIL && (f->bad & ~baseline_bad) == 0)
        f->answer = ANSWER_UNKNOWN;
}

/* Nobody watched for longer than the next answer may take: the controller was stopped, say. */
static bool interrupted(const struct gate *g, const struct gate_tally *t, time_ms at)
{
    return t->row > 0 && g->max_age_ms > 0 && at - t->last > g->interval_ms + g->max_age_ms;
}

/* I13: the soak is an unbroken row of evidence; a sample without an answer breaks it, and so does a time without samples. */
enum gate_next gate_count(const struct gate *g, struct gate_tally *t, enum gate_answer sample, time_ms asked,
                          time_ms at)
{
    t->samples++;
    if (sample == ANSWER_FAIL && ++t->fails > g->failure_limit)
        return GATE_SAYS_FAIL;
    if (sample == ANSWER_UNKNOWN) {
        t->row = 0;
        return ++t->unknowns > g->unknown_limit ? GATE_SAYS_UNKNOWN : GATE_MORE;
    }
    if (interrupted(g, t, at))
        t->row = 0;
    if (t->row++ == 0)
        t->first = at;
    t->last = at;
    if (sample == ANSWER_PASS)
        t->last_pass = at;
    if (sample != ANSWER_PASS)
        return GATE_MORE;
    if (t->row < g->samples || (g->soak_ms > 0 && asked - t->first < g->soak_ms))
        return GATE_MORE;
    return GATE_SAYS_PASS;
}
