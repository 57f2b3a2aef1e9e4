# SPDX-License-Identifier: Apache-2.0
#
# Further targets than make check, each with the line that make help shows of it. Objects
# of the agent do not depend on this file.

include selftests/fuzz/fuzz.mk

.PHONY: fuzz

#: make fuzz         hostile bytes for every parser (T=pattern: some targets; TIME=seconds for each)
fuzz:
	$(if $(HOODY_DEVROOT),,tools/devroot run) selftests/fuzz/run fuzz '$(or $(T),.*)' $(TIME)

.PHONY: fuzz-kernel

#: make fuzz-kernel  messages for the module on the debug kernel, guided by its coverage (TIME=seconds)
fuzz-kernel:
	selftests/fuzz/kernel/run $(TIME)

.PHONY: check-debug

#: make check-debug  the module's tests on kernels with checkers; builds one, once (T=pattern: some of them)
check-debug:
	selftests/debug/run $(if $(T),'$(T)')

.PHONY: deb

#: make deb          Debian packages of agent and module source, in build/devroot/deb
deb:
	$(if $(HOODY_DEVROOT),,tools/devroot run) tools/packaging/deb $(if $(HOODY_DEVROOT),$(O),build/devroot)/deb

.PHONY: check-deb

#: make check-deb    those packages: the same bytes twice; installed, served, upgraded and purged in a booted VM
check-deb:
	$(if $(HOODY_DEVROOT),,tools/devroot run) selftests/deb/check
