/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: is what lies around the agent arranged so that packets
 * get to it and go on from it?  Its punt port and filters, bridges and VLANs,
 * policy routing, VIPs on a connected network, traffic of the router itself.
 *
 * Pure; must not know where facts come from.  FA-10.
 */
#include <string.h>

#include "ctl/doctor.h"

#define LOST_FEW 10 /* a device coming up sends some by itself */

static struct finding *add(struct findings *f, enum severity s, const char *check, const char *subject)
{
	return finding_add(f, s, check, NULL, subject);
}

/* ---- the punt port ---- */

static void punt_port_settings(const struct facts *facts, struct findings *f, const struct fact_daemon *fad,
			       const struct fact_interface *i)
{
	struct finding *x;

	if (i->forward4 == 0 && facts->host.forward4 != 0) {
		x = add(f, SEVERITY_ERROR, "punt-port", i->name);
		finding_text(x, "net.ipv4.conf.%s.forwarding is 0: decided packets are not forwarded", i->name);
		finding_fix(x, "sysctl -w net.ipv4.conf.%s.forwarding=1", i->name);
	} else if (i->no_ipv6 > 0 && fact_advertised(fad, true) > 0) {
		x = add(f, SEVERITY_ERROR, "punt-port", i->name);
		finding_text(x, "IPv6 is off at %s: decided packets of IPv6 are not forwarded", i->name);
		finding_fix(x, "sysctl -w net.ipv6.conf.%s.disable_ipv6=0", i->name);
	} else if (i->accept_local == 0) {
		x = add(f, SEVERITY_ERROR, "punt-port", i->name);
		finding_text(x, "net.ipv4.conf.%s.accept_local is 0: what goes into tunnels is dropped", i->name);
		finding_fix(x, "sysctl -w net.ipv4.conf.%s.accept_local=1", i->name);
	} else if (i->filters_ours == 0) {
		x = add(f, SEVERITY_ERROR, "punt-port", i->name);
		finding_text(x, "fad's filter is gone from %s: nothing is sent to another next hop", i->name);
		finding_fix(x, "systemctl restart fad; and find out what removes tc filters here");
	} else {
		f->good++;
	}
}

static void punt_port(const struct facts *facts, struct findings *f, const struct fact_daemon *fad)
{
	const char *prefix = fact_setting(fad, "punt-port");
	char name[20];
	struct finding *x;

	for (int end = 0; *prefix && end < 2; end++) {
		const struct fact_interface *i;

		snprintf(name, sizeof(name), "%s%d", prefix, end);
		i = fact_interface(facts, name);
		if (i && i->up) {
			if (end == 0)
				punt_port_settings(facts, f, fad, i);
			continue;
		}
		x = add(f, SEVERITY_ERROR, "punt-port", name);
		finding_text(x, "%s, an end of the punt port, is %s: no packet gets to the agent or back", name,
			     i ? "down" : "not there");
		if (i)
			finding_fix(x, "ip link set %s up", name);
		else
			finding_fix(x, "systemctl restart fad");
	}
}

/* ---- data interfaces ---- */

static void enslaved(struct findings *f, const struct fact_interface *i)
{
	bool bridge = strcmp(i->master_kind, "bridge") == 0, vrf = strcmp(i->master_kind, "vrf") == 0;
	struct finding *x;

	if (!*i->master_kind) {
		f->good++;
		return;
	}
	x = add(f, SEVERITY_ERROR, "interface-kind", i->name);
	finding_text(x, "data interface %s belongs to the %s %s: %s", i->name, i->master_kind, i->master,
		     bridge ? "frames to the router have the bridge's address, and pass unseen"
		     : vrf  ? "what comes back from the agent is routed outside of it; VRFs are not supported"
			    : "its packets are routed as those of that one");
	finding_fix(x,
		    vrf ? "take %s out of `interfaces`, or run fad where no VRF is"
			: "replace %s by %s under `interfaces` in fad's configuration",
		    i->name, i->master);
}

static bool is_data(const struct fact_daemon *fad, const char *name)
{
	FACT_EACH(Turnout__InterfaceRow, row, fad, FACT_INTERFACES, interfaces)
	if (strcmp(row->name, name) == 0)
		return true;
	return false;
}

static void vlan_parent(struct findings *f, const struct fact_daemon *fad, const struct fact_interface *i)
{
	struct finding *x;

	if (!*i->vlan || is_data(fad, i->vlan)) {
		f->good++;
		return;
	}
	x = add(f, SEVERITY_WARNING, "interface-kind", i->vlan);
	finding_text(x, "%s is a VLAN of data interface %s and no data interface itself: tagged frames pass unseen",
		     i->vlan, i->name);
	finding_fix(x, "add %s to `interfaces` in fad's configuration, if clients or servers are behind it", i->vlan);
}

static void data_interface(const struct facts *facts, struct findings *f, const struct fact_daemon *fad,
			   const Turnout__InterfaceRow *row)
{
	const struct fact_interface *i = fact_interface(facts, row->name);
	struct finding *x;

	if (!i)
		return; /* said elsewhere */
	enslaved(f, i);
	vlan_parent(f, fad, i);
	if (i->filters_ours == 0 && strcmp(row->state, "up") == 0) {
		x = add(f, SEVERITY_ERROR, "interface", i->name);
		finding_text(x, "fad's filter is gone from %s: nothing that comes in there is matched", i->name);
		finding_fix(x, "systemctl restart fad; and find out what removes tc filters here");
	} else {
		f->good++;
	}
	if (i->forward4 == 0 && facts->host.forward4 != 0) {
		x = add(f, SEVERITY_WARNING, "forwarding", i->name);
		finding_text(x, "net.ipv4.conf.%s.forwarding is 0: what is not for a service is not forwarded",
			     i->name);
		finding_fix(x, "sysctl -w net.ipv4.conf.%s.forwarding=1", i->name);
	}
}

