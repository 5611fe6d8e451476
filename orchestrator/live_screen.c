#include "orchestrator/live_screen.h"

#include "orchestrator/io/render_escape.h"
#include "schema/utf8.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CURSOR_UP "\x1b[%uA"
#define ERASE_BELOW "\x1b[J"

static void screen_size(uint32_t *columns, uint32_t *lines)
{
    struct winsize w;

    *columns = 100;
    *lines = 30;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
        *columns = w.ws_col;
        *lines = w.ws_row;
    }
}

void live_screen_init(struct live_screen *s, bool quiet_terminal)
{
    *s = (struct live_screen){ .terminal = isatty(STDOUT_FILENO) && !quiet_terminal };
}

void live_screen_clear(struct live_screen *s)
{
    buf_clear(&s->view);
}

static void take_back(struct live_screen *s)
{
    if (s->drawn > 0)
        printf(CURSOR_UP ERASE_BELOW, (unsigned)s->drawn);
    s->drawn = 0;
}

void live_screen_say(struct live_screen *s, const char *lines)
{
    if (lines[0] == '\0')
        return;
    take_back(s);
    fputs(lines, stdout);
    if (s->terminal && s->view.len > 0) {
        fputs(buf_text(&s->view), stdout);
        for (const char *p = buf_text(&s->view); *p != '\0'; p++)
            s->drawn += *p == '\n';
    }
    fflush(stdout);
}

void live_screen_end(struct live_screen *s, const char *lines)
{
    fputs(lines, stdout);
    fflush(stdout);
    s->drawn = 0;
}

/* One line per line: what is wider than the terminal would wrap and spoil the count. */
static void clip(struct buf *out, const char *text, uint32_t columns)
{
    uint32_t at = 0, c = 0;
    size_t left = strlen(text), n;

    for (; left > 0; text += n, left -= n) {
        char one[8] = "";

        n = utf8_read(text, left, &c);
        n = n == 0 ? 1 : n;
        memcpy(one, text, n);
        at = *text == '\n' ? 0 : at + text_columns(one);
        if (*text == '\n' || at < columns)
            buf_add(out, text, n);
    }
}

void live_screen_draw(struct live_screen *s, struct store *store, struct status_look *look)
{
    struct buf text = BUF_INIT;
    uint32_t columns, lines;

    if (!s->terminal)
        return;
    screen_size(&columns, &lines);
    look->lines_max = lines - 1;
    if (render_status(&text, store, look, NULL) == 0) {
        buf_reset(&s->view);
        clip(&s->view, buf_text(&text), columns);
        take_back(s);
        fputs(buf_text(&s->view), stdout);
        for (const char *p = buf_text(&s->view); *p != '\0'; p++)
            s->drawn += *p == '\n';
        fflush(stdout);
    }
    buf_clear(&text);
}
