/* conformance FIXTURE [ACTION]: the list of cases, as TAP. Exit code 0 only
 * when every case passed. */
#include "tests/conformance/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    const char *fixture, *only;
    char dir[CONF_PATH];
    unsigned n, failed;
};

/* A case: false with a reason in `why`. */
typedef bool case_fn(struct conf_world *w, const struct conf_action *a, struct buf *why);

static bool no(struct buf *why, const char *what, const struct conf_answer *a)
{
    buf_printf(why, "%s; %s", what, a->text);
    return false;
}

/* --- pieces --- */

/* Run it; true when it succeeded. A reboot need not answer: its witness does. */
static bool succeeds(struct conf_world *w, const struct conf_action *a, const char *args,
                     struct conf_answer *ret, struct buf *why)
{
    conf_ask(w, a->name, "run", args, false, ret);
    if (json_is_object(ret->result))
        return true;
    if (a->may_not_answer && ret->error == NULL) {
        conf_answer_clear(ret);
        if (strcmp(conf_settle(w, a, args, ret), "done") == 0)
            return true;
    }
    return no(why, "it did not succeed", ret);
}

static bool prepared(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct conf_answer r;
    struct buf args = BUF_INIT;
    bool ok = conf_prepare(w, a->level, why);

    if (ok && a->prior != NULL) {
        conf_action_find(a->prior)->args(w, &args);
        ok = succeeds(w, conf_action_find(a->prior), buf_text(&args), &r, why);
        w->down_since_ms = json_get_int(json_first(r.downtime), "start_ms", 0);
        conf_answer_clear(&r);
    }
    buf_clear(&args);
    return ok;
}

static bool witness_is(struct conf_world *w, const struct conf_action *a, const char *args, const char *want,
                       struct buf *why)
{
    struct conf_answer r = { 0 };
    bool ok;

    if (a->keeps_nothing)
        return true;
    ok = strcmp(conf_settle(w, a, args, &r), want) == 0;
    if (!ok)
        buf_printf(why, "its witness should say %s; %s", want, r.text);
    conf_answer_clear(&r);
    return ok;
}

static bool rows_are_true(struct conf_world *w, const struct conf_action *a, const struct conf_answer *r,
                          struct buf *why)
{
    bool found = a->cause == NULL;

    for (const json *row = json_first(r->downtime); row != NULL; row = json_next(row)) {
        found = found || strcmp(json_get_str(row, "cause", ""), a->cause) == 0;
        if (json_get_str(row, "how", "")[0] == 0)
            return no(why, "a downtime row does not say how it was measured", r);
        if (!conf_row_is_true(w, row, why))
            return false;
    }
    return found ? true : no(why, "the downtime row is missing", r);
}

/* --- cases --- */

static bool case_success(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct buf args = BUF_INIT;
    struct conf_answer r = { 0 };
    bool ok = prepared(w, a, why);

    if (ok) {
        a->args(w, &args);
        ok = succeeds(w, a, buf_text(&args), &r, why) && witness_is(w, a, buf_text(&args), "done", why);
    }
    conf_answer_clear(&r);
    buf_clear(&args);
    return ok;
}

static bool case_downtime(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct buf args = BUF_INIT;
    struct conf_answer r = { 0 };
    bool ok = prepared(w, a, why);

    if (ok) {
        a->args(w, &args);
        ok = succeeds(w, a, buf_text(&args), &r, why) && rows_are_true(w, a, &r, why);
    }
    conf_answer_clear(&r);
    buf_clear(&args);
    return ok;
}

static bool case_repeat(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct buf args = BUF_INIT;
    struct conf_answer r = { 0 };
    bool ok = prepared(w, a, why);

    if (ok) {
        a->args(w, &args);
        ok = succeeds(w, a, buf_text(&args), &r, why);
        conf_answer_clear(&r);
    }
    if (ok) {
        conf_ask(w, a->name, "run", buf_text(&args), false, &r);
        ok = json_is_object(r.result) ? true : no(why, "the repetition did not succeed", &r);
        if (ok && !a->keeps_nothing && strcmp(a->name, "move_groups") != 0 &&
            !json_get_bool(r.result, "already", false))
            ok = no(why, "the repetition should say \"already\"", &r);
    }
    conf_answer_clear(&r);
    buf_clear(&args);
    return ok;
}

