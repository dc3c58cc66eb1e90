/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl trace: what each agent would do with a packet, and why.
 *
 * Prints the agents' stories; must not know how they come to them.
 */
#include "ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/render.h"
#include "ctl/text.h"
#include "lib/addr.h"

struct trace {
	struct ctl *ctl;
	struct render *render; /* NULL: in words */
	bool any;
};

/* ---- the question ---- */

/* "192.0.2.1:80", "[2001:db8::1]:80", or without a port either address alone.  host: room for an address. */
bool trace_endpoint(const char *text, char *host, uint32_t *port)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	bool brackets = *text == '[';
	struct addr a;
	size_t len;

	*port = 0;
	if (brackets) {
		const char *close = strchr(text++, ']');

		if (!close || (close[1] && close[1] != ':'))
			return false;
		colon = close[1] ? close + 1 : NULL;
		end = close;
	} else if (colon && strchr(text, ':') == colon) {
		end = colon; /* one colon only: it is no IPv6 address */
	} else {
		colon = NULL;
	}
	len = (size_t)(end - text);
	if (len >= ADDR_STRLEN)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (colon) {
		char *rest;
		unsigned long n = strtoul(colon + 1, &rest, 10);

		if (colon[1] < '0' || colon[1] > '9' || *rest || n > UINT16_MAX)
			return false;
		*port = (uint32_t)n;
	}
	return addr_parse(host, &a) && (!brackets || a.family == 6);
}

/* ---- the answer, in words ---- */

static char *safe(const char *text)
{
	return text_safe(text ? text : "");
}

static void print_one(FILE *out, const char *before, const char *text, const char *after)
{
	char *clean = safe(text);

	if (clean && *clean)
		fprintf(out, "%s%s%s", before, clean, after);
	free(clean);
}

static void print_affinity(FILE *out, const Turnout__TraceRow *r)
{
	print_one(out, "of ", r->manager, "");
	/* Ranks below all others stand for "none given". */
	if (r->precedence == UINT32_MAX)
		fprintf(out, ", no precedence");
	else
		fprintf(out, ", precedence %u", r->precedence);
	print_one(out, ": ", r->match, "");
	print_one(out, "\n              ", r->actions, "");
	fprintf(out, "; said %u s ago, for %u s more\n             ", r->age_s, r->left_s);
}

static void print_step(FILE *out, const Turnout__TraceRow *r)
{
	bool affinity = strcmp(r->what, "wildcard") == 0 || strcmp(r->what, "fixed") == 0;

	fprintf(out, "  %u ", r->step);
	print_one(out, "", r->what, "");
	fprintf(out, "%*s", (int)(strlen(r->what) < 10 ? 10 - strlen(r->what) : 1), "");
	if (affinity)
		print_affinity(out, r);
	else
		print_one(out, "", r->match, "");
	print_one(out, *r->match ? " " : "", r->verdict, "");
	if (*r->next_hop && strcmp(r->next_hop, "connected") != 0)
		print_one(out, " via ", r->next_hop, "");
	else
		print_one(out, " ", r->next_hop, "");
	print_one(out, " by ", r->interface, "");
	if (strcmp(r->what, "outcome") == 0)
		print_one(out, ", manager ", r->manager, "");
	print_one(out, *r->verdict || *r->interface ? ": " : " ", r->reason, "");
	fputc('\n', out);
}

static bool trace_page(void *ctx, const char *daemon, const Turnout__Reply *reply)
{
	struct trace *t = ctx;

	if (!t->render) {
		print_one(t->ctl->out, t->any ? "\n" : "", daemon, ":\n");
		t->any = true;
	}
	for (size_t i = 0; i < reply->n_trace; i++) {
		if (!t->render)
			print_step(t->ctl->out, reply->trace[i]);
		else if (!render_row(t->render, daemon, &reply->trace[i]->base)) {
			ctl_error(t->ctl, EXITCODE_FAILURE, "out of memory, or the output cannot be written");
			return false;
		}
	}
	return true;
}

static enum exitcode ask(struct ctl *c, Turnout__Trace *question)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	struct trace t = {.ctl = c};
	enum exitcode status;
	size_t answered;

	if (c->json) {
		t.render = render_new(c->out, true, "trace", &turnout__trace_row__descriptor);
		if (!t.render)
			return ctl_error(c, EXITCODE_FAILURE, "out of memory");
	}
	request.what_case = TURNOUT__REQUEST__WHAT_TRACE;
	request.trace = question;
	status = ask_all(c, "traces", &request, trace_page, &t, &answered);
	if (t.render && answered == 0)
		render_cancel(t.render);
	else if (t.render && !render_end(t.render, ""))
		return ctl_error(c, EXITCODE_FAILURE, "the output cannot be written");
	return status;
}

enum exitcode trace_run(struct ctl *c)
{
	Turnout__Trace question = TURNOUT__TRACE__INIT;
	char from[ADDR_STRLEN], to[ADDR_STRLEN];
	uint8_t proto;

	if (c->argc < 4 || c->argc > 5)
		return ctl_error(c, EXITCODE_USAGE,
				 "trace takes a protocol, a source and a destination: turnoutctl trace tcp "
				 "10.0.1.11:4000 203.0.113.10:80");
	if (!proto_parse(c->argv[1], &proto) || proto == 0)
		return ctl_error(c, EXITCODE_USAGE, "protocol '%s': tcp, udp, icmp, icmpv6 or a number is needed",
				 c->argv[1]);
	for (int i = 2; i < 4; i++)
		if (!trace_endpoint(c->argv[i], i == 2 ? from : to, i == 2 ? &question.sport : &question.dport))
			return ctl_error(c, EXITCODE_USAGE,
					 "%s '%s': an address with a port is needed, as 10.0.1.11:4000 or "
					 "[2001:db8::1]:80",
					 i == 2 ? "source" : "destination", c->argv[i]);
	if (c->argc == 5 && strspn(c->argv[4], "FSRPAU") != strlen(c->argv[4]))
		return ctl_error(c, EXITCODE_USAGE, "flags '%s': letters of FSRPAU are needed, as A or PA", c->argv[4]);
	question.protocol = c->argv[1];
	question.source = from;
	question.destination = to;
	if (c->argc == 5)
		question.flags = c->argv[4];
	return ask(c, &question);
}

void trace_details(FILE *out)
{
	fprintf(out, "\nAsks each agent of this machine what it would do with a packet of this flow now: which\n"
		     "affinities of which managers match, in the order in which they are consulted, which of them\n"
		     "acts, what the packet looks like then, where the kernel's routing table sends it, and the\n"
		     "outcome: forward, drop, punt, hold, or untouched. Nothing is sent, changed or counted.\n"
		     "\nFLAGS are those of a TCP packet, letters of FSRPAU (P: with data); without them it is a SYN.\n"
		     "ICMP has no ports: turnoutctl trace icmp 10.0.1.11 203.0.113.10\n");
}
