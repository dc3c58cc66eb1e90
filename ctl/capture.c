/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl capture: its options, and a packet as a line.
 */
#include "ctl/capture.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/text.h"

#define MAX_EXTENSIONS  8
#define MAX_DURATION_MS (7ull * 24 * 3600 * 1000)

/* ---- options ---- */

uint64_t capture_duration(const char *text)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (end == text || *text < '0' || *text > '9' || n > MAX_DURATION_MS)
		return 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0)
			return n * units[i].ms <= MAX_DURATION_MS ? n * units[i].ms : 0;
	return 0;
}

static bool parse_count(struct ctl *c, const char *text, uint64_t *count)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*text >= '1' && *text <= '9' && *end == '\0' && n <= UINT32_MAX) {
		*count = n;
		return true;
	}
	ctl_error(c, EXITCODE_USAGE, "--count '%s': a number of packets from 1 on is needed", text);
	return false;
}

/* The words after the verb, as one expression; allocated, NULL when out of memory. */
static char *join(int argc, char **argv)
{
	size_t size = 1, len = 0;
	char *text;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	text = calloc(1, size);
	for (int i = 0; text && i < argc; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? " " : "", argv[i]);
	return text;
}

bool capture_options(struct ctl *c, struct capture_conf *conf, Turnout__Capture *request)
{
	const struct ctl_capture *o = &c->capture;

	*conf = (struct capture_conf){.file = o->file};
	if (o->count && !parse_count(c, o->count, &conf->count))
		return false;
	if (o->duration) {
		conf->duration_ms = capture_duration(o->duration);
		if (conf->duration_ms == 0) {
			ctl_error(c, EXITCODE_USAGE, "--for '%s': a duration such as 500ms, 10s, 5m or 1h is needed",
				  o->duration);
			return false;
		}
	}
	request->drops = o->drops;
	request->punts = o->punts;
	request->copies = o->copies;
	request->returned = o->returned;
	if (o->reason)
		request->reason = (char *)(uintptr_t)o->reason;
	request->snap = CAPTURE_SNAP;
	conf->filter = join(c->argc - 1, c->argv + 1);
	if (!conf->filter)
		ctl_error(c, EXITCODE_FAILURE, "out of memory");
	return conf->filter != NULL;
}

bool capture_wanted(const Turnout__Capture *r, const Turnout__Captured *p)
{
	bool all = !r->drops && !r->punts && !r->copies && !r->returned;

	if (*r->reason && strcmp(r->reason, p->reason) != 0)
		return false;
	return all || (r->drops && strcmp(p->kind, "drop") == 0) || (r->punts && strcmp(p->kind, "punt") == 0) ||
	       (r->copies && strcmp(p->kind, "copy") == 0) || (r->returned && strcmp(p->kind, "returned") == 0);
}

/* ---- a packet's bytes; each read is preceded by a look at what is left ---- */

struct view {
	const uint8_t *data;
	size_t len;
	uint8_t family, proto;
	size_t l4; /* offset of the transport header; 0: there is none here */
};

static bool view4(struct view *v)
{
	size_t header;

	if (v->len < 20)
		return false;
	header = (size_t)(v->data[0] & 15) * 4;
	if (header < 20)
		return false;
	v->family = 4;
	v->proto = v->data[9];
	/* Only the first fragment has ports. */
	v->l4 = (v->data[6] & 0x1f) == 0 && v->data[7] == 0 ? header : 0;
	return true;
}

static bool view6(struct view *v)
{
	size_t at = 40;

	if (v->len < 40)
		return false;
	v->family = 6;
	v->proto = v->data[6];
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		uint8_t kind = v->proto;

		if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_ROUTING && kind != IPPROTO_DSTOPTS &&
		    kind != IPPROTO_FRAGMENT) {
			v->l4 = at;
			return true;
		}
		if (at + 8 > v->len)
			return true;
		v->proto = v->data[at];
		/* Only the first fragment has ports. */
		if (kind == IPPROTO_FRAGMENT && (v->data[at + 2] || v->data[at + 3] & 0xf8))
			return true;
		at += kind == IPPROTO_FRAGMENT ? 8 : ((size_t)v->data[at + 1] + 1) * 8;
	}
	return true;
}

