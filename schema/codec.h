/* JSON-RPC 2.0, one message per line, UTF-8, at most 1 MiB with the newline.
 * This file knows lines and envelopes, not methods. */
#ifndef PATCHWAVE_CODEC_H
#define PATCHWAVE_CODEC_H

#include "schema/buf.h"
#include "schema/err.h"
#include "schema/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_LINE_MAX (1u << 20)
#define WIRE_PROTOCOL_MIN 1
#define WIRE_PROTOCOL_MAX 1

/* Cuts a byte stream into lines. Feed bytes, take lines until NULL. */
struct line_cutter {
    struct buf in;
    size_t taken;      /* bytes handed out as lines */
    size_t unfinished; /* bytes after the last newline */
    size_t line_max;
    bool overlong; /* a line went over the bound: the stream is lost */
};
void line_cutter_init(struct line_cutter *c, size_t line_max);
void line_cutter_clear(struct line_cutter *c);
/* ERR_PROTOCOL once a line is over the bound, ERR_NOMEM. */
int line_cutter_feed(struct line_cutter *c, const void *data, size_t len, struct err *err);
/* The next whole line without its newline, NUL-terminated, valid until the
 * next feed; NULL when none is whole. */
const char *line_cutter_take(struct line_cutter *c, size_t *ret_len);

enum rpc_kind { RPC_REQUEST, RPC_NOTIFICATION, RPC_RESULT, RPC_ERROR };
struct rpc_message {
    struct json_doc *doc; /* owns all below */
    enum rpc_kind kind;
    int64_t id;         /* requests and answers */
    const char *method; /* requests and notifications */
    const json *params; /* may be NULL */
    const json *result; /* RPC_RESULT */
    /* RPC_ERROR */
    int error_code;
    const char *error_name; /* error.data.name: an err_name; "" when absent */
    const char *error_text;
    const json *error_data; /* may be NULL */
};

/* Strict: "jsonrpc":"2.0", integer id, `params` an object, no unknown members.
 * ERR_PROTOCOL, ERR_NOMEM. */
int rpc_parse(const char *line, size_t len, struct rpc_message *ret_msg, struct err *err);
void rpc_clear(struct rpc_message *msg);

/* Append one line (with newline) to `out`. `params`/`result` are JSON texts
 * (NULL: absent / null); line breaks between their tokens are left out. */
void rpc_write_request(struct buf *out, int64_t id, const char *method, const char *params);
void rpc_write_notification(struct buf *out, const char *method, const char *params);
void rpc_write_result(struct buf *out, int64_t id, const char *result);
/* JSON-RPC's code from ours: -32000 - code; data = {"name": err_name, ...}.
 * `extra` is NULL or members to add to data (none called `name`), as JSON
 * text of an object. */
void rpc_write_error(struct buf *out, int64_t id, const struct err *e, const char *extra);

#endif
