#!/usr/bin/env bash
# Install what is built for others on the oldest and on the newest Python at hand, and run it in an empty folder.
#
#     scripts/test_pythons.sh              python3.10 and the newest of 3.14, 3.13, 3.12 (some minutes)
#     scripts/test_pythons.sh 3.11 3.12    these
#
# The wheel goes onto the first Python, the sdist onto the others. A Python that is not there is
# left out, and the last lines say so. All environments are removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1
unset PYTHONPATH

# Print where a version of Python is: on the path, or among those of pyenv, which does not start each.
find_python() {
    local each
    for each in "$(command -v "python$1")" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$each" -c "" 2>/dev/null; then
            echo "$each"
            return
        fi
    done
    return 1
}

wanted=("$@")
if [ $# -eq 0 ]; then
    wanted=(3.10)
    for newest in 3.14 3.13 3.12; do
        if find_python "$newest" >/dev/null; then
            wanted+=("$newest")
            break
        fi
    done
fi

echo "== build"
python3 -m venv "$scratch/uv"
"$scratch/uv/bin/pip" install --quiet uv build
uv=$scratch/uv/bin/uv
# What git keeps of the working tree, since building leaves files behind.
mkdir "$scratch/source"
git ls-files --cached --others --exclude-standard -z |
    tar -cf - --ignore-failed-read --null -T - 2>/dev/null | tar -xf - -C "$scratch/source"
"$scratch/uv/bin/python" -m build --installer uv --outdir "$scratch/dist" "$scratch/source" \
    > "$scratch/build.log" 2>&1 || { cat "$scratch/build.log" >&2; exit 1; }
ls "$scratch/dist"

left_out=()
tried=0
package=$(ls "$scratch"/dist/*.whl)
for version in "${wanted[@]}"; do
    if ! python=$(find_python "$version"); then
        left_out+=("$version")
        continue
    fi

    echo "== Python $version, $(basename "$package")"
    "$uv" venv --quiet --python "$python" "$scratch/venv"
    "$uv" pip install --quiet --python "$scratch/venv/bin/python" "$package"
    mkdir "$scratch/empty"
    (
        cd "$scratch/empty"
        export PATH="$scratch/venv/bin:$PATH"
        python --version
        imglab --version
        imglab list > list.txt
        imglab show digits > digits.yaml
        imglab validate digits.yaml
        imglab run smoke/gaussian
        imglab run smoke/image --set generations=2
        imglab ls runs
        python -c "import imglab; print(imglab.open('runs/smoke_gaussian').frame().shape)"
    ) || {
        echo "it does not work on Python $version" >&2
        exit 1
    }
    rm -rf "$scratch/venv" "$scratch/empty"
    package=$(ls "$scratch"/dist/*.tar.gz)
    tried=$((tried + 1))
done

for version in "${left_out[@]}"; do
    echo "left out: Python $version is not on this machine"
done
if [ "$tried" -eq 0 ]; then
    echo "no Python of ${wanted[*]} was tried" >&2
    exit 1
fi
