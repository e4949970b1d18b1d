# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Builds drm_msvm in both ways (external modules, overlay on a kernel tree) and
# is the entry point for people: demo, test.  Everything that needs a build root,
# a kernel or a virtual machine is tools/vm/vm's job.

TOP	:= $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
TOP	:= $(TOP:/=)
VM	:= $(TOP)/tools/vm/vm

KDIR	?= /lib/modules/$(shell uname -r)/build
GPUS	?= 4
MINUTES	?= 60
SEED	?= 1

# Directories of modules, in the order of their dependencies.
MODULES	:= drivers/gpu/drm/msvm drivers/gpu/drm/vsvm samples

.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo 'On any Debian machine, nothing else needed:'
	@echo '  make demo [GPUS=4] [FILE=...]  virtual GPUs share the memory of one process'
	@echo '  make test                      build, static checks, tests on the stock kernel'
	@echo '  make test-debug                all tests on a kernel with KASAN and lockdep'
	@echo '  make failnth [MINUTES=10] [SEED=...]  the tests, with allocations that fail'
	@echo '  make test-pci                  tests with GPUs on PCI, behind an IOMMU, in each topology'
	@echo '  make policy-tables             simulate placements, into Documentation/gpu/drm-msvm-policy.rst'
	@echo "  make test-hmm [KERNEL=debug]   the kernel's hmm-tests, against its own test_hmm and drm_msvm"
	@echo '  make stress [MINUTES=60] [SEED=1]  random operations against a model, for so long'
	@echo
	@echo 'For a kernel of your own:'
	@echo '  make modules [KDIR=...] [MSVM_DEBUG=1]  build the modules against installed headers'
	@echo '  make modules_install [KDIR=...] [INSTALL_MOD_PATH=...]'
	@echo '  make overlay KSRC=...          put the sources into an unpacked kernel tree'
	@echo '  make tools, make igt-tests     build the programs'
	@echo '  make install-tests DESTDIR=... install them'
	@echo '  make clean                     remove what a build left in this folder'
	@echo
	@echo 'The virtual machine: tools/vm/vm help'

# --- (a) external modules ----------------------------------------------------

# One command for all: modpost sees what one module exports to the next.
# KUnit tests are built where the kernel has KUnit. MSVM_DEBUG=1 adds failures and
# flaws on request, see CONFIG_DRM_MSVM_DEBUG.
KUNIT	= $(shell sed -n 's/^CONFIG_KUNIT=[ym]$$/CONFIG_DRM_MSVM_KUNIT_TEST=m/p' \
	'$(KDIR)/include/config/auto.conf' 2>/dev/null)
KBUILD	= $(MAKE) -C '$(KDIR)' M='$(TOP)' \
	CONFIG_DRM_MSVM=m CONFIG_DRM_VSVM=m CONFIG_DRM_VSVM_HMM=y CONFIG_DRM_MSVM_SAMPLES=m $(KUNIT) \
	$(if $(MSVM_DEBUG),CONFIG_DRM_MSVM_DEBUG=y)

.PHONY: check-kernel modules modules_install
check-kernel:
	@sh '$(TOP)/tools/check/kernel' '$(KDIR)'

modules: check-kernel
	$(KBUILD) modules

modules_install: check-kernel
	$(KBUILD) INSTALL_MOD_DIR=updates/drm_msvm modules_install

# --- (b) overlay on a kernel tree --------------------------------------------

.PHONY: overlay
overlay:
	@sh '$(TOP)/tools/check/overlay' '$(TOP)' '$(KSRC)'

# --- programs ----------------------------------------------------------------

.PHONY: tools igt-tests install-tests
tools:
	$(MAKE) -C '$(TOP)/tools/demo'
	$(MAKE) -C '$(TOP)/tools/load'

igt-tests:
	$(MAKE) -C '$(TOP)/igt-tests'

install-tests: tools igt-tests
	$(MAKE) -C '$(TOP)/tools/demo' install DESTDIR='$(DESTDIR)'
	$(MAKE) -C '$(TOP)/tools/load' install DESTDIR='$(DESTDIR)'
	$(MAKE) -C '$(TOP)/igt-tests' install DESTDIR='$(DESTDIR)'

# --- for people --------------------------------------------------------------

.PHONY: demo test test-debug test-pci policy-tables test-hmm stress
demo:
	@sh '$(TOP)/tools/demo/run' '$(GPUS)' '$(FILE)'

test:
	@bash '$(TOP)/tools/check/test' stock

test-debug:
	@bash '$(TOP)/tools/check/test' debug

test-pci:
	@bash '$(TOP)/tools/check/pci'

policy-tables:
	$(MAKE) -C '$(TOP)/tools/policy' tables

# KERNEL=stock has no test_hmm to compare with.
KERNEL	?= debug
test-hmm:
	@bash '$(TOP)/tools/check/hmm' '$(KERNEL)'

# Successive seeds; the guest's last run may end some minutes late.
stress:
	'$(VM)' run --gpus 8 --timeout $$(($(MINUTES) * 60 + 600)) -- \
		env MSVM_MINUTES='$(MINUTES)' MSVM_SEED='$(SEED)' msvm_stress

# Ten minutes unless told; the seed is the day.
.PHONY: failnth
failnth:
	@bash '$(TOP)/tools/check/failnth' \
		$(if $(filter command line,$(origin MINUTES)),--minutes '$(MINUTES)') \
		$(if $(filter command line,$(origin SEED)),--seed '$(SEED)')

.PHONY: clean
clean:
	-@if [ -d '$(KDIR)' ]; then $(KBUILD) clean; fi
	$(MAKE) -C '$(TOP)/tools/demo' clean
	$(MAKE) -C '$(TOP)/tools/load' clean
	$(MAKE) -C '$(TOP)/tools/policy' clean
	$(MAKE) -C '$(TOP)/igt-tests' clean
