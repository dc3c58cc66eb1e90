/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: what is wrong with this host, its settings and its
 * neighbours, and what to do about it.
 *
 * doctor*_io.c collect facts; everything else is pure: facts in, findings out.
 * What could not be found out is a fact of its own, never taken for good.
 * ARCH-7, FA-10.
 */
#ifndef TURNOUT_CTL_DOCTOR_H
#define TURNOUT_CTL_DOCTOR_H

#include "ctl/ctl.h"
#include "lib/addr.h"

/* ---- facts ---- */

#define FACT_UNKNOWN (-1) /* a number that could not be read */

/* A network interface of this network namespace. */
struct fact_interface {
	char name[16];
	bool up;
	unsigned mtu;         /* 0: unknown */
	int rp_filter;        /* as the sysctl */
	char addresses[512];  /* " 10.0.1.1 fd00::1 ": each between spaces */
	int filters_before;   /* tc filters at ingress that see packets before ours */
	char filter_kind[16]; /* of the first of those */
	int filters_ours;     /* those of fad */
	int forward4, no_ipv6, proxy_arp, proxy_ndp;
	int accept_local;                 /* its own, or all's */
	char master[16], master_kind[16]; /* "bridge" and so on; empty: its own master */
	char vlan[16];                    /* a VLAN device on it; empty: none */
	int64_t sent;                     /* packets; FACT_UNKNOWN */
	bool bridge, snooping, querier;   /* of a bridge: does it look who joins groups; does it ask */
};

/* A multicast group that somebody here has joined at an interface. */
struct fact_group {
	char interface[16];
	struct addr group;
};

/* A network that an address of an interface connects to. */
struct fact_subnet {
	char interface[16];
	struct addr address;
	uint8_t plen;
};

/* A routing rule for packets that came in at an interface. */
struct fact_rule {
	char iif[16];
	uint32_t priority;
	bool v6;
};

/* An address that the kernel answers for in place of its owner. */
struct fact_proxy {
	char interface[16];
	struct addr address;
};

enum fact_state { FACT_YES, FACT_NO, FACT_DENIED, FACT_ABSENT };

/* What the kernel can do, tried out in a network namespace of its own. */
enum fact_feature { FEATURE_BPF, FEATURE_VETH, FEATURE_CLSACT, FEATURE_TUN, FEATURES };

struct fact_host {
	int forward4, forward6, hash4, hash6, rp_all, proxy_arp_all, proxy_ndp_all;
	struct fact_interface *interfaces;
	size_t interface_count;
	struct fact_subnet *subnets;
	size_t subnet_count;
	struct fact_rule *rules;
	size_t rule_count;
	struct fact_proxy *proxies;
	size_t proxy_count;
	struct fact_group *groups;
	size_t group_count;
	enum fact_state features[FEATURES]; /* YES, NO, or DENIED: not permitted to try */
	enum fact_state networkd;           /* YES: runs */
	bool networkd_keeps_routes;         /* ManageForeignRoutes=no */
	enum fact_state nft;                /* YES: ruleset is there; DENIED, ABSENT: could not look */
	char *ruleset;                      /* what nft says, in JSON; allocated */
	char legacy_tables[64];             /* of iptables, as " filter nat"; empty: none */
};

/* One of FRRouting's daemons that keeps routes, or zebra. */
struct fact_frr {
	char name[16];
	enum fact_state state; /* YES: it answered; NO: it does not; DENIED */
	char *config;          /* its running configuration; NULL unless YES; allocated */
};
#define FRR_DAEMONS 8

enum fact_life { LIFE_ALIVE, LIFE_DEAD, LIFE_HUNG, LIFE_DENIED };

/* Pages of one listing. */
struct fact_pages {
	Turnout__Reply **pages;
	size_t count;
};

/* Control messages of one sender that came in at an interface, whoever they were for. */
struct fact_heard {
	char interface[16];
	struct addr from, to;
	uint16_t from_port, to_port;
	uint64_t identity; /* 0: not known, as with another version */
	uint8_t version, type;
	unsigned count;
};
#define FACT_HEARD 16

enum fact_listing {
	FACT_COUNTERS,
	FACT_AGENTS,
	FACT_MANAGERS,
	FACT_SERVICES,
	FACT_SERVERS,
	FACT_INTERFACES,
	FACT_ROUTES,
	FACT_SETTINGS,
	FACT_ADVERTISED,
	FACT_LISTINGS
};

struct fact_daemon {
	char *label; /* for people: its name, with several run directories "RUN_DIR/NAME" */
	char *dir, *name;
	enum fact_life life;
	char program[16]; /* "fad", "smd", "routed-glue"; guessed by the name when it does not answer */
	char version[32];
	struct fact_pages listings[FACT_LISTINGS];
	/* Of a routed-glue: FRRouting as it is configured there. */
	struct fact_frr frr[FRR_DAEMONS];
	size_t frr_count;
	/* Of a daemon that misses its peers.  YES: listened for so long, and heard these; NO: there was no need. */
	enum fact_state listened;
	unsigned listened_ms;
	struct fact_heard heard[FACT_HEARD];
	size_t heard_count;
	uint64_t group_before, direct_before; /* messages of others that it had received when listening began */
};

