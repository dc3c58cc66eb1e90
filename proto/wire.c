/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service-message codec: the table of segments, the table of messages, and
 * the two walks over them, decoding and encoding.
 *
 * Must not know the fields inside a segment (wire_segments.c) nor sockets,
 * keys or clocks.  Serves MSG-1 to MSG-9.
 */
#include "proto/wire.h"

#include <string.h>

#include "proto/wire_table.h"

#define BIT(s)           (1u << ((s) < 16 ? (s) : (s)-112)) /* wire_bit() as a constant */
#define SEGMENT_REQUIRED 0x80

/* Destination 0 is for what is meant for whoever hears it. */
#define ANYBODY true
#define SOMEONE false

struct message_row {
	uint8_t type;
	bool anybody; /* destination identity 0 is allowed */
	const char *name;
	uint32_t must, may; /* wire_bit() of segments; security may be in every message */
};

#define ACTIONS                                                                                                        \
	(BIT(WIRE_SEG_NAT) | BIT(WIRE_SEG_SEQ_ADJUST) | BIT(WIRE_SEG_INTEREST) | BIT(WIRE_SEG_TUNNEL) |                \
	 BIT(WIRE_SEG_REJECT))
#define PRECEDENCES (BIT(WIRE_SEG_PRECEDENCE) | BIT(WIRE_SEG_BACKUP))
#define FROM_UPDATE (BIT(WIRE_SEG_IDENTITY) | BIT(WIRE_SEG_SM_DATA))
#define MATCH       (FROM_UPDATE | BIT(WIRE_SEG_FA_DATA) | BIT(WIRE_SEG_IP_PACKET))

static const struct message_row messages[] = {
	{WIRE_WILDCARD_UPDATE, ANYBODY, "wildcard update", BIT(WIRE_SEG_WILDCARD),
	 BIT(WIRE_SEG_RANGES) | BIT(WIRE_SEG_ACTION_LIST) | PRECEDENCES | FROM_UPDATE | ACTIONS |
		 BIT(WIRE_SEG_ADVERTISE)},
	{WIRE_FIXED_UPDATE, SOMEONE, "fixed update", BIT(WIRE_SEG_FIXED),
	 PRECEDENCES | ACTIONS | FROM_UPDATE | BIT(WIRE_SEG_FA_DATA) | BIT(WIRE_SEG_IP_PACKET)},
	{WIRE_DENY, SOMEONE, "deny", BIT(WIRE_SEG_ACTION_LIST),
	 BIT(WIRE_SEG_WILDCARD) | BIT(WIRE_SEG_RANGES) | BIT(WIRE_SEG_FIXED) | PRECEDENCES | FROM_UPDATE |
		 BIT(WIRE_SEG_FA_DATA) | BIT(WIRE_SEG_ERROR)},
	{WIRE_MATCH_WILDCARD, SOMEONE, "interest match, wildcard", BIT(WIRE_SEG_IDENTIFIER), MATCH},
	{WIRE_MATCH_FIXED, SOMEONE, "interest match, fixed", BIT(WIRE_SEG_IDENTIFIER), MATCH},
	{WIRE_PACKET, SOMEONE, "IP packet only", BIT(WIRE_SEG_IP_PACKET), BIT(WIRE_SEG_FA_DATA)},
	{WIRE_HELLO, ANYBODY, "hello", BIT(WIRE_SEG_IDENTITY) | BIT(WIRE_SEG_ACTION_LIST), 0},
	{WIRE_CHALLENGE, ANYBODY, "challenge", BIT(WIRE_SEG_NONCE), BIT(WIRE_SEG_IDENTITY)},
	{WIRE_CHALLENGE_RESPONSE, SOMEONE, "challenge response", BIT(WIRE_SEG_NONCE), BIT(WIRE_SEG_IDENTITY)},
	{WIRE_REFRESH, SOMEONE, "refresh", BIT(WIRE_SEG_IDENTIFIER), FROM_UPDATE | BIT(WIRE_SEG_FA_DATA)},
	{WIRE_ASK, SOMEONE, "ask", BIT(WIRE_SEG_LISTING), BIT(WIRE_SEG_IDENTITY)},
	{WIRE_HELD, SOMEONE, "held", BIT(WIRE_SEG_LISTING),
	 BIT(WIRE_SEG_WILDCARD) | BIT(WIRE_SEG_RANGES) | BIT(WIRE_SEG_FIXED) | PRECEDENCES | ACTIONS |
		 BIT(WIRE_SEG_ADVERTISE) | FROM_UPDATE},
};

