/* The cluster's storage. */
#include "orchestrator/core/facts_list.h"
#include "orchestrator/core/facts_names.h"

#include <string.h>

const char *const disk_health_names[4] = { "healthy", "warning", "unhealthy", "unknown" };
const char *const storage_job_names[5] = { "repair", "regeneration", "optimize", "rebalance", "other" };

static void read_disk(struct fields *f, const json *o, void *item)
{
    struct view_disk *x = item;

    x->id = fields_str(f, o, "id", JSON_REQUIRED);
    x->name = fields_nullable(f, o, "name");
    x->health =
        (enum disk_health)fields_enum(f, o, "health", JSON_REQUIRED, FIELDS_NAMES(disk_health_names), 0);
}

static void write_disk(struct json_writer *w, const void *item)
{
    const struct view_disk *x = item;

    jw_str(w, "id", x->id);
    jw_str(w, "name", x->name);
    jw_str(w, "health", disk_health_names[x->health]);
}

const struct facts_kind facts_disks = { sizeof(struct view_disk), read_disk, write_disk, NULL, NULL };

static void read_job(struct fields *f, const json *o, void *item)
{
    static const char *const over[] = { "completed", "terminated", "killed", "exception" };
    struct view_job *j = item;
    const char *state;

    j->id = fields_str(f, o, "id", JSON_REQUIRED);
    j->kind = (enum storage_job)fields_enum(f, o, "kind", JSON_REQUIRED, FIELDS_NAMES(storage_job_names), 0);
    state = fields_str(f, o, "state", JSON_REQUIRED);
    j->percent = fields_u32(f, o, "percent", JSON_OPTIONAL, 100, 0);
    j->running = true; /* a suspended or unknown job still blocks (O21) */
    for (unsigned i = 0; state != NULL && i < sizeof over / sizeof *over; i++)
        if (strcmp(over[i], state) == 0)
            j->running = false;
}

static void write_job(struct json_writer *w, const void *item)
{
    const struct view_job *j = item;

    jw_str(w, "id", j->id);
    jw_str(w, "kind", storage_job_names[j->kind]);
    jw_str(w, "state", j->running ? "running" : "completed");
    jw_int(w, "percent", j->percent);
}

const struct facts_kind facts_jobs = { sizeof(struct view_job), read_job, write_job, NULL, NULL };

#define DISKS(s) ((struct facts_items){ (s)->disks, (s)->n_disks })
#define JOBS(s) ((struct facts_items){ (s)->jobs, (s)->n_jobs })

static void read_flags(struct fields *f, const json *o, struct storage_view *s)
{
    s->s2d = fields_bool(f, o, "s2d", JSON_REQUIRED, false);
    s->rack_aware = fields_bool(f, o, "rack_aware", JSON_REQUIRED, false);
}

static void write_flags(struct json_writer *w, const struct storage_view *s)
{
    jw_bool(w, "s2d", s->s2d);
    jw_bool(w, "rack_aware", s->rack_aware);
}

static void set_lists(struct storage_view *s, struct facts_items disks, struct facts_items jobs)
{
    s->disks = disks.items;
    s->n_disks = disks.n;
    s->jobs = jobs.items;
    s->n_jobs = jobs.n;
}

void facts_read_disks(struct fields *f, const json *o, struct arena *lists, struct storage_view *ret)
{
    struct storage_view s = { 0 };
    struct facts_items disks = facts_read_list(f, o, "virtual_disks", &facts_disks, lists);
    struct facts_items jobs = facts_read_list(f, o, "jobs", &facts_jobs, lists);

    read_flags(f, o, &s);
    set_lists(&s, disks, jobs);
    if (f->rc == 0)
        *ret = s;
}

int facts_read_storage(const struct json_doc *d, const json *v, struct arena *a, struct storage_view *ret,
                       struct err *err)
{
    struct fields f = { d, a, err, 0 };

    facts_read_disks(&f, v, a, ret);
    return f.rc;
}

void facts_write_storage(struct json_writer *w, const char *key, const struct storage_view *s)
{
    jw_object(w, key);
    write_flags(w, s);
    facts_write_list(w, "virtual_disks", &facts_disks, DISKS(s));
    facts_write_list(w, "jobs", &facts_jobs, JOBS(s));
    jw_object_end(w);
}

void facts_write_storage_changes(struct json_writer *w, const struct storage_view *old,
                                 const struct storage_view *now)
{
    jw_object(w, "storage");
    write_flags(w, now);
    facts_write_steps(w, "virtual_disks", &facts_disks, DISKS(old), DISKS(now), 0);
    facts_write_steps(w, "jobs", &facts_jobs, JOBS(old), JOBS(now), 0);
    jw_object_end(w);
}

void facts_read_storage_changes(struct fields *f, const json *o, const struct storage_view *old,
                                struct arena *lists, struct storage_view *ret)
{
    const json *storage = fields_object(f, o, "storage", JSON_REQUIRED);
    struct storage_view s = { 0 };
    struct facts_items disks =
        facts_read_steps(f, storage, "virtual_disks", &facts_disks, DISKS(old), 0, lists);
    struct facts_items jobs = facts_read_steps(f, storage, "jobs", &facts_jobs, JOBS(old), 0, lists);

    read_flags(f, storage, &s);
    set_lists(&s, disks, jobs);
    if (f->rc == 0)
        *ret = s;
}

bool storage_view_clean(const struct storage_view *v)
{
    for (uint32_t i = 0; i < v->n_disks; i++)
        if (v->disks[i].health != DISK_HEALTHY)
            return false;
    for (uint32_t i = 0; i < v->n_jobs; i++)
        if (v->jobs[i].running && (v->jobs[i].kind == JOB_REPAIR || v->jobs[i].kind == JOB_REGENERATION))
            return false;
    return true;
}
