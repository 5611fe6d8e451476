/* Seeded random numbers (xoshiro256**, seeded by splitmix64): the same seed
 * gives the same numbers everywhere. Integers only. */
#ifndef PATCHWAVE_PRNG_H
#define PATCHWAVE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Even over 0 .. n-1; n must be > 0. */
uint64_t prng_below(struct prng *p, uint64_t n);
/* Even over lo .. hi, both included. */
int64_t prng_between(struct prng *p, int64_t lo, int64_t hi);
/* True with `permille` in a thousand. */
bool prng_permille(struct prng *p, uint32_t permille);

#endif
