#include "tests/conformance/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE_LIMIT_MS 120000
#define DRIVER_LIMIT_MS 300000
#define FLEET_LIMIT_MS 100000000

/* --- the fixture --- */

static int fixture(struct conf_world *w, const char *verb, const char *a, const char *b, struct buf *out)
{
    const char *argv[] = { w->fixture, verb, w->dir, a, a == NULL ? NULL : b, NULL };

    return conf_run(NULL, argv, "", FIXTURE_LIMIT_MS, NULL, NULL, out);
}

static bool read_world(struct conf_world *w, const struct buf *text, struct buf *why)
{
    struct err err;
    const json *root, *o;

    if (json_parse("fixture make", buf_text(text), text->len, &w->doc, &err) != 0) {
        buf_str(why, err.text);
        return false;
    }
    root = json_root(w->doc);
    snprintf(w->driver, sizeof w->driver, "%s", json_get_str(root, "driver", ""));
    w->node = json_get_str(root, "node", "");
    w->vm = json_get_str(root, "vm", "");
    w->predecessor = json_get_str(root, "predecessor", "");
    w->setting = json_get_str(root, "setting", "");
    w->package = json_get(root, "package");
    w->fetch = json_get(root, "fetch");
    for (o = json_first(json_get(root, "others")); o != NULL && w->n_others < CONF_OTHERS; o = json_next(o))
        w->others[w->n_others++] = json_str(o, "");
    return true;
}

static bool read_manifest(struct conf_world *w, struct buf *why)
{
    char path[CONF_PATH + 16], text[16384];
    struct err err;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/driver.json", w->driver);
    f = fopen(path, "re");
    n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    if (f != NULL)
        fclose(f);
    text[n] = 0;
    if (json_parse(path, text, n, &w->manifest, &err) == 0)
        return true;
    buf_str(why, err.text);
    return false;
}

bool conf_world_make(struct conf_world *w, const char *program, const char *dir, struct buf *why)
{
    struct buf out = BUF_INIT;
    bool ok;

    memset(w, 0, sizeof *w);
    snprintf(w->fixture, sizeof w->fixture, "%s", program);
    snprintf(w->dir, sizeof w->dir, "%s", dir);
    w->made = true;
    ok = fixture(w, "make", NULL, NULL, &out) == 0;
    if (!ok)
        buf_str(why, "the fixture could not make a world");
    ok = ok && read_world(w, &out, why) && read_manifest(w, why);
    buf_clear(&out);
    return ok;
}

bool conf_world_fault(struct conf_world *w, const char *name, const char *subject, struct buf *why)
{
    struct buf out = BUF_INIT;
    bool ok = fixture(w, "fault", name, subject, &out) == 0;

    if (!ok)
        buf_printf(why, "the fixture has no fault `%s`", name);
    buf_clear(&out);
    return ok;
}

void conf_world_end(struct conf_world *w)
{
    struct buf out = BUF_INIT;

    if (w->made)
        (void)fixture(w, "end", NULL, NULL, &out);
    w->made = false;
    buf_clear(&out);
    json_free(w->doc);
    json_free(w->manifest);
    w->doc = w->manifest = NULL;
}

/* --- one request --- */

void conf_answer_clear(struct conf_answer *a)
{
    json_free(a->doc);
    memset(a, 0, sizeof *a);
    a->code = a->witness = "";
}

static void read_answer(struct conf_answer *a, int exit_code, const struct buf *out)
{
    struct err err;
    const json *root;

    memset(a, 0, sizeof *a);
    a->code = a->witness = "";
    snprintf(a->text, sizeof a->text, "exit %d: %.300s", exit_code, buf_text(out));
    if (exit_code != 0 || json_parse("answer", buf_text(out), out->len, &a->doc, &err) != 0)
        return;
    root = json_root(a->doc);
    a->result = json_get(root, "result");
    a->error = json_get(root, "error");
    a->downtime = json_get(root, "downtime");
    a->code = json_get_str(a->error, "code", "");
    a->witness = json_get_str(root, "witness", "");
}

/* The action's argv from driver.json; an action it does not list is asked of
 * the program that serves `facts`. */
static const json *argv_of(const struct conf_world *w, const char *action)
{
    const json *actions = json_get(json_root(w->manifest), "actions"), *row = json_get(actions, action);

    return json_get(row != NULL ? row : json_get(actions, "facts"), "argv");
}

static int start(struct conf_world *w, const char *action, const char *input, bool (*stop)(void *), void *arg,
                 struct buf *out)
{
    const char *argv[16] = { NULL };
    uint32_t n = 0;

    for (const json *v = json_first(argv_of(w, action)); v != NULL && n < 15; v = json_next(v))
        argv[n++] = json_str(v, "");
    return n == 0 ? -1 : conf_run(w->driver, argv, input, DRIVER_LIMIT_MS, stop, arg, out);
}

