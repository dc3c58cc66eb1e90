/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: agents and managers that do not hear each other, and why.
 *
 * Pure; must not know where facts come from.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

/* What a control message has beside the packet it encloses, at most, IP and UDP headers included. */
#define MESSAGE_OVERHEAD 250

static uint64_t dropped(const struct fact_daemon *d, const char *name)
{
	return fact_counter(d, "message-drops", name);
}

/* The interface with the daemon's control address, or the one named. */
static const struct fact_interface *control_interface(const struct facts *facts, const struct fact_daemon *d)
{
	const char *name = fact_setting(d, "control.interface");
	char word[64];

	if (*name)
		return fact_interface(facts, name);
	snprintf(word, sizeof(word), " %s ", fact_setting(d, "control.address"));
	for (size_t i = 0; i < facts->host.interface_count; i++)
		if (strstr(facts->host.interfaces[i].addresses, word))
			return &facts->host.interfaces[i];
	return NULL;
}

struct reason {
	const char *counter, *text, *fix;
};

/* Drops that explain a silence, the surest first. */
static const struct reason reasons[] = {
	{"authentication-wrong", "messages whose signature does not fit: the other side has another secret",
	 "compare the key files: sha256sum of security.keys[].file on both sides"},
	{"authentication-unknown-key", "messages signed with a key that is not configured here",
	 "configure the same security.keys, with the same id, on both sides"},
	{"authentication-absent", "unsigned messages, and signed ones are expected here",
	 "configure the same security.keys on the other side"},
	{"authentication-scheme", "messages signed by another scheme than the key has here",
	 "configure the same scheme for the key on both sides"},
	{"authentication-identity", "messages signed with a key that is not their sender's",
	 "see security.keys[].identities"},
	{"version", "messages of another protocol version", "run the same version of Turnout on both sides"},
};
#define REASONS (sizeof(reasons) / sizeof(reasons[0]))

/* Why may d hear nobody?  Fills text and fix of a finding that says already that it does not. */
static void explain(const struct facts *facts, const struct fact_daemon *d, struct finding *x, const char *what)
{
	uint64_t heard = fact_counter(d, "messages", "received"), own = fact_counter(d, "messages", "own-heard");
	const struct fact_interface *i = control_interface(facts, d);
	const char *group = fact_setting(d, "control.group"), *port = fact_setting(d, "control.group-port");

	for (size_t k = 0; k < REASONS; k++) {
		if (dropped(d, reasons[k].counter) == 0)
			continue;
		finding_text(x, "%s; it dropped %llu %s", what, (unsigned long long)dropped(d, reasons[k].counter),
			     reasons[k].text);
		finding_fix(x, "%s", reasons[k].fix);
		return;
	}
	if (!i || !i->up) {
		finding_text(x, "%s; the interface of its control address %s is %s", what,
			     fact_setting(d, "control.address"), i ? "down" : "not there");
		finding_fix(x, "ip -br address; control.address and control.interface in its configuration");
	} else if (heard <= own) {
		finding_text(x, "%s; no message of others came in at all", what);
		finding_fix(x,
			    "is the other side up? Does multicast to %s port %s get here (tcpdump -ni %s udp port %s), "
			    "does a firewall drop it? Without multicast: control.peers",
			    group, port, i->name, port);
	} else {
		finding_text(x, "%s; %llu messages came in, of other agents perhaps", what,
			     (unsigned long long)(heard - own));
		finding_fix(x,
			    "turnoutctl --from %s show counters: message-drops; is UDP port %s to %s open both ways?",
			    d->name, fact_setting(d, "control.port"), fact_setting(d, "control.address"));
	}
}

static void peer(const struct facts *facts, const struct fact_daemon *d, struct findings *f, const char *kind,
		 const char *name, const char *address, const char *state, uint32_t age_s)
{
	struct finding *x;
	char what[192];

	if (strcmp(state, "silent") == 0) {
		x = finding_add(f, SEVERITY_ERROR, "peer", d, name);
		snprintf(what, sizeof(what), "%s %s (%s) has been silent for %u s", kind, name, address, age_s);
		explain(facts, d, x, what);
	} else if (strcmp(state, "challenged") == 0) {
		x = finding_add(f, SEVERITY_ERROR, "peer", d, name);
		finding_text(x, "%s %s (%s) does not answer our challenges: messages pass one way only", kind, name,
			     address);
		finding_fix(x, "is UDP to its control address and port open? does it have a route back?");
	} else if (strcmp(state, "unable") == 0) {
		x = finding_add(f, SEVERITY_WARNING, "peer", d, name);
		finding_text(x, "%s %s (%s) lacks an action that the services need, and is given none", kind, name,
			     address);
		finding_fix(x, "run the same version of Turnout there");
	} else {
		f->good++;
	}
}

