/* SSH's own encoding (RFC 4251): big-endian numbers, counted strings, and
 * base64 as key files use it. Pure. */
#ifndef PATCHWAVE_SSH_WIRE_H
#define PATCHWAVE_SSH_WIRE_H

#include "schema/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads forward; the first read over the end sets `bad`, and from then on
 * every read gives zero or an empty string. Check once, at the end. */
struct ssh_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};
struct ssh_reader ssh_reader_over(const void *data, size_t len);
uint8_t ssh_read_u8(struct ssh_reader *r);
uint32_t ssh_read_u32(struct ssh_reader *r);
/* A counted string, inside the reader's memory. */
struct ssh_string {
    const uint8_t *data;
    size_t len;
};
struct ssh_string ssh_read_string(struct ssh_reader *r);
bool ssh_string_is(struct ssh_string s, const char *text);

void ssh_put_u32(struct buf *out, uint32_t v);
void ssh_put_string(struct buf *out, const void *data, size_t len);
/* An unsigned big-endian number as SSH's mpint. */
void ssh_put_mpint(struct buf *out, const uint8_t *bytes, size_t len);

/* Base64 with padding, appended; `pad` false leaves the '=' out. */
void base64_put(struct buf *out, const void *data, size_t len, bool pad);
/* Appends the bytes; white space is skipped, padding is optional. False when
 * another character or a cut-off group is found. */
bool base64_read(struct buf *out, const char *text, size_t len);

#endif
