// SPDX-License-Identifier: BSD-2-Clause
/*
 * ICMP errors made, by libnet, see packet_error.h.  Must not know of tables or of what decides.
 *
 * libnet is given no socket (LIBNET_NONE): it builds, and the bytes are taken
 * out of it.  It has no builder for these two messages; that of echo has the
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
#define FRAGMENT_NEEDED  4
#define ICMP6_TOO_BIG    2
#define LIBNET_NEW_BLOCK 0

static bool build4(libnet_t *l, const uint8_t *about, uint32_t len, uint16_t mtu, const struct addr *from)
{
	uint32_t source, destination;

	memcpy(&source, from->b, sizeof(source));
	memcpy(&destination, about + 12, sizeof(destination));
	return libnet_build_icmpv4_echo(UNREACHABLE, FRAGMENT_NEEDED, 0, 0, mtu, about, len, l, LIBNET_NEW_BLOCK) >=
		       0 &&
	       libnet_build_ipv4((uint16_t)(LIBNET_IPV4_H + ICMP_HEADER + len), TOS_CONTROL, 0, 0, HOP_LIMIT,
				 IPPROTO_ICMP, 0, source, destination, NULL, 0, l, LIBNET_NEW_BLOCK) >= 0;
}

static bool build6(libnet_t *l, const uint8_t *about, uint32_t len, uint16_t mtu, const struct addr *from)
{
	struct libnet_in6_addr source, destination;
	uint8_t copy[IPV6_MOST]; /* its parameter is not const */

	memcpy(copy, about, len);
	memcpy(&source, from->b, sizeof(source));
	memcpy(&destination, about + 8, sizeof(destination));
	return libnet_build_icmpv6_echo(ICMP6_TOO_BIG, 0, 0, 0, mtu, copy, len, l, LIBNET_NEW_BLOCK) >= 0 &&
	       libnet_build_ipv6(0, 0, (uint16_t)(ICMP_HEADER + len), IPPROTO_ICMPV6, HOP_LIMIT, source, destination,
				 NULL, 0, l, LIBNET_NEW_BLOCK) >= 0;
}

/* Room for what is embedded. */
static uint32_t most(bool v4)
{
	return v4 ? IPV4_MOST - LIBNET_IPV4_H - ICMP_HEADER : IPV6_MOST - LIBNET_IPV6_H - ICMP_HEADER;
}

size_t packet_error_too_big(const uint8_t *about, size_t len, uint32_t mtu, const struct addr *from,
			    uint8_t out[PACKET_ERROR_MAX])
{
	bool v4 = about[0] >> 4 == 4;
	uint32_t part = len < most(v4) ? (uint32_t)len : most(v4), least = v4 ? IPV4_LEAST_MTU : IPV6_LEAST_MTU, n = 0;
	uint16_t said = (uint16_t)(mtu < least ? least : mtu > UINT16_MAX ? UINT16_MAX : mtu);
	char error[LIBNET_ERRBUF_SIZE];
	libnet_t *l = libnet_init(LIBNET_NONE, NULL, error);
	uint8_t *bytes = NULL;

	if (!l)
		return 0;
	if ((v4 ? build4 : build6)(l, about, part, said, from) && libnet_pblock_coalesce(l, &bytes, &n) > 0 &&
	    n <= PACKET_ERROR_MAX)
		memcpy(out, bytes, n);
	else
		n = 0;
	free(bytes);
	libnet_destroy(l);
	return n;
}
