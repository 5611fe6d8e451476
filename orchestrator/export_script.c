#include "orchestrator/export_script.h"

#include <string.h>

struct script {
    const struct plan *p;
    const struct plan_node *n;
    const struct node *node;
    const struct cluster *cluster;
    const struct export_approval *approval;
    struct json_doc *driver; /* driver.json: its limits */
    struct json_writer w;
    struct buf slice, notes, files;
    uint32_t step;
};

static const char *text_of(const char *name)
{
    for (const struct embedded_text *t = export_texts; t->name != NULL; t++)
        if (strcmp(t->name, name) == 0)
            return t->text;
    return NULL;
}

/* --- what a reviewer reads --- */

static void note(struct script *s, const char *name, const char *value)
{
    struct json_writer w;

    buf_printf(&s->notes, "# %-9s ", name);
    jw_init(&w, &s->notes);
    w.ascii = true;
    jw_str(&w, NULL, value);
    buf_char(&s->notes, '\n');
}

static void note_step(struct script *s, const char *action, uint32_t vm, const char *more)
{
    struct json_writer w;

    buf_printf(&s->notes, "#   %2u  %s", (unsigned)++s->step, action);
    if (vm != IX_NONE) {
        buf_char(&s->notes, ' ');
        jw_init(&w, &s->notes);
        w.ascii = true; /* names are outsiders' text: quoted, on one line */
        jw_str(&w, NULL, s->p->inv->vms[vm].name);
        buf_printf(&s->notes, " (%s)", s->p->inv->vms[vm].id);
    }
    buf_printf(&s->notes, "%s\n", more);
}

static void note_head(struct script *s)
{
    const struct patch *patch = &s->p->rollout->patch;
    char build[32], at[TIME_TEXT_MAX];

    buf_str(&s->notes, "#\n");
    note(s, "node", s->node->id);
    note(s, "plan", s->p->hash);
    note(s, "package", patch->file);
    note(s, "SHA-256", patch->sha256);
    for (uint32_t i = 0; i < patch->n_checkpoints; i++) {
        note(s, "with", patch->checkpoints[i].file);
        note(s, "SHA-256", patch->checkpoints[i].sha256);
    }
    note(s, "brings", build_text(patch->target, build));
    note(s, "ticket", s->approval->ticket);
    note(s, "approved", s->approval->person);
    note(s, "until", time_text(s->approval->expires, at));
}

/* --- steps: the action, its arguments as the agent would send them, its limit --- */

static void args_open(struct json_writer *w, struct buf *args)
{
    buf_reset(args);
    jw_init(w, args);
    w->ascii = true;
    jw_object(w, NULL);
}

static void step_text(struct script *s, const char *action, uint32_t vm, const char *args, const char *more)
{
    const json *actions = json_get(json_root(s->driver), "actions");

    jw_object(&s->w, NULL);
    jw_str(&s->w, "action", action);
    jw_str(&s->w, "args", args);
    jw_int(&s->w, "limit_ms", json_get_int(json_get(actions, action), "limit_ms", 0));
    jw_object_end(&s->w);
    note_step(s, action, vm, more);
}

static void step(struct script *s, const char *action)
{
    step_text(s, action, IX_NONE, "{}", "");
}

static void put_parked(struct script *s, struct json_writer *w)
{
    jw_array(w, "parked");
    for (uint32_t i = 0; i < s->n->n_parks; i++)
        jw_str(w, NULL, s->p->inv->vms[s->n->parks[i].vm].id);
    jw_array_end(w);
}

static void step_pause(struct script *s)
{
    step_text(s, "pause", IX_NONE, "{\"found_ours\":false}", "");
}

static void step_move(struct script *s, const struct plan_move *m, struct buf *args)
{
    struct json_writer w;
    struct buf to = BUF_INIT;

    args_open(&w, args);
    jw_str(&w, "vm", s->p->inv->vms[m->vm].id);
    jw_str(&w, "to", s->p->inv->nodes[m->to].id);
    jw_str(&w, "method", "live");
    jw_object_end(&w);
    buf_printf(&to, " to %s", s->p->inv->nodes[m->to].id);
    step_text(s, "move_vm", m->vm, buf_text(args), buf_text(&to));
    buf_clear(&to);
}

