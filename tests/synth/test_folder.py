"""The command that draws a training folder."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.signal_packs import save_pack
from ecgpage.synth.__main__ import main
from ecgpage.synth.folder import LATTICE_STEP, Task, write_record
from ecgpage.synth.sources import Pack, Recording, WfdbFolder, usable

FS = 100.0


def signal(seed: int, seconds: float = 10.0) -> np.ndarray:
    """(n_samples, 12) mV, smooth noise."""
    white = np.random.default_rng(seed).normal(0, 1, (round(seconds * FS) + 9, 12))
    return np.stack([np.convolve(column, np.ones(10) / 10, "valid") for column in white.T], axis=1)


def write(folder: Path, name: str, leads: list[str], data: np.ndarray, comments: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name, FS, ["mV"] * len(leads), leads, p_signal=data, fmt=["16"] * len(leads), comments=comments,
        write_dir=str(folder),
    )  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    comments = ["Age: 56", "Sex: Female", "Height: Unknown", "Labels: NORM, PVC"]
    for k in range(3):
        write(folder / "sub", f"r{k}", [lead.upper() for lead in LEADS], signal(k), comments)
    write(folder, "backwards", list(LEADS[::-1]), signal(0)[:, ::-1], comments)
    write(folder, "two_leads", ["I", "II"], signal(1)[:, :2], comments)
    write(folder, "short", list(LEADS), signal(1, 4.0), comments)
    write(folder, "long", list(LEADS), signal(1, 25.0), comments)
    (folder / "broken.hea").write_text("not a header")
    return folder


def draw(records: Path, output: Path, *options: str) -> int:
    return main(["--records", str(records), "--output", str(output), "--seed", "7", *options])


@pytest.mark.medium
def test_folder_holds_what_the_challenge_trains_on(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert draw(records, out) == 0
    names = sorted(str(p.relative_to(out).with_suffix("")) for p in out.rglob("*.hea"))
    assert names == ["backwards", "long", "sub/r0", "sub/r1", "sub/r2"]
    text = (out / "sub/r0.hea").read_text().splitlines()
    assert text[0] == "r0 12 100 1000"
    assert text[13:] == [
        "# Age: 56",
        "# Sex: Female",
        "# Height: Unknown",
        "# Labels: NORM, PVC",
        "# Image: r0-0.png",
    ]
    image = cv2.imread(str(out / "sub/r0-0.png"))
    assert image is not None
    assert image.shape == (1700, 2200, 3)
    data, fields = wfdb.rdsamp(str(out / "sub/r0"))
    assert fields["sig_name"] == list(LEADS)
    given = signal(0)
    known = np.isfinite(data)
    np.testing.assert_allclose(data[known], given[known], atol=2e-3)
    assert known[:, 1].all()
    np.testing.assert_array_equal(np.flatnonzero(known[:, 11]), np.arange(750, 1000))


def test_truth_file_says_where_each_sample_is(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    draw(records, out, "--limit", "1")
    truth = np.load(out / "backwards-0.npz")
    assert truth["xy"].shape == (12 * 250 + 1000, 2)
    assert truth["visible"].all()
    step = 25.4 / 200
    lattice = truth["lattice"]
    np.testing.assert_allclose(
        lattice[1, 2], [(2 * LATTICE_STEP + 0.5) * step, (LATTICE_STEP + 0.5) * step], atol=1e-4
    )


@pytest.mark.medium
def test_long_records_have_one_picture_per_ten_seconds(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    draw(records, out)
    assert "# Image: long-0.png, long-1.png" in (out / "long.hea").read_text()
    data, _ = wfdb.rdsamp(str(out / "long"))
    assert np.isfinite(data[:2000, 1]).all()
    assert not np.isfinite(data[2000:]).any()


@pytest.mark.medium
def test_same_bytes_whatever_the_number_of_processes_and_interruptions(records: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    draw(records, one, "--mix", "generator-clean,generator-distorted")
    draw(records, two, "--mix", "generator-clean,generator-distorted", "--processes", "2", "--limit", "3")
    stamp = (two / "backwards-0.png").stat().st_mtime_ns
    draw(records, two, "--mix", "generator-clean,generator-distorted", "--processes", "2")
    assert (two / "backwards-0.png").stat().st_mtime_ns == stamp
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    for path in files:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path


def test_bad_records_are_named(records: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = list(usable(WfdbFolder(records)))
    assert [r.name for r in good] == ["backwards", "long", "short", "sub/r0", "sub/r1", "sub/r2"]
    np.testing.assert_allclose(good[0].signal, signal(0), atol=2e-3)
    assert "two_leads: lacks lead III" in caplog.text
    assert "broken" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--records", "nowhere"], "no WFDB header"),
        (["--records", "{records}", "--mix", "phone"], "unknown mix phone; there are generator-clean"),
    ],
)
def test_wrong_arguments_are_explained(
    options: list[str], message: str, records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled = [option.format(records=records) for option in options]
    assert main([*filled, "--output", str(tmp_path / "out")]) == 2
    assert message in caplog.text


def test_packs_take_names_and_labels_from_their_table(tmp_path: Path) -> None:
    packed = np.random.default_rng(0).integers(-500, 500, (2, 8, 1000)).astype(np.int16)
    save_pack(tmp_path / "fold3.xz", packed)
    (tmp_path / "labels.csv").write_text(
        "ecg_id,age,sex,strat_fold,labels\n5,40.0,1,2,NORM\n17,71,0,3,CD;PVC\n23,,1,3,\n"
    )
    pack = Pack(tmp_path / "fold3.xz", tmp_path / "labels.csv")
    first, second = pack.read(0), pack.read(1)
    assert (first.name, first.labels, first.comments) == ("00017_lr", ("CD", "PVC"), ("Age: 71", "Sex: Male"))
    assert (second.name, second.labels, second.comments) == ("00023_lr", (), ("Sex: Female",))
    np.testing.assert_allclose(first.signal[:, 2], first.signal[:, 1] - first.signal[:, 0], atol=1e-6)
    (tmp_path / "labels.csv").write_text("ecg_id\n5\n")
    with pytest.raises(EcgPageError, match="rows for the 2 recordings"):
        Pack(tmp_path / "fold3.xz", tmp_path / "labels.csv")


def test_values_beyond_the_format_are_clipped_and_gaps_kept(tmp_path: Path) -> None:
    data = signal(0).astype(np.float32)
    data[5, 1], data[6, 1] = 50.0, np.nan
    write_record(Task(tmp_path), Recording("r", data, FS))
    back, _ = wfdb.rdsamp(str(tmp_path / "r"))
    assert back[5, 1] == pytest.approx(32.767)
    assert np.isnan(back[6, 1])
