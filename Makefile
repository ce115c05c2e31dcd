# `make` alone lists what there is to make. Works with GNU make 3.81 (macOS) and any POSIX shell.

PY := .venv/bin/python

# Extra words for pytest: make test ARGS='tests/clients -k resend'
ARGS ?=
# make test BROWSER=0 leaves the browser tests out.
BROWSER ?= 1
# Test processes side by side, one more than there are processors, since tests often wait for something;
# make test WORKERS=0 runs in one (for a debugger).
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
CRASH_TESTS := tests/crash
OTHER_BROWSERS := tests/browsers
# make lock UPGRADE=1 takes the newest versions, else the locked ones stay.
UPGRADE ?=

# Tests start a hundred processes, and without files of bytecode each of them compiles the application for itself.
unexport PYTHONDONTWRITEBYTECODE

ifneq ($(findstring not browser,$(ARGS)),)
BROWSER := 0
endif
ifeq ($(BROWSER),0)
WITHOUT_BROWSER := -m "not browser"
endif

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## set up and start everything on SQLite: demo portal, mail catcher, web server
	@scripts/ensure_venv.sh requirements.txt
	@exec $(PY) wsgi.py

.PHONY: shell
shell: ## the same inside the pages of an example host shell, which it starts as well
	@scripts/ensure_venv.sh requirements.txt
	@exec $(PY) -m examples.b_portal_shell

.PHONY: test
test: browser lint ## set up, check and run every test but those of test-crash and test-browsers (ARGS=… for pytest, BROWSER=0, WORKERS=N)
	@exec $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore $(CRASH_TESTS) \
		--ignore $(OTHER_BROWSERS) $(WITHOUT_BROWSER) $(ARGS)

.PHONY: test-crash
test-crash: venv-dev ## processes killed and frozen, databases and mail servers away, random scenarios, memory (ARGS=…)
	@exec $(PY) -m pytest -n $(WORKERS) --dist load $(CRASH_TESTS) $(ARGS)

.PHONY: test-browsers
test-browsers: venv-dev ## a day at the table in Firefox ESR and WebKitGTK, and the frame of another origin (ARGS=…)
	@scripts/ensure_browsers.sh >/dev/null
	@exec $(PY) -m pytest $(OTHER_BROWSERS) $(ARGS)

.PHONY: try-minimal
try-minimal: ## make run and make test of HEAD in a fresh minimal Debian (as root, with debootstrap; half an hour)
	@scripts/try_minimal_debian.sh BROWSER=$(BROWSER) WORKERS=$(WORKERS) ARGS="$(ARGS)"

.PHONY: try-deploy
try-deploy: ## "Deploy" of the README in a fresh Debian 12 and 13 with systemd, and in containers (as root; half an hour)
	@scripts/try_deploy.sh bookworm
	@scripts/try_deploy.sh trixie
	@scripts/try_image.sh

.PHONY: audit
audit: ## licences of what we ship, a bill of materials, and known vulnerabilities
	@scripts/ensure_venv.sh requirements.txt
	@scripts/audit.sh

.PHONY: bench-import
bench-import: venv-dev ## measure Bulk Invite beside what the machine allows (ARGS=…, see bench/README.md)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.import_speed $(ARGS)

.PHONY: bench-list
bench-list: venv-dev ## measure the table in portals of every size (ARGS=…, see bench/README.md)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.list_speed $(ARGS)

.PHONY: bench-flush
bench-flush: venv-dev ## measure how quickly mails go out, beside smtplib and django-post-office (ARGS=…)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.flush_speed $(ARGS)

.PHONY: bench-beside
bench-beside: venv-dev ## measure mails that go out while another portal's mail server drips (ARGS=…)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.beside_dripping $(ARGS)

.PHONY: bench-slow-bodies
bench-slow-bodies: venv-dev ## measure what others wait for while 100 clients send a byte a second (ARGS=…)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.slow_bodies $(ARGS)

.PHONY: load
load: venv-dev ## 200 portals on both databases and through PgBouncer, 3 web processes, 3 workers (ten minutes; ARGS=…)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.portals_at_once $(ARGS)

.PHONY: bench-idle
bench-idle: venv-dev ## measure what a worker without work asks its database, and its processor time (ARGS=…)
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.idle_worker $(ARGS)

