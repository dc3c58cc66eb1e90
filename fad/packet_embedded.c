// SPDX-License-Identifier: BSD-2-Clause
/*
 * What an ICMP error embeds: the beginning of a packet, cut off anywhere.
 * Every read goes through take(), which checks the bounds.
 *
 * Pure; must not know what becomes of the error.  KEY-4.
 */
#include <netinet/in.h>
#include <string.h>

#include "fad/packet.h"

#define ICMP_HEADER 8
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define PORTS       4

#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define MAX_EXTENSIONS       8

/* n bytes at offset, or NULL when they are not all inside the packet. */
static const uint8_t *take(const struct packet *p, size_t offset, size_t n)
{
	return offset <= p->len && n <= p->len - offset ? p->data + offset : NULL;
}

static uint16_t read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* An error about a packet.  Not a redirect, which is for the next hop before the sender; nor source quench (RFC 6633).
 */
static bool is_error(const struct packet *p)
{
	uint8_t type;

	if (!p->l4 || p->fragment || !take(p, p->l4, ICMP_HEADER))
		return false;
	type = p->data[p->l4];
	if (p->key.family == 4)
		return p->key.proto == IPPROTO_ICMP && (type == 3 || type == 11 || type == 12);
	return p->key.proto == IPPROTO_ICMPV6 && type >= 1 && type <= 4;
}

/* The ports of what is embedded.  False: they are needed and not there. */
static bool read_ports(struct packet *p, struct flow_key *k, size_t offset)
{
	const uint8_t *ports = take(p, offset, PORTS);

	if (offset < p->len)
		p->embedded_l4 = (uint16_t)offset;
	if (k->proto != IPPROTO_TCP && k->proto != IPPROTO_UDP)
		return true;
	if (!ports)
		return false;
	k->sport = read16(ports);
	k->dport = read16(ports + 2);
	return true;
}

static bool read_ipv4(struct packet *p, struct flow_key *k)
{
	const uint8_t *h = take(p, p->embedded, IPV4_HEADER);
	size_t header;

	if (!h || h[0] >> 4 != 4)
		return false;
	header = (size_t)(h[0] & 0x0f) * 4;
	/* A later fragment has no ports to tell a flow by. */
	if (header < IPV4_HEADER || (read16(h + 6) & IPV4_FRAGMENT_OFFSET))
		return false;
	k->proto = h[9];
	memcpy(k->src, h + 12, 4);
	memcpy(k->dst, h + 16, 4);
	return read_ports(p, k, p->embedded + header);
}

static bool read_ipv6(struct packet *p, struct flow_key *k)
{
	const uint8_t *h = take(p, p->embedded, IPV6_HEADER);
	size_t offset = (size_t)p->embedded + IPV6_HEADER;

	if (!h || h[0] >> 4 != 6)
		return false;
	k->proto = h[6];
	memcpy(k->src, h + 8, 16);
	memcpy(k->dst, h + 24, 16);
	for (unsigned count = 0; packet_is_extension(k->proto); count++) {
		const uint8_t *e = take(p, offset, 8);

		if (!e || count == MAX_EXTENSIONS)
			return false;
		if (k->proto == IPPROTO_ROUTING && e[3] != 0)
			return false; /* on its way to another destination */
		if (k->proto == IPPROTO_FRAGMENT && (read16(e + 2) & IPV6_FRAGMENT_OFFSET))
			return false;
		if (k->proto == IPPROTO_FRAGMENT)
			offset += 8;
		else if (k->proto == IPPROTO_AH)
			offset += ((size_t)e[1] + 2) * 4;
		else
			offset += ((size_t)e[1] + 1) * 8;
		k->proto = e[0];
	}
	return read_ports(p, k, offset);
}

void packet_find_embedded(struct packet *p)
{
	struct flow_key k = {.family = p->key.family};

	p->embedded = p->embedded_l4 = 0;
	p->follows = false;
	if (!is_error(p))
		return;
	p->embedded = (uint16_t)(p->l4 + ICMP_HEADER);
	/* An error goes to the source of what it is about; one that does not is nobody's honest word. */
	if ((k.family == 4 ? read_ipv4(p, &k) : read_ipv6(p, &k)) && memcmp(k.src, p->key.dst, sizeof(k.src)) == 0)
		p->flow = flow_key_reverse(&k);
	else
		p->embedded = p->embedded_l4 = 0;
}

void packet_follow(struct packet *p)
{
	p->key = p->flow;
	p->follows = true;
}
