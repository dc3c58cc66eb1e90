/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages as text, for people: a line for the header, then one a segment.
 * What names and data came from a peer is printable already (the codec checks).
 *
 * Must not know bytes or offsets.
 */
#include "proto/wire_table.h"

#include <inttypes.h>

struct bit_name {
	uint16_t bit;
	const char *name;
};

static const struct bit_name flag_names[] = {
	{WIRE_FLAG_DISPATCH, "dispatch"},
	{WIRE_FLAG_INFORMATION, "information"},
	{WIRE_FLAG_PROTECTED, "protected"},
	{WIRE_FLAG_DROP_GONE, "drop-without-agent"},
	{WIRE_FLAG_ROUTE_SILENT, "route-on-silence"},
	{0, NULL},
};

static const struct bit_name interest_names[] = {
	{WIRE_INTEREST_FIN, "fin"},
	{WIRE_INTEREST_SYN, "syn"},
	{WIRE_INTEREST_RST, "rst"},
	{WIRE_INTEREST_PSH, "psh"},
	{WIRE_INTEREST_ACK, "ack"},
	{WIRE_INTEREST_URG, "urg"},
	{WIRE_INTEREST_DATA, "data"},
	{WIRE_INTEREST_FIRST_DATA, "first-data"},
	{WIRE_INTEREST_FRAGMENT, "fragment"},
	{WIRE_INTEREST_ALL, "all"},
	{0, NULL},
};

/* "none", or the names of the bits set, joined by '+'. */
static void print_bits(FILE *out, unsigned bits, const struct bit_name *names)
{
	const char *between = "";
	for (; names->name; names++) {
		if (!(bits & names->bit))
			continue;
		fprintf(out, "%s%s", between, names->name);
		between = "+";
	}
	if (!*between)
		fputs("none", out);
}

static void print_addr(FILE *out, const struct addr *a)
{
	char buf[ADDR_STRLEN];
	fputs(addr_print(a, buf), out);
}

static void print_bytes(FILE *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%02x", bytes[i]);
}

static void print_port(FILE *out, uint16_t port)
{
	if (port)
		fprintf(out, " port %u", port);
}

/* Length of a netmask that is one, else -1. */
static int prefix_len(uint8_t family, const uint8_t *mask)
{
	uint8_t same[16] = {0};
	for (int n = 0; n <= (int)(8 * addr_len(family)); n++) {
		addr_mask(family, (uint8_t)n, same);
		if (memcmp(same, mask, addr_len(family)) == 0)
			return n;
	}
	return -1;
}

static void print_masked(FILE *out, uint8_t family, const uint8_t *bytes, const uint8_t *mask)
{
	struct addr a = addr_make(family, bytes), m = addr_make(family, mask);
	print_addr(out, &a);
	fputc('/', out);
	int n = prefix_len(family, mask);
	if (n >= 0)
		fprintf(out, "%d", n);
	else
		print_addr(out, &m);
}

static void print_instructions(FILE *out, uint8_t flags, uint32_t ttl, const struct addr *forward)
{
	fprintf(out, ", ttl %" PRIu32 ", flags ", ttl);
	print_bits(out, flags, flag_names);
	if (forward->family) {
		fputs(", forward ", out);
		print_addr(out, forward);
	}
}

void wire_print_security(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	static const char *const names[] = {"", "keyed MD5", "HMAC-SHA-256", "HMAC-SHA-256 short"};
	if (wire_mac_len(m->security.scheme))
		fputs(names[m->security.scheme], out);
	else
		fprintf(out, "scheme %u", m->security.scheme);
	fprintf(out, ", key %" PRIu32, m->security.key_id);
}

void wire_print_listing(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	fprintf(out, "cursor %" PRIu32 ", token 0x%08" PRIx32 "%s", m->listing.cursor, m->listing.token,
		m->listing.end ? ", end" : "");
}

void wire_print_nonce(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	print_bytes(out, m->nonce.nonce, WIRE_NONCE_LEN);
	fprintf(out, ", group sequence %" PRIu64, m->nonce.group_sequence);
}

void wire_print_wildcard(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	const struct wire_wildcard *c = &m->wildcard;
	char proto[8];
	fprintf(out, "%s from ", proto_name(c->proto, proto));
	print_masked(out, c->family, c->src, c->src_mask);
	print_port(out, c->sport);
	fputs(" to ", out);
	print_masked(out, c->family, c->dst, c->dst_mask);
	print_port(out, c->dport);
	print_instructions(out, c->flags, c->ttl, &c->forward);
}

void wire_print_ranges(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	static const char *const names[] = {"", "source", "destination", "source port", "destination port"};
	for (unsigned j = 0; j < m->range_count; j++) {
		const struct wire_range *g = &m->ranges[j];
		fprintf(out, "%s%s ", j ? ", " : "", names[g->field]);
		if (g->field == WIRE_RANGE_SPORT || g->field == WIRE_RANGE_DPORT) {
			fprintf(out, "%u-%u", g->low_port, g->high_port);
			continue;
		}
		struct addr low = addr_make(m->wildcard.family, g->low), high = addr_make(m->wildcard.family, g->high);
		print_addr(out, &low);
		fputc('-', out);
		print_addr(out, &high);
	}
}

void wire_print_fixed(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	char key[FLOW_KEY_STRLEN];
	fputs(flow_key_print(&m->fixed.key, key), out);
	print_instructions(out, m->fixed.flags, m->fixed.ttl, &m->fixed.forward);
}

void wire_print_identifier(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	char key[FLOW_KEY_STRLEN];
	fprintf(out, "%s, flags ", flow_key_print(&m->identifier.key, key));
	print_bits(out, m->identifier.flags, flag_names);
	fputs(", reasons ", out);
	print_bits(out, m->identifier.reasons, interest_names);
}

