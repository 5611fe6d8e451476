/* What a step's driver said, fetched from its node. */
#ifndef PATCHWAVE_NODE_OUTPUT_H
#define PATCHWAVE_NODE_OUTPUT_H

#include "orchestrator/cli.h"

int node_output_print(const struct cli *c, struct store *s, const char *node, const char *op,
                      struct err *err);

#endif
