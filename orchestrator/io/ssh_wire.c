#include "orchestrator/io/ssh_wire.h"

#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct ssh_reader ssh_reader_over(const void *data, size_t len)
{
    struct ssh_reader r = { .at = data, .left = len, .bad = false };
    return r;
}

/* The next n bytes, or NULL and `bad`. */
static const uint8_t *reader_take(struct ssh_reader *r, size_t n)
{
    const uint8_t *p = r->at;

    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    r->at += n;
    r->left -= n;
    return p;
}

uint8_t ssh_read_u8(struct ssh_reader *r)
{
    const uint8_t *p = reader_take(r, 1);
    return p != NULL ? *p : 0;
}

uint32_t ssh_read_u32(struct ssh_reader *r)
{
    const uint8_t *p = reader_take(r, 4);

    if (p == NULL)
        return 0;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct ssh_string ssh_read_string(struct ssh_reader *r)
{
    uint32_t len = ssh_read_u32(r);
    const uint8_t *p = reader_take(r, len);
    struct ssh_string s = { .data = p, .len = p != NULL ? len : 0 };
    return s;
}

bool ssh_string_is(struct ssh_string s, const char *text)
{
    return s.len == strlen(text) && (s.len == 0 || memcmp(s.data, text, s.len) == 0);
}

void ssh_put_u32(struct buf *out, uint32_t v)
{
    uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    buf_add(out, b, sizeof b);
}

void ssh_put_string(struct buf *out, const void *data, size_t len)
{
    ssh_put_u32(out, (uint32_t)len);
    buf_add(out, data, len);
}

void ssh_put_mpint(struct buf *out, const uint8_t *bytes, size_t len)
{
    while (len > 0 && *bytes == 0) {
        bytes++;
        len--;
    }
    if (len > 0 && (*bytes & 0x80) != 0) { /* would read as negative */
        ssh_put_u32(out, (uint32_t)len + 1);
        buf_char(out, '\0');
        buf_add(out, bytes, len);
        return;
    }
    ssh_put_string(out, bytes, len);
}

void base64_put(struct buf *out, const void *data, size_t len, bool pad)
{
    const uint8_t *p = data;

    for (; len > 0; p += len < 3 ? len : 3, len -= len < 3 ? len : 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (len > 1 ? (uint32_t)p[1] << 8 : 0) | (len > 2 ? p[2] : 0);

        buf_char(out, base64_digits[v >> 18]);
        buf_char(out, base64_digits[v >> 12 & 63]);
        if (len > 1)
            buf_char(out, base64_digits[v >> 6 & 63]);
        else if (pad)
            buf_char(out, '=');
        if (len > 2)
            buf_char(out, base64_digits[v & 63]);
        else if (pad)
            buf_char(out, '=');
    }
}

static int base64_value(char c)
{
    const char *at = c != '\0' ? strchr(base64_digits, c) : NULL;
    return at != NULL ? (int)(at - base64_digits) : -1;
}

bool base64_read(struct buf *out, const char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < len && text[i] != '='; i++) {
        int v;

        if (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t')
            continue;
        v = base64_value(text[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_char(out, (char)(uint8_t)(bits >> have));
        }
    }
    return have < 6;
}
