/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing smd's configuration.  See tests/fuzz/config.h.
 */
#include "tests/fuzz/config.h"

#include "smd/config.h"

FUZZ_CONFIG(struct smd_conf, smd_config_load_text, smd_config_free)
