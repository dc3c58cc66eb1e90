/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the classifier's counters are called, for listings and for who looks on.
 *
 * Pure; must not know the classifier's maps.
 */
#ifndef TURNOUT_FAD_CLASSIFIER_NAME_H
#define TURNOUT_FAD_CLASSIFIER_NAME_H

#include "fad/classifier.h"

struct classifier_name {
	const char *group, *name, *help;
};

const struct classifier_name *classifier_name(enum classifier_counter which);

#endif
