# make run    train and compare on the embedded data     make test   everything that can be checked
# make lint   style and types                            make results DATA=DIR   remake the committed tables
# make speed  time this machine against peers            make soak [KILLS=10]    kill, starve and mutate it
# make scale  count and time what large training sets need (half an hour, 8 GiB)
# A torch without CUDA: make run TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=
RUN := .venv/bin/python -m sslbench
DATA ?= $(SSLBENCH_DATA)

.PHONY: run test quick-test lint results speed soak scale clean

run: .venv/ready
	$(RUN) run

# Tests take one thread each, so that they give the same bits everywhere: one process per core.
PYTEST := .venv/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test: .venv/ready
	$(PYTEST)

quick-test: .venv/ready
	$(PYTEST) -m "not slow"

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

results: .venv/ready
	$(RUN) ablate pair-selection
	$(RUN) ablate paths
	$(RUN) run --suite quick --methods all
	$(RUN) report quick
	.venv/bin/python -m sslbench.publish quick=quick-all
	$(RUN) run --suite quick
	$(RUN) run --suite hierarchy
	$(RUN) run --suite cost
	$(RUN) run --suite cifar10-mini --methods hcsc,pcl,moco,simclr --seeds 0,1,2 --data "$(DATA)"
	$(RUN) report quick
	env -u SSLBENCH_DATA $(RUN) report cifar10-mini  # without photographs, which are not ours to publish
	.venv/bin/python -m sslbench.publish quick hierarchy cost cifar10-mini pair-selection paths
	for size in 1280,900=report 390,844=report-phone; do chromium --headless --no-sandbox --hide-scrollbars \
		--window-size=$${size%=*} --screenshot=results/pictures/$${size#*=}.png results/quick/report.html; done
	.venv/bin/python -m sslbench.report.pictures results/pictures/embedded.png

speed: .venv/ready
	.venv/bin/python -m pip install -e '.[dev,peers]'
	$(RUN) speed --against lightly
	.venv/bin/python -m sslbench.publish speed

KILLS ?= 3

soak: .venv/ready
	.venv/bin/python -m tests.soak --kills $(KILLS) --out results/local/soak
	.venv/bin/python -m sslbench.publish soak

scale: .venv/ready
	.venv/bin/python -m pip install -e '.[dev,cluster]'
	.venv/bin/python -m sslbench.scale
	.venv/bin/python -m tests.cluster.throughput
	.venv/bin/python -m sslbench.publish scale

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| (echo "sslbench needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1)
	@$(PYTHON) -m venv .venv \
		|| (echo "no venv module: apt-get install python3-venv"; exit 1)
	.venv/bin/python -m pip install --upgrade pip
	$(if $(TORCH_INDEX),.venv/bin/python -m pip install torch torchvision --index-url $(TORCH_INDEX))
	.venv/bin/python -m pip install -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