struct facts {
	struct fact_host host;
	struct fact_daemon *daemons;
	size_t daemon_count;
	char run_dirs[512]; /* for people */
};

/* Value of a setting, "" if there is none. */
const char *fact_setting(const struct fact_daemon *d, const char *name);
/* Value of a counter, 0 if there is none. */
uint64_t fact_counter(const struct fact_daemon *d, const char *group, const char *name);
const struct fact_interface *fact_interface(const struct facts *f, const char *name); /* NULL: not there */
bool fact_is(const struct fact_daemon *d, const char *program);
size_t fact_advertised(const struct fact_daemon *d, bool v6); /* prefixes of this family */

/* All rows of a listing, of all its pages: FACT_EACH(Turnout__ServerRow, row, d, FACT_SERVERS, servers) ... */
#define FACT_EACH(type, row, d, listing, member)                                                                       \
	for (size_t page_##row = 0; page_##row < (d)->listings[listing].count; page_##row++)                           \
		for (size_t at_##row = 0; at_##row < (d)->listings[listing].pages[page_##row]->n_##member; at_##row++) \
			for (const type *row = (d)->listings[listing].pages[page_##row]->member[at_##row]; row;        \
			     row = NULL)

/* ---- findings ---- */

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_ADVICE, SEVERITY_UNCHECKED, SEVERITIES };
const char *severity_name(enum severity s);

struct finding {
	enum severity severity;
	const char *check; /* static */
	char *daemon;      /* "" if of none */
	char *subject, *text, *fix;
};

struct findings {
	struct finding *list;
	size_t count, room;
	size_t counts[SEVERITIES];
	size_t good; /* checks that found nothing */
	bool no_memory;
};

/* daemon: NULL if none.  The text goes on with finding_text(). */
struct finding *finding_add(struct findings *f, enum severity s, const char *check, const struct fact_daemon *d,
			    const char *subject);
/* Both are no-ops on NULL, which finding_add() returns when out of memory. */
void finding_text(struct finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void finding_fix(struct finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void findings_free(struct findings *f);

/* All checks. */
void doctor_check(const struct facts *facts, struct findings *f);

/* The parts, a file each. */
void doctor_check_host(const struct facts *facts, struct findings *f);     /* doctor_host.c */
void doctor_check_around(const struct facts *facts, struct findings *f);   /* doctor_around.c */
void doctor_check_firewall(const struct facts *facts, struct findings *f); /* doctor_firewall.c */
void doctor_check_frr(const struct facts *facts, struct findings *f);      /* doctor_frr.c */
void doctor_check_daemons(const struct facts *facts, struct findings *f);  /* doctor_daemons.c */
void doctor_check_peers(const struct facts *facts, struct findings *f);    /* doctor_peers.c */

/* Does it not hear whom it should? */
bool doctor_misses_peers(const struct fact_daemon *d); /* doctor_peers.c */
/* The interface of its control address, or the one named; NULL: not there. */
const struct fact_interface *doctor_control_interface(const struct facts *facts, const struct fact_daemon *d);
/* Why may it hear nobody?  Fills text, which begins with `what`, and fix. */
void doctor_explain(const struct facts *facts, const struct fact_daemon *d, struct finding *x, const char *what);

/* Of a daemon that hears its peers: does a firewall keep the group from it? */
void doctor_check_filter(const struct facts *facts, const struct fact_daemon *d, struct findings *f);

/* Fills *h but for interface and count, if the IP packet holds a control message; one of another version is known only
 * by these ports.  doctor_heard.c */
bool doctor_read_message(const uint8_t *packet, size_t len, uint16_t port, uint16_t group_port, struct fact_heard *h);

/* Messages dropped that explain a silence, the surest first; ends with counter NULL.  doctor_silence.c */
struct doctor_reason {
	const char *counter, *text, *fix;
};
extern const struct doctor_reason doctor_reasons[];

/* A control message on its way in or out.  doctor_rules.c */
struct rules_packet {
	const char *hook; /* "input" or "output" */
	const char *interface;
	const struct addr *to;
	uint16_t port;
	bool first; /* to conntrack it is the first of its flow */
};
/* Do rules of nftables surely drop it?  where: which. */
bool doctor_rules_drop(const struct facts *facts, const struct rules_packet *p, char *where, size_t size);

/* ---- collecting ---- */

void facts_collect(struct ctl *c, struct facts *f);           /* doctor_io.c */
void facts_collect_kernel(struct facts *f);                   /* doctor_kernel_io.c: features, filters */
void facts_collect_around(struct facts *f);                   /* doctor_around_io.c: what netlink tells */
void facts_collect_groups(struct facts *f);                   /* doctor_group_io.c */
void facts_listen(struct ctl *c, struct facts *f);            /* doctor_listen_io.c */
void facts_count_again(struct ctl *c, struct fact_daemon *d); /* doctor_bus_io.c: its counters as they are now */
void facts_collect_frr(struct fact_daemon *d);                /* doctor_frr_io.c */
bool facts_collect_daemons(struct ctl *c, struct facts *f);   /* doctor_bus_io.c; false after a line: no permission */
void facts_free(struct facts *f);

#endif
