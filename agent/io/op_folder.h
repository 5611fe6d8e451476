/* The folder of one op: `pid` (process id and start), `answer` (standard
 * output), `output` (standard error). */
#ifndef PATCHWAVE_OP_FOLDER_H
#define PATCHWAVE_OP_FOLDER_H

#include "schema/buf.h"
#include "schema/err.h"

#include <stdbool.h>
#include <stdint.h>

struct op_folder {
    char path[1024], pid[1088], answer[1088], output[1088];
};
/* Names only; nothing is touched. ERR_INVALID when too long. */
int op_folder_name(const char *ops_dir, const char *op, struct op_folder *ret, struct err *err);
int op_folder_make(const struct op_folder *f, struct err *err);
void op_folder_remove(const struct op_folder *f);
int op_folder_write_pid(const struct op_folder *f, int64_t pid, int64_t start, struct err *err);
/* False when there is none. */
bool op_folder_read_pid(const struct op_folder *f, int64_t *ret_pid, int64_t *ret_start);
/* The last `max` bytes of the output without progress lines; "" when there are none. */
void op_folder_tail(const struct op_folder *f, size_t max, struct buf *out);
/* {"text","offset","total_bytes","more"}. ERR_IO. */
int op_folder_page(const struct op_folder *f, int64_t offset, int64_t max, struct buf *out, struct err *err);

/* One line of standard error: is it progress, and what does it say? */
bool progress_line_read(const char *line, size_t len, int32_t *ret_percent, char *text, size_t text_size);

#endif
