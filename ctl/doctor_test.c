/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of turnoutctl doctor's checks: a healthy host has no finding, and each
 * thing broken in the facts is named, with what to do.
 */
#include "ctl/doctor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ---- facts ---- */

struct bed {
	struct facts facts;
	struct findings found;
};

static Turnout__Reply *page(struct fact_daemon *d, enum fact_listing listing)
{
	struct fact_pages *p = &d->listings[listing];
	Turnout__Reply *reply = malloc(sizeof(*reply));

	turnout__reply__init(reply);
	p->pages = realloc(p->pages, (p->count + 1) * sizeof(*p->pages));
	p->pages[p->count++] = reply;
	return reply;
}

/* A page with one new row, both freed with the facts. */
#define ROW(d, listing, member, type, lower)                                                                           \
	({                                                                                                             \
		Turnout__Reply *reply_ = page(d, listing);                                                             \
		Turnout__##type *row_ = malloc(sizeof(*row_));                                                         \
		turnout__##lower##__init(row_);                                                                        \
		reply_->member = malloc(sizeof(*reply_->member));                                                      \
		reply_->member[0] = row_;                                                                              \
		reply_->n_##member = 1;                                                                                \
		row_;                                                                                                  \
	})

static void setting(struct fact_daemon *d, const char *name, const char *value)
{
	Turnout__SettingRow *row = ROW(d, FACT_SETTINGS, settings, SettingRow, setting_row);

	row->name = strdup(name);
	row->value = strdup(value);
}

static void counter(struct fact_daemon *d, const char *group, const char *name, uint64_t value)
{
	Turnout__CounterRow *row = ROW(d, FACT_COUNTERS, counters, CounterRow, counter_row);

	row->group = strdup(group);
	row->name = strdup(name);
	row->value = value;
}

static void set_counter(struct fact_daemon *d, const char *name, uint64_t value)
{
	FACT_EACH(Turnout__CounterRow, row, d, FACT_COUNTERS, counters)
	if (strcmp(row->name, name) == 0)
		((Turnout__CounterRow *)(uintptr_t)row)->value = value;
}

static void set_setting(struct fact_daemon *d, const char *name, const char *value)
{
	FACT_EACH(Turnout__SettingRow, row, d, FACT_SETTINGS, settings)
	if (strcmp(row->name, name) == 0) {
		free(row->value);
		((Turnout__SettingRow *)(uintptr_t)row)->value = strdup(value);
	}
}

static struct fact_daemon *daemon_at(struct bed *b, size_t i)
{
	return &b->facts.daemons[i];
}
enum { FAD, GLUE, SMD };

static void add_daemon(struct bed *b, size_t i, const char *program)
{
	struct fact_daemon *d = daemon_at(b, i);

	d->label = strdup(program);
	d->name = strdup(program);
	d->dir = strdup("/run/turnout");
	d->listened = FACT_NO;
	snprintf(d->program, sizeof(d->program), "%s", program);
	snprintf(d->version, sizeof(d->version), "%s", TURNOUT_VERSION);
	setting(d, "control.address", "10.77.0.1");
	setting(d, "control.port", "7510");
	setting(d, "control.interface", "ctl");
	setting(d, "control.group", "239.255.75.10");
	setting(d, "control.group-port", "7511");
	setting(d, "security.keys", "1");
	setting(d, "control.multicast", "true");
	setting(d, "control.multicast-ttl", "8");
	setting(d, "control.peers", "0");
	counter(d, "messages", "group-heard", 50);
	counter(d, "messages", "direct-heard", 40);
	counter(d, "messages", "own-heard", 3);
	counter(d, "messages", "peers-known", 1);
}

static void add_advertised(struct fact_daemon *d)
{
	Turnout__Advertised *a = malloc(sizeof(*a));

	turnout__advertised__init(a);
	a->n_prefixes = 2;
	a->prefixes = malloc(2 * sizeof(*a->prefixes));
	a->prefixes[0] = strdup("203.0.113.10/32");
	a->prefixes[1] = strdup("2001:db8::10/128");
	page(d, FACT_ADVERTISED)->advertised = a;
}

static const char bgp[] =
	"router bgp 65001\n no bgp default ipv4-unicast\n !\n address-family ipv4 unicast\n"
	"  redistribute kernel route-map VIP-OUT\n exit-address-family\n !\n"
	" address-family ipv6 unicast\n  redistribute kernel route-map VIP-OUT\n"
	" exit-address-family\nexit\n!\nroute-map VIP-OUT permit 10\n match interface vip0\nexit\n!\n";

static void add_router(struct bed *b)
{
	struct fact_daemon *fad = daemon_at(b, FAD), *glue = daemon_at(b, GLUE);
	Turnout__InterfaceRow *i = ROW(fad, FACT_INTERFACES, interfaces, InterfaceRow, interface_row);
	Turnout__ManagerRow *m = ROW(fad, FACT_MANAGERS, managers, ManagerRow, manager_row);

	add_daemon(b, FAD, "fad");
	setting(fad, "punt-port", "tn-punt");
	setting(fad, "limits.fixed", "1000");
	counter(fad, "affinities", "stored", 10);
	i->name = strdup("lan");
	i->state = strdup("up");
	m->name = strdup("sm1");
	m->state = strdup("known");
	m->address = strdup("10.77.0.11:7510");
	m->wildcards = 4;
	add_advertised(fad);
	add_daemon(b, GLUE, "routed-glue");
	setting(glue, "interface", "vip0");
	setting(glue, "address", "169.254.77.1");
	setting(glue, "frr", "/run/frr");
	for (int k = 0; k < 2; k++) {
		Turnout__RouteRow *r = ROW(glue, FACT_ROUTES, routes, RouteRow, route_row);

		r->prefix = strdup(k ? "2001:db8::10/128" : "203.0.113.10/32");
		r->state = strdup("installed");
		glue->frr[k] = (struct fact_frr){.state = FACT_YES, .config = strdup(k ? bgp : "")};
		snprintf(glue->frr[k].name, sizeof(glue->frr[k].name), "%s", k ? "bgpd" : "zebra");
	}
	glue->frr_count = 2;
}

