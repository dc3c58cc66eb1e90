/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at a punted packet's TCP flags; see peek.h.  Must not know what is
 * done with the answer.
 */
#include "smd/peek.h"

#include <netinet/in.h>
#include <stdbool.h>

#define IPV6_HEADER   40
#define TCP_FLAGS_AT  13
#define TCP_SYN       0x02
#define TCP_ACK       0x10
#define FRAGMENT_LEN  8
#define MAX_EXTENSION 8 /* headers; more are nobody's honest packet */

/* Offset of this protocol's header, or len if there is none to be read. */
static size_t find4(const uint8_t *p, size_t len, uint8_t proto)
{
	size_t ihl = len >= 20 ? (p[0] & 15u) * 4u : 0;
	unsigned fragment = len >= 20 ? (p[6] & 0x1fu) << 8 | p[7] : 0;

	return ihl >= 20 && !fragment && p[9] == proto ? ihl : len;
}

static size_t find6(const uint8_t *p, size_t len, uint8_t proto)
{
	size_t at = IPV6_HEADER;
	uint8_t next = len >= IPV6_HEADER ? p[6] : IPPROTO_NONE;

	for (int i = 0; i < MAX_EXTENSION && next != proto; i++) {
		const uint8_t *h = p + at;

		if (at + FRAGMENT_LEN > len)
			return len;
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			at += (h[1] + 1u) * 8u;
			break;
		case IPPROTO_AH: /* what follows is in the clear, and the agent reads it, too */
			at += (h[1] + 2u) * 4u;
			break;
		case IPPROTO_FRAGMENT:
			if (h[2] || h[3] & 0xf8) /* not the first one */
				return len;
			at += FRAGMENT_LEN;
			break;
		default:
			return len;
		}
		next = h[0];
	}
	return next == proto && at < len ? at : len;
}

/* Of an ICMP error that travels with a flow the key is that flow's, not its own (KEY-4). */
static bool is_error(const uint8_t *packet, size_t len, uint8_t proto)
{
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6 || !len)
		return false;
	if (packet[0] >> 4 == 4)
		return find4(packet, len, IPPROTO_ICMP) < len;
	return packet[0] >> 4 == 6 && find6(packet, len, IPPROTO_ICMPV6) < len;
}

static bool is_later_fragment(const uint8_t *packet, size_t len)
{
	size_t at;

	if (!len || packet[0] >> 4 == 4)
		return len >= 20 && (packet[6] & 0x1f || packet[7]);
	if (packet[0] >> 4 != 6)
		return false;
	at = find6(packet, len, IPPROTO_FRAGMENT);
	return at + FRAGMENT_LEN <= len && (packet[at + 2] || packet[at + 3] & 0xf8);
}

uint8_t peek_flags(const uint8_t *packet, size_t len, uint8_t proto)
{
	size_t at = len;

	if (proto != IPPROTO_TCP)
		return 0;
	if (len && packet[0] >> 4 == 4)
		at = find4(packet, len, IPPROTO_TCP);
	else if (len && packet[0] >> 4 == 6)
		at = find6(packet, len, IPPROTO_TCP);
	return at + TCP_FLAGS_AT < len ? packet[at + TCP_FLAGS_AT] : 0;
}

enum peek_sort peek_packet(const uint8_t *packet, size_t len, uint8_t proto)
{
	uint8_t flags = peek_flags(packet, len, proto);

	if (is_error(packet, len, proto))
		return PEEK_ERROR;
	if (is_later_fragment(packet, len))
		return PEEK_FRAGMENT;
	if (proto != IPPROTO_TCP)
		return PEEK_DATAGRAM;
	if (flags & PEEK_RST_FLAG)
		return PEEK_RST;
	if (flags & TCP_SYN)
		return flags & TCP_ACK ? PEEK_SYN_ACK : PEEK_SYN;
	return PEEK_MIDFLOW;
}
