# make demo   the wizard in the lab            make check  the fast loop: format, lint, types, layers, unit tests
# make test   every test, lab included         make bench  figures, side by side
# make long      every fault of the lab, least privilege, revert, runs side by side, undo of a Windows host and more that
#                takes minutes: make test leaves it out; make test LEFT_OUT=cases runs both at once
# make cases     what people report in public, healthy farms of others, every fix that is a command, and the runs at once,
#                renamed servers, waves, kill points and three directors that make test leaves out, in the lab
# make faults    every fault of the lab, and what verify and the classic checks make of it
# make reboots   Debian machines with systemd reboot for real: what of a set-up comes back, and what a teardown leaves
# make failover  two directors with keepalived and three with BIRD, under load: power cut, split, reboot and more, in figures
# make guard-soak  flapping servers, load and healthy noise for MINUTES: does the guard take out one that is well?
# make pictures  the README's screens and film     make install-check  the README's ways to install, in scratch
# make hostile   every hostile case: files, inventories, frames, hosts; tried and failed per class
# make docs      the book as a site, in .venv-docs/site; a broken link fails it
# make manual    man page and completions (share/) anew from the commands
# make mutants   single places of planning, diagnosis, record and dialects changed, and which the tests notice; SEED, COUNT
# make monkey    keys pressed at random and twice in every screen, 20,000 for each size: crashes, and acts nobody confirmed
# make kills     the real process killed at every record of its journal, in the lab; half an hour
# make undo-table  every n-th thing asked of a Windows host fails, before and after it took effect: made, wrong
# make lock      requirements/*.txt anew from pyproject.toml; UPGRADE=--upgrade takes the newest of everything
# make outdated  what the lock holds back: name, locked, newest
# make clean     what the targets above made
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Wheels alone: a package built from its source would bring build tools that no hash holds.
LOCKED := install -q --require-hashes --only-binary :all:
OURSELVES := install -q --no-deps --no-build-isolation
UV := uv==0.13.9
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env "PATH=$$PATH")

# command that must be there = Debian package that brings it. keepalived, bird and prometheus are for tests: nothing of
# them runs on this machine (tests/quiet_install.sh).
NEEDS := linux.uml=user-mode-linux ipvsadm=ipvsadm sshd=openssh-server ssh=openssh-client ip=iproute2 \
         modprobe=kmod iptables-legacy=iptables ping=iputils-ping arping=iputils-arping curl=curl sudo=sudo mcs=mono-mcs \
         keepalived=keepalived bird=bird2 groff=groff-base krb5kdc=krb5-kdc kadmin.local=krb5-admin-server kinit=krb5-user \
         promtool=prometheus

# What the machines of `make reboots` are made with, as an ordinary user
REBOOTS_NEED := linux.uml=user-mode-linux mmdebstrap=mmdebstrap fakechroot=fakechroot fakeroot=fakeroot \
                mkfs.ext4=e2fsprogs ssh-keygen=openssh-client depmod=kmod setpriv=util-linux

.PHONY: long monkey failover guard-soak reboots demo test cases check lint unit bench faults hostile mutants kills undo-table pictures manual docs install-check lock outdated clean packages

# Markers of tests that `make test` leaves to other targets
LEFT_OUT ?= cases or long or exhaustive

demo: packages $(VENV)/.ready
	@$(BIN)/dsrwizard lab

test: packages lint
	$(BIN)/python -m pytest -q -n 4 --dist loadscope --no-loadscope-reorder -m "not ($(LEFT_OUT))" \
	  tests/lab tests/screens tests/ssh tests/windows tests/hostile tests/unit tests/fakes

long: packages $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -n 4 --dist loadscope --no-loadscope-reorder -m "(long or exhaustive) and not cases" \
	  tests/lab tests/screens tests/windows tests/hostile tests/unit

cases: packages $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -n 4 --dist load -m cases tests/lab

reboots: $(VENV)/.ready-dev
	@$(MAKE) --no-print-directory packages NEEDS='$(REBOOTS_NEED)'
	@$(BIN)/python -m tests.reboots

failover: packages $(VENV)/.ready-dev
	@$(BIN)/python -m tests.failover

MINUTES ?= 5
guard-soak: packages $(VENV)/.ready-dev
	@$(BIN)/python -m tests.bench.guard_soak --minutes $(MINUTES) --seed $(SEED)

check: lint unit

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck $$(find dsrwizard backends -name '*.sh') tests/quiet_install.sh tests/reboots/build.sh tests/reboots/inside/init \
	  tests/reboots/seeded/agent tests/reboots/seeded/manage
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -n 3 -m "not (exhaustive or long)" tests/unit tests/fakes

bench: packages $(VENV)/.ready-dev $(VENV)-bench/.ready
	$(BIN)/python -m tests.bench.startup
	$(BIN)/python -m tests.bench.diagnose
	$(BIN)/python -m tests.bench.verify_time
	$(BIN)/python -m tests.bench.live_pane
	$(BIN)/python -m tests.bench.winrm_farm
	$(AS_ROOT) $(BIN)/python -m tests.bench.probe_round
	$(BIN)/dsrwizard lab -- "$(CURDIR)/$(BIN)/python" "$(CURDIR)/tests/bench/ipvs_dump.py"
	$(BIN)/python -m tests.bench.refresh
	$(BIN)/dsrwizard lab -- "$(CURDIR)/$(BIN)/python" "$(CURDIR)/tests/bench/refresh.py" --kernel
	$(BIN)/python -m tests.bench.detection
	$(BIN)/python -m tests.bench.guard_times
	$(AS_ROOT) $(BIN)/python -m tests.bench.soak
	PATH="$$PWD/$(VENV)-bench/bin:$$PATH" $(AS_ROOT) $(BIN)/python -m tests.bench.ssh_farm 20 50