static void add_manager(struct bed *b)
{
	struct fact_daemon *smd = daemon_at(b, SMD);
	Turnout__AgentRow *a = ROW(smd, FACT_AGENTS, agents, AgentRow, agent_row);
	Turnout__ServerRow *s = ROW(smd, FACT_SERVERS, servers, ServerRow, server_row);
	Turnout__ServiceRow *v = ROW(smd, FACT_SERVICES, services, ServiceRow, service_row);

	add_daemon(b, SMD, "smd");
	a->name = strdup("r1");
	a->state = strdup("known");
	a->address = strdup("10.77.0.1:7510");
	s->service = strdup("web");
	s->name = strdup("web1");
	s->address = strdup("10.0.20.11");
	s->state = strdup("up");
	s->check = strdup("connection refused");
	v->name = strdup("web");
	v->servers = 1;
	v->vip = strdup("203.0.113.10");
	v->state = strdup("announced");
}

static void add_interfaces(struct fact_host *h)
{
	static const struct fact_interface all[] = {
		{.name = "lan", .up = true, .mtu = 1500, .addresses = " 10.0.20.1 ", .forward4 = 1, .filters_ours = 1},
		{.name = "ctl", .up = true, .mtu = 9000, .addresses = " 10.77.0.1 ", .forward4 = 1},
		{.name = "tn-punt0",
		 .up = true,
		 .mtu = 65535,
		 .addresses = " 169.254.75.10 ",
		 .accept_local = 1,
		 .forward4 = 1,
		 .filters_ours = 1},
		{.name = "tn-punt1", .up = true, .mtu = 65535},
		{.name = "vip0", .up = true, .addresses = " 169.254.77.1 ", .sent = 3},
	};

	h->interfaces = malloc(sizeof(all));
	memcpy(h->interfaces, all, sizeof(all));
	h->interface_count = sizeof(all) / sizeof(all[0]);
}

/* A router and a manager on one host, with nothing wrong. */
static struct bed *bed_new(void)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct fact_host *h = &b->facts.host;

	h->forward4 = h->forward6 = h->hash4 = h->hash6 = 1;
	h->networkd = FACT_NO;
	h->nft = FACT_YES;
	h->ruleset = strdup("{\"nftables\": [{\"metainfo\": {\"version\": \"1.0.6\"}}]}");
	add_interfaces(h);
	snprintf(b->facts.run_dirs, sizeof(b->facts.run_dirs), "/run/turnout");
	b->facts.daemons = calloc(3, sizeof(*b->facts.daemons));
	b->facts.daemon_count = 3;
	add_router(b);
	add_manager(b);
	return b;
}

static struct fact_interface *interface(struct bed *b, const char *name)
{
	return &b->facts.host.interfaces[fact_interface(&b->facts, name) - b->facts.host.interfaces];
}

static void set(char **text, const char *value)
{
	free(*text);
	*text = strdup(value);
}

/* Exactly one finding, of this kind, that says so and what to do. */
static void only(struct bed *b, enum severity severity, const char *check, const char *text, const char *fix)
{
	const struct finding *x;

	doctor_check(&b->facts, &b->found);
	for (size_t i = 1; i < b->found.count; i++)
		ck_abort_msg("also found: %s: %s", b->found.list[i].check, b->found.list[i].text);
	ck_assert_uint_eq(b->found.count, 1);
	x = &b->found.list[0];
	ck_assert_str_eq(severity_name(x->severity), severity_name(severity));
	ck_assert_str_eq(x->check, check);
	ck_assert_msg(strstr(x->text, text) != NULL, "'%s' is not in: %s", text, x->text);
	ck_assert_msg(x->fix && strstr(x->fix, fix) != NULL, "'%s' is not in: %s", fix, x->fix);
	ck_assert_uint_eq(b->found.counts[severity], 1);
	findings_free(&b->found);
	facts_free(&b->facts);
	free(b);
}

/* ---- tests ---- */

START_TEST(a_healthy_host_has_no_finding_ARCH_7)
{
	struct bed *b = bed_new();

	doctor_check(&b->facts, &b->found);
	for (size_t i = 0; i < b->found.count; i++)
		ck_abort_msg("found: %s: %s", b->found.list[i].check, b->found.list[i].text);
	ck_assert_uint_gt(b->found.good, 25);
	findings_free(&b->found);
	facts_free(&b->facts);
	free(b);
}
END_TEST

START_TEST(settings_of_the_kernel_FA_10)
{
	struct bed *b = bed_new();

	b->facts.host.forward4 = 0;
	only(b, SEVERITY_ERROR, "forwarding", "does not forward IPv4", "sysctl -w net.ipv4.ip_forward=1");
	b = bed_new();
	b->facts.host.forward6 = 0;
	only(b, SEVERITY_ERROR, "forwarding", "does not forward IPv6", "net.ipv6.conf.all.forwarding=1");
	b = bed_new();
	b->facts.host.rp_all = 1;
	only(b, SEVERITY_ERROR, "rp-filter", "net.ipv4.conf.all.rp_filter is 1", "net.ipv4.conf.all.rp_filter=0");
	b = bed_new();
	interface(b, "lan")->rp_filter = 1;
	only(b, SEVERITY_ERROR, "rp-filter", "net.ipv4.conf.lan.rp_filter is 1", "net.ipv4.conf.lan.rp_filter=0");
	b = bed_new();
	interface(b, "tn-punt0")->rp_filter = 1;
	only(b, SEVERITY_ERROR, "rp-filter", "come back from the agent", "net.ipv4.conf.tn-punt0.rp_filter=0");
	b = bed_new();
	b->facts.host.hash4 = 0;
	only(b, SEVERITY_ADVICE, "multipath-hash", "by addresses only", "fib_multipath_hash_policy=1");
}
END_TEST