static void step_park(struct script *s, const struct plan_park *k, const char *action, struct buf *args)
{
    struct json_writer w;

    args_open(&w, args);
    jw_str(&w, "vm", s->p->inv->vms[k->vm].id);
    if (strcmp(action, "merge") != 0)
        jw_str(&w, "method", park_method_name(k->method));
    if (strcmp(action, "park_vm") == 0)
        jw_bool(&w, "checkpoint", k->checkpoint);
    jw_object_end(&w);
    step_text(s, action, k->vm, buf_text(args),
              strcmp(action, "park_vm") != 0 ? ""
              : k->method == PARK_SHUTDOWN   ? " by shutdown"
                                             : " by save");
}

static void step_groups(struct script *s, struct buf *args)
{
    struct json_writer w;

    args_open(&w, args);
    jw_array(&w, "to");
    for (uint32_t i = 0; i < s->cluster->n_nodes; i++)
        if (s->cluster->nodes[i] != s->n->node)
            jw_str(&w, NULL, s->p->inv->nodes[s->cluster->nodes[i]].id);
    jw_array_end(&w);
    jw_object_end(&w);
    step_text(s, "move_groups", IX_NONE, buf_text(args), "");
}

static void step_parked(struct script *s, const char *action, const char *form, struct buf *args)
{
    struct json_writer w;

    args_open(&w, args);
    if (form != NULL)
        jw_str(&w, "form", form);
    put_parked(s, &w);
    jw_object_end(&w);
    step_text(s, action, IX_NONE, buf_text(args), "");
}

/* Where the package lies is known on the node only: the script puts the path in. */
static void put_package(struct json_writer *w, const struct patch *patch, struct buf *mark)
{
    buf_reset(mark);
    buf_printf(mark, "@%s@", patch->file);
    jw_object(w, "package");
    jw_str(w, "path", buf_text(mark));
    jw_str(w, "name", patch->file);
    jw_str(w, "sha256", patch->sha256);
    jw_str(w, "kb", patch->kb);
    jw_int(w, "build", patch->target.number);
    jw_int(w, "ubr", patch->target.ubr);
    if (patch->n_checkpoints > 0)
        jw_array(w, "checkpoints");
    for (uint32_t i = 0; i < patch->n_checkpoints; i++) {
        jw_object(w, NULL);
        jw_str(w, "name", patch->checkpoints[i].file);
        jw_str(w, "sha256", patch->checkpoints[i].sha256);
        jw_object_end(w);
    }
    if (patch->n_checkpoints > 0)
        jw_array_end(w);
    jw_object_end(w);
}

static void step_install(struct script *s, struct buf *args)
{
    const struct patch *patch = &s->p->rollout->patch;
    struct buf mark = BUF_INIT;
    struct json_writer w;

    args_open(&w, args);
    put_package(&w, patch, &mark);
    jw_str(&w, "tool", patch->tool);
    put_parked(s, &w);
    jw_object_end(&w);
    step_text(s, "install", IX_NONE, buf_text(args), "");
    buf_clear(&mark);
}

/* --- the three halves: out, home (still paused), open --- */

static void put_out(struct script *s, struct buf *args)
{
    const struct plan_node *n = s->n;

    buf_str(&s->notes, "# First, once every guard holds:\n");
    jw_array(&s->w, "out");
    step_pause(s);
    for (uint32_t i = 0; i < n->n_moves; i++)
        step_move(s, &n->moves[i], args);
    for (uint32_t i = 0; i < n->n_parks; i++)
        step_park(s, &n->parks[i], "park_vm", args);
    step_groups(s, args);
    step_parked(s, "check_empty", "vmms", args);
    if (s->cluster->storage == STORAGE_S2D)
        step(s, "storage_out");
    if (s->p->rollout->policy.bitlocker_suspend)
        step_text(s, "bitlocker_suspend", IX_NONE, "{\"reboots\":1}", "");
    if (s->p->rollout->policy.stop_vmms)
        step_parked(s, "stop_vmms", NULL, args);
    step_install(s, args);
    jw_array_end(&s->w);
}