faults: packages $(VENV)/.ready-dev
	$(BIN)/python -m tests.bench.fault_matrix --blind --healthy 50

hostile: packages $(VENV)/.ready-dev
	DSRWIZARD_HOSTILE=all $(BIN)/python -m pytest -q -n 2 tests/hostile

SEED ?= 1
COUNT ?= 30
mutants: $(VENV)/.ready-dev
	@$(BIN)/python -m tests.mutants --seed $(SEED) --count $(COUNT)

MONKEY ?= 20000
monkey: $(VENV)/.ready-dev
	@$(BIN)/python -m tests.monkey --keys $(MONKEY) --seed $(SEED)

kills: packages $(VENV)/.ready-dev
	DSRWIZARD_KILLS=all $(BIN)/python -m pytest -q tests/lab/test_kill_points.py

undo-table: $(VENV)/.ready-dev
	DSRWIZARD_WINDOWS=all $(BIN)/python -m pytest -q -n 2 tests/windows/test_windows_undo.py tests/windows/test_windows_killed.py
	@$(BIN)/python -m tests.windows.undo_table

pictures: $(VENV)/.ready-dev
	$(BIN)/python -m tests.pictures
	$(BIN)/python -m tests.cast

manual: $(VENV)/.ready-dev
	$(BIN)/python -m tests.manual

docs: $(VENV)-docs/.ready
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --site-dir $(VENV)-docs/site
	@echo "$(CURDIR)/$(VENV)-docs/site/index.html"

install-check: | $(VENV)/bin/python
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch/tools" && "$$scratch/tools/bin/pip" install -q --disable-pip-version-check uv pipx && \
	export UV_TOOL_DIR="$$scratch/uv" UV_TOOL_BIN_DIR="$$scratch/uv-bin" UV_CACHE_DIR="$$scratch/cache" \
	  PIPX_HOME="$$scratch/pipx" PIPX_BIN_DIR="$$scratch/pipx-bin" PATH="$$scratch/tools/bin:$$PATH" && \
	uv tool install -q . && "$$scratch/uv-bin/dsrwizard" --version && \
	pipx install -q . && "$$scratch/pipx-bin/dsrwizard" --version && \
	$(PYTHON) -m venv "$$scratch/locked" && \
	"$$scratch/locked/bin/pip" install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/run.txt && \
	"$$scratch/locked/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation . && \
	"$$scratch/locked/bin/dsrwizard" --version && \
	ls "$$scratch/locked/share/man/man1/dsrwizard.1" "$$scratch/locked/share/bash-completion/completions/dsrwizard"

# The build backend is locked with the rest; --no-build-isolation then takes it from there.
COMPILE = $(VENV)-lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
          --custom-compile-command 'make lock' $(UPGRADE)
lock: $(VENV)-lock/.ready
	$(COMPILE) pyproject.toml --group build -o requirements/run.txt
	$(COMPILE) pyproject.toml --group build --extra dev -c requirements/run.txt -o requirements/dev.txt
	$(COMPILE) --group docs -o requirements/docs.txt

outdated: $(VENV)/.ready-dev
	@$(PIP) list --outdated --exclude pip --exclude setuptools --exclude dsrwizard

packages:
	@missing=; \
	for need in $(NEEDS); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v "$${need%%=*}" >/dev/null 2>&1 || missing="$$missing $${need#*=}"; \
	done; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then as=; else as=sudo; fi; \
	echo "Missing Debian packages:$$missing"; \
	command -v apt-get >/dev/null || { echo "Install them with your package manager and run make again." >&2; exit 1; }; \
	$$as apt-get update -qq && $$as sh tests/quiet_install.sh $$missing

$(VENV)/bin/python: | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "dsrwizard needs Python 3.11 or later; $$($(PYTHON) --version) is here. Name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml requirements/run.txt $(VENV)/bin/python
	$(PIP) $(LOCKED) -r requirements/run.txt
	$(PIP) $(OURSELVES) -e .
	@touch $@

# What the SSH bench is held against; kept apart from the product's own environment.
$(VENV)-bench/.ready: | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install -q --disable-pip-version-check pyinfra ansible
	@touch $@

$(VENV)-lock/.ready: | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install -q --disable-pip-version-check $(UV)
	@touch $@

$(VENV)/.ready-dev: pyproject.toml requirements/dev.txt $(VENV)/bin/python
	$(PIP) $(LOCKED) -r requirements/dev.txt
	$(PIP) $(OURSELVES) -e .
	@touch $@ $(VENV)/.ready

# The site's tools, apart from the rest: no test needs them.
$(VENV)-docs/.ready: requirements/docs.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip --disable-pip-version-check $(LOCKED) -r requirements/docs.txt
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-lock $(VENV)-docs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
