// SPDX-License-Identifier: BSD-2-Clause
/*
 * Whether a packet may be answered at all, and TCP resets made by libnet, see
 * packet_error.h.  Must not know of tables or of what decides.
 */
#include <libnet.h>
#include <stdlib.h>
#include <string.h>

#include "fad/packet_error.h"

#define HOP_LIMIT        64
#define LIBNET_NEW_BLOCK 0

/* ICMPv6: lower types are errors; and this one is about a packet, too. */
#define FIRST_QUERY6 128
#define REDIRECT6    137

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

/* ---- may it be answered? ---- */

/* One host's, that a router may write to: not "this host", loopback, link-local, multicast, reserved or broadcast. */
static bool is_single4(const uint8_t *a)
{
	return a[0] != 0 && a[0] != 127 && a[0] < 224 && !(a[0] == 169 && a[1] == 254);
}

static bool is_single6(const uint8_t *a)
{
	static const uint8_t zeros[15];

	if (a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80))
		return false;
	return memcmp(a, zeros, sizeof(zeros)) != 0 || a[15] > 1;
}

static bool has_hosts(const struct packet *p)
{
	bool v4 = p->data[0] >> 4 == 4;

	return v4 ? is_single4(p->data + 12) && is_single4(p->data + 16)
		  : is_single6(p->data + 8) && is_single6(p->data + 24);
}

/* Of ICMP only what asks or answers something, as far as it is known: the rest may be errors yet to be invented. */
static bool is_icmp_error(const struct packet *p)
{
	bool v6 = p->key.proto == IPPROTO_ICMPV6;
	uint8_t type;

	if (p->key.proto != IPPROTO_ICMP && !v6)
		return false;
	if (p->l4 >= p->len)
		return true;
	type = p->data[p->l4];
	if (v6)
		return type < FIRST_QUERY6 || type == REDIRECT6;
	return type != ICMP_ECHOREPLY && type != ICMP_ECHO && (type < ICMP_TSTAMP || type > ICMP_MASKREPLY);
}

bool packet_answerable(const struct packet *p)
{
	/* One that follows a flow has the flow's protocol: it is an error whatever that is. */
	return p->l4 && !p->follows && !p->embedded && !is_icmp_error(p) && has_hosts(p);
}

/* ---- resets ---- */

bool packet_resettable(const struct packet *p)
{
	return p->key.proto == IPPROTO_TCP && packet_answerable(p) && !p->fragment && !(p->tcp_flags & RST);
}

/* Complete ones only: what is left to a card to complete came from this machine's own, or another trusted, stack. */
static bool sum_holds(const struct packet *p)
{
	bool v4 = p->data[0] >> 4 == 4;
	size_t alen = v4 ? 4 : 16, len = p->len - p->l4;
	const uint8_t *src = p->data + (v4 ? 12 : 8);
	uint64_t sum;

	if (p->offload.partial || p->offload.gso_size)
		return true;
	sum = checksum_pseudo(src, src + alen, alen, IPPROTO_TCP, (uint32_t)len);
	return checksum_fold(checksum_add(sum, p->data + p->l4, len)) == 0xffff;
}

/* Which numbers make its sender believe it (RFC 9293, 3.10.7.1). */
static void choose_numbers(const struct packet *p, uint32_t *seq, uint32_t *ack, uint8_t *flags)
{
	const uint8_t *tcp = p->data + p->l4;
	uint32_t data = p->len > p->payload ? p->len - p->payload : 0;

	*seq = *ack = 0;
	*flags = RST;
	if (p->tcp_flags & ACK) {
		*seq = plan_read32(tcp + 8);
		return;
	}
	*flags |= ACK;
	*ack = plan_read32(tcp + 4) + data + ((p->tcp_flags & SYN) != 0) + ((p->tcp_flags & FIN) != 0);
}

static bool build_ip4(libnet_t *l, const struct packet *p)
{
	uint32_t source, destination;

	memcpy(&source, p->data + 16, sizeof(source));
	memcpy(&destination, p->data + 12, sizeof(destination));
	return libnet_build_ipv4(LIBNET_IPV4_H + LIBNET_TCP_H, 0, 0, IP_DF, HOP_LIMIT, IPPROTO_TCP, 0, source,
				 destination, NULL, 0, l, LIBNET_NEW_BLOCK) >= 0;
}

static bool build_ip6(libnet_t *l, const struct packet *p)
{
	struct libnet_in6_addr source, destination;

	memcpy(&source, p->data + 24, sizeof(source));
	memcpy(&destination, p->data + 8, sizeof(destination));
	return libnet_build_ipv6(0, 0, LIBNET_TCP_H, IPPROTO_TCP, HOP_LIMIT, source, destination, NULL, 0, l,
				 LIBNET_NEW_BLOCK) >= 0;
}

size_t packet_reset(const struct packet *p, uint8_t out[PACKET_RESET_MAX])
{
	bool v4 = p->data[0] >> 4 == 4;
	char error[LIBNET_ERRBUF_SIZE];
	uint32_t seq, ack, n = 0;
	uint8_t *bytes = NULL, flags;
	libnet_t *l;

	if (!packet_resettable(p) || !sum_holds(p))
		return 0;
	l = libnet_init(LIBNET_NONE, NULL, error);
	if (!l)
		return 0;
	choose_numbers(p, &seq, &ack, &flags);
	if (libnet_build_tcp(p->key.dport, p->key.sport, seq, ack, flags, 0, 0, 0, LIBNET_TCP_H, NULL, 0, l,
			     LIBNET_NEW_BLOCK) >= 0 &&
	    (v4 ? build_ip4 : build_ip6)(l, p) && libnet_pblock_coalesce(l, &bytes, &n) > 0 && n <= PACKET_RESET_MAX)
		memcpy(out, bytes, n);
	else
		n = 0;
	free(bytes);
	libnet_destroy(l);
	return n;
}