static void put_home(struct script *s)
{
    buf_str(&s->notes, "# Then, after the restart, once the package is proved to be in:\n");
    jw_array(&s->w, "home");
    step(s, "start_vmms");
    if (s->cluster->storage == STORAGE_S2D)
        step(s, "storage_in");
    jw_array_end(&s->w);
}

static void put_open(struct script *s, struct buf *args)
{
    buf_str(&s->notes, "# And, once the node is as it was before the drain:\n");
    jw_array(&s->w, "open");
    step(s, "resume");
    for (uint32_t i = 0; i < s->n->n_parks; i++)
        step_park(s, &s->n->parks[i], "unpark_vm", args);
    for (uint32_t i = 0; i < s->n->n_parks; i++)
        if (s->n->parks[i].checkpoint)
            step_park(s, &s->n->parks[i], "merge", args);
    jw_array_end(&s->w);
}

static void put_verify(struct script *s, struct buf *args)
{
    const struct patch *patch = &s->p->rollout->patch;
    struct json_writer w;

    args_open(&w, args);
    jw_int(&w, "build", patch->target.number);
    jw_int(&w, "ubr", patch->target.ubr);
    jw_str(&w, "kb", patch->kb);
    jw_object_end(&w);
    jw_str(&s->w, "verify", buf_text(args));
}

/* --- the slice --- */

static void put_spans(struct script *s, const char *key, const struct span *spans, uint32_t n)
{
    jw_array(&s->w, key);
    for (uint32_t i = 0; i < n; i++) {
        jw_object(&s->w, NULL);
        jw_int(&s->w, "from_ms", spans[i].from);
        jw_int(&s->w, "to_ms", spans[i].to);
        jw_object_end(&s->w);
    }
    jw_array_end(&s->w);
}

static void put_who(struct script *s)
{
    char at[TIME_TEXT_MAX];

    jw_str(&s->w, "plan", s->p->hash);
    jw_str(&s->w, "node", s->node->id);
    jw_str(&s->w, "person", s->approval->person);
    jw_str(&s->w, "ticket", s->approval->ticket);
    jw_str(&s->w, "expires", time_text(s->approval->expires, at));
    jw_int(&s->w, "expires_ms", s->approval->expires);
    jw_int(&s->w, "life_ms", s->n->life.p95);
    put_spans(s, "windows", s->p->rollout->windows, s->p->rollout->n_windows);
    put_spans(s, "freezes", s->p->rollout->freezes, s->p->rollout->n_freezes);
}

static void put_vms(struct script *s)
{
    jw_array(&s->w, "vms");
    for (uint32_t i = 0; i < s->n->n_moves; i++)
        jw_str(&s->w, NULL, s->p->inv->vms[s->n->moves[i].vm].id);
    for (uint32_t i = 0; i < s->n->n_parks; i++)
        jw_str(&s->w, NULL, s->p->inv->vms[s->n->parks[i].vm].id);
    jw_array_end(&s->w);
    put_parked(s, &s->w);
}

static void put_package_file(struct script *s, const char *name, const char *sha256)
{
    jw_object(&s->w, NULL);
    jw_str(&s->w, "name", name);
    jw_str(&s->w, "sha256", sha256);
    jw_object_end(&s->w);
}

static void put_packages(struct script *s)
{
    const struct patch *patch = &s->p->rollout->patch;

    jw_array(&s->w, "packages");
    put_package_file(s, patch->file, patch->sha256);
    for (uint32_t i = 0; i < patch->n_checkpoints; i++)
        put_package_file(s, patch->checkpoints[i].file, patch->checkpoints[i].sha256);
    jw_array_end(&s->w);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);

    return n > e && strcmp(name + n - e, end) == 0;
}

static bool is_script(const char *name)
{
    return ends_with(name, ".ps1") || ends_with(name, ".psm1");
}

/* Modules, and looks that the script takes by itself; every other action is a step. */
static bool is_used(const struct script *s, const char *name)
{
    static const char *const always[] = { "facts.ps1", "gate_facts.ps1", "verify.ps1", "resume.ps1" };
    struct buf step_of = BUF_INIT;
    bool used = ends_with(name, ".psm1");

    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        used |= strcmp(always[i], name) == 0;
    buf_printf(&step_of, "\"action\": \"%.*s\"", (int)(strlen(name) - 4), name);
    used |= strstr(buf_text(&s->slice), buf_text(&step_of)) != NULL;
    buf_clear(&step_of);
    return used;
}

