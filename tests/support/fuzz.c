/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share, whatever main() they are linked with. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *seed_directory; /* NULL: seeds are run, not written */
static unsigned n_seeds;

void
fuzz_seed(const void *data, size_t len)
{
	char path[1024];
	FILE *f;

	n_seeds++;
	if (seed_directory == NULL) {
		(void)LLVMFuzzerTestOneInput(data, len);
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/seed-%03u", seed_directory, n_seeds);
	f = fopen(path, "we");
	if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		fuzz_unable(path);
}

void
fuzz_seed_files(const char *directory, const char *suffix, const void *head, size_t head_len)
{
	char path[1024];
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", SP_TEST_DATA, directory);
	d = opendir(path);
	if (d == NULL)
		fuzz_unable(path);
	while ((e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);
		size_t len;
		char *text;
		char *whole;

		if (e->d_name[0] == '.' || n < strlen(suffix) ||
		    strcmp(e->d_name + n - strlen(suffix), suffix) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		text = fuzz_read_data(path, &len);
		whole = malloc(head_len + len);
		if (whole == NULL)
			fuzz_unable("seeds");
		if (head_len > 0)
			memcpy(whole, head, head_len);
		memcpy(whole + head_len, text, len);
		fuzz_seed(whole, head_len + len);
		free(whole);
		free(text);
	}
	(void)closedir(d);
}

uint8_t
fuzz_u8(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->next++;
}

uint32_t
fuzz_u16(struct fuzz_input *in)
{
	uint32_t high = fuzz_u8(in);

	return high << 8 | fuzz_u8(in);
}

const uint8_t *
fuzz_bytes(struct fuzz_input *in, size_t max, size_t *ret_len)
{
	const uint8_t *at = in->next;

	*ret_len = max < in->left ? max : in->left;
	in->next += *ret_len;
	in->left -= *ret_len;
	return at;
}

/* ---- structure-aware mutation ---- */

#define PIECES_MAX 256

struct piece {
	size_t at;   /* of its head */
	size_t head; /* bytes before the body, its length field last */
	size_t len;  /* of the body */
};

static size_t
read_length(const uint8_t *at, size_t width)
{
	size_t n = 0;

	for (size_t i = 0; i < width; i++)
		n = n << 8 | at[i];
	return n;
}

static void
write_length(uint8_t *at, size_t width, size_t n)
{
	for (size_t i = width; i-- > 0; n >>= 8)
		at[i] = (uint8_t)n;
}

/* Take data apart; whatever fits no more is not a piece. */
static size_t
split(const uint8_t *data, size_t size, size_t skip, size_t head, size_t width, struct piece *out)
{
	size_t n = 0;
	size_t at = skip;

	while (n < PIECES_MAX && at + head <= size) {
		size_t len = read_length(data + at + head - width, width);

		if (len > size - at - head)
			len = size - at - head;
		out[n++] = (struct piece){ at, head, len };
		at += head + len;
	}
	return n;
}

/* Replace data[at, at + old) by text[len); the new size, or size as it was when it does not fit. */
static size_t
replace_bytes(uint8_t *data, size_t size, size_t max, size_t at, size_t old, const uint8_t *text,
    size_t len)
{
	if (size - old + len > max)
		return size;
	memmove(data + at + len, data + at + old, size - at - old);
	memcpy(data + at, text, len);
	return size - old + len;
}

static size_t
mutate_body(uint8_t *data, size_t size, size_t max, const struct piece *p, size_t width)
{
	static uint8_t buf[1 << 16];
	size_t len = p->len < sizeof(buf) ? p->len : sizeof(buf);
	size_t grown;

	memcpy(buf, data + p->at + p->head, len);
	grown = LLVMFuzzerMutate(buf, len, len + 64 < sizeof(buf) ? len + 64 : sizeof(buf));
	if (size - p->len + grown > max)
		return size;
	write_length(data + p->at + p->head - width, width, grown);
	return replace_bytes(data, size, max, p->at + p->head, p->len, buf, grown);
}

static size_t
mutate_pieces(uint8_t *data, size_t size, size_t max, unsigned seed, size_t skip, size_t head,
    size_t width)
{
	static uint8_t copy[1 << 16];
	struct piece pieces[PIECES_MAX];
	size_t n = split(data, size, skip, head, width, pieces);
	const struct piece *p;
	const struct piece *q;
	size_t whole;

	if (n == 0 || seed % 8 == 0)
		return LLVMFuzzerMutate(data, size, max);
	p = &pieces[(seed >> 3) % n];
	q = &pieces[(seed >> 11) % n];
	whole = p->head + p->len;
	if (whole > sizeof(copy))
		return LLVMFuzzerMutate(data, size, max);
	memcpy(copy, data + p->at, whole);
	switch (seed % 8) {
	case 1: /* drop */
		return replace_bytes(data, size, max, p->at, whole, copy, 0);
	case 2: /* double, somewhere */
		return replace_bytes(data, size, max, q->at, 0, copy, whole);
	case 3: /* move one over another */
		return replace_bytes(data, size, max, q->at, q->head + q->len, copy, whole);
	case 4: /* cut off what follows */
		return p->at + whole;
	case 5: /* the head only: what kind of record this is */
		(void)LLVMFuzzerMutate(copy, p->head, p->head);
		memcpy(data + p->at, copy, p->head - width);
		return size;
	default:
		return mutate_body(data, size, max, p, width);
	}
}

size_t
fuzz_mutate_records(uint8_t *data, size_t size, size_t max, unsigned seed, size_t head)
{
	return mutate_pieces(data, size, max, seed, 0, head, 2);
}

size_t
fuzz_mutate_strings(uint8_t *data, size_t size, size_t max, unsigned seed, size_t skip)
{
	return mutate_pieces(data, size, max, seed, skip, 4, 4);
}

/* ---- libFuzzer's entry points ---- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of exactly that size, so that one byte too far is seen, and no null pointer. */
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		fuzz_unable("input");
	if (size > 0)
		memcpy(copy, data, size);
	fuzz_one(copy, size);
	free(copy);
	return 0;
}

/* "--seeds DIRECTORY" writes the seeds and nothing else. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_setup();
	if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
		seed_directory = (*argv)[2];
		fuzz_seeds();
		exit(0);
	}
	return 0;
}
