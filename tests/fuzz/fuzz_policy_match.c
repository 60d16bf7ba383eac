/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is let in. The input is turned into a small policy that is always valid; what the matcher
 * decides for every user from every address is held against the plainest reading of "the first rule
 * that matches decides", and a deny that is added anywhere never lets anybody in, nor anybody into
 * something else.
 *
 * Covers: policy_decide is_listed in_a_group cidr_list_contains cidr_contains policy_find_user
 * Covers: policy_find_key find_key pick_decoy policy_may_get chance_of_rule chance_of chance_of_keys
 * Floor: 32
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "policy.h"

#define USERS  4
#define GROUPS 4
#define RULES  8
#define NETS   4
#define TEXT   16384

/* Each network, and an address that is in it; deeper ones lie in the shallower ones before them. */
static const struct {
	const char *net;
	const char *address;
	bool in[NETS]; /* whether address is in the network of that number */
} nets[NETS] = {
	{ "10.0.0.0/8", "10.200.0.1", { true, false, false, false } },
	{ "10.20.0.0/16", "10.20.30.40", { true, true, false, false } },
	{ "2001:db8::/32", "2001:db8::7", { false, false, true, false } },
	{ "::ffff:192.0.2.0/120", "192.0.2.9", { false, false, false, true } },
};

struct rule {
	uint8_t users, groups, nets; /* bit sets; 0: no such condition */
	bool deny;
	uint8_t profile;
};

struct model {
	uint8_t groups[USERS];
	struct rule rules[RULES + 1];
	size_t n_rules;
};

static char keys[USERS][128];
static uint8_t blobs[USERS][51];

void
fuzz_setup(void)
{
	for (size_t i = 0; i < USERS; i++) {
		static const uint8_t head[] = "\0\0\0\x0bssh-ed25519\0\0\0\x20";

		memcpy(blobs[i], head, 19);
		memset(blobs[i] + 19, (int)i + 1, 32);
		strcpy(keys[i], "ssh-ed25519 ");
		(void)EVP_EncodeBlock((unsigned char *)keys[i] + 12, blobs[i], sizeof(blobs[i]));
	}
}

static void
put(char *out, const char *text)
{
	FUZZ_CHECK(strlen(out) + strlen(text) < TEXT);
	strcat(out, text);
}

/* A list of the names whose bits are set. */
static void
put_set(char *out, const char *key, uint8_t set, char letter, bool *comma)
{
	char word[96];
	bool first = true;

	if (set == 0)
		return;
	(void)snprintf(word, sizeof(word), "%s\"%s\": [", *comma ? ", " : "", key);
	put(out, word);
	for (unsigned i = 0; i < 4; i++) {
		if ((set & 1U << i) == 0)
			continue;
		if (letter == '\0')
			(void)snprintf(word, sizeof(word), "%s\"%s\"", first ? "" : ", ",
			    nets[i].net);
		else
			(void)snprintf(word, sizeof(word), "%s\"%c%u\"", first ? "" : ", ", letter,
			    i);
		put(out, word);
		first = false;
	}
	put(out, "]");
	*comma = true;
}

static void
put_rule(char *out, const struct rule *r, size_t i)
{
	bool comma = false;
	char word[96];

	(void)snprintf(word, sizeof(word), "%s{ \"id\": \"r%zu\", \"if\": {", i > 0 ? ", " : "", i);
	put(out, word);
	put_set(out, "user", r->users, 'u', &comma);
	put_set(out, "group", r->groups, 'g', &comma);
	put_set(out, "from", r->nets, '\0', &comma);
	if (r->deny)
		put(out, "}, \"deny\": \"no\" }");
	else
		put(out, r->profile != 0 ? "}, \"use\": \"p1\" }" : "}, \"use\": \"p0\" }");
}

