/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch: the table in the code is the table in PROTOCOL.md, and every pair that is not in it ends
 * the connection. */
#include <stdio.h>
#include <string.h>

#include "dispatch.h"
#include "ipc.h"
#include "ipc_msg.h"
#include "peer.h"
#include "test.h"

static const struct {
	const char *name;
	enum peer_state state;
} states[] = {
	{ "STARTING", PEER_STARTING },
	{ "IDLE", PEER_IDLE },
	{ "EXCHANGE", PEER_EXCHANGE },
	{ "LOGIN", PEER_LOGIN },
	{ "LOGGED_IN", PEER_LOGGED_IN },
	{ "ENDED", PEER_ENDED },
};

static unsigned
parse_states(char *text)
{
	unsigned set = 0;

	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
		bool known = false;

		for (size_t i = 0; i < SP_ARRAY_LEN(states); i++) {
			if (strcmp(states[i].name, word) == 0) {
				set |= states[i].state;
				known = true;
			}
		}
		assert_true(known);
	}
	return set;
}

/* Rows "| NAME | id | STATES | yes/no |" between the heading and the next one. */
static void
test_table_is_documented(void **state)
{
	FILE *f = fopen(SP_PROTOCOL_MD, "re");
	unsigned documented[256] = { 0 };
	unsigned rows = 0;
	char line[512];
	bool here = false;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		char name[64];
		char list[128];
		char once[16];
		unsigned id;

		if (strncmp(line, "## ", 3) == 0)
			here = strcmp(line, "## Worker to broker\n") == 0;
		if (!here ||
		    sscanf(line, "| %63[A-Z_] | %u | %127[A-Z_ ]| %15[a-z]", name, &id, list,
			once) != 4)
			continue;
		assert_true(id < 256);
		documented[id] = parse_states(list);
		assert_int_equal(documented[id], dispatch_states(id));
		assert_int_equal(strcmp(once, "yes") == 0, dispatch_once(id));
		rows++;
	}
	fclose(f);
	assert_true(rows >= 6);
	for (uint32_t id = 0; id < 256; id++)
		assert_int_equal(documented[id], dispatch_states(id));
}

static void
test_every_pair(void **state)
{
	(void)state;
	for (size_t s = 0; s < SP_ARRAY_LEN(states); s++) {
		for (unsigned id = 0; id < 256; id++) {
			struct peer p = { .state = states[s].state };
			uint8_t record[1] = { (uint8_t)id };
			const char *fault = NULL;
			bool allowed = (dispatch_states(id) & (unsigned)states[s].state) != 0;

			/* An empty body is malformed for every message: nobody is served here. */
			assert_int_equal(dispatch(&p, record, sizeof(record), &fault),
			    ANSWER_E_PEER_FAULT);
			if (allowed)
				assert_string_equal(fault, "malformed message");
			else
				assert_string_not_equal(fault, "malformed message");
			assert_int_equal(p.used != 0, allowed);
		}
	}
}

static void
test_once_is_once(void **state)
{
	struct peer p = { .state = PEER_STARTING };
	uint8_t record[1] = { IPC_READY };
	const char *fault = NULL;

	(void)state;
	assert_int_equal(dispatch(&p, record, 1, &fault), ANSWER_E_PEER_FAULT);
	assert_int_equal(dispatch(&p, record, 1, &fault), ANSWER_E_PEER_FAULT);
	assert_string_equal(fault, "once-only message repeated");
}

static void
test_empty_record(void **state)
{
	struct peer p = { .state = PEER_LOGGED_IN };
	const char *fault = NULL;

	(void)state;
	assert_int_equal(dispatch(&p, (const uint8_t *)"", 0, &fault), ANSWER_E_PEER_FAULT);
}

static void
test_signatures_have_a_budget(void **state)
{
	struct peer p = { .state = PEER_LOGGED_IN, .signatures = IPC_SIGN_MAX };
	struct ipc_req_sign m = { .algorithm = "ssh-ed25519",
		.transcript = { (const uint8_t *)"x", 1 } };
	uint8_t record[128];
	const char *fault = NULL;
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, record, sizeof(record));
	ipc_put_req_sign(&w, &m);
	assert_false(w.failed);
	assert_int_equal(dispatch(&p, record, w.len, &fault), ANSWER_E_PEER_FAULT);
	assert_string_equal(fault, "too many key exchanges");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_documented),
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_once_is_once),
		cmocka_unit_test(test_empty_record),
		cmocka_unit_test(test_signatures_have_a_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
