/* How a node is set up, step by step: a script to read, and to run. */
#ifndef PATCHWAVE_BOOTSTRAP_H
#define PATCHWAVE_BOOTSTRAP_H

#include "orchestrator/io/embedded_text.h"
#include "schema/buf.h"
#include "schema/err.h"

struct cli;

extern const struct embedded_text bootstrap_texts[]; /* orchestrator/bootstrap: one script per system */

struct bootstrap_values {
    const char *node, *user, *key; /* key: the controller's public key, one line */
};
/* ERR_INVALID for an operating system without a text. */
int bootstrap_write(struct buf *out, const char *os, const struct bootstrap_values *v, struct err *err);
/* enroll --bootstrap, with --run: over an administrator's login. */
int bootstrap_command(const struct cli *c, int *ret_exit, struct err *err);

#endif
