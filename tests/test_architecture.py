"""The house rules that a tool can check."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from models.cli import main as models_main
from pipeline.stage import RowStage, ShardStage, TableStage
from stages import STAGES, load

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "dask", "cv2", "librosa", "pandas", "pyarrow", "dlib", "matplotlib", "requests", "numpy", "PIL"}


def test_the_import_arrows_hold() -> None:
    done = subprocess.run(["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    tops = ("manifests", "models", "pipeline", "stages")
    folders = [path.parent.relative_to(ROOT) for top in tops for path in (ROOT / top).rglob("__init__.py")]
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in folders)


@pytest.mark.parametrize(
    ("package", "commands"),
    [
        ("stages", [["--help"], ["run", "--help"], ["weights", "list"]]),
        ("models", [["--help"], *([verb, "--help"] for verb in models_main.commands)]),
    ],
)
def test_help_and_the_registry_load_no_heavy_library(package: str, commands: list[list[str]]) -> None:
    code = (
        f"import json, sys\nfrom {package}.cli import main\n"
        f"for command in {commands!r}:\n"
        "    try:\n        main(command)\n    except SystemExit as ended:\n        assert not ended.code\n"
        "print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def test_every_stage_loads_and_carries_its_name() -> None:
    stages = [load(name) for name in STAGES]
    assert [stage.name for stage in stages] == list(STAGES)
    assert {type(stage) for stage in stages} == {RowStage, ShardStage, TableStage}


def test_dvc_runs_the_stages_in_order_and_keeps_their_outs() -> None:
    blocks = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert tuple(blocks) == STAGES
    for name, block in blocks.items():
        assert block["cmd"] == f"pipeline run {name}"
        assert f"stages/{name}.py" in block["deps"]
        assert all(options["persist"] for out in block["outs"] for options in out.values())


def test_params_name_every_setting_of_every_stage_with_its_default_or_its_demo_value() -> None:
    """The settings file is the reference: nobody should have to read code to find a key."""
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in STAGES:
        stage = load(name)
        kinds = (stage.scoring, stage.limits) if isinstance(stage, RowStage) else (stage.settings,)
        keys = {field for kind in kinds for field in kind.__dataclass_fields__}
        assert set(sections.get(name) or {}) == keys, name


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert len(listed) > 50
    texts = [ROOT / name for name in listed if name.endswith((".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".cff"))]
    guilty = [
        str(path)
        for path in texts
        if path.exists() and any(w in path.read_text() for w in ("/home" + "/", "/root" + "/"))
    ]
    assert not guilty
