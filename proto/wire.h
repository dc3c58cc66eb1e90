/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service-message format between managers and agents: types, decoded
 * form, encoder, decoder, validator, printer.  docs/protocol.md is the same
 * thing to the byte; the two must not differ.
 *
 * Pure: no sockets, no clocks, no keys (see proto/auth.h), no allocation.
 * All wire integers are big-endian; decoded integers are host order, decoded
 * address bytes stay in network order.
 *
 * Serves MSG-1 to MSG-13, SEC-1, FIX-1, FIX-3, WILD-1, WILD-6, ACT-1 to ACT-8,
 * PREC-1, PREC-4, PREC-7.
 */
#ifndef TURNOUT_PROTO_WIRE_H
#define TURNOUT_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/addr.h"

#define WIRE_VERSION            1
#define WIRE_HEADER_LEN         40
#define WIRE_SEGMENT_HEADER_LEN 4
#define WIRE_MAX                65507 /* largest UDP payload over IPv4 */
#define WIRE_PORT               7510  /* unicast endpoint */
#define WIRE_GROUP_PORT         7511  /* multicast endpoint */
#define WIRE_GROUP4             "239.255.75.10"
#define WIRE_GROUP6             "ff15::7510"

#define WIRE_MAX_ACTIONS 4   /* of each repeatable action segment in a message */
#define WIRE_MAX_RANGES  16  /* items in one ranges segment */
#define WIRE_MAX_OPAQUE  128 /* SM or FA interest data */
#define WIRE_MAX_NAME    63  /* identity name, bytes */
#define WIRE_MAX_LIST    32  /* types in an action list */
#define WIRE_MAX_TEXT    127 /* error detail */
#define WIRE_NONCE_LEN   16
#define WIRE_MAX_MAC     32

/* Message types.  1 to 6 are the source document's; from 128 our extensions. */
enum wire_type {
	WIRE_WILDCARD_UPDATE = 1,
	WIRE_FIXED_UPDATE = 2,
	WIRE_DENY = 3,
	WIRE_MATCH_WILDCARD = 4,
	WIRE_MATCH_FIXED = 5,
	WIRE_PACKET = 6,
	WIRE_HELLO = 128,              /* agent to group or manager: I am here, I can do this */
	WIRE_CHALLENGE = 129,          /* prove your incarnation */
	WIRE_CHALLENGE_RESPONSE = 130, /* proof */
	WIRE_REFRESH = 131,            /* agent to manager: this flow lives, its TTL half gone (FIX-9) */
	WIRE_ASK = 132,                /* manager to agent: what of mine do you hold? */
	WIRE_HELD = 133,               /* agent to manager: one held affinity, or the end of the listing */
};

/* Segment types.  1 to 15 are the source document's; from 128 our extensions. */
enum wire_segment {
	WIRE_SEG_WILDCARD = 1,
	WIRE_SEG_FIXED = 2,
	WIRE_SEG_IDENTIFIER = 3,
	WIRE_SEG_PRECEDENCE = 4,
	WIRE_SEG_BACKUP = 5,
	WIRE_SEG_SECURITY = 6,
	WIRE_SEG_SM_DATA = 7,
	WIRE_SEG_FA_DATA = 8,
	WIRE_SEG_IDENTITY = 9,
	WIRE_SEG_NAT = 10,
	WIRE_SEG_ADVERTISE = 11,
	WIRE_SEG_SEQ_ADJUST = 12,
	WIRE_SEG_INTEREST = 13,
	WIRE_SEG_ACTION_LIST = 14,
	WIRE_SEG_IP_PACKET = 15,
	WIRE_SEG_RANGES = 128,  /* more match conditions of the wildcard (WILD-6) */
	WIRE_SEG_TUNNEL = 129,  /* action: how a dispatched packet is carried (SVC-10) */
	WIRE_SEG_NONCE = 130,   /* challenge, response */
	WIRE_SEG_ERROR = 131,   /* why a deny */
	WIRE_SEG_LISTING = 132, /* ask, held: position in a listing */
	WIRE_SEG_REJECT = 133,  /* action: the sender of what is dropped is told (FIX-3, SVC-5) */
};

/*
 * Presence is a bit set.  Types 1 to 15 are bits 1 to 15, types 128 to 143 are
 * bits 16 to 31.
 */
static inline uint32_t wire_bit(unsigned type)
{
	return type < 16 ? 1u << type : type >= 128 && type < 144 ? 1u << (type - 112) : 0;
}

/*
 * Header, 40 bytes:
 *   0 version u8   1 type u8   2 length u16 (whole message, header included)
 *   4 zero u32     8 source identity u64      16 source incarnation u64
 *  24 destination identity u64 (0: whoever hears it)        32 sequence u64
 *
 * Sequences count separately for each destination identity, 0 being one of
 * them, from 1 in each incarnation (SEC-4, proto/session.h).  Destination 0 is
 * for wildcard updates, hellos and challenges only.
 */
