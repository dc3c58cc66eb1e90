/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the classifier's counters are called.  Pure.
 */
#include "fad/classifier_name.h"

const struct classifier_name *classifier_name(enum classifier_counter which)
{
	static const struct classifier_name names[CLASSIFIER_COUNTERS] = {
		[CLASSIFIER_SEEN] = {"classifier", "seen", "packets that came in"},
		[CLASSIFIER_PASSED] = {"classifier", "passed", "matched nothing: routed by the kernel"},
		[CLASSIFIER_PROTECTED] = {"classifier", "protected",
					  "never matched: for the router itself, and the like"},
		[CLASSIFIER_PUNTED_WILDCARD] = {"classifier", "punted-wildcard", "brought up for a wildcard affinity"},
		[CLASSIFIER_PUNTED_FIXED] = {"classifier", "punted-fixed", "brought up for a fixed affinity"},
		[CLASSIFIER_DROPPED_ADVERTISED] = {"drops", "advertised-unmatched",
						   "to an advertised address, matched nothing"},
		[CLASSIFIER_DROPPED_UNMATCHED] = {"drops", "interface-unmatched",
						  "matched nothing, and the interface says drop"},
		[CLASSIFIER_STALE] = {"classifier", "stale", "passed because the agent gave no sign of life"},
		[CLASSIFIER_FORWARDED] = {"classifier", "forwarded", "sent to the next hop that the agent named"},
		[CLASSIFIER_DROPPED_TOO_BIG] = {"drops", "next-hop-too-big", "larger than the MTU to their next hop"},
		[CLASSIFIER_DROPPED_NO_ROUTE] = {"drops", "next-hop-no-route", "no route to their next hop"},
		[CLASSIFIER_DROPPED_FRAME] = {"drops", "punt-port-frame", "at the punt port, frames not the agent's"},
		[CLASSIFIER_FALLBACK] = {"classifier", "fallback",
					 "sent to the fallback while the agent gave no sign of life"},
		[CLASSIFIER_DROPPED_LOOP] = {"drops", "fallback-loop",
					     "would have gone to the fallback, but came from it"},
		[CLASSIFIER_UNSHOWN] = {"capture", "unshown", "drops in the kernel, more than are shown a second"},
		[CLASSIFIER_PLAN] = {"fastpath", "done", "plan carried out in the kernel"},
		[CLASSIFIER_PLAN_EXPIRED] = {"fastpath", "up-expired", "not carried out: its time was up"},
		[CLASSIFIER_PLAN_STALE] = {"fastpath", "up-stale", "not carried out: affinities had changed since"},
		[CLASSIFIER_PLAN_INTEREST] = {"fastpath", "up-interest",
					      "not carried out: a manager, or a capture, wants to know of the packet"},
		[CLASSIFIER_PLAN_TTL] = {"fastpath", "up-ttl", "not carried out: the packet's way ends here"},
		[CLASSIFIER_PLAN_MTU] = {"fastpath", "up-mtu",
					 "not carried out: the packet may be too large for its way out"},
		[CLASSIFIER_PLAN_BUSY] = {"fastpath", "up-busy", "not carried out: it was just being written"},
		[CLASSIFIER_PLAN_FRAGMENT] = {"fastpath", "unasked-fragment",
					      "not looked up: part of a fragmented datagram"},
		[CLASSIFIER_PLAN_OPTIONS] = {"fastpath", "unasked-options",
					     "not looked up: IP options or extension headers"},
		[CLASSIFIER_PLAN_MALFORMED] = {"fastpath", "unasked-malformed", "not looked up: not well-formed"},
		[CLASSIFIER_DROPPED_SUM] = {"drops", "plan-checksum",
					    "bad checksum of the IPv4 header, and a plan with a next hop"},
		[CLASSIFIER_DROPPED_PLAN] = {"drops", "plan-memory", "no memory to carry out a plan in a packet"},
		[CLASSIFIER_DROPPED_SHED] = {"drops", "shed",
					     "beyond limits.punt-rate by far, and so dropped before they came up"},
		[CLASSIFIER_DROPPED_GONE] =
			{"drops", "agent-gone",
			 "while the agent gave no sign of life, under wildcards with agent-gone: drop"},
		[CLASSIFIER_SHED_ROUTED] = {"classifier", "shed-routed", "the same, routed (punt-excess: route)"},
	};

	return &names[which];
}