/* clang-format off */
#define ONE(t, name, f, agree) \
	{t, 1, 0, name, wire_decode_##f, wire_check_##f, agree, wire_encode_##f, wire_print_##f}
#define MANY(t, name, f, agree) \
	{t, WIRE_MAX_ACTIONS, offsetof(struct wire_msg, f##_count), name, \
	 wire_decode_##f, wire_check_##f, agree, wire_encode_##f, wire_print_##f}

/* In the order they are written: security first, the wildcard before its ranges, the packet last. */
static const struct wire_segment_row segments[] = {
	ONE(WIRE_SEG_SECURITY, "security", security, NULL),
	ONE(WIRE_SEG_LISTING, "listing", listing, wire_agree_listing),
	ONE(WIRE_SEG_NONCE, "nonce", nonce, wire_agree_nonce),
	ONE(WIRE_SEG_WILDCARD, "wildcard", wildcard, NULL),
	ONE(WIRE_SEG_RANGES, "ranges", ranges, wire_agree_ranges),
	ONE(WIRE_SEG_FIXED, "fixed", fixed, wire_agree_fixed),
	ONE(WIRE_SEG_IDENTIFIER, "identifier", identifier, NULL),
	ONE(WIRE_SEG_ACTION_LIST, "action list", list, wire_agree_list),
	ONE(WIRE_SEG_ERROR, "error", error, NULL),
	ONE(WIRE_SEG_PRECEDENCE, "service precedence", precedence, NULL),
	ONE(WIRE_SEG_BACKUP, "backup precedence", backup, NULL),
	MANY(WIRE_SEG_NAT, "NAT", nat, wire_agree_nat),
	MANY(WIRE_SEG_ADVERTISE, "advertise", advertise, wire_agree_advertise),
	ONE(WIRE_SEG_SEQ_ADJUST, "sequence adjust", seq_adjust, wire_agree_seq_adjust),
	MANY(WIRE_SEG_INTEREST, "interest criteria", interest, NULL),
	ONE(WIRE_SEG_TUNNEL, "tunnel", tunnel, wire_agree_tunnel),
	ONE(WIRE_SEG_REJECT, "reject", reject, wire_agree_reject),
	ONE(WIRE_SEG_IDENTITY, "identity", identity, NULL),
	ONE(WIRE_SEG_SM_DATA, "SM interest data", sm_data, NULL),
	ONE(WIRE_SEG_FA_DATA, "FA interest data", fa_data, NULL),
	ONE(WIRE_SEG_IP_PACKET, "IP packet", packet, wire_agree_packet),
};
/* clang-format on */

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

static const struct message_row *find_message(unsigned type)
{
	for (size_t i = 0; i < LENGTH(messages); i++)
		if (messages[i].type == type)
			return &messages[i];
	return NULL;
}

static const struct wire_segment_row *find_segment(unsigned type)
{
	for (size_t i = 0; i < LENGTH(segments); i++)
		if (segments[i].type == type)
			return &segments[i];
	return NULL;
}

const struct wire_segment_row *wire_segment_rows(size_t *count)
{
	*count = LENGTH(segments);
	return segments;
}

unsigned wire_instances(const struct wire_segment_row *row, const struct wire_msg *m)
{
	if (!(m->present & wire_bit(row->type)))
		return 0;
	return row->count_at ? ((const uint8_t *)m)[row->count_at] : 1;
}

static uint32_t segments_allowed(const struct message_row *message)
{
	return message->must | message->may | BIT(WIRE_SEG_SECURITY);
}

/* ---- what decoding and encoding both ask ---- */

static enum wire_fault check_header(const struct wire_header *h, const struct message_row *message)
{
	bool complete = h->source && h->incarnation && h->sequence;
	return complete && (h->destination || message->anybody) ? WIRE_OK : WIRE_FAULT_HEADER;
}

/* The segments against each other.  *segment: which of them objects. */
static enum wire_fault check_whole(const struct wire_msg *m, const struct message_row *message, uint8_t *segment)
{
	for (size_t i = 0; message->must & ~m->present && i < LENGTH(segments); i++) {
		const struct wire_segment_row *row = &segments[i];
		*segment = row->type;
		if (message->must & ~m->present & wire_bit(row->type))
			return WIRE_FAULT_MISSING;
	}
	for (size_t i = 0; i < LENGTH(segments); i++) {
		const struct wire_segment_row *row = &segments[i];
		if (!row->agree)
			continue;
		*segment = row->type;
		unsigned n = wire_instances(row, m);
		for (unsigned j = 0; j < n; j++) {
			enum wire_fault fault = row->agree(m, j);
			if (fault != WIRE_OK)
				return fault;
		}
	}
	*segment = 0;
	return WIRE_OK;
}

/* ---- decoding ---- */

/* r covers the datagram.  On success it covers the message's segments. */
static enum wire_fault read_header(struct wire_reader *r, struct wire_header *h)
{
	size_t len = wire_left(r);
	if (len < WIRE_HEADER_LEN)
		return WIRE_FAULT_SHORT;
	/* Of another version nothing else is known. */
	if (wire_read_u8(r) != WIRE_VERSION)
		return WIRE_FAULT_VERSION;
	h->type = wire_read_u8(r);
	size_t said = wire_read_u16(r);
	if (said < WIRE_HEADER_LEN || said > len)
		return WIRE_FAULT_SHORT;
	if (said < len || len > WIRE_MAX)
		return WIRE_FAULT_LONG;
	const struct message_row *message = find_message(h->type);
	if (!message)
		return WIRE_FAULT_TYPE;
	wire_read_zero(r, 4, WIRE_FAULT_HEADER);
	h->source = wire_read_u64(r);
	h->incarnation = wire_read_u64(r);
	h->destination = wire_read_u64(r);
	h->sequence = wire_read_u64(r);
	return r->fault != WIRE_OK ? r->fault : check_header(h, message);
}

/* The next segment's header; *body covers what follows it. */
static enum wire_fault read_segment(struct wire_reader *r, uint8_t *type, bool *required, struct wire_reader *body)
{
	*type = wire_read_u8(r);
	uint8_t flags = wire_read_u8(r);
	size_t len = wire_read_u16(r);
	*body = wire_sub(r, len);
	*required = flags & SEGMENT_REQUIRED;
	if (r->fault != WIRE_OK)
		return r->fault;
	return *type == 0 || flags & ~SEGMENT_REQUIRED ? WIRE_FAULT_VALUE : WIRE_OK;
}

/* A segment's reader has to have ended well, and at its end. */
static enum wire_fault read_to_end(struct wire_reader *body)
{
	if (body->fault == WIRE_OK && wire_left(body) > 0)
		wire_fail(body, WIRE_FAULT_OVERLONG);
	return body->fault;
}

enum wire_fault wire_peek(const uint8_t *buf, size_t len, struct wire_header *h, struct wire_security *security)
{
	struct wire_reader r = {.message = buf, .next = buf, .end = buf + len}, body;
	memset(security, 0, sizeof *security);
	enum wire_fault fault = read_header(&r, h);
	if (fault != WIRE_OK || wire_left(&r) == 0 || *r.next != WIRE_SEG_SECURITY)
		return fault;
	uint8_t type;
	bool required;
	fault = read_segment(&r, &type, &required, &body);
	if (fault != WIRE_OK)
		return fault;
	wire_read_security(&body, security);
	fault = read_to_end(&body);
	/* An offset of something that is not there must not be believed by anybody. */
	if (fault != WIRE_OK)
		memset(security, 0, sizeof *security);
	return fault;
}

static void note_unknown(struct wire_list *unknown, uint8_t type)
{
	if (unknown->count < WIRE_MAX_LIST && !memchr(unknown->types, type, unknown->count))
		unknown->types[unknown->count++] = type;
}

/* May this segment be here, with what came before it? */
static enum wire_fault check_place(const struct wire_segment_row *row, const struct message_row *message,
				   const struct wire_msg *m, size_t offset)
{
	if (!(segments_allowed(message) & wire_bit(row->type)))
		return WIRE_FAULT_NOT_ALLOWED;
	if (wire_instances(row, m) >= row->max)
		return WIRE_FAULT_DUPLICATE;
	if (row->type == WIRE_SEG_SECURITY && offset != WIRE_HEADER_LEN)
		return WIRE_FAULT_ORDER;
	return wire_has(m, WIRE_SEG_IP_PACKET) ? WIRE_FAULT_ORDER : WIRE_OK;
}

static enum wire_fault decode_segment(struct wire_reader *r, const struct message_row *message, struct wire_msg *m,
				      struct wire_diagnosis *why)
{
	struct wire_reader body;
	bool required;
	why->offset = wire_offset(r);
	enum wire_fault fault = read_segment(r, &why->segment, &required, &body);
	if (fault != WIRE_OK)
		return fault;
	const struct wire_segment_row *row = find_segment(why->segment);
	if (!row) {
		if (required)
			note_unknown(&why->unknown, why->segment);
		return wire_has(m, WIRE_SEG_IP_PACKET) ? WIRE_FAULT_ORDER : WIRE_OK;
	}
	fault = check_place(row, message, m, why->offset);
	if (fault != WIRE_OK)
		return fault;
	unsigned instance = wire_instances(row, m);
	row->decode(&body, m);
	fault = read_to_end(&body);
	if (fault != WIRE_OK) {
		why->offset = body.at;
		return fault;
	}
	wire_set(m, why->segment, required);
	return row->check(m, instance);
}

static enum wire_fault decode(const uint8_t *buf, size_t len, struct wire_msg *m, struct wire_diagnosis *why)
{
	struct wire_reader r = {.message = buf, .next = buf, .end = buf + len};
	enum wire_fault fault = read_header(&r, &m->h);
	if (fault != WIRE_OK)
		return fault;
	const struct message_row *message = find_message(m->h.type);
	while (wire_left(&r) > 0) {
		fault = decode_segment(&r, message, m, why);
		if (fault != WIRE_OK)
			return fault;
	}
	why->offset = 0;
	why->segment = 0;
	/* Only now, so that a deny can name every one of them, and answers nothing malformed. */
	if (why->unknown.count > 0)
		return WIRE_FAULT_REQUIRED;
	return check_whole(m, message, &why->segment);
}

enum wire_fault wire_decode(const uint8_t *buf, size_t len, struct wire_msg *m, struct wire_diagnosis *why)
{
	struct wire_diagnosis unwanted;
	if (!why)
		why = &unwanted;
	memset(why, 0, sizeof *why);
	memset(m, 0, sizeof *m);
	why->fault = decode(buf, len, m, why);
	return why->fault;
}

/* ---- encoding ---- */

static bool encodable(const struct wire_msg *m)
{
	const struct message_row *message = find_message(m->h.type);
	if (!message || check_header(&m->h, message) != WIRE_OK)
		return false;
	if (m->present & ~segments_allowed(message) || m->required & ~m->present)
		return false;
	for (size_t i = 0; i < LENGTH(segments); i++) {
		const struct wire_segment_row *row = &segments[i];
		unsigned n = wire_instances(row, m);
		if (m->present & wire_bit(row->type) && (n == 0 || n > row->max))
			return false;
		for (unsigned j = 0; j < n; j++)
			if (row->check(m, j) != WIRE_OK)
				return false;
	}
	uint8_t segment;
	return check_whole(m, message, &segment) == WIRE_OK;
}

static void encode_segment(struct wire_writer *w, const struct wire_segment_row *row, const struct wire_msg *m,
			   unsigned instance)
{
	wire_write_u8(w, row->type);
	wire_write_u8(w, m->required & wire_bit(row->type) ? SEGMENT_REQUIRED : 0);
	uint8_t *length = wire_put(w, 2);
	size_t before = w->len;
	row->encode(w, m, instance);
	if (w->full)
		return;
	size_t n = w->len - before;
	length[0] = (uint8_t)(n >> 8);
	length[1] = (uint8_t)n;
}

ssize_t wire_encode(const struct wire_msg *m, uint8_t *buf, size_t cap)
{
	if (!encodable(m))
		return -1;
	struct wire_writer w = {.start = buf, .cap = cap < WIRE_MAX ? cap : WIRE_MAX};
	wire_write_u8(&w, WIRE_VERSION);
	wire_write_u8(&w, m->h.type);
	uint8_t *length = wire_put(&w, 2);
	wire_write_zero(&w, 4);
	wire_write_u64(&w, m->h.source);
	wire_write_u64(&w, m->h.incarnation);
	wire_write_u64(&w, m->h.destination);
	wire_write_u64(&w, m->h.sequence);
	for (size_t i = 0; i < LENGTH(segments); i++) {
		unsigned n = wire_instances(&segments[i], m);
		for (unsigned j = 0; j < n; j++)
			encode_segment(&w, &segments[i], m, j);
	}
	if (w.full)
		return -1;
	length[0] = (uint8_t)(w.len >> 8);
	length[1] = (uint8_t)w.len;
	return (ssize_t)w.len;
}

/* ---- names ---- */

void wire_start(struct wire_msg *m, enum wire_type type)
{
	memset(m, 0, sizeof *m);
	m->h.type = (uint8_t)type;
}

const char *wire_type_name(unsigned type)
{
	const struct message_row *row = find_message(type);
	return row ? row->name : "unknown";
}

const char *wire_segment_name(unsigned type)
{
	const struct wire_segment_row *row = find_segment(type);
	return row ? row->name : "unknown";
}

const char *wire_fault_name(enum wire_fault f)
{
	static const char *const names[WIRE_FAULT_COUNT] = {
		[WIRE_OK] = "ok",
		[WIRE_FAULT_SHORT] = "short",
		[WIRE_FAULT_LONG] = "long",
		[WIRE_FAULT_VERSION] = "version",
		[WIRE_FAULT_TYPE] = "type",
		[WIRE_FAULT_HEADER] = "header",
		[WIRE_FAULT_TRUNCATED] = "truncated",
		[WIRE_FAULT_OVERLONG] = "overlong",
		[WIRE_FAULT_DUPLICATE] = "duplicate",
		[WIRE_FAULT_MISSING] = "missing",
		[WIRE_FAULT_NOT_ALLOWED] = "not-allowed",
		[WIRE_FAULT_ORDER] = "order",
		[WIRE_FAULT_VALUE] = "value",
		[WIRE_FAULT_CONTRADICTION] = "contradiction",
		[WIRE_FAULT_REQUIRED] = "required",
	};
	return (unsigned)f < WIRE_FAULT_COUNT ? names[f] : "unknown";
}