/* ---- policy routing ---- */

static void rule(const struct facts *facts, struct findings *f, const struct fact_daemon *fad,
		 const struct fact_rule *r)
{
	char port[20], subject[32];
	struct finding *x;

	if (!is_data(fad, r->iif))
		return;
	snprintf(port, sizeof(port), "%s0", fact_setting(fad, "punt-port"));
	for (size_t i = 0; i < facts->host.rule_count; i++)
		if (facts->host.rules[i].v6 == r->v6 && strcmp(facts->host.rules[i].iif, port) == 0) {
			f->good++;
			return; /* the operator knows */
		}
	snprintf(subject, sizeof(subject), "%s %u", r->v6 ? "IPv6" : "IPv4", r->priority);
	x = add(f, SEVERITY_WARNING, "ip-rule", subject);
	finding_text(x, "rule %u of %s asks for packets that came in at %s: decided packets come in at %s", r->priority,
		     r->v6 ? "IPv6" : "IPv4", r->iif, port);
	finding_fix(x, "ip%s rule show; add the same with `iif %s` if services' packets are meant, too",
		    r->v6 ? " -6" : "", port);
}

/* ---- VIPs on a connected network ---- */

static bool inside(const struct fact_subnet *s, const struct addr *a)
{
	uint8_t mask[16] = {0};

	if (s->address.family != a->family)
		return false;
	addr_mask(a->family, s->plen, mask);
	for (size_t i = 0; i < addr_len(a->family); i++)
		if ((s->address.b[i] ^ a->b[i]) & mask[i])
			return false;
	return true;
}

/* Does the kernel answer neighbours who ask for this address there? */
static bool answered(const struct fact_host *h, const struct fact_interface *i, const struct addr *a)
{
	int sysctl = a->family == 4 ? i->proxy_arp : i->proxy_ndp, all = a->family == 4 ? 0 : h->proxy_ndp_all;

	if (a->family == 4 && (sysctl > 0 || h->proxy_arp_all > 0))
		return true;
	for (size_t k = 0; k < h->proxy_count; k++)
		if (strcmp(h->proxies[k].interface, i->name) == 0 && addr_equal(&h->proxies[k].address, a))
			return a->family == 4 || sysctl > 0 || all > 0;
	return false;
}

static void on_link(const struct facts *facts, struct findings *f, const struct fact_daemon *fad, const char *prefix)
{
	const struct fact_host *h = &facts->host;
	uint8_t plen = 0;
	struct addr a;

	if (!addr_parse_prefix(prefix, &a, &plen) || plen != addr_len(a.family) * 8)
		return;
	for (size_t k = 0; k < h->subnet_count; k++) {
		const struct fact_subnet *s = &h->subnets[k];
		const struct fact_interface *i = fact_interface(facts, s->interface);
		char text[ADDR_STRLEN];
		struct finding *x;

		if (!i || !is_data(fad, i->name) || !inside(s, &a))
			continue;
		if (answered(h, i, &a)) {
			f->good++;
			continue;
		}
		addr_print(&a, text);
		x = add(f, SEVERITY_WARNING, "on-link", text);
		finding_text(x, "%s is an address of the network at %s, and nobody answers neighbours that ask for it",
			     text, i->name);
		if (a.family == 4)
			finding_fix(x, "ip neigh add proxy %s dev %s", text, i->name);
		else
			finding_fix(x, "sysctl -w net.ipv6.conf.%s.proxy_ndp=1; ip -6 neigh add proxy %s dev %s",
				    i->name, text, i->name);
	}
}

static void on_links(const struct facts *facts, struct findings *f, const struct fact_daemon *fad)
{
	const struct fact_pages *all = &fad->listings[FACT_ADVERTISED];

	for (size_t p = 0; p < all->count; p++) {
		const Turnout__Advertised *a = all->pages[p]->advertised;

		for (size_t k = 0; a && k < a->n_prefixes; k++)
			on_link(facts, f, fad, a->prefixes[k]);
	}
}

/* ---- what was routed to the device of VIPs ---- */

static void lost(const struct facts *facts, struct findings *f, const struct fact_daemon *glue)
{
	const struct fact_interface *i = fact_interface(facts, fact_setting(glue, "interface"));
	struct finding *x;

	if (!i || i->sent < LOST_FEW) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ADVICE, "own-traffic", glue, i->name);
	finding_text(
		x,
		"%lld packets to VIPs were routed into %s and lost since it was made: the router's own traffic to a "
		"VIP is not matched, nor what comes in at other than data interfaces",
		(long long)i->sent, i->name);
	finding_fix(x, "on this router use the servers' addresses; tcpdump -ni %s shows who still sends", i->name);
}

void doctor_check_around(const struct facts *facts, struct findings *f)
{
	for (size_t i = 0; i < facts->daemon_count; i++) {
		const struct fact_daemon *d = &facts->daemons[i];

		if (d->life != LIFE_ALIVE)
			continue;
		if (fact_is(d, "routed-glue"))
			lost(facts, f, d);
		if (!fact_is(d, "fad"))
			continue;
		punt_port(facts, f, d);
		FACT_EACH(Turnout__InterfaceRow, row, d, FACT_INTERFACES, interfaces)
		data_interface(facts, f, d, row);
		for (size_t k = 0; k < facts->host.rule_count; k++)
			rule(facts, f, d, &facts->host.rules[k]);
		on_links(facts, f, d);
	}
}
