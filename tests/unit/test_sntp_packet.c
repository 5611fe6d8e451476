/* One SNTP packet: what is believed, and what is not and why. */
#include "agent/io/sntp.h"
#include "tests/lib/check.h"

#include <string.h>

static const uint8_t nonce[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static void put_time(uint8_t *at, int64_t unix_us)
{
    uint32_t s = (uint32_t)(unix_us / 1000000 + 2208988800),
             f = (uint32_t)(((uint64_t)(unix_us % 1000000) << 32) / 1000000);

    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(s >> (24 - 8 * i));
        at[4 + i] = (uint8_t)(f >> (24 - 8 * i));
    }
}

/* A good answer of a server that is `ahead_us` ahead, 1 ms each way. */
static void good(uint8_t p[SNTP_PACKET], int64_t t1_us, int64_t ahead_us)
{
    memset(p, 0, SNTP_PACKET);
    p[0] = 4 << 3 | 4;
    p[1] = 2;
    memcpy(p + 12, "\x7f\x01\x00\xfa", 4);
    memcpy(p + 24, nonce, 8);
    put_time(p + 32, t1_us + 1000 + ahead_us);
    put_time(p + 40, t1_us + 1100 + ahead_us);
}

static struct sntp_sample read_it(const uint8_t *p, size_t len, int64_t t1_us)
{
    struct sntp_sample s;

    sntp_reply_read(p, len, nonce, t1_us, t1_us + 2100, &s);
    return s;
}

static void test_offset(void **state)
{
    static const int64_t aheads[] = { 0, 250000, -1500000, 86400000000 };
    int64_t t1 = 1764000000123456;
    uint8_t p[SNTP_PACKET];

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(aheads); i++) {
        struct sntp_sample s;

        good(p, t1, aheads[i]);
        s = read_it(p, sizeof p, t1);
        assert_string_equal(s.why, "");
        assert_in_range(s.offset_us - aheads[i] + 10, 0, 20);
        assert_in_range(s.delay_us, 1990, 2010);
        assert_int_equal(s.stratum, 2);
        assert_string_equal(s.ref_id, "127.1.0.250");
    }
}

/* After February 2036 the seconds begin again. */
static void test_next_era(void **state)
{
    int64_t t1 = 2100000000000000;
    uint8_t p[SNTP_PACKET];
    struct sntp_sample s;

    (void)state;
    good(p, t1, 5000);
    s = read_it(p, sizeof p, t1);
    assert_in_range(s.offset_us, 4990, 5010);
}

static void test_not_believed(void **state)
{
    int64_t t1 = 1764000000000000;
    uint8_t p[SNTP_PACKET];

    (void)state;
    good(p, t1, 0);
    assert_string_equal(read_it(p, 47, t1).why, "bad_reply");
    p[0] = 4 << 3 | 3;
    assert_string_equal(read_it(p, sizeof p, t1).why, "bad_reply");
    good(p, t1, 0);
    p[24] ^= 1;
    assert_string_equal(read_it(p, sizeof p, t1).why, "wrong_origin");
    good(p, t1, 0);
    p[1] = 16;
    assert_string_equal(read_it(p, sizeof p, t1).why, "unsynchronised");
    good(p, t1, 0);
    p[0] = 3 << 6 | 4 << 3 | 4;
    assert_string_equal(read_it(p, sizeof p, t1).why, "unsynchronised");
    good(p, t1, 0);
    p[1] = 0;
    memcpy(p + 12, "RATE", 4);
    assert_string_equal(read_it(p, sizeof p, t1).why, "kiss:RATE");
    memcpy(p + 12, "\x1b]0;", 4); /* no control characters get through */
    assert_string_equal(read_it(p, sizeof p, t1).why, "kiss:??0?");
    good(p, t1, 0);
    memset(p + 40, 0, 8);
    assert_string_equal(read_it(p, sizeof p, t1).why, "bad_reply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offset),
        cmocka_unit_test(test_next_era),
        cmocka_unit_test(test_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
