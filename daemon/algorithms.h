/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: the algorithms that libcrypto has here. Its provider offers some 400, and an object is made of each one of a kind
 * when the first of that kind is used: half of what a worker allocates for itself, and a good part of its start. So this
 * process has a provider of its own, which hands out libcrypto's own implementations, of what SSH as we speak it needs and
 * of nothing else: what is not there is no stranger's to reach either.
 */
#ifndef SP_ALGORITHMS_H
#define SP_ALGORITHMS_H

#include <stdbool.h>
#include <stddef.h>

/* Start libcrypto, before anything else uses it. Once in a process. false: why[cap] says what it did not do. */
bool algorithms_start(char *why, size_t cap);

#endif
