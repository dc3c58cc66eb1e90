/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Showing packets to who asks for them (turnoutctl capture), and telling what
 * was configured (turnoutctl doctor).
 *
 * Must not decide who sees what: tap.c does.
 */
#include <string.h>
#include <time.h>

#include "fad/agent.h"
#include "lib/daemon.h"

static const char *interface_name(const struct agent *a, uint32_t ifindex)
{
	for (size_t i = 0; i < a->interface_count; i++)
		if (a->interfaces[i].present && a->interfaces[i].ifindex == ifindex)
			return a->interfaces[i].name;
	return "";
}

/* A string of ours in a generated struct, which has no const. */
static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void publish(void *ctx, const struct tap_packet *p)
{
	Turnout__Captured captured = TURNOUT__CAPTURED__INIT;
	Turnout__Event event = TURNOUT__EVENT__INIT;
	struct agent *a = ctx;
	struct timespec now;

	if (a->bus == NULL)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	captured.kind = borrow(p->kind);
	captured.reason = borrow(p->reason);
	captured.time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	captured.packet = (ProtobufCBinaryData){p->len, (uint8_t *)(uintptr_t)p->data};
	captured.length = p->full;
	captured.interface = borrow(interface_name(a, p->ifindex));
	captured.skipped = p->skipped;
	event.what_case = TURNOUT__EVENT__WHAT_CAPTURED;
	event.captured = &captured;
	bus_publish(a->bus, &event);
}

static void looked_on(void *ctx, bool now)
{
	struct agent *a = ctx;

	a->look = (struct engine_tap){.packet = tap_packet, .ctx = a->tap};
	engine_look(a->engine, now ? &a->look : NULL);
}

static const struct tap_out out = {.publish = publish, .looked_on = looked_on};

bool agent_tap_new(struct agent *a)
{
	a->tap = tap_new(&out, a);
	return a->tap != NULL;
}

const char *agent_capture(struct agent *a, const Turnout__Capture *request, Turnout__Reply *reply)
{
	const char *error = tap_request(a->tap, request, daemon_now_ms());
	uint64_t counters[CLASSIFIER_COUNTERS];

	if (error == NULL)
		classifier_show_drops(a->classifier, tap_wants_drops(a->tap));
	classifier_counters(a->classifier, counters);
	tap_unshown(a->tap, counters[CLASSIFIER_UNSHOWN]);
	turnout__capture_lease__init(&a->lease);
	a->lease.lease_ms = TAP_LEASE_MS;
	a->lease.published = tap_published(a->tap);
	a->lease.skipped = tap_skipped(a->tap) + counters[CLASSIFIER_UNSHOWN];
	reply->capture = &a->lease;
	return error;
}

const char *agent_settings(struct agent *a, Turnout__Reply *reply)
{
	const struct fad_limits_conf *l = &a->conf.limits;
	struct settings *s = &a->settings;
	char list[sizeof(s->values[0])] = "";

	s->count = 0;
	settings_add_endpoint(s, &a->conf.control, &a->conf.security);
	for (size_t i = 0; i < a->conf.interfaces.count; i++) {
		size_t len = strlen(list);

		snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? "," : "",
			 fad_config_interface(&a->conf, i)->name);
	}
	settings_add(s, "interfaces", "%s", list);
	settings_add(s, "punt-port", "%s", a->conf.punt_port);
	settings_add(s, "limits.fixed", "%u", l->fixed);
	settings_add(s, "limits.wildcards", "%u", l->wildcards);
	settings_add(s, "limits.hold-flows", "%u", l->hold_flows);
	settings_add(s, "limits.hold-bytes", "%llu", (unsigned long long)l->hold_bytes);
	settings_give(s, reply);
	return NULL;
}
