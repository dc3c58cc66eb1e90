/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: the daemons of this machine, what they announce, their
 * servers, and how full their tables are.
 *
 * Pure; must not know of peers.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

#define NEARLY_FULL 80 /* per cent */

static void life(const struct fact_daemon *d, struct findings *f)
{
	const char *unit = *d->program ? d->program : d->name;
	struct finding *x;

	if (d->life == LIFE_ALIVE) {
		f->good++;
		return;
	}
	x = finding_add(f, d->life == LIFE_DENIED ? SEVERITY_UNCHECKED : SEVERITY_ERROR, "daemon", d, d->name);
	if (d->life == LIFE_DEAD) {
		finding_text(x, "%s does not run, and did not end in order: its socket is still in %s%s", d->name,
			     d->dir,
			     fact_is(d, "fad") ? "; what wildcards with agent-gone: drop cover is dropped" : "");
		finding_fix(x, "journalctl -u %s; systemctl start %s", unit, unit);
	} else if (d->life == LIFE_HUNG) {
		finding_text(x, "%s runs but does not answer: it is stopped, hangs, or is very busy", d->name);
		finding_fix(x, "cat %s/%s.pid; if it hangs: systemctl restart %s", d->dir, d->name, unit);
	} else {
		finding_text(x, "there is no permission to ask %s", d->name);
		finding_fix(x, "run turnoutctl doctor as root, or in the group turnout");
	}
}

static void none_at_all(const struct facts *facts, struct findings *f)
{
	struct finding *x = finding_add(f, SEVERITY_ERROR, "daemon", NULL, facts->run_dirs);

	finding_text(x, "no daemon of Turnout runs here: there is no socket in %s", facts->run_dirs);
	finding_fix(x, "systemctl enable --now fad routed-glue (a router) or smd (a manager), or see --run-dir");
}

/* ---- announcing ---- */

static const char *route_state(const struct facts *facts, const char *prefix)
{
	for (size_t i = 0; i < facts->daemon_count; i++)
		FACT_EACH(Turnout__RouteRow, row, &facts->daemons[i], FACT_ROUTES, routes)
	if (strcmp(row->prefix, prefix) == 0)
		return row->state;
	return "";
}

static void one_route(const struct facts *facts, const struct fact_daemon *fad, const char *prefix, struct findings *f)
{
	const char *state = route_state(facts, prefix);
	struct finding *x;

	if (strcmp(state, "installed") == 0) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ERROR, "route", fad, prefix);
	if (strcmp(state, "conflict") == 0) {
		finding_text(x, "%s is to be announced, but somebody else has a route on it", prefix);
		finding_fix(x, "ip route show %s; remove that route, or give routed-glue another `metric`", prefix);
	} else {
		finding_text(x, "%s is to be announced, but routed-glue has no route for it%s%s", prefix,
			     *state ? ": " : "", state);
		finding_fix(x, "turnoutctl show routes; routed-glue's log; is %s in its `agents`?", fad->name);
	}
}

static void announcing(const struct facts *facts, const struct fact_daemon *fad, struct findings *f)
{
	const struct fact_pages *all = &fad->listings[FACT_ADVERTISED];
	size_t count = fact_advertised(fad, false) + fact_advertised(fad, true);
	struct finding *x;

	if (count == 0)
		return;
	for (size_t i = 0; i < facts->daemon_count; i++) {
		if (!fact_is(&facts->daemons[i], "routed-glue"))
			continue;
		if (facts->daemons[i].life != LIFE_ALIVE)
			return; /* said already */
		for (size_t p = 0; p < all->count; p++)
			for (size_t k = 0; all->pages[p]->advertised && k < all->pages[p]->advertised->n_prefixes; k++)
				one_route(facts, fad, all->pages[p]->advertised->prefixes[k], f);
		return;
	}
	x = finding_add(f, SEVERITY_ERROR, "route", fad, "routed-glue");
	finding_text(x, "%zu prefixes are to be announced, and no routed-glue runs here", count);
	finding_fix(x, "systemctl enable --now routed-glue");
}

/* ---- services ---- */

