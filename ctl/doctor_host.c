/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: the kernel's features and settings, interfaces, the
 * device VIPs are routes of.
 *
 * Pure; must not know where facts come from.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

/* Is a daemon of this program meant to be here, alive or not? */
static const struct fact_daemon *first(const struct facts *facts, const char *program)
{
	for (size_t i = 0; i < facts->daemon_count; i++)
		if (fact_is(&facts->daemons[i], program))
			return &facts->daemons[i];
	return NULL;
}

static void features(const struct facts *facts, struct findings *f)
{
	static const struct {
		const char *name, *text, *fix;
	} known[FEATURES] = {
		[FEATURE_BPF] = {"bpf", "the kernel loads no BPF program: fad cannot work",
				 "a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF is needed"},
		[FEATURE_VETH] = {"veth", "the kernel makes no veth pair: fad has no punt port", "modprobe veth"},
		[FEATURE_CLSACT] = {"clsact", "the kernel has no clsact queueing discipline: fad cannot see packets",
				    "modprobe sch_ingress; modprobe cls_bpf"},
		[FEATURE_TUN] = {"tun", "/dev/net/tun makes no device: routed-glue cannot announce", "modprobe tun"},
	};

	for (int i = 0; i < FEATURES; i++) {
		struct finding *x;

		const struct fact_daemon *user = first(facts, i == FEATURE_TUN ? "routed-glue" : "fad");

		if (!user && facts->daemon_count > 0)
			continue; /* nobody here needs it */
		if ((user && user->life == LIFE_ALIVE) || facts->host.features[i] == FACT_YES) {
			f->good++;
			continue;
		}
		x = finding_add(f, facts->host.features[i] == FACT_NO ? SEVERITY_ERROR : SEVERITY_UNCHECKED, "kernel",
				NULL, known[i].name);
		if (facts->host.features[i] == FACT_NO) {
			finding_text(x, "%s", known[i].text);
			finding_fix(x, "%s", known[i].fix);
		} else {
			finding_text(x, "trying what the kernel can do was not permitted");
			finding_fix(x, "run turnoutctl doctor as root");
		}
	}
}

/* A sysctl that is 0 and must not be. */
static void forwarding(struct findings *f, int value, const char *sysctl, const char *family)
{
	struct finding *x;

	if (value != 0) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ERROR, "forwarding", NULL, sysctl);
	finding_text(x, "the kernel does not forward %s: decided packets go nowhere", family);
	finding_fix(x, "sysctl -w %s=1", sysctl);
}

static void multipath(struct findings *f, int value, const char *sysctl)
{
	struct finding *x;

	if (value != 0) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ADVICE, "multipath-hash", NULL, sysctl);
	finding_text(x, "equal routes are chosen by addresses only: flows of one client to one VIP all go one way");
	finding_fix(x, "sysctl -w %s=1", sysctl);
}

/* The kernel takes the larger of all's and the interface's; 1 drops what comes by another way than answers go. */
static bool strict(const struct facts *facts, const char *name)
{
	const struct fact_interface *i = fact_interface(facts, name);

	return i && i->rp_filter < 2 && (facts->host.rp_all == 1 || (i->rp_filter == 1 && facts->host.rp_all != 2));
}

static void rp_filter(const struct facts *facts, struct findings *f, const char *name, const char *why)
{
	const struct fact_interface *i = fact_interface(facts, name);
	struct finding *x;

	if (!i)
		return;
	if (!strict(facts, name) || i->rp_filter != 1) {
		f->good++; /* or all's, which has a finding of its own */
		return;
	}
	x = finding_add(f, SEVERITY_ERROR, "rp-filter", NULL, name);
	finding_text(x, "net.ipv4.conf.%s.rp_filter is 1: %s", name, why);
	finding_fix(x, "sysctl -w net.ipv4.conf.%s.rp_filter=0", name);
}

/* Where an interface has no address of IPv4, 2 is as strict as 1.  fad gives its port one. */
static void port_address(const struct facts *facts, struct findings *f, const char *name)
{
	const struct fact_interface *i = fact_interface(facts, name);
	struct finding *x;

	if (!i || strchr(i->addresses, '.') || (facts->host.rp_all != 2 && i->rp_filter != 2)) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ERROR, "rp-filter", NULL, name);
	finding_text(x,
		     "rp_filter is 2 at %s, which has lost its IPv4 address: decided packets that come back from the "
		     "agent are dropped",
		     name);
	finding_fix(x, "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.%s.rp_filter=0", name);
}