static void tcp_flags(uint8_t bits, char out[8])
{
	static const char letters[] = "FSRP.U";
	size_t n = 0;

	for (size_t i = 0; i < 6; i++)
		if (bits & 1u << i)
			out[n++] = letters[i];
	out[n] = '\0';
}

void capture_look(const uint8_t *data, size_t len, struct capture_seen *seen)
{
	struct view v = {.data = data, .len = len};
	bool ports, known = len > 0 && (data[0] >> 4 == 4 ? view4(&v) : data[0] >> 4 == 6 && view6(&v));
	struct addr src, dst;
	char number[8];

	*seen = (struct capture_seen){.protocol = "?", .source = "-", .destination = "-"};
	if (!known)
		return;
	src = addr_make(v.family, data + (v.family == 4 ? 12 : 8));
	dst = addr_make(v.family, data + (v.family == 4 ? 16 : 24));
	snprintf(seen->protocol, sizeof(seen->protocol), "%s", proto_name(v.proto, number));
	ports = (v.proto == IPPROTO_TCP || v.proto == IPPROTO_UDP) && v.l4 > 0 && v.l4 + 4 <= len;
	if (!ports) {
		addr_print(&src, seen->source);
		addr_print(&dst, seen->destination);
		return;
	}
	endpoint_print(&src, (uint16_t)(data[v.l4] << 8 | data[v.l4 + 1]), seen->source);
	endpoint_print(&dst, (uint16_t)(data[v.l4 + 2] << 8 | data[v.l4 + 3]), seen->destination);
	if (v.proto == IPPROTO_TCP && v.l4 + 14 <= len)
		tcp_flags(data[v.l4 + 13], seen->flags);
}

/* ---- lines ---- */

static void print_json(FILE *out, const char *daemon, const Turnout__Captured *p, const struct capture_seen *seen)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I}", "daemon", daemon, "kind", p->kind,
			      "reason", p->reason, "time_us", (json_int_t)p->time_us, "interface", p->interface,
			      "protocol", seen->protocol, "source", seen->source, "destination", seen->destination,
			      "flags", seen->flags, "length", (json_int_t)p->length);

	if (j)
		json_dumpf(j, out, JSON_COMPACT | JSON_ENSURE_ASCII);
	fputc('\n', out);
	json_decref(j);
}

static void print_text(FILE *out, const char *daemon, const Turnout__Captured *p, const struct capture_seen *seen)
{
	time_t seconds = (time_t)(p->time_us / 1000000);
	char clock[16];
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || strftime(clock, sizeof(clock), "%H:%M:%S", &tm) == 0)
		snprintf(clock, sizeof(clock), "-");
	fprintf(out, "%s.%03u %s %s %s", clock, (unsigned)(p->time_us / 1000 % 1000), daemon, p->kind, p->reason);
	if (*p->interface)
		fprintf(out, " %s", p->interface);
	fprintf(out, " %s %s > %s", seen->protocol, seen->source, seen->destination);
	if (*seen->flags)
		fprintf(out, " [%s]", seen->flags);
	fprintf(out, " %u bytes\n", p->length);
}

void capture_print(FILE *out, bool json, const char *daemon, const Turnout__Captured *p)
{
	Turnout__Captured safe = *p;
	struct capture_seen seen;

	safe.kind = text_safe(p->kind);
	safe.reason = text_safe(p->reason);
	safe.interface = text_safe(p->interface);
	capture_look(p->packet.data, p->packet.len, &seen);
	if (!safe.kind || !safe.reason || !safe.interface)
		fputs("out of memory\n", out);
	else if (json)
		print_json(out, daemon, &safe, &seen);
	else
		print_text(out, daemon, &safe, &seen);
	free(safe.kind);
	free(safe.reason);
	free(safe.interface);
}
