#include "orchestrator/hostkey_scan.h"

#include "orchestrator/io/loop.h"
#include "orchestrator/io/node_target.h"

#include <stdlib.h>

#define AT_ONCE 32

struct scan {
    struct loop *loop;
    const struct inventory *inv;
    struct one {
        struct scan *scan;
        struct scanned *item;
        struct ssh_target target;
    } * ones;
    uint32_t n, next, running;
};

static void start_more(struct scan *s);

static void on_scanned(void *arg, const struct ssh_hostkey *key, const struct err *why)
{
    struct one *o = arg;
    struct scan *s = o->scan;

    o->item->ok = key != NULL;
    if (key != NULL)
        o->item->key = *key;
    else
        o->item->why = *why;
    s->running--;
    start_more(s);
    if (s->running == 0 && s->next == s->n)
        loop_stop(s->loop);
}

static void start_more(struct scan *s)
{
    while (s->running < AT_ONCE && s->next < s->n) {
        struct one *o = &s->ones[s->next++];
        struct ssh_scan *handle;

        if (ssh_scan_start(s->loop, &o->target, on_scanned, o, &handle, &o->item->why) == 0)
            s->running++;
    }
}

int hostkey_scan(const struct inventory *inv, struct scanned *items, uint32_t n, const char *default_user,
                 struct err *err)
{
    struct scan s = { .inv = inv, .n = n, .ones = calloc(n + 1u, sizeof *s.ones) };
    int rc;

    if (s.ones == NULL)
        return err_set(err, ERR_NOMEM, "scan host keys");
    for (uint32_t i = 0; i < n; i++)
        s.ones[i] =
            (struct one){ &s, &items[i], node_target(&inv->nodes[items[i].node], NULL, default_user) };
    rc = loop_new(&s.loop, err);
    if (rc == 0) {
        start_more(&s);
        if (s.running > 0)
            loop_run(s.loop);
        loop_free(s.loop);
    }
    free(s.ones);
    return rc;
}
