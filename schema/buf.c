#include "schema/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool buf_grow(struct buf *b, size_t more)
{
    size_t cap = b->cap == 0 ? 256 : b->cap;
    char *data;

    if (b->failed)
        return false;
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

void buf_uint(struct buf *b, unsigned long long value)
{
    char text[20], *at = text + sizeof text;

    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(b, at, (size_t)(text + sizeof text - at));
}

void buf_int(struct buf *b, long long value)
{
    if (value < 0)
        buf_char(b, '-');
    buf_uint(b, value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value);
}

/* Nearly every `fmt` asks for %s, %u, %d, %llu, %lld and %% alone, and is written here without the machinery of printf.
 * False: this one asks for more. */
static bool vprintf_plain(struct buf *b, const char *fmt, va_list args)
{
    for (const char *at; (at = strchr(fmt, '%')) != NULL; fmt = at + 1) {
        buf_add(b, fmt, (size_t)(at - fmt));
        at++;
        if (*at == 's')
            buf_str(b, va_arg(args, const char *));
        else if (*at == 'u')
            buf_uint(b, va_arg(args, unsigned));
        else if (*at == 'd')
            buf_int(b, va_arg(args, int));
        else if (*at == '%')
            buf_char(b, '%');
        else if (at[0] != 'l' || at[1] != 'l' || (at[2] != 'u' && at[2] != 'd'))
            return false;
        else if (*(at += 2) == 'u')
            buf_uint(b, va_arg(args, unsigned long long));
        else
            buf_int(b, va_arg(args, long long));
    }
    buf_str(b, fmt);
    return true;
}

static __attribute__((format(printf, 2, 0))) void vprintf_any(struct buf *b, const char *fmt, va_list args)
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

void buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    size_t len = b->len;
    va_list again;

    va_copy(again, args);
    if (!vprintf_plain(b, fmt, args)) {
        b->len = len;
        vprintf_any(b, fmt, again);
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

void text_vinto(char *out, size_t room, const char *fmt, va_list args)
{
    if (vsnprintf(out, room, fmt, args) < 0)
        out[0] = '\0';
}

void text_into(char *out, size_t room, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    text_vinto(out, room, fmt, args);
    va_end(args);
}
