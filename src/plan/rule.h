// SPDX-License-Identifier: Apache-2.0
// One security group rule of Neutron's as a rule of the plan.
//
// Names become numbers, Neutron's several ways of saying "any" become one:
//   protocol   null, "any", "ip" and 0 are any protocol (as Neutron's iptables driver reads them;
//              its OpenFlow driver matches protocol 0 literally, which admits nothing). ICMP
//              under IPv6 is 58, however it is written.
//   ports      null and 1..65535 are every packet of that protocol
//   ICMP       type and code, where 0 is a value like any other
//   prefix     masked; 0.0.0.0/0 and ::/0 are any address of the family
//   remote     a remote group or address group is a set, named by its id
#pragma once

#include "base/err.h"
#include "model/model.h"
#include "plan/plan.h"

// -EINVAL: the stored object is not one that the API would have taken.
int weft_plan_rule(const struct object *o, struct plan_rule *out, struct err *err);
