/* Names of things. On the wire, in files and in tables ids are strings; in
 * core a node, VM or cluster is its index in the inventory. */
#ifndef PATCHWAVE_IDS_H
#define PATCHWAVE_IDS_H

#include "schema/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ID_TEXT_MAX 128 /* bytes, with the NUL */

/* Node, cluster, run, gate names: 1 to 63 of A-Z a-z 0-9 . _ - , first one
 * alphanumeric. VM ids: a GUID in lower case. */
bool id_is_name(const char *text);
bool id_is_guid(const char *text);

/* 128 random bits as 32 hex digits, made from bytes the caller drew. */
#define ID_RANDOM_BYTES 16
const char *id_from_bytes(const uint8_t bytes[ID_RANDOM_BYTES], char out[33]);

/* An operation's permanent id, "RUN/NODE/LIFE/STEP[:SUBJECT]/ATTEMPT", e.g.
 * "r1/HV07/1/install/1", "r1/HV07/1/move_vm:9f..c2/1". LIFE counts a node's
 * lives in the run (forward, back, forward), ATTEMPT decisions to try again;
 * a transport retry keeps the id. */
struct op_id {
    char text[ID_TEXT_MAX];
};
/* ERR_INVALID when a part has a wrong form. `subject` may be NULL. */
int op_id_make(const char *run, const char *node, uint32_t life, const char *step, const char *subject,
               uint32_t attempt, struct op_id *ret_id, struct err *err);
/* Checks the form and cuts it into parts. */
struct op_id_parts {
    char run[64], node[64], step[32], subject[64];
    uint32_t life, attempt;
};
int op_id_parse(const char *text, struct op_id_parts *ret_parts, struct err *err);

#endif
