#include "schema/sha256.h"
#include "tests/lib/check.h"

#include <string.h>

/* The examples of FIPS 180-4 (and NIST's example file). */
static void test_fips_examples(void **state)
{
    static const struct {
        const char *text, *digest;
    } examples[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
          "mnopqrstnopqrstu",
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
    };
    char hex[SHA256_TEXT];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(examples); i++)
        assert_string_equal(sha256_text(examples[i].text, strlen(examples[i].text), hex), examples[i].digest);
}

/* A million times 'a', in pieces whose lengths go past every block boundary. */
static void test_a_million_in_uneven_pieces(void **state)
{
    char a[997];
    struct sha256 s;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_TEXT];
    size_t left = 1000000, n = 1;

    (void)state;
    memset(a, 'a', sizeof a);
    sha256_init(&s);
    for (; left > 0; n = n % sizeof a + 1) {
        size_t piece = n < left ? n : left;

        sha256_add(&s, a, piece);
        left -= piece;
    }
    sha256_end(&s, digest);
    assert_string_equal(sha256_hex(digest, hex),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Lengths at which the padding changes its form; digests by Python's hashlib. */
static void test_padding_boundaries(void **state)
{
    static const struct {
        size_t len;
        const char *digest;
    } rows[] = {
        { 1, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" },
        { 54, "a3f01b6939256127582ac8ae9fb47a382a244680806a3f613a118851c1ca1d47" },
        { 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318" },
        { 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a" },
        { 57, "f13b2d724659eb3bf47f2dd6af1accc87b81f09f59f2b75e5c0bed6589dfe8c6" },
        { 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34" },
        { 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb" },
        { 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0" },
        { 119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb" },
        { 120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c" },
        { 127, "c57e9278af78fa3cab38667bef4ce29d783787a2f731d4e12200270f0c32320a" },
        { 128, "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e" },
    };
    char text[128], hex[SHA256_TEXT];

    (void)state;
    memset(text, 'a', sizeof text);
    for (unsigned i = 0; i < TABLE_LEN(rows); i++)
        assert_string_equal(sha256_text(text, rows[i].len, hex), rows[i].digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fips_examples),
        cmocka_unit_test(test_a_million_in_uneven_pieces),
        cmocka_unit_test(test_padding_boundaries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
