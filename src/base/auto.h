// SPDX-License-Identifier: Apache-2.0
// Scoped ownership: freed on every return until taken.
//
//   DEFINE_AUTO(plan_port, struct plan_port *, weft_plan_port_free)
//   weft_auto(plan_port) p = NULL;  ...  *out = weft_take(p);
#pragma once

#define DEFINE_AUTO(name, type, free_fn)                   \
	typedef type weft_auto_##name##_t;                 \
	static inline void weft_auto_##name##_end(type *p) \
	{                                                  \
		if (*p)                                    \
			free_fn(*p);                       \
	}

#define weft_auto(name) __attribute__((cleanup(weft_auto_##name##_end))) weft_auto_##name##_t

#define weft_take(p)                      \
	({                                \
		__auto_type taken_ = (p); \
		(p) = NULL;               \
		taken_;                   \
	})
