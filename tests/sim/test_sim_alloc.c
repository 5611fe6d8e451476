/* The release simulator's malloc, under everything in this program: blocks of
 * all sizes come and go, and each keeps what its owner wrote into it. */
#include "schema/prng.h"
#include "tests/lib/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 500, TURNS = 60000 };

static struct block {
    unsigned char *at;
    size_t len;
    unsigned char fill;
} blocks[BLOCKS];

static size_t any_size(struct prng *p)
{
    return prng_below(p, prng_below(p, 100) == 0 ? 2u << 20 : 3000);
}

static bool filled(const unsigned char *at, size_t len, unsigned char with)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] != with)
            return false;
    return true;
}

static void own(struct block *b, void *at, size_t len, unsigned char fill)
{
    assert_non_null(at);
    assert_int_equal((uintptr_t)at % _Alignof(max_align_t), 0);
    *b = (struct block){ at, len, fill };
    memset(b->at, fill, len);
}

static void begin(struct block *b, struct prng *p, size_t len, unsigned char fill)
{
    void *at = prng_below(p, 2) == 0 ? malloc(len) : calloc(1, len);

    own(b, at, len, fill);
}

static void change(struct block *b, size_t len)
{
    size_t kept = len < b->len ? len : b->len;
    unsigned char *at = realloc(b->at, len == 0 ? 1 : len);

    assert_non_null(at);
    assert_true(filled(at, kept, b->fill));
    own(b, at, len, b->fill);
}

static void blocks_keep_what_is_in_them(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct block *b = &blocks[prng_below(&p, BLOCKS)];

        if (b->at == NULL) {
            begin(b, &p, any_size(&p), (unsigned char)turn);
            continue;
        }
        assert_true(filled(b->at, b->len, b->fill));
        if (prng_below(&p, 3) == 0) {
            change(b, any_size(&p));
        } else {
            free(b->at);
            b->at = NULL;
        }
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i].at);
}

static void what_is_asked_for_as_zero_is_zero_though_it_was_used(void **state)
{
    (void)state;
    for (size_t len = 1; len < 5000; len += 7) {
        unsigned char *used = malloc(len), *zero;

        assert_non_null(used);
        memset(used, 0xff, len);
        free(used);
        zero = calloc(len, 1);
        assert_non_null(zero);
        assert_true(filled(zero, len, 0));
        free(zero);
    }
}

static void what_no_machine_has_is_refused(void **state)
{
    volatile size_t most = SIZE_MAX;

    (void)state;
    assert_null(malloc(most));
    assert_null(malloc(most / 2));
    assert_null(calloc(most / 2, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_what_is_in_them),
        cmocka_unit_test(what_is_asked_for_as_zero_is_zero_though_it_was_used),
        cmocka_unit_test(what_no_machine_has_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
