# SPDX-License-Identifier: Apache-2.0
#
# What kselftest's lib.mk gives a folder, for a tree outside the kernel. A folder
# sets TEST_PROGS (scripts), TEST_PROGS_EXTENDED (scripts that take minutes and are run
# when they are asked for) and TEST_GEN_PROGS (programs, built by the top-level
# Makefile) and includes this file; in a kernel tree lib.mk is taken instead.

folder := $(notdir $(CURDIR))
top := $(abspath $(CURDIR)/../..)
HOODY_BUILD ?= $(top)/build/devroot
settings_timeout := $(shell sed -n 's/^timeout=//p' settings)

.PHONY: all list_tests list_extended run_tests

all:
	$(MAKE) -C $(top) O=$(HOODY_BUILD) all tests

list_tests:
	@printf '%s\n' $(TEST_GEN_PROGS) $(TEST_PROGS)

list_extended:
	@printf '%s\n' $(TEST_PROGS_EXTENDED)

# One after the other on this machine, exit status 1 when one fails.
run_tests:
	@status=0; for test in $(TEST_GEN_PROGS:%=$(HOODY_BUILD)/selftests/$(folder)/%) $(TEST_PROGS:%=./%); do \
		echo "# selftests: $(folder): $$(basename $$test)"; \
		HOODY_BUILD=$(HOODY_BUILD) timeout $(settings_timeout) $$test; \
		case $$? in 0) ;; 4) echo "# skipped" ;; *) status=1 ;; esac; \
	done; exit $$status
