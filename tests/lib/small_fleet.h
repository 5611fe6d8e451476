/* Inventories and rollouts for tests, made from a few words: clusters of equal
 * nodes with VMs of seeded sizes, as the JSON a person would write. */
#ifndef PATCHWAVE_TESTS_SMALL_FLEET_H
#define PATCHWAVE_TESTS_SMALL_FLEET_H

#include "orchestrator/core/inventory.h"
#include "orchestrator/core/rollout.h"
#include "schema/buf.h"

struct fleet_words {
    uint64_t seed;
    uint32_t clusters, nodes, vms; /* nodes per cluster; VMs per node, about */
    uint64_t node_mib, vm_mib_min, vm_mib_max;
    uint32_t max_out;
    uint32_t percent_full; /* 0: VMs as said; else filled up to this utilisation */
    uint32_t anti_percent; /* VMs that belong to triples of a hard anti-affinity class */
    bool s2d, uneven;      /* uneven: node sizes vary by half */
    const char *witness;   /* NULL: "disk" */
    const char *reserve;   /* NULL: "full" */
};

void small_fleet_json(const struct fleet_words *w, struct buf *out);
struct inventory *small_fleet(const struct fleet_words *w);
/* Parse text that must be good. */
struct inventory *inventory_of(const char *text);
struct rollout *rollout_of(const char *text);
/* A rollout: `waves` as JSON ("[1,\"100%\"]"), `more` further members, ",..." or "". */
struct rollout *small_rollout(const char *waves, const char *more);
/* VM number i's id. */
const char *small_vm_id(uint32_t i, char out[40]);

#endif
