/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What agents keep for the manager; see memo.h.  Must not know what is decided.
 */
#include "smd/memo.h"

#include <string.h>

#define VERSION   1
#define HEAD_LEN  8
#define NAT_LEN   12
#define PORTS_LEN 4

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Is it about a balanced flow? */
static bool has_flow(uint8_t kind)
{
	return kind == MEMO_NAT || kind == MEMO_DISPATCH || kind == MEMO_MASQUERADE;
}

size_t memo_write(const struct memo *memo, uint8_t out[MEMO_MAX])
{
	size_t n = addr_len(memo->vip.family);

	memset(out, 0, MEMO_MAX);
	out[0] = VERSION;
	out[1] = memo->kind;
	put16(out + 4, (uint16_t)(memo->precedence >> 16));
	put16(out + 6, (uint16_t)memo->precedence);
	if (!has_flow(memo->kind))
		return HEAD_LEN;
	out[2] = memo->vip.family;
	put16(out + 8, memo->vip_port);
	put16(out + 10, memo->server_port);
	memcpy(out + NAT_LEN, memo->vip.b, n);
	memcpy(out + NAT_LEN + n, memo->server.b, n);
	if (memo->kind != MEMO_MASQUERADE)
		return NAT_LEN + 2 * n;
	memcpy(out + NAT_LEN + 2 * n, memo->client.b, n);
	put16(out + NAT_LEN + 3 * n, memo->client_port);
	put16(out + NAT_LEN + 3 * n + 2, memo->port);
	return NAT_LEN + 3 * n + PORTS_LEN;
}

static bool read_flow(const uint8_t *data, size_t len, struct memo *memo)
{
	size_t n = addr_len(data[2]);
	bool masqueraded = data[1] == MEMO_MASQUERADE;

	if (!n || len != NAT_LEN + (masqueraded ? 3 * n + PORTS_LEN : 2 * n))
		return false;
	if (masqueraded) {
		memo->client = addr_make(data[2], data + NAT_LEN + 2 * n);
		memo->client_port = get16(data + NAT_LEN + 3 * n);
		memo->port = get16(data + NAT_LEN + 3 * n + 2);
	}
	memo->vip_port = get16(data + 8);
	memo->server_port = get16(data + 10);
	memo->vip = addr_make(data[2], data + NAT_LEN);
	memo->server = addr_make(data[2], data + NAT_LEN + n);
	return true;
}

bool memo_read(const uint8_t *data, size_t len, struct memo *memo)
{
	bool ok;

	memset(memo, 0, sizeof(*memo));
	if (len < HEAD_LEN || data[0] != VERSION || data[1] == MEMO_NONE || data[1] >= MEMO_KINDS || data[3])
		return false;
	ok = has_flow(data[1]) ? read_flow(data, len, memo) : len == HEAD_LEN && !data[2];
	if (!ok) {
		memset(memo, 0, sizeof(*memo));
		return false;
	}
	memo->kind = data[1];
	memo->precedence = (uint32_t)get16(data + 4) << 16 | get16(data + 6);
	return true;
}
