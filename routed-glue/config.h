/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routed-glue's configuration: the YAML file as a plain struct, checked for
 * what its fields mean.  docs/configuration.md describes it.
 *
 * Pure but for reading the one file; must not know of sockets or routes.
 */
#ifndef TURNOUT_ROUTED_GLUE_CONFIG_H
#define TURNOUT_ROUTED_GLUE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h"

struct glue_config {
	struct conf_list agents; /* char *: names of fad instances under the run directory, distinct */
	char *interface;         /* a device name that the kernel would take */
	struct addr address;     /* of the interface; IPv4 link-local */
	uint16_t protocol;       /* rtm_protocol of the routes, none that FRR takes for its own */
	uint32_t metric;
	uint32_t lease; /* ms */
	uint32_t hold;  /* ms */
	uint32_t flap_limit;
	uint32_t flap_refill; /* ms */
	uint32_t audit;       /* ms */
	uint32_t frr_audit;   /* ms, 0: never */
	uint32_t prefixes;    /* at most, in all */
	char *frr;            /* FRR's run directory, absolute, or GLUE_NO_FRR */
};

#define GLUE_NO_FRR "none" /* FRR is not looked for */

/* Errors go to standard error.  False: refused, *conf is zero. */
bool glue_config_load(const char *path, struct glue_config *conf);
/* From memory, errors into the buffer; for tests. */
bool glue_config_load_text(const char *name, const char *text, struct glue_config *conf, char *errors,
			   size_t errors_size);
void glue_config_free(struct glue_config *conf);

static inline const char *glue_config_agent(const struct glue_config *conf, size_t i)
{
	return ((char *const *)conf->agents.items)[i];
}

#endif
