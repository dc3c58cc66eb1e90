/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: why an agent and a manager do not find each other.  What
 * was heard at the interface tells most: messages for another group, those that
 * a firewall keeps from the daemon, those that it refuses.  Where nothing is
 * heard, what is left is said, and how to find out more.
 *
 * Pure; must not know where facts come from.  ARCH-4, ARCH-7.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"
#include "proto/wire.h"

#define QUIET_S 30 /* three hellos, or a whole round of wildcards */
#define NEVER   UINT64_MAX

const struct doctor_reason doctor_reasons[] = {
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
	{"same-identity", "messages of another daemon that has its own identity",
	 "give each agent and manager an `identity` of its own"},
	{NULL, NULL, NULL},
};

/* All that the causes below look at. */
struct silence {
	const struct facts *facts;
	const struct fact_daemon *d;
	const struct fact_interface *i; /* of its control address */
	struct addr self, group;        /* group: the first */
	uint16_t port, group_port;
	bool multicast;
	const char *what;
};

static uint64_t dropped(const struct fact_daemon *d, const char *name)
{
	return fact_counter(d, "message-drops", name);
}

const struct fact_interface *doctor_control_interface(const struct facts *facts, const struct fact_daemon *d)
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

/* ---- what was heard ---- */

static bool is_group(const struct silence *s, const struct addr *a)
{
	const char *at = fact_setting(s->d, "control.group");
	char text[ADDR_STRLEN];
	size_t len = strlen(addr_print(a, text));

	for (; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, text, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

static bool by_group(const struct silence *s, const struct fact_heard *h)
{
	return s->multicast && h->to_port == s->group_port && is_group(s, &h->to);
}

static bool is_direct(const struct silence *s, const struct fact_heard *h)
{
	return h->to_port == s->port && addr_equal(&h->to, &s->self);
}

/* The first of those heard that get, or should get, to the daemon; NULL: none. */
static const struct fact_heard *for_us(const struct silence *s, bool group)
{
	for (size_t k = 0; k < s->d->heard_count; k++) {
		const struct fact_heard *h = &s->d->heard[k];

		if (group ? by_group(s, h) && s->i && strcmp(h->interface, s->i->name) == 0 : is_direct(s, h))
			return h;
	}
	return NULL;
}

static bool is_multicast(const struct addr *a)
{
	return a->family == 4 ? a->b[0] >> 4 == 14 : a->b[0] == 0xff;
}

/* The first that is for a group, but not for one of ours, or not where we listen. */
static const struct fact_heard *for_others(const struct silence *s)
{
	for (size_t k = 0; k < s->d->heard_count; k++) {
		const struct fact_heard *h = &s->d->heard[k];

		if (is_multicast(&h->to) && !(by_group(s, h) && s->i && strcmp(h->interface, s->i->name) == 0))
			return h;
	}
	return NULL;
}

/* ---- causes, each: was it this?  Then text and fix are set ---- */

static bool interface(const struct silence *s, struct finding *x)
{
	if (s->i && s->i->up)
		return false;
	finding_text(x, "%s; the interface of its control address %s is %s", s->what,
		     fact_setting(s->d, "control.address"), s->i ? "down" : "not there");
	finding_fix(x, "ip -br address; control.address and control.interface in its configuration");
	return true;
}

static bool rule(const struct silence *s, const char *hook, bool group, char *where, size_t size)
{
	struct rules_packet p = {.hook = hook,
				 .interface = s->i ? s->i->name : "",
				 .to = group ? &s->group : &s->self,
				 .port = group ? s->group_port : s->port,
				 .first = group};

	return doctor_rules_drop(s->facts, &p, where, size);
}

static bool firewall(const struct silence *s, struct finding *x)
{
	static const char *const hooks[] = {"input", "output"};
	char where[160];

	for (int k = 0; k < 4; k++) {
		bool group = k < 2, in = k % 2 == 0;

		/* What goes out to a peer has another address than ours. */
		if ((group && !s->multicast) || (!group && !in) || !rule(s, hooks[k % 2], group, where, sizeof(where)))
			continue;
		finding_text(x, "%s; %s drops UDP port %u %s %s", s->what, where, group ? s->group_port : s->port,
			     in ? "to" : "out to", group ? "the group" : "its control address");
		finding_fix(x, "accept it before: nft -a list ruleset; ports %u and %u, in and out", s->port,
			    s->group_port);
		return true;
	}
	return false;
}

/* It came in at the interface, and is not counted by the daemon. */
static bool kept_back(const struct silence *s, struct finding *x)
{
	const struct fact_heard *group = for_us(s, true), *direct = for_us(s, false), *h = group ? group : direct;
	uint64_t before = group ? s->d->group_before : s->d->direct_before;
	uint64_t now = fact_counter(s->d, "messages", group ? "group-heard" : "direct-heard");
	char from[ENDPOINT_STRLEN], to[ENDPOINT_STRLEN];

	if (!h || now > before)
		return false;
	finding_text(x,
		     "%s; messages from %s to %s come in at %s, but do not reach it: this host's firewall or "
		     "rp_filter drops them",
		     s->what, endpoint_print(&h->from, h->from_port, from), endpoint_print(&h->to, h->to_port, to),
		     h->interface);
	finding_fix(x,
		    "nft list ruleset: is UDP port %u let in? sysctl net.ipv4.conf.%s.rp_filter: 1 wants the route to "
		    "%s to be there",
		    h->to_port, h->interface, endpoint_print(&h->from, 0, from));
	return true;
}

static bool refused(const struct silence *s, struct finding *x)
{
	const struct fact_heard *h = for_us(s, true) ? for_us(s, true) : for_us(s, false);
	char from[ENDPOINT_STRLEN], last[ENDPOINT_STRLEN + 32] = "";

	if (h && h->version != WIRE_VERSION) {
		finding_text(x, "%s; %s sends messages of another protocol version, %u instead of %u", s->what,
			     endpoint_print(&h->from, h->from_port, from), h->version, WIRE_VERSION);
		finding_fix(x, "run the same version of Turnout on both sides");
		return true;
	}
	if (h)
		snprintf(last, sizeof(last), ", now from %s", endpoint_print(&h->from, h->from_port, from));
	for (const struct doctor_reason *r = doctor_reasons; r->counter; r++) {
		uint64_t n = dropped(s->d, r->counter);

		if (n == 0)
			continue;
		finding_text(x, "%s; it dropped %llu %s%s", s->what, (unsigned long long)n, r->text, last);
		finding_fix(x, "%s", r->fix);
		return true;
	}
	return false;
}

/* Strangers may be refused for good reasons, so this is asked after what else it may be. */
static bool unaccepted(const struct silence *s, struct finding *x)
{
	const struct fact_heard *h = for_us(s, true) ? for_us(s, true) : for_us(s, false);
	char from[ENDPOINT_STRLEN], last[ENDPOINT_STRLEN + 32] = "";
	uint64_t n = dropped(s->d, "sender");

	if (n == 0)
		return false;
	if (h)
		snprintf(last, sizeof(last), ", now from %s", endpoint_print(&h->from, h->from_port, from));
	finding_text(x, "%s; it dropped %llu messages from addresses that its security.accept-from does not have%s",
		     s->what, (unsigned long long)n, last);
	finding_fix(x, "add the other side's control.address to security.accept-from, and reload");
	return true;
}

static bool elsewhere(const struct silence *s, struct finding *x)
{
	const struct fact_heard *h = for_others(s);
	char from[ENDPOINT_STRLEN], to[ADDR_STRLEN];

	if (!h || for_us(s, true))
		return false;
	endpoint_print(&h->from, h->from_port, from);
	addr_print(&h->to, to);
	if (!s->multicast) {
		finding_text(x, "%s; %s sends to group %s port %u, and multicast is switched off here", s->what, from,
			     to, h->to_port);
		finding_fix(x, "control.multicast: true here, or this daemon's address under control.peers there");
	} else if (by_group(s, h)) {
		finding_text(x, "%s; messages of its group come in from %s at %s, and it listens at %s", s->what, from,
			     h->interface, s->i->name);
		finding_fix(x, "control.interface: %s in its configuration", h->interface);
	} else {
		finding_text(x, "%s; %s sends to group %s port %u, and this one listens to %s port %u", s->what, from,
			     to, h->to_port, fact_setting(s->d, "control.group"), s->group_port);
		finding_fix(x, "the same control.group and control.group-port on both sides");
	}
	return true;
}

/* They hear each other by the group, but a challenge or its answer gets lost. */
static bool one_way(const struct silence *s, struct finding *x)
{
	uint64_t sent = fact_counter(s->d, "messages", "challenges-sent");
	const struct fact_heard *h = for_us(s, true);
	char from[ENDPOINT_STRLEN] = "the others";

	if (sent == 0 || fact_counter(s->d, "messages", "peers-known") > 0)
		return false;
	if (h)
		endpoint_print(&h->from, h->from_port, from);
	finding_text(x,
		     "%s; messages come in from %s, but none of %llu challenges was answered: messages pass one way "
		     "only",
		     s->what, from, (unsigned long long)sent);
	finding_fix(x,
		    "has it a route to %s? Is UDP port %u open between the two, both ways? Has it the same key? Run "
		    "turnoutctl doctor there",
		    fact_setting(s->d, "control.address"), s->port);
	return true;
}

static bool not_sent(const struct silence *s, struct finding *x)
{
	uint64_t forbidden = dropped(s->d, "send-not-permitted"), no_route = dropped(s->d, "send-unreachable");

	if (forbidden == 0 && no_route == 0)
		return false;
	if (forbidden > 0) {
		finding_text(x, "%s; a firewall rule of this host did not let out %llu of its messages", s->what,
			     (unsigned long long)forbidden);
		finding_fix(x, "nft list ruleset: let out UDP ports %u and %u", s->port, s->group_port);
	} else {
		finding_text(x, "%s; there was no route for %llu of its messages", s->what,
			     (unsigned long long)no_route);
		finding_fix(x,
			    "its log says for which address; ip route get that address; for a group: ip%s route "
			    "show table all type multicast",
			    s->self.family == 6 ? " -6" : "");
	}
	return true;
}

static bool not_joined(const struct silence *s, struct finding *x)
{
	const struct fact_host *h = &s->facts->host;
	char text[ADDR_STRLEN];

	if (!s->multicast || h->group_count == 0)
		return false;
	for (size_t k = 0; k < h->group_count; k++)
		if (strcmp(h->groups[k].interface, s->i->name) == 0 && is_group(s, &h->groups[k].group))
			return false;
	finding_text(x, "%s; it is no member of its group %s at %s any more", s->what, addr_print(&s->group, text),
		     s->i->name);
	finding_fix(
		x, "it joins again within 5 s of an interface's return; if not, its log says why: systemctl restart %s",
		s->d->program);
	return true;
}

static bool snooping(const struct silence *s, struct finding *x)
{
	const char *name = s->i->bridge ? s->i->name : s->i->master;
	const struct fact_interface *b = fact_interface(s->facts, name);

	if (!s->multicast || !b || !b->bridge || !b->snooping || b->querier)
		return false;
	finding_text(x,
		     "%s; the bridge %s looks who joins groups (mcast_snooping), but does not ask (mcast_querier 0): "
		     "unless another does, it forgets members after some minutes",
		     s->what, b->name);
	finding_fix(x, "ip link set %s type bridge mcast_querier 1, or mcast_snooping 0", b->name);
	return true;
}

/* Does nothing come in by its group, while messages to its address do? */
static bool misses_group(const struct fact_daemon *d)
{
	bool never = fact_counter(d, "messages", "group-heard") == 0 && fact_counter(d, "messages", "direct-heard") > 0;

	return strcmp(fact_setting(d, "control.multicast"), "true") == 0 &&
	       (never || fact_counter(d, "now", "group-quiet-seconds") >= QUIET_S) &&
	       fact_counter(d, "now", "direct-quiet-seconds") < QUIET_S;
}

/* Messages to its address come in, those to the group do not: it is the network's multicast. */
static bool group_lost(const struct silence *s, struct finding *x)
{
	if (!misses_group(s->d))
		return false;
	finding_text(x,
		     "%s; messages to its address come in, but for %llu s none by the group %s: a switch with IGMP or "
		     "MLD snooping and no querier, or a router without multicast routing, does not pass them",
		     s->what, (unsigned long long)fact_counter(s->d, "now", "group-quiet-seconds"),
		     fact_setting(s->d, "control.group"));
	finding_fix(x, "a querier on that network, or snooping off; or control.peers on both sides");
	return true;
}

/* Seconds since another was last heard, NEVER if that was not since the start. */
static uint64_t quiet_s(const struct fact_daemon *d)
{
	uint64_t group = fact_counter(d, "now", "group-quiet-seconds");
	uint64_t direct = fact_counter(d, "now", "direct-quiet-seconds");
	bool by_group = fact_counter(d, "messages", "group-heard") > 0;
	bool directly = fact_counter(d, "messages", "direct-heard") > 0;

	if (by_group && (!directly || group < direct))
		return group;
	return directly ? direct : NEVER;
}

/* Nothing at all.  All that can be done is to narrow it down. */
static void nothing(const struct silence *s, struct finding *x)
{
	const char *ttl = fact_setting(s->d, "control.multicast-ttl");
	const char *one = strcmp(ttl, "1") == 0 ? "; control.multicast-ttl is 1 here: no router passes that on" : "";
	const char *port = fact_setting(s->d, s->multicast ? "control.group-port" : "control.port");
	char since[32] = "at all", listened[80] = "";

	if (quiet_s(s->d) != NEVER)
		snprintf(since, sizeof(since), "for %llu s", (unsigned long long)quiet_s(s->d));
	if (s->d->listened == FACT_YES)
		snprintf(listened, sizeof(listened), ", nor in the %u.%u s that doctor listened",
			 s->d->listened_ms / 1000, s->d->listened_ms / 100 % 10);
	else if (s->d->listened == FACT_DENIED)
		snprintf(listened, sizeof(listened), " (not listened for them: run turnoutctl doctor as root)");
	finding_text(x, "%s; no message of others came in %s at %s%s%s", s->what, since, s->i->name, listened, one);
	if (s->multicast)
		finding_fix(
			x,
			"is the other side up, and what does doctor say there? Else it is the network between: a "
			"filter for UDP, a switch with snooping and no querier, a router without multicast routing, "
			"the sender's multicast-ttl. See both ends: tcpdump -ni %s udp port %s. Without multicast "
			"to %s: control.peers",
			s->i->name, port, fact_setting(s->d, "control.group"));
	else
		finding_fix(x,
			    "control.multicast is false: is the other side up, and one of the two under the other's "
			    "control.peers (here: %s)? Is UDP port %s open both ways? tcpdump -ni %s udp port %s",
			    fact_setting(s->d, "control.peers"), port, s->i->name, port);
}

static void something(const struct silence *s, struct finding *x, uint64_t count)
{
	finding_text(x, "%s; %llu messages came in, of other agents perhaps", s->what, (unsigned long long)count);
	finding_fix(x,
		    "is the other side up? turnoutctl --from %s show counters: message-drops; is UDP port %u to %s "
		    "open both ways?",
		    s->d->name, s->port, fact_setting(s->d, "control.address"));
}

static struct silence look_at(const struct facts *facts, const struct fact_daemon *d, const char *what)
{
	const char *groups = fact_setting(d, "control.group");
	struct silence s = {
		.facts = facts,
		.d = d,
		.i = doctor_control_interface(facts, d),
		.port = (uint16_t)strtoul(fact_setting(d, "control.port"), NULL, 10),
		.group_port = (uint16_t)strtoul(fact_setting(d, "control.group-port"), NULL, 10),
		.multicast = strcmp(fact_setting(d, "control.multicast"), "true") == 0,
		.what = what,
	};
	char first[ADDR_STRLEN];

	snprintf(first, sizeof(first), "%.*s", (int)strcspn(groups, ","), groups);
	s.multicast = addr_parse(first, &s.group) && s.multicast;
	if (!addr_parse(fact_setting(d, "control.address"), &s.self))
		s.self = (struct addr){.family = 4};
	return s;
}

void doctor_explain(const struct facts *facts, const struct fact_daemon *d, struct finding *x, const char *what)
{
	bool (*const causes[])(const struct silence *, struct finding *) = {
		interface, firewall, kept_back,  refused,  unaccepted, elsewhere,
		not_sent,  one_way,  not_joined, snooping, group_lost,
	};
	uint64_t heard = fact_counter(d, "messages", "group-heard") + fact_counter(d, "messages", "direct-heard");
	struct silence s = look_at(facts, d, what);

	for (size_t k = 0; k < sizeof(causes) / sizeof(causes[0]); k++)
		if (causes[k](&s, x))
			return;
	if (d->heard_count == 0 && (heard == 0 || d->listened == FACT_YES || quiet_s(d) >= QUIET_S))
		nothing(&s, x);
	else
		something(&s, x, heard);
}

void doctor_check_filter(const struct facts *facts, const struct fact_daemon *d, struct findings *f)
{
	struct silence s = look_at(facts, d, "");
	struct finding *x;
	char where[160];

	if (!s.multicast || !rule(&s, "input", true, where, sizeof(where))) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_WARNING, "firewall", d, fact_setting(d, "control.group-port"));
	finding_text(x, "%s drops UDP port %u to the group: it hears what is sent to its address only", where,
		     s.group_port);
	finding_fix(x, "accept it before: nft -a list ruleset; ports %u and %u, in and out", s.port, s.group_port);
}
