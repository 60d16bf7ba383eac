/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small grammars: networks, sizes, durations, names, UTF-8, the log's escaping. What is taken has
 * one form: written and read again it is the same.
 *
 * Covers: cidr_parse cidr_format cidr_contains units_parse_size units_parse_duration
 * Covers: units_format_size units_format_duration names_login_valid names_label_fault
 * Covers: names_variable_fault names_path_fault names_path_within names_image_fault
 * Covers: utf8_decode utf8_encode utf8_printable log_escape
 * Floor: 52
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "cidr.h"
#include "fuzz.h"
#include "log.h"
#include "names.h"
#include "units.h"
#include "utf8.h"

void
fuzz_setup(void)
{
}

static void
set_address(const struct cidr *c, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ss_family = (sa_family_t)c->family;
	if (c->family == AF_INET)
		memcpy(&((struct sockaddr_in *)ret)->sin_addr, c->address, 4);
	else
		memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, c->address, 16);
}

static void
check_cidr(const char *text)
{
	struct cidr c = { 0 };
	struct cidr again = { 0 };
	char formatted[CIDR_TEXT_MAX];
	struct sockaddr_storage address;
	int r = cidr_parse(text, &c);

	FUZZ_CHECK(r == 0 || r == CIDR_E_SYNTAX || r == CIDR_E_HOST_BITS);
	if (r == CIDR_E_SYNTAX)
		return;
	FUZZ_CHECK(c.family == AF_INET ? c.bits <= 32 : c.family == AF_INET6 && c.bits <= 128);
	FUZZ_CHECK(cidr_parse(cidr_format(&c, formatted), &again) == 0);
	FUZZ_CHECK(again.family == c.family && again.bits == c.bits);
	FUZZ_CHECK(memcmp(again.address, c.address, c.family == AF_INET ? 4 : 16) == 0);
	set_address(&c, &address);
	FUZZ_CHECK(cidr_contains(&c, &address));
	if (c.bits == 0)
		return;
	/* The last bit of the prefix turned over: another network. */
	c.address[(c.bits - 1) / 8] ^= (uint8_t)(0x80 >> (c.bits - 1) % 8);
	FUZZ_CHECK(!cidr_contains(&c, &address));
}

static void
check_units(const char *text)
{
	char formatted[UNITS_TEXT_MAX];
	uint64_t value = 0;
	uint64_t again = 0;

	if (units_parse_size(text, &value) == 0)
		FUZZ_CHECK(units_parse_size(units_format_size(value, formatted), &again) == 0 &&
		    again == value);
	if (units_parse_duration(text, &value) == 0)
		FUZZ_CHECK(units_parse_duration(units_format_duration(value, formatted), &again) == 0 &&
		    again == value);
}

static bool
only(const char *text, size_t len, const char *allowed)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\0' || strchr(allowed, text[i]) == NULL)
			return false;
	}
	return true;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

static void
check_names(const char *text, size_t len)
{
	if (names_login_valid(text, len))
		FUZZ_CHECK(len >= 1 && len <= 64 && only(text, len, LOWER DIGIT "_.-") &&
		    only(text, 1, LOWER "_"));
	len = strlen(text);
	if (names_label_fault(text) == NULL)
		FUZZ_CHECK(len >= 1 && len <= 64 && only(text, len, LOWER UPPER DIGIT "_.-"));
	if (names_variable_fault(text, false) == NULL)
		FUZZ_CHECK(len >= 1 && len <= 128 && only(text, len, LOWER UPPER DIGIT "_") &&
		    !only(text, 1, DIGIT) && names_variable_fault(text, true) == NULL);
	if (names_image_fault(text) == NULL)
		FUZZ_CHECK(len <= NAMES_IMAGE_MAX && only(text, len, LOWER UPPER DIGIT "./_:@+-"));
	if (names_path_fault(text) == NULL) {
		FUZZ_CHECK(text[0] == '/' && len <= NAMES_PATH_MAX && strstr(text, "//") == NULL);
		FUZZ_CHECK(strstr(text, "/./") == NULL && strstr(text, "/../") == NULL);
		FUZZ_CHECK(len == 1 || text[len - 1] != '/');
		FUZZ_CHECK(names_path_within(text, text) && names_path_within(text, "/"));
	}
}

static void
check_utf8(const char *text, size_t len)
{
	uint32_t c = 0;
	char bytes[4];

	for (size_t at = 0; at < len;) {
		size_t n = utf8_decode(text + at, len - at, &c);

		if (n == 0) {
			at++;
			continue;
		}
		FUZZ_CHECK(n <= len - at && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
		FUZZ_CHECK(utf8_encode(c, bytes) == n && memcmp(bytes, text + at, n) == 0);
		FUZZ_CHECK(!utf8_printable(c) || c >= 0x20);
		at += n;
	}
}

static void
check_escape(const char *text, size_t len)
{
	char out[100];

	(void)log_escape(out, sizeof(out), text, len);
	for (const char *p = out; *p != '\0'; p++)
		FUZZ_CHECK(*p >= 0x20 && *p < 0x7f);
	FUZZ_CHECK(strlen(out) < sizeof(out));
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, len);
	text[len] = '\0';
	check_cidr(text);
	check_units(text);
	check_names(text, len);
	check_utf8(text, len);
	check_escape(text, len);
	free(text);
}

#define IMAGE                                   \
	"registry.example:5000/a/b:1.2@sha256:" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

void
fuzz_seeds(void)
{
	static const char image[] = IMAGE;
	static const char *const seeds[] = { image, "10.0.0.0/8", "192.0.2.1", "2001:db8::/32",
		"::ffff:192.0.2.0/120", "fe80::1", "10.0.0.1/8", "256M", "18446744073709551615",
		"1T", "500ms", "10s", "20m", "8h", "3d", "0", "alice", "_a.b-c", "LC_ALL", "APP_?*",
		"/home/dev", "/a/../b", "/", "debian:12",
		"\xc3\x84nderung \xe2\x82\xac \xf0\x9f\x90\xa7 \xe2\x80\xae \xff\x1b[31m\\" };

	for (size_t i = 0; i < SP_ARRAY_LEN(seeds); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
}
