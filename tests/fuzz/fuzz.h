/* libFuzzer's entries: the target's, and of a target with a mutator of its own. */
#ifndef PATCHWAVE_TESTS_FUZZ_H
#define PATCHWAVE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own mutations */

/* mutate_json.c: nothing that this input did is remembered, so that no search goes on from it. For what is another
 * fuzzer's affair, as texts that are no JSON are fuzz_json's. */
void fuzz_pass_over(void);

#endif
