/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cookies: what an agent puts into the FA interest data of a punt, so that the
 * returned packet says, provably, which precedence it had reached and where it
 * came in.  32 bytes: rank u64, made u64, interface u32, guarded u16, probe u16, SipHash u64
 * over these and the flow key.  Host byte order: only this agent reads it.
 *
 * Pure; must not know of tables or messages.
 */
#include <string.h>

#include "fad/engine_priv.h"
#include "lib/hash.h"

struct body {
	uint64_t rank, made_ms;
	uint32_t ifindex;
	uint16_t guarded, probe;
};
_Static_assert(sizeof(struct body) + sizeof(uint64_t) == COOKIE_LEN, "cookie layout");

static uint64_t seal(const uint64_t secret[2], const struct flow_key *key, const struct body *b)
{
	struct {
		struct body body;
		struct flow_key key;
	} sealed = {*b, *key};

	return hash_bytes(secret, &sealed, sizeof(sealed));
}

void cookie_make(const uint64_t secret[2], const struct flow_key *key, const struct cookie *c, uint8_t out[COOKIE_LEN])
{
	struct body b = {.rank = c->rank,
			 .made_ms = c->made_ms,
			 .ifindex = c->ifindex,
			 .guarded = c->guarded,
			 .probe = c->probe};
	uint64_t mac = seal(secret, key, &b);

	memcpy(out, &b, sizeof(b));
	memcpy(out + sizeof(b), &mac, sizeof(mac));
}

bool cookie_check(const uint64_t secret[2], const struct flow_key *key, const uint8_t *data, size_t len,
		  uint64_t now_ms, uint64_t life_ms, struct cookie *c)
{
	struct body b;
	uint64_t mac;

	if (len != COOKIE_LEN)
		return false;
	memcpy(&b, data, sizeof(b));
	memcpy(&mac, data + sizeof(b), sizeof(mac));
	if (mac != seal(secret, key, &b) || b.made_ms > now_ms || now_ms - b.made_ms > life_ms)
		return false;
	*c = (struct cookie){.rank = b.rank,
			     .ifindex = b.ifindex,
			     .guarded = b.guarded != 0,
			     .probe = b.probe != 0,
			     .made_ms = b.made_ms};
	return true;
}
