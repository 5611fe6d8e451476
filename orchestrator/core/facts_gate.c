/* Facts that gates judge. */
#include "orchestrator/core/facts.h"
#include "orchestrator/core/fields.h"
#include "orchestrator/core/vm_json.h"

static void read_agents(struct fields *f, const json *v, struct backup_facts *b)
{
    const json *list = fields_array(f, v, "agents", JSON_REQUIRED);
    uint32_t n = 0;

    b->agents = fields_items(f, list, sizeof *b->agents, &b->n_agents);
    for (const json *o = json_first(list); n < b->n_agents; o = json_next(o), n++) {
        b->agents[n].product = fields_str(f, o, "product", JSON_REQUIRED);
        b->agents[n].service = fields_str(f, o, "service", JSON_REQUIRED);
        b->agents[n].state = fields_str(f, o, "state", JSON_REQUIRED);
        b->agents[n].expected = fields_str(f, o, "expected", JSON_REQUIRED);
    }
}

static void read_writers(struct fields *f, const json *v, struct backup_facts *b)
{
    const json *list = fields_array(f, v, "writers", JSON_REQUIRED);
    uint32_t n = 0;

    b->writers = fields_items(f, list, sizeof *b->writers, &b->n_writers);
    for (const json *o = json_first(list); n < b->n_writers; o = json_next(o), n++) {
        b->writers[n].id = fields_str(f, o, "id", JSON_REQUIRED);
        b->writers[n].stable = fields_bool(f, o, "stable", JSON_REQUIRED, false);
    }
}

static void read_events(struct fields *f, const json *v, struct backup_facts *b)
{
    const json *list = fields_array(f, v, "events_7001", JSON_REQUIRED);
    uint32_t n = 0;

    b->events = fields_items(f, list, sizeof *b->events, &b->n_events);
    for (const json *o = json_first(list); n < b->n_events; o = json_next(o), n++) {
        b->events[n].at = fields_int(f, o, "at_ms", JSON_REQUIRED, INT64_MIN, INT64_MAX, 0);
        b->events[n].service = fields_str(f, o, "service", JSON_REQUIRED);
        b->events[n].depends_on = fields_nullable(f, o, "depends_on");
    }
}

int facts_read_backup(const struct json_doc *d, const json *v, struct arena *a, struct backup_facts *ret,
                      struct err *err)
{
    struct fields f = { d, a, err, 0 };
    struct backup_facts b = { 0 };
    const json *job = fields_object(&f, v, "last_job", JSON_OPTIONAL);

    read_agents(&f, v, &b);
    read_writers(&f, v, &b);
    read_events(&f, v, &b);
    if (job != NULL) {
        b.last_job_state = fields_nullable(&f, job, "state");
        b.last_job_at_ms = fields_int(&f, job, "at_ms", JSON_OPTIONAL, INT64_MIN, INT64_MAX, 0);
    }
    if (f.rc == 0)
        *ret = b;
    return f.rc;
}

