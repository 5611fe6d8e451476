/* A byte stream that arrives in pieces (the first byte says how large) gives
 * the same lines as the whole; every line is refused as ERR_PROTOCOL or is a
 * message that can be written and read again. */
#include "schema/codec.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

enum { CUT_MAX = 512 };

static void write_again(struct buf *out, const struct rpc_message *m)
{
    struct buf body = BUF_INIT;
    const json *v = m->kind == RPC_RESULT ? m->result : m->kind == RPC_ERROR ? m->error_data : m->params;

    if (v != NULL)
        json_write(&body, v, false);
    if (m->kind == RPC_REQUEST)
        rpc_write_request(out, m->id, m->method, v == NULL ? NULL : body.data);
    else if (m->kind == RPC_NOTIFICATION)
        rpc_write_notification(out, m->method, v == NULL ? NULL : body.data);
    else if (m->kind == RPC_RESULT)
        rpc_write_result(out, m->id, body.data);
    buf_clear(&body);
}

static void check_message(const char *line, size_t len)
{
    struct rpc_message m, again;
    struct buf out = BUF_INIT;
    struct err e = { ERR_OK, "" };

    if (rpc_parse(line, len, &m, &e) != 0) {
        assert(e.code == ERR_PROTOCOL && e.text[0] != '\0');
        return;
    }
    if (m.kind != RPC_ERROR) {
        write_again(&out, &m);
        assert(out.len > 0 && memchr(out.data, '\n', out.len) == out.data + out.len - 1);
        assert(rpc_parse(out.data, out.len - 1, &again, &e) == 0);
        assert(again.kind == m.kind && again.id == m.id);
        rpc_clear(&again);
    }
    buf_clear(&out);
    rpc_clear(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size == 0 ? 1 : (size_t)data[0] % 64 + 1, start = size == 0 ? 0 : 1, at = start;
    struct line_cutter c;

    line_cutter_init(&c, CUT_MAX);
    while (at < size) {
        size_t n = size - at < piece ? size - at : piece, len;
        int rc = line_cutter_feed(&c, data + at, n, NULL);
        const char *line;

        at += n;
        while ((line = line_cutter_take(&c, &len)) != NULL) {
            assert(len < CUT_MAX && memcmp(line, data + start, len) == 0 && data[start + len] == '\n');
            start += len + 1;
            check_message(line, len);
        }
        if (rc != 0) {
            assert(rc == ERR_PROTOCOL && at - start >= CUT_MAX - 1);
            break;
        }
        assert(c.unfinished == at - start);
    }
    line_cutter_clear(&c);
    return 0;
}
