/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP addresses and flow keys, shared by both daemons and the wire codec.
 *
 * Pure values: this file must not know of sockets, messages or tables.
 *
 * Byte order: address bytes are in network order; ports are in host order.
 * Unused address bytes are always zero, so values can be compared and hashed
 * with memcmp() and friends.  KEY-1, KEY-2, KEY-3.
 */
#ifndef TURNOUT_LIB_ADDR_H
#define TURNOUT_LIB_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr_storage;

/* family: 0 none, 4 IPv4 (first four bytes used), 6 IPv6. */
struct addr {
	uint8_t family;
	uint8_t b[16];
};

/*
 * One direction of a flow.  The reverse direction is another key.
 * Protocols other than TCP and UDP have both ports 0.  No padding: 40 bytes.
 */
struct flow_key {
	uint8_t family; /* 4 or 6 */
	uint8_t proto;  /* IPPROTO_* */
	uint16_t sport; /* host order */
	uint16_t dport; /* host order */
	uint16_t zero;  /* always 0 */
	uint8_t src[16];
	uint8_t dst[16];
};
_Static_assert(sizeof(struct flow_key) == 40, "flow_key has no padding");

/* Text form lengths, terminating NUL included. */
#define ADDR_STRLEN     46
#define ENDPOINT_STRLEN 56  /* [addr]:port */
#define FLOW_KEY_STRLEN 136 /* tcp [addr]:port > [addr]:port */

/* Bytes an address of this family takes on the wire: 0, 4 or 16. */
static inline size_t addr_len(uint8_t family)
{
	return family == 4 ? 4 : family == 6 ? 16 : 0;
}

bool addr_is_zero(const struct addr *a); /* family 0 or all bytes zero */
bool addr_equal(const struct addr *a, const struct addr *b);
struct addr addr_make(uint8_t family, const uint8_t *bytes);

/* Parse "192.0.2.1" or "2001:db8::1".  Returns false, *a untouched, on error. */
bool addr_parse(const char *text, struct addr *a);
/* Parse "addr/len"; without "/len" it is a host prefix. */
bool addr_parse_prefix(const char *text, struct addr *a, uint8_t *plen);
/* Bytes of a netmask of plen bits (plen at most 32 or 128). */
void addr_mask(uint8_t family, uint8_t plen, uint8_t mask[16]);

/* Print into buf; both return buf.  Family 0 prints "-". */
const char *addr_print(const struct addr *a, char buf[ADDR_STRLEN]);
const char *endpoint_print(const struct addr *a, uint16_t port, char buf[ENDPOINT_STRLEN]);

/* Conversion to and from socket addresses; false for a family that is not IP.
 * An IPv4-mapped IPv6 address becomes an IPv4 address. */
bool addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *a, uint16_t *port);
size_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss);

struct flow_key flow_key_reverse(const struct flow_key *k);
const char *flow_key_print(const struct flow_key *k, char buf[FLOW_KEY_STRLEN]);
/* "tcp", "udp", "icmp", "icmpv6", "any" for 0, else the number in buf. */
const char *proto_name(uint8_t proto, char buf[8]);
bool proto_parse(const char *text, uint8_t *proto);

#endif