static void write_agents(struct json_writer *w, const struct backup_facts *b)
{
    jw_array(w, "agents");
    for (uint32_t i = 0; i < b->n_agents; i++) {
        jw_object(w, NULL);
        jw_str(w, "product", b->agents[i].product);
        jw_str(w, "service", b->agents[i].service);
        jw_str(w, "state", b->agents[i].state);
        jw_str(w, "expected", b->agents[i].expected);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_events(struct json_writer *w, const struct backup_facts *b)
{
    jw_array(w, "writers");
    for (uint32_t i = 0; i < b->n_writers; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", b->writers[i].id);
        jw_bool(w, "stable", b->writers[i].stable);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array(w, "events_7001");
    for (uint32_t i = 0; i < b->n_events; i++) {
        jw_object(w, NULL);
        jw_int(w, "at_ms", b->events[i].at);
        jw_str(w, "service", b->events[i].service);
        jw_str(w, "depends_on", b->events[i].depends_on);
        jw_object_end(w);
    }
    jw_array_end(w);
}

void facts_write_backup(struct json_writer *w, const char *key, const struct backup_facts *b)
{
    jw_object(w, key);
    write_agents(w, b);
    if (b->last_job_state == NULL) {
        jw_null(w, "last_job");
    } else {
        jw_object(w, "last_job");
        jw_str(w, "state", b->last_job_state);
        jw_int(w, "at_ms", b->last_job_at_ms);
        jw_object_end(w);
    }
    write_events(w, b);
    jw_object_end(w);
}

int facts_read_heartbeat(const struct json_doc *d, const json *v, struct arena *a,
                         struct heartbeat_facts *ret, struct err *err)
{
    struct fields f = { d, a, err, 0 };
    const json *list = fields_array(&f, v, "vms", JSON_REQUIRED);
    struct heartbeat_facts h = { 0 };
    uint32_t n = 0;

    h.vms = fields_items(&f, list, sizeof *h.vms, &h.n_vms);
    for (const json *o = json_first(list); n < h.n_vms; o = json_next(o), n++) {
        h.vms[n].id = fields_str(&f, o, "id", JSON_REQUIRED);
        h.vms[n].name = fields_str(&f, o, "name", JSON_REQUIRED);
        vm_read_beat(&f, o, &h.vms[n].state, &h.vms[n].heartbeat);
    }
    if (f.rc == 0)
        *ret = h;
    return f.rc;
}

void facts_write_heartbeat(struct json_writer *w, const char *key, const struct heartbeat_facts *h)
{
    jw_object(w, key);
    jw_array(w, "vms");
    for (uint32_t i = 0; i < h->n_vms; i++) {
        jw_object(w, NULL);
        jw_str(w, "id", h->vms[i].id);
        jw_str(w, "name", h->vms[i].name);
        jw_str(w, "state", vm_state_name(h->vms[i].state));
        jw_str(w, "heartbeat",
               h->vms[i].heartbeat == HEARTBEAT_NONE ? NULL : vm_heartbeat_name(h->vms[i].heartbeat));
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

/* {"servers":[{"server","ok","why","samples","stratum","offset_us","delay_us"}]} */
int facts_read_time(const struct json_doc *d, const json *v, struct arena *a, struct time_facts *ret,
                    struct err *err)
{
    struct fields f = { d, a, err, 0 };
    const json *list = fields_array(&f, v, "servers", JSON_REQUIRED);
    struct time_facts t = { 0 };
    uint32_t n = 0;

    t.servers = fields_items(&f, list, sizeof *t.servers, &t.n_servers);
    for (const json *o = json_first(list); n < t.n_servers; o = json_next(o), n++) {
        struct time_source *s = &t.servers[n];

        s->server = fields_str(&f, o, "server", JSON_REQUIRED);
        s->ok = fields_bool(&f, o, "ok", JSON_REQUIRED, false);
        s->why = fields_str(&f, o, "why", JSON_OPTIONAL);
        s->samples = fields_u32(&f, o, "samples", JSON_OPTIONAL, UINT32_MAX, 0);
        s->stratum = fields_u32(&f, o, "stratum", s->ok ? JSON_REQUIRED : JSON_OPTIONAL, 255, 0);
        s->offset_us =
            fields_int(&f, o, "offset_us", s->ok ? JSON_REQUIRED : JSON_OPTIONAL, INT64_MIN, INT64_MAX, 0);
        s->delay_us = fields_int(&f, o, "delay_us", JSON_OPTIONAL, INT64_MIN, INT64_MAX, 0);
    }
    if (f.rc == 0)
        *ret = t;
    return f.rc;
}

void facts_write_time(struct json_writer *w, const char *key, const struct time_facts *t)
{
    jw_object(w, key);
    jw_array(w, "servers");
    for (uint32_t i = 0; i < t->n_servers; i++) {
        const struct time_source *s = &t->servers[i];

        jw_object(w, NULL);
        jw_str(w, "server", s->server);
        jw_bool(w, "ok", s->ok);
        jw_str(w, "why", s->why);
        jw_int(w, "samples", s->samples);
        jw_int(w, "stratum", s->stratum);
        jw_int(w, "offset_us", s->offset_us);
        jw_int(w, "delay_us", s->delay_us);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}