/* A here-string ends at a line that begins with '@: a script that holds one cannot be carried. */
static int put_file(struct script *s, const struct embedded_text *t, struct err *err)
{
    char digest[SHA256_TEXT];
    size_t len = strlen(t->text);

    if (strstr(t->text, "\n'@") != NULL || len == 0 || t->text[len - 1] != '\n')
        return err_set(err, ERR_INTERNAL, "%s cannot be carried in a here-string", t->name);
    jw_str(&s->w, t->name, sha256_text(t->text, len, digest));
    buf_printf(&s->files, "$files['%s'] = @'\n%s'@\n", t->name, t->text);
    return 0;
}

static int put_files(struct script *s, struct err *err)
{
    int rc = 0;

    jw_object(&s->w, "files");
    for (const struct embedded_text *t = export_texts; rc == 0 && t->name != NULL; t++)
        if (is_script(t->name) && strcmp(t->name, "rollout.ps1") != 0 && is_used(s, t->name))
            rc = put_file(s, t, err);
    jw_object_end(&s->w);
    return rc;
}

static int put_slice(struct script *s, struct err *err)
{
    struct buf args = BUF_INIT;
    int rc;

    note_head(s);
    jw_init(&s->w, &s->slice);
    s->w.ascii = s->w.pretty = true;
    jw_object(&s->w, NULL);
    put_who(s);
    put_vms(s);
    put_packages(s);
    put_out(s, &args);
    put_verify(s, &args);
    put_home(s);
    put_open(s, &args);
    rc = put_files(s, err);
    jw_object_end(&s->w);
    buf_clear(&args);
    return rc;
}

/* --- the whole --- */

static void put_filled(struct buf *out, const struct script *s, const char *digest)
{
    const struct {
        const char *mark, *value;
    } marks[] = { { "#@PLAN@\n", buf_text(&s->notes) },
                  { "@SLICE@", buf_text(&s->slice) },
                  { "@DIGEST@", digest },
                  { "#@FILES@\n", buf_text(&s->files) } };
    const char *text = text_of("rollout.ps1");

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = strstr(text, marks[i].mark);

        buf_add(out, text, (size_t)(at - text));
        buf_str(out, marks[i].value);
        text = at + strlen(marks[i].mark);
    }
    buf_str(out, text);
}

static int check_node(const struct script *s, struct err *err)
{
    if (s->n->compliant)
        return err_set(err, ERR_REFUSED, "%s is at the target already: nothing would run there", s->node->id);
    if (s->n->lives != 1)
        return err_set(err, ERR_REFUSED,
                       "%s is where the plan rehearses the way back (O14): that needs `patchwave run`",
                       s->node->id);
    if (s->p->inv->lab)
        return err_set(err, ERR_REFUSED, "the plan is for a lab, whose time is not that of %s", s->node->id);
    return 0;
}

int export_script_write(struct buf *out, const struct plan *p, uint32_t node,
                        const struct export_approval *approval, char ret_digest[SHA256_TEXT], struct err *err)
{
    struct script s = { .p = p, .n = &p->nodes[node], .approval = approval };
    const char *driver = text_of("driver.json");
    int rc;

    s.node = &p->inv->nodes[s.n->node];
    s.cluster = &p->inv->clusters[s.node->cluster];
    rc = check_node(&s, err);
    if (rc == 0)
        rc = json_parse("driver.json", driver, strlen(driver), &s.driver, err);
    if (rc == 0)
        rc = put_slice(&s, err);
    if (rc == 0) {
        sha256_text(buf_text(&s.slice), s.slice.len, ret_digest);
        put_filled(out, &s, ret_digest);
        if (out->failed || s.slice.failed || s.notes.failed || s.files.failed)
            rc = err_set(err, ERR_NOMEM, "export script");
    }
    json_free(s.driver);
    buf_clear(&s.slice);
    buf_clear(&s.notes);
    buf_clear(&s.files);
    return rc;
}
