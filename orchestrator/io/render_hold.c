#include "orchestrator/io/render_hold.h"

#include "orchestrator/core/engine.h"

#include <string.h>

void render_hold_way(struct buf *out, const char *reason, const char *verb)
{
    if (engine_hold_asks(reason))
        buf_str(out, "`patchwave resume` asks again; `patchwave promote --accept-unknown --ticket NUMBER` "
                     "leads on without an answer");
    else if (strcmp(verb, "decide") == 0)
        buf_str(out, "`patchwave decide NODE done|not-done` leads on");
    else
        buf_printf(out, "`patchwave %s` leads on", verb);
}
