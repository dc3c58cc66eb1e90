/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at a punted packet's TCP flags; see peek.h.  Must not know what is
 * done with the answer.
 */
#include "smd/peek.h"

#include <netinet/in.h>

#define IPV6_HEADER   40
#define TCP_FLAGS_AT  13
#define TCP_SYN       0x02
#define TCP_ACK       0x10
#define FRAGMENT_LEN  8
#define MAX_EXTENSION 8 /* headers; more are nobody's honest packet */

/* Offset of the TCP header, or len if there is none to be read. */
static size_t tcp4(const uint8_t *p, size_t len)
{
	size_t ihl = len >= 20 ? (p[0] & 15u) * 4u : 0;
	unsigned fragment = len >= 20 ? (p[6] & 0x1fu) << 8 | p[7] : 0;

	return ihl >= 20 && !fragment && p[9] == IPPROTO_TCP ? ihl : len;
}

static size_t tcp6(const uint8_t *p, size_t len)
{
	size_t at = IPV6_HEADER;
	uint8_t next = len >= IPV6_HEADER ? p[6] : IPPROTO_NONE;

	for (int i = 0; i < MAX_EXTENSION && next != IPPROTO_TCP; i++) {
		const uint8_t *h = p + at;

		if (at + FRAGMENT_LEN > len)
			return len;
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			at += (h[1] + 1u) * 8u;
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
	return next == IPPROTO_TCP && at < len ? at : len;
}

uint8_t peek_flags(const uint8_t *packet, size_t len, uint8_t proto)
{
	size_t at = len;

	if (proto != IPPROTO_TCP)
		return 0;
	if (len && packet[0] >> 4 == 4)
		at = tcp4(packet, len);
	else if (len && packet[0] >> 4 == 6)
		at = tcp6(packet, len);
	return at + TCP_FLAGS_AT < len ? packet[at + TCP_FLAGS_AT] : 0;
}

enum peek_sort peek_packet(const uint8_t *packet, size_t len, uint8_t proto)
{
	uint8_t flags = peek_flags(packet, len, proto);

	if (proto != IPPROTO_TCP)
		return PEEK_DATAGRAM;
	if (flags & PEEK_RST_FLAG)
		return PEEK_RST;
	if (flags & TCP_SYN)
		return flags & TCP_ACK ? PEEK_SYN_ACK : PEEK_SYN;
	return PEEK_MIDFLOW;
}
