/* A node's life. Direction (forward, back) and phase; one table serves both.
 *
 *  pending -> checking -> staging -> draining -> emptied -> storage_out -> stopping_vmms
 *     -> installing | removing -> rebooting -> verifying -> starting_vmms -> storage_in
 *     -> resuming -> settling -> end
 *
 *  From draining on every phase may turn to the way home (starting_vmms ..
 *  settling) without going through what is left (abort, refusal, O8, O12).
 *  `unknown` is a flag beside the phase, never an end: the journal, a witness
 *  or an operator's event answers it. */
#ifndef PATCHWAVE_NODE_SM_H
#define PATCHWAVE_NODE_SM_H

#include "schema/sm.h"

enum node_phase {
    NODE_PENDING,
    NODE_CHECKING,
    NODE_STAGING,
    NODE_DRAINING,
    NODE_EMPTIED,
    NODE_STORAGE_OUT,
    NODE_STOPPING_VMMS,
    NODE_INSTALLING,
    NODE_REMOVING,
    NODE_REBOOTING,
    NODE_VERIFYING,
    NODE_STARTING_VMMS,
    NODE_STORAGE_IN,
    NODE_RESUMING,
    NODE_SETTLING,
    NODE_ENDED,
    NODE_PHASES
};
/* How a node's turn ended; docs/operations.md has each for people. */
enum node_end {
    NODE_END_NONE,
    NODE_DONE,
    NODE_COMPLIANT,
    NODE_ROLLED_BACK,
    NODE_RETURNED,
    NODE_SET_ASIDE,
    NODE_NOT_STARTED,
    NODE_STUCK,
    NODE_ENDS
};

enum {
    NODE_COUNTS_AS_OUT = 1u << 8,
    NODE_NEEDS_EMPTY = 1u << 9,
    NODE_EFFECT_BEGUN = 1u << 10,
    NODE_GOES_HOME = 1u << 11
};
extern const struct sm_state node_phases[NODE_PHASES];
extern const char *const node_end_names[NODE_ENDS];

#endif
