/* Blowfish's start tables are the first 33,344 fraction bits of pi; they are
 * computed here once (Machin: pi = 16 atan(1/5) - 4 atan(1/239)), which takes
 * some tens of milliseconds and is easier to trust than a thousand numbers. */
#include "orchestrator/io/ssh_bcrypt.h"

#include "orchestrator/io/ssh_openssl.h"

#include <stdlib.h>
#include <string.h>

#define P_WORDS 18
#define S_WORDS 1024
#define PI_WORDS (P_WORDS + S_WORDS)
#define GUARD_WORDS 2
#define FIX_WORDS (1 + PI_WORDS + GUARD_WORDS) /* one word before the point, most significant first */
#define HASH_WORDS 8
#define HASH_BYTES 32

struct blowfish {
    uint32_t p[P_WORDS];
    uint32_t s[S_WORDS];
};

/* Fixed-point numbers of FIX_WORDS words. */

static void fix_divide(uint32_t *n, uint32_t by)
{
    uint64_t rest = 0;

    for (unsigned i = 0; i < FIX_WORDS; i++) {
        uint64_t v = rest << 32 | n[i];
        n[i] = (uint32_t)(v / by);
        rest = v % by;
    }
}

static void fix_add(uint32_t *a, const uint32_t *b)
{
    uint64_t carry = 0;

    for (unsigned i = FIX_WORDS; i-- > 0;) {
        carry += (uint64_t)a[i] + b[i];
        a[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void fix_subtract(uint32_t *a, const uint32_t *b)
{
    uint64_t borrow = 0;

    for (unsigned i = FIX_WORDS; i-- > 0;) {
        uint64_t v = (uint64_t)a[i] - b[i] - borrow;
        a[i] = (uint32_t)v;
        borrow = v >> 63;
    }
}

static int fix_is_zero(const uint32_t *n)
{
    for (unsigned i = 0; i < FIX_WORDS; i++) {
        if (n[i] != 0)
            return 0;
    }
    return 1;
}

/* sum += (or -=) times * atan(1/x) */
static void fix_add_atan(uint32_t *sum, uint32_t times, uint32_t x, int negative)
{
    uint32_t power[FIX_WORDS] = { 0 };
    uint32_t term[FIX_WORDS];

    power[0] = times;
    fix_divide(power, x);
    for (uint32_t k = 0; !fix_is_zero(power); k++) {
        memcpy(term, power, sizeof term);
        fix_divide(term, 2 * k + 1);
        if ((k % 2 == 1) != negative)
            fix_subtract(sum, term);
        else
            fix_add(sum, term);
        fix_divide(power, x * x);
    }
}

static const struct blowfish *blowfish_start(void)
{
    static struct blowfish start;
    static int made; /* the loop's thread only */

    if (!made) {
        uint32_t pi[FIX_WORDS] = { 0 };

        fix_add_atan(pi, 16, 5, 0);
        fix_add_atan(pi, 4, 239, 1);
        memcpy(start.p, pi + 1, sizeof start.p);
        memcpy(start.s, pi + 1 + P_WORDS, sizeof start.s);
        made = 1;
    }
    return &start;
}

static uint32_t blowfish_f(const struct blowfish *b, uint32_t x)
{
    return ((b->s[x >> 24] + b->s[256 + (x >> 16 & 255)]) ^ b->s[512 + (x >> 8 & 255)]) +
           b->s[768 + (x & 255)];
}

static void blowfish_encrypt(const struct blowfish *b, uint32_t *left, uint32_t *right)
{
    uint32_t l = *left, r = *right;

    for (unsigned i = 0; i < 16; i += 2) {
        l ^= b->p[i];
        r ^= blowfish_f(b, l);
        r ^= b->p[i + 1];
        l ^= blowfish_f(b, r);
    }
    *left = r ^ b->p[17];
    *right = l ^ b->p[16];
}

/* The next big-endian word of a byte string that repeats for ever. */
static uint32_t next_word(const uint8_t *data, size_t len, size_t *at)
{
    uint32_t w = 0;

    for (unsigned i = 0; i < 4; i++) {
        w = w << 8 | data[*at];
        *at = (*at + 1) % len;
    }
    return w;
}

/* The expensive key schedule: `key` into P, then everything replaced by
 * ciphertext of the running block, into which `salt` (or nothing) is mixed. */
static void blowfish_expand(struct blowfish *b, const uint8_t *salt, const uint8_t *key)
{
    uint32_t l = 0, r = 0;
    size_t key_at = 0, salt_at = 0;

    for (unsigned i = 0; i < P_WORDS; i++)
        b->p[i] ^= next_word(key, SHA512_DIGEST_LENGTH, &key_at);
    for (unsigned i = 0; i < PI_WORDS; i += 2) {
        uint32_t *at = i < P_WORDS ? &b->p[i] : &b->s[i - P_WORDS];

        if (salt != NULL) {
            l ^= next_word(salt, SHA512_DIGEST_LENGTH, &salt_at);
            r ^= next_word(salt, SHA512_DIGEST_LENGTH, &salt_at);
        }
        blowfish_encrypt(b, &l, &r);
        at[0] = l;
        at[1] = r;
    }
}

static void bcrypt_hash(struct blowfish *b, const uint8_t *pass, const uint8_t *salt, uint8_t out[HASH_BYTES])
{
    static const char magic[] = "OxychromaticBlowfishSwatDynamite";
    uint32_t words[HASH_WORDS];
    size_t at = 0;

    *b = *blowfish_start();
    blowfish_expand(b, salt, pass);
    for (unsigned i = 0; i < 64; i++) {
        blowfish_expand(b, NULL, salt);
        blowfish_expand(b, NULL, pass);
    }
    for (unsigned i = 0; i < HASH_WORDS; i++)
        words[i] = next_word((const uint8_t *)magic, sizeof magic - 1, &at);
    for (unsigned i = 0; i < 64; i++) {
        for (unsigned w = 0; w < HASH_WORDS; w += 2)
            blowfish_encrypt(b, &words[w], &words[w + 1]);
    }
    for (unsigned i = 0; i < HASH_WORDS; i++) { /* little-endian, unlike everything else here */
        for (unsigned k = 0; k < 4; k++)
            out[4 * i + k] = (uint8_t)(words[i] >> 8 * k);
    }
}

struct pbkdf {
    struct blowfish b;
    uint8_t pass[SHA512_DIGEST_LENGTH], salt[SHA512_DIGEST_LENGTH];
    uint8_t hash[HASH_BYTES], sum[HASH_BYTES];
    uint8_t salted[256 + 4];
};

/* One block of output: PBKDF2 with bcrypt_hash as its function. */
static void pbkdf_block(struct pbkdf *k, const void *salt, size_t salt_len, uint32_t number, uint32_t rounds)
{
    memcpy(k->salted, salt, salt_len);
    for (unsigned i = 0; i < 4; i++)
        k->salted[salt_len + i] = (uint8_t)(number >> (24 - 8 * i));
    (void)SHA512(k->salted, salt_len + 4, k->salt);
    bcrypt_hash(&k->b, k->pass, k->salt, k->hash);
    memcpy(k->sum, k->hash, sizeof k->sum);
    for (uint32_t i = 1; i < rounds; i++) {
        (void)SHA512(k->hash, sizeof k->hash, k->salt);
        bcrypt_hash(&k->b, k->pass, k->salt, k->hash);
        for (unsigned j = 0; j < HASH_BYTES; j++)
            k->sum[j] ^= k->hash[j];
    }
}

int ssh_bcrypt_pbkdf(const void *pass, size_t pass_len, const void *salt, size_t salt_len, uint32_t rounds,
                     uint8_t *out, size_t out_len, struct err *err)
{
    size_t blocks = (out_len + HASH_BYTES - 1) / HASH_BYTES;
    struct pbkdf *k;

    if (pass_len == 0 || salt_len == 0 || salt_len > 256 || rounds == 0 || out_len == 0 || out_len > 1024)
        return err_set(err, ERR_INVALID, "bcrypt: bad parameters");
    k = calloc(1, sizeof *k);
    if (k == NULL)
        return err_set(err, ERR_NOMEM, "bcrypt");
    (void)SHA512(pass, pass_len, k->pass);
    for (size_t n = 0; n < blocks; n++) {
        pbkdf_block(k, salt, salt_len, (uint32_t)n + 1, rounds);
        /* The blocks are interleaved, so that no part of the key is cheaper. */
        for (size_t i = 0; i < HASH_BYTES && i * blocks + n < out_len; i++)
            out[i * blocks + n] = k->sum[i];
    }
    OPENSSL_cleanse(k, sizeof *k);
    free(k);
    return 0;
}
