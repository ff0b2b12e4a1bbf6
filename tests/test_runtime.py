"""What `aetutor.runtime` promises: the device there is, random streams that stay apart, a report on what is wrong."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import IPython
import pytest
import torch
import torchvision  # noqa: F401  imported before a test says that there is no GPU
from torch import nn

from aetutor import runtime


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def course(monkeypatch, number):
    if number is None:
        monkeypatch.delenv("AETUTOR_SEED", raising=False)
    else:
        monkeypatch.setenv("AETUTOR_SEED", number)


# --- Device and budget ----------------------------------------------------------------------------------------


def test_the_device_is_cuda_else_mps_else_the_cpu(no_gpu, monkeypatch):
    assert runtime.device() == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.device() == torch.device("cuda")


def test_a_device_that_is_named_is_taken_and_one_that_is_not_here_is_refused_with_those_that_are(no_gpu):
    assert runtime.device("cpu") == runtime.device(torch.device("cpu")) == torch.device("cpu")
    for wrong in ("gpu", "cuda:99", 2.5, "xpu"):
        with pytest.raises(ValueError, match=r"there is no device .* here; there is: cpu$"):
            runtime.device(wrong)


def test_budget_gives_the_first_value_on_a_cpu_and_the_second_on_a_gpu(no_gpu, monkeypatch):
    assert runtime.budget(cpu=3, gpu=30) == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.budget(cpu=3, gpu=30) == 30


def test_pixels_become_floats_in_0_to_1_and_every_byte_comes_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = runtime.to_unit(pixels)
    assert x.dtype == torch.float32 and x.shape == pixels.shape and x.device == pixels.device
    assert x.min() == 0 and x.max() == 1
    torch.testing.assert_close(x.double(), pixels.double() / 255, rtol=0, atol=1e-7)
    assert torch.equal((x * 255).round().to(torch.uint8), pixels)
    assert pixels[0, 0, 0, 5] == 5  # the bytes stay as they were


def test_pixels_go_to_the_device_that_is_named():
    assert runtime.to_unit(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), where="meta").device.type == "meta"


@pytest.mark.parametrize("wrong", [torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64), [[0]]])
def test_what_is_no_uint8_tensor_is_not_scaled_a_second_time(wrong):
    with pytest.raises(TypeError, match="expected a uint8 tensor of pixels 0…255, got"):
        runtime.to_unit(wrong)


# --- Random streams -------------------------------------------------------------------------------------------


def test_a_seed_depends_on_name_number_and_course_and_on_nothing_else(monkeypatch):
    seeds = {}
    for number in (None, "1", "-3"):
        course(monkeypatch, number)
        for key in [("batches", 0), ("batches", 1), ("weights", 0), ("weights", 1)]:
            seeds[number, *key] = runtime.seed(*key)
            torch.rand(3)  # what ran before must not matter
            assert runtime.seed(*key) == seeds[number, *key]
    assert len(set(seeds.values())) == 12


def test_an_unset_an_empty_and_a_zero_aetutor_seed_are_the_same(monkeypatch):
    found = set()
    for number in (None, "", " ", "0", " 0 "):
        course(monkeypatch, number)
        found.add(runtime.seed("batches"))
    assert len(found) == 1


def test_seeds_fit_torch_numpy_and_scikit_learn():
    seeds = [runtime.seed("x", number) for number in range(2000)]
    assert all(0 <= s < 2**31 for s in seeds) and len(set(seeds)) == 2000
    assert max(seeds) > 0.99 * 2**31 and min(seeds) < 0.01 * 2**31


def test_names_and_numbers_do_not_run_into_each_other():
    assert runtime.seed("a1", 0) != runtime.seed("a", 10)
    assert runtime.seed("a/1") != runtime.seed("a", 1)


def test_a_seed_is_the_same_on_every_machine_and_in_every_version(monkeypatch):
    """If this number changes, every number in every committed notebook changes with it."""
    import hashlib

    course(monkeypatch, "4")
    expected = int(hashlib.sha256(b"4/batches/2").hexdigest()[:8], 16) // 2
    assert runtime.seed("batches", 2) == expected


def test_a_stream_repeats_itself_and_other_names_numbers_and_courses_give_others(monkeypatch):
    course(monkeypatch, None)

    def drawn(*key):
        return tuple(torch.rand(4, generator=runtime.stream(*key)).tolist())

    assert drawn("batches") == drawn("batches", 0)
    first = {drawn("batches"), drawn("batches", 1), drawn("figure")}
    course(monkeypatch, "1")
    assert len(first | {drawn("batches")}) == 4


def test_drawing_from_one_stream_does_not_move_another_or_the_global_one():
    a, b, state = runtime.stream("a"), runtime.stream("b"), torch.get_rng_state()
    expected = torch.rand(3, generator=runtime.stream("b"))
    torch.rand(100, generator=a)
    assert torch.equal(torch.rand(3, generator=b), expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeded_gives_the_same_weights_and_leaves_the_global_generator_as_it_was():
    state = torch.get_rng_state()
    with runtime.seeded("weights", 3):
        first = nn.Linear(4, 4).weight
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    with runtime.seeded("weights", 3):
        again = nn.Linear(4, 4).weight
    with runtime.seeded("weights", 4):
        other = nn.Linear(4, 4).weight
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_seeded_restores_the_global_generator_after_an_error_too():
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), runtime.seeded("weights"):
        torch.rand(3)
        _ = 1 / 0
    assert torch.equal(torch.get_rng_state(), state)


def test_seeded_restores_the_generator_of_apples_gpu_too(monkeypatch):
    apple = torch.Generator().manual_seed(5)  # stands in for the one of a GPU that is not here
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", apple.manual_seed)
    monkeypatch.setattr(torch.mps, "get_rng_state", apple.get_state)
    monkeypatch.setattr(torch.mps, "set_rng_state", apple.set_state)
    state = apple.get_state()
    with runtime.seeded("weights", 3):
        assert apple.initial_seed() == runtime.seed("weights", 3)
    assert torch.equal(apple.get_state(), state)
    with pytest.raises(ZeroDivisionError), runtime.seeded("weights"):
        _ = torch.rand(3, generator=apple), 1 / 0
    assert torch.equal(apple.get_state(), state)


@pytest.mark.parametrize("wrong", ["one", "1.5", "0x"])
def test_an_aetutor_seed_that_is_no_number_is_named(monkeypatch, wrong):
    course(monkeypatch, wrong)
    with pytest.raises(ValueError, match=rf"AETUTOR_SEED is '{wrong}'; expected a whole number"):
        runtime.seed("x")
    with pytest.raises(ValueError, match="AETUTOR_SEED"):
        runtime.stream("x")
    with pytest.raises(ValueError, match="AETUTOR_SEED"), runtime.seeded("x"):
        pass


# --- Tuning ---------------------------------------------------------------------------------------------------


def limits(monkeypatch, **files):
    """Lets the machine's limit files read as given, such as cpu="150000 100000"."""
    names = {"cpu": "/sys/fs/cgroup/cpu.max", "memory": "/sys/fs/cgroup/memory.max"}
    texts = {names[key]: text for key, text in files.items()}
    monkeypatch.setattr(runtime.machine, "_first_line", lambda path: texts.get(path, ""))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("max 100000", 8),
        ("", 8),
        ("900000 100000", 8),
        ("0 100000", 1),
    ],
)
def test_cores_are_those_a_container_grants(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    limits(monkeypatch, cpu=quota)
    assert runtime.cpus() == cores


def test_memory_is_what_a_container_grants_and_never_more_than_the_machine_has(monkeypatch):
    limits(monkeypatch, memory="max")
    machine = runtime.memory()
    assert machine > 1e8
    limits(monkeypatch, memory="100000000")
    assert runtime.memory() == 1e8
    limits(monkeypatch, memory="9" * 19)
    assert runtime.memory() == machine


HOLES = """
import re
from pathlib import Path
import torch
from aetutor import runtime

def held():  # MB of this process
    return int(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

def leave_holes():  # one block in fifty stays, so that the heap cannot shrink by its end
    blocks = [torch.zeros(16_000) for _ in range(4000)]
    return blocks[::50]
"""
TRIMS = """
import sys
if getattr(runtime.machine._c_library(), "malloc_trim", None) is None:
    sys.exit(77)
kept = leave_holes()
before = held()
if sys.argv[1] == "trim":
    runtime.trim()
else:
    with runtime.tuned("cpu"):
        pass
print(before - held())
"""


@pytest.mark.parametrize("how", ["trim", "tuned"])
def test_memory_that_is_free_goes_back_to_the_system(how):
    ran = subprocess.run([sys.executable, "-c", HOLES + TRIMS, how], capture_output=True, text=True)
    if ran.returncode == 77 or not Path("/proc/self/status").exists():
        pytest.skip("no malloc_trim here")
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 150  # of 256 MB


def test_where_the_system_has_no_way_to_trim_nothing_happens(monkeypatch):
    monkeypatch.setattr(runtime.machine, "_c_library", lambda: None)
    runtime.trim()
    with runtime.tuned("cpu"):
        pass


def flushes_denormals() -> bool:
    return (torch.tensor([1e-39]) * torch.tensor([0.5])).item() == 0


@pytest.mark.parametrize("fails", [False, True])
def test_tuned_flushes_denormals_inside_and_leaves_torch_as_it_was(fails):
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    torch.set_flush_denormal(False)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        with runtime.tuned("cpu"):
            assert flushes_denormals()
            assert torch.get_num_threads() <= runtime.cpus()
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert not flushes_denormals()
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_tuned_takes_no_more_threads_than_cores_and_no_more_than_there_were(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for cores, threads in [(1, 1), (2, 2), (64, 2)]:
            monkeypatch.setattr(runtime.tuning, "cpus", lambda cores=cores: cores)
            with runtime.tuned("cpu"):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_tuned_lowers_matrix_precision_on_cuda_only_and_only_inside():
    before = torch.get_float32_matmul_precision()
    with runtime.tuned("cpu"):
        assert torch.get_float32_matmul_precision() == before
    with runtime.tuned("cuda"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before


@pytest.fixture
def clocks(monkeypatch):
    """A machine of 4 cores, on which `clocks(seconds, others, own)` lets time pass that programs spend on its cores."""
    now = [0.0, 0.0, 0.0]  # seconds; core-seconds of all programs; those of this one
    monkeypatch.setattr(runtime.tuning._Yielding, "_clocks", staticmethod(lambda: tuple(now)))
    monkeypatch.setattr(runtime.tuning.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(runtime.tuning, "cpus", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)

    def passes(seconds, *, others, own=4.0):
        now[:] = now[0] + seconds, now[1] + seconds * (others + own), now[2] + seconds * own

    yield passes
    torch.set_num_threads(before)


def test_tuned_gives_up_the_cores_that_other_programs_use_and_takes_them_back(clocks):
    with runtime.tuned("cpu") as at_every_step:
        for others, threads in [(0, 4), (1, 3), (2.4, 2), (0.1, 4), (4, 1), (90, 1), (0, 4)]:
            clocks(0.5, others=others, own=4 - min(others, 4))
            at_every_step()
            assert torch.get_num_threads() == threads
        clocks(0.01, others=3)
        at_every_step()  # too soon for another look
        assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ("speed", "threads"),
    [
        ({16: 5, 8: 4}, [16, 16, 8, 16, 16, 16]),  # half as many are slower: back to all
        ({16: 5, 8: 5.2}, [16, 16, 8, 16, 16, 16]),  # a little faster may be an accident
        ({16: 5, 8: 6, 4: 7, 2: 8, 1: 9}, [16, 16, 8, 4, 2, 1, 1]),
        ({16: 5, 8: 9, 4: 8}, [16, 16, 8, 4, 8, 8]),
        ({16: 5, 8: 9, 4: 20, 2: 40, 1: 30}, [16, 16, 8, 4, 2, 1, 2, 2]),
    ],
)
def test_tuned_tries_fewer_threads_and_keeps_to_those_that_make_clearly_more_steps(speed, threads, clocks, monkeypatch):
    monkeypatch.setattr(runtime.tuning, "cpus", lambda: 16)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    torch.set_num_threads(16)
    with runtime.tuned("cpu") as at_every_step:
        used = []
        for _ in threads:
            used.append(torch.get_num_threads())
            steps = 10 * speed[torch.get_num_threads()]
            for _ in range(round(steps) - 1):  # all but the last within a moment
                at_every_step()
            clocks(0.5, others=0, own=16.0)
            at_every_step()
        assert used == threads


def test_tuned_tries_again_what_other_programs_disturbed(clocks):
    with runtime.tuned("cpu") as at_every_step:
        used = []
        for others, steps in [(0, 10), (0, 10), (3, 90), (0, 90), (0, 30), (0, 5), (0, 30)]:
            used.append(torch.get_num_threads())
            for _ in range(steps - 1):
                at_every_step()
            clocks(0.5, others=others)
            at_every_step()
        # 2 were on trial when others came; afterwards they are on trial once more, and better; 1 is worse
        assert used == [4, 4, 2, 1, 2, 1, 2]


def test_tuned_takes_no_more_threads_than_it_began_with_when_others_leave(clocks):
    torch.set_num_threads(2)
    with runtime.tuned("cpu") as at_every_step:
        for others, threads in [(0, 2), (2, 1), (2, 2), (2, 2), (3, 1), (0, 2)]:  # the first 1 is a trial
            clocks(0.5, others=others)
            at_every_step()
            assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("where", "share"), [("cpu", False), ("cuda", True), ("cuda", False)])
def test_tuned_keeps_its_threads_if_they_are_not_to_be_shared_or_not_what_trains(where, share, clocks):
    with runtime.tuned(where, share=share) as at_every_step:
        for others in (0, 2, 4):
            clocks(0.5, others=others)
            assert at_every_step() is None
            assert torch.get_num_threads() == 4


def test_tuned_gives_back_all_threads_after_sharing_them(clocks):
    with runtime.tuned("cpu") as at_every_step:
        clocks(0.5, others=3)
        at_every_step()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


# --- Precision ------------------------------------------------------------------------------------------------


@pytest.fixture
def processor(monkeypatch):
    """Call it with what /proc/cpuinfo says, or with the error that reading it gives."""

    def says(text):
        def read(path, *args, **how):
            assert str(path) == "/proc/cpuinfo"
            if isinstance(text, Exception):
                raise text
            return text

        monkeypatch.setattr(runtime.machine.Path, "read_text", read)
        runtime.machine._cpu_multiplies_bfloat16.cache_clear()

    yield says
    runtime.machine._cpu_multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("text", "low"),
    [
        ("flags\t\t: fpu sse2 avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu sse2 amx_bf16 avx512_fp16\n", True),
        ("flags\t\t: fpu sse2 avx2 avx512f avx512bw avx512_fp16\n", False),
        ("", False),
        (FileNotFoundError("not on this system"), False),
        (PermissionError("not in this container"), False),
    ],
)
def test_large_networks_train_in_bfloat16_on_processors_that_multiply_it(text, low, processor):
    processor(text)
    expected = torch.bfloat16 if low else torch.float32
    for where in ("cpu", torch.device("cpu")):
        chosen = [runtime.precision(where, parameters=2**power) for power in range(30)]
        assert chosen[:14] == [torch.float32] * 14  # converting the weights would cost more than it saves
        assert chosen[24:] == [expected] * 6 and chosen == sorted(chosen, key=lambda one: one == torch.bfloat16)


@pytest.mark.parametrize("native", [False, True])
def test_large_networks_train_in_bfloat16_on_gpus_that_multiply_it(native, processor, monkeypatch):
    def supported(including_emulation=True):
        return native or including_emulation

    processor("flags: avx512_bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    expected = torch.bfloat16 if native else torch.float32
    for where in ("cuda", torch.device("cuda", 1)):
        assert runtime.precision(where, parameters=100_000_000) == expected
        assert runtime.precision(where, parameters=10_000) == torch.float32


def test_other_devices_train_in_float32_and_torch_is_not_asked_about_a_gpu_that_is_not_meant(processor, monkeypatch):
    processor("flags: avx512_bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", None)
    assert runtime.precision("mps", parameters=100_000_000) == torch.float32
    assert runtime.precision("meta", parameters=100_000_000) == torch.float32
    assert runtime.precision("cpu", parameters=100_000_000) == torch.bfloat16


def test_the_processor_is_asked_once(processor):
    processor("flags: amx_bf16")
    assert runtime.precision("cpu", parameters=10**8) == torch.bfloat16
    looked = runtime.machine._cpu_multiplies_bfloat16.cache_info().misses
    assert runtime.precision("cpu", parameters=10**9) == torch.bfloat16
    assert runtime.machine._cpu_multiplies_bfloat16.cache_info().misses == looked == 1


# --- Report ---------------------------------------------------------------------------------------------------


def test_the_report_names_versions_device_cores_memory_and_seed(no_gpu, monkeypatch):
    course(monkeypatch, "17")
    found = runtime.report()
    assert found.problems == []
    for package in ("torch", "torchvision", "numpy", "matplotlib", "ipython", "scikit-image", "platformdirs", "psutil"):
        assert found.facts[package] == importlib.metadata.version(package)
    assert found.facts["device"] == "cpu" and found.facts["AETUTOR_SEED"] == "17"
    assert "Everything the course needs is here" in str(found)
    for name, text in found.facts.items():
        assert any(line.startswith(name) and line.endswith(text) for line in str(found).splitlines())


def test_the_report_says_how_to_mend_a_missing_package(monkeypatch):
    version = importlib.metadata.version

    def without(package):
        if package == "scikit-image":
            raise importlib.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(importlib.metadata, "version", without)
    found = runtime.report()
    assert found.facts["scikit-image"] == "missing"
    (problem,) = found.problems
    assert problem[0] == "scikit-image is not installed"
    assert problem[1].startswith(f'{sys.executable} -m pip install "scikit-image>=') and problem[1].endswith('"')
    assert "✘ scikit-image is not installed" in str(found) and "✔" not in str(found) and problem[1] in str(found)


@pytest.mark.parametrize(
    ("package", "module"),
    [("scikit-learn", "sklearn"), ("tqdm", "tqdm"), ("ipywidgets", "ipywidgets"), ("psutil", "psutil")],
)
def test_a_package_that_does_not_import_is_reported_and_the_report_goes_on(monkeypatch, package, module):
    monkeypatch.setitem(sys.modules, module, None)
    found = runtime.report()
    (problem,) = found.problems
    assert problem[0].startswith(f"{package} does not import (ModuleNotFoundError: ")
    assert problem[1] == f"{sys.executable} -m pip install --force-reinstall {package}"
    assert (found.facts["memory"] == "unknown") == (module == "psutil")


def test_a_package_older_than_its_floor_is_reported_and_extras_are_not_asked_for(monkeypatch):
    installed = {"torch": "2.4.0+cu124", "numpy": "1.9.3", "psutil": "5.10"}
    needs = ["torch>=2.4", "numpy>=1.26", "psutil>=5.9.0", 'keras>=99; extra == "bench"']
    monkeypatch.setattr(importlib.metadata, "version", installed.__getitem__)
    monkeypatch.setattr(importlib.metadata, "requires", lambda package: needs)
    assert runtime.report().problems == [
        (
            "numpy is 1.9.3, and the course needs 1.26 or newer",
            f'{sys.executable} -m pip install --upgrade "numpy>=1.26"',
        )
    ]


def test_a_course_that_is_not_installed_is_reported(monkeypatch):
    def nothing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "requires", nothing)
    assert [wrong for wrong, _ in runtime.report().problems] == ["aetutor itself is not installed"]


def test_the_report_shows_aetutor_data_where_it_is_set(monkeypatch):
    monkeypatch.setenv("AETUTOR_DATA", "/some/where")
    assert runtime.report().facts["AETUTOR_DATA"] == "/some/where"
    monkeypatch.setenv("AETUTOR_DATA", "")
    assert "AETUTOR_DATA" not in runtime.report().facts


def test_the_report_says_how_to_mend_a_bad_seed_little_memory_and_a_broken_torchvision(monkeypatch):
    course(monkeypatch, "one")
    limits(monkeypatch, memory="1000000000")
    monkeypatch.setitem(sys.modules, "torchvision", None)  # import raises
    found = runtime.report()
    wrong = "\n".join(f"{what} -> {mend}" for what, mend in found.problems)
    assert len(found.problems) == 3
    assert "AETUTOR_SEED is 'one'" in wrong and "unset AETUTOR_SEED" in wrong
    assert "1.0 GB of memory" in wrong
    assert "torchvision does not import" in wrong and "--force-reinstall torch torchvision" in wrong


def test_the_report_is_a_table_in_a_notebook_and_escapes_what_it_shows():
    found = runtime.Report({"device": "<gpu>"}, [("a & b", "pip <x>")])
    html = found._repr_html_()
    assert html.count("<tr") >= 1 and "<table" in html
    assert "&lt;gpu&gt;" in html and "a &amp; b" in html and "pip &lt;x&gt;" in html and "<gpu>" not in html
    assert "✔" in runtime.Report({"device": "cpu"}, [])._repr_html_()


# --- Cells out of order ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said():
    """Below each of these cells, run in a fresh kernel: {source: (the error, what is said of it)}."""
    import nbformat
    from nbclient import NotebookClient

    cells = (
        "from aetutor import runtime",
        "before_start",
        "runtime.start('a'); runtime.start('b')",
        "model",
        "def f():\n    return later\nf()",
        "def f():\n    y\n    y = 1\nf()",
        "1 / 0",
        "import types; other = types.ModuleType('other')\nexec('def h(): return lost', vars(other))\nother.h()",
        "try:\n    caught\nexcept NameError:\n    pass",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=120).execute()
    found = {}
    for cell in notebook.cells:
        errors = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
        shown = "".join(output.data["text/plain"] for output in cell.outputs if output.output_type == "display_data")
        found[cell.source] = ("".join(errors), shown)
    return found


def test_a_name_that_no_cell_has_made_yet_is_followed_by_what_to_do(said):
    error, hint = said["model"]
    assert error == "NameError: name 'model' is not defined"
    assert hint.startswith("`model` is made in a cell that has not run since the kernel started, or is misspelt.")
    assert "Run ▸ Run All Above Selected Cell" in hint and "Runtime ▸ Run before" in hint
    assert hint.count("`model`") == 1, "said once, however often a chapter is started"
    assert "`later`" in said["def f():\n    return later\nf()"][1]


def test_other_errors_are_not_explained_so(said):
    for source, (error, hint) in said.items():
        if source not in ("model", "def f():\n    return later\nf()"):
            assert not hint, source
            assert bool(error) == any(word in source for word in ("before_start", "1 / 0", "lost", "y = 1")), source


def test_memory_that_a_cell_no_longer_needs_goes_back_once_a_chapter_has_started():
    import nbformat
    from nbclient import NotebookClient

    def lost(start: str) -> int:
        cells = (HOLES + start, "kept = leave_holes(); before = held()", "print(before - held())")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
        return int(notebook.cells[2].outputs[0].text)

    if getattr(runtime.machine._c_library(), "malloc_trim", None) is None or not Path("/proc/self/status").exists():
        pytest.skip("no malloc_trim here")
    assert abs(lost("")) < 50  # MB, of 256
    assert lost("runtime.start('a')") > 150


def test_where_a_notebook_is_graded_nothing_is_hung_into_the_kernel(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    monkeypatch.setattr(IPython, "get_ipython", lambda: pytest.fail("asked for the shell"))
    runtime.start("a")
    monkeypatch.delenv("NBGRADER_EXECUTION")
    with pytest.raises(pytest.fail.Exception):
        runtime.start("a")


def test_outside_a_notebook_start_installs_nothing():
    code = "import sys; from aetutor import runtime; runtime.start('a'); print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