static void services(const struct fact_daemon *d, struct findings *f)
{
	struct finding *x;

	FACT_EACH(Turnout__ServerRow, row, d, FACT_SERVERS, servers)
	{
		if (strcmp(row->state, "down") != 0) {
			f->good++;
			continue;
		}
		x = finding_add(f, SEVERITY_WARNING, "server", d, row->name);
		finding_text(x, "server %s (%s port %u) of service %s is down: %s", row->name, row->address, row->port,
			     row->service, row->check);
		finding_fix(x, "try it from here: nc -vz %s %u; or take it out: turnoutctl server disable %s/%s",
			    row->address, row->port, row->service, row->name);
	}
	FACT_EACH(Turnout__ServiceRow, row, d, FACT_SERVICES, services)
	{
		bool waiting = strcmp(row->state, "waiting") == 0, announced = strcmp(row->state, "announced") == 0;

		/* A filter has no servers. */
		if (announced && (row->servers != 0 || strcmp(row->method, "filter") == 0)) {
			f->good++;
			continue;
		}
		x = finding_add(f, waiting ? SEVERITY_WARNING : SEVERITY_ERROR, "service", d, row->name);
		finding_text(x,
			     waiting     ? "service %s at %s waits for the first checks of its servers"
			     : announced ? "service %s at %s is announced, but none of its servers can be used"
					 : "service %s at %s is withdrawn: none of its servers can be used",
			     row->name, row->vip);
		finding_fix(x, "turnoutctl show servers");
	}
}

/* ---- tables ---- */

static void filling(const struct fact_daemon *d, struct findings *f, const char *group, const char *name,
		    const char *limit)
{
	uint64_t most = strtoull(fact_setting(d, limit), NULL, 10), now = fact_counter(d, group, name);
	struct finding *x;

	if (most == 0)
		return;
	if (now < most / 100 * NEARLY_FULL + most % 100 * NEARLY_FULL / 100 || now == 0) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_WARNING, "table", d, limit);
	finding_text(x, "%llu of %llu %s %s: what does not fit is refused", (unsigned long long)now,
		     (unsigned long long)most, group, strcmp(group, "now") == 0 ? name : "are in use");
	finding_fix(x, "raise %s in %s's configuration", limit, d->program);
}

/* A counter that is not 0 tells of something that went wrong since the daemon's start. */
static void happened(const struct fact_daemon *d, struct findings *f, const char *group, const char *name,
		     const char *text, const char *fix)
{
	uint64_t count = fact_counter(d, group, name);
	struct finding *x;

	if (count == 0) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ADVICE, "counter", d, name);
	finding_text(x, "since its start: %llu %s", (unsigned long long)count, text);
	finding_fix(x, "%s", fix);
}

static void tables(const struct fact_daemon *d, struct findings *f)
{
	if (fact_is(d, "fad")) {
		filling(d, f, "affinities", "stored", "limits.fixed");
		filling(d, f, "wildcards", "stored", "limits.wildcards");
		filling(d, f, "hold", "flows", "limits.hold-flows");
		filling(d, f, "hold", "bytes", "limits.hold-bytes");
		happened(d, f, "affinities", "no-room",
			 "updates were denied because the table of fixed affinities was full",
			 "raise limits.fixed in fad's configuration");
		happened(d, f, "wildcards", "no-room", "updates were denied because the table of wildcards was full",
			 "raise limits.wildcards in fad's configuration");
		happened(d, f, "drops", "hold-full", "packets were dropped because there was no room to hold them",
			 "raise limits.hold-flows, hold-packets; are answers of the manager slow?");
		happened(d, f, "drops", "hold-timeout", "packets were dropped because no manager answered in time",
			 "turnoutctl show managers; turnoutctl capture --reason hold-timeout");
		happened(d, f, "drops", "agent-gone",
			 "packets were dropped, by wildcards with agent-gone: drop, while it gave no sign of life",
			 "what stopped it, or kept it from running, for more than a second? journalctl -u fad");
		happened(d, f, "drops", "punt-port-ring", "packets came faster than they were read",
			 "this machine is too slow for its traffic, or fad gets too little of it");
		happened(d, f, "drops", "forward", "packets could not be handed to the kernel",
			 "turnoutctl capture --reason forward; is the punt port up? ip link show tn-punt0");
	}
	if (fact_is(d, "smd")) {
		filling(d, f, "now", "flows", "limits.flows");
		filling(d, f, "now", "agents", "limits.agents");
	}
	if (!fact_is(d, "routed-glue"))
		happened(d, f, "message-drops", "receive-queue-full",
			 "control messages came faster than they were read",
			 "sysctl -w net.core.rmem_max=8388608, then restart it");
}

void doctor_check_daemons(const struct facts *facts, struct findings *f)
{
	if (facts->daemon_count == 0)
		none_at_all(facts, f);
	for (size_t i = 0; i < facts->daemon_count; i++)
		life(&facts->daemons[i], f);
	for (size_t i = 0; i < facts->daemon_count; i++) {
		const struct fact_daemon *d = &facts->daemons[i];

		if (d->life != LIFE_ALIVE)
			continue;
		if (fact_is(d, "fad"))
			announcing(facts, d, f);
		services(d, f);
		tables(d, f);
	}
}