.PHONY: bench-back
bench-back: venv-dev ## measure how long Back takes with no-store and without, in Chromium and Firefox (ARGS=…)
	@scripts/ensure_browsers.sh >/dev/null
	@$(PY) -W "ignore:XDG_RUNTIME_DIR" -m bench.back_speed $(ARGS)

.PHONY: soak
soak: venv-dev ## the fuzz tests and hostile logos for longer, then a tenth of the crash tests' full figures (up to an hour)
	@FUZZ_EXAMPLES=20000 IMPORT_FUZZ_EXAMPLES=3000 WORKBOOK_FUZZ_EXAMPLES=2000 BOUNCE_FUZZ_EXAMPLES=3000 \
		$(PY) -m pytest -n $(WORKERS) --dist load \
		--hypothesis-show-statistics \
		tests/unit/imports/test_csv_laws.py tests/unit/imports/test_workbook_laws.py \
		tests/unit/core/test_text.py tests/unit/core/test_links_in_text.py \
		tests/integration/imports/test_import_fuzz.py tests/integration/bounces/test_mutated_reports.py $(ARGS)
	@HOSTILE_PICTURES=200 $(PY) -m pytest tests/crash/test_memory.py -k 64_mb
	@PGBOUNCER_MAILS=1500 PGBOUNCER_KILLS=20 FAILOVERS=1 $(PY) -m pytest -q tests/crash/test_pgbouncer.py \
		tests/crash/test_failover.py
	@UPGRADE_MAILS=20 $(PY) -m pytest -q -rs tests/crash/test_upgrade.py
	@$(PY) -m tests.crash.soak

.PHONY: failover
failover: venv-dev ## a PostgreSQL dies and its standby takes over, three times (needs Debian's postgresql)
	@FAILOVERS=3 $(PY) -m pytest -q -s tests/crash/test_failover.py $(ARGS)

.PHONY: upgrade
upgrade: venv-dev ## upgrades from older code in git's history: with a stop from 0.1.0, and without under load (ten minutes)
	@UPGRADE_MAILS=40 $(PY) -m pytest -q -s -rs tests/crash/test_upgrade.py $(ARGS)

.PHONY: lint
lint: venv-dev ## ruff, mypy, djlint, hadolint and import-linter; silent when all is well
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet || { echo "Not formatted as above: make format" >&2; exit 1; }
	@$(PY) -m mypy --no-error-summary
	@$(PY) -m djlint --lint --quiet app/templates
	@.venv/bin/hadolint deploy/Dockerfile deploy/pgbouncer/Dockerfile scripts/stand_ins/*.Dockerfile
	@said=$$(.venv/bin/lint-imports --no-logo --no-cache 2>&1) || { echo "$$said" >&2; exit 1; }

.PHONY: format
format: venv-dev ## let ruff mend and format what it can
	@$(PY) -m ruff check --quiet --fix-only
	@$(PY) -m ruff format --quiet

.PHONY: translations
translations: venv-dev ## bring the texts of what babel.cfg lists into app/translations/*/LC_MESSAGES/messages.po
	@pot=$$(mktemp) && trap 'rm -f "$$pot"' EXIT && \
	$(PY) -m babel.messages.frontend -q extract -F babel.cfg -k lazy -k N_ -k stored --add-location=file -o "$$pot" . && \
	for language in app/translations/*/; do \
		$(PY) -m babel.messages.frontend -q update -i "$$pot" -d app/translations -l $$(basename $$language) \
			--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --width 120 || exit 1; \
	done

.PHONY: lock
lock: venv-dev ## requirements*.in -> requirements*.txt, every version with its hashes (UPGRADE=1)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@for list in requirements requirements-dev requirements-audit; do \
		$(PY) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
			--custom-compile-command 'make lock' --python $(PY) $(if $(UPGRADE),--upgrade) \
			--output-file $$list.txt $$list.in || exit 1; \
	done

.PHONY: clean
clean: ## remove .venv and every cache; data stays
	@rm -rf .venv .venv-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: venv-dev
venv-dev:
	@scripts/ensure_venv.sh requirements-dev.txt

# Before anything runs, what the browser tests need is there or asked for.
.PHONY: browser
browser: venv-dev
	@[ "$(BROWSER)" = 0 ] || scripts/ensure_chromium.sh >/dev/null