void conf_ask_raw(struct conf_world *w, const char *action, const char *input, struct conf_answer *ret)
{
    struct buf out = BUF_INIT;
    int code = start(w, action, input, NULL, NULL, &out);

    read_answer(ret, code, &out);
    buf_clear(&out);
}

static void write_request(const struct conf_world *w, const char *action, const char *mode, const char *args,
                          struct buf *b)
{
    buf_printf(b,
               "{\"contract\":1,\"action\":\"%s\",\"mode\":\"%s\",\"node\":\"%s\",\"op\":\"r1/%s/1/%s/"
               "1\",\"limit_ms\":%d,\"args\":%s}",
               action, mode, w->node, w->node, action, FLEET_LIMIT_MS, args);
}

bool conf_is_resident(const struct conf_world *w, const char *action)
{
    const json *row = json_get(json_get(json_root(w->manifest), "actions"), action);

    return json_get_bool(row, "resident", false);
}

/* The answer to the question of this number, else none. */
static void read_answer_to(const char *number, struct conf_answer *a, int exit_code, struct buf *out)
{
    size_t len = strlen(number);

    if (strncmp(buf_text(out), number, len) != 0)
        exit_code = -1;
    else
        memset(out->data, ' ', len);
    read_answer(a, exit_code, out);
}

void conf_ask_twice(struct conf_world *w, const char *action, const char *args, struct conf_answer ret[2])
{
    struct buf in = BUF_INIT, out = BUF_INIT, second = BUF_INIT;
    const char *newline;
    int code;

    for (int i = 0; i < 2; i++) {
        buf_printf(&in, "%d ", 17 + i);
        write_request(w, action, "run", args, &in);
        buf_char(&in, '\n');
    }
    code = start(w, action, buf_text(&in), NULL, NULL, &out);
    newline = strchr(buf_text(&out), '\n');
    if (newline != NULL)
        buf_str(&second, newline + 1);
    if (newline != NULL)
        out.len = (size_t)(newline - out.data);
    read_answer_to("17 ", &ret[0], code, &out);
    read_answer_to("18 ", &ret[1], code, &second);
    buf_clear(&in);
    buf_clear(&out);
    buf_clear(&second);
}

/* The deadline comes while the effect is under way: when a second driver,
 * asked as witness, no longer says `not_done`. */
struct cutting {
    struct conf_world *w;
    const char *action, *args;
};

static bool under_way(void *arg)
{
    struct cutting *c = arg;
    struct conf_answer a;
    bool yes;

    conf_ask(c->w, c->action, "witness", c->args, false, &a);
    yes = strcmp(a.witness, "not_done") != 0;
    conf_answer_clear(&a);
    return yes;
}

void conf_ask(struct conf_world *w, const char *action, const char *mode, const char *args, bool cut,
              struct conf_answer *ret)
{
    struct cutting c = { w, action, args };
    struct buf in = BUF_INIT, out = BUF_INIT;
    int code;

    write_request(w, action, mode, args, &in);
    code = start(w, action, buf_text(&in), cut ? under_way : NULL, &c, &out);
    read_answer(ret, code, &out);
    buf_clear(&in);
    buf_clear(&out);
}

/* --- truth --- */

static bool close_to(const json *a, const json *b, const char *key, int64_t step)
{
    const json *x = json_get(a, key), *y = json_get(b, key);

    if (json_is_null(x) || json_is_null(y))
        return json_is_null(x) && json_is_null(y);
    return llabs((long long)(json_int(x, 0) - json_int(y, -1))) <= step;
}

static bool same_row(const json *a, const json *b, int64_t step)
{
    return strcmp(json_get_str(a, "subject", ""), json_get_str(b, "subject", "-")) == 0 &&
           strcmp(json_get_str(a, "id", ""), json_get_str(b, "id", "-")) == 0 &&
           strcmp(json_get_str(a, "cause", ""), json_get_str(b, "cause", "-")) == 0 &&
           close_to(a, b, "start_ms", step) && close_to(a, b, "end_ms", step);
}

bool conf_row_is_true(struct conf_world *w, const json *row, struct buf *why)
{
    struct buf out = BUF_INIT;
    struct json_doc *doc = NULL;
    struct err err = { 0 };
    bool found = false;

    if (fixture(w, "truth", NULL, NULL, &out) != 0 ||
        json_parse("truth", buf_text(&out), out.len, &doc, &err) != 0) {
        buf_printf(why, "the fixture told no truth: %s", err.text);
        buf_clear(&out);
        return false;
    }
    for (const json *t = json_first(json_get(json_root(doc), "downtime")); t != NULL && !found;
         t = json_next(t))
        found = same_row(row, t, json_get_int(json_root(doc), "step_ms", 0));
    if (!found) {
        buf_str(why, "no such row in the truth: ");
        json_write(why, row, true);
    }
    json_free(doc);
    buf_clear(&out);
    return found;
}