START_TEST(the_larger_rp_filter_counts_FA_10)
{
	struct bed *b = bed_new();

	b->facts.host.rp_all = 2; /* makes a strict one loose */
	interface(b, "lan")->rp_filter = interface(b, "tn-punt0")->rp_filter = 1;
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 0);
	*interface(b, "tn-punt0")->addresses = '\0';
	only(b, SEVERITY_ERROR, "rp-filter", "lost its IPv4 address", "net.ipv4.conf.tn-punt0.rp_filter=0");
	b = bed_new();
	b->facts.host.rp_all = 1; /* but a strict one does not make a loose one strict */
	interface(b, "lan")->rp_filter = interface(b, "tn-punt0")->rp_filter = 2;
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 0);
	interface(b, "lan")->rp_filter = 0;
	only(b, SEVERITY_ERROR, "rp-filter", "net.ipv4.conf.all.rp_filter is 1", "net.ipv4.conf.all.rp_filter=0");
	b = bed_new();
	interface(b, "tn-punt0")->rp_filter = 2;
	*interface(b, "tn-punt0")->addresses = '\0';
	only(b, SEVERITY_ERROR, "rp-filter", "lost its IPv4 address", "net.ipv4.conf.tn-punt0.rp_filter=0");
}
END_TEST

START_TEST(what_somebody_changed_at_the_punt_port_FA_10)
{
	struct bed *b = bed_new();

	interface(b, "tn-punt0")->up = false;
	only(b, SEVERITY_ERROR, "punt-port", "tn-punt0, an end of the punt port, is down", "ip link set tn-punt0 up");
	b = bed_new();
	snprintf(interface(b, "tn-punt1")->name, 16, "other");
	only(b, SEVERITY_ERROR, "punt-port", "tn-punt1, an end of the punt port, is not there", "restart fad");
	b = bed_new();
	interface(b, "tn-punt0")->forward4 = 0;
	only(b, SEVERITY_ERROR, "punt-port", "forwarding is 0", "sysctl -w net.ipv4.conf.tn-punt0.forwarding=1");
	b = bed_new();
	interface(b, "tn-punt0")->no_ipv6 = 1;
	only(b, SEVERITY_ERROR, "punt-port", "IPv6 is off", "sysctl -w net.ipv6.conf.tn-punt0.disable_ipv6=0");
	b = bed_new();
	interface(b, "tn-punt0")->accept_local = 0;
	only(b, SEVERITY_ERROR, "punt-port", "into tunnels is dropped",
	     "sysctl -w net.ipv4.conf.tn-punt0.accept_local=1");
	b = bed_new();
	interface(b, "tn-punt0")->filters_ours = 0;
	only(b, SEVERITY_ERROR, "punt-port", "filter is gone from tn-punt0", "restart fad");
	b = bed_new();
	interface(b, "lan")->filters_ours = 0;
	only(b, SEVERITY_ERROR, "interface", "filter is gone from lan", "restart fad");
	b = bed_new();
	interface(b, "lan")->forward4 = 0;
	only(b, SEVERITY_WARNING, "forwarding", "not for a service", "sysctl -w net.ipv4.conf.lan.forwarding=1");
}
END_TEST

START_TEST(bridges_vlans_and_vrfs_FA_10)
{
	struct bed *b = bed_new();

	snprintf(interface(b, "lan")->master_kind, 16, "bridge");
	snprintf(interface(b, "lan")->master, 16, "br0");
	only(b, SEVERITY_ERROR, "interface-kind", "belongs to the bridge br0", "replace lan by br0 under `interfaces`");
	b = bed_new();
	snprintf(interface(b, "lan")->master_kind, 16, "vrf");
	snprintf(interface(b, "lan")->master, 16, "blue");
	only(b, SEVERITY_ERROR, "interface-kind", "VRFs are not supported", "take lan out of `interfaces`");
	b = bed_new();
	snprintf(interface(b, "lan")->vlan, 16, "lan.7");
	only(b, SEVERITY_WARNING, "interface-kind", "tagged frames pass unseen", "add lan.7 to `interfaces`");
}
END_TEST

START_TEST(rules_by_ingress_interface_FA_10)
{
	struct fact_rule rules[2] = {{.iif = "lan", .priority = 77}, {.iif = "ctl", .priority = 78}};
	struct bed *b = bed_new();

	b->facts.host.rules = memcpy(malloc(sizeof(rules)), rules, sizeof(rules));
	b->facts.host.rule_count = 2;
	only(b, SEVERITY_WARNING, "ip-rule", "rule 77 of IPv4", "iif tn-punt0");
	b = bed_new();
	snprintf(rules[1].iif, 16, "tn-punt0");
	b->facts.host.rules = memcpy(malloc(sizeof(rules)), rules, sizeof(rules));
	b->facts.host.rule_count = 2;
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 0);
	b->facts.host.rules[1].v6 = true; /* is of no use to IPv4 */
	only(b, SEVERITY_WARNING, "ip-rule", "rule 77 of IPv4", "iif tn-punt0");
}
END_TEST

/* A router with an address on lan from whose network a VIP is. */
static struct bed *near_bed(const char *address, uint8_t plen)
{
	struct bed *b = bed_new();
	struct fact_subnet *s = calloc(1, sizeof(*s));

	snprintf(s->interface, sizeof(s->interface), "lan");
	ck_assert(addr_parse(address, &s->address));
	s->plen = plen;
	b->facts.host.subnets = s;
	b->facts.host.subnet_count = 1;
	return b;
}

