#include "orchestrator/core/node_sm.h"

#define TO(s) (1u << NODE_##s)
#define HOME (TO(STARTING_VMMS) | TO(STORAGE_IN) | TO(RESUMING) | TO(ENDED))
#define ANEW TO(STARTING_VMMS)
#define OUT NODE_COUNTS_AS_OUT

/* What a rollout leaves out (S2D only, stop_vmms off, no reboot due) is passed over, hence the skips. A boot may
 * have started VMs, so a further effect leads through `draining` again. A drain whose pause never reached the node is
 * taken back to `staging`: its proof grew old. One that another log went on with is verified, or begins its way home
 * anew, from any phase in which it is out. `ended` opens for a next life, for
 * `retry` and for `return`. */
const struct sm_state node_phases[NODE_PHASES] = {
    [NODE_PENDING] = { "pending", TO(CHECKING) | TO(ENDED), SM_INITIAL },
    [NODE_CHECKING] = { "checking", TO(STAGING) | TO(ENDED), 0 },
    [NODE_STAGING] = { "staging", TO(DRAINING) | TO(CHECKING) | TO(ENDED), 0 },
    [NODE_DRAINING] = { "draining", TO(EMPTIED) | TO(STAGING) | TO(VERIFYING) | HOME, OUT },
    [NODE_EMPTIED] = { "emptied",
                       TO(STORAGE_OUT) | TO(STOPPING_VMMS) | TO(INSTALLING) | TO(REMOVING) | TO(REBOOTING) |
                           TO(VERIFYING) | HOME,
                       OUT },
    [NODE_STORAGE_OUT] = { "storage_out",
                           TO(STOPPING_VMMS) | TO(INSTALLING) | TO(REMOVING) | TO(REBOOTING) | TO(VERIFYING) |
                               HOME,
                           OUT },
    [NODE_STOPPING_VMMS] = { "stopping_vmms",
                             TO(INSTALLING) | TO(REMOVING) | TO(REBOOTING) | TO(VERIFYING) | HOME, OUT },
    [NODE_INSTALLING] = { "installing", TO(REBOOTING) | TO(VERIFYING) | HOME,
                          OUT | NODE_NEEDS_EMPTY | NODE_EFFECT_BEGUN },
    [NODE_REMOVING] = { "removing", TO(REBOOTING) | TO(VERIFYING) | HOME,
                        OUT | NODE_NEEDS_EMPTY | NODE_EFFECT_BEGUN },
    [NODE_REBOOTING] = { "rebooting", TO(VERIFYING) | TO(DRAINING) | HOME,
                         OUT | NODE_NEEDS_EMPTY | NODE_EFFECT_BEGUN },
    [NODE_VERIFYING] = { "verifying", TO(DRAINING) | HOME, OUT | NODE_EFFECT_BEGUN },
    [NODE_STARTING_VMMS] = { "starting_vmms", TO(STORAGE_IN) | TO(RESUMING) | TO(ENDED),
                             OUT | NODE_GOES_HOME },
    [NODE_STORAGE_IN] = { "storage_in", TO(RESUMING) | TO(ENDED) | ANEW, OUT | NODE_GOES_HOME },
    [NODE_RESUMING] = { "resuming", TO(SETTLING) | TO(ENDED) | ANEW, OUT | NODE_GOES_HOME },
    [NODE_SETTLING] = { "settling", TO(CHECKING) | TO(ENDED) | ANEW, OUT | NODE_GOES_HOME },
    [NODE_ENDED] = { "ended", TO(PENDING) | TO(CHECKING) | TO(STARTING_VMMS), SM_FINAL },
};

const char *const node_end_names[NODE_ENDS] = { "none",     "done",      "compliant",   "rolled_back",
                                                "returned", "set_aside", "not_started", "stuck" };
