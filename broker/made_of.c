/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: which containers are alike. The policy's word, nobody else's. */
#include "made_of.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "config.h"
#include "container_plan.h"
#include "engine_json_write.h"
#include "hex.h"
#include "policy.h"

int
made_of_hash(const char *text, size_t len, char out[MADE_OF_LEN + 1])
{
	uint8_t hash[MADE_OF_LEN / 2];

	if (EVP_Digest(text, len, hash, NULL, EVP_sha256(), NULL) != 1) {
		ERR_clear_error();
		return -ENOMEM;
	}
	hex_format(hash, sizeof(hash), out);
	return 0;
}

/*
 * The very request, with names that are always the same. The release is part of it: the guest that runs
 * in there is this release's, and so are its messages.
 */
int
made_of(const struct broker *b, const struct policy_profile *profile, char out[MADE_OF_LEN + 1])
{
	static const struct container_names names = {
		.name = "",
		.instance = SP_VERSION,
		.proof = "",
		.connection = "",
		.user = "",
	};
	struct container_plan plan;
	char *body = NULL;
	int r;

	container_plan_whole(&plan, profile, &names, b->config->engine.view_guest_dir, "/");
	r = engine_json_create(&plan.spec, &body);
	if (r == 0)
		r = made_of_hash(body, strlen(body), out);
	free(body);
	return r;
}
