/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fuzz target is made of. Each is one file of tests/fuzz with the functions below; the same
 * file is linked with libFuzzer (preset "fuzz") and, in every other preset, with fuzz_main.c, which
 * replays seeds and corpus as an ordinary test.
 *
 * The comment at the head of a target has a line "Covers:" with the functions that it is for;
 * tests/fuzz/run fails when one of them was not reached.
 */
#ifndef SP_FUZZ_H
#define SP_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "fuzz_check.h"

/* Defined by the target. Once, before anything else. */
void fuzz_setup(void);
/* One input, of hostile bytes. Returns, or does not: every broken promise ends the process. */
void fuzz_one(const uint8_t *data, size_t len);
/* Calls fuzz_seed() with valid inputs, made by the encoders and from tests/data. */
void fuzz_seeds(void);

/* For fuzz_seeds(). */
void fuzz_seed(const void *data, size_t len);
/* Every file NAME.suffix of tests/data/directory as a seed; before it the bytes of head. */
void fuzz_seed_files(const char *directory, const char *suffix, const void *head, size_t head_len);
/* Taking decisions from the input: each takes from its front; zero when it is used up. */
struct fuzz_input {
	const uint8_t *next;
	size_t left;
};
uint8_t fuzz_u8(struct fuzz_input *in);
uint32_t fuzz_u16(struct fuzz_input *in);
/* Up to max bytes, as a view; *ret_len says how many. */
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t max, size_t *ret_len);

/*
 * For targets whose input is a row of records, each a head of some bytes with the length of its body
 * (big-endian, u16) at the end of the head: insert, drop, double, swap or change whole records. The
 * body of a custom mutator.
 */
size_t fuzz_mutate_records(uint8_t *data, size_t size, size_t max, unsigned seed, size_t head);
/* The same for SSH's strings (u32 length and bytes) one after another behind the first skip bytes. */
size_t fuzz_mutate_strings(uint8_t *data, size_t size, size_t max, unsigned seed, size_t skip);

/* libFuzzer's own names. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#endif
