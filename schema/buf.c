#include "schema/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool buf_room(struct buf *b, size_t more)
{
    size_t cap = b->cap == 0 ? 64 : b->cap;
    char *data;

    if (b->failed)
        return false;
    if (b->data != NULL && more < b->cap - b->len)
        return true;
    if (more > SIZE_MAX / 2 - b->len - 1) {
        b->failed = true;
        return false;
    }
    while (cap <= b->len + more)
        cap *= 2;
    data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (!buf_room(b, len))
        return;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    if (!buf_room(b, 1))
        return;
    b->data[b->len++] = c;
    b->data[b->len] = '\0';
}

void buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = b->failed || b->data == NULL ? vsnprintf(NULL, 0, fmt, args)
                                     : vsnprintf(b->data + b->len, b->cap - b->len, fmt, args);
    if (n < 0)
        b->failed = true;
    else if (!b->failed && b->data != NULL && (size_t)n < b->cap - b->len) {
        b->len += (size_t)n; /* it fitted at once */
    } else if (buf_room(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    } else if (b->data != NULL) {
        b->data[b->len] = '\0'; /* what the first try left behind */
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    buf_vprintf(b, fmt, args);
    va_end(args);
}

void buf_drop(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_clear(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT;
}

const char *buf_text(const struct buf *b)
{
    return b->data == NULL ? "" : b->data;
}
