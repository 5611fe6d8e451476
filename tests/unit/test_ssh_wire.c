#include "orchestrator/io/ssh_wire.h"
#include "tests/lib/check.h"

#include <string.h>

/* What was put is what is read, in order; the first read over the end spoils the rest. */
static void test_reads_back_what_was_put(void **state)
{
    struct buf b = BUF_INIT;
    struct ssh_reader r;
    struct ssh_string s;

    (void)state;
    ssh_put_u32(&b, 0x01020304);
    ssh_put_string(&b, "ssh-ed25519", 11);
    ssh_put_string(&b, "", 0);
    r = ssh_reader_over(b.data, b.len);
    assert_int_equal(ssh_read_u32(&r), 0x01020304);
    s = ssh_read_string(&r);
    assert_true(ssh_string_is(s, "ssh-ed25519"));
    assert_false(ssh_string_is(s, "ssh-ed2551"));
    assert_true(ssh_string_is(ssh_read_string(&r), ""));
    assert_false(r.bad);
    assert_int_equal(r.left, 0);
    assert_int_equal(ssh_read_u8(&r), 0);
    assert_true(r.bad);
    buf_clear(&b);
}

/* A length that points behind the end gives nothing, and nothing after it either. */
static void test_length_over_the_end_is_bad_for_good(void **state)
{
    static const uint8_t wire[] = { 0, 0, 0, 9, 'a', 'b', 0xff, 0xff, 0xff, 0xff };
    struct ssh_reader r = ssh_reader_over(wire, sizeof wire);

    (void)state;
    assert_int_equal(ssh_read_string(&r).len, 0);
    assert_true(r.bad);
    assert_int_equal(ssh_read_u32(&r), 0);
    r = ssh_reader_over(wire + 6, 4); /* 4 GiB */
    assert_int_equal(ssh_read_string(&r).len, 0);
    assert_true(r.bad);
}

/* RFC 4251's examples, and the two rules behind them: no leading zeros, but one in front of a high bit. */
static void test_mpint_as_the_rfc_has_it(void **state)
{
    static const struct {
        uint8_t in[9];
        size_t len;
        const char *hex;
    } cases[] = {
        { { 0 }, 1, "00000000" },
        { { 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7 }, 8, "0000000809a378f9b2e332a7" },
        { { 0x80 }, 1, "000000020080" },
        { { 0, 0, 0x7f }, 3, "000000017f" },
        { { 0, 0xff }, 2, "0000000200ff" },
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(cases); i++) {
        struct buf b = BUF_INIT, hex = BUF_INIT;

        ssh_put_mpint(&b, cases[i].in, cases[i].len);
        for (size_t k = 0; k < b.len; k++)
            buf_printf(&hex, "%02x", (uint8_t)b.data[k]);
        assert_string_equal(buf_text(&hex), cases[i].hex);
        buf_clear(&b);
        buf_clear(&hex);
    }
}

/* RFC 4648's vectors, both ways. */
static void test_base64_vectors(void **state)
{
    static const struct {
        const char *plain, *padded, *bare;
    } cases[] = {
        { "", "", "" },
        { "f", "Zg==", "Zg" },
        { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" },
        { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(cases); i++) {
        struct buf padded = BUF_INIT, bare = BUF_INIT, back = BUF_INIT;

        base64_put(&padded, cases[i].plain, strlen(cases[i].plain), true);
        base64_put(&bare, cases[i].plain, strlen(cases[i].plain), false);
        assert_string_equal(buf_text(&padded), cases[i].padded);
        assert_string_equal(buf_text(&bare), cases[i].bare);
        assert_true(base64_read(&back, cases[i].bare, strlen(cases[i].bare)));
        assert_string_equal(buf_text(&back), cases[i].plain);
        buf_reset(&back);
        assert_true(base64_read(&back, cases[i].padded, strlen(cases[i].padded)));
        assert_string_equal(buf_text(&back), cases[i].plain);
        buf_clear(&padded);
        buf_clear(&bare);
        buf_clear(&back);
    }
}

static void test_what_is_not_base64(void **state)
{
    static const char *const cases[] = { "Z", "Zm9vY", "Zm9v!", "Zm\x80v", "Zm9v-_" };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(cases); i++) {
        struct buf b = BUF_INIT;

        if (base64_read(&b, cases[i], strlen(cases[i])))
            fail_msg("taken for base64: %s", cases[i]);
        buf_clear(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back_what_was_put),
        cmocka_unit_test(test_length_over_the_end_is_bad_for_good),
        cmocka_unit_test(test_mpint_as_the_rfc_has_it),
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_what_is_not_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
