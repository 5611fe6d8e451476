/* A file built into the program (cmake/pw_embed.cmake); tables of them end
 * with a NULL name. */
#ifndef PATCHWAVE_EMBEDDED_TEXT_H
#define PATCHWAVE_EMBEDDED_TEXT_H

struct embedded_text {
    const char *name, *text;
};

#endif
