#include "schema/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 4 << 10, BLOCK_MAX = 256 << 10 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(max_align_t) unsigned char data[];
};

static struct arena_block *block_new(size_t cap)
{
    struct arena_block *b;

    if (cap > PTRDIFF_MAX - sizeof *b)
        return NULL;
    b = calloc(1, sizeof *b + cap);
    if (b != NULL)
        b->cap = cap;
    return b;
}

/* A block with `bytes` free. Blocks double, so that a large value takes few;
 * an item larger than the next block gets one of its own, behind the head, and
 * the head's rest stays in use. */
static struct arena_block *arena_room(struct arena *a, size_t bytes)
{
    struct arena_block *head = a->head, *b;
    size_t cap = head == NULL ? BLOCK_MIN : head->cap * 2;

    if (head != NULL && head->cap - head->used >= bytes)
        return head;
    if (cap > BLOCK_MAX)
        cap = BLOCK_MAX;
    b = block_new(bytes > cap ? bytes : cap);
    if (b == NULL)
        return NULL;
    if (head != NULL && bytes > cap) {
        b->next = head->next;
        head->next = b;
    } else {
        b->next = head;
        a->head = b;
    }
    return b;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    const size_t align = _Alignof(max_align_t);
    size_t rounded = bytes == 0 ? align : (bytes + align - 1) / align * align;
    struct arena_block *b;
    void *p;

    if (rounded < bytes)
        return NULL;
    b = arena_room(a, rounded);
    if (b == NULL)
        return NULL;
    p = b->data + b->used;
    b->used += rounded;
    a->bytes += rounded;
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t bytes)
{
    if (bytes != 0 && n > SIZE_MAX / bytes)
        return NULL;
    return arena_alloc(a, n * bytes);
}

char *arena_strn(struct arena *a, const char *s, size_t n)
{
    char *p = n == SIZE_MAX ? NULL : arena_alloc(a, n + 1);

    if (p != NULL && n > 0)
        memcpy(p, s, n);
    return p;
}

char *arena_str(struct arena *a, const char *s)
{
    return arena_strn(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    char *p;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        return NULL;
    p = arena_alloc(a, (size_t)n + 1);
    if (p == NULL)
        return NULL;
    va_start(args, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    va_end(args);
    return p;
}

void arena_reset(struct arena *a)
{
    struct arena_block *head = a->head;
    struct arena rest = { .head = head == NULL ? NULL : head->next };

    arena_clear(&rest);
    a->bytes = 0;
    if (head == NULL)
        return;
    head->next = NULL;
    memset(head->data, 0, head->used); /* what is handed out is zero */
    head->used = 0;
}

void arena_clear(struct arena *a)
{
    struct arena_block *b = a->head;

    while (b != NULL) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
    *a = (struct arena)ARENA_INIT;
}
