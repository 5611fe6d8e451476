/* malloc and its kin for the release simulator, which has one thread and takes
 * and gives the same few sizes by the million: a list of spare blocks for each
 * of a few dozen sizes, and nothing is ever joined or given back. Everything
 * else, and every build that looks for faults of memory, has the system's. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FINE = 1024, STEP = 16, REGION = 1 << 20 };
/* Four for each of the 52 doublings above FINE, up to PTRDIFF_MAX / 2: malloc refuses what is larger. */
enum { CLASSES = FINE / STEP + 4 * 52 };

/* In front of every block; as wide as the widest alignment. */
union head {
    struct {
        size_t room; /* bytes behind this */
        uint32_t class;
    };
    union head *next; /* of a spare one */
    max_align_t align;
};
_Static_assert(sizeof(union head) % STEP == 0, "blocks would not be aligned");

static union head *spare[CLASSES];
static unsigned char *region;
static size_t region_left;

/* Up to FINE each multiple of STEP is a size; above, four of every doubling. */
static uint32_t class_of(size_t bytes, size_t *ret_room)
{
    unsigned shift;
    size_t part;

    bytes = bytes == 0 ? 1 : bytes;
    if (bytes <= FINE) {
        part = (bytes - 1) / STEP;
        *ret_room = (part + 1) * STEP;
        return (uint32_t)part;
    }
    shift = 61u - (unsigned)__builtin_clzll((unsigned long long)(bytes - 1));
    part = (bytes - 1) >> shift;
    *ret_room = (part + 1) << shift;
    return (uint32_t)(FINE / STEP + (shift - 8) * 4 + part - 4);
}

static void *from_system(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static union head *block_new(size_t room)
{
    size_t bytes = room + sizeof(union head);
    void *p;

    if (bytes > REGION / 4)
        return from_system(bytes);
    if (bytes > region_left) { /* the rest of the last one is lost: it is small */
        region = from_system(REGION);
        region_left = region == NULL ? 0 : REGION;
    }
    if (region == NULL)
        return NULL;
    p = region;
    region += bytes;
    region_left -= bytes;
    return p;
}

void *malloc(size_t bytes)
{
    union head *h = NULL;
    uint32_t class = 0;
    size_t room = 0;

    if (bytes <= PTRDIFF_MAX / 2) {
        class = class_of(bytes, &room);
        h = spare[class];
        if (h != NULL)
            spare[class] = h->next;
        else
            h = block_new(room);
    }
    if (h == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    h->room = room;
    h->class = class;
    return h + 1;
}

void free(void *p)
{
    union head *h = p;
    uint32_t class;

    if (p == NULL)
        return;
    h--;
    class = h->class;
    h->next = spare[class];
    spare[class] = h;
}

void *calloc(size_t n, size_t bytes)
{
    size_t all;
    void *p = __builtin_mul_overflow(n, bytes, &all) ? NULL : malloc(all);

    return p == NULL ? NULL : memset(p, 0, all);
}

void *realloc(void *p, size_t bytes)
{
    const union head *h = p;
    void *more;

    if (p != NULL && bytes <= h[-1].room)
        return p;
    more = malloc(bytes);
    if (more != NULL && p != NULL) {
        memcpy(more, p, h[-1].room);
        free(p);
    }
    return more;
}
