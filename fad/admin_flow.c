/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The row of a flow: what all affinities that act on it make of it.
 * Must not know sockets or the kernel.  ARCH-7.
 */
#include "fad/admin_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fad/engine_trace.h"

/* Whose affinities they are, best precedence first, each once in a row. */
static void print_managers(FILE *out, const struct flow_plan *plan)
{
	const struct manager *last = NULL;
	char name[WIRE_MAX_NAME + 1];

	for (int i = 0; i < plan->count; i++) {
		const struct manager *m = plan->steps[i].a->manager;

		if (m != last)
			fprintf(out, "%s%s", last ? ", " : "", manager_name(m, name));
		last = m;
	}
}

/* Only what the plan does: of a wildcard that asks, the fixed affinity is the answer. */
static void print_actions(FILE *out, const struct flow_plan *plan)
{
	char one[512];

	for (int i = 0; i < plan->count; i++) {
		affinity_describe(plan->steps[i].a, one, sizeof(one));
		fprintf(out, "%s%s", i > 0 ? "; " : "", one);
	}
}

static char *printed(struct admin *a, void (*print)(FILE *out, const struct flow_plan *plan),
		     const struct flow_plan *plan)
{
	char *buf = NULL, *kept;
	size_t size;
	FILE *out = open_memstream(&buf, &size);

	if (out != NULL) {
		print(out, plan);
		fclose(out);
	}
	kept = admin_text(a, "%s", buf != NULL ? buf : "");
	free(buf);
	return kept;
}

/* Each packet is counted by every affinity that acts on it, so the one that counted most saw all. */
static void fill_traffic(Turnout__FlowRow *r, const struct flow *f, uint64_t now_ms)
{
	for (const struct fixed *x = f->fixed; x != NULL; x = x->next_in_flow) {
		uint32_t left = admin_seconds_left(x->a.expires_ms, now_ms);

		if (x->a.packets >= r->packets) {
			r->packets = x->a.packets;
			r->bytes = x->a.bytes;
		}
		r->left_s = left > r->left_s ? left : r->left_s;
	}
	r->age_s = (uint32_t)((now_ms - f->made_ms) / 1000);
}

bool admin_flow_row(struct admin *a, const struct admin_view *v, const struct flow *f)
{
	struct addr src = addr_make(f->key.family, f->key.src), dst = addr_make(f->key.family, f->key.dst);
	Turnout__FlowRow *r = ADMIN_ROW(a, FlowRow);
	char hop[ADDR_STRLEN];
	struct flow_plan plan;

	if (r == NULL)
		return false;
	turnout__flow_row__init(r);
	engine_flow_plan(v->engine, f, &plan);
	r->protocol = admin_proto_text(a, f->key.proto);
	r->source = admin_endpoint_text(a, &src, f->key.sport);
	r->destination = admin_endpoint_text(a, &dst, f->key.dport);
	r->managers = printed(a, print_managers, &plan);
	r->actions = printed(a, print_actions, &plan);
	r->state = admin_text(a, plan.drop ? "drop" : "forward");
	if (!addr_is_zero(&plan.next_hop))
		r->next_hop = admin_text(a, "%s", addr_print(&plan.next_hop, hop));
	fill_traffic(r, f, v->now_ms);
	return true;
}
