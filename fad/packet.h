/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One IP packet, parsed: key, TCP flags, fragment, offsets; and the metadata
 * that came with it (partial checksum, super-packet).  Of an ICMP error also the
 * flow that it travels with.
 *
 * Pure; must not know of tables, rings or decisions.  KEY-1 to KEY-4.
 */
#ifndef TURNOUT_FAD_PACKET_H
#define TURNOUT_FAD_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"

/*
 * What a vnet header says, with offsets from the start of the IP header.
 * gso_size 0: not a super-packet.  partial: the checksum field at
 * csum_start + csum_offset holds only the pseudo-header sum, uncomplemented.
 */
struct packet_offload {
	bool partial;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t gso_size; /* payload bytes a segment */
	uint8_t gso_type;  /* enum packet_gso */
	bool gso_ecn;
};
enum packet_gso { PACKET_GSO_NONE, PACKET_GSO_TCP4, PACKET_GSO_TCP6, PACKET_GSO_UDP_L4 };

struct packet {
	uint8_t *data; /* IP header; not owned */
	uint32_t len;  /* from the IP header on, as the header says (link padding cut off) */
	struct packet_offload offload;
	uint32_t ifindex; /* where it came in */
	bool guarded;     /* protected (FA-8): only who asked for what is protected may have it */

	struct flow_key key;
	uint16_t l4;              /* offset of the transport header; 0 for a fragment that is not the first */
	uint16_t payload;         /* offset of the payload after the transport header */
	bool fragment;            /* part of a fragmented datagram */
	bool first_fragment;      /* and the first one */
	bool more_fragments;      /* and not the last one */
	uint16_t fragment_offset; /* bytes of the datagram before this one's */
	uint32_t fragment_id;     /* the datagram's identification, 16 bits in IPv4; 0 unless `fragment` */
	uint8_t tcp_flags;        /* byte 13 of the TCP header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32 */

	/* Of an ICMP error about a packet whose flow can be told, else embedded is 0 (KEY-4). */
	uint16_t embedded;    /* offset of the IP header it embeds */
	uint16_t embedded_l4; /* offset of the transport header in there; 0: cut off, or not looked for */
	bool follows;         /* key is that of the flow it travels with, no more its own */
	struct flow_key flow; /* which is that: the reverse of what is embedded */
};

enum packet_fault {
	PACKET_OK,
	PACKET_SHORT,      /* ends inside a header */
	PACKET_VERSION,    /* neither IPv4 nor IPv6 */
	PACKET_HEADER,     /* impossible header length or total length */
	PACKET_CHECKSUM,   /* IPv4 header checksum wrong (only from packet_verify()) */
	PACKET_EXTENSIONS, /* more than 8 IPv6 extension headers */
	PACKET_ROUTING,    /* IPv6 routing header with segments left: its checksum is about another destination */
	PACKET_FAULT_COUNT,
};
const char *packet_fault_name(enum packet_fault f);

/*
 * Parse the IP packet at data.  Options and extension headers are skipped
 * over, never trusted.  *p is undefined unless PACKET_OK.  offload, ifindex
 * and guarded are the caller's to set, before or after.
 * A non-first fragment of TCP or UDP has both ports 0 in its key.  Of an IPv6
 * one behind extension headers the protocol is not known either: it is the
 * number of the first of these (packet_is_extension()).
 */
enum packet_fault packet_parse(struct packet *p, uint8_t *data, size_t len);

/* Is this the number of an IPv6 extension header that is skipped over? */
bool packet_is_extension(uint8_t next);

/*
 * For packet_parse(): is it an ICMP error about a packet, addressed to that
 * packet's source, and is enough of it embedded to tell its flow?  Sets the last four fields.
 */
void packet_find_embedded(struct packet *p);
/* From here on an ICMP error counts as one of the flow that it travels with. */
void packet_follow(struct packet *p);

/*
 * May this packet be one of the flow?  Its own key says so; or it is a later
 * fragment, which has no ports, with the flow's addresses and protocol.
 */
bool packet_belongs(const struct packet *p, const struct flow_key *flow);

/* PACKET_CHECKSUM if a parsed IPv4 packet's header checksum is wrong (FA-7), else PACKET_OK. */
enum packet_fault packet_verify(const struct packet *p);

/* The interest bits (ACT-5) this packet sets; first_data: no data was seen of its flow before. */
uint16_t packet_interest(const struct packet *p, bool first_data);

#endif
