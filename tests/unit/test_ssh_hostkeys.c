#include "orchestrator/io/ssh_hostkeys.h"
#include "tests/lib/check.h"

#include <string.h>

/* A key made once by ssh-keygen; the fingerprints are what `ssh-keygen -lf` printed for it. */
#define ED25519_PRINT "SHA256:Uvq3aNlWT2IKADI8naowx7FumLWti3eUzdcHQVuDtbU"
#define ED25519                                                            \
    "ssh-ed25519 "                                                         \
    "AAAAC3NzaC1lZDI1NTE5AAAAIDhqRdOAPeoGqLcoLa558MICF8t/43+sCW9ZFXNo7YDc" \
    " node"
#define ECDSA_PRINT "SHA256:mb1MxWTMczOxJauxoIzFbm0DMF4zibMpSv2QFpI0EHU"
#define ECDSA                                                                                    \
    "ecdsa-sha2-nistp256 "                                                                       \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBNNrgvNrHyFt9v8EzOuMVkE5+yhhUCtxA30C7J" \
    "WU79351y0x7ZptPZs2C9u8qGv7pbSfjeQ7ATggxWG9Q3AefnE="                                         \
    " node"

static void parse(const char *text, struct ssh_hostkey *key)
{
    struct err err;

    check_ok(ssh_hostkey_parse(text, key, &err), &err);
}

static void test_fingerprint_is_the_one_ssh_keygen_prints(void **state)
{
    struct ssh_hostkey key;

    (void)state;
    parse(ED25519, &key);
    assert_string_equal(key.type, "ssh-ed25519");
    assert_string_equal(key.fingerprint, ED25519_PRINT);
    parse(ECDSA, &key);
    assert_string_equal(key.type, "ecdsa-sha2-nistp256");
    assert_string_equal(key.fingerprint, ECDSA_PRINT);
}

static void test_written_keys_parse_back(void **state)
{
    struct ssh_hostkey key, back, print;
    struct buf text = BUF_INIT;

    (void)state;
    parse(ED25519, &key);
    ssh_hostkey_write(&text, &key);
    parse(text.data, &back);
    assert_true(ssh_hostkey_same(&key, &back));
    parse("ssh-ed25519 " ED25519_PRINT, &print);
    buf_reset(&text);
    ssh_hostkey_write(&text, &print);
    assert_string_equal(text.data, "ssh-ed25519 " ED25519_PRINT);
    buf_clear(&text);
}

/* Three outcomes and no fourth. */
static void test_match_unknown_mismatch(void **state)
{
    struct ssh_hostkey key, other, print, wrong_type;

    (void)state;
    parse(ED25519, &key);
    parse(ECDSA, &other);
    parse("ssh-ed25519 " ED25519_PRINT, &print);
    parse("ecdsa-sha2-nistp256 " ED25519_PRINT, &wrong_type);
    assert_int_equal(ssh_hostkey_check(&key, &key), SSH_HOSTKEY_MATCH);
    assert_int_equal(ssh_hostkey_check(&print, &key), SSH_HOSTKEY_MATCH);
    assert_int_equal(ssh_hostkey_check(NULL, &key), SSH_HOSTKEY_UNKNOWN);
    assert_int_equal(ssh_hostkey_check(&other, &key), SSH_HOSTKEY_MISMATCH);
    assert_int_equal(ssh_hostkey_check(&wrong_type, &key), SSH_HOSTKEY_MISMATCH);
    key.blob[key.blob_len - 1] ^= 1; /* one bit, with the old fingerprint beside it */
    parse(ED25519, &other);
    assert_int_equal(ssh_hostkey_check(&other, &key), SSH_HOSTKEY_MISMATCH);
}

static void test_what_is_not_a_key(void **state)
{
    static const char *const cases[] = {
        "",
        "ssh-ed25519",
        "ssh-ed25519 ",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 SHA256:short",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* says rsa, is ed25519 */
        "a-type-name-that-is-much-longer-than-any-that-exists AAAAC3NzaC1lZDI1NTE5AAAAIAAA",
    };

    (void)state;
    for (size_t i = 0; i < TABLE_LEN(cases); i++) {
        struct ssh_hostkey key;
        struct err err = { .code = ERR_OK };

        if (ssh_hostkey_parse(cases[i], &key, &err) != ERR_INVALID || err.code != ERR_INVALID)
            fail_msg("taken for a key: \"%s\"", cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fingerprint_is_the_one_ssh_keygen_prints),
        cmocka_unit_test(test_written_keys_parse_back),
        cmocka_unit_test(test_match_unknown_mismatch),
        cmocka_unit_test(test_what_is_not_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
