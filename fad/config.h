/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fad's configuration: the YAML file as plain structs, checked for what the
 * fields mean together.  docs/configuration.md describes it.
 *
 * Pure but for reading the one file; must not know of packets or tables.
 */
#ifndef TURNOUT_FAD_CONFIG_H
#define TURNOUT_FAD_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "fad/engine.h"
#include "lib/conf.h"
#include "lib/endpoint_io.h"

#define CONFIG_MAX_INTERFACES 256

/* What becomes of a packet that no affinity matches (ARCH-1). */
enum config_unmatched { UNMATCHED_ROUTE, UNMATCHED_DROP };

struct interface_conf {
	char *name;
	int unmatched; /* enum config_unmatched */
};

/* Where the plans of decided flows are carried out. */
enum config_datapath { DATAPATH_AUTO, DATAPATH_RING, DATAPATH_TC };

/* What becomes of a packet that exceeds limits.punt-rate. */
enum config_punt_excess { PUNT_EXCESS_DROP, PUNT_EXCESS_ROUTE };

struct fad_limits_conf {
	uint32_t fixed, wildcards; /* affinities */
	uint32_t hold_flows;
	uint32_t hold_packets; /* a flow */
	uint64_t hold_bytes;   /* in all */
	uint32_t punt_rate;    /* questions a second under one wildcard; 0: no limit (FA-5) */
	int punt_excess;       /* enum config_punt_excess */
	uint32_t fast_flows;   /* in the kernel's table, of each family */
};

struct fad_conf {
	char *name;        /* NULL: the host's */
	uint64_t identity; /* 0: see fad_config_identity() */
	struct endpoint_conf control;
	struct security_conf security;
	struct conf_list interfaces; /* struct interface_conf */
	bool accept_uncovered;       /* FIX-6 */
	bool permit_protected;       /* FA-8 */
	int datapath;                /* enum config_datapath */
	char *punt_port;             /* the veth pair is this with 0 and 1 appended */
	uint32_t stop_hold;          /* ms, FA-6: how long routes are to stay after a planned stop */
	uint32_t linger;             /* ms: how long packets are still served after routes were withdrawn */
	struct conf_list fallback;   /* struct addr, at most one of each family: next hops when the agent is dead */
	uint32_t fallback_for;       /* ms after its last sign of life */
	struct fad_limits_conf limits;
};

/* Errors go to standard error.  False: refused, *conf is zero. */
bool fad_config_load(const char *path, struct fad_conf *conf);
/* From memory, errors into the buffer; for tests. */
bool fad_config_load_text(const char *name, const char *text, struct fad_conf *conf, char *errors, size_t errors_size);
/* From a file, errors into the buffer. */
bool fad_config_load_quiet(const char *path, struct fad_conf *conf, char *errors, size_t errors_size);
void fad_config_free(struct fad_conf *conf);

static inline const struct interface_conf *fad_config_interface(const struct fad_conf *conf, size_t i)
{
	return &((const struct interface_conf *)conf->interfaces.items)[i];
}

/* The identity of an agent that was given none: the same at each start on this
 * machine under this name, another anywhere else.  Never 0. */
uint64_t fad_config_identity(const char *machine_id, const char *name);

/* NULL if a running agent can go from a to b; else the name of a field that takes a restart. */
const char *fad_config_needs_restart(const struct fad_conf *a, const struct fad_conf *b);

/* Slots of each family for the kernel's table of plans: half of them may be used, so that all find a place.  0: it is
 * not wanted. */
uint32_t fad_config_plans(const struct fad_conf *conf);

/* What the engine takes of it; the random keys are left to the caller. */
struct engine_conf fad_config_engine(const struct fad_conf *conf);

#endif
