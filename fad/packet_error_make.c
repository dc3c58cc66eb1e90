// SPDX-License-Identifier: BSD-2-Clause
/*
 * ICMP errors made, by libnet, see packet_error.h.  Must not know of tables or of what decides.
 *
 * libnet is given no socket (LIBNET_NONE): it builds, and the bytes are taken
 * out of it.  It has no builder for all of these messages; that of echo has the
 * same header, with the MTU where echo has its sequence number.
 */
#include <libnet.h>
#include <stdlib.h>
#include <string.h>

#include "fad/packet_error.h"

#define IPV4_MOST      576 /* RFC 1812 */
#define IPV6_MOST      1280
#define ICMP_HEADER    8
#define IPV4_LEAST_MTU 68
#define IPV6_LEAST_MTU 1280
#define HOP_LIMIT      64
#define TOS_CONTROL    0xc0 /* internetwork control, as the kernel's own */

#define UNREACHABLE      3
#define NO_PORT          3
#define FRAGMENT_NEEDED  4
#define PROHIBITED       13
#define ICMP6_UNREACH    1
#define ICMP6_PROHIBITED 1
#define ICMP6_NO_PORT    4
#define ICMP6_TOO_BIG    2
#define LIBNET_NEW_BLOCK 0

/* What an error says. */
struct words {
	uint8_t type, code;
	uint16_t mtu;
};

static bool build4(libnet_t *l, const uint8_t *about, uint32_t len, const struct words *w, const struct addr *from)
{
	uint32_t source, destination;

	memcpy(&source, from->b, sizeof(source));
	memcpy(&destination, about + 12, sizeof(destination));
	return libnet_build_icmpv4_echo(w->type, w->code, 0, 0, w->mtu, about, len, l, LIBNET_NEW_BLOCK) >= 0 &&
	       libnet_build_ipv4((uint16_t)(LIBNET_IPV4_H + ICMP_HEADER + len), TOS_CONTROL, 0, 0, HOP_LIMIT,
				 IPPROTO_ICMP, 0, source, destination, NULL, 0, l, LIBNET_NEW_BLOCK) >= 0;
}

static bool build6(libnet_t *l, const uint8_t *about, uint32_t len, const struct words *w, const struct addr *from)
{
	struct libnet_in6_addr source, destination;
	uint8_t copy[IPV6_MOST]; /* its parameter is not const */

	memcpy(copy, about, len);
	memcpy(&source, from->b, sizeof(source));
	memcpy(&destination, about + 8, sizeof(destination));
	return libnet_build_icmpv6_echo(w->type, w->code, 0, 0, w->mtu, copy, len, l, LIBNET_NEW_BLOCK) >= 0 &&
	       libnet_build_ipv6(0, 0, (uint16_t)(ICMP_HEADER + len), IPPROTO_ICMPV6, HOP_LIMIT, source, destination,
				 NULL, 0, l, LIBNET_NEW_BLOCK) >= 0;
}

/* Room for what is embedded. */
static uint32_t most(bool v4)
{
	return v4 ? IPV4_MOST - LIBNET_IPV4_H - ICMP_HEADER : IPV6_MOST - LIBNET_IPV6_H - ICMP_HEADER;
}

static size_t make(const uint8_t *about, size_t len, const struct words *w, const struct addr *from,
		   uint8_t out[PACKET_ERROR_MAX])
{
	bool v4 = about[0] >> 4 == 4;
	uint32_t part = len < most(v4) ? (uint32_t)len : most(v4), n = 0;
	char error[LIBNET_ERRBUF_SIZE];
	libnet_t *l = libnet_init(LIBNET_NONE, NULL, error);
	uint8_t *bytes = NULL;

	if (!l)
		return 0;
	if ((v4 ? build4 : build6)(l, about, part, w, from) && libnet_pblock_coalesce(l, &bytes, &n) > 0 &&
	    n <= PACKET_ERROR_MAX)
		memcpy(out, bytes, n);
	else
		n = 0;
	free(bytes);
	libnet_destroy(l);
	return n;
}

size_t packet_error_too_big(const uint8_t *about, size_t len, uint32_t mtu, const struct addr *from,
			    uint8_t out[PACKET_ERROR_MAX])
{
	bool v4 = about[0] >> 4 == 4;
	uint32_t least = v4 ? IPV4_LEAST_MTU : IPV6_LEAST_MTU;
	const struct words w = {
		.type = v4 ? UNREACHABLE : ICMP6_TOO_BIG,
		.code = v4 ? FRAGMENT_NEEDED : 0,
		.mtu = (uint16_t)(mtu < least        ? least
				  : mtu > UINT16_MAX ? UINT16_MAX
						     : mtu),
	};

	return make(about, len, &w, from, out);
}

size_t packet_error_unreachable(const uint8_t *about, size_t len, bool prohibited, const struct addr *from,
				uint8_t out[PACKET_ERROR_MAX])
{
	const struct words v4 = {.type = UNREACHABLE, .code = prohibited ? PROHIBITED : NO_PORT};
	const struct words v6 = {.type = ICMP6_UNREACH, .code = prohibited ? ICMP6_PROHIBITED : ICMP6_NO_PORT};

	return make(about, len, about[0] >> 4 == 4 ? &v4 : &v6, from, out);
}
