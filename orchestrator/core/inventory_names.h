/* The words of inventory JSON, shared by its reader and its writer. */
#ifndef PATCHWAVE_INVENTORY_NAMES_H
#define PATCHWAVE_INVENTORY_NAMES_H

extern const char *const storage_kind_names[2];
extern const char *const quorum_witness_names[4];
extern const char *const reserve_rung_names[3];

#endif
