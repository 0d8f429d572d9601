// SPDX-License-Identifier: Apache-2.0
// How often tests repeat what shows by repetition only: less often under ThreadSanitizer, which
// is some ten times slower, and sees a race also where it does no harm.
#pragma once

#ifdef __SANITIZE_THREAD__
#define ROUNDS(n) ((n) / 8)
#else
#define ROUNDS(n) (n)
#endif
