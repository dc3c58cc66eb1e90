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

static void peer(const struct facts *facts, const struct fact_daemon *d, struct findings *f, const char *kind,
		 const char *name, const char *address, const char *state, uint32_t age_s, uint32_t deaf)
{
	struct finding *x;
	char what[192];

	if (strcmp(state, "silent") == 0) {
		x = finding_add(f, SEVERITY_ERROR, "peer", d, name);
		snprintf(what, sizeof(what), "%s %s (%s) has been silent for %u s", kind, name, address, age_s);
		doctor_explain(facts, d, x, what);
	} else if (deaf > 0) {
		x = finding_add(f, SEVERITY_WARNING, "peer", d, name);
		finding_text(
			x,
			"%s %s (%s) is heard, but does not answer under %u wildcard%s: packets are dropped, or pass "
			"them by, as on-silence says",
			kind, name, address, deaf, deaf == 1 ? "" : "s");
		finding_fix(x, "is it stopped, or busy? there: systemctl status smd; here: turnoutctl show wildcards");
	} else if (strcmp(state, "unable") == 0) {
		x = finding_add(f, SEVERITY_WARNING, "peer", d, name);
		finding_text(x, "%s %s (%s) lacks an action that the services need, and is given none", kind, name,
			     address);
		finding_fix(x, "run the same version of Turnout there");
	} else {
		f->good++;
	}
}

bool doctor_misses_peers(const struct fact_daemon *d)
{
	size_t managers = 0, agents = 0, silent = 0, wildcards = 0;

	FACT_EACH(Turnout__ManagerRow, m, d, FACT_MANAGERS, managers)
	{
		managers++;
		silent += strcmp(m->state, "silent") == 0;
		wildcards += m->wildcards;
	}
	FACT_EACH(Turnout__AgentRow, a, d, FACT_AGENTS, agents)
	{
		agents++;
		silent += strcmp(a->state, "silent") == 0;
	}
	if (fact_is(d, "fad")) /* it lists itself among the agents */
		return managers == 0 || silent > 0 || wildcards == 0;
	return fact_is(d, "smd") && (agents == 0 || silent > 0);
}

static void agent(const struct facts *facts, const struct fact_daemon *d, struct findings *f)
{
	size_t managers = 0, silent = 0, wildcards = 0;
	struct finding *x;

	FACT_EACH(Turnout__ManagerRow, row, d, FACT_MANAGERS, managers)
	{
		silent += strcmp(row->state, "silent") == 0;
		peer(facts, d, f, "manager", row->name, row->address, row->state, row->age_s, row->silent_wildcards);
		managers++;
		wildcards += row->wildcards;
	}
	if (managers == 0) {
		x = finding_add(f, SEVERITY_ERROR, "peer", d, "managers");
		doctor_explain(facts, d, x, "this agent knows no manager");
	} else if (wildcards == 0 && silent < managers) {
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
		peer(facts, d, f, "agent", row->name, row->address, row->state, row->age_s, 0);
		agents++;
	}
	if (agents == 0)
		doctor_explain(facts, d, finding_add(f, SEVERITY_ERROR, "peer", d, "agents"),
			       "this manager knows no agent");
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
	for (const struct doctor_reason *r = doctor_reasons; r->counter; r++) {
		uint64_t n = fact_counter(d, "message-drops", r->counter);

		if (n == 0) {
			f->good++;
			continue;
		}
		x = finding_add(f, SEVERITY_WARNING, "messages", d, r->counter);
		finding_text(x, "since its start it dropped %llu %s", (unsigned long long)n, r->text);
		finding_fix(x, "%s; a former trouble stays counted until it is restarted", r->fix);
	}
}

static void fragments(const struct facts *facts, const struct fact_daemon *d, struct findings *f)
{
	const struct fact_interface *control = doctor_control_interface(facts, d);
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
		if (!doctor_misses_peers(d))
			doctor_check_filter(facts, d, f);
		unsigned_messages(d, f);
		if (fact_is(d, "fad"))
			fragments(facts, d, f);
	}
	versions(facts, f);
}
