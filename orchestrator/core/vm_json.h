/* The VM object of docs/driver.md, as drivers report it and as the inventory
 * declares it. */
#ifndef PATCHWAVE_VM_JSON_H
#define PATCHWAVE_VM_JSON_H

#include "orchestrator/core/fields.h"
#include "orchestrator/core/inventory.h"

extern const char *const vm_json_known[]; /* the members, NULL-terminated */

/* Read all of a VM but its node and its owners (names that only the caller
 * can resolve). JSON_REQUIRED: a driver's report, every member must be there;
 * JSON_OPTIONAL: an inventory, where only id and memory must. */
void vm_read(struct fields *f, const json *o, enum json_need need, struct vm *ret_vm);
/* Write the same members into an open object. */
void vm_write_members(struct json_writer *w, const struct vm *vm);
void vm_write_strings(struct json_writer *w, const char *key, const char *const *texts, uint32_t n);

const char *vm_state_name(enum vm_state s);
const char *vm_role_name(enum vm_role r);
const char *vm_busy_name(enum vm_busy b);
const char *vm_heartbeat_name(enum vm_heartbeat h);
void vm_read_beat(struct fields *f, const json *o, enum vm_state *ret_state, enum vm_heartbeat *ret_beat);

#endif
