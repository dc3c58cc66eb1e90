/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl: asks the daemons of this machine and prints what they say.
 *
 * Needs no privilege but access to the run directory.
 */
#include <locale.h>

#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, ""); /* column widths of names that are not ASCII */
	return (int)ctl_run(argc, argv, stdout, stderr);
}
