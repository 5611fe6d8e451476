/* Rows of the store for people and programs. The column's name says what a
 * number is: "..._at" a point in fleet time, "..._ms" a duration. */
#ifndef PATCHWAVE_RENDER_ROWS_H
#define PATCHWAVE_RENDER_ROWS_H

#include "orchestrator/io/store.h"
#include "schema/json.h"

/* Aligned columns with a heading; `nothing` is the line for no rows. */
void render_rows(struct buf *out, const struct rows *r, const char *nothing);
/* A Markdown table. */
void render_rows_markdown(struct buf *out, const struct rows *r, const char *nothing);
/* An array of objects; numbers stay numbers. */
void render_rows_json(struct json_writer *w, const char *key, const struct rows *r);

#endif