static void proxy(struct bed *b, const char *interface, const char *address)
{
	struct fact_proxy *p = calloc(1, sizeof(*p));

	snprintf(p->interface, sizeof(p->interface), "%s", interface);
	ck_assert(addr_parse(address, &p->address));
	b->facts.host.proxies = p;
	b->facts.host.proxy_count = 1;
}

static void no_finding(struct bed *b)
{
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 0);
	findings_free(&b->found);
	facts_free(&b->facts);
	free(b);
}

START_TEST(vips_on_a_connected_network_FA_10)
{
	struct bed *b = near_bed("203.0.113.1", 24);

	only(b, SEVERITY_WARNING, "on-link", "203.0.113.10 is an address of the network at lan",
	     "ip neigh add proxy 203.0.113.10 dev lan");
	no_finding(near_bed("203.0.112.1", 24));
	b = near_bed("203.0.113.1", 24);
	interface(b, "lan")->proxy_arp = 1;
	no_finding(b);
	b = near_bed("203.0.113.1", 24);
	proxy(b, "lan", "203.0.113.10");
	no_finding(b);
	b = near_bed("203.0.113.1", 24);
	proxy(b, "ctl", "203.0.113.10");
	only(b, SEVERITY_WARNING, "on-link", "at lan", "ip neigh add proxy");
	b = near_bed("2001:db8::1", 64);
	proxy(b, "lan", "2001:db8::10"); /* without the sysctl it is of no use */
	only(b, SEVERITY_WARNING, "on-link", "2001:db8::10", "proxy_ndp=1; ip -6 neigh add proxy 2001:db8::10 dev lan");
	b = near_bed("2001:db8::1", 64);
	proxy(b, "lan", "2001:db8::10");
	interface(b, "lan")->proxy_ndp = 1;
	no_finding(b);
}
END_TEST

START_TEST(traffic_of_the_router_itself_FA_10)
{
	struct bed *b = bed_new();

	interface(b, "vip0")->sent = 25;
	only(b, SEVERITY_ADVICE, "own-traffic", "25 packets to VIPs were routed into vip0", "the servers' addresses");
}
END_TEST

START_TEST(interfaces_and_filters_FA_10)
{
	struct bed *b = bed_new();

	set(&daemon_at(b, FAD)->listings[FACT_INTERFACES].pages[0]->interfaces[0]->state, "down");
	only(b, SEVERITY_ERROR, "interface", "lan is down", "ip link set lan up");
	b = bed_new();
	set(&daemon_at(b, FAD)->listings[FACT_INTERFACES].pages[0]->interfaces[0]->state, "detached");
	only(b, SEVERITY_ERROR, "interface", "not attached to lan", "fad's log");
	b = bed_new();
	interface(b, "lan")->filters_before = 2;
	snprintf(interface(b, "lan")->filter_kind, sizeof(interface(b, "lan")->filter_kind), "flower");
	only(b, SEVERITY_WARNING, "tc-filter", "first a flower", "tc filter show dev lan ingress");
	b = bed_new();
	interface(b, "vip0")->up = false;
	only(b, SEVERITY_ERROR, "vip-device", "vip0 is down", "routed-glue repairs it");
	b = bed_new();
	snprintf(interface(b, "vip0")->addresses, 16, " 169.254.77.11 ");
	only(b, SEVERITY_WARNING, "vip-device", "lost its address 169.254.77.1", "routed-glue");
	b = bed_new();
	interface(b, "ctl")->mtu = 1500;
	only(b, SEVERITY_ADVICE, "mtu", "go in fragments", "ip link set ctl mtu 1750");
	b = bed_new();
	b->facts.host.networkd = FACT_YES;
	only(b, SEVERITY_WARNING, "networkd", "removes routes it did not make", "ManageForeignRoutes=no");
}
END_TEST

START_TEST(daemons_that_are_dead_hung_or_missing_ARCH_7)
{
	struct bed *b = bed_new();

	daemon_at(b, SMD)->life = LIFE_DEAD;
	only(b, SEVERITY_ERROR, "daemon", "smd does not run", "systemctl start smd");
	b = bed_new();
	daemon_at(b, SMD)->life = LIFE_HUNG;
	only(b, SEVERITY_ERROR, "daemon", "smd runs but does not answer", "systemctl restart smd");
	b = bed_new();
	daemon_at(b, SMD)->life = LIFE_DENIED;
	only(b, SEVERITY_UNCHECKED, "daemon", "no permission to ask smd", "as root");
	b = bed_new();
	snprintf(daemon_at(b, SMD)->version, 32, "9.9.9");
	only(b, SEVERITY_WARNING, "version", "smd is version 9.9.9", "systemctl restart smd");
	b = bed_new();
	snprintf(daemon_at(b, GLUE)->program, 16, "other"); /* as if it were not there */
	only(b, SEVERITY_ERROR, "route", "2 prefixes are to be announced, and no routed-glue runs", "enable --now");
}
END_TEST

START_TEST(a_host_without_daemons_is_told_of_its_kernel_ARCH_7)
{
	struct facts facts = {.host = {.forward4 = 1, .nft = FACT_YES}};
	struct findings f = {0};

	facts.host.features[FEATURE_TUN] = FACT_NO;
	facts.host.features[FEATURE_BPF] = FACT_DENIED;
	snprintf(facts.run_dirs, sizeof(facts.run_dirs), "/run/turnout");
	doctor_check(&facts, &f);
	ck_assert_uint_eq(f.count, 3);
	ck_assert_str_eq(f.list[0].check, "daemon");
	ck_assert_int_eq(f.list[1].severity, SEVERITY_UNCHECKED);
	ck_assert_str_eq(f.list[2].subject, "tun");
	ck_assert_str_eq(f.list[2].fix, "modprobe tun");
	findings_free(&f);
}
END_TEST

