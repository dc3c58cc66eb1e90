/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: which multicast groups were joined at which interface, as
 * /proc/net tells of this network namespace.
 *
 * Must not judge.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

static void add(struct fact_host *h, const char *interface, const struct addr *group)
{
	struct fact_group *grown = realloc(h->groups, (h->group_count + 1) * sizeof(*grown));

	if (!grown)
		return;
	h->groups = grown;
	grown += h->group_count++;
	*grown = (struct fact_group){.group = *group};
	snprintf(grown->interface, sizeof(grown->interface), "%s", interface);
}

/* "3	ctl       :     2      V3", then lines of its groups: "				0A4BFFEF     1 0:00000000
 * 0" */
static void groups4(struct fact_host *h)
{
	FILE *in = fopen("/proc/net/igmp", "re");
	char line[256], name[16] = "", interface[16];
	uint32_t bytes; /* as in memory */

	while (in && fgets(line, sizeof(line), in)) {
		struct addr group;

		if (*line >= '0' && *line <= '9') {
			if (sscanf(line, "%*u %15s", interface) == 1) {
				interface[strcspn(interface, ":")] = '\0';
				memcpy(name, interface, sizeof(name));
			}
		} else if (sscanf(line, " %8x", &bytes) == 1 && *name) {
			group = addr_make(4, (const uint8_t *)&bytes);
			add(h, name, &group);
		}
	}
	if (in)
		fclose(in);
}

/* "3    ctl             ff150000000000000000000000007510     1 0000000C 0" */
static void groups6(struct fact_host *h)
{
	FILE *in = fopen("/proc/net/igmp6", "re");
	char line[256], name[16], hex[33];

	while (in && fgets(line, sizeof(line), in)) {
		struct addr group = {.family = 6};
		unsigned got = 0, byte;

		if (sscanf(line, "%*u %15s %32s", name, hex) != 2 || strlen(hex) != 32)
			continue;
		while (got < 16 && sscanf(hex + (size_t)2 * got, "%2x", &byte) == 1)
			group.b[got++] = (uint8_t)byte;
		if (got == 16)
			add(h, name, &group);
	}
	if (in)
		fclose(in);
}

void facts_collect_groups(struct facts *f)
{
	groups4(&f->host);
	groups6(&f->host);
}