void wire_print_list(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	if (m->list.count == 0)
		fputs("none", out);
	for (unsigned j = 0; j < m->list.count; j++)
		fprintf(out, "%s%s (%u)", j ? ", " : "", wire_segment_name(m->list.types[j]), m->list.types[j]);
}

void wire_print_error(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	static const char *const names[] = {
		[WIRE_ERROR_UNSUPPORTED] = "unsupported",
		[WIRE_ERROR_NOT_COVERED] = "not covered",
		[WIRE_ERROR_NO_ROOM] = "no room",
		[WIRE_ERROR_FORBIDDEN] = "forbidden",
	};
	bool known = m->error.code > 0 && m->error.code < sizeof names / sizeof names[0];
	fprintf(out, "%u %s, \"%s\"", m->error.code, known ? names[m->error.code] : "unknown", m->error.text);
}

void wire_print_precedence(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	fprintf(out, "%" PRIu32 ", %s first", m->precedence.value, m->precedence.lower_first ? "lower" : "higher");
}

void wire_print_backup(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	fprintf(out, "%" PRIu32, m->backup);
}

void wire_print_nat(const struct wire_msg *m, unsigned i, FILE *out)
{
	const struct wire_nat *n = &m->nat[i];
	const char *between = "";
	if (n->set & (WIRE_NAT_SRC | WIRE_NAT_SPORT)) {
		fputs("source", out);
		if (n->set & WIRE_NAT_SRC) {
			fputc(' ', out);
			print_addr(out, &n->src);
		}
		print_port(out, n->sport);
		between = ", ";
	}
	if (n->set & (WIRE_NAT_DST | WIRE_NAT_DPORT)) {
		fprintf(out, "%sdestination", between);
		if (n->set & WIRE_NAT_DST) {
			fputc(' ', out);
			print_addr(out, &n->dst);
		}
		print_port(out, n->dport);
	}
}

void wire_print_advertise(const struct wire_msg *m, unsigned i, FILE *out)
{
	const struct wire_advertise *a = &m->advertise[i];
	if (a->addr.family == 0) {
		fputs("the wildcard's destination", out);
		return;
	}
	print_addr(out, &a->addr);
	fprintf(out, "/%u", a->plen);
}

void wire_print_seq_adjust(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	const struct wire_seq_adjust *s = &m->seq_adjust;
	fprintf(out, "sequence +%" PRIu32 " from %" PRIu32 ", ack +%" PRIu32 " from %" PRIu32, s->seq_delta,
		s->seq_initial, s->ack_delta, s->ack_initial);
}

void wire_print_interest(const struct wire_msg *m, unsigned i, FILE *out)
{
	const struct wire_interest *t = &m->interest[i];
	fputs("interest ", out);
	print_bits(out, t->interest, interest_names);
	fputs(", data ", out);
	print_bits(out, t->data, interest_names);
	fputs(", copy ", out);
	print_bits(out, t->copy, interest_names);
	fputs(", hold ", out);
	print_bits(out, t->hold, interest_names);
	char buf[ENDPOINT_STRLEN];
	fprintf(out, ", to %s", t->port ? endpoint_print(&t->addr, t->port, buf) : "sender");
}

void wire_print_tunnel(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	const struct wire_tunnel *t = &m->tunnel;
	char buf[ENDPOINT_STRLEN];
	if (t->kind == WIRE_TUNNEL_UDP) {
		fprintf(out, "IP in UDP to %s", endpoint_print(&t->remote, t->port, buf));
	} else {
		fputs("IP in IP to ", out);
		print_addr(out, &t->remote);
	}
	fputs(" from ", out);
	print_addr(out, &t->local);
	fprintf(out, ", hop limit %u", t->hop_limit);
}

void wire_print_reject(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	fputs(m->reject == WIRE_REJECT_PROHIBITED ? "prohibited" : "unreachable", out);
}

void wire_print_identity(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	print_addr(out, &m->identity.addr);
	fprintf(out, " \"%s\"", m->identity.name);
}

static void print_blob(const struct wire_blob *b, FILE *out)
{
	fprintf(out, "%u bytes%s", b->len, b->len ? " " : "");
	print_bytes(out, b->data, b->len);
}

void wire_print_sm_data(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	print_blob(&m->sm_data, out);
}

void wire_print_fa_data(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	print_blob(&m->fa_data, out);
}

void wire_print_packet(const struct wire_msg *m, unsigned i, FILE *out)
{
	(void)i;
	fprintf(out, "IPv%u, %u bytes", m->packet.data[0] >> 4, m->packet.len);
}

void wire_print(const struct wire_msg *m, FILE *out, const char *indent)
{
	fprintf(out, "%s%s from 0x%" PRIx64 ", incarnation %" PRIu64 ", to ", indent, wire_type_name(m->h.type),
		m->h.source, m->h.incarnation);
	if (m->h.destination)
		fprintf(out, "0x%" PRIx64, m->h.destination);
	else
		fputs("anybody", out);
	fprintf(out, ", sequence %" PRIu64 "\n", m->h.sequence);
	size_t count;
	const struct wire_segment_row *rows = wire_segment_rows(&count);
	for (size_t i = 0; i < count; i++) {
		for (unsigned j = 0, n = wire_instances(&rows[i], m); j < n; j++) {
			bool required = m->required & wire_bit(rows[i].type);
			fprintf(out, "%s  %s%s: ", indent, rows[i].name, required ? " (required)" : "");
			rows[i].print(m, j, out);
			fputc('\n', out);
		}
	}
}
