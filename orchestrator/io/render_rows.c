#include "orchestrator/io/render_rows.h"

#include "orchestrator/io/render_escape.h"
#include "schema/times.h"

#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static char cell_kind(const struct rows *r, uint32_t row, uint32_t column)
{
    return r->kinds[(size_t)row * r->n_columns + column];
}

/* What a cell says to people, not yet escaped. */
static const char *cell_words(const struct rows *r, uint32_t row, uint32_t column, char text[TIME_TEXT_MAX])
{
    const char *name = r->names[column];

    if (cell_kind(r, row, column) == 'n')
        return "-";
    if (cell_kind(r, row, column) == 'i' && ends_with(name, "_at"))
        return time_text(rows_int(r, row, column), text);
    if (cell_kind(r, row, column) == 'i' && ends_with(name, "_ms"))
        return dur_text(rows_int(r, row, column), text);
    return rows_text(r, row, column);
}

static void put_heading(struct buf *out, const char *name)
{
    size_t n = strlen(name);

    if (ends_with(name, "_at") || ends_with(name, "_ms"))
        n -= 3;
    for (size_t i = 0; i < n; i++)
        buf_char(out, name[i] == '_' ? ' ' : name[i]);
}

static void put_padded(struct buf *out, const char *text, uint32_t width, bool last)
{
    uint32_t have = text_columns(text);

    buf_str(out, text);
    for (; !last && have < width + 2; have++)
        buf_char(out, ' ');
}

static void cell_escaped(struct buf *cell, const struct rows *r, uint32_t row, uint32_t column)
{
    char text[TIME_TEXT_MAX];

    buf_reset(cell);
    escape_terminal(cell, cell_words(r, row, column, text));
}

static uint32_t column_width(const struct rows *r, uint32_t column, struct buf *cell)
{
    uint32_t width;

    buf_reset(cell);
    put_heading(cell, r->names[column]);
    width = text_columns(buf_text(cell));
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t have;

        cell_escaped(cell, r, i, column);
        have = text_columns(buf_text(cell));
        width = have > width ? have : width;
    }
    return width;
}

void render_rows(struct buf *out, const struct rows *r, const char *nothing)
{
    uint32_t *widths = calloc(r->n_columns + 1, sizeof *widths);
    struct buf cell = BUF_INIT;

    if (r->n == 0 || widths == NULL) {
        buf_printf(out, "%s\n", nothing);
        free(widths);
        return;
    }
    for (uint32_t c = 0; c < r->n_columns; c++) {
        widths[c] = column_width(r, c, &cell);
        buf_reset(&cell);
        put_heading(&cell, r->names[c]);
        put_padded(out, buf_text(&cell), widths[c], c + 1 == r->n_columns);
    }
    buf_char(out, '\n');
    for (uint32_t i = 0; i < r->n; i++) {
        for (uint32_t c = 0; c < r->n_columns; c++) {
            cell_escaped(&cell, r, i, c);
            put_padded(out, buf_text(&cell), widths[c], c + 1 == r->n_columns);
        }
        buf_char(out, '\n');
    }
    buf_clear(&cell);
    free(widths);
}

void render_rows_markdown(struct buf *out, const struct rows *r, const char *nothing)
{
    char text[TIME_TEXT_MAX];

    if (r->n == 0) {
        buf_printf(out, "%s\n", nothing);
        return;
    }
    for (uint32_t c = 0; c < r->n_columns; c++) {
        buf_str(out, "| ");
        put_heading(out, r->names[c]);
        buf_char(out, ' ');
    }
    buf_str(out, "|\n");
    for (uint32_t c = 0; c < r->n_columns; c++)
        buf_str(out, "|---");
    buf_str(out, "|\n");
    for (uint32_t i = 0; i < r->n; i++) {
        for (uint32_t c = 0; c < r->n_columns; c++) {
            buf_str(out, "| ");
            escape_markdown(out, cell_words(r, i, c, text));
            buf_char(out, ' ');
        }
        buf_str(out, "|\n");
    }
}

void render_rows_json(struct json_writer *w, const char *key, const struct rows *r)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < r->n; i++) {
        jw_object(w, NULL);
        for (uint32_t c = 0; c < r->n_columns; c++) {
            if (cell_kind(r, i, c) == 'n')
                jw_null(w, r->names[c]);
            else if (cell_kind(r, i, c) == 'i')
                jw_int(w, r->names[c], rows_int(r, i, c));
            else
                jw_str(w, r->names[c], rows_text(r, i, c));
        }
        jw_object_end(w);
    }
    jw_array_end(w);
}
