#include "orchestrator/io/ssh_bcrypt.h"
#include "tests/lib/check.h"

#include <string.h>

/* OpenBSD's regression vector; it also proves the tables computed from pi. */
static void test_known_answer(void **state)
{
    static const uint8_t want[32] = { 0x5b, 0xbf, 0x0c, 0xc2, 0x93, 0x58, 0x7f, 0x1c, 0x36, 0x35, 0x55,
                                      0x5c, 0x27, 0x79, 0x65, 0x98, 0xd4, 0x7e, 0x57, 0x90, 0x71, 0xbf,
                                      0x42, 0x7e, 0x9d, 0x8f, 0xbe, 0x84, 0x2a, 0xba, 0x34, 0xd9 };
    uint8_t out[32];
    struct err err;

    (void)state;
    check_ok(ssh_bcrypt_pbkdf("password", 8, "salt", 4, 4, out, sizeof out, &err), &err);
    assert_memory_equal(out, want, sizeof want);
}

/* A longer output is not a prefix extended: its blocks are interleaved, the first byte is the same. */
static void test_blocks_are_interleaved(void **state)
{
    uint8_t one[32], two[64];
    struct err err;

    (void)state;
    check_ok(ssh_bcrypt_pbkdf("password", 8, "salt", 4, 2, one, sizeof one, &err), &err);
    check_ok(ssh_bcrypt_pbkdf("password", 8, "salt", 4, 2, two, sizeof two, &err), &err);
    for (unsigned i = 0; i < sizeof one; i++)
        assert_int_equal(two[2 * i], one[i]);
}

static void test_bad_parameters(void **state)
{
    uint8_t out[8];
    struct err err;

    (void)state;
    assert_int_equal(ssh_bcrypt_pbkdf("", 0, "salt", 4, 4, out, sizeof out, &err), ERR_INVALID);
    assert_int_equal(ssh_bcrypt_pbkdf("p", 1, "", 0, 4, out, sizeof out, &err), ERR_INVALID);
    assert_int_equal(ssh_bcrypt_pbkdf("p", 1, "salt", 4, 0, out, sizeof out, &err), ERR_INVALID);
    assert_int_equal(ssh_bcrypt_pbkdf("p", 1, "salt", 4, 4, out, 0, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_blocks_are_interleaved),
        cmocka_unit_test(test_bad_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