struct wire_header {
	uint8_t type;
	uint64_t source;      /* sender's configured identity, never 0 (MSG-13) */
	uint64_t incarnation; /* never 0 */
	uint64_t destination;
	uint64_t sequence; /* never 0 */
};

/*
 * Segment header, 4 bytes:
 *   0 type u8   1 flags u8 (0x80 required, other bits zero)   2 length u16 (of what follows)
 *
 * An `addr` field is: family u8 (0, 4 or 6), then 0, 4 or 16 bytes.
 */

/* Security: scheme u8 (not 0), zero x3, key id u32, MAC (by scheme; 1 to 32 bytes of a scheme not known here, which
 * only who expects no security accepts).
 * First after the header.  The MAC covers the whole message with MAC bytes zero. */
enum wire_scheme {
	WIRE_SCHEME_MD5 = 1,           /* keyed MD5: MD5(key || message || key), 16 bytes */
	WIRE_SCHEME_HMAC_SHA256 = 2,   /* truncated to 16 bytes */
	WIRE_SCHEME_HMAC_SHA256_8 = 3, /* truncated to 8 bytes; IP packet only messages */
};
struct wire_security {
	uint8_t scheme;
	uint32_t key_id;
	uint8_t mac_len;     /* encoding: of an unknown scheme only */
	uint16_t mac_offset; /* in the message; decoding only */
};

/* Flags: wildcard and identifier all of them, fixed the first two. */
#define WIRE_FLAG_DISPATCH     0x01 /* FIX-2, FIX-3 */
#define WIRE_FLAG_INFORMATION  0x02 /* FIX-4 */
#define WIRE_FLAG_PROTECTED    0x04 /* wildcard: also what FA-8 protects, if the agent's operator permits */
#define WIRE_FLAG_DROP_GONE    0x08 /* wildcard: without the agent drop what it covers (else route) (FA-6) */
#define WIRE_FLAG_ROUTE_SILENT 0x10 /* wildcard: while its manager is silent as if it were not there (else drop) */
#define WIRE_FLAGS_WILDCARD    0x1f /* all of them */

/*
 * Wildcard: family u8, protocol u8, flags u8, zero u8, TTL u32, source port u16,
 * destination port u16, source, source mask, destination, destination mask (4
 * or 16 bytes each, by family), forward addr (family 0 or the affinity's).
 * Ports other than 0 need protocol TCP or UDP; likewise in the next two.
 */
struct wire_wildcard {
	uint8_t family; /* 4 or 6 */
	uint8_t proto;  /* 0: any */
	uint8_t flags;
	uint32_t ttl;          /* seconds; 0 deletes */
	uint16_t sport, dport; /* 0: any */
	uint8_t src[16], src_mask[16];
	uint8_t dst[16], dst_mask[16];
	struct addr forward; /* family 0 or all zero with DISPATCH: drop */
};

/*
 * Fixed: family u8, protocol u8, flags u8, zero u8, TTL u32, source port u16,
 * destination port u16, source, destination (by family), forward addr.
 */
struct wire_fixed {
	struct flow_key key;
	uint8_t flags;
	uint32_t ttl; /* seconds; 0: do not keep, delete if kept */
	struct addr forward;
};

/*
 * Affinity identifier: family u8, protocol u8, flags u8, zero u8, reasons u16,
 * zero u16, source port u16, destination port u16, source, destination.
 * The key is the packet's (wildcard match) or the affinity's (fixed match).
 */
struct wire_identifier {
	struct flow_key key;
	uint8_t flags;
	uint16_t reasons; /* interest bits */
};

/* Interest bits (ACT-5). */
#define WIRE_INTEREST_FIN        0x0001
#define WIRE_INTEREST_SYN        0x0002
#define WIRE_INTEREST_RST        0x0004
#define WIRE_INTEREST_PSH        0x0008
#define WIRE_INTEREST_ACK        0x0010
#define WIRE_INTEREST_URG        0x0020
#define WIRE_INTEREST_DATA       0x0040
#define WIRE_INTEREST_FIRST_DATA 0x0080
#define WIRE_INTEREST_FRAGMENT   0x0100
#define WIRE_INTEREST_ALL        0x8000

/* Service precedence: flags u8 (bit 0: lower values come first), zero x3, value u32. */
struct wire_precedence {
	bool lower_first;
	uint32_t value;
};
/* Backup precedence: value u32, lowest wins. */

/* SM and FA interest data: opaque, 0 to 128 bytes.  Decoded: points into the message. */
struct wire_blob {
	const uint8_t *data;
	uint16_t len;
};

