#!/usr/bin/env bash
# Run tests on the oldest versions that pyproject.toml allows (about two minutes, unless others are named).
# Each lower bound is installed into a fresh virtual environment, which is removed afterwards.
#
#     scripts/test_oldest.sh                         # a test or more for each library
#     scripts/test_oldest.sh tests/test_metrics.py   # whatever pytest takes; `tests` is the whole quick suite
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1

if [ $# -eq 0 ]; then
    set -- \
        -m "" \
        tests/test_metrics.py \
        tests/test_run_directory.py::test_layout \
        tests/test_cli.py::test_run_then_metrics \
        tests/test_cli.py::test_wrong_input_is_one_message_and_exit_2 \
        tests/test_images.py::test_scores_agree_with_torch_fidelity \
        tests/test_pipelines.py::test_keeps_the_contracts \
        tests/test_pipelines.py::test_text_to_image_keeps_the_contracts \
        tests/test_text_models.py::TestPretrained \
        tests/test_text_data.py::TestSources \
        tests/test_sweeps.py::test_on_a_ray_cluster \
        tests/test_page.py::TestPage::test_one_page_of_all_kinds \
        tests/test_page.py::TestTakeAway \
        tests/test_page.py::TestTracker
fi

echo "== install"
python3 -m venv "$scratch/uv"
"$scratch/uv/bin/pip" install --quiet uv
uv=$scratch/uv/bin/uv
"$uv" venv --quiet --python "$(command -v python3)" "$scratch/venv"
"$scratch/venv/bin/python" - > "$scratch/bounds.txt" <<'PYTHON'
import pathlib
import re

project = pathlib.Path("pyproject.toml").read_text().partition("[project]")[2].partition("[tool.")[0]
for name, oldest in re.findall(r'"([\w.-]+)>=([\w.]+)"', project):
    print(f"{name}=={oldest}")
PYTHON
"$uv" pip install --quiet --python "$scratch/venv/bin/python" --resolution lowest-direct \
    --constraint "$scratch/bounds.txt" --editable '.[test]'

echo "== versions"
"$scratch/venv/bin/python" --version
"$uv" pip freeze --python "$scratch/venv/bin/python" |
    grep --ignore-case --fixed-strings --file <(sed 's/==.*/==/; y/_/-/' "$scratch/bounds.txt")

echo "== tests"
"$scratch/venv/bin/python" -m pytest -n "${PYTEST_WORKERS:-2}" -W ignore::DeprecationWarning "$@"
