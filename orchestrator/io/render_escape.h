/* Text from outside (VM names, messages of nodes) made harmless before a
 * person's terminal or a Markdown reader sees it. Pure. */
#ifndef PATCHWAVE_RENDER_ESCAPE_H
#define PATCHWAVE_RENDER_ESCAPE_H

#include "schema/buf.h"

#include <stdint.h>

/* Control characters, escape sequences, invisible and direction-changing
 * characters and bytes that are not UTF-8 come out as \n, \t, \x1b,
 * \u{202e} and the like; everything else as it is. */
void escape_terminal(struct buf *out, const char *text);
/* The same for Markdown (and the HTML it may carry): characters with a
 * meaning there get a backslash or an entity, line breaks become spaces. */
void escape_markdown(struct buf *out, const char *text);
/* Columns that `text` takes on a terminal after escape_terminal: wide
 * characters two, combining ones none. */
uint32_t text_columns(const char *text);

#endif
