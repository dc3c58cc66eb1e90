/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl show: one listing, merged from every daemon that has it.
 *
 * A listing NAME is the request field show_NAME and the reply's repeated field
 * NAME in proto/admin.proto, both found by name.  Must not know rows' fields,
 * but for the value of a counter.
 */
#include "ctl/ctl.h"

#include <string.h>

#include "ctl/render.h"

static const struct {
	const char *name;
	const char *help;
} listings[] = {
	{"agents", "agents the manager knows, and the agents themselves"},
	{"managers", "managers an agent knows"},
	{"services", "virtual services and their state"},
	{"servers", "servers behind the services, and their health"},
	{"wildcards", "wildcard affinities: what managers want of sets of flows"},
	{"affinities", "fixed affinities: what managers want of single flows"},
	{"flows", "at an agent: flows and all that acts on them; at a manager: connections"},
	{"forwards", "traffic by the address it goes to, where managers ask for that"},
	{"counters", "what was counted, drops by reason; zeros only with --all or --json"},
	{"routes", "prefixes announced through routing"},
	{"interfaces", "data interfaces"},
};
#define LISTINGS (sizeof(listings) / sizeof(listings[0]))

struct show {
	struct ctl *ctl;
	const ProtobufCFieldDescriptor *field; /* of the reply */
	struct render *render;
	size_t hidden;
};

void show_details(FILE *out)
{
	fprintf(out, "\nListings:\n");
	for (size_t i = 0; i < LISTINGS; i++)
		fprintf(out, "  %-11s %s\n", listings[i].name, listings[i].help);
}

static bool hidden(const struct show *s, const ProtobufCMessage *row)
{
	return row->descriptor == &turnout__counter_row__descriptor && !s->ctl->all && !s->ctl->json &&
	       ((const Turnout__CounterRow *)row)->value == 0;
}

static bool show_page(void *ctx, const char *daemon, const Turnout__Reply *reply)
{
	struct show *s = ctx;
	const uint8_t *base = (const uint8_t *)reply;
	size_t count = *(const size_t *)(base + s->field->quantifier_offset);
	ProtobufCMessage *const *rows = *(ProtobufCMessage *const *const *)(base + s->field->offset);

	for (size_t i = 0; i < count; i++) {
		if (hidden(s, rows[i])) {
			s->hidden++;
		} else if (!render_row(s->render, daemon, rows[i])) {
			ctl_error(s->ctl, EXITCODE_FAILURE, "out of memory, or the output cannot be written");
			return false;
		}
	}
	return true;
}

/* Set the request's oneof to the Empty message of this field. */
static void select_request(Turnout__Request *request, Turnout__Empty *empty, const ProtobufCFieldDescriptor *field)
{
	uint8_t *base = (uint8_t *)request;

	*(uint32_t *)(base + field->quantifier_offset) = field->id;
	*(Turnout__Empty **)(base + field->offset) = empty;
}

static enum exitcode show_listing(struct ctl *c, const char *name)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;
	struct show s = {.ctl = c};
	const ProtobufCFieldDescriptor *wanted;
	enum exitcode status;
	size_t answered;
	char text[80];

	snprintf(text, sizeof(text), "show_%s", name);
	wanted = protobuf_c_message_descriptor_get_field_by_name(&turnout__request__descriptor, text);
	s.field = protobuf_c_message_descriptor_get_field_by_name(&turnout__reply__descriptor, name);
	if (!wanted || !s.field)
		return ctl_error(c, EXITCODE_FAILURE, "the admin schema has no listing '%s'", name);
	select_request(&request, &empty, wanted);
	s.render = render_new(c->out, c->json, name, s.field->descriptor);
	if (!s.render)
		return ctl_error(c, EXITCODE_FAILURE, "out of memory");
	status = ask_all(c, name, &request, show_page, &s, &answered);
	if (answered == 0) {
		render_cancel(s.render);
		return status;
	}
	snprintf(text, sizeof(text), "no %s%s", name, s.hidden ? " but zeros; --all shows them" : "");
	if (!render_end(s.render, text))
		return ctl_error(c, EXITCODE_FAILURE, "the output cannot be written");
	return status;
}

enum exitcode show_run(struct ctl *c)
{
	const char *names[LISTINGS];

	for (size_t i = 0; i < LISTINGS; i++)
		names[i] = listings[i].name;
	if (c->argc > 2)
		return ctl_error(c, EXITCODE_USAGE, "'%s' is one word too many: show takes one listing at a time",
				 c->argv[2]);
	for (size_t i = 0; c->argc == 2 && i < LISTINGS; i++)
		if (strcmp(names[i], c->argv[1]) == 0)
			return show_listing(c, names[i]);
	return ctl_unknown(c, "listing", c->argc == 2 ? c->argv[1] : "", names, LISTINGS);
}
