// SPDX-License-Identifier: Apache-2.0
// weft: the operator's command line.
#include "cli/commands.h"

int main(int argc, char **argv)
{
	return weft_cli(argc, argv);
}
