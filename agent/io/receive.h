/* `receive`: one package over standard input, answers over standard output
 * (docs/wire.md). A cut keeps the part; the next one goes on from it. */
#ifndef PATCHWAVE_RECEIVE_H
#define PATCHWAVE_RECEIVE_H

#include "schema/err.h"

#include <stdio.h>

/* Streams must be binary. Returns 0 when the package is here; the error was
 * also told to the client. */
int receive_package(const char *state_dir, FILE *in, FILE *out, struct err *err);

#endif