START_TEST(routes_and_their_redistribution_ACT_3)
{
	struct bed *b = bed_new();
	char *at;

	set(&daemon_at(b, GLUE)->listings[FACT_ROUTES].pages[0]->routes[0]->state, "conflict");
	only(b, SEVERITY_ERROR, "route", "somebody else has a route", "ip route show 203.0.113.10/32");
	b = bed_new();
	set(&daemon_at(b, GLUE)->listings[FACT_ROUTES].pages[0]->routes[0]->prefix, "203.0.113.99/32");
	only(b, SEVERITY_ERROR, "route", "routed-glue has no route", "agents");
	b = bed_new();
	at = strstr(daemon_at(b, GLUE)->frr[1].config, "redistribute kernel");
	memcpy(at, "redistribute static", 19);
	only(b, SEVERITY_ERROR, "redistribute", "redistributes kernel routes of IPv4", "route-map VIP-OUT");
	b = bed_new();
	at = strstr(daemon_at(b, GLUE)->frr[1].config, "match interface vip0");
	memcpy(at, "match interface vip9", 20);
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 2); /* of each family */
	ck_assert_ptr_nonnull(strstr(b->found.list[0].text, "lets none out of vip0 through"));
	findings_free(&b->found);
	facts_free(&b->facts);
	free(b);
	b = bed_new();
	daemon_at(b, GLUE)->frr[0].state = FACT_NO;
	only(b, SEVERITY_ERROR, "frr", "zebra does not answer", "systemctl restart frr");
	b = bed_new();
	daemon_at(b, GLUE)->frr[1].state = FACT_NO;
	only(b, SEVERITY_ERROR, "frr", "none of FRRouting's routing daemons", "bgpd=yes");
	b = bed_new();
	daemon_at(b, GLUE)->frr[1].state = FACT_DENIED;
	only(b, SEVERITY_UNCHECKED, "redistribute", "cannot be read", "frrvty");
}
END_TEST

START_TEST(other_routing_daemons_redistribute_too_ACT_3)
{
	struct bed *b = bed_new();
	struct fact_daemon *glue = daemon_at(b, GLUE);

	snprintf(glue->frr[1].name, 16, "ospfd");
	set(&glue->frr[1].config, "router ospf\n redistribute kernel route-map V\n!\nroute-map V permit 10\nexit\n!\n");
	snprintf(glue->frr[2].name, 16, "ospf6d");
	glue->frr[2].state = FACT_YES;
	glue->frr[2].config = strdup("router ospf6\n redistribute kernel\n!\n");
	glue->frr_count = 3;
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 0);
	set(&glue->frr[2].config, "");
	only(b, SEVERITY_ERROR, "redistribute", "kernel routes of IPv6", "ipv6");
}
END_TEST

static void with_rules(const char *rules, enum severity severity, const char *check, const char *text, const char *fix)
{
	struct bed *b = bed_new();
	char *all = NULL;

	ck_assert_int_gt(
		asprintf(&all,
			 "{\"nftables\": [{\"metainfo\": {}}, {\"table\": {\"family\": \"inet\", \"name\": \"f\"}}, "
			 "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"fwd\", \"type\": "
			 "\"filter\", \"hook\": \"forward\", \"policy\": \"accept\"}}, "
			 "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"in\", \"type\": "
			 "\"filter\", \"hook\": \"input\", \"policy\": \"drop\"}}, %s]}",
			 rules),
		0);
	free(b->facts.host.ruleset);
	b->facts.host.ruleset = all;
	set_setting(daemon_at(b, FAD), "control.multicast", "false"); /* its chain `in` is about this host itself */
	set_setting(daemon_at(b, SMD), "control.multicast", "false");
	if (text) {
		only(b, severity, check, text, fix);
		return;
	}
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 0);
	findings_free(&b->found);
	facts_free(&b->facts);
	free(b);
}

#define RULE(chain, expr)                                                                                              \
	"{\"rule\": {\"family\": \"inet\", \"table\": \"f\", \"chain\": \"" chain                                      \
	"\", \"handle\": 4, \"expr\": [" expr "]}}"
#define CT                                                                                                             \
	"{\"match\": {\"op\": \"in\", \"left\": {\"ct\": {\"key\": \"state\"}}, \"right\": \"invalid\"}}, {\"drop\": " \
	"null}"

#define MATCH_IIF(op, name)                                                                                            \
	"{\"match\": {\"op\": \"" op "\", \"left\": {\"meta\": {\"key\": \"iifname\"}}, \"right\": " name "}}"
#define IIF(name)         MATCH_IIF("==", name)
#define NOT_IIF(name)     MATCH_IIF("!=", name)
#define CHAIN(name, more) "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"" name "\", " more "}}"
#define SHUT              CHAIN("shut", "\"type\": \"filter\", \"hook\": \"forward\", \"policy\": \"drop\"")
#define PRE               CHAIN("pre", "\"type\": \"filter\", \"hook\": \"prerouting\", \"policy\": \"accept\"")
#define NAT               CHAIN("post", "\"type\": \"nat\", \"hook\": \"postrouting\"")
#define MASQUERADE        RULE("post", "{\"masquerade\": null}")
#define WAY(flags)                                                                                                     \
	"{\"match\": {\"op\": \"==\", \"left\": {\"fib\": {\"result\": \"oif\", \"flags\": [" flags                    \
	"]}}, \"right\": false}}, {\"drop\": null}"

