#include "orchestrator/mirror.h"

#include "orchestrator/io/store_rebuild.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint64_t done_so_far(const struct plan *plan, const struct engine *engine)
{
    uint64_t n = engine_run(engine).ended != 0 ? 2 : 1; /* the first look copies too */

    for (uint32_t i = 0; i < plan->n_waves; i++)
        n += engine_wave(engine, i).ended != 0;
    for (uint32_t i = 0; i < engine_gates(engine); i++)
        n += engine_gate(engine, i).done;
    return n;
}

static int copy(const char *dir, struct store *s, struct err *err)
{
    const char *slash = strrchr(store_path(s), '/'), *base = slash == NULL ? store_path(s) : slash + 1;
    struct buf name = BUF_INIT, beside = BUF_INIT;
    int rc;

    buf_printf(&name, "%s/%s", dir, base);
    buf_printf(&beside, "%s.new", buf_text(&name));
    remove(buf_text(&beside));
    rc = store_backup(s, buf_text(&beside), err);
    if (rc == 0 && rename(buf_text(&beside), buf_text(&name)) != 0)
        rc = err_set(err, ERR_IO, "%s: %s", buf_text(&name), strerror(errno));
    buf_clear(&name);
    buf_clear(&beside);
    return rc == 0 ? 0 : err_wrap(err, "mirror");
}

int mirror_look(struct mirror *m, struct store *s, const struct plan *plan, const struct engine *engine,
                struct err *err)
{
    uint64_t done;

    if (m->dir == NULL)
        return 0;
    done = done_so_far(plan, engine);
    if (done == m->seen)
        return 0;
    m->seen = done;
    return copy(m->dir, s, err);
}