static bool case_undo_of_nothing(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct buf args = BUF_INIT;
    struct conf_answer r = { 0 };
    bool ok;

    if (!a->undo)
        return true; /* it undoes nothing: the case is the same for every driver */
    a->args(w, &args);
    conf_ask(w, a->name, "run", buf_text(&args), false, &r);
    ok = json_is_object(r.result) && r.downtime == NULL
             ? true
             : no(why, "undo of nothing must succeed, without downtime", &r);
    conf_answer_clear(&r);
    buf_clear(&args);
    return ok;
}

static const char *const codes[] = { "refused",      "busy",     "found_paused",   "not_found",
                                     "not_empty",    "no_space", "not_applicable", "not_removable",
                                     "needs_reboot", "access",   "failed" };

static bool is_code(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i], code) == 0)
            return true;
    return false;
}

static bool case_refusal(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct buf args = BUF_INIT;
    struct conf_answer r = { 0 };
    bool ok = true;

    if (a->refuse == NULL && a->refused_by == NULL && a->args_refused == NULL)
        return true; /* nothing in the contract refuses it */
    if (a->refuse != NULL)
        ok = conf_world_fault(w, a->refuse, NULL, why) && prepared(w, a, why);
    if (ok) {
        (a->args_refused != NULL ? a->args_refused : a->args)(w, &args);
        conf_ask(w, a->name, "run", buf_text(&args), false, &r);
        ok = is_code(r.code) ? true : no(why, "it should be refused with a code of the table", &r);
        if (ok && a->refused_by != NULL && strcmp(r.code, a->refused_by) != 0)
            ok = no(why, "it is refused with another code than its guard's", &r);
        ok = ok && witness_is(w, a, buf_text(&args), "not_done", why);
    }
    conf_answer_clear(&r);
    buf_clear(&args);
    return ok;
}

/* Cut off, whatever happens happens; the witness settles, and if it says
 * not_done the action can be asked for again. */
static bool case_killed(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct buf args = BUF_INIT;
    struct conf_answer r = { 0 };
    const char *said;
    bool ok = prepared(w, a, why);

    if (ok && !a->keeps_nothing) {
        a->args(w, &args);
        conf_ask(w, a->name, "run", buf_text(&args), true, &r);
        conf_answer_clear(&r);
        said = conf_settle(w, a, buf_text(&args), &r);
        ok = strcmp(said, "done") == 0 || strcmp(said, "not_done") == 0
                 ? true
                 : no(why, "its witness never settled", &r);
        bool again = ok && strcmp(said, "not_done") == 0;
        if (ok && !again && r.downtime != NULL)
            ok = rows_are_true(w, &(struct conf_action){ .name = a->name }, &r, why);
        conf_answer_clear(&r);
        if (again)
            ok = succeeds(w, a, buf_text(&args), &r, why);
        ok = ok && witness_is(w, a, buf_text(&args), "done", why);
    }
    conf_answer_clear(&r);
    buf_clear(&args);
    return ok;
}

static bool case_bad_request(struct conf_world *w, const struct conf_action *a, struct buf *why)
{
    struct conf_answer r;
    struct buf request = BUF_INIT;
    bool ok = true;

    if (a->bad_args != NULL) {
        conf_ask(w, a->name, "run", a->bad_args, false, &r);
        ok = strcmp(r.code, "bad_request") == 0 ? true
                                                : no(why, "wrong arguments should be a bad_request", &r);
        conf_answer_clear(&r);
    }
    buf_printf(
        &request,
        "{\"contract\":9,\"action\":\"%s\",\"mode\":\"run\",\"node\":\"%s\",\"limit_ms\":1000,\"args\":{}}",
        a->name, w->node);
    conf_ask_raw(w, a->name, buf_text(&request), &r);
    if (ok && strcmp(r.code, "bad_request") != 0)
        ok = no(why, "another contract should be a bad_request", &r);
    conf_answer_clear(&r);
    conf_ask_raw(w, a->name, "{\"contract\":1,", &r);
    if (ok && strcmp(r.code, "bad_request") != 0)
        ok = no(why, "half an object should be a bad_request", &r);
    conf_answer_clear(&r);
    buf_clear(&request);
    return ok;
}

