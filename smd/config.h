/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smd's configuration: the YAML file as plain structs, checked for what the
 * fields mean together.  docs/configuration.md and docs/smd.md describe it.
 *
 * Pure but for reading the one file, and trying those that it names; must not know what services do.
 */
#ifndef TURNOUT_SMD_CONFIG_H
#define TURNOUT_SMD_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/endpoint_io.h"

#define CONFIG_MAX_SERVICES 1024
#define CONFIG_MAX_VIPS     64 /* a service */
#define CONFIG_MAX_SERVERS  512
#define CONFIG_MAX_FILTERS  64
#define CONFIG_MAX_RULES    1024 /* a filter */
#define CONFIG_MAX_PORTS    16   /* ranges of a rule, as many as a message can have */
#define CONFIG_MAX_BACKUP   1000

enum config_check_type {
	CHECK_AUTO, /* as the service: tcp for tcp; for udp none, or tcp when check.port is given */
	CHECK_TCP,
	CHECK_HTTP,
	CHECK_HTTPS,
	CHECK_NONE,
};

enum config_check_method { CHECK_GET, CHECK_HEAD };

/* How packets get to the servers. */
enum config_mode {
	MODE_NAT,    /* translated, in both directions */
	MODE_DIRECT, /* unchanged, to the server as the next hop (SVC-1) */
	MODE_TUNNEL, /* unchanged, wrapped towards the server (SVC-10) */
};

/* A service of which no server is up. */
enum config_when_empty {
	WHEN_EMPTY_WITHDRAW, /* its VIPs are withdrawn from routing */
	WHEN_EMPTY_DROP,     /* they stay announced, and packets are dropped */
	WHEN_EMPTY_REJECT,   /* they stay announced, and clients are told (FIX-3) */
};

/* What becomes of packets when nobody decides: while the manager is silent, or the agent has gone. */
enum config_undecided { UNDECIDED_DROP, UNDECIDED_ROUTE };

enum config_shutdown { SHUTDOWN_WITHDRAW, SHUTDOWN_KEEP };

struct check_conf {
	int type;                   /* enum config_check_type */
	uint16_t port;              /* 0: the server's */
	uint32_t interval, timeout; /* ms */
	uint32_t rise, fall;
	/* http and https: */
	int method;                     /* enum config_check_method */
	char *path;                     /* NULL: "/" */
	char *host;                     /* NULL: the address */
	struct conf_list expect_status; /* char *: "200" or "200-299"; empty: CHECK_STATUS_DEFAULT */
	char *expect_body;              /* must be in it; NULL: anything */
	bool verify;                    /* the certificate */
	char *ca_file;                  /* NULL: the system's */
};
#define CHECK_STATUS_DEFAULT "200-399"

struct server_conf {
	char *name;
	struct conf_list addresses; /* struct addr, at most one of each family */
	uint16_t port;              /* 0: the service's */
	uint32_t weight;
	struct conf_list check_addresses; /* struct addr, at most one of each family */
};

struct tunnel_conf {
	int kind;      /* enum wire_tunnel_kind; 0: none */
	uint16_t port; /* of WIRE_TUNNEL_UDP */
};

struct service_conf {
	char *name;
	struct conf_list vips; /* struct addr */
	int protocol;          /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port;
	int method;     /* enum balancer_method */
	int mode;       /* enum config_mode */
	int when_empty; /* enum config_when_empty */
	int on_silence; /* enum config_undecided: while agents get no answer from here */
	int agent_gone; /* likewise: where an agent has died (FA-6) */
	struct tunnel_conf tunnel;
	uint32_t affinity_ttl;  /* ms, rounded up to whole seconds on the wire */
	uint32_t partition_ttl; /* ms, likewise rounded up; 0: no partitions (SM-13) */
	uint32_t sticky;        /* ms: a closed connection is remembered so much longer than agents hold it */
	uint32_t precedence;
	struct conf_list servers; /* struct server_conf */
	struct check_conf check;
};

