// SPDX-License-Identifier: Apache-2.0
/* Web tokens as requests carry them, and keys as operators write them (JWKS, PEM). */
#include "auth/jwt.h"
#include "fuzz.h"

static void read_token(struct fuzz_input part)
{
	char *text = fuzz_copy(part, false);
	struct jwt_token token;

	if (!jwt_token_parse(text, part.len, &token)) {
		const bool now = jwt_time_ok(&token, 1800000000, 30, false);
		const int64_t expires = jwt_expires(&token, 30);

		fuzz_need(token.input >= text && token.input_len <= part.len, "it signs what came");
		fuzz_need(!now || !expires || expires > 1800000000, "a token that holds has not expired");
		fuzz_need(!expires || !jwt_time_ok(&token, expires, 30, false), "it expires when it says");
		jwt_member(yyjson_doc_get_root(token.payload), "aud");
		if (token.alg <= JWT_HS512)
			jwt_signature_ok(token.alg, (const uint8_t *)"0123456789abcdef0123456789abcdef",
					 32, token.input, token.input_len, token.signature,
					 token.signature_len);
		jwt_token_clear(&token);
	}
	free(text);
}

static void read_keys(struct fuzz_input part)
{
	static struct jwt_key keys[JWT_KEYS_MAX];
	char *text = fuzz_copy(part, true), error[160];
	int count = jwt_keys_from_jwks(text, part.len, keys, error, sizeof(error));

	fuzz_need(count <= JWT_KEYS_MAX, "no more keys than there is room for");
	for (int i = 0; i < count; i++) {
		fuzz_need(keys[i].algorithms && keys[i].bytes && keys[i].len, "a usable key");
		jwt_key_clear(&keys[i]);
	}
	memset(keys, 0, sizeof(keys));
	if (!jwt_key_from_pem(text, part.len, keys, error, sizeof(error)))
		fuzz_need(keys->algorithms != 0, "a usable key");
	jwt_key_clear(keys);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };

	if (fuzz_byte(&input) & 1)
		read_keys(input);
	else
		read_token(input);
	return 0;
}
