// SPDX-License-Identifier: Apache-2.0
/* The kernel's look-up (bpf/lib/decide.h) over an image in memory. */
#include "firewall/policy.h"

struct fw_view {
	const struct fw_image *image;
};

static inline const __u32 *fw_line(struct fw_view *view, __u32 line)
{
	return line < view->image->lines ? view->image->words + line * FW_LINE_WORDS : NULL;
}

#define fw_checked_once		static inline uint32_t
#define fw_expects
#define fw_repeat(i, n)		for ((i) = 0; (i) < (n); (i)++)
#ifndef __always_inline
#define __always_inline		inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline		__attribute__((noinline))
#endif

#include "../../bpf/lib/decide.h"

struct fw_answer fw_image_decide(const struct fw_image *image, const struct fw_question *question)
{
	struct fw_view view = { .image = image };
	struct fw_answer answer;

	fw_decide(&view, question, &answer);
	return answer;
}
