// SPDX-License-Identifier: Apache-2.0
/* The list of features and the calls of their hooks, see feature.h. */
#include "control/feature.h"

#include <stdio.h>

/* In the order in which they are set up and called; what ends goes the other way. */
static const struct feature *const features[] = {
	&network_feature,
	&firewall_feature,
	&syscalls_feature,
	&module_feature,
	&aliases_feature,
	&limits_feature,
	&services_feature,
	&certificates_feature,
	&acme_feature,
	&tokens_feature,
	&audit_feature,
	&metrics_feature,
	&ksm_feature,
	NULL,
};

#define for_each_feature(feature) \
	for (const struct feature *const *feature = features; *feature; feature++)

static size_t count(void)
{
	size_t n = 0;

	while (features[n])
		n++;
	return n;
}

int features_set_up(struct control *control, char *fault, size_t fault_size)
{
	for_each_feature(feature) {
		int ret = (*feature)->set_up ?
				  (*feature)->set_up(control, fault, fault_size) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

void features_tear_down(struct control *control)
{
	for (size_t i = count(); i-- > 0;) {
		if (features[i]->tear_down)
			features[i]->tear_down(control);
	}
}

int features_prepare(struct control *control, const struct container *container, char *fault,
		     size_t fault_size)
{
	for_each_feature(feature) {
		int ret = (*feature)->prepare ?
				  (*feature)->prepare(control, container, fault, fault_size) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

void features_changed(struct control *control, const struct container *container)
{
	for_each_feature(feature) {
		if ((*feature)->changed)
			(*feature)->changed(control, container);
	}
}

void features_gone(struct control *control, const uint8_t id[ID_LEN])
{
	for (size_t i = count(); i-- > 0;) {
		if (features[i]->gone)
			features[i]->gone(control, id);
	}
}

void features_tick(struct control *control)
{
	for_each_feature(feature) {
		if ((*feature)->tick)
			(*feature)->tick(control);
	}
}

void features_reloaded(struct control *control)
{
	for_each_feature(feature) {
		if ((*feature)->reloaded)
			(*feature)->reloaded(control);
	}
}