START_TEST(firewalls_that_track_connections_FA_10)
{
	with_rules(RULE("fwd", CT) ", " RULE("fwd", CT), SEVERITY_WARNING, "conntrack", "rules in inet f fwd",
		   "notrack");
	with_rules(RULE("sub", CT), SEVERITY_WARNING, "conntrack", "inet f sub", "notrack"); /* jumped to */
	with_rules(RULE("in", CT), 0, NULL, NULL, NULL);                                     /* not in the way */
	with_rules(RULE("fwd", "{\"accept\": null}"), 0, NULL, NULL, NULL);
	with_rules(RULE("fwd", CT) ", " RULE("in", "{\"notrack\": null}"), SEVERITY_ADVICE, "conntrack",
		   "none for the punt port", "notrack");
	with_rules(RULE("fwd", CT) ", " RULE("in", IIF("\"tn-punt0\"") ", {\"notrack\": null}"), 0, NULL, NULL, NULL);
	with_rules(RULE("fwd", CT) ", " RULE("in", IIF("{\"set\": [\"a\", \"tn-*\"]}") ", {\"notrack\": null}"), 0,
		   NULL, NULL, NULL);
	with_rules(NAT ", " MASQUERADE, SEVERITY_WARNING, "nat", "translate addresses", "iifname \"tn-punt0\" notrack");
	with_rules(NAT ", " MASQUERADE ", " RULE("in", IIF("\"tn-punt0\"") ", {\"notrack\": null}"), 0, NULL, NULL,
		   NULL);
	with_rules("not JSON", SEVERITY_UNCHECKED, "firewall", "cannot be read", "nft list ruleset");
}
END_TEST

#define ACCEPT "{\"accept\": null}"
#define JUST   "iifname \"tn-punt0\" accept"

START_TEST(firewalls_that_drop_what_they_do_not_know_FA_10)
{
	const char *fix = "nft insert rule inet f shut " JUST;

	with_rules(SHUT, SEVERITY_WARNING, "firewall", "no rule accepts what comes in there", fix);
	with_rules(SHUT ", " RULE("shut", IIF("\"lan\"") ", " ACCEPT), SEVERITY_WARNING, "firewall", "drops what", fix);
	with_rules(SHUT ", " RULE("shut", ACCEPT), SEVERITY_ADVICE, "firewall", "no rule names it", fix);
	with_rules(SHUT ", " RULE("shut", IIF("\"tn-punt0\"") ", " ACCEPT), 0, NULL, NULL, NULL);
	/* Another chain's word does not count. */
	with_rules(SHUT ", " RULE("fwd", IIF("\"tn-punt0\"") ", " ACCEPT), SEVERITY_WARNING, "firewall", "drops", fix);
	with_rules(RULE("fwd", "{\"counter\": null}, {\"drop\": null}"), SEVERITY_WARNING, "firewall", "drops what",
		   "inet f fwd " JUST);
	with_rules(RULE("fwd", IIF("\"lan\"") ", {\"drop\": null}"), 0, NULL, NULL, NULL);
}
END_TEST

START_TEST(firewalls_that_ask_for_the_way_back_FA_10)
{
	with_rules(PRE ", " RULE("pre", WAY("\"saddr\", \"iif\"")), SEVERITY_WARNING, "firewall",
		   "where answers would go out", "inet f pre " JUST);
	with_rules(PRE ", " RULE("pre", WAY("\"saddr\"")), 0, NULL, NULL, NULL); /* loose */
	with_rules(PRE ", " RULE("pre", WAY("\"daddr\", \"iif\"")), 0, NULL, NULL, NULL);
	with_rules(PRE ", " RULE("pre", NOT_IIF("\"tn-punt0\"") ", " WAY("\"saddr\", \"iif\"")), 0, NULL, NULL, NULL);
	with_rules(PRE ", " RULE("pre", IIF("\"tn-punt0\"") ", " ACCEPT) ", " RULE("pre", WAY("\"saddr\", \"iif\"")), 0,
		   NULL, NULL, NULL);
}
END_TEST

START_TEST(firewalls_that_cannot_be_looked_at_FA_10)
{
	struct bed *b = bed_new();

	b->facts.host.nft = FACT_ABSENT;
	only(b, SEVERITY_UNCHECKED, "firewall", "not installed", "apt install nftables");
	b = bed_new();
	b->facts.host.nft = FACT_DENIED;
	only(b, SEVERITY_UNCHECKED, "firewall", "without privilege", "as root");
	b = bed_new();
	snprintf(b->facts.host.legacy_tables, 64, " filter");
	only(b, SEVERITY_UNCHECKED, "firewall", "legacy iptables", "iptables-legacy-save");
}
END_TEST

static Turnout__ManagerRow *its_manager(struct bed *b)
{
	return daemon_at(b, FAD)->listings[FACT_MANAGERS].pages[0]->managers[0];
}

static void lose_manager(struct bed *b)
{
	daemon_at(b, FAD)->listings[FACT_MANAGERS].pages[0]->n_managers = 0;
	free(its_manager(b)->name);
	free(its_manager(b)->state);
	free(its_manager(b)->address);
	free(its_manager(b));
}

/* An agent without a manager, for which doctor listened and heard a message; the daemon counted it if `counted`. */
static struct bed *listening_bed(const char *to, uint16_t port, const char *interface, uint8_t version, bool counted)
{
	struct bed *b = bed_new();
	struct fact_daemon *d = daemon_at(b, FAD);
	struct fact_heard *h = &d->heard[0];

	lose_manager(b);
	d->listened = FACT_YES;
	d->listened_ms = 11000;
	d->group_before = d->direct_before = counted ? 0 : 50;
	set_counter(d, "peers-known", 0);
	*h = (struct fact_heard){.from_port = 7510, .to_port = port, .version = version, .count = 1};
	snprintf(h->interface, sizeof(h->interface), "%s", interface);
	ck_assert(addr_parse("10.77.0.11", &h->from) && addr_parse(to, &h->to));
	d->heard_count = 1;
	return b;
}

