/* Driver processes. Reads answer through pipes; effects write to files in the
 * op's own folder, so that a driver that must outlive the agent does not see
 * its pipe break, and so that its output can be fetched later. An effect's
 * process id is on disk before its request is sent: a driver waits for its
 * request, so none can act unrecorded. */
#ifndef PATCHWAVE_AGENT_DRIVER_H
#define PATCHWAVE_AGENT_DRIVER_H

#include "agent/core/agent.h"

#include <uv.h>

#define DRIVER_OUTPUT_BYTES (4u << 20) /* of standard error kept per op */
#define DRIVER_POLL_MS 200             /* how often progress is looked for; real time */

struct driver_pool;

/* What a run came to. Texts live until the callback returns. */
struct driver_end {
    uint32_t run;
    enum agent_driver_end end;
    const char *text;
    size_t len;
    int64_t output_bytes;
    const char *output_tail;
};
struct driver_owner {
    void *owner;
    void (*on_end)(void *owner, const struct driver_end *end);
    void (*on_progress)(void *owner, uint32_t run, int32_t percent, const char *text);
};

/* `folder` holds driver.json and the executables; `ops_dir` gets a folder per
 * op. Both are copied. ERR_NOMEM. */
int driver_pool_new(uv_loop_t *loop, const char *folder, const char *ops_dir,
                    const struct driver_manifest *manifest, struct driver_owner owner,
                    struct driver_pool **ret_pool, struct err *err);
/* Ends what may be ended (reads, `kill` actions), forgets the rest, frees. The
 * loop must run once more afterwards. */
void driver_pool_free(struct driver_pool *p);

/* Carry out DRIVER_START. When it fails the driver certainly did not run and
 * on_end is not called. */
int driver_start(struct driver_pool *p, const struct agent_effect *e, struct err *err);
void driver_kill(struct driver_pool *p, uint32_t run);

/* After a restart: does the driver of `op` still run? One that must not
 * outlive its agent is ended here, and then it does not. */
bool driver_survived(struct driver_pool *p, const char *op, bool leave);
/* Watch a survivor: on_end (LOST) when it is gone. */
int driver_adopt(struct driver_pool *p, const char *op, uint32_t run, struct err *err);

/* The op's output as a JSON object for op.output. */
int driver_output_page(const struct driver_pool *p, const char *op, int64_t offset, int64_t max,
                       struct buf *out, struct err *err);
/* Drop the folder of a forgotten op. */
void driver_forget(struct driver_pool *p, const char *op);

#endif