enum rule_action { RULE_DENY, RULE_PERMIT, RULE_REJECT };

struct port_range {
	uint16_t low, high;
};

struct rule_conf {
	int action; /* enum rule_action */
	char *protocol_text;
	struct conf_prefix source, destination; /* family 0: any */
	uint16_t port_given;
	struct conf_list ports_given; /* char * */
	/* What these come to: */
	uint8_t protocol;                          /* 0: any */
	uint8_t families;                          /* RULE_IPV4, RULE_IPV6 */
	uint8_t port_count;                        /* 0: any destination port */
	struct port_range ports[CONFIG_MAX_PORTS]; /* ascending, none touches the next */
};
#define RULE_IPV4 0x01
#define RULE_IPV6 0x02

struct filter_conf {
	char *name;
	uint32_t precedence;
	int agent_gone;         /* enum config_undecided: what is denied, where an agent has died (FA-6) */
	struct conf_list rules; /* struct rule_conf */
};

struct limits_conf {
	uint32_t flows;
	uint32_t agents;
};

struct smd_conf {
	char *name; /* NULL: the host's */
	uint64_t identity;
	struct endpoint_conf control;
	struct security_conf security;
	struct conf_list services;   /* struct service_conf */
	struct conf_list filters;    /* struct filter_conf */
	uint32_t backup;             /* PREC-4: 0 is the primary */
	struct conf_list masquerade; /* struct conf_prefix: clients that servers must not see (FA-10) */
	uint32_t wildcard_ttl;       /* ms, likewise rounded up */
	uint32_t flow_ttl;           /* ms */
	int shutdown;                /* enum config_shutdown */
	struct limits_conf limits;
};

/* Errors go to standard error.  False: refused, *conf is zero. */
bool smd_config_load(const char *path, struct smd_conf *conf);
/* The same, errors into the buffer, a line each. */
bool smd_config_load_quiet(const char *path, struct smd_conf *conf, char *errors, size_t errors_size);
/* From memory, errors into the buffer; for tests. */
bool smd_config_load_text(const char *name, const char *text, struct smd_conf *conf, char *errors, size_t errors_size);
void smd_config_free(struct smd_conf *conf);

static inline const struct service_conf *smd_config_service(const struct smd_conf *conf, size_t i)
{
	return &((const struct service_conf *)conf->services.items)[i];
}

static inline const struct filter_conf *smd_config_filter(const struct smd_conf *conf, size_t i)
{
	return &((const struct filter_conf *)conf->filters.items)[i];
}

static inline const struct rule_conf *smd_config_rule(const struct filter_conf *f, size_t i)
{
	return &((const struct rule_conf *)f->rules.items)[i];
}

static inline const struct server_conf *smd_config_server(const struct service_conf *s, size_t i)
{
	return &((const struct server_conf *)s->servers.items)[i];
}

/* The first setting that differs and that a running manager cannot change; NULL: none does. */
const char *smd_config_needs_restart(const struct smd_conf *a, const struct smd_conf *b);
/* The list's address of this family, NULL if it has none. */
const struct addr *smd_config_address(const struct conf_list *addresses, uint8_t family);
/* Is the address in the prefix? */
bool smd_config_in_prefix(const struct conf_prefix *p, uint8_t family, const uint8_t *bytes);
/* As in the configuration. */
const char *smd_config_mode_name(enum config_mode mode);
/* smd/config_filter.c: the table of a filter, and what needs the whole file to be judged. */
extern const struct conf_mapping smd_config_filter_mapping;
extern const struct conf_choice smd_config_undecided[];
bool smd_config_check_filters(struct conf *c, const struct conf_node *root, const struct smd_conf *conf);
/* Is this HTTP status one that the check expects? */
bool smd_config_status_good(const struct check_conf *c, unsigned status);
/* What enum config_check_type the service's check comes to: any but CHECK_AUTO. */
enum config_check_type smd_config_check_type(const struct service_conf *s);

#endif
