// SPDX-License-Identifier: Apache-2.0
/* Where a tunnel's peer that is given by name is sent, see tunnel_place_choose(). */
#include "control/tunnel.h"

#include "tap.h"

#include <string.h>

#define NEVER	(-1)

static struct address at(const char *text)
{
	struct address address = { 0 };

	address_parse(text, strlen(text), &address);
	return address;
}

int main(void)
{
	const struct address known[] = { at("192.0.2.1"), at("2001:db8::1"), at("192.0.2.3") };
	const struct address none = { 0 }, roamed = at("198.51.100.9");
	const struct address *first = &known[0], *second = &known[1], *last = &known[2];

	tap_plan(10);
	tap_ok(!tunnel_place_choose(known, 0, &none, NEVER, 1000), "place_without_address_is_none");
	tap_ok(tunnel_place_choose(known, 3, &none, NEVER, 0) == first, "place_is_the_best_first");
	tap_ok(!tunnel_place_choose(known, 3, first, 0, 1000) &&
	       !tunnel_place_choose(known, 3, first, 135, 1000), "place_that_answers_stays");
	tap_ok(!tunnel_place_choose(known, 3, &roamed, 135, 1000), "place_of_a_roamer_stays");
	tap_ok(tunnel_place_choose(known, 3, &roamed, 136, 0) == first,
	       "place_of_a_silent_roamer_is_the_names");
	tap_ok(tunnel_place_choose(known, 3, first, 136, 16) == second,
	       "place_that_is_silent_is_followed_by_the_next");
	tap_ok(tunnel_place_choose(known, 3, last, NEVER, 16) == first,
	       "place_behind_the_last_is_the_first");
	tap_ok(!tunnel_place_choose(known, 3, first, NEVER, 15), "place_has_its_time_to_answer");
	tap_ok(!tunnel_place_choose(known, 1, first, NEVER, 1000), "place_that_is_the_only_one_stays");
	tap_ok(tunnel_place_choose(known + 1, 2, first, NEVER, 0) == second,
	       "place_that_a_name_has_left_is_left_at_once");
	return tap_done();
}
