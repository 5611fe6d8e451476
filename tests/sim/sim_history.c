/* A recorded history: the plan on the first line, then every event of the log and, on the line below it, what the
 * engine decided (tests/histories). */
#include "tests/sim/sim.h"

#include <stdio.h>

bool sim_history_write(const struct sim *s, const char *path)
{
    const struct sim_log *l = s->ctls[s->primary].log;
    struct buf plan = BUF_INIT;
    FILE *f = fopen(path, "w");
    bool good = f != NULL;

    plan_write(&plan, s->plan, false);
    good = good && !plan.failed && fprintf(f, "%s\n", buf_text(&plan)) > 0;
    for (uint32_t i = 0; good && l != NULL && i < l->entries.n; i++)
        good = fprintf(f, "%s\n%s\n", l->entries.items[i].event, l->entries.items[i].commands) > 0;
    buf_clear(&plan);
    return f != NULL && fclose(f) == 0 && good;
}
