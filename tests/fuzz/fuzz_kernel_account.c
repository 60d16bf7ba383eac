/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of a container: the texts, with a NUL between them, are judged against one
 * specification; an empty one stands for what is right, so that one of them can be wrong alone. Whatever they
 * are, that ends; and what is found right says what makes it right.
 *
 * Covers: kernel_account_judge kernel_account_judge_docker parse_mount unescape take_asked take_system is_complete
 * Floor: 35
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "kernel_account_fixture.h"

#define TEXTS 4

void
fuzz_setup(void)
{
}

/* The next text, always ended: the last one with what is left. */
static char *
take(const char **at, size_t *left)
{
	size_t n = strnlen(*at, *left);
	char *text = strndup(*at, n);

	FUZZ_CHECK(text != NULL);
	n += n < *left;
	*at += n;
	*left -= n;
	return text;
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct kernel_account a = good_account();
	const char **texts[TEXTS] = { &a.status, &a.limits, &a.uid_map, &a.mountinfo };
	const char *at = (const char *)data;
	char *text[TEXTS];
	char why[256] = "";

	for (size_t i = 0; i < TEXTS; i++) {
		text[i] = take(&at, &len);
		if (text[i][0] != '\0')
			*texts[i] = text[i];
	}
	if (kernel_account_judge(&a, &good, why, sizeof(why)) == 0) {
		FUZZ_CHECK(kernel_account_judge_docker(&a, &good, why, sizeof(why)) == 0);
		FUZZ_CHECK(
		    strstr(a.status, "CapEff:") != NULL && strstr(a.status, "Seccomp:") != NULL);
		FUZZ_CHECK(strstr(a.mountinfo, "/.sallyport") != NULL);
		FUZZ_CHECK(strstr(a.mountinfo, "/proc/sys") != NULL);
		FUZZ_CHECK(strstr(a.mountinfo, "size=10") != NULL);
	} else {
		FUZZ_CHECK(strnlen(why, sizeof(why)) > 0 && strnlen(why, sizeof(why)) < sizeof(why));
	}
	(void)!kernel_account_judge(&a, NULL, why, sizeof(why));
	(void)!kernel_account_judge_docker(&a, &good, why, sizeof(why));
	for (size_t i = 0; i < TEXTS; i++)
		free(text[i]);
}

/* The others are right, and empty: the longest text fits into what the fuzzer takes, all of them together do not. */
static void
seed(size_t which, const char *text, size_t n)
{
	char buf[4096] = { 0 };

	FUZZ_CHECK(which + n <= sizeof(buf));
	memcpy(buf + which, text, n);
	fuzz_seed(buf, which + n);
}

void
fuzz_seeds(void)
{
	static const char *const texts[TEXTS] = { good_status, good_limits, good_uid_map,
		good_mountinfo };

	for (size_t i = 0; i < TEXTS; i++)
		seed(i, texts[i], strlen(texts[i]));
	for (size_t i = 0; i < SP_ARRAY_LEN(account_differences); i++) {
		const struct account_difference *d = &account_differences[i];
		char *text = account_changed(texts[d->text], d->old, d->new);

		FUZZ_CHECK(text != NULL);
		seed(d->text, text, strlen(text));
		free(text);
	}
}