START_TEST(what_is_heard_tells_why_ARCH_4)
{
	struct bed *b = listening_bed("239.1.1.1", 7511, "ctl", 1, true);

	only(b, SEVERITY_ERROR, "peer",
	     "10.77.0.11:7510 sends to group 239.1.1.1 port 7511, and this one listens to 239.255.75.10 port 7511",
	     "the same control.group");
	b = listening_bed("239.255.75.10", 7511, "lan", 1, true);
	only(b, SEVERITY_ERROR, "peer", "come in from 10.77.0.11:7510 at lan, and it listens at ctl",
	     "control.interface: lan");
	b = listening_bed("239.255.75.10", 7511, "ctl", 1, false);
	only(b, SEVERITY_ERROR, "peer",
	     "messages from 10.77.0.11:7510 to 239.255.75.10:7511 come in at ctl, but do not reach it", "rp_filter");
	b = listening_bed("239.255.75.10", 7511, "ctl", 2, true);
	only(b, SEVERITY_ERROR, "peer", "another protocol version, 2 instead of 1", "same version");
	b = listening_bed("239.255.75.10", 7511, "ctl", 1, true);
	counter(daemon_at(b, FAD), "message-drops", "same-identity", 4);
	only(b, SEVERITY_ERROR, "peer",
	     "dropped 4 messages of another daemon that has its own identity, now from 10.77.0.11:7510", "`identity`");
	b = listening_bed("239.255.75.10", 7511, "ctl", 1, true);
	counter(daemon_at(b, FAD), "message-drops", "sender", 3);
	only(b, SEVERITY_ERROR, "peer",
	     "dropped 3 messages from addresses that its security.accept-from does not have, now from 10.77.0.11:7510",
	     "accept-from");
	b = listening_bed("239.255.75.10", 7511, "ctl", 1, true);
	counter(daemon_at(b, FAD), "messages", "challenges-sent", 9);
	only(b, SEVERITY_ERROR, "peer", "none of 9 challenges was answered", "UDP port 7510");
	b = listening_bed("239.255.75.10", 7511, "ctl", 1, true);
	counter(daemon_at(b, FAD), "messages", "challenges-sent", 9);
	counter(daemon_at(b, FAD), "message-drops", "send-unreachable", 9);
	only(b, SEVERITY_ERROR, "peer", "no route for 9 of its messages", "ip route get");
	b = listening_bed("239.255.75.10", 7511, "ctl", 1, true);
	set_setting(daemon_at(b, FAD), "control.multicast", "false");
	only(b, SEVERITY_ERROR, "peer", "multicast is switched off here", "control.peers there");
}
END_TEST

/* Nothing came in while doctor listened, and nothing by the group since the start. */
static struct bed *deaf_bed(void)
{
	struct bed *b = listening_bed("239.255.75.10", 7511, "ctl", 1, true);

	daemon_at(b, FAD)->heard_count = 0;
	set_counter(daemon_at(b, FAD), "group-heard", 0);
	set_counter(daemon_at(b, FAD), "direct-heard", 0);
	return b;
}

static void join(struct bed *b, const char *interface, const char *group)
{
	struct fact_host *h = &b->facts.host;

	h->groups = realloc(h->groups, (h->group_count + 1) * sizeof(*h->groups));
	snprintf(h->groups[h->group_count].interface, 16, "%s", interface);
	ck_assert(addr_parse(group, &h->groups[h->group_count++].group));
}

START_TEST(where_nothing_is_heard_it_is_narrowed_down_ARCH_4)
{
	struct bed *b = deaf_bed();

	only(b, SEVERITY_ERROR, "peer", "at all at ctl, nor in the 11.0 s that doctor listened", "snooping");
	b = deaf_bed();
	daemon_at(b, FAD)->listened = FACT_DENIED;
	only(b, SEVERITY_ERROR, "peer", "run turnoutctl doctor as root", "snooping");
	b = deaf_bed();
	set_setting(daemon_at(b, FAD), "control.multicast-ttl", "1");
	only(b, SEVERITY_ERROR, "peer", "control.multicast-ttl is 1 here", "multicast routing");
	b = deaf_bed();
	set_setting(daemon_at(b, FAD), "control.multicast", "false");
	only(b, SEVERITY_ERROR, "peer", "no message of others", "control.multicast is false");
	b = deaf_bed();
	join(b, "lan", "239.255.75.10");
	join(b, "ctl", "224.0.0.1");
	only(b, SEVERITY_ERROR, "peer", "no member of its group 239.255.75.10 at ctl", "joins again");
	b = deaf_bed();
	join(b, "ctl", "239.255.75.10");
	interface(b, "ctl")->bridge = interface(b, "ctl")->snooping = true;
	only(b, SEVERITY_ERROR, "peer", "the bridge ctl looks who joins groups", "mcast_querier 1");
	b = deaf_bed();
	interface(b, "ctl")->bridge = interface(b, "ctl")->snooping = interface(b, "ctl")->querier = true;
	only(b, SEVERITY_ERROR, "peer", "no message of others", "snooping");
	b = deaf_bed();
	set_counter(daemon_at(b, FAD), "direct-heard", 5);
	only(b, SEVERITY_ERROR, "peer", "messages to its address come in", "a querier on that network");
}
END_TEST

START_TEST(a_filter_of_the_group_is_named_ARCH_4)
{
	struct bed *b = bed_new();

	free(b->facts.host.ruleset);
	b->facts.host.ruleset = strdup("{\"nftables\": [{\"chain\": {\"family\": \"inet\", \"table\": \"t\", \"name\": "
				       "\"in\", \"hook\": \"input\"}}, "
				       "{\"rule\": {\"family\": \"inet\", \"table\": \"t\", \"chain\": \"in\", "
				       "\"handle\": 9, \"expr\": [{\"match\": "
				       "{\"op\": \"==\", \"left\": {\"payload\": {\"protocol\": \"udp\", \"field\": "
				       "\"dport\"}}, \"right\": 7511}}, "
				       "{\"drop\": null}]}}]}");
	doctor_check(&b->facts, &b->found);
	ck_assert_uint_eq(b->found.count, 2); /* of fad and of smd */
	findings_free(&b->found);
	set_setting(daemon_at(b, SMD), "control.group-port", "7599");
	only(b, SEVERITY_WARNING, "firewall", "rule 9 in inet t in drops UDP port 7511 to the group", "nft -a list");
}
END_TEST