static void agent(const struct facts *facts, const struct fact_daemon *d, struct findings *f)
{
	size_t managers = 0, wildcards = 0;
	struct finding *x;

	FACT_EACH(Turnout__ManagerRow, row, d, FACT_MANAGERS, managers)
	{
		peer(facts, d, f, "manager", row->name, row->address, row->state, row->age_s);
		managers++;
		wildcards += row->wildcards;
	}
	if (managers == 0) {
		x = finding_add(f, SEVERITY_ERROR, "peer", d, "managers");
		explain(facts, d, x, "this agent knows no manager");
	} else if (wildcards == 0) {
		x = finding_add(f, SEVERITY_WARNING, "peer", d, "managers");
		finding_text(x, "managers are known, but none wants anything: no service can be announced");
		finding_fix(x, "at the manager: turnoutctl show services; turnoutctl show servers");
	} else {
		f->good++;
	}
}

static void manager(const struct facts *facts, const struct fact_daemon *d, struct findings *f)
{
	size_t agents = 0;

	FACT_EACH(Turnout__AgentRow, row, d, FACT_AGENTS, agents)
	{
		peer(facts, d, f, "agent", row->name, row->address, row->state, row->age_s);
		agents++;
	}
	if (agents == 0)
		explain(facts, d, finding_add(f, SEVERITY_ERROR, "peer", d, "agents"), "this manager knows no agent");
	else
		f->good++;
}

/* Somebody else speaks to us in vain, while those we know are well. */
static void strangers(const struct fact_daemon *d, struct findings *f, size_t before)
{
	struct finding *x;

	for (size_t i = before; i < f->count; i++)
		if (strcmp(f->list[i].check, "peer") == 0)
			return; /* named there */
	for (size_t k = 0; k < REASONS; k++) {
		uint64_t n = dropped(d, reasons[k].counter);

		if (n == 0) {
			f->good++;
			continue;
		}
		x = finding_add(f, SEVERITY_WARNING, "messages", d, reasons[k].counter);
		finding_text(x, "since its start it dropped %llu %s", (unsigned long long)n, reasons[k].text);
		finding_fix(x, "%s; a former trouble stays counted until it is restarted", reasons[k].fix);
	}
}

static void fragments(const struct facts *facts, const struct fact_daemon *d, struct findings *f)
{
	const struct fact_interface *control = control_interface(facts, d);
	unsigned most = 0;
	struct finding *x;

	FACT_EACH(Turnout__InterfaceRow, row, d, FACT_INTERFACES, interfaces)
	{
		const struct fact_interface *i = fact_interface(facts, row->name);

		if (i && i->mtu > most)
			most = i->mtu;
	}
	if (!control || control->mtu == 0 || most == 0 || control->mtu >= most + MESSAGE_OVERHEAD) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ADVICE, "mtu", d, control->name);
	finding_text(x,
		     "messages that enclose a full-size packet are larger than the MTU of %s, %u, and go in fragments",
		     control->name, control->mtu);
	finding_fix(x, "do not filter fragments there; or, on all of the control network: ip link set %s mtu %u",
		    control->name, most + MESSAGE_OVERHEAD);
}

static void unsigned_messages(const struct fact_daemon *d, struct findings *f)
{
	struct finding *x;

	if (strcmp(fact_setting(d, "security.keys"), "0") != 0) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ADVICE, "keys", d, "security.keys");
	finding_text(x, "no key is configured: whoever reaches the control port can redirect traffic");
	finding_fix(x, "on a network that is not closed: see `Keys` in docs/operations.md");
}

static void versions(const struct facts *facts, struct findings *f)
{
	struct finding *x;

	for (size_t i = 0; i < facts->daemon_count; i++) {
		const struct fact_daemon *d = &facts->daemons[i];

		if (!*d->version || strcmp(d->version, TURNOUT_VERSION) == 0)
			continue;
		x = finding_add(f, SEVERITY_WARNING, "version", d, d->name);
		finding_text(x, "%s is version %s, turnoutctl is %s", d->name, d->version, TURNOUT_VERSION);
		finding_fix(x, "systemctl restart %s", d->program);
	}
}

void doctor_check_peers(const struct facts *facts, struct findings *f)
{
	for (size_t i = 0; i < facts->daemon_count; i++) {
		const struct fact_daemon *d = &facts->daemons[i];
		size_t before = f->count;

		if (d->life != LIFE_ALIVE || fact_is(d, "routed-glue"))
			continue;
		if (fact_is(d, "fad"))
			agent(facts, d, f);
		else if (fact_is(d, "smd"))
			manager(facts, d, f);
		strangers(d, f, before);
		unsigned_messages(d, f);
		if (fact_is(d, "fad"))
			fragments(facts, d, f);
	}
	versions(facts, f);
}
