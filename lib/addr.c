/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP addresses and flow keys: parse, print, compare, convert.
 *
 * Pure values; must not know of sockets beyond the layout of sockaddr_storage.
 */
#include "lib/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool addr_is_zero(const struct addr *a)
{
	static const uint8_t zero[16];

	return a->family == 0 || memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

struct addr addr_make(uint8_t family, const uint8_t *bytes)
{
	struct addr a = {.family = family};

	if (addr_len(family) != 0)
		memcpy(a.b, bytes, addr_len(family));
	return a;
}

bool addr_parse(const char *text, struct addr *a)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		*a = addr_make(4, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		*a = addr_make(6, bytes);
	else
		return false;
	return true;
}

/* Decimal digits only, up to max: strtoul() would also take signs and spaces. */
static bool parse_decimal(const char *text, unsigned max, unsigned *value)
{
	unsigned v = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (unsigned)(*text - '0');
		if (v > max)
			return false;
	}
	*value = v;
	return true;
}

bool addr_parse_prefix(const char *text, struct addr *a, uint8_t *plen)
{
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char buf[ADDR_STRLEN];
	struct addr parsed;
	unsigned bits;

	if (len >= sizeof(buf))
		return false;
	memcpy(buf, text, len);
	buf[len] = '\0';
	if (!addr_parse(buf, &parsed))
		return false;
	bits = 8 * (unsigned)addr_len(parsed.family);
	if (slash != NULL && !parse_decimal(slash + 1, bits, &bits))
		return false;
	*a = parsed;
	*plen = (uint8_t)bits;
	return true;
}

void addr_mask(uint8_t family, uint8_t plen, uint8_t mask[16])
{
	size_t len = addr_len(family);

	memset(mask, 0, 16);
	for (size_t i = 0; i < len; i++) {
		unsigned bits = plen > 8 * i ? plen - 8 * (unsigned)i : 0;

		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00u >> bits);
	}
}

const char *addr_print(const struct addr *a, char buf[ADDR_STRLEN])
{
	int af = a->family == 4 ? AF_INET : AF_INET6;

	if (addr_len(a->family) == 0 || inet_ntop(af, a->b, buf, ADDR_STRLEN) == NULL)
		memcpy(buf, "-", 2);
	return buf;
}

const char *endpoint_print(const struct addr *a, uint16_t port, char buf[ENDPOINT_STRLEN])
{
	char text[ADDR_STRLEN];

	addr_print(a, text);
	if (addr_len(a->family) == 0)
		memcpy(buf, "-", 2);
	else
		snprintf(buf, ENDPOINT_STRLEN, a->family == 6 ? "[%s]:%u" : "%s:%u", text, (unsigned)port);
	return buf;
}

bool addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *a, uint16_t *port)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)ss;

		*a = addr_make(4, (const void *)&sin->sin_addr);
		*port = ntohs(sin->sin_port);
		return true;
	}
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)ss;

		if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr))
			*a = addr_make(4, sin6->sin6_addr.s6_addr + 12);
		else
			*a = addr_make(6, sin6->sin6_addr.s6_addr);
		*port = ntohs(sin6->sin6_port);
		return true;
	}
	return false;
}

size_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in *sin = (void *)ss;

		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		memcpy(&sin->sin_addr, a->b, 4);
		return sizeof(*sin);
	}
	if (a->family == 6) {
		struct sockaddr_in6 *sin6 = (void *)ss;

		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
		memcpy(&sin6->sin6_addr, a->b, 16);
		return sizeof(*sin6);
	}
	return 0;
}

struct flow_key flow_key_reverse(const struct flow_key *k)
{
	struct flow_key r = {.family = k->family, .proto = k->proto, .sport = k->dport, .dport = k->sport};

	memcpy(r.src, k->dst, sizeof(r.src));
	memcpy(r.dst, k->src, sizeof(r.dst));
	return r;
}

const char *flow_key_print(const struct flow_key *k, char buf[FLOW_KEY_STRLEN])
{
	struct addr src = addr_make(k->family, k->src), dst = addr_make(k->family, k->dst);
	bool ports = k->proto == IPPROTO_TCP || k->proto == IPPROTO_UDP;
	char s[ENDPOINT_STRLEN], d[ENDPOINT_STRLEN], p[8];

	if (ports) {
		endpoint_print(&src, k->sport, s);
		endpoint_print(&dst, k->dport, d);
	} else {
		addr_print(&src, s);
		addr_print(&dst, d);
	}
	snprintf(buf, FLOW_KEY_STRLEN, "%s %s > %s", proto_name(k->proto, p), s, d);
	return buf;
}

static const struct {
	const char *name;
	uint8_t proto;
} protocols[] = {
	{"any", 0}, {"icmp", IPPROTO_ICMP}, {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmpv6", IPPROTO_ICMPV6},
};

const char *proto_name(uint8_t proto, char buf[8])
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
		if (protocols[i].proto == proto)
			return protocols[i].name;
	snprintf(buf, 8, "%u", (unsigned)proto);
	return buf;
}

bool proto_parse(const char *text, uint8_t *proto)
{
	unsigned value;

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		if (strcmp(protocols[i].name, text) == 0) {
			*proto = protocols[i].proto;
			return true;
		}
	}
	if (!parse_decimal(text, 255, &value))
		return false;
	*proto = (uint8_t)value;
	return true;
}