static void rp_filters(const struct facts *facts, struct findings *f, const struct fact_daemon *fad)
{
	bool all = false;
	char port[20];

	snprintf(port, sizeof(port), "%s0", fact_setting(fad, "punt-port"));
	all = strict(facts, port);
	FACT_EACH(Turnout__InterfaceRow, row, fad, FACT_INTERFACES, interfaces)
	{
		all |= strict(facts, row->name);
		rp_filter(facts, f, row->name, "packets of paths that differ in the two directions are dropped");
	}
	rp_filter(facts, f, port, "decided packets that come back from the agent are dropped");
	port_address(facts, f, port);
	if (all && facts->host.rp_all == 1) {
		struct finding *x = finding_add(f, SEVERITY_ERROR, "rp-filter", NULL, "all");

		finding_text(x, "net.ipv4.conf.all.rp_filter is 1: the kernel drops packets that come back from the "
				"agent, and those of paths that differ in the two directions");
		finding_fix(x, "sysctl -w net.ipv4.conf.all.rp_filter=0");
	} else {
		f->good++;
	}
}

static void data_interface(const struct facts *facts, struct findings *f, const struct fact_daemon *fad,
			   const Turnout__InterfaceRow *row)
{
	const struct fact_interface *i = fact_interface(facts, row->name);
	struct finding *x;

	if (strcmp(row->state, "up") != 0) {
		x = finding_add(f, SEVERITY_ERROR, "interface", fad, row->name);
		if (strcmp(row->state, "absent") == 0) {
			finding_text(x, "data interface %s is not there", row->name);
			finding_fix(x, "make it, or take it out of `interfaces` in fad's configuration");
		} else if (strcmp(row->state, "down") == 0) {
			finding_text(x, "data interface %s is down", row->name);
			finding_fix(x, "ip link set %s up", row->name);
		} else {
			finding_text(x,
				     "fad's classifier is not attached to %s: nothing that comes in there is matched",
				     row->name);
			finding_fix(x, "see fad's log for the reason: journalctl -u fad");
		}
	} else {
		f->good++;
	}
	if (!i)
		return;
	if (i->filters_before <= 0) {
		f->good += i->filters_before == 0;
		return;
	}
	x = finding_add(f, SEVERITY_WARNING, "tc-filter", NULL, row->name);
	finding_text(x,
		     "%d other tc filter(s), first a %s, see what comes in at %s before fad does: what they drop, "
		     "redirect or accept is never matched",
		     i->filters_before, i->filter_kind, row->name);
	finding_fix(x, "tc filter show dev %s ingress; give them a `pref` above 29806, or remove them", row->name);
}

static void vip_device(const struct facts *facts, struct findings *f, const struct fact_daemon *glue)
{
	const char *name = fact_setting(glue, "interface"), *address = fact_setting(glue, "address");
	const struct fact_interface *i = fact_interface(facts, name);
	char word[64];
	struct finding *x;

	if (glue->life != LIFE_ALIVE || !*name)
		return;
	snprintf(word, sizeof(word), " %s ", address);
	if (i && i->up && strstr(i->addresses, word)) {
		f->good++;
		return;
	}
	x = finding_add(f, i && i->up ? SEVERITY_WARNING : SEVERITY_ERROR, "vip-device", glue, name);
	if (!i)
		finding_text(x, "the device %s of routed-glue is not in this network namespace: nothing is announced",
			     name);
	else if (!i->up)
		finding_text(x, "%s is down: the VIPs' routes are gone", name);
	else
		finding_text(x, "%s has lost its address %s: FRRouting may not take up its IPv4 routes", name, address);
	finding_fix(x, "routed-glue repairs it within its audit; if it stays, someone takes it away: "
		       "look at what manages interfaces here, then systemctl restart routed-glue");
}

static void networkd(const struct facts *facts, struct findings *f)
{
	struct finding *x;

	if (facts->host.networkd != FACT_YES || facts->host.networkd_keeps_routes) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_WARNING, "networkd", NULL, "ManageForeignRoutes");
	finding_text(x, "systemd-networkd runs and removes routes it did not make, the VIPs' among them");
	finding_fix(x, "set ManageForeignRoutes=no under [Network] in /etc/systemd/networkd.conf, "
		       "then systemctl restart systemd-networkd");
}

void doctor_check_host(const struct facts *facts, struct findings *f)
{
	const struct fact_daemon *fad = first(facts, "fad"), *glue = first(facts, "routed-glue");

	features(facts, f);
	if (fad) {
		forwarding(f, facts->host.forward4, "net.ipv4.ip_forward", "IPv4");
		forwarding(f, facts->host.forward6, "net.ipv6.conf.all.forwarding", "IPv6");
		rp_filters(facts, f, fad);
		multipath(f, facts->host.hash4, "net.ipv4.fib_multipath_hash_policy");
		multipath(f, facts->host.hash6, "net.ipv6.fib_multipath_hash_policy");
		FACT_EACH(Turnout__InterfaceRow, row, fad, FACT_INTERFACES, interfaces)
		data_interface(facts, f, fad, row);
	}
	if (glue) {
		vip_device(facts, f, glue);
		networkd(facts, f);
	}
}
