/* The rollout file made whole: what the pure reader (rollout.h) cannot know is
 * put in its place before it reads.
 *
 *  "patch": "KB5061977", {"kb": "..."}  -> the record from `patch add`
 *  "policy": {"include": ["x.json"]}    -> those files' members, relative to
 *                                          the rollout file; later ones and the
 *                                          file's own members win
 *  "windows", "freezes"                 -> UTC spans. Besides {"from","to"} with an offset:
 *      {"zone":"Europe/Berlin","from":"2026-11-23T22:00","to":"2026-11-24T06:00"}
 *      {"zone":"Europe/Berlin","days":["mon","tue"],"from":"22:00","to":"06:00"}
 *                                          (each of the coming 35 days that fits)
 *  "consents"                           -> plus those of `consent add` */
#ifndef PATCHWAVE_ROLLOUT_LOAD_H
#define PATCHWAVE_ROLLOUT_LOAD_H

#include "orchestrator/core/rollout.h"
#include "orchestrator/io/store.h"

/* ERR_NOT_FOUND (a file, an unknown KB), ERR_INVALID by file:line:column: the
 * lines stay those of the file. `now` is where weekly windows begin. */
int rollout_load(struct store *s, const char *path, const char *text, size_t len, time_ms now,
                 struct rollout **ret_rollout, struct err *err);

#endif