/* Identity: addr, name length u8, name (printable ASCII). */
struct wire_identity {
	struct addr addr;
	char name[WIRE_MAX_NAME + 1];
};

/* NAT: set u8 (bits below, at least one), zero u8, source port u16, destination
 * port u16, zero u16, source addr, destination addr.  Unset fields are zero, set
 * ones are not; ports need an affinity of TCP or UDP, addresses its family. */
#define WIRE_NAT_SRC   0x01
#define WIRE_NAT_SPORT 0x02
#define WIRE_NAT_DST   0x04
#define WIRE_NAT_DPORT 0x08
struct wire_nat {
	uint8_t set;
	uint16_t sport, dport;
	struct addr src, dst;
};

/* Advertise: prefix length u8, zero u8, addr (no bits beyond the prefix; family 0: the wildcard's destination, whose
 * mask then is a prefix; plen 0). */
struct wire_advertise {
	struct addr addr;
	uint8_t plen;
};

/* Sequence adjust: sequence delta u32, initial sequence u32, ACK delta u32, initial ACK u32.  TCP only. */
struct wire_seq_adjust {
	uint32_t seq_delta, seq_initial;
	uint32_t ack_delta, ack_initial;
};

/* Interest criteria: interest u16, data u16, copy u16, hold u16, port u16, zero u16, addr.
 * addr family 0 and port 0: the affinity's sender (ACT-6); one without the other
 * is a contradiction. */
struct wire_interest {
	uint16_t interest, data, copy, hold;
	struct addr addr;
	uint16_t port;
};

/* Action list: one u8 (not 0) a segment type.  Empty in a deny only with an error other than UNSUPPORTED. */
struct wire_list {
	uint8_t count;
	uint8_t types[WIRE_MAX_LIST];
};

/*
 * Ranges: items of field u8, zero u8, then lower and upper bound, both
 * inclusive: u16 each for ports, address bytes each (by the wildcard's family)
 * for addresses.  Items of one field are alternatives, different fields must
 * all match, and so must the wildcard itself.  1 to 16 items, after the wildcard
 * in the message; no range of a port or an address (mask all ones) that the
 * wildcard gives itself, none of ports without TCP or UDP.
 */
enum wire_range_field { WIRE_RANGE_SRC = 1, WIRE_RANGE_DST = 2, WIRE_RANGE_SPORT = 3, WIRE_RANGE_DPORT = 4 };
struct wire_range {
	uint8_t field;
	uint8_t low[16], high[16];    /* addresses */
	uint16_t low_port, high_port; /* ports */
};

/* Tunnel: kind u8, hop limit u8 (0: default), UDP port u16 (kind 2; kind 1: zero), remote addr, local addr (family 0:
 * agent's choice; else the remote's family).  Only with the dispatch flag. */
enum wire_tunnel_kind { WIRE_TUNNEL_IP = 1 /* IPIP, 6in4, 4in6, 6in6 */, WIRE_TUNNEL_UDP = 2 /* IP in UDP */ };
struct wire_tunnel {
	uint8_t kind;
	uint8_t hop_limit;
	uint16_t port;
	struct addr remote, local;
};

/* Reject: kind u8, zero x3.  Only with an affinity that drops: the sender gets a reset (TCP), or an ICMP error that
 * says so.  What may not be answered is dropped without a word. */
enum wire_reject_kind {
	WIRE_REJECT_PROHIBITED = 1 /* by an administrator */,
	WIRE_REJECT_UNREACHABLE = 2 /* no such port */
};

/* Nonce: 16 bytes, then group sequence u64: in a response the last sequence
 * used with destination 0, in a challenge 0. */
struct wire_nonce {
	uint8_t nonce[WIRE_NONCE_LEN];
	uint64_t group_sequence;
};

/* Error: code u16 (not 0; unknown ones are accepted), text length u8, text (printable ASCII). */
enum wire_error_code {
	WIRE_ERROR_UNSUPPORTED = 1, /* required or listed segment types: see the action list */
	WIRE_ERROR_NOT_COVERED = 2, /* fixed affinity without a wildcard of its manager (FIX-6) */
	WIRE_ERROR_NO_ROOM = 3,
	WIRE_ERROR_FORBIDDEN = 4, /* the operator does not permit it */
};
struct wire_error {
	uint16_t code;
	char text[WIRE_MAX_TEXT + 1];
};

/* Listing: flags u8 (bit 0: end of listing, held only, message carries no affinity), zero x3, cursor u32, token u32. */
struct wire_listing {
	bool end;
	uint32_t cursor; /* ask: start after this; held: position of this one */
	uint32_t token;  /* chosen by who asks, returned */
};

