/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: will FRRouting announce the routes out of the VIP device?
 * Reads running configurations, line by line.
 *
 * Pure; must not know how they were got.  ACT-3.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

/* What a configuration says of kernel routes, for one family. */
struct redistribution {
	bool any;     /* they are redistributed */
	bool passes;  /* and a route out of the device gets through */
	char map[64]; /* the route map that keeps it back */
	char daemon[16];
};

/* The next line, without what is blank at its ends; NULL at the end.  indented: it began with a space. */
static char *next_line(char **at, bool *indented)
{
	char *line = strsep(at, "\n");
	size_t len;

	if (!line)
		return NULL;
	*indented = *line == ' ';
	line += strspn(line, " ");
	len = strlen(line);
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		line[--len] = '\0';
	return line;
}

static bool starts(const char *line, const char *with)
{
	size_t len = strlen(with);

	return strncmp(line, with, len) == 0 && (line[len] == ' ' || line[len] == '\0');
}

/* Is there a permitting entry of this map that matches no other interface? */
static bool map_passes(const char *config, const char *map, const char *interface)
{
	char *copy = strdup(config), *at = copy, *line, head[96], match[64];
	bool inside = false, passes = false, result = false, indented;

	snprintf(head, sizeof(head), "route-map %s permit", map);
	snprintf(match, sizeof(match), "match interface %s", interface);
	while (copy && (line = next_line(&at, &indented))) {
		if (!indented) {
			result |= inside && passes;
			inside = starts(line, head);
			passes = inside;
		} else if (inside && starts(line, "match interface")) {
			passes = strcmp(line, match) == 0;
		}
	}
	free(copy);
	return result || (inside && passes);
}

/* Which family a line is about: of the line itself, its address family, or its daemon. */
static bool about_v6(const struct fact_frr *d, const char *line, const char *family)
{
	if (strstr(line, " ipv6 "))
		return true;
	if (strstr(line, " ipv4 "))
		return false;
	if (*family)
		return strncmp(family, "ipv6", 4) == 0;
	return strcmp(d->name, "ospf6d") == 0 || strcmp(d->name, "ripngd") == 0;
}

static void take(const struct fact_frr *d, const char *line, struct redistribution *r, const char *interface)
{
	const char *map = strstr(line, " route-map ");

	r->any = true;
	snprintf(r->daemon, sizeof(r->daemon), "%s", d->name);
	if (!map) {
		r->passes = true;
		return;
	}
	map += sizeof(" route-map ") - 1;
	snprintf(r->map, sizeof(r->map), "%.*s", (int)strcspn(map, " "), map);
	r->passes |= map_passes(d->config, r->map, interface);
}

static void scan(const struct fact_frr *d, struct redistribution found[2], const char *interface)
{
	char *copy = strdup(d->config), *at = copy, *line, family[32] = "";
	bool indented;

	while (copy && (line = next_line(&at, &indented))) {
		if (!indented)
			family[0] = '\0';
		else if (starts(line, "address-family"))
			snprintf(family, sizeof(family), "%s", line + sizeof("address-family"));
		else if (starts(line, "exit-address-family"))
			family[0] = '\0';
		else if (starts(line, "redistribute") && strstr(line, " kernel"))
			take(d, line, &found[about_v6(d, line, family)], interface);
	}
	free(copy);
}

static void judge(const struct fact_daemon *glue, struct findings *f, const struct redistribution *r, bool v6)
{
	const char *family = v6 ? "IPv6" : "IPv4", *interface = fact_setting(glue, "interface");
	struct finding *x;

	if (r->passes) {
		f->good++;
		return;
	}
	x = finding_add(f, SEVERITY_ERROR, "redistribute", glue, family);
	if (r->any) {
		finding_text(x,
			     "%s redistributes kernel routes of %s by route-map %s, which lets none out of %s through",
			     r->daemon, family, r->map, interface);
		finding_fix(x, "vtysh -c 'configure terminal' -c 'route-map %s permit 10' -c 'match interface %s'",
			    r->map, interface);
		return;
	}
	finding_text(x, "no routing daemon of FRRouting redistributes kernel routes of %s: the VIPs are not announced",
		     family);
	finding_fix(x,
		    "under `router bgp`, `address-family %s unicast`: redistribute kernel route-map VIP-OUT, and "
		    "`route-map VIP-OUT permit 10`: match interface %s",
		    v6 ? "ipv6" : "ipv4", interface);
}

/* How many are in this state; name: of one that is. */
static size_t in_state(const struct fact_daemon *glue, enum fact_state state, bool zebra)
{
	size_t n = 0;

	for (size_t i = 0; i < glue->frr_count; i++)
		n += glue->frr[i].state == state && (strcmp(glue->frr[i].name, "zebra") == 0) == zebra;
	return n;
}

static void look(const struct facts *facts, const struct fact_daemon *glue, struct findings *f)
{
	struct redistribution found[2] = {{0}};
	bool wanted[2] = {false, false};
	struct finding *x;

	for (size_t i = 0; i < glue->frr_count; i++)
		if (glue->frr[i].config)
			scan(&glue->frr[i], found, fact_setting(glue, "interface"));
	for (size_t i = 0; i < facts->daemon_count; i++) {
		wanted[0] |= fact_advertised(&facts->daemons[i], false) > 0;
		wanted[1] |= fact_advertised(&facts->daemons[i], true) > 0;
	}
	if (in_state(glue, FACT_DENIED, false) > 0) {
		x = finding_add(f, SEVERITY_UNCHECKED, "redistribute", glue, "FRRouting");
		finding_text(x, "its configuration cannot be read without privilege");
		finding_fix(x, "run turnoutctl doctor as root, or in the group frrvty");
		return;
	}
	for (int v6 = 0; v6 < 2; v6++)
		if (wanted[v6])
			judge(glue, f, &found[v6], v6);
}

static void frr_of(const struct facts *facts, const struct fact_daemon *glue, struct findings *f)
{
	const char *dir = fact_setting(glue, "frr");
	struct finding *x;

	if (glue->life != LIFE_ALIVE || !*dir || strcmp(dir, "none") == 0)
		return;
	if (in_state(glue, FACT_YES, true) + in_state(glue, FACT_DENIED, true) == 0) {
		x = finding_add(f, SEVERITY_ERROR, "frr", glue, "zebra");
		finding_text(x, "FRRouting's zebra does not answer in %s: nothing is announced", dir);
		finding_fix(x,
			    "systemctl restart frr; or set `frr` in routed-glue's configuration to its run directory");
		return;
	}
	f->good++;
	if (in_state(glue, FACT_YES, false) + in_state(glue, FACT_DENIED, false) == 0) {
		x = finding_add(f, SEVERITY_ERROR, "frr", glue, "routing daemon");
		finding_text(x, "none of FRRouting's routing daemons answers in %s: nothing is announced", dir);
		finding_fix(x, "set bgpd=yes or ospfd=yes in /etc/frr/daemons, then systemctl restart frr");
		return;
	}
	f->good++;
	look(facts, glue, f);
}

void doctor_check_frr(const struct facts *facts, struct findings *f)
{
	for (size_t i = 0; i < facts->daemon_count; i++)
		if (fact_is(&facts->daemons[i], "routed-glue"))
			frr_of(facts, &facts->daemons[i], f);
}
