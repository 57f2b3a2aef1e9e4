// SPDX-License-Identifier: Apache-2.0
#include "control/fault.h"

#include <stdarg.h>
#include <stdio.h>

int fault_set(int ret, char *fault, size_t fault_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault, fault_size, format, args);
	va_end(args);
	return ret;
}
