/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeping the classifier where the interfaces are: attached to each configured
 * one that is there, whatever index it has now, and told of own addresses.
 *
 * Must not know of packets or messages.  ARCH-1, FA-8.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fad/agent.h"
#include "lib/exitcode.h"
#include "lib/log.h"

bool agent_links_new(struct agent *a)
{
	a->interface_count = a->conf.interfaces.count;
	a->interfaces = calloc(a->interface_count, sizeof(*a->interfaces));
	if (a->interfaces == NULL)
		return false;
	for (size_t i = 0; i < a->interface_count; i++) {
		const struct interface_conf *c = fad_config_interface(&a->conf, i);

		a->interfaces[i] =
			(struct agent_interface){.name = c->name, .drop_unmatched = c->unmatched == UNMATCHED_DROP};
	}
	return true;
}

bool agent_refuses(void *ctx, uint32_t ifindex)
{
	const struct agent *a = ctx;

	for (size_t i = 0; i < a->interface_count; i++)
		if (a->interfaces[i].present && a->interfaces[i].ifindex == ifindex)
			return a->interfaces[i].drop_unmatched;
	return false;
}

/* 0: no filter, 1: strict, 2: loose; as the kernel takes it, the larger of all's and the interface's. */
static int reverse_path_filter(const char *name)
{
	char path[64 + IF_NAMESIZE];
	int most = 0;

	for (int k = 0; k < 2; k++) {
		FILE *in;
		int c;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", k ? name : "all");
		in = fopen(path, "re");
		c = in ? fgetc(in) : '0';
		if (c - '0' > most)
			most = c - '0';
		if (in)
			fclose(in);
	}
	return most;
}

/* Are plans carried out where packets come in? */
static void choose_datapath(struct agent *a, struct agent_interface *i)
{
	bool wanted = a->conf.datapath != DATAPATH_RING && a->plans != NULL;
	/* What a server's answer is made to come from, a VIP, is not reached by the server's interface. */
	bool strict = wanted && reverse_path_filter(i->name) == 1;

	if (strict && a->conf.datapath == DATAPATH_AUTO) {
		i->datapath = "ring: rp_filter is strict";
		wanted = false;
	} else if (a->conf.datapath == DATAPATH_RING) {
		i->datapath = "ring";
	} else {
		i->datapath = wanted ? "tc" : "ring: the kernel has no room for plans";
	}
	if (strict && wanted)
		log_warning(
			"interface %s: rp_filter is strict, and will drop what plans give another source; set it to 0 "
			"or 2",
			i->name);
	if (classifier_interface_plans(a->classifier, i->ifindex, wanted) != EXITCODE_OK)
		i->datapath = "ring: the kernel refuses";
}

static int attach(struct agent *a, struct agent_interface *i)
{
	int status;

	if (!i->ethernet) {
		log_error("interface %s has no Ethernet header; only Ethernet-like interfaces can be data interfaces",
			  i->name);
		return EXITCODE_INTERFACE;
	}
	status = classifier_attach(a->classifier, i->name, i->ifindex, i->drop_unmatched);
	i->attached = status == EXITCODE_OK;
	if (i->attached)
		choose_datapath(a, i);
	return status;
}

static void appeared(struct agent *a, struct agent_interface *i, uint32_t ifindex)
{
	if (i->attached && i->ifindex != ifindex) {
		classifier_detach(a->classifier, i->ifindex);
		i->attached = false;
	}
	i->present = true;
	i->ifindex = ifindex;
	if (!i->attached && a->links_known && attach(a, i) == EXITCODE_OK) {
		log_info("interface %s is there (index %u): attached", i->name, ifindex);
		agent_notice(a, "info", "interface", i->name, "is there (index %u): attached", ifindex);
	}
}

static void disappeared(struct agent *a, struct agent_interface *i)
{
	if (!i->present)
		return;
	/* Its filter went with it, unless it only changed its name. */
	if (i->attached)
		classifier_detach(a->classifier, i->ifindex);
	i->present = i->up = i->attached = false;
	agent_notice(a, "warning", "interface", i->name, "is gone; it is attached again when it comes back");
	log_warning("interface %s is gone; it is attached again when it comes back", i->name);
}

static void on_link(void *ctx, const char *name, uint32_t ifindex, bool present, bool up, bool ethernet)
{
	struct agent *a = ctx;

	for (size_t k = 0; k < a->interface_count; k++) {
		struct agent_interface *i = &a->interfaces[k];

		if (strcmp(i->name, name) != 0)
			continue;
		if (!present) {
			if (i->ifindex == ifindex)
				disappeared(a, i);
			continue;
		}
		i->ethernet = ethernet;
		if (i->present && i->up != up && a->links_known)
			agent_notice(a, up ? "info" : "warning", "interface", i->name, up ? "up" : "down");
		i->up = up;
		appeared(a, i, ifindex);
	}
}

static void on_address(void *ctx, const struct addr *addr, bool present)
{
	struct agent *a = ctx;

	if (present)
		classifier_own_add(a->classifier, addr);
	else
		classifier_own_del(a->classifier, addr);
	if (a->engine != NULL)
		engine_guards_changed(a->engine);
}

const struct netlink_handler agent_netlink_handler = {.address = on_address, .link = on_link};

int agent_links_check(struct agent *a)
{
	int status = EXITCODE_OK;

	for (size_t k = 0; k < a->interface_count; k++) {
		struct agent_interface *i = &a->interfaces[k];

		if (i->present)
			continue;
		log_error("interface %s is not there; see: ip -br link", i->name);
		status = EXITCODE_INTERFACE;
	}
	return status;
}

bool agent_links_former(const struct agent *a)
{
	for (size_t k = 0; k < a->interface_count; k++)
		if (a->interfaces[k].present && classifier_former(a->interfaces[k].ifindex))
			return true;
	return false;
}

int agent_links_attach(struct agent *a)
{
	int status = EXITCODE_OK;

	for (size_t k = 0; k < a->interface_count && status == EXITCODE_OK; k++)
		if (a->interfaces[k].present) /* it may have gone since it was looked for */
			status = attach(a, &a->interfaces[k]);
	a->links_known = true;
	return status;
}

void agent_links_retry(struct agent *a)
{
	for (size_t k = 0; k < a->interface_count; k++) {
		struct agent_interface *i = &a->interfaces[k];

		if (i->present && !i->attached && i->ethernet && attach(a, i) == EXITCODE_OK) {
			log_info("interface %s: attached", i->name);
			agent_notice(a, "info", "interface", i->name, "attached");
		}
	}
}

void agent_links_detach(struct agent *a)
{
	for (size_t k = 0; k < a->interface_count; k++) {
		struct agent_interface *i = &a->interfaces[k];

		if (i->attached)
			classifier_detach(a->classifier, i->ifindex);
		i->attached = false;
	}
}
