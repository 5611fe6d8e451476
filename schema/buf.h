/* A growing byte buffer that is always NUL-terminated. A failed growth makes
 * it `failed` and later writes do nothing: check once, at the end. */
#ifndef PATCHWAVE_BUF_H
#define PATCHWAVE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* never NULL after the first write, unless failed */
    size_t len, cap;
    bool failed;
};

/* clang-format off */
#define BUF_INIT { 0 }
/* clang-format on */

void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_uint(struct buf *b, unsigned long long value);
void buf_int(struct buf *b, long long value);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
bool buf_grow(struct buf *b, size_t more);
/* Into `out` of `room` bytes, cut to fit, always terminated: for words that must not fail for want of memory. */
void text_into(char *out, size_t room, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void text_vinto(char *out, size_t room, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));
/* Room for `more` bytes and the NUL, for who writes at data + len himself; false when the buffer failed. */
static inline bool buf_room(struct buf *b, size_t more)
{
    return more < b->cap - b->len ? !b->failed : buf_grow(b, more);
}
static inline void buf_char(struct buf *b, char c)
{
    if (!buf_room(b, 1))
        return;
    b->data[b->len++] = c;
    b->data[b->len] = '\0';
}
/* Forget the first n bytes. */
void buf_drop(struct buf *b, size_t n);
void buf_reset(struct buf *b); /* empty, keeps the memory */
void buf_clear(struct buf *b); /* empty, gives the memory back */
/* The text so far ("" when empty); valid until the next write. */
const char *buf_text(const struct buf *b);

#endif
