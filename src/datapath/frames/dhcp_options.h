// SPDX-License-Identifier: Apache-2.0
// DHCP options: what a lease turns into on the wire, in the order in which the client asked.
#pragma once

#include "datapath/frames/dhcp_message.h"
#include "datapath/frames/services.h"

// Everything between the cookie and the end mark of an answer of `type`. What does not fit is
// left out, the client's first wishes last.
void weft_dhcp_options(struct dhcp_writer *w, uint8_t type, const struct dhcp_question *q,
		       const struct dhcp_lease *lease);

// The fields of the BOOTP part that network boot firmware reads in place of options: siaddr,
// sname, file.
void weft_dhcp_boot_fields(uint8_t *message, const struct dhcp_lease *lease);
