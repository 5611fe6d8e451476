/* The lab's driver answers without processes: a small world made from a seed,
 * asked as hvlab-driver would ask. Its types stay on the other side. */
#ifndef PATCHWAVE_TESTS_LAB_ANSWERS_H
#define PATCHWAVE_TESTS_LAB_ANSWERS_H

#include "schema/json.h"
#include "schema/times.h"

struct lab_answers;

/* 16 nodes are HV01..HV04 on S2D and twelve on shared storage; `mixed`: with VMs that cannot move. */
struct lab_answers *lab_answers_make(uint32_t nodes, int64_t seed, bool mixed);
void lab_answers_free(struct lab_answers *l);
/* The whole answer, to be freed by json_free; waits in fleet time. */
struct json_doc *lab_answer(struct lab_answers *l, const char *node, const char *action, const char *args);
/* inventory.json of this world. */
struct json_doc *lab_answers_inventory(struct lab_answers *l);
/* The consents of a mixed fleet: the id of the nth VM that cannot move, or NULL. */
const char *lab_answers_stuck(struct lab_answers *l, uint32_t nth);
void lab_answers_fault(struct lab_answers *l, const char *name, const char *subject);
void lab_answers_pass(struct lab_answers *l, dur_ms time);

#endif