static const struct {
    const char *name;
    case_fn *run;
} cases[] = {
    { "success, and its witness says done", case_success },
    { "repeat is harmless", case_repeat },
    { "undo of nothing", case_undo_of_nothing },
    { "refusal changes nothing", case_refusal },
    { "killed under way, then asked as witness", case_killed },
    { "bad request", case_bad_request },
    { "downtime rows are the truth", case_downtime },
};

/* --- telling --- */

static void tell(struct run *t, bool ok, const char *action, const char *what, const struct buf *why)
{
    t->n++;
    t->failed += !ok;
    printf("%s %u - %s: %s\n", ok ? "ok" : "not ok", t->n, action, what);
    if (!ok)
        printf("# %s\n", buf_text(why));
    fflush(stdout);
}

static void run_case(struct run *t, const struct conf_action *a, size_t c)
{
    struct conf_world w;
    struct buf why = BUF_INIT;
    bool ok = conf_world_make(&w, t->fixture, t->dir, &why) && cases[c].run(&w, a, &why);

    conf_world_end(&w);
    tell(t, ok, a->name, cases[c].name, &why);
    buf_clear(&why);
}

static bool wanted(const struct run *t, const char *action)
{
    return t->only == NULL || strcmp(t->only, action) == 0;
}

static bool read_case(struct conf_world *w, const struct conf_read *r, struct buf *why)
{
    struct conf_answer a;
    bool ok;

    conf_ask(w, r->name, "run", r->args, false, &a);
    ok = json_is_object(a.result) ? r->check(a.result, why) : no(why, "no result", &a);
    conf_answer_clear(&a);
    if (!ok || r->bad_args == NULL)
        return ok;
    conf_ask(w, r->name, "run", r->bad_args, false, &a);
    ok = strcmp(a.code, "bad_request") == 0 ? true : no(why, "wrong arguments should be a bad_request", &a);
    conf_answer_clear(&a);
    return ok;
}

/* A program that may be kept answers line by line; any other need not. */
static bool kept_case(struct conf_world *w, const struct conf_read *r, struct buf *why)
{
    struct conf_answer a[2];
    bool ok = true;

    if (!conf_is_resident(w, r->name))
        return true;
    conf_ask_twice(w, r->name, r->args, a);
    for (int i = 0; i < 2; i++) {
        ok = ok && (json_is_object(a[i].result) ? r->check(a[i].result, why)
                                                : no(why, "a kept program should answer each line", &a[i]));
        conf_answer_clear(&a[i]);
    }
    return ok;
}

static void run_reads(struct run *t)
{
    struct conf_world w;
    struct buf made = BUF_INIT;
    bool ok = conf_world_make(&w, t->fixture, t->dir, &made);

    for (uint32_t i = 0; i < conf_n_reads; i++) {
        struct buf why = BUF_INIT;
        bool good = ok && read_case(&w, &conf_reads[i], &why) && kept_case(&w, &conf_reads[i], &why);
        if (!ok)
            buf_str(&why, buf_text(&made));
        if (wanted(t, conf_reads[i].name))
            tell(t, good, conf_reads[i].name, conf_reads[i].args, &why);
        buf_clear(&why);
    }
    if (ok && wanted(t, "unsupported")) {
        struct conf_answer a;
        struct buf why = BUF_INIT;
        conf_ask(&w, "levitate", "run", "{}", false, &a);
        ok = strcmp(a.code, "unsupported") == 0 ? true : no(&why, "it should be unsupported", &a);
        tell(t, ok, "levitate", "an action that nobody has is unsupported", &why);
        conf_answer_clear(&a);
        buf_clear(&why);
    }
    conf_world_end(&w);
    buf_clear(&made);
}

int main(int argc, char **argv)
{
    struct run t = { .fixture = argc > 1 ? argv[1] : NULL, .only = argc > 2 ? argv[2] : NULL };
    char base[] = "/tmp/pw-conf-XXXXXX";

    if (t.fixture == NULL || mkdtemp(base) == NULL) {
        fprintf(stderr, "conformance FIXTURE [ACTION]\n");
        return 2;
    }
    snprintf(t.dir, sizeof t.dir, "%s/world", base);
    run_reads(&t);
    for (uint32_t i = 0; i < conf_n_actions; i++)
        for (size_t c = 0; wanted(&t, conf_actions[i].name) && c < sizeof cases / sizeof cases[0]; c++)
            run_case(&t, &conf_actions[i], c);
    printf("1..%u\n", t.n);
    (void)rmdir(base);
    return t.failed == 0 ? 0 : 1;
}