static struct policy *
load(const struct model *m)
{
	static char text[TEXT];
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	char word[256];
	int r;

	strcpy(text, "{ \"sallyport_policy\": 1, \"users\": {");
	for (unsigned i = 0; i < USERS; i++) {
		bool comma = true;

		(void)snprintf(word, sizeof(word), "%s\"u%u\": { \"keys\": [\"%s\"]",
		    i > 0 ? ", " : "", i, keys[i]);
		put(text, word);
		put_set(text, "groups", m->groups[i], 'g', &comma);
		put(text, "}");
	}
	put(text,
	    "}, \"profiles\": {"
	    "\"p0\": { \"container\": { \"image\": \"x\", \"user\": \"1\" } },"
	    "\"p1\": { \"container\": { \"image\": \"y\", \"user\": \"2\" } } }, \"rules\": [");
	for (size_t i = 0; i < m->n_rules; i++)
		put_rule(text, &m->rules[i], i);
	put(text, "] }");
	r = policy_parse("fuzz", text, strlen(text), &p, &diags);
	if (r != 0)
		diag_print(&diags, stderr);
	FUZZ_CHECK(r == 0);
	diag_list_clear(&diags);
	return p;
}

static struct sockaddr_storage
address_of(size_t net)
{
	struct sockaddr_storage s = { .ss_family = AF_INET };
	struct sockaddr_in *in4 = (struct sockaddr_in *)&s;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&s;

	if (inet_pton(AF_INET, nets[net].address, &in4->sin_addr) != 1) {
		s.ss_family = AF_INET6;
		FUZZ_CHECK(inet_pton(AF_INET6, nets[net].address, &in6->sin6_addr) == 1);
	}
	return s;
}

static bool
from_one_of(const struct rule *r, size_t net)
{
	for (size_t i = 0; i < NETS; i++) {
		if ((r->nets & 1U << i) != 0 && nets[net].in[i])
			return true;
	}
	return false;
}

/* The rule that decides, or -1. */
static int
reference(const struct model *m, unsigned user, size_t net)
{
	for (size_t i = 0; i < m->n_rules; i++) {
		const struct rule *r = &m->rules[i];

		if ((r->users == 0 || (r->users & 1U << user) != 0) &&
		    (r->groups == 0 || (r->groups & m->groups[user]) != 0) &&
		    (r->nets == 0 || from_one_of(r, net)))
			return (int)i;
	}
	return -1;
}

static void
check_decision(const struct model *m, const struct policy *p, unsigned user, size_t net)
{
	struct sockaddr_storage source = address_of(net);
	char name[8] = { 'u', (char)('0' + user) };
	struct policy_login login = { .user = name, .source = &source };
	struct policy_decision d;
	int r = policy_decide(p, &login, &d);
	int rule = reference(m, user, net);
	char id[24];

	FUZZ_CHECK((r == 0) == (rule >= 0 && !m->rules[rule].deny));
	FUZZ_CHECK((r == 0) == (d.profile != NULL));
	FUZZ_CHECK((rule >= 0) == (d.rule != NULL));
	if (rule >= 0) {
		(void)snprintf(id, sizeof(id), "r%d", rule);
		FUZZ_CHECK(strcmp(d.rule, id) == 0);
	}
	if (r == 0)
		FUZZ_CHECK(strcmp(d.profile->name, m->rules[rule].profile != 0 ? "p1" : "p0") == 0);
}

static bool
is_rule(void *arg, const struct policy_decision *d)
{
	return strcmp(d->rule, arg) == 0;
}

/* Of a login from nobody knows where: each rule that lets the user in is found, up to one that always decides. */
static void
check_chances(const struct model *m, const struct policy *p, unsigned user)
{
	char name[8] = { 'u', (char)('0' + user) };
	bool over = false;
	char id[24];

	for (size_t i = 0; i < m->n_rules; i++) {
		const struct rule *r = &m->rules[i];
		bool fits = (r->users == 0 || (r->users & 1U << user) != 0) &&
		    (r->groups == 0 || (r->groups & m->groups[user]) != 0);

		(void)snprintf(id, sizeof(id), "r%zu", i);
		FUZZ_CHECK(
		    policy_may_get(p, name, NULL, 0, is_rule, id) == (!over && fits && !r->deny));
		FUZZ_CHECK(!policy_may_get(p, name, "web", 0, is_rule, id));
		over = over || (fits && r->nets == 0);
	}
	(void)snprintf(id, sizeof(id), "r0");
	FUZZ_CHECK(!policy_may_get(p, "nobody", NULL, 0, is_rule, id));
}

