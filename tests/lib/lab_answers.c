#include "tests/lib/lab_answers.h"

#include "examples/lab/ask.h"
#include "examples/lab/inventory_lab.h"
#include "examples/lab/make_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lab_answers {
    struct world w;
};

struct lab_answers *lab_answers_make(uint32_t nodes, int64_t seed, bool mixed)
{
    struct fleet_wish wish = { .nodes = nodes,
                               .seed = seed,
                               .factor = 1,
                               .mixed = mixed,
                               .net = "127.1.1",
                               .port = 10022,
                               .anchor_ms = 1700000000000 };
    struct lab_answers *l = calloc(1, sizeof *l);
    struct err err;

    if (l == NULL || fleet_make(&wish, &l->w, &err) != 0)
        abort();
    return l;
}

void lab_answers_free(struct lab_answers *l)
{
    world_clear(&l->w);
    free(l);
}

static struct json_doc *parsed(const char *text, size_t len)
{
    struct json_doc *doc = NULL;
    struct err err;

    if (json_parse("lab", text, len, &doc, &err) != 0) {
        fprintf(stderr, "%s\n%s\n", err.text, text);
        abort();
    }
    return doc;
}

struct json_doc *lab_answer(struct lab_answers *l, const char *node, const char *action, const char *args)
{
    struct buf b = BUF_INIT;
    struct json_doc *request, *answer = NULL;
    struct ask *a;

    buf_printf(&b,
               "{\"contract\":1,\"action\":\"%s\",\"mode\":\"run\",\"node\":\"%s\",\"limit_ms\":36000000,"
               "\"args\":%s}",
               action, node, args);
    request = parsed(buf_text(&b), b.len);
    buf_clear(&b);
    a = ask_begin(&l->w, request, json_root(request));
    while (a != NULL && !ask_poll(a))
        (void)world_advance(&l->w, l->w.now + SECOND_MS);
    if (a != NULL && a->out.len > 0)
        answer = parsed(buf_text(&a->out), a->out.len);
    ask_free(a);
    return answer;
}

struct json_doc *lab_answers_inventory(struct lab_answers *l)
{
    struct buf b = BUF_INIT;
    struct json_doc *doc;

    inventory_write_lab(&l->w, "/somewhere", &b);
    doc = parsed(buf_text(&b), b.len);
    buf_clear(&b);
    return doc;
}

const char *lab_answers_stuck(struct lab_answers *l, uint32_t nth)
{
    for (uint32_t i = 0; i < l->w.vms.n; i++)
        if (world_vm_is_stuck(&l->w.vms.items[i]) && nth-- == 0)
            return l->w.vms.items[i].id;
    return NULL;
}

void lab_answers_fault(struct lab_answers *l, const char *name, const char *subject)
{
    struct err err;

    if (world_fault_add(&l->w, name, subject, "", &err) != 0)
        abort();
    world_fault_apply(&l->w);
}

void lab_answers_pass(struct lab_answers *l, dur_ms time)
{
    (void)world_advance(&l->w, l->w.now + time);
}
