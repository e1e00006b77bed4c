# Everything a newcomer needs; each target sets up what it uses and is quick to run again.
#   make run                            watch the nodes read a face video
#   make run SOURCE=0 RECORD=1          … a webcam, file, folder or bag instead; recorded only when asked
#   make test PYTHON=python3.12         … with another Python (3.10 to 3.13)
PYTHON ?= python3
SOURCE ?=
RECORD ?=

.DEFAULT_GOAL := help
.PHONY: help run test lint bench check-export clean

# With a sourced ROS the environment's own messages are found through its set-up file; the wheels find them themselves.
ACTIVATE := $(if $(ROS_DISTRO),. .venv/local_setup.sh &&)

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# Pictures are stored only for a plain yes; what is neither yes nor no is an error, not a yes.
RECORDING = $(if $(filter 1 yes true,$(RECORD)),--record,$(if $(filter-out 0 no false,$(RECORD)),$(error RECORD is $(RECORD): give 1 or 0)))

run: ## Replay a face video through the nodes and show what they read (SOURCE=…, RECORD=1)
	@$(PYTHON) tools/setup.py robot ros
	@$(ACTIVATE) .venv/bin/python tools/run.py $(if $(SOURCE),"$(SOURCE)") $(RECORDING)

test: lint ## Run every check and every test
	@$(PYTHON) tools/python310.py
	@$(ACTIVATE) .venv/bin/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --ignore tests/ros
	@$(ACTIVATE) .venv/bin/python -m pytest tests/ros

lint: ## Check format, style and types
	@$(PYTHON) tools/setup.py robot ros data render ert trainer export dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

bench: ## Measure every stage and the whole, beside the published figures
	@$(PYTHON) tools/setup.py robot ros
	@$(ACTIVATE) .venv/bin/mien bench

check-export: ## Build an engine of every file that the export can write, without a GPU
	@$(PYTHON) tools/setup.py robot export dev
	.venv/bin/python tools/check_export.py

clean: ## Remove everything that was made, the environment too
	rm -rf .venv .venv-3.10 out dist ros2_ws/build ros2_ws/install ros2_ws/log
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