/* What the deny took away may be missing; nothing else has changed. */
static void
check_narrowed(const struct policy *before, const struct policy *after, unsigned user, size_t net)
{
	struct sockaddr_storage source = address_of(net);
	char name[8] = { 'u', (char)('0' + user) };
	struct policy_login login = { .user = name, .source = &source };
	struct policy_decision old;
	struct policy_decision new;

	if (policy_decide(after, &login, &new) != 0)
		return;
	FUZZ_CHECK(policy_decide(before, &login, &old) == 0);
	FUZZ_CHECK(strcmp(old.profile->name, new.profile->name) == 0);
}

static void
check_keys(const struct policy *p)
{
	const char *fingerprint = NULL;
	bool verify = false;

	for (unsigned user = 0; user <= USERS; user++) {
		char name[8] = { 'u', (char)('0' + user) };

		for (unsigned key = 0; key < USERS; key++)
			FUZZ_CHECK(policy_find_key(p, name, 2, blobs[key], sizeof(blobs[key]),
				       &fingerprint, &verify) == (user == key));
	}
}

static struct rule
take_rule(struct fuzz_input *in)
{
	uint8_t a = fuzz_u8(in);
	uint8_t b = fuzz_u8(in);

	return (struct rule){ .users = a & 15,
		.groups = a >> 4,
		.nets = b & 15,
		.deny = (b & 16) != 0,
		.profile = (b & 32) != 0 };
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	SP_CLEANUP(policy_unrefp) struct policy *before = NULL;
	SP_CLEANUP(policy_unrefp) struct policy *after = NULL;
	struct fuzz_input in = { data, len };
	struct model m = { .n_rules = 0 };
	struct rule deny;
	size_t at;

	for (size_t i = 0; i < USERS; i++)
		m.groups[i] = fuzz_u8(&in) & 15;
	deny = take_rule(&in);
	deny.deny = true;
	at = fuzz_u8(&in);
	m.n_rules = 1 + fuzz_u8(&in) % RULES;
	for (size_t i = 0; i < m.n_rules; i++)
		m.rules[i] = take_rule(&in);
	before = load(&m);
	check_keys(before);
	for (unsigned user = 0; user < USERS; user++) {
		check_chances(&m, before, user);
		for (size_t net = 0; net < NETS; net++)
			check_decision(&m, before, user, net);
	}
	at %= m.n_rules + 1;
	memmove(&m.rules[at + 1], &m.rules[at], (m.n_rules - at) * sizeof(m.rules[0]));
	m.rules[at] = deny;
	m.n_rules++;
	after = load(&m);
	for (unsigned user = 0; user < USERS; user++) {
		check_chances(&m, after, user);
		for (size_t net = 0; net < NETS; net++) {
			check_decision(&m, after, user, net);
			check_narrowed(before, after, user, net);
		}
	}
}

void
fuzz_seeds(void)
{
	static const uint8_t seeds[][24] = {
		{ 1, 2, 4, 8, /* groups */ 1, 0, 0, /* deny u0 first */ 3, 0x10, 0x20, 0x01, 0x01,
		    0, 0, 0x0f, 0x10 },
		{ 3, 3, 0, 0, 0x30, 4, 2, 2, 0x10, 0x02, 0x02, 0x24, 0xff, 0x0f },
		{ 15, 0, 0, 1, 0, 0, 1, 7, 0, 0x20, 1, 1, 2, 2, 4, 4, 8, 8, 16, 0x18, 32, 0x31, 0, 0 },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(seeds); i++)
		fuzz_seed(seeds[i], sizeof(seeds[i]));
}
