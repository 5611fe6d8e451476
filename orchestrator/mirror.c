#include "orchestrator/mirror.h"

#include "orchestrator/io/store_rebuild.h"

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
    struct buf name = BUF_INIT;
    int rc;

    buf_printf(&name, "%s/%s", dir, base);
    rc = name.failed ? err_set(err, ERR_NOMEM, "%s", dir) : store_backup(s, buf_text(&name), err);
    buf_clear(&name);
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
