/* malloc for the simulator, which asks for memory some ten thousand times in a
 * rollout, has one thread and ends soon: blocks of few sizes, four to each
 * doubling, on a free list for each size, never given back. A block that is
 * given back twice, or was never handed out, ends the process. Sanitizers bring
 * their own, and sim_slowly keeps the system's. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZES = 4 * 40, PIECE = 1 << 20, IN_USE = 0x5ca1ab1e, IS_FREE = 0x0ddba11 };

struct block {
    uint32_t mark, size; /* size: index */
    struct block *next;  /* while it is free */
};
_Static_assert(sizeof(struct block) % _Alignof(max_align_t) == 0, "what is handed out is aligned");

static struct block *spare[SIZES];
static char *piece, *piece_end;

/* The least size that holds so many bytes: 64, 80, 96, 112, 128, 160 ... */
static uint32_t size_index(size_t bytes)
{
    size_t b = (bytes < 64 ? 64 : bytes) - 1;
    unsigned top = 63 - (unsigned)__builtin_clzll(b);

    return (top - 5) * 4 + (uint32_t)(b >> (top - 2) & 3) - 3;
}

static size_t size_bytes(uint32_t index)
{
    return ((size_t)(index % 4) + 4) << (index / 4 + 4);
}

static struct block *cut(uint32_t index)
{
    size_t bytes = size_bytes(index), ask = bytes > PIECE ? bytes : PIECE;
    struct block *b;

    if (bytes > (size_t)(piece_end - piece)) {
        void *more = mmap(NULL, ask, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (more == MAP_FAILED)
            return NULL;
        piece = more;
        piece_end = piece + ask;
    }
    b = (struct block *)(void *)piece;
    piece += bytes;
    b->size = index;
    return b;
}

static void *take(size_t bytes)
{
    uint32_t index;
    struct block *b;

    if (bytes > PTRDIFF_MAX / 4) {
        errno = ENOMEM;
        return NULL;
    }
    index = size_index(bytes + sizeof *b);
    b = spare[index];
    if (b != NULL)
        spare[index] = b->next;
    else if ((b = cut(index)) == NULL)
        return NULL;
    b->mark = IN_USE;
    return b + 1;
}

static struct block *block_of(void *p)
{
    struct block *b = (struct block *)p - 1;

    if (b->mark != IN_USE)
        abort();
    return b;
}

void *malloc(size_t bytes)
{
    return take(bytes);
}

void free(void *p)
{
    struct block *b;

    if (p == NULL)
        return;
    b = block_of(p);
    b->mark = IS_FREE;
    b->next = spare[b->size];
    spare[b->size] = b;
}

void *calloc(size_t n, size_t bytes)
{
    void *p = take(bytes != 0 && n > SIZE_MAX / bytes ? SIZE_MAX : n * bytes);

    return p == NULL ? NULL : memset(p, 0, n * bytes);
}

void *realloc(void *p, size_t bytes)
{
    size_t room = p == NULL ? 0 : size_bytes(block_of(p)->size) - sizeof(struct block);
    void *other;

    if (p != NULL && bytes <= room)
        return p;
    other = take(bytes);
    if (other != NULL && p != NULL) {
        memcpy(other, p, room);
        free(p);
    }
    return other;
}
