/* What a run shows while it runs: on a terminal a view that is drawn over
 * itself, with what happens scrolling away above it; else plain lines. */
#ifndef PATCHWAVE_LIVE_SCREEN_H
#define PATCHWAVE_LIVE_SCREEN_H

#include "orchestrator/io/render_status.h"
#include "schema/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct live_screen {
    bool terminal;
    uint32_t drawn; /* lines of the view on the screen */
    struct buf view;
};
void live_screen_init(struct live_screen *s, bool quiet_terminal);
void live_screen_clear(struct live_screen *s); /* the last view stays on the screen */
/* Lines that stay, above the view. */
void live_screen_say(struct live_screen *s, const char *lines);
/* The last lines, below the view: nothing is drawn after them. */
void live_screen_end(struct live_screen *s, const char *lines);
/* Draw the view anew; nothing when this is no terminal. */
void live_screen_draw(struct live_screen *s, struct store *store, struct status_look *look);

#endif