/* A whole message, decoded.  Opaque data and the IP packet point into the buffer. */
struct wire_msg {
	struct wire_header h;
	uint32_t present;  /* wire_bit() of each segment type present */
	uint32_t required; /* those that carried the Required flag */
	struct wire_security security;
	struct wire_wildcard wildcard;
	struct wire_fixed fixed;
	struct wire_identifier identifier;
	struct wire_precedence precedence;
	uint32_t backup;
	struct wire_blob sm_data, fa_data;
	struct wire_identity identity;
	struct wire_nat nat[WIRE_MAX_ACTIONS];
	struct wire_advertise advertise[WIRE_MAX_ACTIONS];
	struct wire_interest interest[WIRE_MAX_ACTIONS];
	struct wire_seq_adjust seq_adjust;
	struct wire_tunnel tunnel;
	uint8_t reject; /* enum wire_reject_kind */
	struct wire_list list;
	struct wire_range ranges[WIRE_MAX_RANGES];
	uint8_t nat_count, advertise_count, interest_count, range_count;
	struct wire_nonce nonce;
	struct wire_error error;
	struct wire_listing listing;
	struct wire_blob packet; /* starts with an IP header, of the affinity's family; last in the message */
};

/*
 * Why a message was refused; one counter each (MSG-4).  The order is the
 * numbering in docs/protocol.md.
 */
enum wire_fault {
	WIRE_OK = 0,
	WIRE_FAULT_SHORT,         /* shorter than a header, or than it says */
	WIRE_FAULT_LONG,          /* bytes after the end */
	WIRE_FAULT_VERSION,       /* not WIRE_VERSION */
	WIRE_FAULT_TYPE,          /* unknown message type */
	WIRE_FAULT_HEADER,        /* zero identity, incarnation or sequence; reserved bits set */
	WIRE_FAULT_TRUNCATED,     /* a segment or a field runs past its end */
	WIRE_FAULT_OVERLONG,      /* a segment has bytes left over */
	WIRE_FAULT_DUPLICATE,     /* more of a segment than allowed */
	WIRE_FAULT_MISSING,       /* a segment this message type must have */
	WIRE_FAULT_NOT_ALLOWED,   /* a segment this message type cannot have */
	WIRE_FAULT_ORDER,         /* security not first, IP packet not last, ranges before their wildcard */
	WIRE_FAULT_VALUE,         /* a field's value is outside its range */
	WIRE_FAULT_CONTRADICTION, /* fields or segments that exclude each other */
	WIRE_FAULT_REQUIRED,      /* a required segment of unknown type */
	WIRE_FAULT_COUNT,
};

struct wire_diagnosis {
	enum wire_fault fault;
	uint8_t segment;          /* type concerned, 0 the header */
	uint16_t offset;          /* byte in the message */
	struct wire_list unknown; /* WIRE_FAULT_REQUIRED: the types (the first 32), for a deny (MSG-3) */
};

/*
 * Check the header and where the security segment is, nothing else: what is
 * needed before authentication.  security->scheme is 0 when there is none.
 */
enum wire_fault wire_peek(const uint8_t *buf, size_t len, struct wire_header *h, struct wire_security *security);

/*
 * Decode and validate whole, or refuse whole.  *m is undefined when refused,
 * but for WIRE_FAULT_REQUIRED: then it has the header and the segments that are
 * known, not yet compared with each other, so that a deny can say what it
 * answers (MSG-3, MSG-7).
 */
enum wire_fault wire_decode(const uint8_t *buf, size_t len, struct wire_msg *m, struct wire_diagnosis *why);

/*
 * Encode what m->present names.  Security: m->security.scheme and .key_id are
 * written, with room for the MAC, zero (proto/auth.h fills it in).  buf must
 * not overlap what m points to.
 * Returns the length, or -1 when it does not fit or would not decode.
 */
ssize_t wire_encode(const struct wire_msg *m, uint8_t *buf, size_t cap);

/* Bytes of MAC of a scheme, 0 for an unknown scheme. */
size_t wire_mac_len(unsigned scheme);

/* One line for the header, then one a segment, for people; `indent` goes before each line. */
void wire_print(const struct wire_msg *m, FILE *out, const char *indent);
const char *wire_type_name(unsigned type);      /* "wildcard update", ... or "unknown" */
const char *wire_segment_name(unsigned type);   /* "NAT", ... or "unknown" */
const char *wire_fault_name(enum wire_fault f); /* "truncated", ... (counter names, with hyphens) */

/* Start a message: zero *m and set the type. */
void wire_start(struct wire_msg *m, enum wire_type type);
/* Mark a segment present and required. */
static inline void wire_set(struct wire_msg *m, enum wire_segment s, bool required)
{
	m->present |= wire_bit(s);
	if (required)
		m->required |= wire_bit(s);
}
static inline bool wire_has(const struct wire_msg *m, enum wire_segment s)
{
	return (m->present & wire_bit(s)) != 0;
}

#endif