START_TEST(peers_that_do_not_hear_each_other_ARCH_7)
{
	struct bed *b = bed_new();

	set(&its_manager(b)->state, "silent");
	its_manager(b)->age_s = 40;
	only(b, SEVERITY_ERROR, "peer", "manager sm1 (10.77.0.11:7510) has been silent for 40 s", "UDP port 7510");
	b = bed_new();
	its_manager(b)->silent_wildcards = 2;
	only(b, SEVERITY_WARNING, "peer",
	     "sm1 (10.77.0.11:7510) is heard, but does not answer under 2 wildcards: packets",
	     "turnoutctl show wildcards");
	b = bed_new();
	set(&its_manager(b)->state, "silent");
	counter(daemon_at(b, FAD), "message-drops", "authentication-wrong", 7);
	only(b, SEVERITY_ERROR, "peer", "dropped 7 messages whose signature does not fit", "sha256sum");
	b = bed_new();
	set(&its_manager(b)->state, "silent");
	interface(b, "ctl")->up = false;
	only(b, SEVERITY_ERROR, "peer", "the interface of its control address 10.77.0.1 is down", "control.interface");
	b = bed_new();
	set(&daemon_at(b, SMD)->listings[FACT_AGENTS].pages[0]->agents[0]->state, "silent");
	set_counter(daemon_at(b, SMD), "group-heard", 0); /* its own only */
	set_counter(daemon_at(b, SMD), "direct-heard", 0);
	only(b, SEVERITY_ERROR, "peer", "no message of others came in at all", "tcpdump -ni ctl udp port 7511");
	b = bed_new();
	lose_manager(b);
	counter(daemon_at(b, FAD), "message-drops", "version", 2);
	only(b, SEVERITY_ERROR, "peer",
	     "this agent knows no manager; it dropped 2 messages of another protocol version", "same version");
	b = bed_new();
	its_manager(b)->wildcards = 0;
	only(b, SEVERITY_WARNING, "peer", "none wants anything", "show services");
	b = bed_new();
	counter(daemon_at(b, SMD), "message-drops", "authentication-wrong", 7);
	only(b, SEVERITY_WARNING, "messages", "7 messages whose signature does not fit", "sha256sum");
	b = bed_new();
	set_setting(daemon_at(b, SMD), "security.keys", "0");
	only(b, SEVERITY_ADVICE, "keys", "no key is configured", "Keys");
}
END_TEST

START_TEST(servers_services_and_tables_ARCH_7)
{
	struct bed *b = bed_new();

	set(&daemon_at(b, SMD)->listings[FACT_SERVERS].pages[0]->servers[0]->state, "down");
	only(b, SEVERITY_WARNING, "server",
	     "server web1 (10.0.20.11 port 0) of service web is down: connection refused", "nc -vz 10.0.20.11");
	b = bed_new();
	set(&daemon_at(b, SMD)->listings[FACT_SERVERS].pages[0]->servers[0]->state, "draining"); /* as wanted */
	set(&daemon_at(b, SMD)->listings[FACT_SERVICES].pages[0]->services[0]->state, "withdrawn");
	only(b, SEVERITY_ERROR, "service", "service web at 203.0.113.10 is withdrawn", "show servers");
	b = bed_new();
	daemon_at(b, SMD)->listings[FACT_SERVICES].pages[0]->services[0]->servers = 0;
	only(b, SEVERITY_ERROR, "service", "service web at 203.0.113.10 is announced, but none", "show servers");
	b = bed_new();
	set_setting(daemon_at(b, FAD), "limits.fixed", "12");
	only(b, SEVERITY_WARNING, "table", "10 of 12 affinities are in use", "raise limits.fixed");
	b = bed_new();
	counter(daemon_at(b, FAD), "drops", "hold-timeout", 5);
	only(b, SEVERITY_ADVICE, "counter", "5 packets were dropped because no manager answered", "capture --reason");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("doctor");
	TCase *t = tcase_create("doctor");
	SRunner *r;
	int failed;

	tcase_add_test(t, a_healthy_host_has_no_finding_ARCH_7);
	tcase_add_test(t, settings_of_the_kernel_FA_10);
	tcase_add_test(t, interfaces_and_filters_FA_10);
	tcase_add_test(t, daemons_that_are_dead_hung_or_missing_ARCH_7);
	tcase_add_test(t, a_host_without_daemons_is_told_of_its_kernel_ARCH_7);
	tcase_add_test(t, routes_and_their_redistribution_ACT_3);
	tcase_add_test(t, other_routing_daemons_redistribute_too_ACT_3);
	tcase_add_test(t, firewalls_that_track_connections_FA_10);
	tcase_add_test(t, the_larger_rp_filter_counts_FA_10);
	tcase_add_test(t, what_somebody_changed_at_the_punt_port_FA_10);
	tcase_add_test(t, bridges_vlans_and_vrfs_FA_10);
	tcase_add_test(t, rules_by_ingress_interface_FA_10);
	tcase_add_test(t, vips_on_a_connected_network_FA_10);
	tcase_add_test(t, traffic_of_the_router_itself_FA_10);
	tcase_add_test(t, firewalls_that_drop_what_they_do_not_know_FA_10);
	tcase_add_test(t, firewalls_that_ask_for_the_way_back_FA_10);
	tcase_add_test(t, firewalls_that_cannot_be_looked_at_FA_10);
	tcase_add_test(t, peers_that_do_not_hear_each_other_ARCH_7);
	tcase_add_test(t, what_is_heard_tells_why_ARCH_4);
	tcase_add_test(t, where_nothing_is_heard_it_is_narrowed_down_ARCH_4);
	tcase_add_test(t, a_filter_of_the_group_is_named_ARCH_4);
	tcase_add_test(t, servers_services_and_tables_ARCH_7);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
